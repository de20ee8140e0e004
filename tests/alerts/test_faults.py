"""Each alert, fired by its fault, reaches the webhook and the mail server, and so does its end."""

import time
from contextlib import AbstractContextManager

import pytest

from alerts.faults import FAULTS
from alerts.lab import Lab
from alerts.sinks import Mails, Webhooks, now
from testing.shell import eventually

# One of each kind, for runs of everything; the others are run when the layer is named.
REPRESENTATIVE = ("PostgresDown", "ArchiveFailing", "PoolerWaiting", "SiteDown", "DrillOld")
# They change the server, or wait for a server that was changed.
LAST = ("TransactionIdAge",)


def marks(alert: str) -> list[pytest.MarkDecorator]:
    return [*([] if alert in REPRESENTATIVE else [pytest.mark.long]), *([pytest.mark.last] if alert in LAST else [])]


@pytest.mark.parametrize("alert", [pytest.param(alert, marks=marks(alert)) for alert in FAULTS])
def test_it_reaches_the_receivers(
    lab: Lab, mails: Mails, webhooks: Webhooks, record: dict[str, dict[str, object]], alert: str
) -> None:
    record[alert] = fired_and_resolved(lab, mails, webhooks, alert, FAULTS[alert](lab))


def fired_and_resolved(
    lab: Lab, mails: Mails, webhooks: Webhooks, alert: str, fault: AbstractContextManager[object]
) -> dict[str, object]:
    """Inject the fault; both receivers get the alert and its end. When, and after how many seconds."""
    eventually(lambda: lab.rules()[alert]["state"] == "inactive", within=120, every=0.5)
    mails.messages.clear()
    began = time.monotonic()
    with fault:
        if alert != "NotificationsFailing":  # the webhook is the receiver that fails
            webhooks.wait("firing", alert, began, within=300)
        text = eventually(lambda: mails.about("firing", alert), within=120)[0]
        fired = repaired = time.monotonic()
    if alert != "NotificationsFailing":
        webhooks.wait("resolved", alert, began, within=150)
    eventually(lambda: mails.about("resolved", alert), within=150)
    resolved = time.monotonic()
    annotations = lab.rules()[alert]["annotations"]
    assert annotations["runbook"] in text
    assert "Do:" in text
    return {"proven": now(), "fired_s": round(fired - began, 1), "resolved_s": round(resolved - repaired, 1)}
