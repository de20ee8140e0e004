"""Our settings with an arm's changes. BENCH_SETTINGS is JSON:

database    merged into DATABASES["default"]
options     merged into its OPTIONS
bare_api    true: paths below /api/ pass by the middleware that serves pages
silent      true: no line in the log for a request
"""

import json
import os
from collections.abc import Callable
from typing import Any

from django.utils.module_loading import import_string

from config.settings import *  # noqa: F403
from config.settings import DATABASES, LOGGING, MIDDLEWARE

_changes = json.loads(os.environ["BENCH_SETTINGS"])
DATABASES["default"].update(_changes.get("database", {}))
DATABASES["default"]["OPTIONS"].update(_changes.get("options", {}))

if _changes.get("silent"):
    LOGGING["loggers"]["request"] = {"level": "WARNING"}

FOR_PAGES = {
    "csp_": "csp.middleware.CSPMiddleware",
    "whitenoise_": "whitenoise.middleware.WhiteNoiseMiddleware",
    "messages_": "django.contrib.messages.middleware.MessageMiddleware",
    "frames_": "django.middleware.clickjacking.XFrameOptionsMiddleware",
}


def _for_pages(path: str) -> Callable[[Any], Any]:
    def middleware(get_response: Any) -> Any:
        whole = import_string(path)(get_response)
        return lambda request: (get_response if request.path.startswith("/api/") else whole)(request)

    return middleware


if _changes.get("bare_api"):
    for _name, _path in FOR_PAGES.items():
        globals()[_name] = _for_pages(_path)
        MIDDLEWARE[MIDDLEWARE.index(_path)] = f"bench_changed.{_name}"
