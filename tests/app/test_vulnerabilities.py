"""app/core/vulnerabilities.py: which versions an advisory affects, by OSV's rules."""

from typing import Any

import pytest

from core import vulnerabilities


def advisory(name: str = "django", id: str = "GHSA-1", ecosystem: str = "PyPI", **of: Any) -> dict[str, Any]:
    """One with a CVE."""
    affected = {"package": {"name": name, "ecosystem": ecosystem}, **of}
    return {"id": id, "aliases": ["CVE-2026-1"], "affected": [affected]}


def events(*pairs: tuple[str, str], type: str = "ECOSYSTEM") -> dict[str, Any]:
    """A range of versions."""
    return {"ranges": [{"type": type, "events": [{kind: at} for kind, at in pairs]}]}


TWO_BRANCHES = events(("introduced", "0"), ("fixed", "4.2.9"), ("introduced", "5.0"), ("fixed", "5.2.3"))


@pytest.mark.parametrize(
    ("version", "of", "fix"),
    [
        ("4.2.8", TWO_BRANCHES, "4.2.9"),
        ("4.2.9", TWO_BRANCHES, None),
        ("5.0", TWO_BRANCHES, "5.2.3"),
        ("5.2.10", TWO_BRANCHES, None),  # not by the letters: "5.2.10" < "5.2.3"
        ("5.2.3", events(("introduced", "5.2"), ("last_affected", "5.2.3")), ""),
        ("5.2.4", events(("introduced", "5.2"), ("last_affected", "5.2.3")), None),
        ("5.2.1", {"versions": ["5.2.0", "5.2.1"]}, ""),
        ("5.2", {"versions": ["5.2.0"]}, ""),  # PEP 440: the same version
        ("5.2.1", {"versions": ["5.2.2", "2011b-dev!"]}, None),
        ("5.2.1", events(("introduced", "0"), type="GIT"), None),
    ],
)
def test_a_version_is_affected_until_it_is_fixed(version: str, of: dict[str, Any], fix: str | None) -> None:
    found = vulnerabilities.known([advisory(**of)], {"Django": version})
    assert [one["fix"] for one in found] == ([] if fix is None else [fix])


@pytest.mark.parametrize(
    "other",
    [
        advisory(name="flask", **TWO_BRANCHES),
        advisory(ecosystem="npm", **TWO_BRANCHES),
        {**advisory(**TWO_BRANCHES), "withdrawn": "2026-01-01T00:00:00Z"},
    ],
)
def test_other_advisories_do_not_count(other: dict[str, Any]) -> None:
    assert vulnerabilities.known([other], {"Django": "4.2.8"}) == []


def test_one_that_two_databases_have_is_listed_once_with_its_fix() -> None:
    both = [advisory(id="PYSEC-1", versions=["4.2.8"]), advisory(**TWO_BRANCHES)]
    row = {"package": "django", "version": "4.2.8", "id": "CVE-2026-1", "fix": "4.2.9"}
    assert vulnerabilities.known(both, {"Django": "4.2.8"}) == [row]
    assert vulnerabilities.known(both[::-1], {"Django": "4.2.8"}) == [row]
