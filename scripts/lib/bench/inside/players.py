"""In an app's container: `python - COUNT` creates players with totals, and prints JSON: user id → session key."""

import datetime
import json
import sys
from importlib import import_module

import django

django.setup()

from django.conf import settings  # noqa: E402
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY  # noqa: E402
from django.utils import timezone  # noqa: E402

from flags import services  # noqa: E402
from users.models import User, UserStats  # noqa: E402

emails = [f"bench{number}@example.org" for number in range(int(sys.argv[1]))]
users = User.objects.bulk_create(User(email=email, password="!") for email in emails)  # noqa: S106 - no password
yesterday = timezone.now().date() - datetime.timedelta(days=1)
for place, user in enumerate(users):
    user.stats = UserStats(user=user, total_answers=200, total_correct=100 + place % 100, last_guess_date=yesterday)
    user.stats.current_streak, user.stats.longest_streak = place % 7, 7
UserStats.objects.bulk_create(user.stats for user in users)
question = services.daily_question()
for user in users[::2]:  # half of them have answered today's challenge
    services.answer(user, question.pk, question.country.code)

store = import_module(settings.SESSION_ENGINE).SessionStore
sessions = {}
for user in users:  # the row that a login creates
    session = store()
    session[SESSION_KEY], session[HASH_SESSION_KEY] = str(user.pk), user.get_session_auth_hash()
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[-1]
    sessions[user.pk] = session.create_model_instance(dict(session.items()))
store.get_model_class().objects.bulk_create(sessions.values())
json.dump({user: session.session_key for user, session in sessions.items()}, sys.stdout)
