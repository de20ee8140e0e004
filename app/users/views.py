"""Pages to sign up and log in, based on Django's views."""

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth import views as auth_views
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from users.forms import LoginForm, ResetForm, SignUpForm

PASSWORDS = "django.contrib.auth.backends.ModelBackend"


class LoginView(auth_views.LoginView):
    """Log in, then redirect to `next` if it is a URL of this site (Django checks it)."""

    template_name = "users/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add whether a password can be reset."""
        return super().get_context_data(**kwargs) | {"can_reset": settings.SENDS_MAIL}


@method_decorator([sensitive_post_parameters("password"), never_cache], name="dispatch")
class SignUpView(auth_views.RedirectURLMixin, FormView):  # type: ignore[type-arg]  # no generic at run time
    """Create an account and log in."""

    template_name = "users/signup.html"
    form_class = SignUpForm
    next_page = "home"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Redirect users who are logged in."""
        if request.user.is_authenticated:
            return HttpResponseRedirect(self.get_success_url())
        return super().dispatch(request, *args, **kwargs)

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add `next` for the form and for the link to the login page."""
        return super().get_context_data(**kwargs) | {self.redirect_field_name: self.get_redirect_url()}

    def form_valid(self, form: SignUpForm) -> HttpResponse:
        try:
            user = form.save()
        except ValidationError as problem:
            form.add_error(None, problem)
            return self.form_invalid(form)
        login(self.request, user, backend=PASSWORDS)
        return super().form_valid(form)


class PasswordChangeView(auth_views.PasswordChangeView):
    """Change one's own password. Other sessions of the account end: their hash of the password no longer fits."""

    template_name = "users/password_change.html"
    success_url = reverse_lazy("home")

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is changed. Other devices are logged out.")
        return super().form_valid(form)


class ByMail:
    """A view of the password reset: not there where no mail is sent."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.SENDS_MAIL:
            raise Http404
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # the view's
        return response


class PasswordResetView(ByMail, auth_views.PasswordResetView):
    """Ask for a link by mail. The answer is the same for an address without an account."""

    template_name = "users/password_reset.html"
    email_template_name = "users/password_reset_email.txt"
    subject_template_name = "users/password_reset_subject.txt"
    form_class = ResetForm

    def get_success_url(self) -> str:
        return str(reverse_lazy("password_reset_sent"))


class PasswordResetSentView(ByMail, auth_views.PasswordResetDoneView):
    """What to do now."""

    template_name = "users/password_reset_sent.html"


@method_decorator(never_cache, name="dispatch")
class PasswordResetConfirmView(ByMail, auth_views.PasswordResetConfirmView):
    """Set a new password. Django takes the link's token out of the address before it shows the form."""

    template_name = "users/password_reset_confirm.html"
    success_url = reverse_lazy("login")

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is changed. Log in with the new one.")
        return super().form_valid(form)
