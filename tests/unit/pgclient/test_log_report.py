"""Which of pgBadger's reports are deleted; how it finds the parts of a line."""

from pgclient.log_report import PREFIX, outdated
from testing.shell import ROOT


def test_reports_older_than_the_days_that_are_kept() -> None:
    names = ["logs-2026-10-31.html", "logs-2026-11-01.html", "logs-2026-11-30.html", "drill.html", "logs-x.html"]
    assert outdated(names, "2026-12-01", 30) == ["logs-2026-10-31.html"]
    assert outdated(names, "2026-12-01", 0) == ["logs-2026-10-31.html", "logs-2026-11-01.html", "logs-2026-11-30.html"]


def test_the_prefix_of_a_line_is_the_servers() -> None:
    assert f"\nlog_line_prefix = '{PREFIX}'" in (ROOT / "pg/conf.d/30-logging.conf").read_text()
