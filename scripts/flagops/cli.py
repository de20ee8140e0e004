"""The map: the reference's sections in its order, and the program's frame.

A new command is a function in the module of its group, decorated with the section in which `--help` lists it; a new
module has to be imported in __main__.py:

    @command(INSPECTION)
    def tables(json: Json = False) -> None:
        '''The help, whose first line is in the map.'''
        with connect() as connection:
            show(rows(connection, load("tables")), json, empty="there are no tables yet.")

It returns nothing (0) or a Status, and raises Refused for what a person has to see.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import typer
from typer.core import TyperGroup

from flagops.errors import Refused, Status, in_words
from flagops.output import printable

QUICK = "Quick reference, connection strings"
SETUP = "1 Initial setup, 5 Production setup"
INSPECTION = "2 Database inspection"
BACKUP = "3 Backup & restore"
RESET = "4 Database reset (development only)"
MONITORING = "6 Monitoring & maintenance: look"
MAINTENANCE = "6 Monitoring & maintenance: do"
QUERIES = "7 Common queries"
TROUBLE = "8 Troubleshooting"
SECTIONS = (QUICK, SETUP, INSPECTION, BACKUP, RESET, MONITORING, MAINTENANCE, QUERIES, TROUBLE)

EPILOG = """Exit status: 0 done; 1 a problem was found, or refused; 2 wrong usage; 3 can't connect; 4 no such thing;
130 interrupted.

Every section of the reference document, with its command: docs/reference.md"""


class Map(TyperGroup):
    """Lists the commands by section, whichever module they come from, commands and groups alike."""

    def list_commands(self, ctx: Any) -> list[str]:
        """In the sections' order; within a section as they were written."""
        return sorted(
            self.commands, key=lambda name: SECTIONS.index(getattr(self.commands[name], "rich_help_panel", ""))
        )


app = typer.Typer(
    cls=Map,
    help="Operate the PostgreSQL behind the game. One section of the reference document after the other.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def command(section: str, name: str | None = None, **options: Any) -> Callable[..., Any]:
    """Decorator: a command of that section. Its name is the function's, with hyphens."""
    return app.command(name, rich_help_panel=section, **options)


def group(section: str, name: str, help: str, **options: Any) -> typer.Typer:
    """A command that has commands: `backups list`, `backups verify`."""
    made = typer.Typer(help=help, no_args_is_help=not options.get("invoke_without_command"), **options)
    app.add_typer(made, name=name, rich_help_panel=section)
    return made


def main() -> None:
    """Run the command line; end with its status."""
    try:
        status = app(prog_name="./scripts/ops", standalone_mode=False) or Status.OK
        if status == Status.INTERRUPTED:  # typer makes this of a ctrl-C
            print("interrupted", file=sys.stderr)
    except Refused as refused:
        refused.show()
        status = refused.status
    except psycopg.Error as error:
        in_words(error).show()
        status = in_words(error).status
    except typer.TyperException as error:  # wrong usage
        typed = " ".join(arg for arg in sys.argv[1:] if not arg.startswith("-"))
        hint = (
            f"./scripts/ops {typed.partition(' ')[0]} --help"
            if typed.partition(" ")[0] in _names()
            else "./scripts/ops --help"
        )
        Refused(printable(error.format_message()), hint, status=Status.USAGE).show()
        status = Status.USAGE
    except (typer.Abort, KeyboardInterrupt):
        print("interrupted", file=sys.stderr)
        status = Status.INTERRUPTED
    except BrokenPipeError:  # `… | head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = Status.OK
    sys.exit(status)


def _names() -> set[str]:
    return set(typer.main.get_group(app).commands)
