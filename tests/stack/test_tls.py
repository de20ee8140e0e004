"""Nothing passes without TLS 1.3, and no client is fooled by another server's certificate."""

from typing import Any

import psycopg
import pytest

from support.certificates import Certificates
from support.postgres import Bouncer, Postgres, Server
from testing.shell import Failed, eventually, run
from testing.stack import Stack


def test_plaintext_is_refused(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"no encryption|SSL required"):
        server.connect("app", sslmode="disable")


@pytest.mark.parametrize("door", ["host=postgres", "host=pgbouncer port=6432"])
def test_plaintext_is_refused_between_containers(stack: Stack, door: str) -> None:
    image = f"flaglearning/postgres:{stack.variables['TAG']}"
    url = f"{door} user=flaglearning_user dbname=flaglearning_dev sslmode=disable"
    with pytest.raises(Failed, match=r"no encryption|SSL required"):
        run("docker", "run", "--rm", "--network", f"{stack.project}_database", "--entrypoint", "psql", image, url)


def test_tls_1_3_is_what_a_client_gets(postgres: Postgres) -> None:
    used = postgres.value("app", "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert used == "TLSv1.3"


def test_the_pooler_reaches_the_server_over_tls_1_3(bouncer: Bouncer) -> None:
    used = bouncer.value("app", "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    assert used == "TLSv1.3"


def test_tls_1_2_is_refused(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match="protocol version"):
        server.connect("app", ssl_min_protocol_version="TLSv1.2", ssl_max_protocol_version="TLSv1.2")


def test_a_client_with_another_ca_refuses_the_server(server: Server, stack: Stack, tmp_path) -> None:  # type: ignore[no-untyped-def]
    other = tmp_path / "other.crt"
    other.write_text(
        stack.exec(
            "postgres", "bash", "-c", "openssl req -x509 -newkey ed25519 -noenc -subj /CN=other -keyout /dev/null 2>&-"
        )
    )
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        server.connect("app", sslrootcert=str(other))


def test_a_client_refuses_a_name_that_the_certificate_lacks(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match='does not match host name "elsewhere"'):
        server.connect("app", host="elsewhere", hostaddr="127.0.0.1")


BAD = {
    "expired": ({"expired": True}, "certificate verify failed"),
    "wrong name": ({"names": "DNS:elsewhere"}, "does not match host name"),
    "unknown CA": ({"unknown_ca": True}, "certificate verify failed"),
}


@pytest.mark.last
@pytest.mark.parametrize(("spoiled", "message"), BAD.values(), ids=BAD)
def test_a_client_refuses_a_bad_certificate(
    certificates: Certificates, server: Server, spoiled: dict[str, Any], message: str
) -> None:
    certificates.replace(server.service, **spoiled)
    certificates.reload(server.service)
    eventually(lambda: message in refusal(server), within=5)


@pytest.mark.last
@pytest.mark.parametrize("spoiled", [spoiled for spoiled, _ in BAD.values()], ids=BAD)
def test_the_pooler_refuses_a_bad_certificate(certificates: Certificates, bouncer: Bouncer, spoiled: dict) -> None:  # type: ignore[type-arg]
    certificates.replace("postgres", **spoiled)
    certificates.reload("postgres")
    with bouncer.console() as console:
        console.execute("RECONNECT")
    eventually(lambda: refusal(bouncer), within=5)
    certificates.restore()
    eventually(lambda: bouncer.value("app", "SELECT 1") == 1, within=10)


@pytest.mark.last
@pytest.mark.parametrize("service", ["postgres", "pgbouncer", "proxy"])
def test_a_replaced_certificate_is_read_without_dropping_anybody(
    certificates: Certificates, service: str, bouncer: Bouncer, postgres: Postgres
) -> None:
    before = certificates.serial(service)
    with bouncer.connect("app") as pooled, postgres.connect("app") as direct, pooled.transaction():
        backends = pid(pooled), pid(direct)
        certificates.replace(service)
        certificates.reload(service)
        eventually(lambda: certificates.serial(service) != before, within=5)
        assert (pid(pooled), pid(direct)) == backends


def refusal(server: Server) -> str:
    """Why the server can't be used, '' if it can."""
    try:
        server.value("app", "SELECT 1")
    except psycopg.OperationalError as error:
        return str(error)
    return ""


def pid(connection: psycopg.Connection) -> int:
    row = connection.execute("SELECT pg_backend_pid()").fetchone()
    assert row
    return int(row[0])
