"""docker/postgres/apply-roles: the verifier is RFC 7677's; production refuses weak passwords."""

import base64
import importlib.machinery
import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import secret_files
from testing.shell import ROOT, run

LIB = ROOT / "scripts/lib"
STRONG = {name: secret_files.generate(name) for name in secret_files.PASSWORDS}


def load() -> ModuleType:
    loader = importlib.machinery.SourceFileLoader("apply_roles", str(ROOT / "docker/postgres/apply-roles"))
    spec = importlib.util.spec_from_loader("apply_roles", loader)
    assert spec
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


script = load()


def test_the_verifier_is_rfc_7677s() -> None:
    """The RFC's example gives the server's signature, which needs the ServerKey; the AuthMessage is the example's."""
    import hashlib
    import hmac

    salt = base64.b64decode("W22ZaJ0SNY7soEsUEjb6gQ==")
    verifier = script.scram_verifier("pencil", salt, 4096)
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
    current = script.scram_verifier("pencil", b"0123456789abcdef", 4096)
    assert script.keep_or_make("pencil", current) == current


@pytest.mark.parametrize("current", [None, "md5a6343a68d964ca596d9752250d54bb8a"])
def test_another_is_replaced(current: str | None) -> None:
    assert script.keep_or_make("pencil", current).startswith("SCRAM-SHA-256$4096:")


def test_a_verifier_of_another_password_is_replaced() -> None:
    current = script.scram_verifier("pen", b"0123456789abcdef", 4096)
    assert script.keep_or_make("pencil", current) != current


def apply_roles(folder: Path, deployment: str, passwords: dict[str, str]) -> tuple[int, str]:
    """Run the script with these secrets, as far as it gets: there is no server here."""
    for name, password in passwords.items():
        (folder / name).write_text(f"{password}\n")
    database = {"APP_DATABASE": "flaglearning_prod", "APP_ROLE": "flaglearning_prod"}
    environment = {"SECRETS": str(folder), "DEPLOYMENT": deployment, **database, "PYTHONPATH": str(LIB)}
    done = run("python3", "docker/postgres/apply-roles", env=environment, check=False)
    return done.returncode, done.stderr


REFUSED = {
    "short": ("Zq8vR2mK5tY7wB1nL4xC9dF3gH6jP0s", "app_password has 31 characters"),
    "the new one of two": (f"{STRONG['app_password']}\nshort", "app_password has 5 characters"),
    "equal to another": (STRONG["ops_password"], "app_password and ops_password have the same value"),
}


@pytest.mark.parametrize(("password", "why"), REFUSED.values(), ids=REFUSED)
def test_production_refuses_a_password_that_is(tmp_path: Path, password: str, why: str) -> None:
    status, said = apply_roles(tmp_path, "production", {**STRONG, "app_password": password})
    assert (status, why in said, "HINT:" in said, password in said) == (1, True, True, False), said


@pytest.mark.parametrize("deployment", ["production", "development"])
def test_a_missing_or_empty_one_is_refused(tmp_path: Path, deployment: str) -> None:
    without = {name: STRONG[name] for name in STRONG if name != "ops_password"}
    status, said = apply_roles(tmp_path, deployment, without)
    assert (status, "ops_password can't be read" in said) == (1, True)
    status, said = apply_roles(tmp_path, deployment, {**without, "ops_password": ""})
    assert (status, "ops_password is empty" in said) == (1, True)


@pytest.mark.parametrize("app_password", [STRONG["app_password"], f"weak\n{STRONG['app_password']}"])
def test_production_takes_strong_ones(tmp_path: Path, app_password: str) -> None:
    """It gets as far as the server, which isn't here. The old password of a change may be weak."""
    _, said = apply_roles(tmp_path, "production", {**STRONG, "app_password": app_password})
    assert "applying the roles failed" in said or "psql" in said


def test_development_takes_the_public_ones(tmp_path: Path) -> None:
    public = {name: (ROOT / "docker/secrets.dev" / name).read_text().strip() for name in STRONG}
    _, said = apply_roles(tmp_path, "development", public)
    assert "applying the roles failed" in said or "psql" in said
