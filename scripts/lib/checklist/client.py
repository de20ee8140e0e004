"""Logging in as a real client does: psql from a position, at a door, as a role. Passwords stay in files there."""

import csv
import io
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from checklist.machines import Container
from checklist.remote import call, run_psql, write_passfiles
from checklist.target import Door, Position, Target


@dataclass(frozen=True)
class Answer:
    """What came back: rows as text, or the server's refusal in its own words."""

    ok: bool
    text: str

    def __str__(self) -> str:
        return f"accepted ({self.text})" if self.ok else self.text


class Attempt(NamedTuple):
    """A connection string, and the command to run."""

    conninfo: str
    sql: str


class Client:
    """psql in one position. `login` says what the server answered; it never raises on a refusal."""

    def __init__(
        self,
        target: Target,
        position: Position,
        public_secrets: dict[str, str] | None = None,
        beside: Container | None = None,
    ) -> None:
        self.target = target
        self.host = target.client(position, beside)
        call(self.host, write_passfiles, public_secrets or {})

    def conninfo(self, door: Door, role: str, password: str, **changes: Any) -> str:
        """libpq's parameters: verify-full unless changed; `password` names a file of /tmp/pass."""
        parameters = {
            "host": door.host,
            "port": door.port,
            "user": role,
            "dbname": self.target.database,
            "sslmode": "verify-full",
            "sslrootcert": "/tls/ca.crt",
            "passfile": f"/tmp/pass/{password}",  # noqa: S108  (the container's own)
            "connect_timeout": 5,
            "application_name": "checklist",
            **changes,
        }
        return " ".join(f"{name}='{value}'" for name, value in parameters.items())

    def attempt(
        self, door: Door, role: str, password: str, sql: str = "SELECT current_user", **changes: Any
    ) -> Attempt:
        """A login and one command, to be tried."""
        return Attempt(self.conninfo(door, role, password, **changes), sql)

    def try_all(self, attempts: dict[str, Attempt]) -> dict[str, Answer]:
        """Try each; what it is called → what was answered."""
        done = call(self.host, run_psql, list(attempts.values()))
        return {
            name: Answer(status == 0, out.strip() if status == 0 else refusal(error))
            for name, (status, out, error) in zip(attempts, done, strict=True)
        }

    def login(self, door: Door, role: str, password: str, sql: str = "SELECT current_user", **changes: Any) -> Answer:
        """One attempt."""
        return self.try_all({"": self.attempt(door, role, password, sql, **changes)})[""]

    def console(self, show: str) -> list[dict[str, str]]:
        """`SHOW …` of the pooler's admin console, as the ops role."""
        door = self.target.door("pgbouncer")
        done = self.host.run(
            "psql -X --no-password --csv -d %s -c %s",
            self.conninfo(door, "flaglearning_ops", "ops_password", dbname="pgbouncer"),
            f"SHOW {show}",
        )
        assert done.rc == 0, f"the admin console refused the ops role: {refusal(done.stderr)}"
        return list(csv.DictReader(io.StringIO(done.stdout)))


class Superuser:
    """SQL as the superuser, through the server's own socket: to look at what no client may see."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.host = target.host("postgres")

    def rows(self, sql: str, database: str = "") -> list[dict[str, str]]:
        done = self.host.run(
            "psql -X --csv -v ON_ERROR_STOP=1 -U postgres -h /run/postgresql -d %s -c %s",
            database or self.target.database,
            sql,
        )
        assert done.rc == 0, f"{sql}: {done.stderr.strip()}"
        return list(csv.DictReader(io.StringIO(done.stdout)))

    def value(self, sql: str, database: str = "") -> str:
        return next(iter(self.rows(sql, database)[0].values()))

    def settings(self, *names: str) -> dict[str, str]:
        """What the server runs with, as SHOW prints it; '(not set)' for what it doesn't know."""
        wanted = ", ".join(f"('{name}')" for name in names)
        sql = f"SELECT n, coalesce(current_setting(n, true), '(not set)') AS s FROM (VALUES {wanted}) AS v(n)"  # noqa: S608
        return {row["n"]: row["s"] for row in self.rows(sql)}


def refusal(stderr: str) -> str:
    """The server's words, or libpq's, without what repeats in every answer."""
    line = next((line for line in stderr.splitlines() if re.search(r"FATAL|ERROR|error", line)), stderr.strip())
    # The first failed address says it all; psql lists each.
    return " ".join(re.sub(r"^psql: error: |connection to server at .*? failed: ", "", line).split())
