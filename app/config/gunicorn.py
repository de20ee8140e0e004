"""gunicorn's configuration: `gunicorn config.wsgi --config config/gunicorn.py`.

nginx buffers slow clients, so a worker waits for the database only: a few sync workers with persistent connections are
enough, and measured faster than threads.
"""

import os
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from core import serving
from core.env import Environment
from core.logs import logging_config

# This container's own socket; the proxy connects to a link (core/serving.py).
bind = os.environ.get("GUNICORN_BIND") or f"unix:{serving.OWN}"
# Only the owner and the proxy's group may write to the socket.
umask = 0o007
# Peers whose X-Forwarded-Proto is believed: on the Unix socket all (only nginx can open it), over TCP (GUNICORN_BIND)
# this machine.
forwarded_allow_ips = "127.0.0.1,::1"

try:
    workers = Environment(os.environ).workers()
except ImproperlyConfigured as error:
    raise SystemExit(str(error)) from None
worker_class = "sync"
# Restarting workers bounds memory leaks of libraries; the jitter keeps workers from restarting at the same time.
max_requests = 20_000
max_requests_jitter = 2_000
# Longer than the database's statement timeout (15 s), so that the statement is cancelled before the worker is killed.
timeout = 30
# A stopping worker finishes its request; stop_grace_period in docker-compose.yml is longer.
graceful_timeout = 30

# In development, workers restart when a file changes; otherwise they share one copy of the code in memory.
reload = os.environ.get("DJANGO_DEBUG", "").lower() in ("true", "1")
preload_app = not reload

# The root file system is read-only: the worker heartbeat file is in memory, the control socket (in $HOME) is off.
worker_tmp_dir = "/dev/shm"  # noqa: S108
control_socket_disable = True

logconfig_dict = logging_config()
accesslog = None  # nginx writes it, with the request id (docker/proxy/nginx.conf)


def when_ready(_server: Any) -> None:
    """Run by gunicorn when the socket listens."""
    if "GUNICORN_BIND" not in os.environ:
        serving.switch_if_none_serves()
