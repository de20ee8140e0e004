"""The game: countries, daily challenges, questions, answers."""

from django.apps import AppConfig


class FlagsConfig(AppConfig):
    """The app `flags`: tables flags_country, flags_dailychallenge, flags_question, flags_useranswer."""

    name = "flags"
