"""The table of contents of a pg_dump archive (pg_restore --list), and what of it is restored. Pure functions."""

import re
from collections.abc import Callable, Iterable
from typing import NamedTuple

ENTRY = re.compile(r"(?P<id>\d+); \d+ \d+ (?P<rest>.*)")
# The longer names first: TABLE DATA is not a TABLE.
KINDS = (
    "COMMENT", "EXTENSION", "EVENT TRIGGER", "PROCEDURAL LANGUAGE", "SCHEMA", "TABLE DATA", "FK CONSTRAINT", "ACL",
    "PUBLICATION TABLES IN SCHEMA", "PUBLICATION TABLE", "PUBLICATION", "SUBSCRIPTION", "SECURITY LABEL",
)  # fmt: skip


class Entry(NamedTuple):
    """A line of the listing: what kind of object (of those that matter here, else ''), and schema and name."""

    line: str
    kind: str
    text: str  # what follows the kind: SCHEMA NAME OWNER


def entries(listing: str) -> list[Entry]:
    """The entries of a listing; comments are left out."""
    found = []
    for line in listing.splitlines():
        match = ENTRY.fullmatch(line)
        if match:
            kind = next((kind for kind in KINDS if match["rest"].startswith(f"{kind} ")), "")
            found.append(Entry(line, kind, match["rest"][len(kind) :].strip()))
    return found


def restored(
    given: Iterable[Entry], extension_allowed: Callable[[str], bool], only_rows_of: str = "", keys: bool = True
) -> list[str]:
    """The lines to restore, in their order. `only_rows_of`: SCHEMA.TABLE whose rows alone are wanted; the definitions
    of all tables come, too. `keys`: whether foreign keys are created; where the rows of other tables are missing they
    can't be."""
    return [one.line for one in given if is_restored(one, extension_allowed, only_rows_of, keys)]


def is_restored(entry: Entry, extension_allowed: Callable[[str], bool], only_rows_of: str, keys: bool) -> bool:
    """Whether an entry is for this restore."""
    words = entry.text.split()
    if entry.kind in ("EVENT TRIGGER", "ACL") or entry.kind.startswith(("PUBLICATION", "SUBSCRIPTION", "SECURITY")):
        return False
    if entry.kind == "EXTENSION":  # - NAME
        return extension_allowed(entry.text.removeprefix("- ").strip())
    if entry.kind == "SCHEMA":  # - NAME OWNER
        return words[:2] != ["-", "public"]
    if entry.kind == "PROCEDURAL LANGUAGE":
        return words[:2] != ["-", "plpgsql"]
    if entry.kind == "COMMENT":  # SCHEMA KIND NAME
        if words[:2] == ["-", "EXTENSION"]:
            return extension_allowed(" ".join(words[2:]))
        return (
            words[:3] not in (["-", "SCHEMA", "public"], ["-", "LANGUAGE", "plpgsql"])
            and "EVENT TRIGGER" not in entry.text
        )
    if entry.kind == "FK CONSTRAINT":
        return keys
    if entry.kind == "TABLE DATA" and only_rows_of:  # SCHEMA NAME OWNER
        schema, _, name = only_rows_of.partition(".")
        return entry.text.startswith(f"{schema} {name} ")
    return True
