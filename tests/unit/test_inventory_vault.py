"""scripts/lib/inventory.py: the vault's text before and after a rotation."""

import pytest
import yaml

import secret_files
from inventory import STAGED, new_vault, with_committed, with_staged
from user_errors import OperationError, UserError


def test_a_new_vault_has_every_secret_and_passes_the_check_of_production() -> None:
    vault = yaml.safe_load(new_vault())
    assert list(vault["stack_secrets"]) == list(secret_files.GENERATED)
    assert secret_files.problems(vault["stack_secrets"]) == []
    assert len(vault["pki_ca_passphrase"]) == 48


def test_a_rotation_changes_the_named_secrets_and_no_other_line() -> None:
    vault = new_vault() + "# of your own\nmine:\n  app_password: of another program\n"
    staged = with_staged(vault, ["app_password", "ops_password"])
    assert staged.startswith(vault)
    again = with_staged(staged, ["app_password", "readonly_password"])
    noted = yaml.safe_load(again)[STAGED]
    assert list(noted) == ["app_password", "ops_password", "readonly_password"]
    assert noted["app_password"] == yaml.safe_load(staged)[STAGED]["app_password"], "a staged password is kept"
    committed = with_committed(again)
    changed = [old for old, new in zip(vault.splitlines(), committed.splitlines(), strict=True) if old != new]
    assert {line.partition(":")[0].strip() for line in changed} == noted.keys()
    assert yaml.safe_load(committed)["stack_secrets"] == {**yaml.safe_load(vault)["stack_secrets"], **noted}


def test_staged_passwords_in_the_middle_of_the_vault() -> None:
    staged = with_staged(new_vault(), ["app_password"]) + "mine: 1\n"
    committed = with_committed(staged)
    assert STAGED not in committed
    assert committed.endswith("mine: 1\n")


def test_an_unknown_secret_is_refused() -> None:
    with pytest.raises(UserError, match="no secret postgres_password"):
        with_staged(new_vault(), ["app_password", "postgres_password"])


def test_a_layout_that_can_not_be_edited_is_refused() -> None:
    vault = yaml.safe_load(with_staged(new_vault(), ["app_password"]))
    flow = yaml.safe_dump(vault, default_flow_style=True, width=10_000)
    with pytest.raises(OperationError, match="another layout"):
        with_committed(flow)


@pytest.mark.parametrize("text", ["", "- a\n", "stack_secrets: x\n"])
def test_what_is_no_vault_is_refused(text: str) -> None:
    with pytest.raises(OperationError, match="no mapping stack_secrets"):
        with_committed(text)
