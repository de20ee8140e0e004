"""Pages of accounts: sign up, log in, passwords, one's own data. Based on Django's views."""

import time
from typing import Any, cast

from django.conf import settings
from django.contrib import messages
from django.contrib.auth import login, logout
from django.contrib.auth import views as auth_views
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse_lazy
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_safe
from django.views.generic import FormView, TemplateView

from users import personal_data, sign_up
from users.forms import AddressForm, ChangeForm, DeletionForm, LoginForm, NewAccountForm, ResetForm, SignUpForm
from users.models import User

# A deletion that needs longer goes on when the form is sent again. gunicorn ends a request after 30 s.
DELETION_SECONDS = 20

PASSWORDS = "django.contrib.auth.backends.ModelBackend"


class LoginView(auth_views.LoginView):
    """Log in, then redirect to `next` if it is a URL of this site (Django checks it)."""

    template_name = "users/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add whether a password can be reset."""
        return super().get_context_data(**kwargs) | {"can_reset": settings.SENDS_MAIL}


class ByMail:
    """A view that needs mail: not there where none is sent."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not settings.SENDS_MAIL:
            raise Http404
        response: HttpResponseBase = super().dispatch(request, *args, **kwargs)  # type: ignore[misc]  # the view's
        return response

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add whether mails are printed: in development."""
        printed = not settings.EMAIL_HOST
        return super().get_context_data(**kwargs) | {"printed": printed}  # type: ignore[misc,no-any-return]


@method_decorator([sensitive_post_parameters("password"), never_cache], name="dispatch")
class SignUpView(auth_views.RedirectURLMixin, FormView):  # type: ignore[type-arg]  # no generic at run time
    """Ask for a link by mail, with the same answer for an address that has an account.

    Where no mail is sent, create the account.
    """

    template_name = "users/signup.html"
    next_page = "home"

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Redirect users who are logged in."""
        if request.user.is_authenticated:
            return HttpResponseRedirect(self.get_success_url())
        return super().dispatch(request, *args, **kwargs)

    def get_form_class(self) -> type[Any]:
        return AddressForm if settings.SENDS_MAIL else SignUpForm

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add `next` for the form and for the link to the login page."""
        return super().get_context_data(**kwargs) | {self.redirect_field_name: self.get_redirect_url()}

    def form_valid(self, form: Any) -> HttpResponse:
        if settings.SENDS_MAIL:
            sign_up.send(self.request, sign_up.Invitation(form.cleaned_data["email"], self.get_redirect_url()))
            return redirect("signup_sent")
        try:
            user = form.save()
        except ValidationError as problem:
            form.add_error(None, problem)
            return self.form_invalid(form)
        login(self.request, user, backend=PASSWORDS)
        return super().form_valid(form)


class SignUpSentView(ByMail, TemplateView):
    """What to do now."""

    template_name = "users/signup_sent.html"


@method_decorator([sensitive_post_parameters("password"), never_cache], name="dispatch")
class SignUpConfirmView(ByMail, FormView):  # type: ignore[type-arg]  # no generic at run time
    """The page of the mail's link: its form sets a password and creates the account. Opening it creates nothing.

    (Mail scanners open links.)
    """

    template_name = "users/signup_confirm.html"
    form_class = NewAccountForm

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Explain a link that is no longer good."""
        self.invitation = sign_up.read(request.GET.get("token", ""))
        if self.invitation is None:
            return render(request, self.template_name, {"old": True})
        if User.objects.filter(email=self.invitation.email).exists():
            return render(request, self.template_name, {"used": True})
        return super().dispatch(request, *args, **kwargs)

    def get_form_kwargs(self) -> dict[str, Any]:
        assert self.invitation
        return super().get_form_kwargs() | {"instance": User(email=self.invitation.email)}

    def get_success_url(self) -> str:
        return (self.invitation and self.invitation.next_page) or str(reverse_lazy("home"))

    def form_valid(self, form: NewAccountForm) -> HttpResponse:
        try:
            user = form.save()
        except ValidationError:  # a second click was faster
            return HttpResponseRedirect(self.request.get_full_path())
        login(self.request, user, backend=PASSWORDS)
        return super().form_valid(form)


class PasswordChangeView(auth_views.PasswordChangeView):
    """Change one's own password. Other sessions of the account end: their hash of the password no longer fits."""

    template_name = "users/password_change.html"
    form_class = ChangeForm
    success_url = reverse_lazy("account")

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is changed. Other devices are logged out.")
        return super().form_valid(form)


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
    """Set a new password. Django takes the token out of the address before it shows the form."""

    template_name = "users/password_reset_confirm.html"
    success_url = reverse_lazy("login")

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Take the token from the query string (request logs leave it out); without one, it is in the session."""
        token = request.GET.get("token", self.reset_url_token)
        return super().dispatch(request, *args, token=token, **kwargs)

    def form_valid(self, form: Any) -> HttpResponse:
        messages.success(self.request, "Your password is changed. Log in with the new one.")
        return super().form_valid(form)


# --- One's own account and data -------------------------------------------------------------------------------------


@require_safe
@never_cache
@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Show what one can do with one's account."""
    return render(request, "users/account.html")


@never_cache
@login_required
def export(request: HttpRequest) -> HttpResponseBase:
    """Download one's data as JSON. A POST, so that the proxy's limit of logins counts it: it reads many rows."""
    if request.method != "POST":  # back from the login page
        return redirect("account")
    day = timezone.now().date().isoformat()
    return StreamingHttpResponse(
        personal_data.export(cast(User, request.user)),
        content_type="application/json",
        headers={"Content-Disposition": f'attachment; filename="flag-learning-{day}.json"'},
    )


@method_decorator([sensitive_post_parameters("password"), never_cache, login_required], name="dispatch")
class DeletionView(FormView):  # type: ignore[type-arg]  # no generic at run time
    """Delete one's account and data."""

    template_name = "users/account_delete.html"
    form_class = DeletionForm
    success_url = reverse_lazy("home")

    def get_form_kwargs(self) -> dict[str, Any]:
        return super().get_form_kwargs() | {"user": self.request.user}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Refuse staff: the admin's log of what they did would go, too."""
        return self.get(request) if cast(User, request.user).is_staff else super().post(request, *args, **kwargs)

    def form_valid(self, form: DeletionForm) -> HttpResponse:
        until = time.monotonic() + DELETION_SECONDS
        for _ in personal_data.delete(form.user):
            if time.monotonic() > until:
                form.add_error(None, "You have so many answers that not all are deleted yet. Send the form once more.")
                return self.form_invalid(form)
        logout(self.request)
        messages.success(self.request, "Your account and all your answers are deleted.")
        return super().form_valid(form)
