"""Certificates that change while the stack serves. What TLS offers and refuses, the checklist shows (TLS-01 …)."""

from typing import Any

import psycopg
import pytest

from support.certificates import Certificates
from support.postgres import Bouncer, Postgres, Server
from testing.shell import eventually

BAD: dict[str, dict[str, Any]] = {
    "expired": {"expired": True},
    "wrong name": {"names": "DNS:other-host"},
    "unknown CA": {"unknown_ca": True},
}


@pytest.mark.last
@pytest.mark.parametrize("spoiled", BAD.values(), ids=BAD)
def test_the_pooler_refuses_a_bad_certificate(
    certificates: Certificates, bouncer: Bouncer, spoiled: dict[str, Any]
) -> None:
    certificates.replace("postgres", **spoiled)
    certificates.reload("postgres")
    bouncer.admin("RECONNECT")
    eventually(lambda: refusal(bouncer), within=5)
    certificates.restore()
    eventually(lambda: bouncer.value("app", "SELECT 1") == 1, within=10)


@pytest.mark.last
@pytest.mark.parametrize("service", ["postgres", "pgbouncer", "proxy"])
def test_a_replaced_certificate_is_read_without_dropping_a_session(
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
