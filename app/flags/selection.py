"""Selects the country of each day's challenge.

Version 1. The country codes are put into a fixed order that looks random (by hash) and cut into five blocks. Days are
counted in cycles as long as the list; in every cycle each block is shuffled anew (by hash again), and the blocks keep
their places. So every country comes once per cycle, the order is never the same twice, and a country that comes late in
its block and early in the next cycle's still waits a cycle minus a block: at least 157 days with 195 countries.

It is a pure function of the date and the codes, so all processes agree without coordination. It is not secret: a player
who reads this file can predict tomorrow's flag.

Past challenges are stored in the table. When the list of countries changes, the order from then on changes, and a
country may come back early once. Change the algorithm only together with VERSION, which every challenge stores.
"""

import datetime
import hashlib
from collections.abc import Sequence

VERSION = 1

BLOCKS = 5


def country_code_for(day: datetime.date, codes: Sequence[str]) -> str:
    """The code of the country whose flag is the challenge of `day`; the order of `codes` doesn't matter."""
    cycle, place = divmod(day.toordinal(), len(codes))
    order = sorted(codes, key=lambda code: _hash("order", code))
    size = max(1, len(order) // BLOCKS)
    # A list that five doesn't divide ends in a shorter block.
    start = place - place % size
    block = sorted(order[start : start + size], key=lambda code: _hash(str(cycle), code))
    return block[place - start]


def _hash(*parts: str) -> bytes:
    return hashlib.sha256(":".join((str(VERSION), *parts)).encode()).digest()
