"""The application's queries (pg/queries/app_*.sql), as flaglearning_readonly."""

from __future__ import annotations

import argparse

from ops import psql
from ops.cli import JSON, LIMIT, QUERIES, command, flag
from ops.output import say, show_first
from user_errors import UserError

EXPLAIN = flag("--explain", help="run it and print the plan with times instead")

# Name → (help, the sentence for no rows)
NAMES = {
    "count-countries": ("Count the countries", ""),
    "countries": ("List countries with their flags", "no countries are loaded: ./scripts/ops migrations apply"),
    "todays-challenge": ("Show today's challenge", "today's challenge does not exist yet: the first request makes it"),
    "user-stats": ("List players with their totals and streaks", "no player has answered yet"),
    "active-streaks": ("List players whose streak is alive", "no streak is alive today"),
    "most-guessed": ("List the countries that are guessed most", "no player has answered yet"),
    "accuracy": ("List players by their share of right answers", "no player has answered yet"),
}


def declare(name: str, help: str, empty: str) -> None:
    """Declare the command of one query; it takes a limit if the query does."""
    query = psql.load(f"app_{name.replace('-', '_')}")
    limit = (LIMIT,) if query.variables else ()

    @command(f"query {name}", QUERIES, help, *limit, EXPLAIN, JSON)
    def run(asked: argparse.Namespace) -> None:
        limit: int = asked.limit if query.variables else 0
        more = 0 if asked.explain else 1  # one row more tells whether the listing is cut
        variables = {"limit": str(limit + more)} if query.variables else {}
        if asked.explain and asked.json:
            raise UserError("--explain prints text, not JSON", "leave out --json or --explain")
        if asked.explain:
            plan = f"EXPLAIN (ANALYZE, BUFFERS) {query.sql};"
            say(psql.execute(plan, role="readonly", variables=variables).rstrip())
            return
        found = psql.select(query.sql, role="readonly", variables=variables)
        show_first(found, limit or len(found), asked.json, empty)


for each, (sentence, nothing) in NAMES.items():
    declare(each, sentence, nothing)
