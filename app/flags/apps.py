"""The game: countries, daily challenges, questions, answers."""

from django.apps import AppConfig


class FlagsConfig(AppConfig):
    """Countries, daily challenges, questions, answers, and how often each country was answered."""

    name = "flags"

    def ready(self) -> None:
        from flags import guesses  # noqa: F401 - registers its pre_delete receiver; its models need the registry
