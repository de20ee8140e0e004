"""Reads that may be some seconds old: from a standby of a database cluster, with REPLICA_READS (docs/adr/0049)."""

import datetime
import logging
from collections.abc import Callable
from typing import Generic, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, InterfaceError, OperationalError, connections, transaction
from django.utils import timezone

T = TypeVar("T")

logger = logging.getLogger(__name__)

ALIAS = "replica"  # in DATABASES, unless replica reads are off
# HAProxy leads to the primary when no standby is fit. While nothing is written, this stays the last write's time.
STATE_OF = """
    SELECT CASE WHEN pg_catalog.pg_is_in_recovery() THEN pg_catalog.pg_last_xact_replay_timestamp()
           ELSE pg_catalog.clock_timestamp() END"""


class Reading(NamedTuple, Generic[T]):
    """What a query returned, and the time up to which it has every committed write; None: it is not from a replica."""

    rows: T
    as_of: datetime.datetime | None


def read(query: Callable[[str], T]) -> Reading[T]:
    """Run `query(alias)` on a standby; on the primary when replica reads are off, or when no standby answers."""
    if ALIAS not in connections.databases:
        return Reading(query(DEFAULT_DB_ALIAS), None)
    try:
        # One transaction, so that PgBouncer asks one server both.
        with transaction.atomic(using=ALIAS):
            with connections[ALIAS].cursor() as cursor:
                cursor.execute(STATE_OF)
                (as_of,) = cursor.fetchone()
            if as_of:  # NULL: it has replayed nothing since it was started
                return Reading(query(ALIAS), as_of)
    except (OperationalError, InterfaceError):
        logger.warning("no replica can be read: the primary is", exc_info=True)
    return Reading(query(DEFAULT_DB_ALIAS), timezone.now())
