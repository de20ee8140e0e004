"""Plans, as EXPLAIN (FORMAT JSON) gives them: the node that a person looks for first, whether a table is read whole."""

import dataclasses
from collections.abc import Iterator
from typing import Any

Node = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Reading:
    """A node that reads a table: how, and how many rows in all."""

    how: str
    table: str
    rows: float

    def __str__(self) -> str:
        return f"{self.how}: {self.rows:,.0f} rows"


def nodes(plan: Node) -> Iterator[Node]:
    """The plan's nodes, from the top."""
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def readings(plan: Node) -> list[Reading]:
    """What is read, and what a filter then throws away counts, too."""
    return [
        _reading(node) for node in nodes(plan) if "Relation Name" in node or node["Node Type"].startswith("Bitmap H")
    ]


def _reading(node: Node) -> Reading:
    rows = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    index = f" {node['Index Name']}" if "Index Name" in node else ""
    return Reading(f"{node['Node Type']}{index or ' ' + node['Relation Name']}", node["Relation Name"], rows)


def essential(plan: Node) -> str:
    """The node that reads most."""
    return str(max(readings(plan), key=lambda reading: reading.rows, default="reads no table"))


def pages_read(plan: Node) -> int:
    """Of 8 kB, in the cache or not; the top node's count has its children's."""
    return int(plan["Shared Hit Blocks"] + plan["Shared Read Blocks"])


def reads_whole(plan: Node, table: str, size: int) -> bool:
    """Whether half of that table or more is read, with whatever node."""
    return any(reading.table == table and reading.rows >= size / 2 for reading in readings(plan))


def p95(samples: list[float]) -> float:
    """The smallest sample that 95 of 100 don't exceed."""
    return sorted(samples)[-(-len(samples) * 95 // 100) - 1]
