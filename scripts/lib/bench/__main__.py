"""The command line of ./scripts/bench."""

import argparse
import contextlib
import dataclasses
import datetime
import fcntl
import os
import platform
import re
import shlex
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NoReturn

from bench import report, results
from bench.core import Bench, Question
from bench.questions import backup, endpoints, failover, growth, pool, safety, sizing, start
from testing.shell import ROOT, Failed, run
from testing.stack import ARTIFACTS
from user_errors import Failure, OperationError, Status, UserError

ALL = (
    endpoints.Endpoints, pool.Pool, sizing.Sizing, safety.Safety, growth.Growth, start.Start, backup.Backup,
    failover.Failover,
)  # fmt: skip
QUESTIONS: dict[str, type[Question]] = {question.__name__.lower(): question for question in ALL}
JSON, QUICK_JSON = ARTIFACTS / "bench.json", ARTIFACTS / "bench-quick.json"
DESCRIPTION = """
Measure the stack against common alternatives. All arms of a question are measured on this machine in the same run, in
turns; the tables show medians with minimum and maximum. Everything it starts is removed at the end.
It needs 30 GB of disk and a machine that does nothing else. Questions, with the time on two CPUs (with --quick):
"""


class Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message, "./scripts/bench --help")


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """Raises UserError."""
    lines = "\n".join(f"  {name:<10} {question.title}: {question.takes}" for name, question in QUESTIONS.items())
    form = argparse.RawDescriptionHelpFormatter
    parser = Parser("./scripts/bench", description=DESCRIPTION + lines, formatter_class=form)
    what = "default: all; or `report`: write docs/benchmarks.md from the last results"
    parser.add_argument("questions", nargs="*", metavar="QUESTION", help=what)
    parser.add_argument("--quick", action="store_true", help="one round, small tables, the main arms")
    options = parser.parse_args(arguments)
    for name in options.questions:
        if name not in QUESTIONS and options.questions != ["report"]:
            raise UserError(f"unknown question: {name}", f"choose from: {', '.join(QUESTIONS)}; or report alone")
    return options


@contextlib.contextmanager
def workshop() -> Iterator[Path]:
    """A folder for what containers mount, and a lock: two runs would measure each other."""
    ARTIFACTS.mkdir(exist_ok=True)
    with (
        (ARTIFACTS / "bench.lock").open("w") as lock,
        tempfile.TemporaryDirectory(prefix="bench-", dir=ARTIFACTS, ignore_cleanup_errors=True) as work,
    ):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError("another ./scripts/bench is running", "wait until it has ended") from None
        Path(work).chmod(0o755)
        yield Path(work)


def circumstances(command: Sequence[str]) -> dict[str, str]:
    """Where and when it was measured."""
    model = re.search(r"model name\s*: (.+)", Path("/proc/cpuinfo").read_text(encoding="utf-8"))
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.freedesktop_os_release().get('PRETTY_NAME')}, Linux {platform.release()}"
    engine = run("docker", "version", "--format", "{{.Server.Version}}").stdout.strip()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": shlex.join(["./scripts/bench", *command]),
        "commit": run("git", "describe", "--always", "--dirty", check=False).stdout.strip() or "unknown",
        "machine": f"{os.cpu_count()} × {model[1] if model else platform.machine()}, {memory:.0f} GB, {system}",
        "docker": f"Engine {engine}, Compose {run('docker', 'compose', 'version', '--short').stdout.strip()}",
        "load": f"{os.getloadavg()[0]:.1f} runnable processes in the minute before",
    }


def measure(name: str, quick: bool, work: Path, command: Sequence[str]) -> int:
    """Answer a question and save the answer; an error does not stop the next question."""
    file = QUICK_JSON if quick else JSON
    try:
        where = circumstances(command)
        with Bench(quick, work) as bench:
            answer = QUESTIONS[name](bench).answer()
    except (Failed, AssertionError, ValueError, OSError, subprocess.TimeoutExpired) as error:
        # Not a timeout's own text: it quotes the whole environment.
        reason = "a command took too long" if isinstance(error, subprocess.TimeoutExpired) else str(error)
        OperationError(f"question {name}", f"./scripts/bench {name} measures it again", reason).show()
        return Status.PROBLEM
    answer = dataclasses.replace(answer, circumstances={**where, **answer.circumstances})
    results.save(file, {name: answer})
    print(report.text(answer), f"\nsaved in {file.relative_to(ROOT)}", flush=True)
    return Status.OK


def write_report(measured: Path = JSON, docs: Path = ROOT / "docs") -> int:
    """Write the page and its charts. It keeps the published answers to questions that were not measured again."""
    published = docs / "benchmarks.json"
    try:
        results.save(published, results.load(measured) if measured.exists() else {})
        answers = results.load(published)
    except (OSError, ValueError) as error:
        hint = f"remove {measured}, or: git checkout {published}"
        raise UserError("results can't be read", hint, str(error)) from None
    print(*report.write({name: answers[name] for name in QUESTIONS if name in answers}, docs), sep="\n")
    return Status.OK


def main(arguments: Sequence[str]) -> int:
    """0: every question was answered, or the page written; 1: one could not be measured; 2: wrong usage."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        options = parse(arguments)
        if options.questions == ["report"]:
            return write_report()
        with workshop() as work:
            return max([measure(name, options.quick, work, arguments) for name in options.questions or QUESTIONS])
    except Failure as failure:
        failure.show()
        return failure.status
    except KeyboardInterrupt:
        return Status.INTERRUPTED


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
