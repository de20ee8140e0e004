"""The WSGI application."""

import os
import sys
from importlib import import_module

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

# gunicorn's exit status for a worker that can't start: gunicorn stops instead of restarting it.
WORKER_BOOT_ERROR = 3

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

try:
    application = get_wsgi_application()
    # Loaded here once, before the workers fork; Django would load the routes in each worker's first request.
    import_module("config.urls")
except ImproperlyConfigured as error:
    # The message says what to set; a traceback would hide it.
    print(error, file=sys.stderr)
    sys.exit(WORKER_BOOT_ERROR)
