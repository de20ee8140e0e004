"""The admin: only from the networks of ADMIN_NETWORKS, and with a second factor (django-otp's TOTP)."""

import logging
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, URLResolver, path
from django.utils.deprecation import MiddlewareMixin
from django_otp.admin import OTPAdminAuthenticationForm, OTPAdminSite
from django_otp.forms import otp_verification_failed
from django_otp.plugins.otp_totp.models import TOTPDevice

from core.client import client_address
from core.dashboard import views as dashboard
from users.models import User

logger = logging.getLogger(__name__)


class NetworkMiddleware(MiddlewareMixin):
    """Answers 404 to the admin's pages from other networks, before a session or a password is looked at."""

    def process_view(self, request: HttpRequest, *_: Any) -> HttpResponse | None:
        """Look at the view that was found, not at the path, of which there may be other spellings."""
        match = request.resolver_match
        if match is None or "admin" not in match.app_names:
            return None
        address = client_address(request)
        if address is not None and any(address in network for network in settings.ADMIN_NETWORKS):
            return None
        fields = {"event": "admin_refused", "client": str(address or "")}
        logger.warning("admin refused: the client is not in ADMIN_NETWORKS", extra={"fields": fields})
        raise Http404


class AdminLoginForm(OTPAdminAuthenticationForm):
    """E-mail address, password and code on one page; django-otp's own form needs two, to choose among devices."""

    otp_token = forms.CharField(
        label="Code",
        max_length=10,
        widget=forms.TextInput({"autocomplete": "one-time-code", "inputmode": "numeric"}),
        help_text="The six digits that your authenticator app shows.",
    )

    def _chosen_device(self, user: User) -> TOTPDevice:
        # Locked: two requests can't use one code.
        device: TOTPDevice | None = TOTPDevice.objects.select_for_update().filter(user=user, confirmed=True).first()
        if device is None:
            raise ValidationError(
                "This account has no second factor: an operator makes one with `manage.py second_factor`.",
                code="no_device",
            )
        return device

    def _update_form(self, user: User) -> None:
        """Nothing: django-otp would write the password into the page."""


class AdminSite(OTPAdminSite):
    """Django's admin, for staff that logged in with a second factor."""

    login_form = AdminLoginForm
    login_template = "users/admin_login.html"

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)  # type: ignore[no-untyped-call]

    def get_urls(self) -> list[URLPattern | URLResolver]:
        """The admin's, and the operators' dashboard, which has the same protection."""
        own = [
            path("monitoring/", self.admin_view(dashboard.page), name="monitoring"),
            path("monitoring/data/", self.admin_view(dashboard.data), name="monitoring_data"),
            path("monitoring/summary/", self.admin_view(dashboard.summary), name="monitoring_summary"),
        ]
        return [*own, *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        """For templates/admin/base_site.html: whether there is a dashboard."""
        return {**super().each_context(request), "has_dashboard": bool(settings.PROMETHEUS_URL)}


def log_failure(sender: object, user: User, **_: Any) -> None:
    """A receiver of django-otp's signal; wrong passwords are users.login_attempts'."""
    fields = {"event": "second_factor_failed", "account": user.pk}
    logger.warning("second factor failed: the code is wrong", extra={"fields": fields})


otp_verification_failed.connect(log_failure, dispatch_uid="users.admin_site.log_failure")
