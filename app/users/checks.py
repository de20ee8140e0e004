"""What `manage.py check --deploy` says of accounts."""

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.security, deploy=True)
def sends_mail(**_: Any) -> list[CheckMessage]:
    """Without a mail server, sign-up can neither verify an address nor be silent about accounts."""
    if settings.SENDS_MAIL:
        return []
    return [
        Warning(
            "No mail server: signing up verifies no address and tells which addresses have an account, and a forgotten "
            "password can't be reset.",
            hint="Set EMAIL_HOST, with docker/compose/mail.yml (docs/production.md).",
            id="users.W001",
        )
    ]
