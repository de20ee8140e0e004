"""Accounts, identified by e-mail address, and their totals."""

from django.apps import AppConfig


class UsersConfig(AppConfig):
    """Tables users_user and users_userstats."""

    name = "users"
