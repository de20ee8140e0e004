"""Functions that travel to another Python as source text."""

import shlex
import subprocess

from checklist.remote import call


class Here:
    """This machine in place of a container."""

    def run(self, command: str, *arguments: str) -> object:
        class Done:
            done = subprocess.run(  # noqa: S602 - the command is the test's own
                command % tuple(map(shlex.quote, arguments)), shell=True, capture_output=True, text=True
            )
            rc, stdout, stderr = done.returncode, done.stdout, done.stderr

        return Done


def newest(text: str) -> str:
    import secret_files

    return secret_files.candidates(text)[-1]


def test_a_function_can_use_the_one_reader_of_secret_files() -> None:
    assert call(Here(), newest, "old\nnew\n") == "new"
