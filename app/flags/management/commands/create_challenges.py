"""`manage.py create_challenges`: the challenges of the coming days, ahead of time."""

import datetime
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from flags import services

LONGEST = 366


class Command(BaseCommand):
    """Not needed for the game, which makes a challenge when it is first asked for; it lets an editor look ahead."""

    help = "Makes the daily challenges of today and the days after it. Running it again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """--days counts today."""
        parser.add_argument("--days", type=int, default=7, help=f"how many days, 1 to {LONGEST} (default: 7)")

    def handle(self, *args: Any, **options: Any) -> None:
        """Makes them and prints them."""
        if not 1 <= options["days"] <= LONGEST:
            raise CommandError(f"--days is {options['days']}, which is out of range: give 1 to {LONGEST}.")
        today = services.utc_date()
        try:
            for offset in range(options["days"]):
                challenge = services.challenge_for(today + datetime.timedelta(days=offset))
                self.stdout.write(f"{challenge.date} {challenge.country.code} {challenge.country.name}")
        except services.NoCountries as error:
            raise CommandError(str(error)) from error
