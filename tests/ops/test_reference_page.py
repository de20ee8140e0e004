"""docs/reference.md: every complete command on it works, on a stack with some data, in the page's order.

That each command exists, and that the page has all of them: tests/unit/ops/test_documentation.py."""

import re
import shlex
from pathlib import Path

import pytest

from support.ops import Ops
from testing.shell import ROOT

PAGE = (ROOT / "docs/reference.md").read_text()
# What can't be typed as it is: a placeholder, an example's time.
PLACEHOLDER = re.compile(r"\b(NAME|FILE|ROLE|PID|LABEL)\b|--help|'[0-9]{4}-")
COMMANDS = [
    command for command in re.findall(r"`\./scripts/ops ([^`…]+)`", PAGE)
    if not PLACEHOLDER.search(command) and command not in ("up", "rollout", "certificate renew", "top")
    and not command.startswith("cluster")  # tests/cluster; top: test_top.py
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_it_works(ops: Ops, players: None, tmp_path: Path, command: str) -> None:
    result = ops.script(*shlex.split(command.replace("FOLDER", str(tmp_path / "folder"))))
    assert result.status == 0, result.out + result.err
    assert result.out.strip() or result.err.strip()
