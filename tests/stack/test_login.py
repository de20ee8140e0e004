"""Who gets in where, and who doesn't."""
# ruff: noqa: S608 - the names pasted into SQL are the tests' own

import psycopg
import pytest

from support.postgres import Bouncer, Postgres, Server

# What each role may open. Everything else is refused: the tests below try all of it.
DIRECT = {
    "app": {"flaglearning_dev", "postgres"},  # development: Django's test runner connects to postgres first
    "migrator": {"flaglearning_dev"},
    "readonly": {"flaglearning_dev"},
    "ops": {"flaglearning_dev", "postgres"},
    "pgbouncer": {"postgres"},
    "postgres": set(),
}
POOLED = {
    "app": {"flaglearning_dev"},
    "readonly": {"flaglearning_dev"},
    "ops": {"pgbouncer"},
    "migrator": set(),
    "pgbouncer": set(),
    "postgres": set(),
}
DIRECT_DATABASES = ["flaglearning_dev", "postgres", "template1"]
POOLED_DATABASES = ["flaglearning_dev", "postgres", "template1", "pgbouncer"]


@pytest.mark.parametrize("database", DIRECT_DATABASES)
@pytest.mark.parametrize("role", DIRECT)
def test_the_server_lets_in(postgres: Postgres, role: str, database: str) -> None:
    assert gets_in(postgres, role, database) == (database in DIRECT[role])


@pytest.mark.parametrize("database", POOLED_DATABASES)
@pytest.mark.parametrize("role", POOLED)
def test_the_pooler_lets_in(bouncer: Bouncer, role: str, database: str) -> None:
    assert gets_in(bouncer, role, database) == (database in POOLED[role])


def gets_in(server: Server, role: str, database: str) -> bool:
    """Log in and ask something; the console (`pgbouncer`) knows no SELECT."""
    try:
        with server.connect(role, dbname=database, cursor_factory=psycopg.ClientCursor) as connection:
            connection.execute("SHOW VERSION" if database == "pgbouncer" else "SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_a_wrong_password_is_refused_and_says_so(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match=r"password authentication failed|SASL authentication failed"):
        server.connect("app", password="wrong")


def test_a_missing_password_is_refused(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError, match="no password supplied"):
        server.connect("app", password="")


def test_an_unknown_user_is_refused(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError):
        server.connect("app", user="nobody")


def test_nobody_logs_in_as_the_owner(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError):
        server.connect("app", user="flaglearning_owner")


@pytest.mark.parametrize("method", ["none", "password", "md5"])
def test_no_weaker_method_is_ever_asked_for(server: Server, method: str) -> None:
    with pytest.raises(psycopg.OperationalError, match="authentication method requirement"):
        server.connect("app", require_auth=method)


def test_scram_is_what_is_asked_for(server: Server) -> None:
    with server.connect("app", require_auth="scram-sha-256") as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)


def test_a_role_with_an_md5_password_cannot_log_in(postgres: Postgres) -> None:
    """Whoever sets one by hand locks the role out; it doesn't weaken the door."""
    postgres.superuser("""CREATE ROLE flaglearning_probe; ALTER ROLE flaglearning_probe RENAME TO flaglearning_prod;
                          ALTER ROLE flaglearning_prod LOGIN PASSWORD 'md5a6343a68d964ca596d9752250d54bb8a';""")
    try:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            postgres.connect("app", user="flaglearning_prod", password="x")
    finally:
        postgres.superuser("DROP ROLE flaglearning_prod")


def test_every_stored_password_is_a_scram_verifier(postgres: Postgres) -> None:
    weak = "rolpassword NOT LIKE 'SCRAM-SHA-256$%' OR rolcanlogin AND rolpassword IS NULL"
    assert postgres.superuser(f"SELECT rolname FROM pg_authid WHERE {weak}") == ""
