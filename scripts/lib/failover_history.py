"""Judge what clients were told while a primary was replaced: was an acknowledged write lost, did two servers
acknowledge at the same time, for how long could no client write?

A history is a list of operations, as docker/ops/pgclient/failover_load.py reports them. Their ids are unique, so that
no solver is needed: an acknowledged insert has to be there in the end; the values that a register returned have to grow
with time; a list that was returned has to be the beginning of the last one (the idea of Elle's list-append workload).

Pure functions. Standard library only, Python 3.9 or newer.
"""

from __future__ import annotations

import hashlib
from typing import Any, NamedTuple

Operation = dict[str, Any]
OUTCOMES = ("ok", "failed", "unknown")


class Verdict(NamedTuple):
    """What a history shows. Times are in seconds."""

    acknowledged: int
    failed: int
    unknown: int
    lost: list[int]  # ids that were acknowledged and are not there
    violations: list[str]  # what else can't be true of one server that loses nothing
    gap_s: float  # the longest time between two acknowledged writes
    longest_s: float  # of an acknowledged operation
    eras: list[str]  # the members that acknowledged, one after the other


def judge(history: list[Operation], final: dict[str, Any]) -> Verdict:
    """`final`: {"rows": ids, "register": number, "list": ids}, read after everything has healed."""
    done = sorted((one for one in history if one["outcome"] == "ok"), key=lambda one: float(one["end"]))
    count = {outcome: sum(one["outcome"] == outcome for one in history) for outcome in OUTCOMES}
    return Verdict(
        acknowledged=count["ok"],
        failed=count["failed"],
        unknown=count["unknown"],
        lost=lost(done, final),
        violations=[*inserts(history, final), *register(history, done, final), *lists(done, final), *alternation(done)],
        gap_s=gap(done),
        longest_s=max((one["end"] - one["start"] for one in done), default=0.0),
        eras=eras(done),
    )


def lost(done: list[Operation], final: dict[str, Any]) -> list[int]:
    """Acknowledged inserts and appends that are not there."""
    there = {"row": set(final["rows"]), "list": set(final["list"])}
    return sorted(one["id"] for one in done if one["kind"] in there and one["id"] not in there[one["kind"]])


def inserts(history: list[Operation], final: dict[str, Any]) -> list[str]:
    """Nothing that failed for certain is there, nothing that was never asked for, and nothing twice."""
    found = []
    for kind, there in (("row", final["rows"]), ("list", final["list"])):
        asked = {one["id"]: one["outcome"] for one in history if one["kind"] == kind}
        found += [f"{kind} {number} failed, and is there" for number in there if asked.get(number) == "failed"]
        found += [f"{kind} {number} is there, and was never written" for number in there if number not in asked]
        if len(set(there)) != len(there):
            found.append(f"a {kind} is there twice")
    return found


def register(history: list[Operation], done: list[Operation], final: dict[str, Any]) -> list[str]:
    """Each value once; a later operation has a greater one; in the end it counts the increments."""
    found = []
    ours = [one for one in done if one["kind"] == "register"]
    values = [one["v"] for one in ours]
    if len(set(values)) != len(values):
        found.append("the register returned a value twice")
    # in real time: an operation that began after another had ended has a greater value
    by_start = sorted(ours, key=lambda one: float(one["start"]))
    greatest, ended = 0, 0
    for one in by_start:
        while ended < len(ours) and ours[ended]["end"] < one["start"]:
            greatest = max(greatest, ours[ended]["v"])
            ended += 1
        if one["v"] <= greatest:
            found.append(f"the register went back: {one['v']} after {greatest}")
    maybe = sum(one["outcome"] == "unknown" for one in history if one["kind"] == "register")
    if not len(ours) <= final["register"] <= len(ours) + maybe:
        found.append(
            f"the register is {final['register']} after {len(ours)} acknowledged increments and {maybe} unknown ones"
        )
    return found


def lists(done: list[Operation], final: dict[str, Any]) -> list[str]:
    """Each list that was returned is the beginning of the last one."""
    found = []
    for one in done:
        if one["kind"] != "list":
            continue
        beginning = ",".join(map(str, final["list"][: one["length"]]))
        if hashlib.md5(beginning.encode(), usedforsecurity=False).hexdigest() != one["hash"]:
            found.append(f"the list as operation {one['id']} saw it is not the beginning of the last one")
    return found


def alternation(done: list[Operation]) -> list[str]:
    """No member acknowledges again within a second, with another's acknowledgement in between: two at a time."""
    found = []
    for position in range(1, len(done)):
        before, after = done[position - 1 : position + 1]
        if before.get("member") != after.get("member"):
            earlier = [one for one in done if one.get("member") == after.get("member") and one["end"] < before["end"]]
            if earlier and after["end"] - earlier[-1]["end"] < 1.0:
                found.append(f"{after.get('member')} and {before.get('member')} acknowledged at the same time")
    return found


def gap(done: list[Operation]) -> float:
    """The longest time between two acknowledged writes."""
    ends = [float(one["end"]) for one in done]
    return max((ends[position] - ends[position - 1] for position in range(1, len(ends))), default=0.0)


def eras(done: list[Operation]) -> list[str]:
    """The members that acknowledged, in the order of time, each as often as it took over."""
    found: list[str] = []
    for one in done:
        member = str(one.get("member") or "?")
        if not found or found[-1] != member:
            found.append(member)
    return found
