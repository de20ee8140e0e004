"""What a test does with a repository of backups, and to it."""

import contextlib
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from support.ops import Result
from support.postgres import Postgres
from testing.shell import run
from testing.stack import Stack

PATH = "/var/lib/pgbackrest"


class Repository:
    """`repository.ops("backup", "info")`, as people type it; `repository.shell(…)` inside the server's container."""

    def __init__(self, stack: Stack, postgres: Postgres) -> None:
        self.stack = stack
        self.postgres = postgres
        self.first: dict[str, Any] = {}  # the backup that the fixture made

    def ops(self, *arguments: str, stdin: str | None = None, **environment: str) -> Result:
        variables = [f"{name}={value}" for name, value in environment.items()]
        done = self.stack.command("env", *variables, "./scripts/ops", *arguments, stdin=stdin, check=False)
        return Result(done.returncode, done.stdout, done.stderr)

    def shell(self, script: str) -> str:
        """As the server's user, where the repository is mounted."""
        return self.stack.exec("postgres", "bash", "-ec", script)

    def write(self, word: str) -> datetime:
        """A row, and a time that is surely after it and before the next."""
        self.sql(f"INSERT INTO probe (word) VALUES ('{word}')")  # noqa: S608 - the tests' own words
        time.sleep(0.02)
        now = datetime.now(UTC)
        time.sleep(0.02)
        return now

    def words(self) -> list[str]:
        return self.sql("SELECT word FROM probe ORDER BY id").split()

    def sql(self, text: str, database: str = "") -> str:
        return self.postgres.superuser(text, database=database or self.stack.database)

    def labels(self) -> list[str]:
        return [row["label"] for row in self.ops("backup", "list", "--json").json]

    def switch(self) -> str:
        """End the segment of now; its name."""
        self.sql("INSERT INTO probe (word) VALUES ('switch'); DELETE FROM probe WHERE word = 'switch'")
        return self.sql("SELECT pg_walfile_name(pg_switch_wal())")

    def archived(self, segment: str) -> bool:
        """Whether it is in the repository, on whatever timeline."""
        found = self.shell(f"find {PATH}/archive -name '*{segment[8:]}-*' ! -name '*.tmp' 2>/dev/null || true")
        return bool(found.strip())

    @contextlib.contextmanager
    def without(self, pattern: str) -> Iterator[str]:
        """Files of the repository that are away for a while; the first one's path."""
        found = self.shell(f"find {PATH} -path '{pattern}' | sort | tail -n 1").strip()
        assert found, f"nothing in the repository is called {pattern}"
        self.shell(f"mv '{found}' '{PATH}/.away'")
        try:
            yield found
        finally:
            self.shell(f"mv '{PATH}/.away' '{found}'")

    @contextlib.contextmanager
    def flipped(self, pattern: str) -> Iterator[str]:
        """One byte in the middle of the largest such file is another."""
        found = self.shell(
            f"find {PATH} -path '{pattern}' -type f -printf '%s %p\\n' | sort -n | tail -n 1 | cut -d' ' -f2"
        )
        file = found.strip()
        flip = (
            "import sys; f = open(sys.argv[1], 'r+b'); size = f.seek(0, 2); f.seek(size // 2); byte = f.read(1)[0];"
            " f.seek(size // 2); f.write(bytes([byte ^ 255]))"
        )
        self.shell(f'python3 -c "{flip}" {file}')
        try:
            yield file
        finally:
            self.shell(f'python3 -c "{flip}" {file}')


def kill(container: str) -> None:
    """As the machine's loss of power would."""
    run("docker", "kill", "--signal", "KILL", container)
