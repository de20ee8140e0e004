"""From Prometheus to a person: the test alert, the dead man's switch, and settings that can't work."""

import time
import urllib.request

import pytest

from alerts.lab import Lab
from alerts.sinks import Mails, Webhooks, now
from testing.shell import eventually, run
from testing.stack import Stack


def test_nothing_fires_on_a_healthy_stack(lab: Lab) -> None:
    """But what this machine's own clock may, as containers can't set it, and what its load does, beside other tests."""
    assert lab.firing() - {"ClockOff", "HttpSlow"} == set()


def test_the_test_alert_reaches_each_receiver(lab: Lab, mails: Mails, webhooks: Webhooks) -> None:
    done = lab.ops("alert", "test", "--json")
    assert done.status == 0, done.err
    assert done.json["receivers"] == ["mail", "webhook"]
    assert webhooks.seen("firing", "TestAlert")
    assert mails.about("firing", "TestAlert")
    assert "TestAlert" in {one["alert"] for one in lab.ops("alert", "list", "--json").json}


@pytest.mark.long
def test_the_test_alert_notices_a_receiver_that_refuses(lab: Lab, webhooks: Webhooks) -> None:
    webhooks.refuse = True
    try:
        done = lab.ops("alert", "test")
    finally:
        webhooks.refuse = False
    assert done.status == 1
    assert "did not reach webhook" in done.err


def test_requests_are_counted_also_after_a_restart_of_the_counter(lab: Lab) -> None:
    """nginx writes them to a socket that a new process makes anew."""
    page = f"http://localhost:{lab.stack.port('proxy', 8000)}/accounts/login/"

    def counted() -> bool:
        urllib.request.urlopen(page).close()
        return sum(lab.query('http_requests_total{status="2xx"}')) > 0

    assert eventually(counted, within=20, every=0.5)
    with lab.stopped("mtail"):
        pass
    eventually(lambda: not lab.query("http_requests_total"), within=30)
    assert eventually(counted, within=20, every=0.5)


@pytest.mark.long
def test_the_dead_mans_switch_is_silent_when_prometheus_is(
    lab: Lab, webhooks: Webhooks, record: dict[str, dict[str, object]]
) -> None:
    eventually(lambda: webhooks.beats, within=30)
    began = time.monotonic()
    with lab.stopped("prometheus"):
        eventually(lambda: time.monotonic() - webhooks.beats[-1] > 15, within=60)
        last = webhooks.beats[-1]
    repaired = time.monotonic()
    back = eventually(lambda: next((beat for beat in webhooks.beats if beat > repaired), 0), within=60)
    record["Watchdog"] = {
        "proven": now(),
        "fired_s": round(last - began, 1),  # the last post
        "resolved_s": round(back - repaired, 1),
    }


REFUSED = {
    "ALERT_EMAIL_TO=ops@example.org": "EMAIL_HOST is not",
    "ALERT_EMAIL_TO=ops@example.org EMAIL_HOST=smtp.example.org": "EMAIL_FROM is not",
    "ALERT_EMAIL_TO=nobody EMAIL_HOST=smtp.example.org EMAIL_FROM=a@example.org": "not an address",
    "WEBHOOK=hooks.example.org": "alert_webhook_url is not one http or https URL",
    "DEPLOYMENT=production": "no receiver of alerts is set",
}


@pytest.mark.parametrize("settings", REFUSED)
def test_settings_that_can_not_work_are_refused_at_the_start(stack: Stack, settings: str) -> None:
    values = dict(word.split("=") for word in f"DEPLOYMENT=development {settings}".split())
    webhook = values.pop("WEBHOOK", "")
    options = [option for name, value in values.items() for option in ("--env", f"{name}={value}")]
    script = f"""set -- /run/secrets; mkdir -p $1; touch $1/alert_email_password $1/alert_deadman_url
        echo '{webhook}' >$1/alert_webhook_url; exec start alertmanager"""
    image = f"flaglearning/monitoring:{stack.variables['TAG']}"
    words = ("docker", "run", "--rm", "--network", "none", "--user", "root", *options, image, "bash", "-c", script)
    done = run(*words, check=False)
    assert done.returncode == 1
    assert REFUSED[settings] in done.stderr
    assert "HINT:" in done.stderr
