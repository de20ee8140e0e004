"""Which version of the app runs, and since when. nginx passes it on to the dashboard, which marks deploys."""

import os
import re
import time

VERSION = re.sub(r"[^\w.-]", "_", os.environ.get("APP_VERSION") or "unknown", flags=re.ASCII)
# Seconds since 1970. gunicorn imports this once, before its workers fork.
STARTED = int(time.time())
