"""`manage.py load_countries`: loads the 195 countries into the table."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from flags.countries import DATA_FILE, BadDataFile, load_countries


class Command(BaseCommand):
    """Runs on every start of the stack, after the migrations."""

    help = "Update flags_country from the data file. Running it again changes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--file", type=Path, default=DATA_FILE, help="the data file (default: the app's own)")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            loaded = load_countries(options["file"])
        except BadDataFile as error:
            raise CommandError(
                f"{error} Nothing was changed: correct the file and run load_countries again."
            ) from error
        self.stdout.write(f"{loaded.total} countries: {loaded.added} added, {loaded.changed} changed.")
        if loaded.only_in_table:
            self.stdout.write(f"Not in the file, kept in the table: {', '.join(loaded.only_in_table)}.")
