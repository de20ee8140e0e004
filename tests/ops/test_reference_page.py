"""docs/reference.md: every command that it names works, on a stack with some data, in the page's order."""

import re
import shlex

import pytest

from support.ops import Ops
from testing.shell import ROOT

PAGE = (ROOT / "docs/reference.md").read_text()
COMMANDS = re.findall(r"`\./scripts/ops ([^`…]+)`", PAGE)
# The page's own words for "any command".
ANY = {"COMMAND --help", "--help"}
# The patterns of the script's `case`, "migrations state" or "reset "*; all else it passes on.
CASES = re.findall(r'^\t\t(".*?)\)', (ROOT / "scripts/ops").read_text(), re.MULTILINE)
ITS_OWN = [pattern.strip() for case in CASES for pattern in re.findall(r'"(.*?)"', case)]


def done_by_the_script(words: list[str]) -> bool:
    return any(" ".join(words[:2]).startswith(pattern) for pattern in ITS_OWN)


@pytest.mark.parametrize("command", [command for command in COMMANDS if command not in ANY])
def test_it_works(ops: Ops, players: None, command: str) -> None:
    words = shlex.split(command)
    # What the script itself does, through it; what it passes on as it is, where it would arrive.
    result = (ops.script if done_by_the_script(words) else ops)(*words)
    assert result.status == 0, result.out + result.err
    assert result.out.strip() or result.err.strip()


def test_every_section_of_the_map_is_on_the_page(ops: Ops) -> None:
    help = ops("--help", COLUMNS="200").out
    sections = re.findall(r"─ (\d) ", help)
    assert sections
    assert all(re.search(rf"^## .*\b{number}\b", PAGE, re.MULTILINE) for number in sections)


def test_every_command_of_the_map_is_on_the_page(ops: Ops) -> None:
    help = ops("--help", COLUMNS="200").out
    names = set(re.findall(r"^│ ([a-z][a-z-]+) ", help, re.MULTILINE))
    assert len(names) > 25
    assert sorted(name for name in names if not re.search(rf"\b{name}\b", PAGE)) == []
