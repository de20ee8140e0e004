"""The game: countries, daily challenges, questions, answers."""

from django.apps import AppConfig


class FlagsConfig(AppConfig):
    """Countries, daily challenges, questions, answers, and how often each country was answered."""

    name = "flags"

    def ready(self) -> None:
        from flags import guesses, personal_data  # noqa: F401 - guesses: its pre_delete receiver; both need the registry
        from users.personal_data import erasers, exporters

        exporters["answers"] = personal_data.answers
        erasers.append(personal_data.erase)
