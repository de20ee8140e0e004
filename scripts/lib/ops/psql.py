"""SQL in the running server: psql inside the container `postgres`, through its socket, as a role with little power.

No password and no TLS handshake are needed there: pg/pg_ident.conf lets the container's own user log in as
flaglearning_ops and flaglearning_readonly. That user could be the superuser as well; it is given less on purpose.

A query is a file of pg/queries/: one statement, what it lists in the first comment line, variables as psql writes them
(`:'table'`), which psql quotes. The result comes back as JSON that the server makes.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from ops import containers, docker
from ops.output import note
from user_errors import OperationError, Status

Row = dict[str, Any]
QUERIES = Path(__file__).parents[3] / "pg/queries"
VARIABLE = re.compile(r":'(\w+)'")
COMMENT = re.compile(r"^\s*--.*\n?", re.MULTILINE)
# A look never keeps the server busy for long, nor waits long behind a lock. Maintenance has no limit.
READ_TIMEOUTS = {"statement_timeout": "60s", "lock_timeout": "5s"}
NO_TIMEOUT = {"statement_timeout": "0", "lock_timeout": "0"}
# Of every session: names mean PostgreSQL's own objects, whatever the application's database defines.
SESSION = {"search_path": "pg_catalog,pg_temp", "intervalstyle": "iso_8601", "timezone": "UTC"}
ERROR = re.compile(r"^(?:psql:.*?: )?(?:ERROR|FATAL):\s+(?:(?P<state>[0-9A-Z]{5}): )?(?P<message>.*)$", re.MULTILINE)
WARNING = re.compile(
    r"^(?:psql:.*?: )?(?P<level>WARNING|NOTICE|INFO):\s+(?:[0-9A-Z]{5}: )?(?P<message>.*)$", re.MULTILINE
)


class ServerError(OperationError):
    """An error of PostgreSQL's own, with its SQLSTATE."""

    sqlstate = ""


class Query(NamedTuple):
    """A file of pg/queries/."""

    name: str
    sql: str

    @property
    def variables(self) -> set[str]:
        """The names of what has to be filled in."""
        return set(VARIABLE.findall(self.sql))


def load(name: str) -> Query:
    """A query by its file's name."""
    text = (QUERIES / f"{name}.sql").read_text(encoding="utf-8")
    return Query(name, COMMENT.sub("", text).strip().rstrip(";"))


def rows(name: str, role: str = "ops", dbname: str = "", **variables: str) -> list[Row]:
    """What a query of pg/queries/ finds. Raises OperationError."""
    query = load(name)
    assert query.variables == variables.keys(), f"{name} takes {query.variables}, not {variables.keys()}"
    return select(query.sql, role, dbname, variables)


def several(*names: str, dbname: str = "", **variables: str) -> dict[str, list[Row]]:
    """Several queries in one session."""
    script = "".join(as_json(load(name).sql) for name in names)
    lines = execute(script, dbname=dbname, variables=variables).split("\n")  # no other separator: texts may hold them
    return {name: json.loads(line) for name, line in zip(names, lines)}


def select(
    statement: str, role: str = "ops", dbname: str = "", variables: Mapping[str, str] | None = None
) -> list[Row]:
    """The rows of one SELECT."""
    found: list[Row] = json.loads(execute(as_json(statement), role, dbname, variables))
    return found


def as_json(statement: str) -> str:
    """The same SELECT, with all its rows as one line of JSON."""
    made = "COALESCE(pg_catalog.json_agg(pg_catalog.row_to_json(found)), '[]')::text"
    return f"SELECT {made} FROM (\n{statement}\n) AS found;\n"  # noqa: S608 - files of this project


def execute(
    script: str,
    role: str = "ops",
    dbname: str = "",
    variables: Mapping[str, str] | None = None,
    settings: Mapping[str, str] = READ_TIMEOUTS,
) -> str:
    """Run a script of SQL; what it printed. Raises OperationError with PostgreSQL's message."""
    words = command(role, dbname, variables or {})
    done = containers.completed(in_postgres(words, settings), stdin=script, quiet=True)
    if done.returncode:
        raise failure(done.stderr)
    return done.stdout


def maintain(statement: str, role: str = "ops", settings: Mapping[str, str] = NO_TIMEOUT) -> None:
    """Run one statement that may take long; PostgreSQL's warnings are passed on. Raises OperationError.

    When this process is interrupted or killed, the statement is cancelled: psql gets SIGINT as soon as its standard
    input ends.
    """
    words = ["sh", "-c", CANCELLED_WITH_INPUT, "psql", *command(role, "", {}), f"--command={statement}"]
    done = containers.interruptible(in_postgres(words, settings))
    if done.returncode:
        raise failure(done.stderr)
    for warning in warnings(done.stderr):
        note(warning)


# "$@" is psql's command line. `cat` ends with standard input, which a background process only gets by another name.
CANCELLED_WITH_INPUT = """
exec 3<&0
"$@" </dev/null 3<&- &
running=$!
(cat <&3 >/dev/null; kill -INT $running 2>/dev/null) >/dev/null 2>&1 &
wait $running
status=$?
kill $! 2>/dev/null
exit $status
"""


def warnings(printed: str) -> list[str]:
    """The warnings among what psql printed on standard error, without file, line and SQLSTATE."""
    return [f"{found['level']}: {found['message']}" for found in WARNING.finditer(printed)]


def command(role: str, dbname: str, variables: Mapping[str, str]) -> list[str]:
    """psql's command line; without `dbname` it connects to the application's database, which the container knows."""
    words = ["psql", "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1"]
    words += ["--set=VERBOSITY=verbose", "--set=SHOW_CONTEXT=never", "--host=/run/postgresql", "--no-password"]
    words += [f"--username={role_name(role)}"]
    words += [f"--set={name}={value}" for name, value in variables.items()]
    return [*words, f"--dbname={dbname}"] if dbname else ["sh", "-c", IN_APP_DATABASE, "psql", *words]


IN_APP_DATABASE = 'exec "$@" --dbname="$APP_DATABASE"'


def in_postgres(words: list[str], settings: Mapping[str, str]) -> list[str]:
    """The docker command line for psql, with settings for its session."""
    options = " ".join(f"-c {name}={value}" for name, value in {**SESSION, **settings}.items())
    return docker.exec_in(containers.server(), *words, environment={"PGOPTIONS": options, "PGAPPNAME": "ops"})


def role_name(role: str) -> str:
    """The server's name of a role; the application's depends on the deployment."""
    return containers.environment_of("roles")["APP_ROLE"] if role == "app" else f"flaglearning_{role}"


def app_database() -> str:
    """The application's database of this deployment."""
    return containers.environment_of("roles")["APP_DATABASE"]


def literal(value: str) -> str:
    """A string constant (PostgreSQL 17 docs, 4.1.2.1); a backslash needs the E form."""
    quoted = value.replace("'", "''")
    return " E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in value else f"'{quoted}'"


HINTS = {  # SQLSTATE, or its class → the next command
    "55P03": "./scripts/ops blocking shows which session holds the lock",
    "57014": "./scripts/ops sessions shows what the server is busy with",
    "42501": "./scripts/ops setup verify shows which privilege is missing",
    "53100": "./scripts/ops space",
    "53300": "./scripts/ops connections",
    "3D000": "./scripts/ops databases lists the databases; ./scripts/ops setup apply makes the application's",
    "28": "./scripts/ops setup apply",
    "57": "./scripts/ops doctor",
    "08": "./scripts/ops doctor",
}
CANNOT_CONNECT = ("08", "28", "3D", "53", "57")


def failure(printed: str) -> OperationError:
    """The error for what psql or Docker Compose printed."""
    text = printed.strip()
    if "is not running" in text or "no container found" in text:
        return containers.not_running("postgres")
    found = ERROR.search(text)
    if not found:
        if "psql:" not in text:
            containers.require_engine()
        return OperationError(
            "PostgreSQL can't be queried", "./scripts/ops doctor", last_line(text), Status.CANNOT_CONNECT
        )
    state, message = found["state"] or "", found["message"]
    hint = HINTS.get(state) or HINTS.get(state[:2]) or "./scripts/ops doctor"
    connecting = "connection to server" in text
    status = Status.CANNOT_CONNECT if connecting or (state[:2] in CANNOT_CONNECT and state != "57014") else None
    error = ServerError("PostgreSQL returned an error", hint, message, status)
    error.sqlstate = state
    return error


def last_line(text: str) -> str:
    """The last of its lines."""
    return text.splitlines()[-1] if text else "it printed nothing"
