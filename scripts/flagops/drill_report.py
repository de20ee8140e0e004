"""The drill's report, for machines (JSON, metrics) and for people (a page, some lines); and how old things may be."""

import json
import os
from datetime import UTC, datetime, timedelta
from html import escape
from pathlib import Path
from typing import Any

from flagops import stack
from flagops.errors import Refused
from flagops.output import duration, note, size

FOLDER = Path(os.environ.get("REPORTS", "/reports"))
STYLE = Path(__file__).parents[1] / "report.css"
BACKUP_AGE = timedelta(hours=26)  # a backup a day, and some time to make it
EXPOSED = 180.0  # seconds: archive_timeout is 45, and an upload may be under way


def make(found: dict[str, Any]) -> dict[str, Any]:
    """From what ./scripts/ops gathered: `chosen`, `ready` (null if it could not be restored), and `parts`, each a
    check or a list of them."""
    chosen, ready = found["chosen"], found["ready"] or {}
    checks = [check for part in found["parts"] for check in (part if isinstance(part, list) else [part])]
    rpo = chosen["rpo"]["worst"]
    return {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "passed": bool(checks) and all(check["ok"] for check in checks),
        "deployment": stack.DEPLOYMENT,
        "database": stack.APP_DATABASE,
        "backup": chosen["plan"]["label"],
        "newest_backup": chosen["newest_backup"],
        "repository": chosen["repository"],
        "moment": chosen["moment"]["name"],
        "moment_at": chosen["moment"]["at"],
        "of_moments": chosen["moments"],
        "tables": len(chosen["moment"]["manifest"]),
        "rows": sum(table["rows"] for table in chosen["moment"]["manifest"].values()),
        "rpo_seconds": None if rpo is None else round(rpo, 1),
        "rpo_measured": chosen["rpo"]["measured"],
        "rto_seconds": ready.get("seconds", {}).get("first_query"),
        "restore_seconds": ready.get("seconds", {}).get("restore"),
        "checks": checks,
    }


def write(report: dict[str, Any]) -> None:
    """The newest report, in three forms, each in one step."""
    for name, text in (
        ("drill.json", json.dumps(report, indent=2, ensure_ascii=False) + "\n"),
        ("drill.html", as_html(report)),
        ("flaglearning_backup_drill.prom", as_metrics(report)),
    ):
        file = FOLDER / name
        try:
            file.with_suffix(".new").write_text(text)
            file.with_suffix(".new").chmod(0o644)
            file.with_suffix(".new").rename(file)
        except OSError as error:
            note(f"{file} could not be written ({error.strerror}): REPORTS_DIR has to be writable by uid {os.getuid()}")


def as_metrics(report: dict[str, Any]) -> str:
    """For node_exporter's textfile collector."""
    at = datetime.fromisoformat(report["at"]).timestamp()
    values = {
        "last_timestamp_seconds": ("When the newest drill ended.", at),
        "passed": ("Whether everything that it compared was the same.", int(report["passed"])),
        "rpo_seconds": (
            "The most that would have been lost at any time in the last seven days.",
            report["rpo_seconds"],
        ),
        "rto_seconds": ("From the command to the first query on the restored server.", report["rto_seconds"]),
        "rows": ("Rows that were compared.", report["rows"]),
    }
    lines = []
    for name, (help, value) in values.items():
        if value is not None:
            metric = f"flaglearning_backup_drill_{name}"
            lines += [f"# HELP {metric} {help}", f"# TYPE {metric} gauge", f"{metric} {value}"]
    return "\n".join(lines) + "\n"


# ------------------------------------------------------------ people


def headline(report: dict[str, Any]) -> str:
    """The one sentence."""
    if report["passed"]:
        return "The backups restore"
    return "The backups did not restore" if report["rto_seconds"] is None else "What was restored is not what was there"


def conclusion(report: dict[str, Any]) -> str:
    """And the second."""
    # a report of an older version, which the server keeps, doesn't say which repository it was
    backup = report["backup"] + (" of the backup host" if report.get("repository", 1) > 1 else "")
    moment = datetime.fromisoformat(report["moment_at"])
    if report["rto_seconds"] is None:
        return f"From the backup {backup}, to {moment:%Y-%m-%d %H:%M:%S} UTC."
    return (
        f"{backup} was restored to {moment:%Y-%m-%d %H:%M:%S} UTC; "
        f"{report['rows']:,} rows in {report['tables']} tables were compared with what was there then."
    )


def figures(report: dict[str, Any]) -> dict[str, str]:
    """What was measured."""
    rpo, rto, files = report["rpo_seconds"], report["rto_seconds"], report["restore_seconds"]
    return {
        "RPO": f"{in_words(rpo)} at worst, of {report['rpo_measured']:,} measurements in seven days",
        "RTO": f"{in_words(rto)} to the first query; {in_words(files)} of them for the files",
        "Moment": f"{report['moment']}, one of {report['of_moments']}",
        "Newest backup": report["newest_backup"],
        "Database": f"{report['database']} ({report['deployment']})",
        "Drill": f"{datetime.fromisoformat(report['at']):%Y-%m-%d %H:%M} UTC",
    }


def in_words(seconds: float | None) -> str:
    """12.3 s."""
    return "not measured" if seconds is None else duration(timedelta(seconds=seconds))


def as_text(report: dict[str, Any]) -> str:
    """Some lines."""
    checks = [f"  {'✓' if check['ok'] else '✗'} {check['check']:48} {check['saw']}" for check in report["checks"]]
    measured = [f"  {name:14} {value}" for name, value in figures(report).items()]
    return "\n".join([f"{headline(report)}. {conclusion(report)}", "", *checks, "", *measured])


def as_html(report: dict[str, Any]) -> str:
    """A page that needs nothing else: no script, no font, no request. It looks like the checklist's."""
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in figures(report).items())
    articles = "".join(
        f'<article class="{css(check["ok"])}"><h3>{escape(check["check"][0].upper() + check["check"][1:])}'
        f'<span class="mark {css(check["ok"])}">{css(check["ok"])}</span></h3>'
        f"<ul><li>{escape(check['saw'])}</li></ul></article>"
        for check in report["checks"]
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{headline(report)}: drill of {escape(report["database"])}</title>
<style>{STYLE.read_text() if STYLE.exists() else ""}</style>
<header class="{css(report["passed"])}">
<p class="kicker">Restore drill</p>
<h1>{headline(report)}</h1>
<p>{escape(conclusion(report))}</p>
<dl>{terms}</dl>
</header>
<main>{articles}</main>
</html>
"""


def css(ok: bool) -> str:
    """The class of a mark, and its word."""
    return "pass" if ok else "fail"


# ------------------------------------------------------------ is it well now?


def problem_of(found: dict[str, Any]) -> Refused | None:
    """What is wrong with backups and archiving, the worst first, from `physical info`."""
    server = found.get("server") or {}
    backups = found["backups"]
    if server.get("archive_mode") == "off":
        return Refused(
            "the server doesn't archive: there are no physical backups.", "COMPOSE_PROFILES=backup (docs/production.md)"
        )
    if found["state"] != "ok":
        return Refused(
            f"the repository can't be used: {found['state']}",
            "docker compose logs --tail 20 postgres backup; df -h; ls -ld of BACKUP_REPOSITORY_DIR",
            found.get("why", ""),
        )
    if (copy := found.get("copy")) and copy["state"] != "ok":
        return Refused(
            f"the repository on the backup host can't be used: {copy['state']}",
            "./scripts/ops backup info on this host again when that one is back: the gap closes by itself",
            f"{copy.get('why', '')} {server.get('waiting', 0)} segments wait here.".strip(),
        )
    if server.get("failing"):
        return Refused(
            "the write-ahead log doesn't get into the repository; it piles up on the server's disk.",
            "room, or the repository back: then the gap closes by itself. docker compose logs --tail 20 postgres",
            f"{server['waiting']} segments wait",
        )
    if (server.get("exposed_s") or 0) > EXPOSED:
        return Refused(
            f"the archive stands still: {duration(timedelta(seconds=server['exposed_s']))} of writes would be lost.",
            "docker compose logs --tail 20 postgres; docker compose ps backup",
        )
    if not backups:
        return Refused("there is no physical backup yet.", "./scripts/ops backup physical")
    if bad := [one["label"] for one in backups if one["error"]]:
        return Refused(
            f"pages with a wrong checksum are in the backup {', '.join(bad)}: the data directory is or was damaged.",
            "./scripts/ops backup verify names the files; docs/runbooks/restore.md",
        )
    if (age := age_of(backups[-1]["stop"])) > BACKUP_AGE:
        return Refused(
            f"the newest physical backup is {duration(age)} old.",
            "./scripts/ops backup physical; docker compose logs backup",
        )
    return problem_of_the_copy(copy) if copy else None


def problem_of_the_copy(copy: dict[str, Any]) -> Refused | None:
    """The second repository can be used; is what it holds good, and of now?"""
    hint = "on the backup host: docker compose logs --tail 20 backup"
    if not copy["backups"]:
        return Refused("the backup host has no physical backup yet.", hint)
    if bad := [one["label"] for one in copy["backups"] if one["error"]]:
        return Refused(
            f"pages with a wrong checksum are in the backup host's backup {', '.join(bad)}.",
            "REPOSITORY=2 ./scripts/ops backup verify names the files; docs/runbooks/restore.md",
        )
    if (age := age_of(copy["backups"][-1]["stop"])) > BACKUP_AGE:
        return Refused(f"the backup host's newest physical backup is {duration(age)} old.", hint)
    return None


def age_of(at: str) -> timedelta:
    """How long ago."""
    return datetime.now(UTC) - datetime.fromisoformat(at)


def copies(copy: dict[str, Any]) -> str:
    """What is on the backup host, in words."""
    if copy["state"] != "ok":
        return str(copy["state"])
    backups, dumps = copy["backups"], copy["dumps"]
    newest = f", the newest {duration(age_of(backups[-1]['stop']))} old" if backups else ""
    return f"{len(backups)} backups{newest}; {len(dumps)} dumps"


def well(found: dict[str, Any]) -> str:
    """For `doctor`, when nothing is wrong."""
    newest = found["backups"][-1]
    there = f"; on the backup host: {copies(found['copy'])}" if found.get("copy") else ""
    age = duration(age_of(newest["stop"]))
    return f"archives; the newest backup is {age} old ({size(newest['database_bytes'])}){there}"
