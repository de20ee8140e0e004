"""`manage.py create_challenges`: creates the challenges of the coming days in advance."""

import datetime
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from flags import services

LONGEST = 366


class Command(BaseCommand):
    """Lets an editor look ahead; the game creates each challenge with the first request for it."""

    help = "Create the daily challenges of today and the following days. Running it again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--days", type=int, default=7, help=f"days including today, 1 to {LONGEST} (default: 7)")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 1 <= options["days"] <= LONGEST:
            raise CommandError(f"--days is {options['days']}: it must be between 1 and {LONGEST}.")
        today = services.utc_date()
        try:
            for offset in range(options["days"]):
                challenge = services.challenge_for(today + datetime.timedelta(days=offset))
                self.stdout.write(f"{challenge.date} {challenge.country.code} {challenge.country.name}")
        except services.NoCountries as error:
            raise CommandError(str(error)) from error
