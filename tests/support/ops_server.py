"""Runs the CLI's commands for the tests, in its container: each a process of its own, forked from this one.

Most of a command's start is importing its libraries. Here that has happened already; the CLI itself is imported by
each command, so that it reads its own environment. A request is a line on standard input, its answer a line on standard
output.
"""

import importlib
import json
import os
import runpy
import sys
import tempfile
from typing import IO, Any

for library in ("psycopg", "rich.console", "rich.table", "typer.main"):
    importlib.import_module(library)


def command(request: dict[str, Any], files: list[IO[str]]) -> None:
    """Become `python -m flagops …`, with these files for standard input, output and error."""
    for number, file in enumerate(files):
        os.dup2(file.fileno(), number)
    os.environ.update(request["environment"])
    sys.argv = ["flagops", *request["arguments"]]
    runpy.run_module("flagops", run_name="__main__", alter_sys=True)


def contents(file: IO[str]) -> str:
    file.seek(0)
    return file.read()


def main() -> None:
    # Descriptors that no command inherits.
    requests, answers = os.fdopen(os.dup(0)), os.fdopen(os.dup(1), "w")
    for line in requests:
        request = json.loads(line)
        with (
            tempfile.TemporaryFile("w+") as given,
            tempfile.TemporaryFile("w+") as out,
            tempfile.TemporaryFile("w+") as err,
        ):
            given.write(request["stdin"])
            given.seek(0)
            if (child := os.fork()) == 0:
                command(request, [given, out, err])
                sys.exit()
            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            answers.write(json.dumps([status if status >= 0 else 128 - status, contents(out), contents(err)]) + "\n")
        answers.flush()


main()
