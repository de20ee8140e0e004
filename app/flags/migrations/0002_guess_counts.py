# ruff: noqa: RUF012 - as Django writes it
"""Two small tables. The foreign keys lock flags_country and flags_dailychallenge for a moment, against writers only."""

import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("flags", "0001_initial"),
    ]

    operations = [
        migrations.CreateModel(
            name="GuessCount",
            fields=[
                ("id", models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name="ID")),
                ("guesses", models.BigIntegerField()),
                (
                    "challenge",
                    models.ForeignKey(
                        db_index=False,
                        null=True,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="+",
                        to="flags.dailychallenge",
                    ),
                ),
                (
                    "country",
                    models.ForeignKey(
                        db_index=False,
                        on_delete=django.db.models.deletion.PROTECT,
                        related_name="+",
                        to="flags.country",
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("country", "challenge"), name="guesscount_once", nulls_distinct=False
                    ),
                    models.CheckConstraint(condition=models.Q(("guesses__gte", 0)), name="guesscount_not_negative"),
                ],
            },
        ),
        migrations.CreateModel(
            name="GuessCounting",
            fields=[
                ("id", models.SmallIntegerField(default=1, primary_key=True, serialize=False)),
                (
                    "counted_to",
                    models.BigIntegerField(
                        default=0, help_text="Answers up to this id are in the sums, none after it is."
                    ),
                ),
                ("stop", models.BigIntegerField(default=0, help_text="The next high-water mark …")),
                (
                    "writers",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.TextField(),
                        default=list,
                        help_text="… as soon as none of these writing transactions is running.",
                        size=None,
                    ),
                ),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="guesscounting_one_row")],
            },
        ),
    ]
