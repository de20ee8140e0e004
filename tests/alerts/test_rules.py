"""The rules with their real durations, by promtool."""

import pytest
import yaml

from alerts.cases import promtool_tests
from testing.shell import run
from testing.stack import Stack

RULES = "/etc/prometheus/rules"


def promtool(stack: Stack, tests: object) -> str:
    """What `promtool test rules` prints."""
    image = f"flaglearning/monitoring:{stack.variables['TAG']}"
    words = ("docker", "run", "--rm", "--interactive", "--network", "none", image, "sh", "-c")
    script = "cat >/tmp/rules_test.yml; promtool test rules /tmp/rules_test.yml"
    done = run(*words, script, stdin=yaml.safe_dump(tests), check=False)
    return done.stdout + done.stderr


@pytest.mark.parametrize("missing", [False, True], ids=["alerts", "missing"])
def test_each_alert_fires_after_its_time_and_not_before(stack: Stack, missing: bool) -> None:
    assert "SUCCESS" in promtool(stack, promtool_tests(RULES, missing))
