"""Routes under /accounts/."""

from django.contrib.auth.views import LogoutView
from django.urls import path

from users.views import (
    DeletionView,
    LoginView,
    PasswordChangeView,
    PasswordResetConfirmView,
    PasswordResetSentView,
    PasswordResetView,
    SignUpConfirmView,
    SignUpSentView,
    SignUpView,
    account,
    export,
)

urlpatterns = [
    path("", account, name="account"),
    path("export/", export, name="account_export"),
    path("delete/", DeletionView.as_view(), name="account_delete"),
    path("signup/", SignUpView.as_view(), name="signup"),
    path("signup/sent/", SignUpSentView.as_view(), name="signup_sent"),
    path("signup/confirm/", SignUpConfirmView.as_view(), name="signup_confirm"),
    path("login/", LoginView.as_view(), name="login"),
    path("password/", PasswordChangeView.as_view(), name="password_change"),
    path("password/reset/", PasswordResetView.as_view(), name="password_reset"),
    path("password/reset/sent/", PasswordResetSentView.as_view(), name="password_reset_sent"),
    path("password/reset/<uidb64>/", PasswordResetConfirmView.as_view(), name="password_reset_confirm"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
