"""Flag pictures: cacheable, and without a hint of the country."""

import gzip
import importlib.util
import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from pytest_django import Settings

from flags.flag_images import SVG_DIR, flag_svg, flag_url

DATA = SVG_DIR.parent
COUNTRIES = json.loads((DATA / "countries.json").read_text(encoding="utf-8"))["countries"]
PICTURES = sorted(SVG_DIR.glob("*.svg"))
SVG = "{http://www.w3.org/2000/svg}"

# Elements and attributes of a picture. Other words could name a country.
ELEMENTS = set(
    re.findall(r"\w+", "circle clipPath defs ellipse g linearGradient marker path radialGradient rect stop svg use")
)
WORDS_ALLOWED = set(
    re.findall(
        r"\w+",
        """
        none all nonzero evenodd round bevel miter butt square visible hidden scroll auto userSpaceOnUse
        objectBoundingBox translate scale rotate matrix skewX skewY url currentColor pt
        black blue gold gray green olive purple red white
        """,
    )
)


def parsed(path: Path) -> ET.Element:
    return ET.parse(path).getroot()  # noqa: S314 (our own files)


def token_of(code: str) -> str:
    return Path(flag_url(SimpleNamespace(code=code))).stem


def test_there_is_one_picture_for_every_country_and_no_other() -> None:
    assert [path.stem.upper() for path in PICTURES] == sorted(country["code"] for country in COUNTRIES)


@pytest.mark.parametrize("path", PICTURES, ids=lambda path: path.stem)
class TestPicture:
    def test_is_a_drawing_and_nothing_else(self, path: Path) -> None:
        root = parsed(path)
        assert root.tag == f"{SVG}svg"
        assert root.get("viewBox") == "0 0 640 480"
        assert {element.tag.removeprefix(SVG) for element in root.iter()} <= ELEMENTS
        assert not [element for element in root.iter() if (element.text or "").strip() or (element.tail or "").strip()]

    def test_has_neutral_ids_that_are_all_referenced(self, path: Path) -> None:
        source = path.read_text(encoding="utf-8")
        ids = re.findall(r' id="([^"]*)"', source)
        assert all(re.fullmatch(r"[a-z]\d", name) for name in ids), "every file's ids count a1, b1, c1, …"
        assert len(set(ids)) == len(ids)
        assert set(ids) == set(re.findall(r'(?:url\(|href=")#([^")]+)', source))

    def test_has_no_word_that_is_not_svgs_own(self, path: Path) -> None:
        for element in parsed(path).iter():
            for name, value in element.attrib.items():
                assert name not in ("class", "style", "aria-label", "data-name", "title")
                assert not name.startswith("on")
                if name in ("d", "id", "href"):
                    continue
                without_colours = re.sub(r"#[0-9a-fA-F]{3,8}\b|url\(#[a-z]\d\)", "", value)
                words = set(re.findall(r"[A-Za-z]{2,}", without_colours))
                assert words <= WORDS_ALLOWED, f"{name}={value!r}"

    def test_loads_nothing(self, path: Path) -> None:
        source = path.read_text(encoding="utf-8").replace('xmlns="http://www.w3.org/2000/svg"', "")
        assert "://" not in source
        assert "<!" not in source
        assert "<?" not in source
        assert re.findall(r'href="(?!#)', source) == []


def test_an_address_is_opaque_stable_and_different_for_every_country() -> None:
    urls = [flag_url(SimpleNamespace(code=country["code"])) for country in COUNTRIES]
    assert len(set(urls)) == 195
    assert all(re.fullmatch(r"/flags/[0-9a-f]{32}\.svg", url) for url in urls)
    assert urls == [flag_url(SimpleNamespace(code=country["code"])) for country in COUNTRIES]


def test_an_address_depends_on_the_secret_key(settings: Settings) -> None:
    before = token_of("FR")
    settings.SECRET_KEY = "another deployment's key, as long as any other key has to be"
    assert token_of("FR") != before


def test_a_token_leads_to_its_own_picture() -> None:
    for code in ("FR", "JP", "ZA"):
        assert flag_svg(token_of(code)) == (SVG_DIR / f"{code.lower()}.svg").read_bytes()


@pytest.mark.parametrize("token", ["fr", "FR", "0" * 32, "", "../countries"])
def test_an_invalid_token_has_no_picture(token: str) -> None:
    assert flag_svg(token) is None


def test_a_picture_is_cached_for_ever_and_cannot_run_code() -> None:
    response = Client().get(flag_url(SimpleNamespace(code="BR")))
    assert response.status_code == 200
    assert response["Content-Type"] == "image/svg+xml"
    assert response["Cache-Control"] == "public, max-age=31536000, immutable"
    assert response["Content-Security-Policy"] == "default-src 'none'"
    assert response["X-Content-Type-Options"] == "nosniff"
    assert not response.cookies
    assert "Cookie" not in response.get("Vary", "")


@pytest.mark.parametrize("token", ["0" * 32, "br", "f" * 31])
def test_an_unknown_picture_is_not_found(token: str) -> None:
    assert Client().get(f"/flags/{token}.svg").status_code == 404


def test_the_address_of_a_picture_can_only_be_read() -> None:
    assert Client().post(reverse("flag_image", args=["0" * 32])).status_code == 405


@pytest.fixture(scope="module")
def clean_svg() -> Any:
    spec = importlib.util.spec_from_file_location("make_data", DATA / "make_data.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.clean_svg


class TestCleaning:
    """make_data.py rejects unknown elements in a new version of the flags."""

    def test_names_are_removed_and_references_stay(self, clean_svg: Any) -> None:
        cleaned = clean_svg(
            '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" id="fr" class="france">'
            '<!-- France --><clipPath id="fr-a"><path id="fr-unused" d="M0 0"/></clipPath>'
            '<g clip-path="url(#fr-a)" aria-label="France"><use xlink:href="#fr-a"/></g></svg>'
        )
        assert "fr" not in cleaned.replace("href", "").lower()
        assert 'id="a1"' in cleaned
        assert "url(#a1)" in cleaned
        assert 'href="#a1"' in cleaned

    @pytest.mark.parametrize(
        "body",
        [
            "<script/>",
            "<title>France</title>",
            "<text>France</text>",
            '<path style="fill:red"/>',
            '<use href="#gone"/>',
            '<image href="https://example.org/x"/>',
        ],
    )
    def test_unknown_elements_stop_it(self, clean_svg: Any, body: str) -> None:
        with pytest.raises(ValueError, match=r"does not expect|style|missing ids"):
            clean_svg(f'<svg xmlns="http://www.w3.org/2000/svg">{body}</svg>')


def test_no_picture_weighs_more_than_a_third_of_the_page() -> None:
    """Compressed as nginx does; the page's other 40 kB: tests/browser/test_weight.py."""
    weights = {path.stem: len(gzip.compress(path.read_bytes(), 5)) for path in PICTURES}
    assert {name: weight for name, weight in weights.items() if weight > 20_000} == {}
