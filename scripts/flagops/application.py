"""Section 7: the application's queries, by name, as flaglearning_readonly."""

from collections.abc import Callable
from typing import Annotated

import typer

from flagops.cli import QUERIES, group
from flagops.database import connect, rows
from flagops.errors import Refused
from flagops.output import Json, say, show
from flagops.queries import Query, load

query = group(QUERIES, "query", "The application's queries, by name.")

Limit = Annotated[int, typer.Option("--limit", "-n", min=1, help="How many rows at most.")]
Explain = Annotated[bool, typer.Option("--explain", help="Run it and show the plan, with times, instead.")]

# Name → what to say when there is nothing.
NAMES = {
    "count_countries": "",
    "countries": "there are no countries: docker compose up migrate loads them.",
    "todays_challenge": "nobody asked for today's challenge yet: it is made by the first visitor.",
    "user_stats": "nobody has played yet.",
    "active_streaks": "nobody has a streak today.",
    "most_guessed": "nobody has answered yet.",
    "accuracy": "nobody has answered yet.",
}


def define(name: str, empty: str) -> None:
    """The command of one query: its help is the query's, and it takes what the query takes."""
    found = load(f"app_{name}")

    def with_limit(limit: Limit = 10, explain: Explain = False, json: Json = False) -> None:
        run(found, empty, explain, json, limit=str(limit))

    def without(explain: Explain = False, json: Json = False) -> None:
        run(found, empty, explain, json)

    body: Callable[..., None] = with_limit if found.variables else without
    query.command(name.replace("_", "-"), help=found.help.replace(" Variable: limit.", ""))(body)


def run(found: Query, empty: str, explain: bool, json: bool, **variables: str) -> None:
    """Its rows, or its plan."""
    if explain and json:
        raise Refused("a plan is text.", "leave --json or --explain out")
    with connect("readonly") as connection:
        if explain:
            plan = found._replace(sql=f"EXPLAIN (ANALYZE, BUFFERS) {found.sql}")
            for row in rows(connection, plan, **variables):
                say(row["QUERY PLAN"])
            return
        show(rows(connection, found, **variables), json, empty)


for each in NAMES.items():
    define(*each)
