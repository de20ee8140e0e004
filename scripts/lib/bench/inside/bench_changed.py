"""Our settings with an arm's changes, from the JSON in BENCH_SETTINGS.

database: for DATABASES["default"]; options: for its OPTIONS; without: middleware; session_engine; slow: from how many
seconds on the app logs a request.
"""

import json
import os

from config.settings import *  # noqa: F403
from config.settings import DATABASES, MIDDLEWARE, SESSION_ENGINE, SLOW_REQUEST_SECONDS

_changes = json.loads(os.environ["BENCH_SETTINGS"])
DATABASES["default"] |= _changes.get("database", {})
DATABASES["default"]["OPTIONS"] |= _changes.get("options", {})
MIDDLEWARE = [path for path in MIDDLEWARE if path.rpartition(".")[2] not in _changes.get("without", ())]
SESSION_ENGINE = _changes.get("session_engine", SESSION_ENGINE)
if SESSION_ENGINE != "users.sessions":
    _django = "django.contrib.auth.middleware.AuthenticationMiddleware"
    MIDDLEWARE = [_django if path == "users.sessions.AuthenticationMiddleware" else path for path in MIDDLEWARE]
SLOW_REQUEST_SECONDS = _changes.get("slow", SLOW_REQUEST_SECONDS)
