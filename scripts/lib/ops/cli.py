"""The frame of the command line. A command is one decorated function in a module of commands/:

    @command("dump list", DUMPS, "List dumps, the oldest first", JSON)
    def dump_list(asked: argparse.Namespace) -> int | None:
        ...

The first word or words are its name, then the section of `--help` that lists it, its help line (a verb and its object)
and its options. The function returns an exit status (None: 0) and raises UserError or OperationError.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import inspect
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any, Callable, NamedTuple, NoReturn, Optional

from ops import commands
from user_errors import Failure, Status, UserError

CONNECT = "Connect"
SETUP = "Roles, database and privileges"
INSPECT = "Inspect"
DUMPS = "Dumps (pg_dump: one database, portable)"
BACKUPS = "Backups (pgBackRest: the whole server, to any second)"
RESTORE = "Restore"
MONITOR = "Monitor"
ALERTS = "Alerts"
MAINTAIN = "Maintain"
QUERIES = "The application's queries"
TROUBLESHOOT = "Troubleshoot"
DEPLOY = "Deploy"
CLUSTER = "Database cluster (./scripts/up --cluster)"
SECTIONS = (
    CONNECT, SETUP, INSPECT, DUMPS, BACKUPS, RESTORE, MONITOR, ALERTS, MAINTAIN, QUERIES, TROUBLESHOOT, DEPLOY, CLUSTER,
)  # fmt: skip

EPILOG = """exit status: 0 done; 1 a problem was found, or the operation failed; 2 wrong usage; 3 cannot connect;
4 not found; 130 interrupted"""


class Option(NamedTuple):
    """Arguments for argparse's add_argument. Options with the same `exclusive` name exclude each other."""

    flags: tuple[str, ...]
    settings: dict[str, Any]
    exclusive: str = ""  # "?name": at most one of the group; "!name": exactly one


def option(*flags: str, exclusive: str = "", **settings: Any) -> Option:
    """An option (`--limit`) or a positional argument (`table`) of a command."""
    return Option(flags, settings, exclusive)


def flag(*flags: str, help: str, exclusive: str = "") -> Option:
    """An option without a value."""
    return Option(flags, {"action": "store_true", "help": help}, exclusive)


JSON = flag("--json", help="print JSON: plain values, durations in seconds")
YES = flag("--yes", "-y", help="don't ask for confirmation")
DRY_RUN = flag("--dry-run", help="say what would be done and change nothing")


def positive(text: str) -> int:
    """An argparse type: a whole number from 1."""
    number = int(text)
    if number < 1:
        raise ValueError
    return number


LIMIT = option("--limit", "-n", type=positive, metavar="N", default=10, help="show at most N rows (default: 10)")

Function = Callable[[argparse.Namespace], Optional[int]]


class Command(NamedTuple):
    """A declared command."""

    name: str
    section: str
    help: str
    options: tuple[Option, ...]
    function: Function
    details: str

    @property
    def words(self) -> list[str]:
        """`dump list` → [dump, list]."""
        return self.name.split()


REGISTRY: dict[str, Command] = {}


def command(name: str, section: str, help: str, *options: Option) -> Callable[[Function], Function]:
    """Decorator: declare a command. The function's docstring, if any, is shown by the command's own --help."""

    def declare(function: Function) -> Function:
        assert name not in REGISTRY, f"{name} is declared twice"
        REGISTRY[name] = Command(name, section, help, options, function, inspect.cleandoc(function.__doc__ or ""))
        return function

    return declare


class Parser(argparse.ArgumentParser):
    """argparse, with errors in this project's form."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog}: {message}", f"{self.prog} --help")


def modules(word: str = "") -> list[str]:
    """The modules of commands/, in the order of their names. With a command's first word, those that declare one."""
    files = sorted(Path(commands.__path__[0]).glob("[a-z]*.py"))
    declared = re.compile(rf'(?:@command|Listing)\(\s*f?"{re.escape(word)}[ "]')
    return [file.stem for file in files if not word or declared.search(file.read_text(encoding="utf-8"))]


def load_commands(word: str = "") -> None:
    """Import what declares the commands with this first word; importing all of it takes a tenth of a second. Without a
    word, or with one that is no command's, every module."""
    for name in modules(word) or modules():
        importlib.import_module(f"ops.commands.{name}")


def build_parser() -> Parser:
    """The whole command line. A command named as a group (`migrations`) is what the group does without a word more."""
    parser = Parser(
        prog="./scripts/ops",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="./scripts/ops COMMAND …",
        description=overview(),
        epilog=EPILOG,
    )
    groups: dict[str, Any] = {
        "": parser.add_subparsers(prog="./scripts/ops", metavar="COMMAND", help=argparse.SUPPRESS)
    }
    parsers: dict[str, Parser] = {}
    for declared in REGISTRY.values():
        path = ""
        for word in declared.words[:-1]:
            path = f"{path} {word}".strip()
            if path not in groups:
                if path not in parsers:
                    above = path.rpartition(" ")[0]
                    listed = "\n".join(line(one) for one in REGISTRY.values() if one.name.startswith(f"{path} "))
                    parsers[path] = groups[above].add_parser(
                        word, description=listed, usage=f"./scripts/ops {path} COMMAND …", epilog=EPILOG,
                        formatter_class=argparse.RawDescriptionHelpFormatter,
                    )  # fmt: skip
                groups[path] = parsers[path].add_subparsers(
                    prog=f"./scripts/ops {path}", metavar="COMMAND", help=argparse.SUPPRESS
                )
        parsers[declared.name] = add_command(groups[path], declared)
    return parser


def add_command(group: Any, declared: Command) -> Parser:
    """The parser of one command."""
    one: Parser = group.add_parser(
        declared.words[-1],
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="\n\n".join(text for text in (f"{declared.help}.", declared.details.strip()) if text),
        epilog=EPILOG,
    )
    exclusive: dict[str, Any] = {}
    for given in declared.options:
        target: Any = one
        if given.exclusive:
            if given.exclusive not in exclusive:
                exclusive[given.exclusive] = one.add_mutually_exclusive_group(required=given.exclusive.startswith("!"))
            target = exclusive[given.exclusive]
        target.add_argument(*given.flags, **given.settings)
    one.set_defaults(run=declared.function, command=one.prog)
    return one


def with_separator(arguments: list[str]) -> list[str]:
    """For a command that passes arguments on (nargs=REMAINDER): `--` before the first that is not an option of its own,
    because argparse would take the other program's options for unknown ones of ours."""
    for declared in REGISTRY.values():
        if any(one.settings.get("nargs") == argparse.REMAINDER for one in declared.options):
            position = len(declared.words)
            if arguments[:position] == declared.words:
                own = {name: one.settings for one in declared.options for name in one.flags}
                own.update({"-h": {"action": "help"}, "--help": {"action": "help"}})
                while position < len(arguments) and arguments[position].partition("=")[0] in own:
                    settings = own[arguments[position].partition("=")[0]]
                    position += 1 if "action" in settings or "=" in arguments[position] else 2
                return [*arguments[:position], "--", *arguments[position:]]
    return arguments


def parse(parser: Parser, arguments: list[str]) -> argparse.Namespace:
    """The parsed command line. Raises UserError."""
    asked, rest = parser.parse_known_args(with_separator(arguments))
    if rest:
        command = getattr(asked, "command", parser.prog)
        raise UserError(f"{command}: unrecognized arguments: {' '.join(rest)}", f"{command} --help")
    if getattr(asked, "arguments", None) and asked.arguments[0] == "--":  # which Python keeps it depends on its version
        del asked.arguments[0]
    return asked


def first_words() -> set[str]:
    """The commands and groups that `./scripts/ops` takes as its first word."""
    return {declared.words[0] for declared in REGISTRY.values()}


def unknown(word: str) -> UserError:
    """The error for a command that does not exist, with the nearest ones."""
    near = difflib.get_close_matches(word, sorted(first_words()), n=3)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    return UserError(f"there is no command '{word}'", f"{meant}./scripts/ops --help")


def line(declared: Command) -> str:
    """One line of an overview."""
    return f"  {declared.name:<22} {declared.help}"


def overview() -> str:
    """Every command by section: what `./scripts/ops --help` prints."""
    parts = ["Operate the PostgreSQL behind the application."]
    for section in SECTIONS:
        listed = [line(one) for one in REGISTRY.values() if one.section == section]
        if listed:
            parts.append("\n".join([f"{section}:", *listed]))
    return "\n\n".join(parts)


def main(arguments: list[str], root: Path) -> int:
    """Run one command line in the project's folder; its exit status."""
    os.chdir(root)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stopped systemd unit: like Ctrl-C
    load_commands(*arguments[:1])
    parser = build_parser()
    try:
        if arguments and not arguments[0].startswith("-") and arguments[0] not in first_words():
            raise unknown(arguments[0])
        asked = parse(parser, arguments)
        if not hasattr(asked, "run"):
            parser.parse_args([*arguments, "--help"])
        return int(asked.run(asked) or Status.OK)
    except Failure as failure:
        failure.show()
        return int(failure.status)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return int(Status.INTERRUPTED)
    except BrokenPipeError:  # `… | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return int(Status.OK)
