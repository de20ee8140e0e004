"""The checklist on a production stack: it passes, tells no secret, and each way of breaking the stack fails its check.

A check that can't fail proves nothing. So each test breaks one thing, runs the checks that are about it, and mends it.
"""

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import secret_files
from support.checklist import Checklist
from support.postgres import Bouncer, Postgres
from testing.shell import ROOT, eventually, run
from testing.stack import PRODUCTION, SLOT, Stack

FREE_PORT = 21050 + 200 * int(SLOT or 0)
# What a production that was just started can't prove: a drill, a night's dumps, a second repository; and that an alert
# arrives.
NOT_PROVEN = {"BACK-03", "BACK-04", "BACK-05", "MON-08", "MON-20"}
# What is no part of containers: clock, firewall, ssh and updates of a host, and what the vantage host reaches.
DOES_NOT_APPLY = {"TLS-14", "NET-08", "NET-09", "NET-10", "NET-11", "NET-12"}
# No cluster of database servers.
DOES_NOT_APPLY |= {f"HA-0{number}" for number in range(1, 6)}
# Timers: where systemd runs, those of this machine are looked for, and this stack has installed none.
TIMERS = "fail" if Path("/run/systemd/system").exists() else "does not apply"
EXPECTED = dict.fromkeys(NOT_PROVEN, "not proven") | dict.fromkeys(DOES_NOT_APPLY, "does not apply")
EXPECTED["BACK-08"] = TIMERS


@pytest.fixture(scope="module")
def checklist(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Checklist:
    return Checklist(tmp_path_factory.mktemp("artifacts"), "--target", f"docker://{stack.project}")


def test_production_passes_but_for_what_it_cannot_prove_yet(
    checklist: Checklist, stack: Stack, secrets_folder: Path
) -> None:
    # the first one is made by itself
    info = ("pgbackrest", "--output=json", "info")
    eventually(lambda: '"type":"full"' in stack.exec("postgres", *info), within=60)
    done = checklist.run()
    found = checklist.report()
    outcomes = {check["id"]: check["outcome"] for check in checklist.checks()}
    assert {id: outcome for id, outcome in outcomes.items() if outcome != "pass"} == EXPECTED, done.stdout
    assert found["deployment"] == "production"
    assert done.returncode == 1, "what is not proven must not look like a pass"
    assert found["seconds"] < 120, "aim: 60 s on a quiet machine"
    # No secret anywhere: neither the values nor what the server stores of them.
    texts = [done.stdout, done.stderr, *(file.read_text() for file in checklist.artifacts.iterdir())]
    for file in (file for file in secrets_folder.iterdir() if file.is_file() and file.read_text().strip()):
        assert not any(file.read_text().strip() in text for text in texts), f"the report contains {file.name}"
    assert not any("SCRAM-SHA-256$" in text for text in texts), "the report contains a verifier"
    assert sorted(file.suffix for file in checklist.artifacts.iterdir()) == [".html", ".json", ".xml"]


# SQL that breaks the policy, SQL that mends it, and the checks that have to fail, with their reasons. In one run: they
# are about different things, and the reasons show that each check found its own.
FAULTS: list[tuple[str, str, dict[str, str]]] = [
    (
        "ALTER ROLE flaglearning_prod CREATEDB",
        "ALTER ROLE flaglearning_prod NOCREATEDB",
        {"PRIV-01": "CREATEDB: flaglearning_prod", "PRIV-02": "created a database at: postgres:5432, pgbouncer:6432"},
    ),
    (
        "GRANT flaglearning_owner TO flaglearning_prod",
        "REVOKE flaglearning_owner FROM flaglearning_prod",
        {"PRIV-04": "flaglearning_prod became flaglearning_owner", "PRIV-05": "flaglearning_prod may CREATE TABLE"},
    ),
    (
        "SET password_encryption = md5; CREATE ROLE probe_md5 LOGIN PASSWORD 'x'; CREATE ROLE probe_open LOGIN",
        "DROP ROLE probe_md5; DROP ROLE probe_open",
        {"PASS-01": "probe_md5 (md5), probe_open (no password)", "POOL-05": "a role has no CONNECTION LIMIT"},
    ),
    ("CREATE ROLE probe_superuser SUPERUSER", "DROP ROLE probe_superuser", {"PRIV-03": "probe_superuser"}),
    (
        "GRANT DELETE ON django_migrations TO flaglearning_readonly",
        "REVOKE DELETE ON django_migrations FROM flaglearning_readonly",
        {"PRIV-07": "the read-only role may DELETE"},
    ),
    (
        "GRANT SELECT (session_key) ON django_session TO flaglearning_readonly",
        "REVOKE SELECT (session_key) ON django_session FROM flaglearning_readonly",
        {"PRIV-08": "the read-only role may SELECT session_key"},
    ),
    (
        "ALTER SYSTEM SET ssl_min_protocol_version = 'TLSv1.2'",
        "ALTER SYSTEM RESET ssl_min_protocol_version",
        {"TLS-05": "postgres:5432 accepted a TLS version older than 1.3"},
    ),
    (
        "ALTER SYSTEM SET log_connections = off",
        "ALTER SYSTEM RESET log_connections",
        {"MON-05": "a setting differs"},
    ),
    (
        "SELECT pg_create_physical_replication_slot('probe', true)",
        "SELECT pg_drop_replication_slot('probe')",
        {"BACK-07": "inactive slots: probe"},
    ),
    (
        "GRANT pg_read_all_stats TO flaglearning_prod",
        "REVOKE pg_read_all_stats FROM flaglearning_prod",
        {"MON-03": "flaglearning_prod reads other roles' queries"},
    ),
]
IN_DATABASE_POSTGRES: list[tuple[str, str, dict[str, str]]] = [
    (
        "GRANT USAGE ON SCHEMA pgbouncer TO PUBLIC; GRANT EXECUTE ON FUNCTION pgbouncer.lookup(text) TO PUBLIC",
        "REVOKE USAGE ON SCHEMA pgbouncer FROM PUBLIC; REVOKE EXECUTE ON FUNCTION pgbouncer.lookup(text) FROM PUBLIC",
        {"POOL-08": "another role may call the lookup function"},
    ),
]


def test_each_fault_made_by_sql_fails_its_checks(checklist: Checklist, stack: Stack) -> None:
    postgres = Postgres(stack)
    faults = [*((fault, stack.database) for fault in FAULTS), *((fault, "postgres") for fault in IN_DATABASE_POSTGRES)]
    expected = {id: reason for (_, _, reasons), _ in faults for id, reason in reasons.items()}
    with contextlib.ExitStack() as cleanup:
        cleanup.callback(postgres.superuser, "SELECT pg_reload_conf()")
        for (sql, mend, _), database in faults:
            for statement in mend.split("; "):  # ALTER SYSTEM may not share a transaction
                cleanup.callback(postgres.superuser, statement, database)
            postgres.superuser(sql, database)
        postgres.superuser("SELECT pg_reload_conf()")
        assert checklist.outcomes(*expected) == dict.fromkeys(expected, "fail")
    reasons = {check["id"]: check["reason"] for check in checklist.checks()}
    assert {id: reasons[id] for id, reason in expected.items() if reason not in reasons[id]} == {}


@contextlib.contextmanager
def public_password(stack: Stack) -> Iterator[None]:
    postgres = Postgres(stack)
    verifier = postgres.superuser("SELECT rolpassword FROM pg_authid WHERE rolname = 'flaglearning_prod'")
    postgres.superuser("ALTER ROLE flaglearning_prod PASSWORD 'dev_password_2024'")
    try:
        yield
    finally:
        # The same verifier, salt included: the pooler has learnt it.
        postgres.superuser(f"ALTER ROLE flaglearning_prod PASSWORD '{verifier}'")


@contextlib.contextmanager
def readable_folder(folder: Path) -> Iterator[None]:
    # pytest's own temporary folders are closed, too
    closed = [one for one in (folder, *folder.parents) if one.stat().st_mode & 0o077 == 0]
    with contextlib.ExitStack() as cleanup:
        for one in closed:
            cleanup.callback(one.chmod, 0o700)
            one.chmod(0o755)
        yield


@contextlib.contextmanager
def large_pool_and_administrator_over_tcp(stack: Stack) -> Iterator[None]:
    bouncer = Bouncer(stack)
    bouncer.admin("SET max_db_connections = 500", "SET admin_users = flaglearning_ops")
    try:
        yield
    finally:
        bouncer.admin("RELOAD")


@contextlib.contextmanager
def joined(network: str, stack: Stack, service: str) -> Iterator[None]:
    """A way round the pooler, or a way out."""
    both = (network, stack.container(service))
    run("docker", "network", "connect", *both)
    try:
        yield
    finally:
        run("docker", "network", "disconnect", *both)


@contextlib.contextmanager
def another_network(stack: Stack) -> Iterator[str]:
    network = f"{stack.project}_probe"
    run("docker", "network", "create", "--label", f"com.docker.compose.project={stack.project}", network)
    try:
        yield network
    finally:
        run("docker", "network", "rm", network)


@contextlib.contextmanager
def process_of_roots_that_listens(stack: Stack) -> Iterator[None]:
    """In the app's container; it ends when its standard input does."""
    program = "import socket, sys; s = socket.create_server(('', 9999)); print('up', flush=True); sys.stdin.read()"
    command = ["docker", "exec", "-i", "-u", "root", stack.container("app"), "python", "-c", program]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            assert process.stdout.readline() == "up\n"
            yield
        finally:
            process.stdin.close()


# Of faults of the machine: in one run, as those that SQL makes.
FOUND = {
    "PASS-03": "a public password was accepted: flaglearning_prod at ",
    "PASS-07": "readable by others than root: ",
    "POOL-02": "reaches the server directly",
    "POOL-05": " connections, their roles ",
    "POOL-06": "the console let flaglearning_ops ",
    "NET-01": "not the expected ports: app",
    "NET-05": "app has a way out through ",
    "NET-06": "more than they need: app",
    "NET-13": "postgres through {project}_probe",
}


def test_each_fault_of_the_machine_fails_its_checks(checklist: Checklist, stack: Stack, secrets_folder: Path) -> None:
    with contextlib.ExitStack() as faults:
        faults.enter_context(public_password(stack))
        faults.enter_context(readable_folder(secrets_folder))
        faults.enter_context(large_pool_and_administrator_over_tcp(stack))
        faults.enter_context(joined(f"{stack.project}_application", stack, "postgres"))
        faults.enter_context(joined(f"{stack.project}_edge", stack, "app"))
        faults.enter_context(joined(faults.enter_context(another_network(stack)), stack, "postgres"))
        faults.enter_context(process_of_roots_that_listens(stack))
        assert checklist.outcomes(*FOUND) == dict.fromkeys(FOUND, "fail")
    reasons = {check["id"]: check["reason"] for check in checklist.checks()}
    expected = {id: reason.format(project=stack.project) for id, reason in FOUND.items()}
    assert {id: reasons[id] for id, reason in expected.items() if reason not in reasons[id]} == {}
    assert checklist.outcomes(*FOUND) == dict.fromkeys(FOUND, "pass")


def test_a_password_change_under_way_fails_no_check(checklist: Checklist, secrets_folder: Path) -> None:
    """Interrupted after its first step: the files hold a second password, which the server does not have yet."""
    ids = {"PASS-02", "PASS-04", "PASS-08", "POOL-01", "POOL-04", "POOL-06"}
    files = [secrets_folder / name for name in ("app_password", "ops_password")]
    before = {file: file.read_text() for file in files}
    try:
        for file in files:
            secret_files.stage(file, secret_files.generate(file.name))
        assert checklist.outcomes(*ids) == dict.fromkeys(ids, "pass")
    finally:
        for file, text in before.items():
            secret_files.commit(file, text.strip())


def test_a_loosened_configuration_is_found(
    checklist: Checklist, stack: Stack, secrets_folder: Path, tmp_path: Path
) -> None:
    """What an operator may add to a host: a wide pg_hba line, settings in local.d, a port, a variable."""
    (tmp_path / "loose.hba").write_text("host all flaglearning_prod,flaglearning_ops all md5\n")
    (tmp_path / "loose.conf").write_text("shared_preload_libraries = 'pgaudit'\n")
    (tmp_path / "loose.pooler_hba").write_text("host all all all scram-sha-256\n")
    pooler = (ROOT / "pg/pgbouncer.ini").read_text()
    for strict, loose in (
        ("client_tls_sslmode = require", "allow"),
        ("server_tls_sslmode = verify-full", "require"),
        ("flaglearning_readonly = pool_mode=session", "pool_mode=transaction"),
    ):
        assert strict in pooler
        pooler = pooler.replace(strict, f"{strict.partition(' = ')[0]} = {loose}")
    (tmp_path / "loose.ini").write_text(pooler)
    overlay = tmp_path / "docker-compose.loose.yml"
    overlay.write_text(
        f"""
        services:
          postgres:
            ports: ["127.0.0.1:{FREE_PORT}:5432"]
            networks: [edge]   # of an internal network Docker publishes nothing
            volumes:
              - {tmp_path}/loose.hba:/etc/postgresql/hba.d/loose.conf:ro
              - {tmp_path}/loose.conf:/etc/postgresql/local.d/loose.conf:ro
          pgbouncer:
            volumes:
              - {tmp_path}/loose.ini:/etc/pgbouncer/pgbouncer.ini:ro
              - {tmp_path}/loose.pooler_hba:/etc/pgbouncer/pgbouncer_hba.conf:ro
          app:
            environment:
              REMEMBERED: {(secrets_folder / "app_password").read_text()}
        """
    )
    variables: dict[str, Any] = {**stack.variables}
    loosened = Stack(stack.project, (*PRODUCTION, str(overlay)), **variables)
    ids = {"PASS-05", "PASS-06", "POOL-09", "TLS-03", "TLS-04", "TLS-09"}
    ids |= {"NET-02", "NET-04", "MON-01", "MON-02", "MON-06"}
    try:
        loosened.up()
        assert checklist.outcomes(*ids) == dict.fromkeys(ids, "fail")
    finally:
        stack.up()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--target", "docker://no-such-project"], "no compose project 'no-such-project' on this machine"),
        (["--target", "telnet://host"], "is not a target"),
        (["--inventory", "inventories/nowhere"], "there is no inventory 'inventories/nowhere'"),
        (["--inventory", "inventories/example", "--target", "docker://x"], "exclude each other"),
        (["-k", "XYZ-99"], "no check matches -k 'XYZ-99'"),
        (["--bogus"], "unrecognized arguments: --bogus"),
    ],
)
def test_what_cannot_run_says_so_and_exits_with_2(arguments: list[str], sentence: str, tmp_path: Path) -> None:
    done = Checklist(tmp_path).run(*arguments)
    assert done.returncode == 2
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir()), "there is nothing to report"


def test_a_stack_that_is_down_says_so(checklist: Checklist, stack: Stack) -> None:
    stack.compose("kill", "app")
    try:
        done = checklist.run()
    finally:
        stack.start("app")
    assert done.returncode == 2
    assert "stopped: app" in done.stderr
    assert "HINT:" in done.stderr
