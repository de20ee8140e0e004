"""`manage.py recount_statistics`: proves users_userstats and flags_guesscount from the raw answers, or repairs them."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from flags import guesses, totals
from flags.services import utc_date


class Command(BaseCommand):
    """For after a restore, an import or a doubt."""

    help = "Counts people's totals and streaks and countries' guesses anew from the answers; stores what differs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--check is safe at any time."""
        parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if anything differs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints each difference, then repairs it or fails."""
        today = utc_date()
        users, countries = totals.differences(today), guesses.differences()
        found = [*users, *countries]
        for difference in found:
            self.stdout.write(str(difference))
        if not found:
            self.stdout.write("The statistics are what the answers say.")
        elif options["check"]:
            raise CommandError(f"{len(found)} differ: run `python manage.py recount_statistics` to repair them.")
        else:
            totals.repair((difference.user_id for difference in users), today)
            if countries:
                guesses.repair()
            self.stdout.write(f"{len(found)} repaired.")
