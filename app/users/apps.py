"""Accounts, identified by e-mail address, and their totals."""

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class UsersConfig(AppConfig):
    """Tables users_user and users_userstats."""

    name = "users"

    def ready(self) -> None:
        from core.privileges import grant_to_readonly
        from users import login_attempts

        login_attempts.connect()
        post_migrate.connect(grant_to_readonly, sender=self)  # once for each `migrate`: one sender
