"""ansible/filter_plugins/secrets_of_the_vault.py: what each host gets of the vault's secrets."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

import secret_files

FILE = Path(__file__).resolve().parents[2] / "ansible/filter_plugins/secrets_of_the_vault.py"
VAULT = {name: secret_files.generate(name) for name in secret_files.GENERATED}


@pytest.fixture(scope="module")
def filters() -> ModuleType:
    spec = importlib.util.spec_from_file_location("secrets_of_the_vault", FILE)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_an_application_host_gets_the_secrets_of_the_app_only(filters: ModuleType) -> None:
    texts = filters.secret_texts(VAULT, ["app"])
    assert texts == {name: VAULT[name] for name in ("app_password", "django_secret_key")}


def test_a_database_host_gets_all_and_pgbackrest_reads_its_own_format(filters: ModuleType) -> None:
    texts = filters.secret_texts(VAULT)
    assert texts.keys() == VAULT.keys()
    assert texts["backup_cipher"] == f"[global]\nrepo1-cipher-pass={VAULT['backup_cipher']}\n"
    off_site = filters.secret_texts(VAULT, off_site=True)
    assert off_site.keys() - texts.keys() == {"backup_cipher_offhost"}
    assert off_site["backup_cipher_offhost"] == f"[global]\nrepo2-cipher-pass={VAULT['backup_cipher']}\n"


def test_problems_are_named_without_values(filters: ModuleType) -> None:
    vault = {**VAULT, "app_password": "too-short", "of_your_own": "x"}
    del vault["ops_password"]
    assert filters.secret_problems(vault) == [
        "the secret ops_password is missing",
        "the secret app_password has 9 characters, fewer than 32",
    ]
