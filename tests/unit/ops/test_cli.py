"""The command line: every command is declared completely; wrong usage is an error that names the help."""

import argparse
import re
import runpy

import pytest

from ops import cli
from ops.cli import REGISTRY, SECTIONS, Command
from testing.shell import ROOT
from user_errors import Status, UserError

cli.load_commands()
COMMANDS = list(REGISTRY.values())
PARSER = cli.build_parser()
VERBS = """
    Apply Bring Build Cancel Change Check Compare Copy Count Create Delete Describe Drop Dump Estimate Finalise
    Free Give Import List Load Make Mark Migrate Obtain Open Print Prove Prune Read Rebuild Record Refresh Remove Reset
    Restart Restore Rewrite Reload Roll Run Send Set Show Start Stop Switch Terminate Update Upgrade Verify Write
""".split()  # noqa: SIM905
NO_TERMS = re.compile(r"\b(nobody|somebody|everybody|whoever|scratch|canary|moment|clerk)\b", re.IGNORECASE)


def parsed(*arguments: str) -> argparse.Namespace:
    return cli.parse(PARSER, list(arguments))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_its_help_line_starts_with_a_verb(command: Command) -> None:
    assert command.help.split()[0].rstrip(",") in VERBS
    assert not command.help.endswith(".")
    assert len(cli.line(command)) <= 120
    assert command.section in SECTIONS


@pytest.mark.parametrize("word", sorted(cli.first_words()))
def test_the_modules_of_a_first_word_declare_all_its_commands(word: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli, "REGISTRY", {})
    for name in cli.modules(word):
        runpy.run_path(str(ROOT / f"scripts/lib/ops/commands/{name}.py"))
    assert {name for name in cli.REGISTRY if name.split()[0] == word} == {
        one.name for one in COMMANDS if one.words[0] == word
    }


def test_another_first_word_names_no_module() -> None:
    assert cli.modules("tabels") == cli.modules("--help") == cli.modules("command") == []
    assert len(cli.modules()) > 20


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_its_texts_use_the_glossary(command: Command) -> None:
    helps = [str(option.settings.get("help", "")) for option in command.options]
    assert all(helps)
    assert not NO_TERMS.search(" ".join([command.help, command.details, *helps]))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_its_own_help_can_be_printed(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*command.words, "--help")
    assert ended.value.code == 0
    assert command.help in capsys.readouterr().out.replace("\n", " ")


def test_the_overview_lists_every_command_by_section() -> None:
    text = cli.overview()
    assert all(f"  {command.name} " in text for command in COMMANDS)
    headings = [section for section in SECTIONS if f"{section}:" in text]
    positions = [text.index(f"{section}:") for section in headings]
    assert positions == sorted(positions)
    assert len(headings) > 5


def test_an_unknown_command_suggests_the_nearest() -> None:
    error = cli.unknown("tabels")
    assert error.hint.startswith("did you mean tables")
    assert error.status == Status.USAGE


def test_a_command_without_a_near_one_names_the_help() -> None:
    assert cli.unknown("xyzzy").hint == "./scripts/ops --help"


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "countries", "--limit", "0"], ["cancel", "x"], ["cancel", "0"], ["terminate", "-1"],
        ["terminate", "1; DROP"], ["terminate", "99999999999"], ["describe"], ["slow-queries", "--order", "x"],
        ["sessions", "--over", "-1"], ["sessions", "--over", "nan"], ["tables", "--nothing"],
        ["backup", "create", "--type", "half"], ["restore", "backup"],
        ["restore", "backup", "--latest", "--backup", "x"],
        ["restore", "backup", "--latest", "--to", "2026-11-23 14:05"],
    ],
)  # fmt: skip
def test_wrong_usage_names_the_commands_help(arguments: list[str]) -> None:
    with pytest.raises(UserError) as raised:
        parsed(*arguments)
    assert raised.value.status == Status.USAGE
    words = arguments[:2] if arguments[0] in ("query", "backup", "restore") else arguments[:1]
    assert raised.value.hint == f"./scripts/ops {' '.join(words)} --help"


@pytest.mark.parametrize(
    ("arguments", "role", "pooled", "passed_on"),
    [
        (["psql"], "ops", False, []),
        (["psql", "-c", "SELECT 1"], "ops", False, ["-c", "SELECT 1"]),
        (["psql", "--as", "readonly", "--pooled", "-At", "-f", "-"], "readonly", True, ["-At", "-f", "-"]),
        (["psql", "--as=app", "-l"], "app", False, ["-l"]),
        (["psql", "-c", "SELECT 1", "--as", "app"], "ops", False, ["-c", "SELECT 1", "--as", "app"]),
    ],
)
def test_psqls_own_options_are_passed_on(arguments: list[str], role: str, pooled: bool, passed_on: list[str]) -> None:
    asked = parsed(*arguments)
    assert (asked.role, asked.pooled, asked.arguments) == (role, pooled, passed_on)
