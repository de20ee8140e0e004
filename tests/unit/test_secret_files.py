"""scripts/lib/secret_files.py: strength, the dual-password format, and writes that can be killed at any byte."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import secret_files
from secret_files import candidates, commit, stage, weakness

ROOT = Path(__file__).resolve().parents[2]

STRONG = "Zq8vR2mK5tY7wB1nL4xC9dF3gH6jP0sA"
OLD, NEW = "old-password-4711", "the-new-and-longer-password-0815"


# ---------------------------------------------------------------- strength


@pytest.mark.parametrize("name", secret_files.GENERATED)
def test_a_public_development_secret_is_weak(name: str) -> None:
    text = (ROOT / "docker/secrets.dev" / name).read_text()
    assert "public development password" in str(weakness(name, text))


def test_every_file_of_the_development_folder_is_declared() -> None:
    files = {file.name for file in (ROOT / "docker/secrets.dev").iterdir()} - {"README.md"}
    assert files == {*secret_files.GENERATED, *secret_files.OPTIONAL}


@pytest.mark.parametrize("name", secret_files.GENERATED)
def test_a_generated_value_is_strong_and_another_each_time(name: str) -> None:
    values = [secret_files.generate(name) for _ in range(20)]
    assert len(set(values)) == 20
    assert [weakness(name, value) for value in values] == [None] * 20
    assert [secret_files.value(name, secret_files.file_text(name, value)) for value in values] == values


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("\n", "is empty"),
        ("change_me_" * 4, "placeholder"),
        (f"{STRONG}-Example", "placeholder"),
        (STRONG[1:], "has 31 characters, fewer than 32"),
        ("ab" * 20, "2 different characters"),
        ("0123456789a" * 4, "11 different characters, fewer than 12"),
        (f"{STRONG}é", "outside printable ASCII"),
        (f"{STRONG}\a", "outside printable ASCII"),
        (f"{STRONG}\nshort", "has 5 characters"),
    ],
)
def test_a_weak_password_has_a_reason(text: str, reason: str) -> None:
    assert reason in str(weakness("app_password", text))


@pytest.mark.parametrize("text", [STRONG, f"{STRONG}\n", f"weak\n{STRONG}\n", "0123456789ab" * 3])
def test_a_strong_password_has_none(text: str) -> None:
    assert weakness("app_password", text) is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[global]\nrepo1-cipher-pass=\n", "is empty"),
        ("[global]\nrepo1-cipher-pass=short\n", "has 5 characters"),
        ("[global]\nother=1\n", "has 7 characters"),
        (f"[global]\nrepo1-cipher-pass = {STRONG}\n", None),
        (f"[global]\nrepo2-cipher-pass={STRONG}\nrepo2-path=/x\n", None),
        (STRONG, None),
    ],
)
def test_a_cipher_is_judged_by_its_passphrase(text: str, reason: str | None) -> None:
    found = weakness("backup_cipher", text)
    assert found == reason if reason is None else reason in str(found)


def test_a_django_key_needs_50_characters() -> None:
    assert "fewer than 50" in str(weakness("django_secret_key", STRONG))


def test_one_value_for_two_secrets_is_a_problem() -> None:
    (found,) = secret_files.problems({"app_password": f"{STRONG}\n", "ops_password": STRONG})
    assert "app_password and ops_password have the same value" in found


def test_the_off_site_repository_has_the_same_passphrase() -> None:
    texts = {name: secret_files.file_text(name, STRONG) for name in ("backup_cipher", "backup_cipher_offhost")}
    assert secret_files.problems(texts) == []
    assert "repo2-cipher-pass" in texts["backup_cipher_offhost"]


# ---------------------------------------------------------------- a folder


def test_make_completes_a_folder_that_then_passes(tmp_path: Path) -> None:
    (tmp_path / "app_password").write_text(STRONG)
    made = secret_files.make(tmp_path)
    assert made == [name for name in secret_files.GENERATED if name != "app_password"]
    assert (tmp_path / "app_password").read_text() == STRONG
    assert {file.name for file in tmp_path.iterdir()} == {*secret_files.GENERATED, *secret_files.OPTIONAL}
    assert {(tmp_path / name).stat().st_size for name in secret_files.OPTIONAL} == {0}
    assert {(tmp_path / name).stat().st_mode & 0o777 for name in made} == {0o444}
    (tmp_path / "app_password").chmod(0o444)
    assert secret_files.check(tmp_path) == []
    assert secret_files.make(tmp_path) == []


def test_check_reports_what_is_missing_weak_and_unreadable(tmp_path: Path) -> None:
    secret_files.make(tmp_path)
    (tmp_path / "ops_password").unlink()
    (tmp_path / "app_password").chmod(0o600)
    (tmp_path / "migrator_password").unlink()
    (tmp_path / "migrator_password").write_text("short")
    found = secret_files.check(tmp_path)
    assert len(found) == 3
    assert "app_password can't be read by roles (uid 5432), sandbox (uid 5432), app (uid 8000), ops" in found[0]
    assert "ops_password can't be read: [Errno 2]" in found[1]
    assert "migrator_password has 5 characters" in found[2]
    assert secret_files.check(tmp_path, ("readonly_password",)) == []


def test_a_file_of_its_readers_own_user_is_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "pgbouncer_password"
    file.write_text(STRONG)
    file.chmod(0o400)
    for service in secret_files.SECRETS["pgbouncer_password"].readers:
        monkeypatch.setitem(secret_files.UIDS, service, os.getuid())
    assert secret_files.unreadable(file) == []


# ---------------------------------------------------------------- dual passwords


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("one", ["one"]),
        ("one\n", ["one"]),
        ("one\r\n", ["one"]),
        ("one\ntwo\n", ["one", "two"]),
        ("one\n\ntwo", ["one", "two"]),
        (" a b \n", [" a b "]),
        ("", []),
    ],
)
def test_candidates_are_the_lines(text: str, found: list[str]) -> None:
    assert candidates(text) == found


@pytest.mark.parametrize("before", [OLD, f"{OLD}\n"])
def test_a_change_from_one_password_to_another(tmp_path: Path, before: str) -> None:
    file = tmp_path / "app_password"
    file.write_text(before)
    inode = file.stat().st_ino
    assert [stage(file, NEW), stage(file, NEW)] == [True, False]
    assert file.read_text() == f"{OLD}\n{NEW}\n"
    assert [commit(file, NEW), commit(file, NEW)] == [True, False]
    assert file.read_text() == NEW
    assert file.stat().st_ino == inode, "a running container has this very file mounted"


def test_a_second_change_keeps_what_the_first_left(tmp_path: Path) -> None:
    """The server may have taken the password of the first, which was interrupted."""
    file = tmp_path / "app_password"
    file.write_text(f"{OLD}\nhalf-way")
    stage(file, NEW)
    assert candidates(file.read_text()) == [OLD, "half-way", NEW]


@pytest.mark.parametrize("old", ["o", OLD, OLD * 4])
@pytest.mark.parametrize("staged", [True, False])
def test_commit_killed_at_any_byte_leaves_the_new_password_as_the_last_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, staged: bool
) -> None:
    file = tmp_path / "app_password"
    write = os.pwrite

    def killed_after(count: int) -> None:
        def pwrite(descriptor: int, data: bytes, offset: int) -> int:
            write(descriptor, data[:count], offset)
            raise KeyboardInterrupt

        monkeypatch.setattr(os, "pwrite", pwrite)

    for count in range(len(NEW) + 2):
        file.write_text(old)
        if staged:
            stage(file, NEW)
        killed_after(count)
        with pytest.raises(KeyboardInterrupt):
            commit(file, NEW)
        assert candidates(file.read_text())[-1] == NEW
        monkeypatch.setattr(os, "pwrite", write)
        assert commit(file, NEW)
        assert file.read_text() == NEW


# ---------------------------------------------------------------- command line


def command(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts/lib/secret_files.py"
    return subprocess.run([sys.executable, script, *arguments], input=stdin, text=True, capture_output=True)


def test_stage_and_commit_say_whether_the_file_changed(tmp_path: Path) -> None:
    file = tmp_path / "app_password"
    file.write_text(OLD)
    said = [command(verb, str(file), stdin=f"{NEW}\n").stdout for verb in ("stage", "stage", "commit", "commit")]
    assert said == ["changed\n", "", "changed\n", ""]
    assert file.read_text() == NEW


@pytest.mark.parametrize("stdin", ["", "\n", "geheimniß\n"])
def test_a_password_that_no_client_could_send_is_refused(tmp_path: Path, stdin: str) -> None:
    file = tmp_path / "app_password"
    file.write_text(OLD)
    done = command("stage", str(file), stdin=stdin)
    assert (done.returncode, "ERROR: the password" in done.stderr, "HINT:" in done.stderr) == (2, True, True)
    assert file.read_text() == OLD


def test_a_file_that_is_missing_is_an_error_with_a_hint(tmp_path: Path) -> None:
    done = command("commit", str(tmp_path / "nothing"), stdin="x\n")
    assert (done.returncode, "can't be changed: [Errno 2]" in done.stderr, "HINT:" in done.stderr) == (1, True, True)


def test_check_ends_with_1_and_a_line_for_each_problem() -> None:
    done = command("check", str(ROOT / "docker/secrets.dev"))
    assert done.returncode == 1
    assert done.stderr.count("ERROR: ") == len(secret_files.GENERATED)


@pytest.mark.parametrize("arguments", [("check", "folder", "nothing"), ("generate", "nothing"), ()])
def test_wrong_usage_ends_with_2(arguments: tuple[str, ...]) -> None:
    assert command(*arguments).returncode == 2
