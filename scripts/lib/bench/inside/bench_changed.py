"""Our settings with an arm's changes, from the JSON in BENCH_SETTINGS.

database: for DATABASES["default"]; options: for its OPTIONS; without: middleware; request_log: its level.
"""

import json
import os

from config.settings import *  # noqa: F403
from config.settings import DATABASES, LOGGING, MIDDLEWARE

_changes = json.loads(os.environ["BENCH_SETTINGS"])
DATABASES["default"] |= _changes.get("database", {})
DATABASES["default"]["OPTIONS"] |= _changes.get("options", {})
MIDDLEWARE = [path for path in MIDDLEWARE if path.rpartition(".")[2] not in _changes.get("without", ())]
LOGGING["loggers"]["request"] = {"level": _changes.get("request_log", "INFO")}
