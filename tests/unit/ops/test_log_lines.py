"""One time line of all services."""

import json

import pytest

from ops import log_lines
from ops.log_lines import level_of, time_line, wanted

PRINTED = [
    "proxy-1      | 2026-11-30T05:00:02.5Z {\"request_id\":\"abc\",\"status\":503,\"path\":\"/\"}",
    "\x1b[2Kpostgres-1   | 2026-11-30T05:00:02.123456789Z 2026-11-30 05:00:02.1 UTC [7] app@db app 10.0.0.1 ERROR:  no",
    "stack-postgres-1 | 2026-11-30T05:00:02.123456790Z 2026-11-30 05:00:02.1 UTC [7] app@db app 10.0.0.1 DETAIL:  why",
    "pgbouncer-exporter-1 | 2026-11-30T05:00:01Z time=… level=WARN msg=x",
    "app-1        | 2026-11-30T05:00:02.123Z {\"level\": \"INFO\", \"message\": \"m\", \"request_id\": \"abc\"}",
    "app-1        | 2026-11-30T05:00:03Z",
    "Attaching to app-1",
]  # fmt: skip


def test_lines_are_in_the_order_of_their_time_with_their_service_and_level() -> None:
    found = [(line.time[17:], line.service, line.level) for line in time_line(PRINTED, "stack")]
    assert found == [
        ("01.000000000Z", "pgbouncer-exporter", "warning"),
        ("02.123000000Z", "app", "info"),
        ("02.123456789Z", "postgres", "error"),
        ("02.123456790Z", "postgres", "error"),
        ("02.500000000Z", "proxy", "error"),
        ("03.000000000Z", "app", "info"),
    ]


def test_a_filter_keeps_a_request_or_a_level() -> None:
    lines = time_line(PRINTED, "stack")
    assert [line.service for line in wanted(lines, "info", "abc")] == ["app", "proxy"]
    assert [line.service for line in wanted(lines, "warning", "")] == [
        "pgbouncer-exporter", "postgres", "postgres", "proxy",
    ]  # fmt: skip


def test_a_message_of_several_lines_belongs_to_the_request_that_one_of_them_names() -> None:
    stem = "postgres-1   | 2026-11-30T05:00:0"
    printed = [
        f"{stem}1Z 2026-11-30 05:00:01 UTC [7] a@b c 10.0.0.1 LOG:  duration: 1200 ms  plan:",
        f"{stem}2Z \tQuery Text: /* request_id=abc */ SELECT 1",
        f"{stem}3Z 2026-11-30 05:00:03 UTC [7] a@b c 10.0.0.1 LOG:  disconnection",
    ]
    assert [line.text.split()[0] for line in wanted(time_line(printed, "stack"), "info", "abc")] == [
        "2026-11-30",
        "Query",
    ]


LEVELS = {
    "2026-11-30 05:00:00 UTC [1] LOG:  checkpoint starting: time": "info",
    "2026-11-30 05:00:00 UTC [1] a@b c 10.0.0.1 FATAL:  password authentication failed": "error",
    "2026-11-30 05:00:00.1 UTC [7] WARNING tls_sbufio_recv: read failed": "warning",
    "2026/11/30 05:00:00 [crit] 17#17: *59 connect() failed": "error",
    "2026/11/30 05:00:00 [warn] 17#17: x": "warning",
    "2026-11-30 05:00:00.000 P00   WARN: option": "warning",
    '{"level": "WARNING", "message": "ERROR in a message is no level"}': "warning",
    '{"status":404,"path":"/ERROR"}': "info",
    '{"status":500}': "error",
    "{broken": "info",
    "no level here": "info",
    "ERROR: the secret is missing": "error",
}


@pytest.mark.parametrize("text", LEVELS)
def test_the_level_is_the_one_that_the_program_wrote(text: str) -> None:
    assert level_of(text, "info") == LEVELS[text]


def test_the_journal_has_the_lines_of_containers_that_are_gone() -> None:
    entries = [
        {"__REALTIME_TIMESTAMP": "1796011200000002", "CONTAINER_NAME": "fl-app-2", "MESSAGE": "new"},
        {"__REALTIME_TIMESTAMP": "1796011200000001", "CONTAINER_NAME": "fl-app-1", "MESSAGE": list("old €".encode())},
        {"__REALTIME_TIMESTAMP": "1796011201000000", "CONTAINER_NAME": "fl-ops-exporter-1", "MESSAGE": "ERROR: x"},
        {"__REALTIME_TIMESTAMP": "1796011202000000", "CONTAINER_NAME": "fl-migrate-run-0a1b2c3d4e5f", "MESSAGE": None},
        {"__REALTIME_TIMESTAMP": "1796011203000000", "CONTAINER_NAME": "another-app-1", "MESSAGE": "not ours"},
        {"__REALTIME_TIMESTAMP": "1796011204000000", "MESSAGE": "dockerd's own"},
    ]
    found = log_lines.time_line_of_journal(map(json.dumps, entries), ["fl"])
    assert [(line.service, line.text, line.level) for line in found] == [
        ("app", "old €", "info"),
        ("app", "new", "info"),
        ("ops-exporter", "ERROR: x", "error"),
        ("migrate", "", "info"),
    ]
    assert found[0].time == "2026-11-30T04:00:00.000001000Z"
    assert [line.service for line in log_lines.time_line_of_journal(map(json.dumps, entries), ["fl"], ["app"])] == [
        "app"
    ] * 2


@pytest.mark.parametrize(
    ("since", "wanted"),
    [("15m", "-15m"), ("1h30m", "-1h30m"), ("2026-11-30T04:00:00Z", "2026-11-30 04:00:00 UTC")],
)
def test_since_is_what_journalctl_takes(since: str, wanted: str) -> None:
    assert log_lines.since_of_journal(since) == wanted
