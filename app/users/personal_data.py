"""A user's data: to download it, and to delete it with the account.

Other apps add what they hold of a user (flags.apps).
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction

from users.models import TOTALS, User, UserStats
from users.services import lock_stats

# Lists of the download: a name, and a function that yields the rows.
exporters: dict[str, Callable[[User], Iterator[dict[str, Any]]]] = {}
# Delete a user's rows batch by batch: each a transaction, after which all counters are right.
erasers: list[Callable[[User], Iterator[None]]] = []

ACCOUNT = ("email", "display_name", "date_joined", "last_login")


def export(user: User) -> Iterator[str]:
    """Yield a JSON object in parts, so that a long list is never in memory as a whole."""
    stats = UserStats.objects.filter(user=user).values(*TOTALS).first()
    known = {"account": {name: getattr(user, name) for name in ACCOUNT}, "totals": stats}
    yield _json(known).removesuffix("}")
    for name, rows in exporters.items():
        yield f", {_json(name)}: ["
        for number, row in enumerate(rows(user)):
            yield (",\n" if number else "\n") + _json(row)
        yield "]"
    yield "}\n"


def delete(user: User) -> Iterator[None]:
    """Delete the user's rows, then the account; with it, all of its sessions end.

    Yields after each transaction but the last. An interrupted deletion leaves an account with fewer answers, which can
    be deleted again.
    """
    for erase in erasers:
        yield from erase(user)
    with transaction.atomic():
        # Waits for answers and questions that are being stored, and refuses later ones.
        lock_stats(user)
        User.objects.select_for_update().get(pk=user.pk)
        user.delete()


def _json(value: object) -> str:
    return json.dumps(value, cls=DjangoJSONEncoder, ensure_ascii=False)
