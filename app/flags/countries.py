"""Reads the data file of countries and updates flags_country."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from flags.models import OPTIONS_PER_QUESTION, Country

DATA_FILE = Path(__file__).parent / "data" / "countries.json"

FIELDS = ("name", "flag_emoji", "region", "subregion", "lookalikes")


class BadDataFile(Exception):
    """The data file is invalid; the text names the entry and the reason."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The result of loading. Countries that only the table has stay: questions and answers refer to them."""

    total: int
    added: int
    changed: int
    only_in_table: list[str]


def read_countries(path: Path) -> list[Country]:
    """Return the countries of a data file, unsaved; raise BadDataFile for the first invalid entry."""
    try:
        entries = json.loads(path.read_text(encoding="utf-8"))["countries"]
    except OSError as error:
        raise BadDataFile(f"{path} can't be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError) as error:
        raise BadDataFile(f'{path} is not a JSON object with a list under "countries": {error}.') from error
    if not isinstance(entries, list) or len(entries) < OPTIONS_PER_QUESTION:
        raise BadDataFile(f"{path} has fewer than {OPTIONS_PER_QUESTION} countries, too few for a question.")
    countries = [_country(path, number, entry) for number, entry in enumerate(entries, start=1)]
    codes = {country.code for country in countries}
    for what, values in (("code", codes), ("name", {country.name for country in countries})):
        if len(values) < len(countries):
            raise BadDataFile(f"{path} has the same {what} twice.")
    for country in countries:
        if unknown := sorted(set(country.lookalikes) - codes):
            raise BadDataFile(f"{path}: {country.code} looks like {', '.join(unknown)}, which the file doesn't have.")
    return countries


def load_countries(path: Path = DATA_FILE) -> Loaded:
    """Insert new countries and update changed ones; a second run changes nothing."""
    wanted = read_countries(path)
    with transaction.atomic():
        stored = {country.code: country for country in Country.objects.select_for_update()}
        added = [country for country in wanted if country.code not in stored]
        changed = [
            country
            for country in wanted
            if country.code in stored and _values(country) != _values(stored[country.code])
        ]
        Country.objects.bulk_create(
            added + changed, update_conflicts=True, unique_fields=["code"], update_fields=FIELDS
        )
    only_in_table = sorted(stored.keys() - {country.code for country in wanted})
    return Loaded(len(wanted), len(added), len(changed), only_in_table)


def _values(country: Country) -> list[Any]:
    return [getattr(country, field) for field in FIELDS]


def _country(path: Path, number: int, entry: Any) -> Country:
    if not isinstance(entry, dict) or not isinstance(entry.get("lookalikes", []), list):
        raise BadDataFile(f"{path}: country {number} is not an object with a list of lookalikes.")
    try:
        country = Country(
            code=entry["code"],
            name=entry["name"],
            flag_emoji=entry["emoji"],
            region=entry["region"],
            subregion=entry["subregion"],
            lookalikes=entry["lookalikes"],
        )
        # Lengths and formats are the model's. Uniqueness is checked within the file.
        country.clean_fields()
    except KeyError as error:
        raise BadDataFile(f"{path}: country {number} lacks {error}.") from error
    except ValidationError as error:
        reasons = "; ".join(f"{field}: {' '.join(texts)}" for field, texts in error.message_dict.items())
        raise BadDataFile(f"{path}: country {number} is invalid: {reasons}") from error
    return country
