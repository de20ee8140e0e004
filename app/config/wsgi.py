"""What gunicorn serves."""

import os
import sys
from importlib import import_module

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

# gunicorn's own code for a worker that can't start: it stops instead of trying again and again.
WORKER_BOOT_ERROR = 3

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

try:
    application = get_wsgi_application()
    # Django would read them on the first request, once for every worker; here it is once, and the memory is shared.
    import_module("config.urls")
except ImproperlyConfigured as error:
    # The sentence says what to set; forty lines of traceback would hide it.
    print(error, file=sys.stderr)
    sys.exit(WORKER_BOOT_ERROR)
