"""Roles, databases and privileges: what pg/sql/apply.sql decides."""

from __future__ import annotations

import argparse

from ops import containers, psql, schema
from ops.cli import JSON, SETUP, command
from ops.flows import policy
from ops.output import say, show, show_json
from user_errors import Status


@command("setup show", SETUP, "Show each role, database, table and function with its owner and privileges", JSON)
def show_setup(asked: argparse.Namespace) -> None:
    found = sorted(policy.live_facts())
    if asked.json:
        show_json([fact._asdict() for fact in found])
        return
    for (place, texts), objects in policy.alike(found).items():
        say(f"{', '.join(objects)}  {place}".rstrip())
        for text in texts:
            say(f"    {text}")


@command("setup verify", SETUP, "Compare the server with apply.sql and with the application's models", JSON)
def verify(asked: argparse.Namespace) -> int:
    """A PostgreSQL in a throw-away container applies the same file and answers the same query; the tables and columns
    are compared with the models of the app. Exit status 1 when something differs."""
    wanted = policy.wanted_facts()
    lacking = {"problem": "missing", "place": psql.app_database(), "fact": "in the models of the application"}
    found = [
        *policy.differences(wanted, policy.live_facts()),
        *({**lacking, "object": f"table {name}"} for name in schema.of_the_app()["missing"]),
    ]
    same = f"the server is as apply.sql makes it ({len(wanted)} facts compared), with the tables of the models"
    show(found, asked.json, empty=same)
    return Status.PROBLEM if found else Status.OK


@command("setup apply", SETUP, "Apply apply.sql again, as every start does: repair drift, set the secrets' passwords")
def apply(asked: argparse.Namespace) -> None:
    applied = containers.pgadmin("apply")
    say(f"applied pg/sql/apply.sql to {applied['database']} ({applied['deployment']})")
