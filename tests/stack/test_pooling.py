"""Many clients share few server connections, and none sees another's session state. Production: tests/prod."""

import asyncio
import socket
import ssl
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import psycopg
import pytest

from ops import pooler
from support.policy import pooled_databases
from support.postgres import Bouncer, Postgres

CLIENTS = 500


@pytest.fixture
def pair(bouncer: Bouncer) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    """Two clients that take turns on one server connection (the pool reuses the last one)."""
    with bouncer.connect("app") as one, bouncer.connect("app") as other:
        yield one, other


def backend(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row
    return int(row[0])


def test_two_clients_share_a_server_connection(pair: tuple[psycopg.Connection, psycopg.Connection]) -> None:
    one, other = pair
    assert backend(one) == backend(other)


def test_a_setting_does_not_leak(pair: tuple[psycopg.Connection, psycopg.Connection]) -> None:
    one, other = pair
    one.execute("SET search_path = no_such_schema")
    assert other.execute("SHOW search_path").fetchone() == ('"$user", public',)


def test_a_roles_own_settings_survive_the_reset(pair: tuple[psycopg.Connection, psycopg.Connection]) -> None:
    one, other = pair
    one.execute("SET statement_timeout = 0")
    assert other.execute("SHOW statement_timeout").fetchone() == ("15s",)


def test_an_advisory_lock_does_not_leak(
    pair: tuple[psycopg.Connection, psycopg.Connection], postgres: Postgres
) -> None:
    one, other = pair
    one.execute("SELECT pg_advisory_lock(4711)")
    other.execute("SELECT 1")
    assert postgres.value("app", "SELECT pg_try_advisory_lock(4711)") is True


# Driver → what it sends at login besides user and database: recorded from it, or (source) read in it.
STARTUP_PARAMETERS: dict[str, dict[str, str]] = {
    "lib/pq 1.10": {"client_encoding": "UTF8", "datestyle": "ISO, MDY", "extra_float_digits": "2"},
    "pgx 4.18": {},
    "JDBC 42.7": {"client_encoding": "UTF8", "DateStyle": "ISO", "TimeZone": "Etc/UTC"},
    "JDBC 42.2 (source)": {"client_encoding": "UTF8", "DateStyle": "ISO", "TimeZone": "UTC", "extra_float_digits": "3"},
    "Npgsql (source)": {"client_encoding": "UTF8", "application_name": "app", "TimeZone": "UTC"},
    "node-postgres 8": {"client_encoding": "UTF8", "application_name": "app"},
    "postgres.js 3": {"client_encoding": "UTF8", "application_name": "postgres.js"},
    "asyncpg 0.32": {"client_encoding": "'utf-8'"},
    "asyncpg, without the JIT": {"client_encoding": "'utf-8'", "jit": "off"},
    "libpq, with PGGEQO and others": {"client_encoding": "UTF8", "datestyle": "ISO", "timezone": "UTC", "geqo": "off"},
    "psqlODBC (source)": {"DateStyle": "ISO", "extra_float_digits": "2", "geqo": "on", "client_encoding": "UTF8"},
    "sqlx (source)": {"DateStyle": "ISO, MDY", "client_encoding": "UTF8", "TimeZone": "UTC", "extra_float_digits": "2"},
}


@pytest.mark.parametrize("driver", STARTUP_PARAMETERS)
def test_a_driver_gets_as_far_as_its_password(bouncer: Bouncer, driver: str) -> None:
    kind, said = login_begins(bouncer, STARTUP_PARAMETERS[driver])
    assert (kind, b"SCRAM-SHA-256" in said) == (b"R", True), said


@pytest.mark.parametrize("name", ["search_path", "statement_timeout", "work_mem"])
def test_a_startup_parameter_that_would_be_lost_is_refused(bouncer: Bouncer, name: str) -> None:
    assert login_begins(bouncer, {name: "1"})[0] == b"E"
    with pytest.raises(psycopg.OperationalError, match=f"unsupported startup parameter in options: {name}"):
        bouncer.connect("app", options=f"-c {name}=1")


def login_begins(bouncer: Bouncer, parameters: dict[str, str]) -> tuple[bytes, bytes]:
    """Send a startup packet through TLS; the kind and the content of the first answer."""
    where = bouncer.parameters("app")
    words = {"user": where["user"], "database": where["dbname"], **parameters}
    packet = struct.pack(">I", 196608) + "".join(f"{k}\0{v}\0" for k, v in words.items()).encode() + b"\0"
    with socket.create_connection((where["host"], where["port"]), timeout=5) as plain:
        plain.sendall(struct.pack(">II", 8, 80877103))  # SSLRequest
        assert plain.recv(1) == b"S"
        trusted = ssl.create_default_context(cafile=where["sslrootcert"])
        with trusted.wrap_socket(plain, server_hostname=where["host"]) as secure:
            secure.sendall(struct.pack(">I", len(packet) + 4) + packet)
            answer = secure.recv(4096)
    return answer[:1], answer[5:]


def test_floats_are_exact_without_the_parameter_that_is_ignored(bouncer: Bouncer) -> None:
    with bouncer.connect("app", options="-c extra_float_digits=2") as connection:
        assert connection.execute("SELECT 0.1::float8 + 0.2::float8").fetchone() == (0.30000000000000004,)


def test_a_temporary_table_cannot_be_made(app: psycopg.Connection) -> None:
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        app.execute("CREATE TEMPORARY TABLE leak (id int)")


def test_prepared_statements_work_on_every_server_connection(bouncer: Bouncer) -> None:
    """The client prepares once, then runs on a server connection that has never seen the statement."""
    with bouncer.connect("app", prepare_threshold=0) as client, ExitStack() as others:
        first, _ = ask(client, 1)
        # until another client holds the connection that the client had
        assert any(held_by(others, bouncer) == first for _ in range(20))
        second, answer = ask(client, 2)
        assert (second != first, answer) == (True, 2)


def ask(client: psycopg.Connection, number: int) -> tuple[int, int]:
    """The server session that answered, and the answer."""
    return client.execute("SELECT pg_backend_pid(), %s::int", [number]).fetchone()  # type: ignore[return-value]


def held_by(others: ExitStack, bouncer: Bouncer) -> int:
    """One more client, in a transaction; the server session it holds."""
    other = others.enter_context(bouncer.connect("app"))
    others.enter_context(other.transaction())
    return backend(other)


def test_the_same_name_means_each_clients_own_statement(bouncer: Bouncer) -> None:
    with bouncer.connect("app", prepare_threshold=0) as one, bouncer.connect("app", prepare_threshold=0) as other:
        assert one.execute("SELECT 1 + %s", [1]).fetchone() == (2,)
        assert other.execute("SELECT 10 + %s", [1]).fetchone() == (11,)
        assert one.execute("SELECT 1 + %s", [2]).fetchone() == (3,)


def test_500_clients_on_few_server_connections(bouncer: Bouncer, postgres: Postgres) -> None:
    pool = pooled_databases()[bouncer.stack.database]
    with ThreadPoolExecutor() as thread:
        answers = thread.submit(asyncio.run, many_clients(bouncer))
        most = most_sessions(postgres, until=answers.done)
    assert answers.result() == list(range(CLIENTS))
    assert 1 < most <= int(pool["pool_size"]) + int(pool["reserve_pool_size"])


async def many_clients(bouncer: Bouncer) -> list[int]:
    """All are connected before the first asks anything; then all ask at once."""
    parameters = bouncer.parameters("app", connect_timeout=30)
    few = asyncio.Semaphore(50)  # handshakes at a time: this machine computes the clients' side of SCRAM as well

    async def connected() -> psycopg.AsyncConnection:
        async with few:
            return await psycopg.AsyncConnection.connect(**parameters, autocommit=True)

    async def ask(client: psycopg.AsyncConnection, number: int) -> int:
        row = await (await client.execute("SELECT %s::int FROM pg_sleep(0.02)", [number])).fetchone()
        assert row
        return int(row[0])

    clients = await asyncio.gather(*(connected() for _ in range(CLIENTS)))
    try:
        return await asyncio.gather(*(ask(client, number) for number, client in enumerate(clients)))
    finally:
        for client in clients:
            await client.close()


def most_sessions(postgres: Postgres, until: Callable[[], bool]) -> int:
    """The most server sessions that the application had at one time."""
    most = 0
    with postgres.connect("ops") as ops:
        while not until():
            row = ops.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = 'flaglearning_user'").fetchone()
            most = max(most, row[0])  # type: ignore[index]
    return most


def test_the_console_lists_the_databases(bouncer: Bouncer) -> None:
    assert {row["name"] for row in bouncer.show("DATABASES")} >= {"flaglearning_dev", "pgbouncer"}


# Each of them is any SQL as the application, or an outage.
ADMINISTRATION = [
    "SET server_reset_query = 'UPDATE flags_country SET name = name'",
    "SET auth_type = trust",
    "PAUSE",
    "RELOAD",
    "RECONNECT",
    "KILL flaglearning_dev",
    "SHUTDOWN",
]


@pytest.mark.parametrize("command", ADMINISTRATION)
def test_ops_administers_nothing_over_tcp(bouncer: Bouncer, command: str) -> None:
    with bouncer.console() as console, pytest.raises(psycopg.Error, match="admin access needed"):
        console.execute(command.encode())
    assert bouncer.value("app", "SELECT 1") == 1


@pytest.mark.parametrize("role", ["app", "ops", "readonly"])
def test_the_containers_socket_is_for_its_own_user_alone(bouncer: Bouncer, role: str) -> None:
    words = (
        "psql",
        "-X",
        "--no-password",
        "--host=/run/pgbouncer",
        "--port=6432",
        f"--username={bouncer.stack.role(role)}",
    )
    printed = bouncer.stack.exec("pgbouncer", *words, "--command=SHOW VERSION", "pgbouncer", check=False)
    assert "FATAL:" in printed, printed


def test_a_pause_ends_peoples_sessions_instead_of_waiting_for_them(bouncer: Bouncer) -> None:
    """Else an idle psql would refuse every switchover, and delay every restore."""
    with bouncer.connect("readonly") as person, bouncer.connect("app") as app:
        person.execute("SELECT 1")
        app.execute("SELECT 1")
        ends = pooler.enders(bouncer.show("POOLS"), bouncer.show("CLIENTS"))
        bouncer.admin(*ends, "PAUSE", "RESUME")
        with pytest.raises(psycopg.OperationalError):
            person.execute("SELECT 1")
        assert backend(app)


def test_an_unknown_database_is_refused(bouncer: Bouncer) -> None:
    with pytest.raises(psycopg.OperationalError):
        bouncer.connect("app", dbname="vantage1")
