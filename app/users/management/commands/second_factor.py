"""`manage.py second_factor ADDRESS`: a staff account's way into the admin."""

from argparse import ArgumentParser
from base64 import b32encode
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import transaction
from django_otp.plugins.otp_totp.models import TOTPDevice

from users.models import User


class Command(BaseCommand):
    """For operators: a person who may run it may read the database, too."""

    help = "Make the second factor of a staff account, and print its key for an authenticator app (TOTP)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("address", help="the account's e-mail address")
        parser.add_argument("--replace", action="store_true", help="a lost device: the key before counts no more")

    def handle(self, *args: Any, **options: Any) -> None:
        address, replace = options["address"], options["replace"]
        with transaction.atomic():
            user = User.objects.select_for_update().filter(email=address).first()
            if user is None or not user.is_staff:
                raise CommandError(
                    f"{address} is no account of staff: `python manage.py createsuperuser --email {address}` makes one."
                )
            devices = TOTPDevice.objects.filter(user=user)
            if devices.exists() and not replace:
                raise CommandError(f"{address} has a second factor already: --replace makes another in its place.")
            devices.delete()
            device = TOTPDevice.objects.create(user=user, name="authenticator app")
        key = b32encode(device.bin_key).decode()
        self.stdout.write(
            f"Type the key into an authenticator app (time-based, six digits). It is shown only now.\n\n{key}\n"
        )
        self.stdout.write(f"\nThe same as a URI, for a QR code:\n\n{device.config_url}\n")
