"""Our settings with an arm's changes, from the JSON in BENCH_SETTINGS.

database: for DATABASES["default"]; options: for its OPTIONS; session_engine.
"""

import json
import os

from config.settings import *  # noqa: F403
from config.settings import DATABASES, MIDDLEWARE, SESSION_ENGINE

_changes = json.loads(os.environ["BENCH_SETTINGS"])
DATABASES["default"] |= _changes.get("database", {})
DATABASES["default"]["OPTIONS"] |= _changes.get("options", {})
SESSION_ENGINE = _changes.get("session_engine", SESSION_ENGINE)
if SESSION_ENGINE != "users.sessions":
    _django = "django.contrib.auth.middleware.AuthenticationMiddleware"
    MIDDLEWARE = [_django if path == "users.sessions.AuthenticationMiddleware" else path for path in MIDDLEWARE]
