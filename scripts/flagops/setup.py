"""Sections 1 and 5: what pg/sql/apply.sql made of the server, whether it still is so, and making it so again.

What it should be is not written down a second time: ./scripts/ops lets a scratch server, in a container of its own,
apply the same file (wanted-policy.sh), asks it the same questions (pg/queries/policy.sql), and hands the answers to
`verify`.
"""

import csv
import sys
from itertools import groupby
from typing import NamedTuple

from rich.text import Text

from flagops import stack
from flagops.cli import SETUP, group
from flagops.database import connect, rows
from flagops.errors import Refused, Status
from flagops.output import Json, console, printable, say, show, show_json
from flagops.queries import load

setup = group(SETUP, "setup", "Roles, database and privileges: show them, verify them, apply them again.")

# What the scratch server has for a table or a sequence that a migration made.
PROBES = {"table": "table policy_probe", "sequence": "sequence policy_probe_id_seq"}


class Fact(NamedTuple):
    """One thing that the policy decides: of the database `place` ('' for the whole server)."""

    place: str
    object: str
    fact: str


@setup.command("show")
def show_setup(json: Json = False) -> None:
    """What apply.sql made: each role, database, table and function with its owner and privileges."""
    found = sorted(live())
    if json:
        show_json([fact._asdict() for fact in found])
        return
    # Objects with the same facts, most tables for one, are told of together.
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (place, object), facts in groupby(found, key=lambda fact: (fact.place, fact.object)):
        alike.setdefault((place, tuple(fact.fact for fact in facts)), []).append(object)
    for (place, texts), objects in alike.items():
        console.print(Text(printable(", ".join(objects)), style="bold"), Text(place, style="dim"))
        for text in texts:
            say(f"    {text}")


@setup.command()
def verify(json: Json = False) -> Status:
    """Compare the server with what apply.sql would make of a fresh one. Exit status 1 if they differ."""
    if sys.stdin.isatty():
        raise Refused("verify needs what a scratch server says.", "run it as ./scripts/ops setup verify")
    wanted = {Fact(*row) for row in csv.reader(sys.stdin)}
    if not wanted:
        raise Refused("the scratch server said nothing; its own message is above.", "docker compose build roles")
    found = differences(wanted, live())
    show(found, json, empty=f"as apply.sql wants it ({len(wanted)} facts compared).")
    return Status.PROBLEM if found else Status.OK


@setup.command("apply")
def apply_setup() -> None:
    """Apply apply.sql again, as every start of the stack does: what drifted is repaired, passwords are the secrets'."""
    raise on_the_host("setup apply")


def on_the_host(command: str) -> Refused:
    """The command is done by the script on the host, because only it can reach Docker."""
    return Refused(f"`{command}` starts a container, which a container can't.", f"./scripts/ops {command}")


def live() -> set[Fact]:
    """The facts of this server: of the application's database, and of `postgres`, where the pooler's lookup is."""
    facts = set()
    for database in (stack.APP_DATABASE, "postgres"):
        with connect(database=database) as connection:
            facts |= {Fact(**row) for row in rows(connection, load("policy"), database=stack.APP_DATABASE)}
    return facts


def differences(wanted: set[Fact], found: set[Fact]) -> list[dict[str, str]]:
    """What is missing and what is too much. A migration's table is compared with the probe that stands for it."""
    probes = set(PROBES.values())
    named = {fact.object for fact in wanted}
    expected = {fact for fact in wanted if fact.object not in probes}
    for object in {fact.object for fact in found} - named:
        if probe := PROBES.get(object.partition(" ")[0]):
            expected |= {fact._replace(object=object) for fact in wanted if fact.object == probe}
    problems = [("missing", fact) for fact in expected - found] + [
        ("not in the policy", fact) for fact in found - expected
    ]
    return [
        {"problem": problem, **fact._asdict()}
        for problem, fact in sorted(problems, key=lambda pair: (pair[1], pair[0]))
    ]
