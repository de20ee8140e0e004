"""The operators' dashboard in a browser, with figures of a real Prometheus."""

import base64
import hashlib
import hmac
import json
import re
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from alerts.lab import Lab
from browser.player import NewPage
from browser.test_accessibility import RULES, SCREENS
from support.proxy import Proxy
from testing.shell import ROOT, eventually
from testing.stack import ARTIFACTS, Stack

EMAIL, PASSWORD = "operator@example.org", "correct horse battery staple"
PANELS = json.loads((ROOT / "app/core/dashboard/panels.json").read_text())["groups"]
QUERIES = [
    (f"{panel['name']}: {query['label']}", query["expr"])
    for group in PANELS
    for panel in group["panels"]
    for query in panel["queries"]
]
# One server without a standby; no drill and no dump was made.
WITHOUT_FIGURES = {
    *(f"members: {label}" for label in ("primary", "standbys", "synchronous", "timeline")),  # test_cluster.py
    "etcd: {{host}}",
    "replication: {{application_name}}",
    "replication: slot {{slot_name}}",
    "drill: drill",
    "updates: update of {{image}}",  # no update was looked for, and no reboot is due
    "updates: reboot",
    "updates: vulnerability of {{image}}",
    "updates: {{file}}",  # of advisories
    "updates: last look",
    "app-failures: {{type}} in {{place}}",  # none yet: the alert's fault has some
    "backups: dump",
    "logs: {{host}}",  # on hosts only: tests/lab/test_monitoring.py
}


def code(key: str) -> str:
    """The six digits of now (RFC 6238)."""
    digest = hmac.digest(base64.b32decode(key), struct.pack(">Q", int(time.time()) // 30), hashlib.sha1)
    (number,) = struct.unpack(">I", digest[(start := digest[-1] & 15) : start + 4])
    return f"{(number & 0x7FFFFFFF) % 10**6:06}"


@pytest.fixture(scope="module")
def session(stack: Stack, browser: Browser, base_url: str) -> Iterator[Any]:
    """The cookies of an operator who has logged in to the admin with password and code."""
    manage = ("python", "manage.py")
    make = f"from users.models import User; User.objects.create_superuser('{EMAIL}', '{PASSWORD}')"
    stack.exec("app", *manage, "shell", "-c", f"{make} if not User.objects.filter(email='{EMAIL}') else None")
    printed = stack.exec("app", *manage, "second_factor", EMAIL, "--replace")
    key = re.search(r"^[A-Z2-7]{32}$", printed, re.MULTILINE)
    assert key, printed
    context = browser.new_context(base_url=base_url, ignore_https_errors=True)
    page = context.new_page()
    page.goto("/admin/")
    page.get_by_label("E-mail address").fill(EMAIL)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_label("Code").fill(code(key[0]))
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("link", name="Monitoring")).to_be_visible()
    yield context.storage_state()
    context.close()


@pytest.fixture
def open_dashboard(new_page: NewPage, session: Any) -> Callable[..., Page]:
    """The dashboard with all charts drawn; takes Playwright's options."""

    def opened(address: str = "/admin/monitoring/?range=1h", **options: Any) -> Page:
        page = new_page(storage_state=session, **options)
        page.goto(address)
        expect(page.locator("body[data-loaded]")).to_be_attached(timeout=20_000)
        return page

    return opened


@pytest.mark.parametrize(("name", "expression"), QUERIES, ids=[name for name, _ in QUERIES])
def test_its_metric_exists(lab: Lab, proxy: Proxy, name: str, expression: str) -> None:
    """A metric that an exporter renamed would leave a panel empty for ever."""
    query = (
        expression.replace("$window", "10s")
        .replace("$range", "60s")
        .replace("@ end()", "")
        .replace("[1d:10m]", "[1m:1s]")
        .replace("$top", ".+")
    )

    def figures() -> bool:
        proxy.get("/leaderboard/")
        return bool(lab.get("/api/v1/query", query=query)["result"])

    if name in WITHOUT_FIGURES:
        lab.get("/api/v1/query", query=query)  # it parses
    else:
        eventually(figures, within=60, every=0.5)


def test_it_says_whether_all_is_well_and_what_changed(
    lab: Lab, open_dashboard: Callable[..., Page], record_property: Callable[[str, object], None]
) -> None:
    page = open_dashboard()
    paint = page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime")
    drawn = page.evaluate("Number(document.body.dataset.loaded) - performance.timeOrigin")
    record_property("measured", f"first contentful paint after {paint:.0f} ms, all charts after {drawn:.0f} ms")

    def agrees() -> bool:
        page.reload()
        expect(page.locator("body[data-loaded]")).to_be_attached(timeout=20_000)
        found = [one for one in lab.get("/api/v1/alerts")["alerts"] if one["state"] == "firing"]
        count = len(found) - 1  # without the Watchdog
        title = {0: "No alert fires", 1: "1 alert fires"}.get(count, f"{count} alerts fire")
        # The version is known since the first request, and seen with the next point.
        known = {f"app {lab.stack.variables['TAG']}", "PostgreSQL started"} <= {mark["label"] for mark in marks()}
        return known and page.locator("#state-title").inner_text() == title

    def marks() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = page.evaluate("summary.marks")
        return found

    eventually(agrees, within=60)
    empty = page.locator(".chart.empty").evaluate_all("found => found.map((one) => one.closest('.panel').id)")
    panels = {name.partition(":")[0] for name, _ in QUERIES}
    with_figures = {name.partition(":")[0] for name, _ in QUERIES if name not in WITHOUT_FIGURES}
    assert set(empty) <= panels - with_figures


def test_an_alert_is_seen_at_the_top_and_at_its_panel(lab: Lab, open_dashboard: Callable[..., Page]) -> None:
    aged = f"flaglearning_backup_drill_last_timestamp_seconds {lab.age(30 * 86400)}\n"
    with lab.metrics_file("reports", "drill.prom", aged):
        eventually(lambda: "DrillOld" in lab.firing(), within=60)
        page = open_dashboard()
        expect(page.locator("#alerts")).to_contain_text("DrillOld (warning) since")
        expect(page.locator("#drill .alarm")).to_have_text("DrillOld")
        expect(page.locator("#requests .alarm")).to_be_hidden()
    eventually(lambda: "DrillOld" not in lab.firing(), within=60)

    def listed() -> bool:
        page.reload()
        expect(page.locator("body[data-loaded]")).to_be_attached(timeout=20_000)
        return "DrillOld fired until" in page.locator("#changes").inner_text()

    eventually(listed, within=60)  # its end is a point of the series, of the next evaluation


def test_keys_move_along_all_charts(open_dashboard: Callable[..., Page]) -> None:
    page = open_dashboard()
    page.locator("#transactions .chart").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    for panel in ("transactions", "cpu"):
        expect(page.locator(f"#{panel} .time")).to_have_text(re.compile(r"\d\d:\d\d"))
    page.keyboard.press("Tab")
    expect(page.locator("#cache .chart")).to_be_focused()


@pytest.mark.parametrize("colours", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_it_is_accessible_and_fits(open_dashboard: Callable[..., Page], screen: str, colours: str) -> None:
    page = open_dashboard(viewport=SCREENS[screen], color_scheme=colours)
    folder = ARTIFACTS / "screenshots"
    folder.mkdir(exist_ok=True)
    page.screenshot(path=folder / f"dashboard-{screen}-{colours}.png", full_page=True)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow == 0, f"{overflow} pixels too wide"
    report = Axe().run(page, options=RULES)
    assert report.violations_count == 0, report.generate_report()


def test_the_application_reaches_prometheus_and_no_exporter(stack: Stack) -> None:
    script = (
        "import socket, sys\n"
        "for host, port in (('prometheus', 9090), ('alertmanager', 9093), ('postgres-exporter', 9187)):\n"
        "    try: socket.create_connection((host, port), 3); print(host)\n"
        "    except OSError: pass\n"
    )
    assert stack.exec("app", "python", "-c", script).split() == ["prometheus"]
