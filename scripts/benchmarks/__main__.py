"""The command line of ./scripts/bench."""

import argparse
import contextlib
import dataclasses
import fcntl
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from benchmarks import engine, machine, report, results
from benchmarks.questions import backup, endpoints, growth, physical, pool, safety, sizing, start
from benchmarks.run import Refused, Run
from testing.shell import ROOT, Failed
from testing.stack import ARTIFACTS

ALL = (endpoints, pool, sizing, safety, growth, start)
BY_NAME = (backup, physical)
QUESTIONS = {question.NAME: question for question in (*ALL, *BY_NAME)}
JSON, QUICK_JSON = ARTIFACTS / "bench.json", ARTIFACTS / "bench-quick.json"
PUBLISHED = ROOT / "docs/benchmarks.json"
USAGE_ERROR = 2
DESCRIPTION = """
Measures the stack against what people would pick instead. Every question has several arms, all measured on this machine
in the same run, in turns, several times; the tables show medians with minimum and maximum. Everything it starts is
removed at the end. All questions take about 37 minutes, with --quick two and a half, images built already;
14 GB of disk, for 50 million answers; and a machine that does nothing else. How long each takes, and how long with
--quick, is beside it, on two CPUs.
"""


WITHOUT_ANY = f"which to answer; without any: all but {' and '.join(question.NAME for question in BY_NAME)}"


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise Refused(f"{message}.", "./scripts/bench --help")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The options. Raises Refused."""
    questions = "\n".join(f"  {name:<10} {question.TITLE} ({question.TAKES})" for name, question in QUESTIONS.items())
    parser = _Parser(
        prog="./scripts/bench",
        description=DESCRIPTION,
        epilog=f"questions:\n{questions}\n  report     measure nothing: write docs/benchmarks.md from the numbers",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("questions", nargs="*", metavar="question", help=WITHOUT_ANY)
    parser.add_argument("--quick", action="store_true", help="the main arms, one round, small tables")
    where = f"where the numbers go ({JSON.relative_to(ROOT)}; with --quick {QUICK_JSON.relative_to(ROOT)})"
    parser.add_argument("--json", type=Path, metavar="FILE", help=where)
    options = parser.parse_args(arguments)
    options.json = options.json or (QUICK_JSON if options.quick else JSON)
    for name in options.questions:
        if name not in QUESTIONS and options.questions != ["report"]:
            raise Refused(f"there is no question {name!r}.", f"choose from: {', '.join(QUESTIONS)}; or `report` alone")
    return options


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One bench at a time: two would measure each other, and remove each other's containers."""
    ARTIFACTS.mkdir(exist_ok=True)
    with (ARTIFACTS / "bench.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Refused("another ./scripts/bench is running.", "wait until it is done") from None
        yield


@contextlib.contextmanager
def workshop() -> Iterator[Path]:
    """A folder for what containers mount, inside the project, where the engine can see it; removed at the end."""
    work = ARTIFACTS / "bench-work"
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def measure(options: argparse.Namespace) -> bool:
    """Answers the questions one after the other, saving after each. True when every aim is met."""
    met = True
    with alone(), workshop() as work:
        run = Run(options.quick, work)
        for name in options.questions or [question.NAME for question in ALL]:
            noise = machine.Noise()
            run.say(f"{name}: {QUESTIONS[name].TITLE}")
            if noise.loud:
                run.say(f"something else uses {noise.in_use:.0f} % of the CPUs: these numbers will be worth little")
            answer = QUESTIONS[name].answer(run)
            circumstances = {**machine.describe(options.quick), "noise": str(noise), **answer.circumstances}
            answer = dataclasses.replace(answer, circumstances=circumstances)
            results.save(options.json, {name: answer})
            print(report.text(answer), flush=True)
            met = met and all(aim.met for aim in answer.aims)
        run.say(f"done; the numbers are in {options.json}. docs/benchmarks.md from them: ./scripts/bench report")
    return met


def write_report(file: Path) -> None:
    """docs/benchmarks.md and its pictures, from a JSON file.

    To questions that the file doesn't answer, the page keeps the answers that it had (docs/benchmarks.json).
    """
    measured = _read(file, "./scripts/bench first, or --json FILE")
    published = {**_read(PUBLISHED, f"git checkout {PUBLISHED.name} in docs/"), **measured}
    results.save(PUBLISHED, published)
    answers = {name: published[name] for name in QUESTIONS if name in published}
    for written in report.write(answers, ROOT / "docs"):
        print(f"wrote {written.relative_to(ROOT)}")


def _read(file: Path, hint: str) -> dict[str, results.Answer]:
    try:
        return results.load(file)
    except (OSError, ValueError) as error:
        raise Refused(f"{file} can't be read: {error}", hint) from None


def _failed(why: str) -> int:
    print(f"\nERROR: the bench could not go on: {why}", file=sys.stderr)
    print("HINT:  what it started is removed; ./scripts/up shows whether the stack itself works", file=sys.stderr)
    return 1


def _interrupted(*_: object) -> NoReturn:
    raise KeyboardInterrupt


def main(arguments: Sequence[str]) -> int:
    """0: every aim met. 1: an aim was missed, or measuring failed. 2: could not start. 130: interrupted."""
    signal.signal(signal.SIGTERM, _interrupted)
    try:
        options = parse(arguments)
        if options.questions == ["report"]:
            write_report(options.json)
            return 0
        engine.check()
        return 0 if measure(options) else 1
    except Refused as refusal:
        print(refusal, file=sys.stderr)
        return USAGE_ERROR
    except subprocess.TimeoutExpired as error:
        # Not the error's own text: it quotes the whole environment.
        return _failed(f"{' '.join(error.cmd[error.cmd.index('docker') :])[:300]} took more than {error.timeout:.0f} s")
    except (Failed, AssertionError, TimeoutError, OSError) as error:
        return _failed(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; what was started is removed.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
