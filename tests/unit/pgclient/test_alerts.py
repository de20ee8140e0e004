"""The test alert's receivers, and the metrics of the exporter."""

from pgclient import alerts, exporter

CONFIGURATION = """route:
  receiver: none
  routes:
    - matchers: ['alertname = "Watchdog"']
      receiver: deadman
    - { receiver: mail, continue: true }
    - { receiver: webhook, continue: true }

receivers:
  - name: none
"""
METRICS = """# TYPE alertmanager_notification_requests_total counter
alertmanager_notification_requests_total{integration="email",receiver_name="mail"} 7
alertmanager_notification_requests_total{integration="webhook",receiver_name="webhook"} 4
alertmanager_notification_requests_failed_total{integration="email",receiver_name="mail"} 3
alertmanager_notifications_total{integration="email",receiver_name="mail"} 99
"""


def test_the_receivers_are_those_of_ordinary_alerts() -> None:
    assert alerts.wanted(CONFIGURATION) == ["mail", "webhook"]
    assert alerts.wanted("route:\n  receiver: none\nreceivers:\n") == []


def test_what_failed_was_not_delivered() -> None:
    assert alerts.delivered(METRICS) == {"mail": 4, "webhook": 4}


def test_an_invalid_certificate_has_no_expiry_and_a_stopped_service_no_metric() -> None:
    lines = exporter.certificate_metrics({"proxy": 1_800_000_000.0, "pgbouncer": False, "postgres": None}).splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        'flaglearning_certificate_valid{service="proxy"} 1',
        'flaglearning_certificate_valid{service="pgbouncer"} 0',
        'flaglearning_certificate_expiry_timestamp_seconds{service="proxy"} 1800000000',
    ]
