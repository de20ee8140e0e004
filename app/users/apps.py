"""Accounts, identified by e-mail address, and their totals."""

from django.apps import AppConfig
from django.contrib.admin import apps as admin
from django.contrib.auth.signals import user_logged_in
from django.db.models.signals import post_migrate


class AdminConfig(admin.AdminConfig):
    """Django's admin with users.admin_site as its site."""

    default = False
    default_site = "users.admin_site.AdminSite"


class UsersConfig(AppConfig):
    """Tables users_user and users_userstats."""

    name = "users"

    def ready(self) -> None:
        from core.privileges import grant_to_readonly
        from users import checks, login_attempts, sessions  # noqa: F401 - checks registers itself

        login_attempts.connect()
        user_logged_in.connect(sessions.name_the_user, dispatch_uid="users.sessions.name_the_user")
        post_migrate.connect(grant_to_readonly, sender=self)  # once for each `migrate`: one sender
