"""Our settings with an arm's changes to the database's entry: BENCH_DATABASE is JSON, merged into it."""

import json
import os

from config.settings import *  # noqa: F403
from config.settings import DATABASES

_changes = json.loads(os.environ["BENCH_DATABASE"])
DATABASES["default"]["OPTIONS"].update(_changes.pop("OPTIONS", {}))
DATABASES["default"].update(_changes)
