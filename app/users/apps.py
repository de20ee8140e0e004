"""People: accounts that log in with an e-mail address, and what each has achieved."""

from django.apps import AppConfig


class UsersConfig(AppConfig):
    """The app `users`: tables users_user and users_userstats."""

    name = "users"
