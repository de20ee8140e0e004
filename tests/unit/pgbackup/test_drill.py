"""What a manifest has against what was read."""

from typing import Any

import pytest

from pgbackup.drill import compare

ONE = {"rows": 195, "hash": "11"}
TWO = {"rows": 3, "hash": "22"}
MANIFEST: dict[str, Any] = {"a.public.one": ONE, "a.public.two": TWO}


def failed(seen: dict[str, Any]) -> dict[str, str]:
    return {check["check"]: check["saw"] for check in compare(MANIFEST, seen) if not check["ok"]}


def test_the_same_passes() -> None:
    checks = compare(MANIFEST, dict(MANIFEST))
    assert [check["ok"] for check in checks] == [True, True, True]
    assert checks[1]["saw"] == "198 rows"


@pytest.mark.parametrize(("seen", "failing", "saw"), [
    ({"a.public.one": ONE}, {"tables"}, "missing: a.public.two"),
    ({**MANIFEST, "a.public.more": ONE}, {"tables"}, "added: a.public.more"),
    ({**MANIFEST, "a.public.two": {"rows": 4, "hash": "22"}}, {"rows", "contents"}, "not in: a.public.two"),
    ({**MANIFEST, "a.public.two": {"rows": 3, "hash": "23"}}, {"contents"}, "another in: a.public.two"),
])  # fmt: skip
def test_a_difference_is_named(seen: dict[str, Any], failing: set[str], saw: str) -> None:
    found = failed(seen)
    words = {"tables": "the tables are those", "rows": "as many rows", "contents": "the same contents"}
    assert {key for key, text in words.items() if any(text in check for check in found)} == failing
    assert any(saw in text for text in found.values())


def test_nothing_at_all_is_a_failure() -> None:
    assert compare({}, {})[0]["ok"] is False
