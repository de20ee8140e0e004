"""Prometheus' query API, as far as the dashboard reads it."""

import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from django.conf import settings

from core.dashboard.panels import Span

Json = dict[str, Any]
TIMEOUT = 10  # seconds; a worker waits meanwhile


class Unavailable(Exception):
    """Prometheus did not answer, or refused the query."""


def query_range(expression: str, of: Span) -> list[Json]:
    """The series of an expression: [{"metric": labels, "values": [[time, "value"] …]}]. Raises Unavailable."""
    found = _get("query_range", query=expression, start=of.start, end=of.end, step=of.range.step, timeout=f"{TIMEOUT}s")
    return list(found["result"])


def query(expression: str, at: int) -> list[Json]:
    """The series of an expression at a time: [{"metric": labels, "value": [time, "value"]}]. Raises Unavailable."""
    return list(_get("query", query=expression, time=at, timeout=f"{TIMEOUT}s")["result"])


def alerts() -> list[Json]:
    """The alerts that are pending or fire now. Raises Unavailable."""
    return list(_get("alerts")["alerts"])


def _get(path: str, **parameters: Any) -> Json:
    """What GET /api/v1/PATH answers (Prometheus, "HTTP API")."""
    url = f"{settings.PROMETHEUS_URL}/api/v1/{path}?{urlencode(parameters)}"
    try:
        with urlopen(url, timeout=TIMEOUT) as response:  # noqa: S310 - the operator's own setting
            answer = json.load(response)
    except HTTPError as error:
        with error:
            raise Unavailable(f"Prometheus answered {error.code}: {error.read(300).decode(errors='replace')}") from None
    except (URLError, OSError, HTTPException, ValueError) as error:
        raise Unavailable(f"Prometheus does not answer: {error}") from None
    found: Json = answer["data"]
    return found
