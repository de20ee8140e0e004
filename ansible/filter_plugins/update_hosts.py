"""Filters of playbooks/update-hosts.yml, with scripts/lib/maintenance.py."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts/lib"))

import maintenance


class FilterModule:
    """Entry point for Ansible."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "window_is_open": maintenance.window_is_open,
            "pending_packages": maintenance.pending_packages,
            "stops_containers": maintenance.stops_containers,
            "running_old": maintenance.running_old,
        }
