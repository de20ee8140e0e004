"""`manage.py expire_streaks`: for a daily timer after midnight UTC."""

from typing import Any

from django.core.management.base import BaseCommand

from flags.services import utc_date
from users.services import expire_streaks


class Command(BaseCommand):
    """For queries of the table; pages take a missed day into account themselves."""

    help = "Store 0 for every streak that a missed day ended. Running it again changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(f"{expire_streaks(utc_date())} streaks expired.")
