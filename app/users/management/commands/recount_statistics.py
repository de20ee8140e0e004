"""`manage.py recount_statistics`: proves users_userstats from the raw answers, or repairs it."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from flags.services import utc_date
from users.services import differences, repair


class Command(BaseCommand):
    """For after a restore, an import or a doubt."""

    help = "Counts everybody's totals and streaks anew from their answers, and stores them where they differ."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--check is safe at any time."""
        parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 if anything differs")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints each difference, then repairs it or fails."""
        today = utc_date()
        found = differences(today)
        for difference in found:
            self.stdout.write(str(difference))
        if not found:
            self.stdout.write("The statistics are what the answers say.")
        elif options["check"]:
            raise CommandError(f"{len(found)} differ: run `python manage.py recount_statistics` to repair them.")
        else:
            repair((difference.user_id for difference in found), today)
            self.stdout.write(f"{len(found)} repaired.")
