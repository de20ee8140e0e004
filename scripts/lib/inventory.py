"""Create an Ansible inventory with secrets of its own, and change its passwords.

    ./scripts/inventory new NAME              create ansible/inventories/NAME; a NAME with a slash is a folder elsewhere
    ./scripts/inventory stage NAME SECRET…    write new passwords into the vault, beside the current ones
    ./scripts/inventory commit NAME           make the staged passwords the current ones

rotate-passwords.yml runs `stage` before any host has a new password, so an interrupted rotation goes on with the same
ones, and `commit` when every host has them.

The secrets are in group_vars/all/vault.yml, encrypted by ansible-vault. The vault's password is in
~/.config/flaglearning/vault-password (created if it is missing; mode 0600), or where ANSIBLE_VAULT_PASSWORD_FILE says.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

import secret_files
from user_errors import Failure, OperationError, UserError

ROOT = Path(__file__).resolve().parents[2]
ANSIBLE_VAULT = str(Path(sys.executable).with_name("ansible-vault"))
STAGED = "stack_secrets_next"
STAGED_COMMENT = "# A password rotation is under way: rotate-passwords.yml\n"


# ------------------------------------------------------------ the vault's text (pure)


def new_vault() -> str:
    """The text of a new vault: one random value for each secret, and the passphrase of the CA's key."""
    values = "".join(f"  {name}: {secret_files.generate(name)}\n" for name in secret_files.GENERATED)
    return (
        "# Encrypted by ./scripts/inventory. Show it: ansible-vault view FILE. Change it: ansible-vault edit FILE.\n"
        f"stack_secrets:\n{values}"
        "# The CA's key is in the inventory's pki/, encrypted with this passphrase.\n"
        f"pki_ca_passphrase: {secret_files.generate('backup_cipher')}\n"
    )


def with_staged(text: str, names: list[str]) -> str:
    """The vault with a new password for each name; one that is staged already is kept. Other lines stay as they are."""
    vault = read(text)
    unknown = sorted(set(names) - vault["stack_secrets"].keys())
    if unknown:
        raise UserError(f"the vault has no secret {', '.join(unknown)}", f"one of: {' '.join(secret_files.PASSWORDS)}")
    staged = vault.get(STAGED) or {}
    new = {name: secret_files.generate(name) for name in names if name not in staged}
    return without_staged(text) + STAGED_COMMENT + section(STAGED, {**staged, **new})


def with_committed(text: str) -> str:
    """The vault with the staged passwords in place of the current ones."""
    vault = read(text)
    staged = vault.pop(STAGED, None)
    if not staged:
        raise OperationError("the vault has no staged passwords", "./scripts/inventory stage NAME SECRET…")
    text = without_staged(text)
    for name, value in staged.items():
        text = re.sub(rf"^(\s+{re.escape(name)}:).*$", rf"\g<1> {value}", text, count=1, flags=re.MULTILINE)
    vault["stack_secrets"].update(staged)
    if read(text) != vault:
        raise OperationError(
            f"the staged passwords can't be moved to stack_secrets: {STAGED} or stack_secrets has another layout",
            f"move them by hand: ansible-vault edit; one line `name: value` for each secret, then remove {STAGED}",
        )
    return text


def without_staged(text: str) -> str:
    """The vault's text without its section of staged passwords."""
    return re.sub(rf"^{STAGED}:.*\n(?:[ \t]+.*\n)*", "", text.replace(STAGED_COMMENT, ""), flags=re.MULTILINE)


def section(name: str, values: dict[str, str]) -> str:
    """A YAML mapping of plain scalars."""
    return f"{name}:\n" + "".join(f"  {key}: {value}\n" for key, value in values.items())


def read(text: str) -> dict[str, Any]:
    """The vault's variables."""
    vault = yaml.safe_load(text)
    if not isinstance(vault, dict) or not isinstance(vault.get("stack_secrets"), dict):
        raise OperationError(
            "the vault has no mapping stack_secrets", "ansible-vault edit; see ./scripts/inventory new"
        )
    return vault


# ------------------------------------------------------------ ansible-vault


def ansible_vault(password_file: Path, *words: str, stdin: str = "") -> str:
    """Run it; its standard output. The locale is one that every system has: ansible refuses one that is missing."""
    done = subprocess.run(
        [ANSIBLE_VAULT, *words, "--vault-password-file", str(password_file)],
        input=stdin, text=True, capture_output=True, encoding="utf-8", env={**os.environ, "LC_ALL": "C.UTF-8"},
    )  # fmt: skip
    if done.returncode:
        raise OperationError(
            f"ansible-vault {words[0]} failed",
            f"the password in {password_file} has to be the one of this inventory",
            done.stderr.strip() or f"exit status {done.returncode}",
        )
    return done.stdout


def decrypt(vault: Path, password_file: Path) -> str:
    """The vault's text, which is never on disk."""
    if not vault.is_file():
        raise UserError(f"there is no vault {vault}", "./scripts/inventory new NAME creates an inventory")
    if not password_file.exists():
        raise UserError(
            f"there is no vault password in {password_file}",
            "copy it there (mode 0600) from your team's password store, or export ANSIBLE_VAULT_PASSWORD_FILE",
        )
    return ansible_vault(password_file, "view", str(vault))


def encrypt(text: str, vault: Path, password_file: Path) -> None:
    """Replace the vault in one step: it is the old one or the new one."""
    unfinished = vault.with_name(f"{vault.name}.new")
    words = ("encrypt", "--encrypt-vault-id", "default", "--output", str(unfinished), "-")
    ansible_vault(password_file, *words, stdin=text)
    unfinished.replace(vault)


# ------------------------------------------------------------ commands


def new(folder: Path, vault: Path, password_file: Path) -> None:
    """Create an inventory from the example."""
    if folder.exists():
        raise UserError(f"{folder} exists and was not changed", "choose another name, or remove the folder first")
    if not password_file.exists():
        password_file.parent.mkdir(parents=True, exist_ok=True)
        password_file.write_text(secret_files.generate("backup_cipher") + "\n", encoding="utf-8")
        print(f"Created the vault password {password_file}. Keep a copy: without it the secrets can't be read.")
    shutil.copytree(ROOT / "ansible/inventories/example", folder)
    try:
        vault.parent.mkdir(parents=True, exist_ok=True)
        encrypt(new_vault(), vault, password_file)
    except Failure:
        shutil.rmtree(folder)
        raise
    print(f"Created {folder}. Next: write your hosts into hosts.yml and your names into group_vars/all/main.yml, then")
    print(f"  cd ansible && ansible-playbook -i {folder} playbooks/site.yml")


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./scripts/inventory", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="COMMAND")
    verbs.add_parser("new", help="create an inventory with secrets of its own").add_argument("name")
    staging = verbs.add_parser("stage", help="write new passwords into the vault, beside the current ones")
    staging.add_argument("name")
    staging.add_argument("secrets", nargs="+", metavar="SECRET", help=" | ".join(secret_files.PASSWORDS))
    verbs.add_parser("commit", help="make the staged passwords the current ones").add_argument("name")
    asked = parser.parse_args(arguments)
    # A path is relative to the folder in which the command was typed.
    folder = Path(asked.name).absolute() if "/" in asked.name else ROOT / "ansible/inventories" / asked.name
    vault = folder / "group_vars/all/vault.yml"
    password_file = Path(os.environ.pop("ANSIBLE_VAULT_PASSWORD_FILE", "") or default_password_file()).absolute()
    os.umask(0o077)
    try:
        if asked.verb == "new":
            new(folder, vault, password_file)
        elif asked.verb == "stage":
            encrypt(with_staged(decrypt(vault, password_file), asked.secrets), vault, password_file)
        else:
            encrypt(with_committed(decrypt(vault, password_file)), vault, password_file)
    except Failure as failure:
        failure.show()
        return int(failure.status)
    return 0


def default_password_file() -> Path:
    """Where ansible/vault-password looks, too."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "flaglearning/vault-password"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
