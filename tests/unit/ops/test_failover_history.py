"""scripts/lib/failover_history.py: each kind of loss is found, and a clean history is not blamed."""

import hashlib
from typing import Any

import failover_history

Operation = dict[str, Any]


def row(number: int, end: float, outcome: str = "ok", member: str = "db1") -> Operation:
    return {"kind": "row", "id": number, "start": end - 0.01, "end": end, "outcome": outcome, "member": member}


def increment(number: int, start: float, end: float, v: int | None, member: str = "db1") -> Operation:
    outcome = "unknown" if v is None else "ok"
    return {"kind": "register", "id": number, "start": start, "end": end, "outcome": outcome, "v": v, "member": member}


def append(number: int, end: float, items: list[int], member: str = "db1") -> Operation:
    digest = hashlib.md5(",".join(map(str, items)).encode(), usedforsecurity=False).hexdigest()
    return {
        "kind": "list", "id": number, "start": end - 0.01, "end": end, "outcome": "ok", "length": len(items),
        "hash": digest, "member": member,
    }  # fmt: skip


def final(rows: list[int], register: int = 0, items: list[int] | None = None) -> dict[str, Any]:
    return {"rows": rows, "register": register, "list": items or []}


def test_a_clean_failover() -> None:
    history = [row(1, 1.0), row(2, 1.1), row(3, 1.2, "unknown"), row(4, 3.5, member="db2"), row(5, 3.6, member="db2")]
    verdict = failover_history.judge(history, final([1, 2, 4, 5]))
    assert (verdict.acknowledged, verdict.unknown, verdict.failed) == (4, 1, 0)
    assert (verdict.lost, verdict.violations) == ([], [])
    assert verdict.eras == ["db1", "db2"]
    assert round(verdict.gap_s, 3) == 2.4
    assert round(verdict.longest_s, 3) == 0.01


def test_an_unknown_write_may_be_there_or_not() -> None:
    for rows in ([1], [1, 2]):
        verdict = failover_history.judge([row(1, 1.0), row(2, 1.1, "unknown")], final(rows))
        assert (verdict.lost, verdict.violations) == ([], [])


def test_an_acknowledged_write_that_is_not_there_is_lost() -> None:
    assert failover_history.judge([row(1, 1.0), row(2, 1.1)], final([1])).lost == [2]
    assert failover_history.judge([append(1, 1.0, [1]), append(2, 1.1, [1, 2])], final([], 0, [1])).lost == [2]


def test_a_failed_write_that_is_there() -> None:
    verdict = failover_history.judge([row(1, 1.0, "failed")], final([1]))
    assert verdict.violations == ["row 1 failed, and is there"]


def test_a_write_that_was_never_made_or_twice() -> None:
    assert failover_history.judge([row(1, 1.0)], final([1, 7])).violations == ["row 7 is there, and was never written"]
    assert failover_history.judge([row(1, 1.0)], final([1, 1])).violations == ["a row is there twice"]


def test_a_register_that_goes_back() -> None:
    history = [increment(1, 0.0, 1.0, 5), increment(2, 1.5, 2.0, 4)]
    assert "the register went back: 4 after 5" in failover_history.judge(history, final([], 5)).violations


def test_a_register_that_returns_a_value_twice() -> None:
    history = [increment(1, 0.0, 1.0, 1), increment(2, 0.5, 1.2, 1)]
    assert "the register returned a value twice" in failover_history.judge(history, final([], 2)).violations


def test_overlapping_increments_may_end_in_any_order() -> None:
    history = [increment(1, 0.0, 1.0, 2), increment(2, 0.5, 1.2, 1)]
    assert failover_history.judge(history, final([], 2)).violations == []


def test_a_register_counts_acknowledged_and_maybe_unknown_increments() -> None:
    history = [increment(1, 0.0, 1.0, 1), increment(2, 1.0, 1.2, None)]
    for value, right in ((0, False), (1, True), (2, True), (3, False)):
        assert (failover_history.judge(history, final([], value)).violations == []) is right


def test_a_list_that_is_not_the_beginning_of_the_last_one() -> None:
    history = [append(1, 1.0, [1]), append(2, 1.1, [1, 2])]
    assert failover_history.judge(history, final([], 0, [1, 2])).violations == []
    assert failover_history.judge(history, final([], 0, [2, 1])).violations != []


def test_two_members_that_acknowledge_at_the_same_time() -> None:
    history = [row(1, 1.0), row(2, 1.1, member="db2"), row(3, 1.2), row(4, 1.3, member="db2")]
    assert "acknowledged at the same time" in failover_history.judge(history, final([1, 2, 3, 4])).violations[0]


def test_switching_back_later_is_no_overlap() -> None:
    history = [row(1, 1.0), row(2, 4.0, member="db2"), row(3, 8.0)]
    verdict = failover_history.judge(history, final([1, 2, 3]))
    assert (verdict.violations, verdict.eras) == ([], ["db1", "db2", "db1"])


def test_no_operation_at_all() -> None:
    verdict = failover_history.judge([], final([]))
    assert (verdict.acknowledged, verdict.gap_s, verdict.longest_s, verdict.eras) == (0, 0.0, 0.0, [])
