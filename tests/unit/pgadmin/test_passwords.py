"""pgadmin/policy.py: the SCRAM verifier is RFC 7677's, and production refuses weak passwords."""

import base64
import hashlib
import hmac
from pathlib import Path

import pytest

import secret_files
from pgadmin import policy
from user_errors import UserError

ROOT = Path(__file__).resolve().parents[3]
STRONG = {name: secret_files.generate(name) for name in secret_files.PASSWORDS}


def test_the_verifier_is_rfc_7677s() -> None:
    """The RFC's example gives the server's signature, which needs the ServerKey; the AuthMessage is the example's."""
    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = policy.scram_verifier("pencil", salt, 4096)
    stored, server = (base64.b64decode(key) for key in verifier.rsplit("$", 1)[1].split(":"))
    message = (
        b"n=user,r=rOprNGfwEbeRWgbNEkqO,"
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,"
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    )
    signature = base64.b64encode(hmac.digest(server, message, "sha256"))
    assert signature == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    proof = base64.b64decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=")
    client_key = bytes(a ^ b for a, b in zip(proof, hmac.digest(stored, message, "sha256"), strict=True))
    assert hashlib.sha256(client_key).digest() == stored


def test_a_verifier_of_the_same_password_is_kept() -> None:
    current = policy.scram_verifier("pencil", b"0123456789abcdef", 4096)
    assert policy.keep_or_make("pencil", current) == current


@pytest.mark.parametrize("current", [None, "md5a6343a68d964ca596d9752250d54bb8a"])
def test_another_is_replaced(current: str | None) -> None:
    assert policy.keep_or_make("pencil", current).startswith("SCRAM-SHA-256$4096:")


def test_a_verifier_of_another_password_is_replaced() -> None:
    current = policy.scram_verifier("pen", b"0123456789abcdef", 4096)
    assert policy.keep_or_make("pencil", current) != current


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of strong passwords, as the container has it."""
    monkeypatch.setattr(policy, "SECRETS", tmp_path)
    for name, password in STRONG.items():
        (tmp_path / name).write_text(f"{password}\n")
    return tmp_path


REFUSED = {
    "short": ("Zq8vR2mK5tY7wB1nL4xC9dF3gH6jP0s", "app_password has 31 characters"),
    "the new one of two": (f"{STRONG['app_password']}\nshort", "app_password has 5 characters"),
    "equal to another": (STRONG["ops_password"], "app_password and ops_password have the same value"),
}


@pytest.mark.parametrize(("password", "why"), REFUSED.values(), ids=REFUSED)
def test_production_refuses_a_password_that_is(secrets: Path, password: str, why: str) -> None:
    (secrets / "app_password").write_text(password)
    with pytest.raises(UserError) as refused:
        policy.read_passwords("production")
    assert why in str(refused.value)
    assert password not in str(refused.value)


@pytest.mark.parametrize("deployment", ["production", "development"])
def test_a_missing_or_empty_one_is_refused(secrets: Path, deployment: str) -> None:
    (secrets / "ops_password").write_text("")
    with pytest.raises(UserError, match="ops_password is empty"):
        policy.read_passwords(deployment)
    (secrets / "ops_password").unlink()
    with pytest.raises(UserError, match="ops_password can't be read"):
        policy.read_passwords(deployment)


@pytest.mark.parametrize("old", ["", "weak\n"])
def test_production_takes_strong_ones_and_the_newest_of_two(secrets: Path, old: str) -> None:
    """The old password of a change may be weak."""
    (secrets / "app_password").write_text(f"{old}{STRONG['app_password']}\n")
    expected = {name.removesuffix("_password"): password for name, password in STRONG.items()}
    assert policy.read_passwords("production") == expected


def test_development_takes_the_public_ones(secrets: Path) -> None:
    for name in STRONG:
        (secrets / name).write_text((ROOT / "docker/secrets.dev" / name).read_text())
    assert policy.read_passwords("development")["app"] == "dev_password_2024"


def test_nothing_is_applied_with_weak_passwords(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The refusal comes before the server is asked anything."""
    monkeypatch.setenv("DEPLOYMENT", "production")
    monkeypatch.setenv("APP_ROLE", "flaglearning_prod")
    monkeypatch.setattr(policy, "psql", lambda *_: pytest.fail("the server was asked"))
    (secrets / "app_password").write_text("short")
    with pytest.raises(UserError, match="app_password has 5 characters"):
        policy.apply_to("flaglearning_prod")
