"""What a visitor does with an account, for `manage.py try_requests` (core.visitor)."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from django.urls import reverse

from core.visitor import Visitor


@contextmanager
def visit(visitor: Visitor) -> Iterator[None]:
    """Sign up; after the other apps' visits export, change the password, forget it, log out and in, and delete."""
    email = f"visitor-{secrets.token_hex(8)}@example.org"
    first, second, third = (secrets.token_urlsafe() for _ in range(3))

    visitor.post(reverse("signup"), email=email)
    link = visitor.mailed_link()
    visitor.get(link)
    visitor.post(link, password=first, display_name="")
    yield
    visitor.post(reverse("account_export"), expected=200)
    visitor.post(reverse("password_change"), old_password=first, new_password1=second, new_password2=second)
    visitor.post(reverse("logout"))
    visitor.post(reverse("password_reset"), email=email)
    form = visitor.get(visitor.mailed_link(), expected=302)["Location"]  # the token is in the session now
    visitor.get(form)
    visitor.post(form, new_password1=third, new_password2=third)
    visitor.api("POST", reverse("api:log_in"), email=email, password=third)
    visitor.api("DELETE", reverse("api:log_out"), expected=204)
    visitor.post(reverse("login"), username=email, password=third)
    visitor.post(reverse("account_delete"), password=third)
