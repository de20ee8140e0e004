"""The game: countries, daily challenges, questions, answers."""

from django.apps import AppConfig


class FlagsConfig(AppConfig):
    """The app `flags`: countries, daily challenges, questions, answers, and how often each country was answered."""

    name = "flags"

    def ready(self) -> None:
        """An answer that is deleted leaves the sums, whoever deletes it."""
        from flags import guesses  # noqa: F401 - its models need the registry
