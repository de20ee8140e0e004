"""Pages to sign up and log in, based on Django's views."""

from typing import Any

from django.contrib.auth import login
from django.contrib.auth import views as auth_views
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.generic import FormView

from users.forms import LoginForm, SignUpForm


class LoginView(auth_views.LoginView):
    """Log in, then redirect to `next` if it is a URL of this site (Django checks it)."""

    template_name = "users/login.html"
    authentication_form = LoginForm
    redirect_authenticated_user = True


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
        login(self.request, user)
        return super().form_valid(form)
