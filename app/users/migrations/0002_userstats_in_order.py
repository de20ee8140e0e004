# ruff: noqa: RUF012 - as Django writes it
"""The indexes first, then the end of the one that they replace: the previous version is never without one."""

from decimal import Decimal

from django.contrib.postgres.operations import RemoveIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Round

from core.migrations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("users", "0001_initial"),
    ]

    operations = [
        AddIndexOnline(
            model_name="userstats",
            index=models.Index(
                fields=["-current_streak", "user"],
                include=("last_guess_date",),
                condition=models.Q(("current_streak__gt", 0)),
                name="userstats_streaks",
            ),
        ),
        AddIndexOnline(
            model_name="userstats",
            index=models.Index(
                Round(models.Value(Decimal("100.0")) * models.F("total_correct") / models.F("total_answers"), 2).desc(),
                models.F("total_answers").desc(),
                models.F("user"),
                condition=models.Q(("total_answers__gt", 0)),
                name="userstats_accuracy",
            ),
        ),
        RemoveIndexConcurrently(model_name="userstats", name="userstats_active_streaks"),
    ]
