"""Which role opens which database, at the server and at the pooler; every other combination is refused."""

import time

import psycopg
import pytest

from support.postgres import Bouncer, Postgres, Server

# What each role may open. Everything else is refused: the tests below try all of it.
DIRECT = {
    "app": {"flaglearning_dev", "postgres"},  # development: Django's test runner connects to postgres first
    "migrator": {"flaglearning_dev"},
    "readonly": {"flaglearning_dev"},
    "ops": {"flaglearning_dev", "postgres"},
    "monitor": {"postgres"},
    "pgbouncer": {"postgres"},
    "postgres": set(),
    "verifier": set(),
    "backup": set(),
}
POOLED = {
    "app": {"flaglearning_dev"},
    "readonly": {"flaglearning_dev"},
    "ops": {"pgbouncer"},
    "monitor": {"pgbouncer"},
    "migrator": set(),
    "pgbouncer": set(),
    "postgres": set(),
    "verifier": set(),
    "backup": set(),
}
# They log in through the socket only; here with the password of ops.
WITHOUT_PASSWORD = ("postgres", "verifier", "backup")
DIRECT_DATABASES = ["flaglearning_dev", "postgres", "template1"]
POOLED_DATABASES = ["flaglearning_dev", "postgres", "template1", "pgbouncer"]


@pytest.mark.parametrize("database", DIRECT_DATABASES)
@pytest.mark.parametrize("role", DIRECT)
def test_logins_at_the_server(postgres: Postgres, role: str, database: str) -> None:
    assert gets_in(postgres, role, database) == (database in DIRECT[role])


@pytest.mark.parametrize("database", POOLED_DATABASES)
@pytest.mark.parametrize("role", POOLED)
def test_logins_at_the_pooler(bouncer: Bouncer, role: str, database: str) -> None:
    assert gets_in(bouncer, role, database) == (database in POOLED[role])


def gets_in(server: Server, role: str, database: str) -> bool:
    """Log in and ask something; the console (`pgbouncer`) knows no SELECT."""
    known = "ops" if role in WITHOUT_PASSWORD else role
    user = server.stack.role(role)
    try:
        with server.connect(known, user=user, dbname=database, cursor_factory=psycopg.ClientCursor) as connection:
            connection.execute("SHOW VERSION" if database == "pgbouncer" else "SELECT 1")
    except psycopg.OperationalError:
        return False
    return True


def test_a_wrong_password_is_refused_with_a_delay_and_a_right_one_is_not(postgres: Postgres) -> None:
    delay = int(postgres.superuser("SELECT setting FROM pg_settings WHERE name = 'auth_delay.milliseconds'")) / 1000
    assert delay == 0.5
    started = time.monotonic()
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        postgres.connect("readonly", password="wrong")
    assert time.monotonic() - started > delay
    # The fastest of several: a machine under load may be slow once, but not faster than the delay.
    assert min(duration_of_login(postgres) for _ in range(10)) < delay


def duration_of_login(postgres: Postgres) -> float:
    started = time.monotonic()
    postgres.connect("readonly").close()
    return time.monotonic() - started


def test_an_unknown_user_is_refused(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError):
        server.connect("app", user="no_such_role")


def test_the_owner_cannot_log_in(server: Server) -> None:
    with pytest.raises(psycopg.OperationalError):
        server.connect("app", user="flaglearning_owner")


def test_a_role_with_an_md5_password_cannot_log_in(postgres: Postgres) -> None:
    """A verifier of that kind, set by hand, locks the role out; it doesn't weaken authentication."""
    postgres.superuser("""CREATE ROLE flaglearning_probe; ALTER ROLE flaglearning_probe RENAME TO flaglearning_prod;
                          ALTER ROLE flaglearning_prod LOGIN PASSWORD 'md5a6343a68d964ca596d9752250d54bb8a';""")
    try:
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            postgres.connect("app", user="flaglearning_prod", password="x")
    finally:
        postgres.superuser("DROP ROLE flaglearning_prod")
