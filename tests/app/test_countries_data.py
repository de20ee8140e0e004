"""The committed country data: 195 countries, their names and regions, enough options for each."""

import json
import re
from collections import Counter

import pytest

from flags.countries import DATA_FILE

DATA = DATA_FILE.parent
DOCUMENT = json.loads((DATA / "countries.json").read_text(encoding="utf-8"))
COUNTRIES = {country["code"]: country for country in DOCUMENT["countries"]}

# Typed from the United Nations' list of member states by regional group: independent of make_data.py's own list.
UN_MEMBERS = {
    "African Group": """
        DZ AO BJ BW BF BI CV CM CF TD KM CG CI CD DJ EG GQ ER SZ ET GA GM GH GN GW KE LS LR LY MG MW ML MR MU MA
        MZ NA NE NG RW ST SN SC SL SO ZA SS SD TG TN UG TZ ZM ZW""",
    "Asia-Pacific Group": """
        AF BH BD BT BN KH CN CY KP FJ IN ID IR IQ JP JO KZ KI KW KG LA LB MY MV MH FM MN MM NR NP OM PK PW PG PH
        QA KR WS SA SG SB LK SY TJ TH TL TO TR TM TV AE UZ VU VN YE""",
    "Eastern European Group": "AL AM AZ BY BA BG HR CZ EE GE HU LV LT ME PL MD RO RU RS SK SI MK UA",
    "Latin American and Caribbean Group": """
        AG AR BS BB BZ BO BR CL CO CR CU DM DO EC SV GD GT GY HT HN JM MX NI PA PY PE KN LC VC SR TT UY VE""",
    "Western European and Others Group": """
        AD AU AT BE CA DK FI FR DE GR IS IE IL IT LI LU MT MC NL NZ NO PT SM ES SE CH GB US""",
}
MEMBER_CODES = " ".join(UN_MEMBERS.values()).split()


def test_the_un_has_193_members_in_this_file() -> None:
    assert len(MEMBER_CODES) == len(set(MEMBER_CODES)) == 193


def test_the_countries_are_the_un_members_vatican_city_and_palestine() -> None:
    assert set(COUNTRIES) == {*MEMBER_CODES, "VA", "PS"}
    assert len(DOCUMENT["countries"]) == 195


def test_names_are_unique_and_plain() -> None:
    names = [country["name"] for country in COUNTRIES.values()]
    assert len(set(names)) == 195
    assert [name for name in names if "&" in name or "St." in name or name != name.strip()] == []


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("CD", "DR Congo"),
        ("CG", "Republic of the Congo"),
        ("CI", "Ivory Coast"),
        ("CZ", "Czechia"),
        ("KP", "North Korea"),
        ("KR", "South Korea"),
        ("MM", "Myanmar"),
        ("PS", "Palestine"),
        ("RU", "Russia"),
        ("ST", "São Tomé and Príncipe"),
        ("SY", "Syria"),
        ("TR", "Turkey"),
        ("VA", "Vatican City"),
        ("VC", "Saint Vincent and the Grenadines"),
        ("VN", "Vietnam"),
    ],
)
def test_names_are_the_everyday_ones(code: str, name: str) -> None:
    assert COUNTRIES[code]["name"] == name


def test_an_emoji_spells_its_code_in_regional_indicators() -> None:
    for code, country in COUNTRIES.items():
        assert "".join(chr(ord(letter) - 0x1F1E6 + ord("A")) for letter in country["emoji"]) == code


def test_every_country_is_in_one_of_the_un_regions() -> None:
    in_region = Counter(country["region"] for country in COUNTRIES.values())
    assert in_region == {"Africa": 54, "Americas": 35, "Asia": 48, "Europe": 44, "Oceania": 14}
    assert COUNTRIES["CY"]["region"] == "Asia"  # UN M49
    assert all(country["subregion"] for country in COUNTRIES.values())


def test_lookalikes_are_symmetric_known_and_never_the_country_itself() -> None:
    for code, country in COUNTRIES.items():
        for other in country["lookalikes"]:
            assert other != code
            assert code in COUNTRIES[other]["lookalikes"], f"{other} looks like {code}, but not the other way round"
        assert len(set(country["lookalikes"])) == len(country["lookalikes"])


def test_notorious_pairs_are_lookalikes() -> None:
    pairs = "ID-MC TD-RO AU-NZ NO-IS IE-CI NL-LU SI-SK VE-CO SN-ML YE-EG BH-QA HN-SV IN-NE LR-US"
    for one, other in re.findall(r"(..)-(..)", pairs):
        assert other in COUNTRIES[one]["lookalikes"]


def test_every_country_has_wrong_options_to_spare_in_its_region() -> None:
    for code, country in COUNTRIES.items():
        plausible = [
            other
            for other in COUNTRIES.values()
            if other["region"] == country["region"] and other["code"] not in (code, *country["lookalikes"])
        ]
        assert len(plausible) >= 8, f"{country['name']} has only {len(plausible)}"


def test_three_wrong_options_can_be_chosen_that_do_not_resemble_each_other_either() -> None:
    for region in {country["region"] for country in COUNTRIES.values()}:
        chosen: list[str] = []
        for country in COUNTRIES.values():
            if country["region"] == region and not set(country["lookalikes"]) & set(chosen):
                chosen.append(country["code"])
        assert len(chosen) >= 4


def test_the_data_names_its_source_and_its_licence_lies_beside_it() -> None:
    assert "CLDR" in DOCUMENT["source"]
    licence = re.search(r"\((LICENSE\S+)\)", DOCUMENT["license"])
    assert licence
    assert "UNICODE LICENSE V3" in (DATA / licence[1]).read_text(encoding="utf-8")
    assert "MIT" in (DATA / "svg" / "LICENSE").read_text(encoding="utf-8")
