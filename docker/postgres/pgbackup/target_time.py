"""The time that a person types as a recovery target, as an instant. Pure functions.

Accepted (ISO 8601, RFC 3339): a date and a time, with T or a space between them, seconds and up to six decimals
optional; then nothing (UTC), Z, an offset like +01:00, or the name of a zone like Europe/Berlin. Anything else is
refused, because a restore to another instant than the one that was meant is worse than none.
"""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import NamedTuple
from zoneinfo import ZoneInfo

from user_errors import UserError

FORMS = "2026-11-23 14:05:30 (UTC), 2026-11-23T15:05:30+01:00, or '2026-11-23 15:05:30 Europe/Berlin'"
TYPED = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ]+(?P<time>[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]{1,6})?)?)[ ]*"
    r"(?P<zone>[Zz]|[+-][0-9]{2}(?::?[0-9]{2})?|[A-Za-z][A-Za-z0-9_+/-]*)?)?"
)
OFFSET = re.compile(r"([+-])([0-9]{2}):?([0-9]{2})?")


class TargetTime(NamedTuple):
    """An instant, and how it is shown: in UTC, and as it was typed when that was in another zone."""

    at: datetime  # UTC
    says: str

    @property
    def pgbackrest(self) -> str:
        """For pgBackRest's --target (and recovery_target_time)."""
        return f"{self.at:%Y-%m-%d %H:%M:%S.%f}+00"


def parse(typed: str) -> TargetTime:
    """Raises UserError for anything that is not exactly one instant."""
    found = TYPED.fullmatch(typed.strip())
    if not found:
        raise UserError(f"'{typed}' is not a time", f"write it like {FORMS}")
    if not found["time"]:
        raise UserError(f"'{typed}' is a day, not a time", f"add the time: '{found['date']} 00:00'")
    zone = zone_of(found["zone"] or "Z", typed)
    try:
        local = datetime.fromisoformat(f"{found['date']}T{found['time'].replace(',', '.')}").replace(tzinfo=zone)
    except ValueError as error:
        raise UserError(f"'{typed}' is not a time", f"write it like {FORMS}", str(error)) from None
    at = instant(local, typed)
    shown = shorten(at)
    says = f"{shown} UTC"
    if local.utcoffset():
        says += f" ({shorten(local)} {found['zone']})"
    return TargetTime(at, says)


def shorten(at: datetime) -> str:
    """Without decimals when there are none."""
    return f"{at:%Y-%m-%d %H:%M:%S}" + (f".{at.microsecond:06d}".rstrip("0") if at.microsecond else "")


def zone_of(name: str, typed: str) -> tzinfo:
    """The zone of Z, an offset or a name. Raises UserError; also for abbreviations: IST is three different offsets."""
    if name in ("Z", "z") or name.upper() in ("UTC", "GMT"):
        return UTC
    offset = OFFSET.fullmatch(name)
    if offset:
        hours, minutes = int(offset[2]), int(offset[3] or 0)
        if hours > 15 or minutes > 59:  # PostgreSQL's own limit is 15:59:59
            raise UserError(f"'{typed}' has an impossible offset: {name}", f"write it like {FORMS}")
        delta = timedelta(hours=hours, minutes=minutes)
        return timezone(-delta if offset[1] == "-" else delta)
    if "/" not in name:
        raise UserError(
            f"'{typed}' names a zone by an abbreviation: {name}",
            f"use an offset, or a name like Europe/Berlin: {FORMS}",
        )
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise UserError(f"there is no time zone '{name}'", f"write the time like {FORMS}") from None


def instant(local: datetime, typed: str) -> datetime:
    """In UTC. Raises UserError for a local time that the clock change skips or repeats, and for years out of range."""
    try:
        first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    except OverflowError:
        raise UserError(f"'{typed}' is out of range", f"write it like {FORMS}") from None
    if first == second:
        return first
    if first > second:  # the gap: with either offset another local time comes back
        raise UserError(f"'{typed}' does not exist: the clocks were put forward then", f"write it in UTC: {FORMS}")
    raise UserError(
        f"'{typed}' happened twice: the clocks were put back then",
        f"it is {first:%Y-%m-%d %H:%M:%S} or {second:%Y-%m-%d %H:%M:%S} UTC: write the one that is meant",
    )
