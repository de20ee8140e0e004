"""Signing up by mail: the link of the mail verifies the address, and makes the account.

Nothing is stored before: the signed link has the address in it. The password is set after the link was opened, so that
signing up another person's address gives nothing: neither an account with a known password, nor a word about theirs.
"""

from dataclasses import dataclass

from django.conf import settings
from django.core import signing
from django.core.mail import send_mail
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.http import urlencode

from users.mail_limit import may_send
from users.models import User

SALT = "users.sign_up"


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a link stands for: a verified address, and the page to go to afterwards ("" for the first one)."""

    email: str
    next_page: str


def send(request: HttpRequest, invitation: Invitation) -> None:
    """Mail the link; to an address that has an account, a mail that says so. The work is the same."""
    known = User.objects.filter(email=invitation.email).exists()
    token = signing.dumps([invitation.email, invitation.next_page], salt=SALT)
    # In the query string, which the request logs leave out.
    path = f"{reverse('signup_confirm')}?{urlencode({'token': token})}"
    context = {
        "known": known,
        "domain": request.get_host(),
        "link": request.build_absolute_uri(reverse("login") if known else path),
        "reset": request.build_absolute_uri(reverse("password_reset")),
        "hours": settings.SIGN_UP_TIMEOUT // 3600,
    }
    if may_send(invitation.email):
        subject = render_to_string("users/signup_subject.txt", context).strip()
        send_mail(subject, render_to_string("users/signup_email.txt", context), None, [invitation.email])


def read(token: str) -> Invitation | None:
    """Return what a link stands for; None when it is forged or too old."""
    try:
        email, next_page = signing.loads(token, salt=SALT, max_age=settings.SIGN_UP_TIMEOUT)
    except signing.BadSignature:
        return None
    return Invitation(email, next_page)
