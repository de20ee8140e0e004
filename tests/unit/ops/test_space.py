"""What can be freed, by which command, and which queries wait."""

from typing import Any

from ops import machine
from ops.commands import space

NONE: dict[str, list[dict[str, Any]]] = {name: [] for name in space.QUERIES}
MB = 1024 * 1024


def test_each_kind_has_its_command_and_its_price() -> None:
    found = {
        **NONE,
        "table_bloat": [{"table": "public.a", "bloat_bytes": 3 * MB, "size_bytes": 4 * MB}],
        "index_bloat": [{"index": "public.a_b", "bloat_bytes": 2 * MB}],
        "unused_indexes": [{"index": "public.a_c", "size_bytes": 5 * MB}],
        "invalid_indexes": [{"schema": "public", "name": "a_ccnew", "size_bytes": 6 * MB, "leftover": True}],
        "test_databases": [{"name": "test_x", "size_bytes": 7 * MB, "sessions": 0}],
    }
    assert [(item.what, item.command.replace("./scripts/ops ", "")) for item in space.freeable(found)] == [
        ("test database test_x", "test-databases drop test_x"),
        ("invalid index public.a_ccnew", "reindex --clean"),
        ("unused index public.a_c", space.MIGRATION),
        ("bloat of public.a", "vacuum-full public.a"),
        ("bloat of public.a_b", "reindex public.a_b"),
    ]
    assert "ACCESS EXCLUSIVE" in next(item.price for item in space.freeable(found) if "vacuum" in item.command)


def test_what_is_small_or_in_use_is_left_out() -> None:
    found: dict[str, list[dict[str, Any]]] = {
        **NONE,
        "table_bloat": [
            {"table": "a", "bloat_bytes": MB - 1, "size_bytes": 4 * MB},
            {"table": "b", "bloat_bytes": None, "size_bytes": 4 * MB},
        ],
        "invalid_indexes": [{"schema": "public", "name": "half", "size_bytes": 6 * MB, "leftover": False}],
        "test_databases": [{"name": "test_x", "size_bytes": 7 * MB, "sessions": 1}],
    }
    assert space.freeable(found) == []


def test_the_disk_as_df_prints_it() -> None:
    assert machine.parse("1B-blocks Avail\n 1000 250\n") == {"size_bytes": 1000, "free_bytes": 250, "free_pct": 25.0}
