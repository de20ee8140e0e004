"""ansible/README.md has every variable of the roles in one table, and every variable in it exists."""

import re

import yaml

from testing.shell import ROOT

ROLES = ROOT / "ansible/roles"
# Of one task file, set by the playbook or role that includes it.
OF_INCLUDES = {
    "stack_app_rollback",
    "stack_rotate",
    "firewall_from",
    "stack_project",
    "stack_unit_name",
    "images_upgrade",
}
# Set by the inventory, without a default. update_window: of playbooks/update-hosts.yml, which is refused without it.
REQUIRED = {"stack_allowed_hosts", "firewall_admin_networks", "update_window"}


def test_the_table_of_variables_is_complete_and_true() -> None:
    defaults = {name for file in ROLES.glob("*/defaults/main.yml") for name in yaml.safe_load(file.read_text()) or {}}
    section = (ROOT / "ansible/README.md").read_text().partition("## Inventory variables\n")[2].partition("\n## ")[0]
    second_column = "\n".join(
        line.split(" | ")[1] for line in section.splitlines() if line.startswith("|") and " | " in line
    )
    named = set(re.findall(r"`([a-z][a-z0-9]*_[a-z0-9_]+)", second_column))
    assert named == (defaults - OF_INCLUDES) | REQUIRED
