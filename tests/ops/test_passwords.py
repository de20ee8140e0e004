"""A role's new password: secret file, PostgreSQL and PgBouncer in one command; afterwards the old one is refused."""

import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

import secret_files
from support.ops import Ops
from support.postgres import Bouncer, Postgres, Server
from testing.shell import ROOT, run
from testing.stack import DEVELOPMENT, Stack


@pytest.fixture
def own(ops: Ops, tmp_path: Path) -> Iterator[Stack]:
    """The same stack with secrets of its own: development's are in git."""
    secrets = tmp_path / "secrets"
    shutil.copytree(ROOT / "docker/secrets.dev", secrets)
    own = Stack(ops.stack.project, DEVELOPMENT)
    own.variables = {**ops.stack.variables, "SECRETS_DIR": str(secrets)}
    yield own
    assert ops.script("setup", "apply").status == 0
    ops.stack.compose("up", "--detach", "--no-deps", "--force-recreate", "--wait", "app", "pgbouncer")


def logs_in(server: Server, role: str, password: str) -> bool:
    database = {"dbname": "postgres"} if role == "pgbouncer" else {}
    try:
        server.connect(role, password=password, **database).close()
    except psycopg.OperationalError as error:
        if "authentication failed" in str(error):
            return False
        raise
    return True


@pytest.mark.parametrize("role", ["app", "readonly", "migrator", "ops", "pgbouncer"])
def test_the_new_one_logs_in_and_the_old_one_does_not(
    ops: Ops, postgres: Postgres, bouncer: Bouncer, own: Stack, role: str
) -> None:
    old = own.secret(f"{role}_password")
    if role in ("app", "pgbouncer"):  # the container has to mount this test's secret files
        own.compose("up", "--detach", "--no-deps", "--force-recreate", "--wait", role)
    done = ops.script("password", "reset", role, stack=own)
    assert done.status == 0, done.err
    new = own.secret(f"{role}_password")
    assert new != old
    assert new not in done.out + done.err
    endpoints = [postgres, bouncer] if role in ("app", "readonly") else [postgres]
    for endpoint in endpoints:
        assert [logs_in(endpoint, role, password) for password in (new, old)] == [True, False]
    assert "the old one is refused" in done.out
    if role in ("app", "pgbouncer"):  # the application still works
        own.exec("app", "python", "-m", "core.healthcheck")
        assert bouncer.connect("app", password=own.secret("app_password")).execute("SELECT 1").fetchone() == (1,)


def test_one_of_your_own(ops: Ops, postgres: Postgres, own: Stack) -> None:
    done = ops.script("password", "reset", "readonly", "--prompt", stack=own, stdin='it\'s "odd": \\ $HOME\n')
    assert done.status == 0, done.err
    assert logs_in(postgres, "readonly", 'it\'s "odd": \\ $HOME')


def test_no_login_fails_during_a_change_and_no_container_is_replaced(ops: Ops, own: Stack) -> None:
    """The app opens connections all the time while both passwords change that a login needs."""
    own.compose(
        "up", "--detach", "--no-deps", "--force-recreate", "--wait", "app", "pgbouncer"
    )  # on this test's secrets
    before = own.container("app")
    refused: list[str] = []
    done = threading.Event()

    def play() -> None:
        while not done.is_set():
            # a process of its own in the app's container: each opens a connection, with the backend of the app
            said = own.exec("app", "python", "manage.py", "shell", "-v", "0", "-c", LOG_IN, check=False)
            if said.strip() != "120":
                refused.append(said.strip().splitlines()[-1])

    with ThreadPoolExecutor() as pool:
        playing = pool.submit(play)
        for role in ("app", "pgbouncer"):
            changed = ops.script("password", "reset", role, stack=own)
            assert changed.status == 0, changed.err
        done.set()
        playing.result()
    assert refused == []
    assert own.container("app") == before


# A new connection every twentieth of a second; how many were let in.
LOG_IN = """
import time
from django.db import connection
done = 0
for _ in range(120):
    connection.close()
    connection.ensure_connection()
    done += 1
    time.sleep(0.05)
print(done)
"""


def test_an_interrupted_change_is_completed_by_the_next(ops: Ops, own: Stack, postgres: Postgres) -> None:
    """The file has both passwords, PostgreSQL has one of them: a client that reads the file logs in."""
    file = Path(own.config["secrets"]["readonly_password"]["file"])
    old = own.secret("readonly_password")
    with file.open("a") as secret:
        secret.write(f"{'n' * 40}\n")
    done = ops.script("psql", "--as", "readonly", "-Atc", "SELECT session_user", stack=own)
    assert (done.status, done.out) == (0, "flaglearning_readonly\n"), done.err
    assert ops.script("password", "reset", "readonly", stack=own).status == 0
    assert "\n" not in own.secret("readonly_password")
    assert [logs_in(postgres, "readonly", each) for each in (own.secret("readonly_password"), old)] == [True, False]


def test_the_steps_of_a_rotation_by_ansible(ops: Ops, own: Stack, postgres: Postgres) -> None:
    """stage, apply, commit, finalise, as ansible/roles/stack/tasks/passwords.yml runs them on a host."""
    file = str(own.config["secrets"]["readonly_password"]["file"])
    old, new = own.secret("readonly_password"), secret_files.generate("readonly_password")

    def change(step: str) -> str:
        return run("python3", "scripts/lib/secret_files.py", step, file, stdin=new).stdout

    assert change("stage") == "changed\n"
    early = ops.script("password", "finalise", "readonly", stack=own, stdin=old)
    assert (early.status, "refuses the new password" in early.err) == (1, True), "PostgreSQL does not have it yet"
    assert ops.script("setup", "apply", stack=own).status == 0
    assert change("commit") == "changed\n"
    done = ops.script("password", "finalise", "readonly", stack=own, stdin=old)
    assert (done.status, "the old one is refused" in done.out) == (0, True), done.err
    assert [logs_in(postgres, "readonly", password) for password in (new, old)] == [True, False]


def test_developments_public_file_needs_yes(ops: Ops) -> None:
    before = (ROOT / "docker/secrets.dev/app_password").read_text()
    refused = ops.script("password", "reset", "app")
    assert (refused.status, "in git" in refused.err) == (2, True)
    assert (ROOT / "docker/secrets.dev/app_password").read_text() == before


@pytest.mark.parametrize("role", ["nobody", "postgres", "flaglearning_ops", "a;b", ""])
def test_another_role_is_wrong_usage_and_the_error_lists_the_roles(ops: Ops, role: str) -> None:
    refused = ops.script("password", "reset", role)
    assert refused.status == 2
    assert "'app', 'migrator', 'readonly', 'ops', 'monitor', 'pgbouncer'" in refused.err
