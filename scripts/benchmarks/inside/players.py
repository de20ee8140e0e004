"""In an app's container: players with totals, and sessions of theirs without a password. `python players.py COUNT`.

Prints JSON: the session key of each user id. Running it twice makes nobody twice.
"""

import datetime
import json
import sys
from importlib import import_module
from typing import Any

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.utils import timezone  # noqa: E402
from django.utils.crypto import get_random_string  # noqa: E402

from flags import services  # noqa: E402
from users.models import User, UserStats  # noqa: E402

store = import_module(settings.SESSION_ENGINE).SessionStore


def session_of(user: User) -> Any:
    """The row that logging in makes."""
    return store(get_random_string(32)).create_model_instance(
        {
            SESSION_KEY: str(user.pk),
            BACKEND_SESSION_KEY: settings.AUTHENTICATION_BACKENDS[-1],
            HASH_SESSION_KEY: user.get_session_auth_hash(),
        }
    )


def players(count: int) -> dict[int, str]:
    emails = [f"bench{number}@example.org" for number in range(count)]
    User.objects.bulk_create([User(email=email, password="!") for email in emails], ignore_conflicts=True)  # noqa: S106 - nobody's
    users = list(User.objects.filter(email__in=emails).order_by("id"))
    yesterday = timezone.now().date() - datetime.timedelta(days=1)
    UserStats.objects.bulk_create(
        [
            UserStats(
                user=user,
                total_answers=200,
                total_correct=100 + place % 100,
                current_streak=place % 7,
                longest_streak=7,
                last_guess_date=yesterday,
            )
            for place, user in enumerate(users)
        ],
        ignore_conflicts=True,
    )
    services.daily_question()
    made = {user.pk: session_of(user) for user in users}
    store.get_model_class().objects.bulk_create(made.values())
    return {user: session.session_key for user, session in made.items()}


json.dump(players(int(sys.argv[1])), sys.stdout)
