"""Logging in as a real client does: psql from a position, at an endpoint, as a role. Passwords stay in files there."""

import csv
import io
import re
from dataclasses import dataclass
from typing import Any, NamedTuple

from checklist.machines import Container
from checklist.remote import call, run_psql, write_passfiles
from checklist.target import Endpoint, Position, Target


@dataclass(frozen=True)
class Answer:
    """What came back: rows as text, or the server's error message."""

    ok: bool
    text: str

    def __str__(self) -> str:
        return f"accepted ({self.text})" if self.ok else self.text


class Attempt(NamedTuple):
    """A connection string, and the command to run."""

    conninfo: str
    sql: str


class Client:
    """psql in one position. `login` returns the server's answer; a refusal is one, too."""

    def __init__(
        self,
        target: Target,
        position: Position,
        public_secrets: dict[str, str] | None = None,
        beside: Container | None = None,
    ) -> None:
        self.target, self.position = target, position
        self.host = target.client(position, beside)
        for name, count in call(self.host, write_passfiles, public_secrets or {}).items():
            if count > 1:
                self._use_accepted(name, count)

    def _use_accepted(self, name: str, count: int) -> None:
        """While a password is being changed its secret holds several: log in with the one that the server accepts."""
        role, database = self.target.role_of(name)
        endpoint = self.target.endpoint("pgbouncer" if self.position == "application" else "postgres")
        candidates = [f"{name}.{number}" for number in range(count)]
        answers = self.try_all({file: self.attempt(endpoint, role, file, dbname=database) for file in candidates})
        if accepted := [file for file, answer in answers.items() if answer.ok]:
            self.host.run("cd /tmp/pass && cp %s %s", accepted[-1], name)

    def conninfo(self, endpoint: Endpoint, role: str, password: str, **changes: Any) -> str:
        """libpq's parameters: verify-full unless changed; `password` names a file of /tmp/pass."""
        parameters = {
            "host": endpoint.host,
            "port": endpoint.port,
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
        self, endpoint: Endpoint, role: str, password: str, sql: str = "SELECT current_user", **changes: Any
    ) -> Attempt:
        """A login and one command, to be tried."""
        return Attempt(self.conninfo(endpoint, role, password, **changes), sql)

    def try_all(self, attempts: dict[str, Attempt]) -> dict[str, Answer]:
        """Try each: its name → the answer."""
        done = call(self.host, run_psql, list(attempts.values()))
        return {
            name: Answer(status == 0, out.strip() if status == 0 else refusal(error))
            for name, (status, out, error) in zip(attempts, done, strict=True)
        }

    def login(
        self, endpoint: Endpoint, role: str, password: str, sql: str = "SELECT current_user", **changes: Any
    ) -> Answer:
        """One attempt."""
        return self.try_all({"": self.attempt(endpoint, role, password, sql, **changes)})[""]

    def console(self, pooler: Endpoint, show: str) -> list[dict[str, str]]:
        """`SHOW …` of a pooler's console, as the ops role."""
        done = self.host.run(
            "psql -X --no-password --csv -d %s -c %s",
            self.conninfo(pooler, "flaglearning_ops", "ops_password", dbname="pgbouncer"),
            f"SHOW {show}",
        )
        assert done.rc == 0, f"the console refused the ops role: {refusal(done.stderr)}"
        return list(csv.DictReader(io.StringIO(done.stdout)))


class Superuser:
    """SQL as the superuser, through the server's own socket: to read what no client may."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.host = target.host("postgres")

    def rows(self, sql: str, database: str = "") -> list[dict[str, str]]:
        done = self.host.run(
            # A name is PostgreSQL's own object, whatever another role has created.
            "env PGOPTIONS='-c search_path=pg_catalog,pg_temp -c row_security=off'"
            " psql -X --csv -v ON_ERROR_STOP=1 -U postgres -h /run/postgresql -d %s -c %s",
            database or self.target.database,
            sql,
        )
        assert done.rc == 0, f"{sql}: {done.stderr.strip()}"
        return list(csv.DictReader(io.StringIO(done.stdout)))

    def value(self, sql: str, database: str = "") -> str:
        return next(iter(self.rows(sql, database)[0].values()))

    def settings(self, *names: str) -> dict[str, str]:
        """The server's settings, as SHOW prints them; '(not set)' for a name that it doesn't know."""
        wanted = ", ".join(f"('{name}')" for name in names)
        sql = f"SELECT n, coalesce(current_setting(n, true), '(not set)') AS s FROM (VALUES {wanted}) AS v(n)"  # noqa: S608
        return {row["n"]: row["s"] for row in self.rows(sql)}


def refusal(stderr: str) -> str:
    """The error message of the server, or of libpq, without the parts that repeat."""
    line = next((line for line in stderr.splitlines() if re.search(r"FATAL|ERROR|error", line)), stderr.strip())
    # psql lists each address that failed; the first is enough.
    return " ".join(re.sub(r"^psql: error: |connection to server at .*? failed: ", "", line).split())
