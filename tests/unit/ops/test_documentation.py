"""What the documentation says about commands and files exists: no Docker, every page."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

import alerts_page
import cluster_faults_page
from ops import cli, cli_page
from ops.flows import timers
from testing.shell import ROOT
from user_errors import UserError

PAGES = [
    *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "ansible/README.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
GENERATED = ("cli.md", "benchmarks.md", "cluster-faults.md")
WRITTEN = [page for page in PAGES if page.name not in GENERATED]
PLACEHOLDERS = {"PID": "1", "N": "1", "ROLE": "app", "ID": "abc"}
COMMAND = re.compile(r"\./scripts/ops (.+)")
SHELL = re.compile(r"\s(?:[|>&;]|2>|#)\s?.*")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def code(page: Path) -> list[str]:
    """Indented and fenced lines, and code spans."""
    text = re.sub(r"<!--.*?-->", "", page.read_text(), flags=re.DOTALL)
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    fenced = [line for block in blocks for line in block.split("\n")]
    text = re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)
    return [*fenced, *re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE), *re.findall(r"`([^`\n]+)`", text)]


def commands(page: Path) -> list[str]:
    """The arguments of ./scripts/ops in a page's code."""
    found = (COMMAND.search(line) for line in code(page))
    return [SHELL.sub("", match[1].replace(r"\|", "|")).strip() for match in found if match]


NAMED = sorted({(name_of(page), line) for page in WRITTEN for line in commands(page)})


@pytest.fixture(scope="module")
def parser() -> cli.Parser:
    cli.load_commands()
    return cli.build_parser()


def test_the_page_of_commands_is_the_generated_one() -> None:
    cli.load_commands()
    assert (ROOT / "docs/cli.md").read_text() == cli_page.render(), "run ./scripts/docs"


def test_the_page_of_alerts_is_the_generated_one() -> None:
    assert (ROOT / alerts_page.PAGE).read_text() == alerts_page.render(ROOT), "run ./scripts/docs"


def test_the_page_of_a_clusters_faults_is_the_generated_one() -> None:
    assert (ROOT / cluster_faults_page.PAGE).read_text() == cluster_faults_page.render(ROOT), "run ./scripts/docs"


JUNIT = """<testsuites><testsuite timestamp="2026-11-30T11:20:00">
<testcase name="test_good[haproxy]"><properties>
<property name="fault" value='{"gap_s": 2.31, "lost": 0}'/></properties></testcase>
<testcase name="test_bad"><properties><property name="fault" value='{"gap_s": 9}'/></properties>
<failure message="gap"/></testcase>
<testcase name="test_without_figures"/>
</testsuite></testsuites>"""


def test_figures_of_a_fault_are_taken_from_passed_tests_alone() -> None:
    assert cluster_faults_page.reported(JUNIT) == {
        "test_good[haproxy]": {"gap_s": 2.31, "lost": 0, "date": "2026-11-30"}
    }


@pytest.mark.parametrize(("page", "line"), NAMED)
def test_a_command_in_the_documentation_is_accepted(parser: cli.Parser, page: str, line: str) -> None:
    words = [PLACEHOLDERS.get(word, word) for word in shlex.split(line)]
    if words[0] in ("COMMAND", "--help") or words[-1] == "--help":
        return
    if "…" in words:  # an abbreviated line: only its command is checked
        name = " ".join(words[: words.index("…")])
        assert any(f"{known} ".startswith(f"{name} ") for known in cli.REGISTRY), f"{page}: no command {name}"
        return
    try:
        asked = parser.parse_args(cli.with_separator(words))
    except (UserError, argparse.ArgumentError) as error:
        pytest.fail(f"{page}: ./scripts/ops {line}: {error}")
    assert hasattr(asked, "run"), f"{page}: ./scripts/ops {line} is a group of commands"


def test_every_timer_is_on_the_pages_for_hosts_and_for_one_machine() -> None:
    hosts, one_machine = (ROOT / name for name in ("ansible/README.md", "docs/production.md"))
    for group, declared in timers.declared().items():
        for name, timer in declared.items():
            assert f"| `{name}` |" in hosts.read_text(), name
            if group != "backup-host":
                command = " ".join([*timer.get("environment", "").split(), "./scripts/ops", timer["command"]])
                assert f"`{command}`" in one_machine.read_text(), command


def test_every_shared_module_has_its_place_in_the_architecture() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text()
    assert [file.name for file in (ROOT / "scripts/lib").glob("*.py") if f"`{file.name}`" not in text] == []


def test_every_command_is_on_the_reference_page() -> None:
    cli.load_commands()
    page = (ROOT / "docs/reference.md").read_text()
    assert [name for name in cli.REGISTRY if not re.search(rf"(?<![\w-]){name}(?![\w-])", page)] == []


@pytest.mark.parametrize("page", [*WRITTEN, ROOT / "CHANGELOG.md"], ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"`[^`\n]*`", "", page.read_text())):
        if "://" in link:
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def anchors(page: Path) -> set[str]:
    """GitHub's anchors of a page's headings."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


DECISIONS = sorted((ROOT / "docs/adr").glob("0*.md"))
STATUS = r"\| (?P<status>accepted|replaced by)\b.* \| \d{4}-\d\d-\d\d(?:, replaced \d{4}-\d\d-\d\d)? \|"


@pytest.mark.parametrize("file", DECISIONS, ids=lambda file: file.name[:4])
def test_a_decision_has_number_status_and_date(file: Path) -> None:
    """And sections, unless another one has replaced it; the list names it."""
    text, number = file.read_text(), int(file.name[:4])
    head = re.match(rf"# ADR {number}: (?P<title>.+)\n\n\| status \| date \|\n\|---\|---\|\n{STATUS}\n", text)
    assert head, f"{file.name}: not `# ADR {number}: TITLE`, status and date, as in the others"
    sections = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert sections == ([] if head["status"] == "replaced by" else ["Context", "Decision", "Consequences"])
    replaced = ": replaced by " if head["status"] == "replaced by" else " |"
    assert f"| {number} | [{head['title']}]({file.name}){replaced}" in (file.parent / "README.md").read_text()


@pytest.mark.parametrize("page", [*WRITTEN, ROOT / "CHANGELOG.md", ROOT / ".env.example"], ids=name_of)
def test_lines_are_short_and_subjects_are_named(page: Path) -> None:
    lines = list(enumerate(page.read_text().splitlines(), 1))
    assert [number for number, line in lines if len(line) > 120 and not line.startswith("|")] == []
    pronouns = re.compile(r"\b(no|some|every)body\b|\bwhoever\b", re.IGNORECASE)
    assert [(number, line) for number, line in lines if pronouns.search(line)] == []
