"""Flag pictures under URLs that do not reveal the country.

A file called `fr.svg` would be the answer. A picture's URL is therefore an HMAC of the country's code under the
deployment's secret key: stable, so that browsers and nginx cache it for ever, and not computable from a list of
codes. The pictures are cleaned when they are added (data/make_data.py), so that serving one is a look-up.
"""

from collections.abc import Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import Protocol

from django.urls import reverse
from django.utils.crypto import salted_hmac

SVG_DIR = Path(__file__).parent / "data" / "svg"
TOKEN_LENGTH = 32  # hex digits: 128 bits


class HasCode(Protocol):
    """Anything with an ISO 3166-1 alpha-2 code: a Country, or an entry of its data."""

    @property
    def code(self) -> str: ...


def flag_url(country: HasCode) -> str:
    """Return the URL of the country's picture: /flags/TOKEN.svg"""
    return reverse("flag_image", args=[_token(country.code)])


def flag_svg(token: str) -> bytes | None:
    """Return the picture of a token made by flag_url, or None."""
    code = _codes_by_token().get(token)
    return _picture(code) if code else None


def _token(code: str) -> str:
    return salted_hmac("flags.flag_images", code.upper(), algorithm="sha256").hexdigest()[:TOKEN_LENGTH]


@lru_cache(maxsize=1)
def _codes_by_token() -> Mapping[str, str]:
    return {_token(path.stem): path.stem for path in SVG_DIR.glob("*.svg")}


@cache
def _picture(code: str) -> bytes:
    return (SVG_DIR / f"{code}.svg").read_bytes()
