"""Which role opens which database, at the server and at the pooler; every other combination is refused."""

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
    "verifier": set(),
}
POOLED = {
    "app": {"flaglearning_dev"},
    "readonly": {"flaglearning_dev"},
    "ops": {"pgbouncer"},
    "migrator": set(),
    "pgbouncer": set(),
    "postgres": set(),
    "verifier": set(),
}
WITHOUT_PASSWORD = ("postgres", "verifier")  # they log in through the socket only; here with the password of ops
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
