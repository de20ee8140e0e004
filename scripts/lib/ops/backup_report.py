"""What `ops backup info` and the restore drill report: for people (a table, some lines, a page) and for machines."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from html import escape
from pathlib import Path
from typing import Any

from backup_health import is_foreign, problem_of, time_of
from ops.output import Row, duration

__all__ = ["as_html", "as_metrics", "as_text", "make", "problem_of", "summary"]
STYLE = Path(__file__).parents[1] / "checklist/report.css"


def summary(found: dict[str, Any]) -> Row:
    """The one row of `backup info`, from the facts of `pgbackup info`."""
    server, copy, foreign = found.get("server") or {}, found.get("copy"), is_foreign(found)
    backups = [] if foreign else found["backups"]
    exposed = server.get("exposed_s")
    lost = duration(timedelta(seconds=exposed)) if exposed else "nothing"
    return {
        "repository": "of another cluster" if foreign else found["state"],
        "backups": len(backups),
        "recovery_window_from": found["from"],
        "recovery_window_to": found.get("until"),
        "would_be_lost_now": lost if backups else "everything: no backup exists",
        "archived_last": server.get("last_archived_wal"),
        "segments_waiting": server.get("waiting"),
        "drill_passed": server.get("drill_passed"),
        "repository_2": repository_2(copy) if copy else None,
    }


def repository_2(copy: dict[str, Any]) -> str:
    """What the backup host has."""
    if copy["state"] != "ok":
        return str(copy["state"])
    if is_foreign(copy):
        return "of another cluster"
    backups = copy["backups"]
    newest = f", the newest {duration(age_of(backups[-1]['stop']))} old" if backups else ""
    return f"{len(backups)} backups{newest}"


def age_of(at: str) -> timedelta:
    """How long ago a time was."""
    return datetime.now(timezone.utc) - time_of(at)


# ------------------------------------------------------------ the drill


def make(
    chosen: dict[str, Any], ready: dict[str, Any] | None, checks: list[dict[str, Any]], deployment: str, database: str
) -> dict[str, Any]:
    """A drill's report: what was chosen, what the restore took (None: it failed), what was compared."""
    seconds = (ready or {}).get("seconds", {})
    point = chosen["restore_point"]
    rpo = chosen["rpo"]["worst"]
    return {
        "at": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "passed": bool(checks) and all(check["ok"] for check in checks),
        "deployment": deployment,
        "database": database,
        "backup": chosen["plan"]["label"],
        "newest_backup": chosen["newest_backup"],
        "repository": chosen["repository"],
        "restore_point": point["name"],
        "restore_point_at": point["at"],
        "of_restore_points": chosen["restore_points"],
        "tables": len(point["manifest"]),
        "rows": sum(table["rows"] for table in point["manifest"].values()),
        "rpo_seconds": None if rpo is None else round(rpo, 1),
        "rpo_measured": chosen["rpo"]["measured"],
        "rto_seconds": seconds.get("first_query"),
        "restore_seconds": seconds.get("restore"),
        "checks": checks,
    }


def as_metrics(report: dict[str, Any]) -> str:
    """For node_exporter's textfile collector."""
    at = time_of(report["at"]).timestamp()
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
    backup = report["backup"] + (" in repository 2" if report.get("repository", 1) > 1 else "")
    at = time_of(report["restore_point_at"])
    if report["rto_seconds"] is None:
        return f"From the backup {backup}, to {at:%Y-%m-%d %H:%M:%S} UTC."
    return (
        f"{backup} was restored to {at:%Y-%m-%d %H:%M:%S} UTC; "
        f"{report['rows']:,} rows in {report['tables']} tables were compared with what was there then."
    )


def figures(report: dict[str, Any]) -> dict[str, str]:
    """What was measured."""
    rpo, rto, files = report["rpo_seconds"], report["rto_seconds"], report["restore_seconds"]
    return {
        "RPO": f"{in_words(rpo)} at worst, of {report['rpo_measured']:,} measurements in seven days",
        "RTO": f"{in_words(rto)} to the first query; {in_words(files)} of them for the files",
        "Restore point": f"{report['restore_point']}, one of {report['of_restore_points']}",
        "Newest backup": report["newest_backup"],
        "Database": f"{report['database']} ({report['deployment']})",
        "Drill": f"{time_of(report['at']):%Y-%m-%d %H:%M} UTC",
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
    """A page that needs nothing else: no script, no font, no request. It looks like the checklist's report."""
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
<style>{STYLE.read_text(encoding="utf-8")}</style>
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
