"""`manage.py recount_statistics`: verifies or repairs users_userstats and flags_guesscount by the answers."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from flags import guesses, totals
from flags.services import utc_date


class Command(BaseCommand):
    """For use after a restore or an import."""

    help = "Recount users' totals and streaks and countries' guesses from the answers; store the differences."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if anything differs")

    def handle(self, *args: Any, **options: Any) -> None:
        today = utc_date()
        users, countries = totals.differences(today), guesses.differences()
        found = [*users, *countries]
        for difference in found:
            self.stdout.write(str(difference))
        if not found:
            self.stdout.write("The statistics match the answers.")
        elif options["check"]:
            raise CommandError(
                f"{len(found)} differ from the answers: `python manage.py recount_statistics` repairs them."
            )
        else:
            totals.repair((difference.user_id for difference in users), today)
            if countries:
                guesses.repair()
            self.stdout.write(f"{len(found)} repaired.")
