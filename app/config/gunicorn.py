"""gunicorn's configuration: `gunicorn config.wsgi --config config/gunicorn.py`.

nginx buffers slow visitors, so a worker only ever waits for the database: few sync workers with kept connections are
enough, and measured faster than threads.
"""

import os
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from core import serving
from core.env import Environment
from core.logs import logging_config

# A socket of this container's own; the proxy's name for it is a link (core/serving.py).
bind = os.environ.get("GUNICORN_BIND") or f"unix:{serving.OWN}"
# The proxy's group must be able to write to the socket, nobody else.
umask = 0o007
# Who may say "this came over https": a Unix socket's peers always (only nginx can open it); over TCP (GUNICORN_BIND)
# this machine alone.
forwarded_allow_ips = "127.0.0.1,::1"

try:
    workers = Environment(os.environ).workers()
except ImproperlyConfigured as error:
    raise SystemExit(str(error)) from None
worker_class = "sync"
# A new worker now and then gives back what a library may have leaked; the jitter keeps them from leaving together.
max_requests = 20_000
max_requests_jitter = 2_000
# Above the database's own statement timeout (15 s), so that the database answers first.
timeout = 30
# A worker that is told to leave finishes its request; compose waits longer than this before it kills.
graceful_timeout = 30

# While developing, workers restart when a file changes; otherwise they share one copy of the code in memory.
reload = os.environ.get("DJANGO_DEBUG", "").lower() in ("true", "1")
preload_app = not reload

# The root file system is read-only: the heartbeat goes to memory, and the control socket (in $HOME) is off.
worker_tmp_dir = "/dev/shm"  # noqa: S108
control_socket_disable = True

logconfig_dict = logging_config()
accesslog = None  # core.middleware.RequestLogMiddleware writes it, with the request's id


def when_ready(_server: Any) -> None:
    """gunicorn's hook: the socket listens."""
    if "GUNICORN_BIND" not in os.environ:
        serving.take_if_nobody_serves()
