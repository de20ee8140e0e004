"""Outcomes of checks, verdicts of items, the exit status: pure functions of what happened."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from checklist.api import ITEMS, Check, Seen

Outcome = Literal["pass", "does not apply", "deviation", "not proven", "fail"]
Verdict = Literal["pass", "does not apply", "deviation", "fail", "not run"]
Deployment = Literal["development", "production"]


@dataclass(frozen=True)
class Result:
    """One check: its outcome, the reason unless it passed, and the evidence."""

    check: Check
    outcome: Outcome
    reason: str = ""
    evidence: tuple[Seen, ...] = ()
    seconds: float = 0.0


@dataclass(frozen=True)
class Item:
    """One line of the reference's checklist."""

    number: int
    title: str
    verdict: Verdict
    results: tuple[Result, ...]

    @property
    def counts(self) -> str:
        """'1 deviating, 5 pass'."""
        found = Counter(result.outcome for result in self.results)
        words: dict[Outcome, str] = {
            "fail": "fail",
            "not proven": "not proven",
            "deviation": "deviating",
            "does not apply": "not applicable",
            "pass": "pass",
        }
        return ", ".join(f"{found[outcome]} {word}" for outcome, word in words.items() if found[outcome]) or "not run"


@dataclass(frozen=True)
class Run:
    """A whole run against one target."""

    target: str
    deployment: Deployment
    results: tuple[Result, ...]
    seconds: float = 0.0
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    hosts: tuple[str, ...] = ()
    """The machines that were looked at, and what they are; none: this one."""

    @property
    def items(self) -> list[Item]:
        """The reference's seven items, in its order, then the cluster."""
        found = []
        for number, (prefix, title) in enumerate(ITEMS.items(), 1):
            mine = tuple(sorted((r for r in self.results if r.check.item == prefix), key=lambda r: r.check.id))
            found.append(Item(number, title, verdict([r.outcome for r in mine], self.deployment), mine))
        return found

    @property
    def ok(self) -> bool:
        """Every check that applies to this deployment passed, and at least one ran."""
        return bool(self.results) and all(item.verdict != "fail" for item in self.items)


def judge(raised: str, reason: str, evidence: list[Seen], deployment: Deployment) -> tuple[Outcome, str]:
    """A check's outcome and reason, from what it raised: 'nothing', 'deviation', 'not proven', 'does not apply' or
    'error'."""
    match raised:
        case "nothing" if evidence:
            return "pass", ""
        case "nothing":
            return "fail", "the check recorded no evidence"
        case "deviation" if deployment == "production":
            return "fail", f"this is only for development: {reason}"
        case "deviation":
            return "deviation", reason
        case "not proven" | "does not apply":
            return raised, reason
        case _:
            return "fail", reason


def verdict(outcomes: list[Outcome], deployment: Deployment) -> Verdict:
    """An item is as good as its worst check that applies. What is not proven fails in production and deviates in
    development."""
    if not set(outcomes) - {"does not apply"}:
        return "does not apply" if outcomes else "not run"
    if "fail" in outcomes or ("not proven" in outcomes and deployment == "production"):
        return "fail"
    return "deviation" if {"deviation", "not proven"} & set(outcomes) else "pass"
