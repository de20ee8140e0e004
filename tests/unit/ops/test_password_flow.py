"""flows/passwords.py: the order of the steps, the secret file at each of them, and what an interruption leaves."""

from __future__ import annotations

import json
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import secret_files
from ops import containers, pooler
from ops.containers import Failed
from ops.flows import passwords
from user_errors import OperationError, UserError

OLD = "old-Zq8vR2mK5tY7wB1nL4xC9dF3gH6jP0s"


class Stack:
    """Stands for Docker: records each container that would run, with the password file's lines at that time."""

    def __init__(self, folder: Path, deployment: str = "production") -> None:
        self.folder, self.deployment = folder, deployment
        self.running = {"postgres", "pgbouncer"}
        self.seen: list[tuple[str, list[str]]] = []
        self.proof: dict[str, Any] = {}
        self.fails = ""
        for name in secret_files.PASSWORDS:
            (folder / name).write_text(secret_files.generate(name))
        (folder / "app_password").write_text(OLD)
        (folder / "pgbouncer_password").write_text(OLD)

    def run(self, argv: list[str]) -> str:
        name = argv[-1]
        self.seen.append((name, secret_files.candidates((self.folder / "app_password").read_text())))
        if name == self.fails:
            raise Failed(name, 1)
        return ""

    def pgadmin(self, verb: str) -> None:
        self.run([verb])

    def client(self, verb: str, stdin: str) -> dict[str, Any]:
        self.run([verb])
        self.proof = json.loads(stdin)
        return {"role": "flaglearning_x", "refused": len(self.proof["old"])}


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stack:
    stack = Stack(tmp_path)
    config = {
        "secrets": {name: {"file": str(tmp_path / name)} for name in secret_files.PASSWORDS},
        "services": {"pgbouncer": {}},
    }
    monkeypatch.setattr(containers, "config", lambda: config)
    monkeypatch.setattr(containers, "environment_of", lambda service: {"DEPLOYMENT": stack.deployment})
    monkeypatch.setattr(containers, "is_running", lambda service: service in stack.running)
    monkeypatch.setattr(containers, "server", lambda: "postgres")
    monkeypatch.setattr(containers, "run", stack.run)
    monkeypatch.setattr(containers, "pgadmin", stack.pgadmin)
    monkeypatch.setattr(pooler, "execute", lambda *commands: stack.run([", ".join(commands)]))
    monkeypatch.setattr(containers, "client", stack.client)
    return stack


def test_stage_postgresql_commit_prove(stack: Stack, capsys: pytest.CaptureFixture[str]) -> None:
    passwords.reset("app", prompt=False, yes=False)
    new = (stack.folder / "app_password").read_text()
    assert stack.seen == [("apply", [OLD, new]), ("password-prove", [new])]
    assert stack.proof == {"role": "app", "new": new, "old": [OLD], "pooler": True}
    printed = capsys.readouterr()
    assert "logs in with the new password; the old one is refused" in printed.out
    assert new not in printed.out + printed.err


def test_the_poolers_own_password_is_reloaded_before_the_proof(stack: Stack) -> None:
    passwords.reset("pgbouncer", prompt=False, yes=False)
    seen = [name for name, _ in stack.seen]
    assert seen == ["apply", "write-userlist", "RELOAD, RECONNECT postgres", "password-prove"]


def test_a_pooler_that_does_not_run_is_not_reloaded(stack: Stack) -> None:
    stack.running.remove("pgbouncer")
    passwords.reset("pgbouncer", prompt=False, yes=False)
    assert [name for name, _ in stack.seen] == ["apply", "password-prove"]


def test_where_the_pooler_is_on_another_host_no_login_through_it_is_proven(stack: Stack) -> None:
    containers.config()["services"]["pgbouncer"]["profiles"] = ["other-host"]
    passwords.finalise("app", [OLD])
    assert not stack.proof["pooler"]


@pytest.mark.parametrize("role", ["app", "pgbouncer", "monitor"])
def test_where_application_hosts_have_the_password_it_is_not_changed_here(stack: Stack, role: str) -> None:
    containers.config()["services"]["pgbouncer"]["profiles"] = ["other-host"]
    with pytest.raises(UserError, match="application hosts log in"):
        passwords.reset(role, prompt=False, yes=False)
    assert stack.seen == []


def test_postgresql_that_refuses_leaves_both_and_the_same_command_completes_it(stack: Stack) -> None:
    stack.fails = "apply"
    with pytest.raises(OperationError, match="holds both"):
        passwords.reset("app", prompt=False, yes=False)
    left = secret_files.candidates((stack.folder / "app_password").read_text())
    assert left[0] == OLD
    assert len(left) == 2
    stack.fails = ""
    passwords.reset("app", prompt=False, yes=False)
    assert len(secret_files.candidates((stack.folder / "app_password").read_text())) == 1
    assert stack.proof["old"] == left, "each password that the file held is proven to be refused"


def test_without_postgresql_nothing_is_changed(stack: Stack) -> None:
    stack.running.clear()
    with pytest.raises(OperationError, match="nothing was changed"):
        passwords.reset("app", prompt=False, yes=False)
    assert (stack.folder / "app_password").read_text() == OLD
    assert stack.seen == []


@pytest.mark.parametrize(
    ("typed", "deployment", "reason"),
    [
        ("", "development", "is empty"),
        ("geheimniß", "development", "outside printable ASCII"),
        ("too-short", "production", "has 9 characters"),
        (OLD, "production", "is the password of another role"),
    ],
)
def test_an_unfit_password_changes_nothing(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, typed: str, deployment: str, reason: str
) -> None:
    stack.deployment = deployment
    (stack.folder / "ops_password").write_text(OLD)
    before = (stack.folder / "readonly_password").read_text()
    monkeypatch.setattr(sys, "stdin", StringIO(f"{typed}\n"))
    with pytest.raises(UserError, match=reason):
        passwords.reset("readonly", prompt=True, yes=False)
    assert (stack.folder / "readonly_password").read_text() == before
    assert stack.seen == []


def test_development_takes_a_short_one(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.deployment = "development"
    monkeypatch.setattr(sys, "stdin", StringIO("short\n"))
    passwords.reset("readonly", prompt=True, yes=False)
    assert (stack.folder / "readonly_password").read_text() == "short"


def test_the_public_file_in_git_needs_yes(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "PUBLIC_FOLDER", stack.folder)
    with pytest.raises(UserError, match="in git"):
        passwords.reset("app", prompt=False, yes=False)
    assert (stack.folder / "app_password").read_text() == OLD
    passwords.reset("app", prompt=False, yes=True)
    assert (stack.folder / "app_password").read_text() != OLD


@pytest.mark.parametrize(
    ("count", "words"), [(0, ""), (1, "; the old one is refused"), (2, "; the 2 old ones are refused")]
)
def test_what_was_proven_of_old_passwords(count: int, words: str) -> None:
    assert passwords.refusal(count) == words
