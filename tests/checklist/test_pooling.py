"""Item 5: the application reaches the database through the pooler only, which limits the server's sessions."""
# ruff: noqa: S608 -- the only names that are pasted into SQL here are this stack's own role names

from typing import Any

from checklist.api import Evidence, check, deviates
from checklist.client import Client, Superuser
from checklist.remote import call, connect_as_the_application, many_clients, probe
from checklist.target import Target

CLIENTS = 120  # clients: more than the pool has servers, few enough not to disturb
POOLER = "compare pg/pgbouncer.ini with what runs; then `docker compose up --build pgbouncer`"


@check(
    "POOL-01",
    claim="the application, with its own settings, reaches the database through the pooler",
    remedy="DATABASE_URL of the app has to name pgbouncer:6432",
)
def test_application_uses_the_pooler(target: Target, evidence: Evidence) -> None:
    endpoint = target.endpoint("pgbouncer")
    for app in target.each("app"):
        seen = call(app, connect_as_the_application)
        evidence(f"the app connects to {seen['host']}:{seen['port']} as {seen['user']}, TLS: {seen['ssl']}")
        evidence(
            f"the server sees it come from {seen['server_sees']};"
            f" the pooler's addresses are {', '.join(target.pooler_addresses)}"
        )
        assert (seen["host"], seen["port"]) == (endpoint.host, endpoint.port), (
            f"{app} connects to {seen['host']}:{seen['port']}"
        )
        assert seen["server_sees"] in target.pooler_addresses, f"the session of {app} at the server is not the pooler's"


@check(
    "POOL-02",
    claim="the application's network has no route to the server that bypasses the pooler",
    remedy="the app belongs to the network `application` alone; postgres must not be on it",
)
def test_no_way_round(target: Target, at_applications: list[Client], evidence: Evidence) -> None:
    server, pooler = target.endpoint("postgres"), target.endpoint("pgbouncer")
    own = target.host("postgres").addresses
    # On a host of its own: that host's addresses too.
    hosts = target.host("postgres").machine.public_addresses if target.hosts else []
    for app, client in zip(target.each("app"), at_applications, strict=True):
        ways = [[host, server.port] for host in (server.host, *own, *hosts)]
        answers = call(app, probe, [*ways, [pooler.host, pooler.port]], 2)
        for address, answer in answers.items():
            evidence(f"TCP from the app to {address}: {answer}")
        login = client.login(server, target.app_role, "app_password", host=own[0], connect_timeout=2)
        evidence(f"a client on the app's network, to the server: {login}")
        assert answers.pop(f"{pooler.host}:{pooler.port}") == "open", (
            f"{app} does not reach the pooler, so the check proves nothing"
        )
        assert "open" not in answers.values(), f"{app} reaches the server directly"
        assert not login.ok, f"a client beside {app} logged in at the server"


@check(
    "POOL-03",
    claim="every session of the application's role at the server comes from the pooler",
    remedy="`./scripts/ops connections` lists who connects directly",
)
def test_sessions_are_the_poolers(target: Target, superuser: Superuser, beside: Client, evidence: Evidence) -> None:
    for pooler in target.poolers:
        assert beside.login(pooler, target.app_role, "app_password").ok
    rows = superuser.rows(
        "SELECT host(client_addr) AS address, count(*) FROM pg_stat_activity"
        f" WHERE usename = '{target.app_role}' AND client_addr IS NOT NULL GROUP BY 1"
    )
    evidence(
        "sessions of the application by address: " + ", ".join(f"{row['address']}: {row['count']}" for row in rows)
    )
    direct = [row["address"] for row in rows if row["address"] not in target.pooler_addresses]
    if direct and target.development:
        deviates(
            f"a developer's own session comes from {', '.join(direct)}: the server's port is published on loopback"
        )
    assert rows, "the application has no session at the server, so the check proves nothing"
    assert not direct, f"the application's role has direct sessions from {', '.join(direct)}"


@check(
    "POOL-04",
    claim=f"{CLIENTS} clients share few server sessions: transaction pooling, within the pool's size",
    remedy=POOLER,
)
def test_many_clients_share_sessions(target: Target, beside: Client, evidence: Evidence) -> None:
    for pooler in target.poolers:
        seen = call(
            beside.host,
            many_clients,
            beside.conninfo(pooler, target.app_role, "app_password"),
            beside.conninfo(target.endpoint("postgres"), "flaglearning_ops", "ops_password", dbname="postgres"),
            beside.conninfo(pooler, "flaglearning_ops", "ops_password", dbname="pgbouncer"),
            CLIENTS,
        )
        pool = next(
            row for row in seen["pools"] if (row["database"], row["user"]) == (target.database, target.app_role)
        )
        config = {row["key"]: row["value"] for row in beside.console(pooler, "CONFIG")}
        limit = int(config["default_pool_size"]) + int(config["reserve_pool_size"])
        clients = int(pool["cl_active"]) + int(pool["cl_waiting"])
        servers = sum(int(pool[key]) for key in ("sv_active", "sv_idle", "sv_used", "sv_tested", "sv_login"))
        sessions = sum(
            count
            for user, database, address, count in seen["sessions"]
            if (user, database) == (target.app_role, target.database) and address in target.addresses_of(pooler)
        )
        evidence(f"{pooler}: pool_mode = {pool['pool_mode']}, default_pool_size + reserve_pool_size = {limit}")
        evidence(
            f"console: {clients} clients, {servers} server connections;"
            f" pg_stat_activity: {sessions} sessions from the pooler"
        )
        evidence(f"{CLIENTS} queries asked at once by {CLIENTS} clients were served by {seen['backends']} backends")
        assert pool["pool_mode"] == "transaction", f"pool_mode is {pool['pool_mode']}"
        assert clients >= CLIENTS, f"the console counts {clients} clients, and this check alone holds {CLIENTS}"
        assert servers == sessions, f"the pooler counts {servers} server connections, the server {sessions}"
        assert 1 < seen["backends"] <= limit, f"{seen['backends']} backends, more than the pool's {limit}"
        assert sessions <= limit, f"{sessions} sessions, more than the pool's {limit}"


@check(
    "POOL-05",
    claim="the limits of pooler and roles, summed, fit max_connections",
    remedy="lower max_db_connections in pg/pgbouncer.ini or a role's CONNECTION LIMIT, or raise max_connections",
)
def test_limits_fit(target: Target, superuser: Superuser, beside: Client, evidence: Evidence) -> None:
    settings = {
        row["name"]: int(row["setting"])
        for row in superuser.rows(
            "SELECT name, setting FROM pg_settings WHERE name ~ '^(max|superuser_reserved|reserved)_connections$'"
        )
    }
    free = settings["max_connections"] - settings["superuser_reserved_connections"] - settings["reserved_connections"]
    served = {row["datname"] for row in superuser.rows("SELECT datname FROM pg_database")}
    pooled = {
        f"{row['name']} at {pooler}": int(row["max_connections"])
        for pooler in target.poolers
        for row in beside.console(pooler, "DATABASES")
        if row["database"] in served and row["name"] != "pgbouncer"
    }
    limits = {
        row["rolname"]: int(row["rolconnlimit"])
        for row in superuser.rows(
            "SELECT rolname, rolconnlimit FROM pg_roles WHERE rolcanlogin AND NOT rolsuper AND NOT rolreplication"
        )
    }
    # Sessions of the pools count against their roles' limits, too, which hold for all poolers together.
    lookups = sum(limit for name, limit in pooled.items() if name.startswith("postgres "))
    apps = sum(limit for name, limit in pooled.items() if not name.startswith("postgres "))
    most = limits | {
        target.app_role: min(limits[target.app_role], apps),
        "pgbouncer": min(limits["pgbouncer"], lookups),
    }
    main = sum(limit for name, limit in pooled.items() if name.startswith(f"{target.database} "))
    total = sum(most.values())
    evidence(f"max_connections {settings['max_connections']}, of which {free} are for roles without a reservation")
    evidence("pooler: " + ", ".join(f"{name} {limit}" for name, limit in pooled.items()))
    evidence("at most: " + ", ".join(f"{name} {limit}" for name, limit in most.items()) + f"; together {total}")
    assert 0 not in pooled.values(), "a database of the pooler has no limit (max_db_connections)"
    assert -1 not in limits.values(), "a role has no CONNECTION LIMIT"
    allowed = limits[target.app_role] + limits["flaglearning_readonly"]
    assert main <= allowed, f"the pools of {target.database} may open {main} connections, their roles {allowed}"
    assert total <= free, f"{total} connections may be opened, {free} are there"


@check(
    "POOL-06",
    claim="only the ops role can use the pooler's console, and can't change anything there",
    remedy=POOLER,
)
def test_console_is_for_ops(target: Target, beside: Client, evidence: Evidence) -> None:
    roles = {
        target.app_role: "app_password",
        "flaglearning_readonly": "readonly_password",
        "flaglearning_ops": "ops_password",
    }
    for pooler in target.poolers:
        attempts = {
            role: beside.attempt(pooler, role, password, "SHOW VERSION", dbname="pgbouncer")
            for role, password in roles.items()
        }
        for role, answer in beside.try_all(attempts).items():
            evidence(f"{role} at {pooler}: {answer}")
            assert answer.ok == (role == "flaglearning_ops"), f"the console answered {role}: {answer}"
        # An administrator could make the pooler run SQL as the application. Where that is so, these two change nothing.
        changes = {
            command: beside.attempt(pooler, "flaglearning_ops", "ops_password", command, dbname="pgbouncer")
            for command in ("SET stats_period = 60", "RELOAD")
        }
        for command, answer in beside.try_all(changes).items():
            evidence(f"flaglearning_ops at {pooler}, {command}: {answer}")
            assert not answer.ok, f"the console let flaglearning_ops {command}"
            assert "admin access needed" in answer.text, f"not refused, but: {answer}"


@check(
    "POOL-07",
    claim="the pooler refuses the migrator, the lookup role, the superuser and unknown roles",
    remedy="compare pg/pgbouncer_hba.conf and pg/sql/30-pooler.sql with what runs; `docker compose up --build`",
)
def test_pool_refuses_others(target: Target, beside: Client, evidence: Evidence) -> None:
    passwords = {
        "flaglearning_migrator": "migrator_password",
        "pgbouncer": "pgbouncer_password",
        "postgres": "none",
        "no_such_role": "none",
    }
    attempts = {
        f"{role} to {database} at {pooler}": beside.attempt(pooler, role, password, dbname=database)
        for pooler in target.poolers
        for role, password in passwords.items()
        for database in (target.database, "postgres")
    }
    for who, answer in beside.try_all(attempts).items():
        evidence(f"{who}: {answer}")
        assert not answer.ok, f"the pooler accepted {who}"
        assert "FATAL" in answer.text or "no password supplied" in answer.text, f"not refused, but: {answer}"


@check(
    "POOL-08",
    claim="the pooler's lookup function returns rows for pooled roles only",
    remedy="`docker compose up --build roles` restores pg/sql/30-pooler.sql",
)
def test_lookup_is_locked_down(target: Target, beside: Client, evidence: Evidence) -> None:
    server: Any = target.endpoint("postgres")
    names = f"'{target.app_role}', 'postgres', 'flaglearning_migrator', 'flaglearning_owner', 'pgbouncer'"
    asked = beside.login(
        server,
        "pgbouncer",
        "pgbouncer_password",
        f"SELECT n || ': ' || (SELECT count(*) FROM pgbouncer.lookup(n)) || ' rows' FROM unnest(ARRAY[{names}]) n",
        dbname="postgres",
    )
    evidence(f"as pgbouncer: {asked.text}")
    assert asked.ok, f"the lookup role can't look up: {asked}"
    answers = dict(line.split(": ") for line in asked.text.splitlines())
    table = beside.login(
        server, "pgbouncer", "pgbouncer_password", "SELECT count(rolpassword) FROM pg_authid", dbname="postgres"
    )
    evidence(f"as pgbouncer, straight from pg_authid: {table}")
    other = beside.login(
        server, "flaglearning_ops", "ops_password", "SELECT pgbouncer.lookup('flaglearning_ops')", dbname="postgres"
    )
    evidence(f"as flaglearning_ops, through the function: {other}")
    assert answers.pop(target.app_role) == "1 rows", "the function returns no row for the application"
    assert set(answers.values()) == {"0 rows"}, "the function returns rows for roles that are not pooled"
    assert "42501" in table.text, "the lookup role reads pg_authid"
    assert "42501" in other.text, "another role may call the lookup function"


# PgBouncer restores the others of a client itself.
HELD = """
    SELECT coalesce(string_agg(name, ', '), 'none') FROM pg_settings WHERE source = 'session'
    AND name NOT IN ('application_name', 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')"""


@check(
    "POOL-09",
    claim="a client of the pooler leaves no setting to the next one; the application's sessions hold none",
    remedy="compare pg/pgbouncer.ini with what runs (pool_mode of flaglearning_readonly, server_reset_query);"
    " RECONNECT in the pooler's console drops the sessions; docs/adr/0024",
)
def test_nothing_is_left_to_the_next_client(target: Target, beside: Client, evidence: Evidence) -> None:
    for pooler in target.poolers:
        reader = (pooler, "flaglearning_readonly", "readonly_password")
        left = beside.login(*reader, "SET work_mem = '65kB'; SELECT current_setting('work_mem')")
        found = beside.login(*reader, HELD)
        evidence(f"{pooler}: flaglearning_readonly sets work_mem: {left}; the next client finds: {found}")
        # Of the application nothing is set here: its sessions are not reset in production.
        held = beside.login(pooler, target.app_role, "app_password", HELD)
        evidence(f"{pooler}: {target.app_role} finds: {held}")
        assert "65kB" in left.text, "the setting was not made, so the check proves nothing"
        assert (found.ok, found.text) == (True, "none"), f"the next client found {found.text}"
        assert (held.ok, held.text) == (True, "none"), f"a session of the application holds {held.text}"
