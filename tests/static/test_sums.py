"""Numbers and names that stand in different files and have to fit together."""

import re

import pytest

from support.policy import PG, hba_lines, pgbouncer_settings, pooled_databases, postgres_settings, roles, seconds
from testing.shell import ROOT
from testing.stack import Stack

SETTINGS = postgres_settings()
POOLER = pgbouncer_settings()["pgbouncer"]
ROLES = roles()
# One server has one application database: development's or production's.
REPLICA = "_replica"
ONE_OF = [name for name in pooled_databases() if name.startswith("flaglearning_") and not name.endswith(REPLICA)]
NGINX = "".join((ROOT / "docker/proxy" / name).read_text() for name in ("nginx.conf", "site.conf"))
GUNICORN = (ROOT / "app/config/gunicorn.py").read_text()


def places() -> int:
    """Connections that an ordinary role can get."""
    reserved = int(SETTINGS["superuser_reserved_connections"]) + int(SETTINGS["reserved_connections"])
    return int(SETTINGS["max_connections"]) - reserved


def most_from_pooler(database: str) -> int:
    return int(pooled_databases()[database]["max_db_connections"])


@pytest.mark.parametrize("database", ONE_OF)
def test_what_the_pooler_may_open_fits_the_server(database: str) -> None:
    """With the roles that connect directly beside it: migrator and ops; a pool for replicas may lead to the primary."""
    direct = sum(ROLES[f"flaglearning_{name}"].connection_limit or 0 for name in ("migrator", "ops"))
    pooled = sum(map(most_from_pooler, (database, f"{database}{REPLICA}", "postgres")))
    assert pooled + direct <= places()


def test_all_limits_of_the_roles_fit_the_server() -> None:
    assert sum(role.connection_limit or 0 for role in ROLES.values()) <= places()


def test_they_fit_the_server_of_a_cluster() -> None:
    """Where other limits hold, and roles more; those that replicate have places of their own (max_wal_senders)."""
    changed = re.search(r"\\if :cluster\n(.*?)\\endif", (PG / "sql/10-roles.sql").read_text(), re.DOTALL)
    assert changed
    limit = r'^ALTER ROLE :?"?(\w+)"? .*CONNECTION LIMIT (\d+)'
    more = [line for line in (PG / "sql/70-cluster.sql").read_text().splitlines() if " REPLICATION" not in line]
    limits = {role.name: role.connection_limit or 0 for role in ROLES.values()}
    limits |= {name: int(most) for name, most in re.findall(limit, "\n".join([changed[1], *more]), re.MULTILINE)}
    assert "flaglearning_rewinder" in limits
    assert sum(limits.values()) <= places()


def test_every_role_that_logs_in_has_a_limit() -> None:
    assert [role.name for role in ROLES.values() if "LOGIN" in role.attributes and role.connection_limit is None] == []


@pytest.mark.parametrize("database", ONE_OF)
def test_the_pools_fit_what_the_database_is_given(database: str) -> None:
    """Two pools, the application's and readonly's: with both full and in reserve, neither waits for the other."""
    pool = pooled_databases()[database]
    assert 2 * (int(pool["pool_size"]) + int(pool["reserve_pool_size"])) <= int(pool["max_db_connections"])


@pytest.mark.parametrize("database", ONE_OF)
def test_the_applications_limit_covers_its_pool(database: str) -> None:
    pool = pooled_databases()[database]
    assert (ROLES["app_role"].connection_limit or 0) >= int(pool["pool_size"]) + int(pool["reserve_pool_size"])


def test_the_lookups_role_covers_its_pool() -> None:
    assert (ROLES["pgbouncer"].connection_limit or 0) >= most_from_pooler("postgres")


def test_the_pooler_takes_every_worker_of_the_application(stack: Stack) -> None:
    workers = int(stack.config["services"]["app"]["environment"]["WEB_CONCURRENCY"])
    assert workers * 10 <= int(POOLER["max_client_conn"])  # ten hosts of it


def test_the_poolers_file_limit_covers_its_connections(stack: Stack) -> None:
    allowed = stack.config["services"]["pgbouncer"]["ulimits"]["nofile"]
    needed = int(POOLER["max_client_conn"]) + sum(most_from_pooler(name) for name in pooled_databases())
    assert needed < allowed <= 16384  # above it, a daemon with a low hard limit refuses to start the container


def test_the_proxy_knows_each_endpoint_with_a_shared_response() -> None:
    """Elsewhere a query string would make a response of its own in the cache."""
    api = (ROOT / "app/flags/api.py").read_text()
    functions = re.split(r"^@router", api, flags=re.MULTILINE)[1:]
    shared = {
        match[1] for text in functions if "= SHARED" in text and (match := re.match(r'\.get\(\s*"([^"]+)"', text))
    }
    known = re.search(r"location ~ \^/api/\(([^)]+)\)\$", NGINX)
    assert known
    assert set(known[1].split("|")) == shared


# ------------------------------------------------------------ names


def named_in(file: str) -> set[str]:
    return {user for line in hba_lines(PG / file) for user in line.users} - {"all", "postgres"}


def in_sql() -> set[str]:
    """Who logs in, with the application's role under both of its names."""
    logging_in = {role.name for role in ROLES.values() if "LOGIN" in role.attributes}
    return logging_in - {"app_role"} | {"flaglearning_user", "flaglearning_prod"}


def restorer() -> str:
    """The one role that SQL doesn't make: it exists while a restore runs."""
    found = re.search(r'^RESTORER = "(\w+)"', (ROOT / "docker/postgres/pgadmin/databases.py").read_text(), re.MULTILINE)
    assert found
    return found[1]


def test_pg_hba_and_the_sql_know_the_same_roles() -> None:
    assert named_in("pg_hba.conf") == in_sql() | {restorer()}


def test_the_restorer_is_let_into_a_restores_database_only() -> None:
    (line,) = (line for line in hba_lines(PG / "pg_hba.conf") if restorer() in line.users)
    assert line.users == [restorer()]
    assert all("_restoring_" in database for database in line.databases)


def test_the_poolers_hba_names_existing_roles_only() -> None:
    assert named_in("pgbouncer_hba.conf") <= in_sql()


def test_the_lookup_knows_whom_the_poolers_hba_lets_in() -> None:
    sql = (PG / "sql/30-pooler.sql").read_text()
    known = set(re.findall(r"'(\w+)'", re.search(r"rolname IN \(([^)]*)\)", sql)[1]))  # type: ignore[index]
    assert known == named_in("pgbouncer_hba.conf")


@pytest.mark.parametrize("file", ["pg_hba.conf", "pgbouncer_hba.conf"])
def test_nothing_is_accepted_without_tls_and_scram(file: str) -> None:
    accepted = [line for line in hba_lines(PG / file) if line.method != "reject" and line.kind != "local"]
    assert {(line.kind, line.method) for line in accepted} == {("hostssl", "scram-sha-256")}
    assert not any("all" in line.databases for line in accepted)


@pytest.mark.parametrize("file", ["pg_hba.conf", "pgbouncer_hba.conf"])
def test_the_last_rule_rejects_everything(file: str) -> None:
    last = hba_lines(PG / file)[-1]
    assert (last.kind, last.databases, last.users, last.method) == ("host", ["all"], ["all"], "reject")


def test_what_the_compose_file_calls_the_database_is_pooled(stack: Stack) -> None:
    assert stack.database in ONE_OF


# ------------------------------------------------------------ ports and times


@pytest.mark.parametrize(
    ("service", "configured"),
    [
        ("postgres", {int(SETTINGS["port"])}),
        ("pgbouncer", {int(POOLER["listen_port"])}),
        ("proxy", {int(port) for port in re.findall(r"listen (\d+)(?!.*proxy_protocol)", NGINX)}),
    ],
)
def test_the_published_ports_are_the_configured_ones(stack: Stack, service: str, configured: set[int]) -> None:
    assert {port["target"] for port in stack.config["services"][service]["ports"]} == configured


def test_the_pooler_goes_to_the_servers_port() -> None:
    haproxy = (ROOT / "docker/haproxy/haproxy.cfg").read_text()
    of_replicas = re.search(r"^listen replicas\n +bind :(\d+)$", haproxy, re.MULTILINE)
    assert of_replicas
    for name, database in pooled_databases().items():
        assert database["port"] == (of_replicas[1] if name.endswith(REPLICA) else SETTINGS["port"])


def gunicorn(name: str) -> float:
    return float(re.search(rf"^{name} = ([\d_]+)", GUNICORN, re.MULTILINE)[1])  # type: ignore[index]


def nginx(name: str) -> float:
    return seconds(re.search(rf"^\s*{name} (\w+);", NGINX, re.MULTILINE)[1])  # type: ignore[index]


def grace(stack: Stack, service: str) -> float:
    return seconds(stack.config["services"][service]["stop_grace_period"])


def test_whoever_is_nearer_to_the_database_gives_up_first(stack: Stack) -> None:
    """Then the answer that a visitor gets is the most precise one."""
    statement = seconds(ROLES["app_role"].settings["statement_timeout"])
    assert (
        seconds(ROLES["app_role"].settings["lock_timeout"])
        < statement
        < gunicorn("timeout")
        < nginx("proxy_read_timeout")
    )


def test_a_request_may_finish_before_its_service_is_killed(stack: Stack) -> None:
    assert gunicorn("graceful_timeout") < grace(stack, "app")
    assert gunicorn("timeout") < grace(stack, "proxy")


def test_waiting_for_the_pool_ends_before_the_worker_does() -> None:
    assert float(POOLER["query_wait_timeout"]) < gunicorn("timeout")


@pytest.mark.parametrize("role", ["app_role", "flaglearning_readonly"])
@pytest.mark.parametrize("setting", ["statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout"])
def test_a_role_behind_the_pooler_has_every_time_limit(role: str, setting: str) -> None:
    assert seconds(ROLES[role].settings[setting]) > 0


def test_the_server_ends_an_idle_transaction_before_the_pooler() -> None:
    """The server's message says why; the pooler's only closes."""
    assert seconds(ROLES["app_role"].settings["idle_in_transaction_session_timeout"]) < float(
        POOLER["idle_transaction_timeout"]
    )


def test_the_health_checks_deadline_is_below_the_probers() -> None:
    found = re.search(r"^DEADLINE_SECONDS = ([\d.]+)", (ROOT / "app/core/health.py").read_text(), re.MULTILINE)
    assert found
    assert float(found[1]) < 2
