"""What pg/sql/apply.sql decides, as facts: of this server, and of a fresh one that has just applied the same file.

The expected facts are written nowhere else: a PostgreSQL in a throw-away container applies the file, and both servers
answer the same query (pg/queries/policy.sql). It has empty tables with the names and columns of this server's, because
some privileges depend on them (pg/sql/readonly-grants.sql).
"""

from __future__ import annotations

import contextlib
import json
import secrets
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from ops import containers, psql
from user_errors import OperationError

# What the fresh server has in place of the tables and sequences that migrations create.
PROBE = "CREATE TABLE policy_probe (id bigint GENERATED ALWAYS AS IDENTITY)"
PROBES = {"table": "table policy_probe", "sequence": "sequence policy_probe_id_seq"}
LIFETIME = "120"  # seconds until the container ends by itself, should this program be killed
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_directories": "/run/postgresql",
    "fsync": "off",
    "shared_preload_libraries": "pg_stat_statements,pgaudit",
}


class Fact(NamedTuple):
    """One thing that the policy decides, in the database `place` ('' for the whole server)."""

    place: str
    object: str
    fact: str


def facts(rows: Iterable[dict[str, Any]]) -> set[Fact]:
    """The query's rows."""
    return {Fact(row["place"], row["object"], row["fact"]) for row in rows}


def alike(found: Iterable[Fact]) -> dict[tuple[str, tuple[str, ...]], list[str]]:
    """Objects with the same facts together (most tables have the same): (place, facts) → objects."""
    of_object: dict[tuple[str, str], list[str]] = {}
    for fact in found:
        of_object.setdefault((fact.place, fact.object), []).append(fact.fact)
    together: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (place, name), texts in of_object.items():
        together.setdefault((place, tuple(texts)), []).append(name)
    return together


def differences(wanted: set[Fact], found: set[Fact]) -> list[dict[str, str]]:
    """Missing facts, and facts that the policy does not have. A migration's table is compared with the probe."""
    probes = set(PROBES.values())
    named = {fact.object for fact in wanted}
    expected = {fact for fact in wanted if fact.object not in probes}
    for name in {fact.object for fact in found} - named:
        probe = PROBES.get(name.partition(" ")[0])
        if probe:
            expected |= {fact._replace(object=name) for fact in wanted if fact.object == probe}
    problems = [(fact, "missing") for fact in expected - found] + [(fact, "not in policy") for fact in found - expected]
    return [{"problem": problem, **fact._asdict()} for fact, problem in sorted(problems)]


def live_facts() -> set[Fact]:
    """Of this server: of the application's database, and of `postgres`, where the pooler's lookup is."""
    database = psql.app_database()
    return set().union(*(facts(psql.rows("policy", dbname=name, database=database)) for name in (database, "postgres")))


# ------------------------------------------------------------ the fresh server


def wanted_facts() -> set[Fact]:
    """Of a fresh server that has applied apply.sql, with this deployment's settings."""
    stack = containers.config()
    roles = stack["services"]["roles"]
    database = str(roles["environment"]["APP_DATABASE"])
    query = psql.as_json(psql.load("policy").sql)
    with fresh_container(roles, stack["name"]) as container:
        for step in setup_steps(container, database, stubs(psql.rows("stored_tables"))):
            execute(step)
        found = [execute(psql_argv(container, name, database), query) for name in (database, "postgres")]
    wanted = set().union(*(facts(json.loads(printed)) for printed in found))
    if not wanted:
        raise OperationError("the fresh server has no facts to compare with", "docker compose build roles")
    return wanted


@contextlib.contextmanager
def fresh_container(roles: dict[str, Any], project: str) -> Iterator[str]:
    """A container of the roles' image with nothing in it, no network and no secret, while the block lasts."""
    name = f"{project}-policy-{secrets.token_hex(4)}"
    execute(container_argv(name, str(roles["image"]), roles["environment"]))
    try:
        yield name
    finally:
        containers.completed(["docker", "rm", "--force", "--volumes", name], quiet=True)


def container_argv(name: str, image: str, environment: dict[str, Any]) -> list[str]:
    """`docker run` of a container that waits for the steps."""
    variables = {"SECRETS": "/tmp/secrets", "PGDATA": "/tmp/data", "PGHOST": "/run/postgresql", "PGUSER": "postgres"}  # noqa: S108
    variables.update({key: str(environment[key]) for key in ("DEPLOYMENT", "APP_DATABASE", "APP_ROLE")})
    variables["CLUSTER"] = str(environment.get("CLUSTER", "off"))
    words = ["docker", "run", "--detach", "--rm", "--init", "--name", name, "--network", "none", "--read-only"]
    words += ["--cap-drop", "ALL", "--security-opt", "no-new-privileges"]
    words += [word for folder in ("/tmp", "/run/postgresql") for word in ("--tmpfs", f"{folder}:uid=5432,gid=5432")]  # noqa: S108
    words += [word for key, value in variables.items() for word in ("--env", f"{key}={value}")]
    return [*words, "--entrypoint", "sleep", image, LIFETIME]


def stubs(tables: Iterable[dict[str, Any]]) -> str:
    """Statements that create empty tables with these names and columns; of the application's schema only."""

    def quoted(name: str) -> str:
        return '"' + name.replace('"', '""') + '"'

    def created(name: str, columns: Iterable[str]) -> str:
        return f"CREATE TABLE public.{quoted(name)} ({', '.join(f'{quoted(column)} text' for column in columns)})"

    return "; ".join(created(table["name"], table["columns"]) for table in tables if table["schema"] == "public")


def setup_steps(container: str, database: str, tables: str = "") -> list[list[str]]:
    """The commands in the container that make a server with the policy, a probe, and what `tables` creates."""
    options = " ".join(f"-c {name}={value}" for name, value in SETTINGS.items())
    probe = ("--command", "SET ROLE flaglearning_owner", "--command", PROBE)
    made = ("--command", tables) if tables else ()
    steps = (
        ("mkdir", "/tmp/secrets"),  # noqa: S108
        ("secret_files.py", "make", "/tmp/secrets"),  # noqa: S108
        ("initdb", "--username", "postgres", "--auth", "peer", "--no-sync"),
        ("pg_ctl", "start", "--wait", "--silent", "--log", "/tmp/log", "--options", options),  # noqa: S108
        ("pgadmin", "apply"),
        ("psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--dbname", database, *probe, *made),
        ("pgadmin", "apply"),  # again, as at every start of the stack: the tables exist now
    )
    return [["docker", "exec", container, *step] for step in steps]


def psql_argv(container: str, name: str, database: str) -> list[str]:
    """psql in a database of the fresh server; the query comes on standard input."""
    options = ("--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1")
    variable = f"--set=database={database}"
    return ["docker", "exec", "--interactive", container, "psql", *options, variable, "--dbname", name]


def execute(argv: list[str], stdin: str = "") -> str:
    """Run one step; its standard output. Raises OperationError with what it printed."""
    done = containers.completed(argv, stdin, quiet=True)
    if done.returncode:
        containers.require_engine()
        raise OperationError(
            f"the fresh server to compare with could not be made: {' '.join(argv[:5])} failed",
            "docker compose build roles",
            done.stderr.strip(),
        )
    return done.stdout
