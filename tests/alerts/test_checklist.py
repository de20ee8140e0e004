"""The checklist's item about monitoring (MON-08) on a stack that is monitored: it passes, and it can fail."""

import pytest

from alerts.lab import Lab
from support.checklist import Checklist
from testing.shell import eventually

TIME = "flaglearning_alert_test_timestamp_seconds"


@pytest.fixture(scope="module")
def checklist(lab: Lab, tmp_path_factory: pytest.TempPathFactory) -> Checklist:
    return Checklist(tmp_path_factory.mktemp("artifacts"), "--target", f"docker://{lab.stack.project}")


def test_it_passes_when_a_test_alert_has_arrived(lab: Lab, checklist: Checklist) -> None:
    done = lab.ops("alert", "test")
    assert done.status == 0, done.err
    eventually(lambda: lab.query(TIME), within=30)
    assert checklist.outcomes("MON-08") == {"MON-08": "pass"}


def test_it_fails_when_a_part_is_not_looked_at(lab: Lab, checklist: Checklist) -> None:
    with lab.stopped("mtail"):
        eventually(lambda: 0.0 in lab.query('up{job="proxy"}'), within=30)
        assert checklist.outcomes("MON-08") == {"MON-08": "fail"}
    [found] = [check for check in checklist.checks() if check["id"] == "MON-08"]
    assert "no metrics from proxy" in found["reason"]
    eventually(lambda: 1.0 in lab.query('up{job="proxy"}'), within=30)


@pytest.mark.long
def test_it_fails_when_the_test_alert_is_old(lab: Lab, checklist: Checklist) -> None:
    with lab.metrics_file("reports", "flaglearning_alert_test.prom", f"{TIME} {lab.age(36 * 86400)}\n"):
        eventually(lambda: lab.query(f"time() - {TIME} > 35 * 86400"), within=30)
        assert checklist.outcomes("MON-08") == {"MON-08": "fail"}
