"""The operators' dashboard: who sees it, and what a browser can ask of Prometheus."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_network
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.test import Client
from django_otp.plugins.otp_totp.models import TOTPDevice

from core.dashboard import panels
from core.dashboard.panels import RANGES, Span
from test_admin_access import code, log_in
from users.models import User

PAGE, DATA, SUMMARY = "/admin/monitoring/", "/admin/monitoring/data/", "/admin/monitoring/summary/"
ADDRESSES = [PAGE, f"{DATA}?panel=requests", SUMMARY]
END = 1_800_000_000


class Prometheus:
    """An HTTP server that records what it is asked, and answers with one series; 400 for `refuse`."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.metric: dict[str, str] = {"status": "2xx", "alertname": "DiskFull"}
        self.refuse = False
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                url = urlsplit(self.path)
                asked = {name: values[0] for name, values in parse_qs(url.query).items()}
                sink.asked.append((url.path, asked))
                end = int(asked.get("end", 0))
                result = [{"metric": sink.metric, "values": [[end - 60, "1.5"], [end, "NaN"]]}]
                alerts = [
                    {"labels": {"alertname": name}, "annotations": {"summary": "S"}, "state": state, "activeAt": "T"}
                    for name, state in (("Watchdog", "firing"), ("DiskFull", "firing"), ("HttpSlow", "pending"))
                ]
                body = json.dumps({"data": {"result": result, "alerts": alerts}}).encode()
                self.send_response(400 if sink.refuse else 200)
                self.end_headers()
                self.wfile.write(b"bad query" if sink.refuse else body)

            def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def prometheus(settings: Any) -> Iterator[Prometheus]:
    sink = Prometheus()
    settings.PROMETHEUS_URL = f"http://127.0.0.1:{sink.server.server_port}"
    yield sink
    sink.server.shutdown()
    sink.server.server_close()


@pytest.fixture
def operator(client: Client, make_user: Callable[..., User]) -> Client:
    """Staff that has logged in with password and code."""
    staff = make_user(is_staff=True)
    log_in(client, staff, code(TOTPDevice.objects.create(user=staff)))
    return client


class TestWho:
    @pytest.mark.parametrize("address", ADDRESSES)
    def test_an_operator_sees_it(self, operator: Client, prometheus: Prometheus, address: str) -> None:
        assert operator.get(address).status_code == 200

    @pytest.mark.parametrize("address", ADDRESSES)
    @pytest.mark.parametrize("who", ["a guest", "a player", "staff without the code"])
    def test_others_get_the_admins_login(
        self, client: Client, make_user: Callable[..., User], prometheus: Prometheus, address: str, who: str
    ) -> None:
        if who != "a guest":
            client.force_login(make_user(is_staff=who.startswith("staff")))
        assert client.get(address)["Location"].startswith("/admin/login/")
        assert prometheus.asked == []

    @pytest.mark.parametrize("address", ADDRESSES)
    def test_from_another_network_there_is_no_such_page(
        self, operator: Client, prometheus: Prometheus, settings: Any, address: str
    ) -> None:
        settings.ADMIN_NETWORKS = [ip_network("192.0.2.0/24")]
        assert operator.get(address).status_code == 404
        assert prometheus.asked == []

    @pytest.mark.parametrize("address", ADDRESSES)
    def test_without_monitoring_there_is_no_such_page(self, operator: Client, settings: Any, address: str) -> None:
        settings.PROMETHEUS_URL = ""
        assert operator.get(address).status_code == 404
        assert "Monitoring" not in operator.get("/admin/").content.decode()

    def test_the_admin_links_to_it(self, operator: Client, prometheus: Prometheus) -> None:
        assert f'href="{PAGE}"' in operator.get("/admin/").content.decode()


class TestQueries:
    """What reaches Prometheus: expressions of panels.json, for times of RANGES."""

    def test_the_expression_is_the_files(self, operator: Client, prometheus: Prometheus) -> None:
        answer = operator.get(f"{DATA}?panel=requests&range=6h&end={END + 59}").json()
        expected = {"start": str(END - 6 * 3600), "end": str(END), "step": "60", "timeout": "10s"}
        expected |= {"query": "sum by (status) (rate(http_requests_total[60s]))"}
        assert prometheus.asked == [("/api/v1/query_range", expected)]
        assert answer["times"][-2:] == [END - 60, END]
        (series,) = answer["panels"]["requests"]
        assert (series["label"], series["values"][-3:]) == ("2xx", [None, 1.5, None])

    @pytest.mark.parametrize(
        "wrong",
        [
            "query=up",
            "panel=requests&query=up",
            "panel=requests&step=1",
            "panel=up",
            "panel=requests%7Bx%3D1%7D",
            "panel=requests&range=1y",
            "panel=requests&range=6h[1d]",
            "panel=requests&end=-1",
            "panel=requests&end=1e9",
            "panel=requests&end=٣",
            "panel=requests&end=99999999999",
            "&".join(["panel=requests"] * 11),
            "",
        ],
    )
    def test_nothing_else_is_accepted(self, operator: Client, prometheus: Prometheus, wrong: str) -> None:
        answer = operator.get(f"{DATA}?{wrong}")
        assert answer.status_code == 400
        assert answer.json()["error"]["message"].startswith(("panel: ", "range: ", "end: ", "unknown parameter: "))
        assert prometheus.asked == []

    @pytest.mark.parametrize("address", ADDRESSES)
    def test_it_only_reads(self, operator: Client, prometheus: Prometheus, address: str) -> None:
        assert operator.post(address).status_code == 405
        assert prometheus.asked == []

    def test_the_summary_has_what_fires_and_not_what_may(self, operator: Client, prometheus: Prometheus) -> None:
        found = operator.get(f"{SUMMARY}?end={END}").json()
        assert found["evaluated"] is True
        assert [one["alert"] for one in found["alerts"]] == ["DiskFull"]
        assert found["periods"] == [{"alert": "DiskFull", "from": END - 120, "to": END}]

    @pytest.mark.parametrize("state", ["refuses", "is away"])
    def test_without_prometheus_it_says_so(self, operator: Client, prometheus: Prometheus, state: str) -> None:
        if state == "refuses":
            prometheus.refuse = True
        else:
            prometheus.server.shutdown()
            prometheus.server.server_close()
        assert operator.get(PAGE).status_code == 200
        answer = operator.get(SUMMARY)
        assert answer.status_code == 503
        assert "Prometheus" in answer.json()["error"]["message"]

    def test_a_statement_of_the_application_has_its_text(self, operator: Client, prometheus: Prometheus) -> None:
        prometheus.metric = {"queryid": "1"}
        (series,) = operator.get(f"{DATA}?panel=statements&end={END}").json()["panels"]["statements"]
        assert (series["label"], series["text"]) == ("1", "")


def at(seconds: int) -> Span:
    return Span(RANGES["1h"], seconds)


def test_values_of_a_label_are_no_regular_expression() -> None:
    assert panels.alternatives([{"queryid": "-42"}, {"queryid": '7"}.*'}]) == "-42|7...."
    assert panels.alternatives([]) == "none"


def test_a_span_is_whole_steps_and_at_most_some_hundred_points() -> None:
    for name, found in RANGES.items():
        assert found.seconds % found.step == 0
        assert len(panels.times(panels.span(name, END + 7))) <= 400
        assert panels.span(name, END + 7).end % found.step == 0


def test_a_mark_is_each_value_once_and_in_the_span() -> None:
    series = [
        {"metric": {"version": "two"}, "values": [[1, str(END - 50)], [2, str(END - 50)], [3, str(END - 10)]]},
        {"metric": {"version": "one"}, "values": [[1, str(END - 9000)]]},
    ]
    found = panels.marks("app {{version}}", series, at(END))
    assert found == [{"at": END - 50, "label": "app two"}, {"at": END - 10, "label": "app two"}]


def test_an_alert_that_fired_twice_has_two_periods() -> None:
    series = [{"metric": {"alertname": "A"}, "values": [[100, "1"], [115, "1"], [160, "1"]]}]
    found = panels.periods(series, at(END))
    assert [(one["from"], one["to"]) for one in found] == [(85, 115), (145, 160)]


def test_the_page_names_each_panel_and_link(operator: Client, prometheus: Prometheus) -> None:
    text = operator.get(f"{PAGE}?range=7d&end={int(time.time()) - 30 * 86400}").content.decode()
    for name in panels.by_name():
        assert f'id="{name}"' in text
    assert 'aria-current="page">7d</a>' in text
    assert "later</a>" in text
