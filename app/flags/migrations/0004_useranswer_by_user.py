# ruff: noqa: RUF012 - as Django writes it

from django.db import migrations, models

from core.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("flags", "0003_count_guesses"),
    ]

    operations = [
        AddIndexOnline(
            model_name="useranswer",
            index=models.Index(fields=["user", "-id"], name="useranswer_by_user"),
        ),
    ]
