"""`manage.py expire_streaks`: for a daily timer, some time after midnight UTC."""

from typing import Any

from django.core.management.base import BaseCommand

from flags.services import utc_date
from users.services import expire_streaks


class Command(BaseCommand):
    """Pages count a missed day themselves; this is for those who read the table."""

    help = "Stores 0 for every streak that ended by a missed day. Running it again changes nothing."

    def handle(self, *args: Any, **options: Any) -> None:
        """Expires, and says how many."""
        self.stdout.write(f"{expire_streaks(utc_date())} streaks expired.")
