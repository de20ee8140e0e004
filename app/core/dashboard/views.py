"""The page, and the figures for its charts. The browser names panels and a range; it never sends PromQL."""

import functools
import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import DatabaseError, connection
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from core.dashboard import panels, prometheus
from core.errors import error_response

logger = logging.getLogger(__name__)

Json = dict[str, Any]
View = Callable[[HttpRequest], HttpResponse]
MOST_PANELS = 10  # in one request

# Without the id of the request that ran it first (core.postgresql.base).
STATEMENTS = r"""
    SELECT queryid::text, left(regexp_replace(query, '^/\* request_id=\S* \*/ ', ''), 500)
    FROM pg_stat_statements WHERE queryid::text = ANY(%s)"""


class BadRequest(Exception):
    """The request names no known panel or range."""


def with_monitoring(view: View) -> View:
    """Answer 404 without monitoring, 400 for a bad request, 503 while Prometheus is away."""

    @functools.wraps(view)
    def checked(request: HttpRequest) -> HttpResponse:
        if not settings.PROMETHEUS_URL:
            raise Http404
        try:
            return view(request)
        except BadRequest as error:
            return error_response(400, message=str(error))
        except prometheus.Unavailable as error:
            logger.warning("the dashboard has no figures: %s", error)
            return error_response(503, message=str(error))

    return require_safe(checked)


@with_monitoring
def page(request: HttpRequest) -> HttpResponse:
    """The page without figures: its script asks for those."""
    name, of = span_of(request)
    seconds = of.range.seconds
    context = {
        "groups": panels.definition()["groups"],
        "ranges": [(one, link(one, request.GET.get("end"))) for one in panels.RANGES],
        "range": name,
        "end": request.GET.get("end", ""),
        "earlier": link(name, of.end - seconds),
        "later": link(name, of.end + seconds) if of.end + seconds < time.time() else link(name),
    }
    return render(request, "dashboard.html", context)


@with_monitoring
def data(request: HttpRequest) -> HttpResponse:
    """?panel=NAME&panel=…&range=NAME[&end=TIME]: {"times": […], "panels": {name: [{"label", "values", …}]}}."""
    _, of = span_of(request, "panel")
    names = request.GET.getlist("panel")
    if not names or len(names) > MOST_PANELS or not set(names) <= panels.by_name().keys():
        raise BadRequest(f"panel: 1 to {MOST_PANELS} of {', '.join(panels.by_name())}")
    return JsonResponse(
        {"times": panels.times(of), "panels": {name: series_of(panels.by_name()[name], of) for name in names}}
    )


@with_monitoring
def summary(request: HttpRequest) -> HttpResponse:
    """?range=NAME[&end=TIME]: the alerts that fire now, when alerts fired in the range, and what changed in it."""
    _, of = span_of(request)
    now = prometheus.alerts()
    firing = [one for one in now if one["state"] == "firing"]
    found = prometheus.query_range(
        panels.expression(
            'max by (alertname) (max_over_time(ALERTS{alertstate="firing", alertname!="Watchdog"}[$window]))', of.range
        ),
        of,
    )
    return JsonResponse(
        {
            "evaluated": any(one["labels"]["alertname"] == "Watchdog" for one in firing),
            "alerts": [alert(one) for one in firing if one["labels"]["alertname"] != "Watchdog"],
            "periods": panels.periods(found, of),
            "marks": [
                mark
                for one in panels.definition()["marks"]
                for mark in panels.marks(one["label"], prometheus.query_range(one["expr"], of), of)
            ],
        }
    )


def alert(one: Json) -> Json:
    """One alert of Prometheus' list, as the page shows it."""
    return {
        "alert": one["labels"]["alertname"],
        "severity": one["labels"].get("severity", ""),
        "since": one["activeAt"],
        "summary": one["annotations"].get("summary", ""),
        "action": one["annotations"].get("action", ""),
    }


def series_of(panel: Json, of: panels.Span) -> list[Json]:
    """The series of a panel's queries, in the order of the file and of their labels."""
    found = []
    for query in panel["queries"]:
        expression = panels.expression(query["expr"], of.range)
        if "top" in query:
            largest = prometheus.query(panels.expression(query["top"], of.range), of.end)
            expression = expression.replace("$top", panels.alternatives(one["metric"] for one in largest))
        answer = prometheus.query_range(expression, of)
        series = [
            {
                "label": panels.label(query["label"], one["metric"]),
                "dashed": query.get("dashed", False),
                "values": panels.points(one["values"], of),
            }
            for one in answer
        ]
        found += sorted(series, key=lambda one: str(one["label"]))
    if panel.get("statements"):
        texts = statement_texts([one["label"] for one in found])
        found = [{**one, "text": texts.get(one["label"], "")} for one in found]
    return found


def statement_texts(ids: list[str]) -> dict[str, str]:
    """Query id → text, of the application's own statements: PostgreSQL shows a role no others. {} without an answer."""
    try:
        with connection.cursor() as cursor:
            cursor.execute(STATEMENTS, [ids])
            return dict(cursor.fetchall())
    except DatabaseError:
        return {}  # the figures are worth most when the database is away


def span_of(request: HttpRequest, *also: str) -> tuple[str, panels.Span]:
    """The range of a request, and its name. Raises BadRequest for a parameter that is not known, or a bad value."""
    if unknown := request.GET.keys() - {"range", "end", *also}:
        raise BadRequest(f"unknown parameter: {', '.join(sorted(unknown))}")
    name = request.GET.get("range", panels.DEFAULT_RANGE)
    end = request.GET.get("end") or str(int(time.time()))
    if name not in panels.RANGES:
        raise BadRequest(f"range: one of {', '.join(panels.RANGES)}")
    if not (end.isascii() and end.isdecimal() and len(end) <= 10):
        raise BadRequest("end: seconds since 1970")
    return name, panels.span(name, int(end))


def link(name: str, end: str | int | None = None) -> str:
    """The page with that range; without an end, up to now."""
    query = {"range": name, **({"end": str(end)} if end else {})}
    return f"{reverse('admin:monitoring')}?{urlencode(query)}"
