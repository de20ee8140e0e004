"""Filters of the role preflight, with scripts/lib/cluster_inventory.py: whether the hosts can be a database cluster."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/lib"))

import cluster_inventory


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "group_problems": cluster_inventory.group_problems,
            "setting_problems": cluster_inventory.setting_problems,
            "data_problems": cluster_inventory.data_problems,
        }
