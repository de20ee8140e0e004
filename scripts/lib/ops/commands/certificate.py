"""The public site's certificate."""

from __future__ import annotations

import argparse

from ops import containers, docker
from ops.cli import DEPLOY, command
from ops.output import note
from user_errors import OperationError


@command("certificate renew", DEPLOY, "Obtain or renew the site's public certificate from an ACME server")
def renew(asked: argparse.Namespace) -> None:
    """HTTP-01 for the names of ALLOWED_HOSTS, with the account ACME_EMAIL at ACME_DIRECTORY. nginx then uses the
    certificate without a dropped connection. With more than 30 days left nothing is changed, so a daily timer may run
    it. A certificate in SECRETS_DIR/tls/public takes precedence."""
    if not containers.is_running("proxy"):
        raise containers.not_running("proxy")
    printed = containers.run(docker.run_in("acme"))
    if "changed" not in printed:
        note("the certificate is valid for more than 30 days: nothing was changed")
        return
    reload()
    note("nginx uses the new certificate")


def reload() -> None:
    """Make nginx read its certificate again; connections stay. Raises OperationError."""
    done = containers.completed(docker.exec_in("proxy", "configure", "nginx", "-s", "reload"), quiet=True)
    if done.returncode:
        raise OperationError("nginx did not reload", "docker compose logs --tail 20 proxy", done.stderr.strip())
