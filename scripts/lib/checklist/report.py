"""The report, four ways: for the terminal, JSON and JUnit XML for machines, and one self-contained HTML page."""

import json
import os
import shutil
import sys
import textwrap
from html import escape
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from checklist.results import Result, Run

WORDS = {
    "pass": "pass", "deviation": "deviates", "not proven": "not proven", "does not apply": "does not apply",
    "fail": "FAIL", "not run": "not run",
}  # fmt: skip
COLOURS = {"pass": 32, "deviation": 33, "not proven": 33, "does not apply": 2, "fail": 31, "not run": 2}


def write(run: Run, folder: Path) -> None:
    """checklist.json, checklist.xml and checklist.html in the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "checklist.json").write_text(as_json(run))
    (folder / "checklist.xml").write_text(as_junit(run))
    (folder / "checklist.html").write_text(as_html(run))


def show(run: Run, folder: Path) -> None:
    """Print it: coloured on a terminal, plain anywhere else."""
    width = min(max(shutil.get_terminal_size((100, 24)).columns, 80), 120)
    colour = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    print(as_text(run, width, colour))
    where = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
    print(f"\n{where}/checklist.html (also .json, .xml)")


def remedies(run: Run) -> list[Result]:
    """The checks with a remedy to apply."""
    worth = ("fail", "not proven") if run.deployment == "production" else ("fail",)
    return [result for item in run.items for result in item.results if result.outcome in worth]


def to_do(run: Run) -> dict[str, list[str]]:
    """Remedy → the checks that it is for."""
    found: dict[str, list[str]] = {}
    for result in remedies(run):
        found.setdefault(result.check.remedy, []).append(result.check.id)
    return found


def conclusion(run: Run) -> str:
    """One sentence."""
    failed = [item for item in run.items if item.verdict == "fail"]
    if failed:
        return f"{len(failed)} of {len(run.items)} items fail: {'; '.join(item.title for item in failed)}."
    if unchecked := [item for item in run.items if item.verdict == "not run"]:
        return f"No check that ran failed; {len(unchecked)} of {len(run.items)} items were not checked."
    if run.deployment == "development":
        return (
            "Every check that applies to development passed. Deviations are relaxed on purpose and not fit for"
            " production."
        )
    elsewhere = sum(result.outcome == "does not apply" for result in run.results)
    but = f" {elsewhere} checks do not apply to this target; each says why." if elsewhere else ""
    return f"Ready for production: every check that applies passed.{but}"


# ------------------------------------------------------------------ terminal


def as_text(run: Run, width: int = 100, colour: bool = False) -> str:
    """The report as lines of at most `width` characters."""

    def paint(text: str, kind: str) -> str:
        return f"\033[{COLOURS[kind]}m{text}\033[0m" if colour else text

    def wrapped(text: str, indent: int, first: str = "") -> list[str]:
        return textwrap.wrap(text, width, initial_indent=first or " " * indent, subsequent_indent=" " * indent)

    lines = [
        f"Production checklist of {run.target} ({run.deployment}), {run.at:%Y-%m-%d %H:%M} UTC, {run.seconds:.0f} s",
        *wrapped(", ".join(run.hosts), 0),
        "",
    ]
    lines += [
        f"  {paint(f'{WORDS[item.verdict]:15}', item.verdict)} {item.number}  {item.title:44} {item.counts}"
        for item in run.items
    ]
    for item in run.items:
        if item.results:
            lines += ["", f"{item.number}  {item.title}"]
        for result in item.results:
            # The colour's invisible characters must not count when the line is wrapped.
            head = wrapped(result.check.claim, 27, f"  {WORDS[result.outcome]:15}{result.check.id:9} ")
            head[0] = head[0].replace(WORDS[result.outcome], paint(WORDS[result.outcome], result.outcome), 1)
            lines += head
            if result.reason:
                lines += [paint(line, result.outcome) for line in wrapped(result.reason, 27)]
            for seen in result.evidence:
                lines += wrapped(str(seen), 31, " " * 29 + "· ")
    if todo := to_do(run):
        lines += ["", "What to do"]
        for remedy, ids in todo.items():
            lines += [*wrapped(", ".join(ids), 2), *wrapped(remedy, 12)]
    return "\n".join([*lines, "", *wrapped(conclusion(run), 0)])


# ------------------------------------------------------------------ machines


def as_json(run: Run) -> str:
    """Everything, with stable keys."""
    items: list[dict[str, Any]] = [
        {
            "number": item.number,
            "title": item.title,
            "verdict": item.verdict,
            "checks": [
                {
                    "id": result.check.id,
                    "claim": result.check.claim,
                    "outcome": result.outcome,
                    "reason": result.reason,
                    "evidence": [seen._asdict() for seen in result.evidence],
                    "remedy": result.check.remedy,
                    "seconds": round(result.seconds, 2),
                }
                for result in item.results
            ],
        }
        for item in run.items
    ]
    whole = {
        "target": run.target,
        "hosts": run.hosts,
        "deployment": run.deployment,
        "at": run.at.isoformat(timespec="seconds"),
        "seconds": round(run.seconds, 1),
        "ok": run.ok,
        "items": items,
    }
    return json.dumps(whole, indent=2, ensure_ascii=False) + "\n"


def as_junit(run: Run) -> str:
    """One suite for each item, one case for each check; a deviation is a skipped case with its reason."""
    root = ElementTree.Element("testsuites", name=f"checklist {run.target}")
    for item in run.items:
        suite = ElementTree.SubElement(
            root, "testsuite", name=item.title, timestamp=run.at.isoformat(timespec="seconds")
        )
        counts = {"tests": len(item.results), "failures": 0, "skipped": 0}
        for result in item.results:
            case = ElementTree.SubElement(
                suite,
                "testcase",
                classname=f"checklist.{result.check.item}",
                name=f"{result.check.id} {result.check.claim}",
                time=f"{result.seconds:.2f}",
            )
            if result in remedies(run):
                counts["failures"] += 1
                failure = ElementTree.SubElement(case, "failure", message=printable(result.reason), type=result.outcome)
                failure.text = f"what to do: {result.check.remedy}"
            elif result.outcome != "pass":
                counts["skipped"] += 1
                ElementTree.SubElement(case, "skipped", message=printable(f"{result.outcome}: {result.reason}"))
            ElementTree.SubElement(case, "system-out").text = printable("\n".join(map(str, result.evidence)))
        suite.attrib.update({name: str(count) for name, count in counts.items()})
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def printable(text: str) -> str:
    """Without the control characters that XML can't carry."""
    return "".join(character for character in text if character.isprintable() or character == "\n")


# ------------------------------------------------------------------ people


def as_html(run: Run) -> str:
    """A page that needs nothing else: no script, no font, no request."""
    style = (Path(__file__).parent / "report.css").read_text()
    ok = "pass" if run.ok else "fail"
    headline = {
        ("pass", "production"): "Ready for production",
        ("pass", "development"): "Ready for development",
    }.get(
        (ok, run.deployment),
        f"Not ready for {run.deployment}" if run.deployment == "production" else "Checks failed",
    )
    rows = "".join(
        f'<li><a href="#item-{item.number}"><span class="mark {css(item.verdict)}">{WORDS[item.verdict]}</span>'
        f"<span>{escape(item.title)}<small>{item.counts}</small></span></a></li>"
        for item in run.items
    )
    sections = "".join(
        f'<section id="item-{item.number}"><h2><span class="mark {css(item.verdict)}">{WORDS[item.verdict]}</span>'
        f"{item.number}. {escape(item.title)}</h2>"
        f"{''.join(check_as_html(result, run) for result in item.results)}</section>"
        for item in run.items
        if item.results
    )
    todo = "".join(
        f"<li>{' '.join(map(link, ids))}<br>{with_code(sentence(remedy))}</li>" for remedy, ids in to_do(run).items()
    )
    hosts = f"<dt>Hosts</dt><dd class=wide>{escape(', '.join(run.hosts))}</dd>" if run.hosts else ""
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{headline}: checklist of {escape(run.target)}</title>
<style>{style}</style>
<header class="{ok}">
<p class="kicker">Production checklist</p>
<h1>{headline}</h1>
<p>{escape(conclusion(run))}</p>
<dl><dt>Target</dt><dd>{escape(run.target)}</dd><dt>Deployment</dt><dd>{run.deployment}</dd>
<dt>Checked</dt><dd>{run.at:%Y-%m-%d %H:%M} UTC</dd>
<dt>Checks</dt><dd>{len(run.results)} in {run.seconds:.0f} s</dd>{hosts}</dl>
</header>
<main>
<ol class="items">{rows}</ol>
{f'<section class="todo"><h2>What to do</h2><ul>{todo}</ul></section>' if todo else ""}
{sections}
</main>
</html>
"""


def check_as_html(result: Result, run: Run) -> str:
    evidence = "".join(
        f"<li>{f'<b>{escape(host)}</b> ' if host else ''}{escape(line)}</li>" for line, host in result.evidence
    )
    remedy = (
        f'<p class="remedy"><b>What to do:</b> {with_code(sentence(result.check.remedy))}</p>'
        if result in remedies(run)
        else ""
    )
    return (
        f'<article id="{result.check.id}" class="{css(result.outcome)}">'
        f'<h3><span class="id">{result.check.id}</span> {escape(sentence(result.check.claim))}'
        f'<span class="mark {css(result.outcome)}">{WORDS[result.outcome]}</span></h3>'
        + (f'<p class="reason">{escape(sentence(result.reason))}</p>' if result.reason else "")
        + (f"<ul>{evidence}</ul>" if evidence else "")
        + remedy
        + "</article>"
    )


def sentence(text: str) -> str:
    """With a capital letter, unless it begins with a name that has none."""
    return text if "_" in text.split()[0] else text[0].upper() + text[1:]


def link(id: str) -> str:
    return f'<a class="id" href="#{id}">{id}</a>'


def with_code(text: str) -> str:
    """`…` becomes <code>."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))


def css(word: str) -> str:
    return word.replace(" ", "-")
