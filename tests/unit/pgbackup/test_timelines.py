"""From which backups a timeline can be reached."""

from collections.abc import Callable
from datetime import UTC, datetime

from pgbackup.pgbackrest import Backup, lsn
from pgbackup.timelines import on_the_way, parse_history

Make = Callable[..., Backup]
AT = datetime(2026, 11, 20, tzinfo=UTC)
HISTORY = "1\t0/5000A28\tbefore 2026-11-20 10:00:00+00\n\n2\t0/7000060\tno recovery target specified\n"


def test_a_history_file_is_read() -> None:
    assert parse_history(HISTORY) == {1: lsn("0/5000A28"), 2: lsn("0/7000060")}
    assert parse_history("") == {}


def test_a_position_beyond_4_gb_is_larger() -> None:
    assert lsn("1/0") == 1 << 32 > lsn("0/FFFFFFFF")


def test_the_timelines_own_backups_and_its_ancestors_before_they_were_left(backup: Make) -> None:
    early = backup(AT, timeline=1, stop_lsn=lsn("0/5000000"))
    on_the_boundary = backup(AT, timeline=1, stop_lsn=lsn("0/5000A28"))
    abandoned = backup(AT, timeline=1, stop_lsn=lsn("0/6000000"))
    second = backup(AT, timeline=2, stop_lsn=lsn("0/6800000"))
    own = backup(AT, timeline=3, stop_lsn=lsn("0/9000000"))
    made = [early, on_the_boundary, abandoned, second, own]
    assert on_the_way(made, 3, parse_history(HISTORY)) == [early, on_the_boundary, second, own]


def test_a_timeline_that_is_no_ancestor_is_no_way(backup: Make) -> None:
    sibling = backup(AT, timeline=2, stop_lsn=0)
    assert on_the_way([sibling], 3, {1: lsn("0/5000000")}) == []
