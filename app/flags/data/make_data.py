#!/usr/bin/env python3
"""Make countries.json and svg/ from their published sources. Run by hand when a source has a new version.

    usage: make_data.py CLDR_CORE CLDR_LOCALENAMES_FULL FLAG_ICONS

The three arguments are folders of unpacked npm packages; README.md beside this file has the commands.
Names and regions come from Unicode CLDR, pictures from flag-icons. What is decided here, and not by a source, is: which
195 countries the game has, the few names that differ from CLDR's, and which flags look too much alike.

The pictures are cleaned here, once, and not when they are served: what is committed is what a player gets, so a
reviewer (and tests/app/test_flag_images.py) sees that nothing in a file says whose flag it is.
"""

import json
import re
import string
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from itertools import count, product
from pathlib import Path

HERE = Path(__file__).parent

# The 193 members of the United Nations and its two observer states. CLDR also has codes of territories.
CODES = re.findall(
    "[A-Z]{2}",
    """
    AD AE AF AG AL AM AO AR AT AU AZ BA BB BD BE BF BG BH BI BJ BN BO BR BS BT BW BY BZ CA CD CF CG CH CI CL CM
    CN CO CR CU CV CY CZ DE DJ DK DM DO DZ EC EE EG ER ES ET FI FJ FM FR GA GB GD GE GH GM GN GQ GR GT GW GY HN
    HR HT HU ID IE IL IN IQ IR IS IT JM JO JP KE KG KH KI KM KN KP KR KW KZ LA LB LC LI LK LR LS LT LU LV LY MA
    MC MD ME MG MH MK ML MM MN MR MT MU MV MW MX MY MZ NA NE NG NI NL NO NP NR NZ OM PA PE PG PH PK PL PS PT PW
    PY QA RO RS RU RW SA SB SC SD SE SG SI SK SL SM SN SO SR SS ST SV SY SZ TD TG TH TJ TL TM TN TO TR TT TV TZ
    UA UG US UY UZ VA VC VE VN VU WS YE ZA ZM ZW
    """,
)

# Everyday names where CLDR's first choice is an official or an ambiguous one.
NAMES = {
    "CD": "DR Congo",
    "CG": "Republic of the Congo",
    "CI": "Ivory Coast",
    "MM": "Myanmar",
    "PS": "Palestine",
    "TR": "Turkey",
    "VC": "Saint Vincent and the Grenadines",
}

# Flags of one group are never offered as answers to each other: a player who knows the flag must not lose to a shade of
# blue. Chosen by eye from all pairs whose thumbnails (16x12 pixels, CIELAB) are close, and from pairs that are known
# to be mixed up.
LOOKALIKES = """
ID MC PL SG      red and white
AT LV            red, white, red
RO TD MD AD      blue, yellow, red
IE CI IT         green, white and orange or red
IT MX
BG HU TJ IR      white, green and red bands
IN NE
NL LU PY HR      red, white, blue
SK SI HR RS RU   Slavic tricolours
VE CO EC         yellow, blue, red
SN ML GN CM      green, yellow, red upright
BO GH ET         red, yellow, green across
LT MM
BJ GW
EG YE IQ SY      red, white, black
AE KW JO PS SD   pan-Arab with a triangle or a bar
KE MW SS         black, red, green
AU NZ
FJ TV
NO IS
CH DK            white cross on red
CH TO
BH QA            serrated
AR HN NI SV      blue, white, blue
HT LI
US LR MY         stripes and a canton
GR UY
CN VN MA         stars on red
TR TN
BD JP PW         one disc
TH CR
FM SO            white stars on light blue
KG MK            yellow sun on red
AL ME            eagle on red
KN TZ
CZ PH
"""

# Coats of arms whose paths are drawn to a tenth of a unit that is half a pixel: rounded, they look the same on 1280
# pixels and have a third of the bytes. Chosen by eye from the largest pictures; BT, BZ and TM would lose details.
COARSE = ["BO", "DO", "ES", "HR", "ME", "MX", "RS", "SV"]
SVGO = ("npx", "--yes", "svgo@4.1.0", "--multipass", "--input", "-", "--output", "-", "--config")
ROUNDING = """export default { plugins: [{ name: "preset-default", params: { overrides: {
    convertPathData: { floatPrecision: 0 },
    cleanupNumericValues: { floatPrecision: 1 },
    convertTransform: { floatPrecision: 3 },
} } }] };
"""

SVG = "{http://www.w3.org/2000/svg}"
XLINK_HREF = "{http://www.w3.org/1999/xlink}href"
DRAWING = {
    "circle",
    "clipPath",
    "defs",
    "ellipse",
    "g",
    "linearGradient",
    "marker",
    "mask",
    "path",
    "pattern",
    "radialGradient",
    "rect",
    "stop",
    "svg",
    "use",
}
# Attributes for people or editors, without effect on the picture: no flag contains text.
SILENT = re.compile(r"id|class|style|version|aria-.*|data-.*|role|font-.*|text-.*|letter-spacing|word-spacing|\{.*\}.*")
# The only style properties in the source; none of them changes a shape. Any other stops the run: the CSP forbids style.
NO_OP_STYLE = re.compile(r"marker:none|line-height|text-|-inkscape-|font-")


def lookalikes() -> dict[str, list[str]]:
    """The table above as code -> sorted codes; symmetric, because every pair of a group counts."""
    found: dict[str, set[str]] = {code: set() for code in CODES}
    for line in LOOKALIKES.strip().splitlines():
        group = re.findall(r"\b[A-Z]{2}\b", line)
        for one, other in product(group, group):
            if one != other:
                found[one].add(other)
    return {code: sorted(others) for code, others in found.items()}


def regions(core: Path) -> dict[str, tuple[str, str]]:
    """Code -> (region, subregion) as UN M49 codes, from CLDR's containment (which follows UN M49)."""
    contains = json.loads((core / "supplemental/territoryContainment.json").read_text())
    contains = contains["supplemental"]["territoryContainment"]
    return {
        code: (region, subregion)
        for region in contains["001"]["_contains"]
        for subregion in contains[region]["_contains"]
        for code in contains.get(subregion, {"_contains": []})["_contains"]
    }


def countries(core: Path, localenames: Path) -> list[dict[str, object]]:
    """One entry a country, by name."""
    english = json.loads((localenames / "main/en/territories.json").read_text())
    english = english["main"]["en"]["localeDisplayNames"]["territories"]
    place, alike = regions(core), lookalikes()
    entries = [
        {
            "code": code,
            "name": NAMES.get(code) or english[code].replace("St. ", "Saint ").replace(" & ", " and "),
            "emoji": "".join(chr(0x1F1E6 + ord(letter) - ord("A")) for letter in code),
            "region": english[place[code][0]],
            "subregion": english[place[code][1]],
            "lookalikes": alike[code],
        }
        for code in CODES
    ]
    return sorted(entries, key=lambda entry: str(entry["name"]))


def clean_svg(source: str) -> str:
    """The same picture with neutral ids and without everything that is not drawn.

    Raises ValueError on what it does not know.
    """
    root = ET.fromstring(source)  # noqa: S314 (the input is a chosen package); drops comments
    referenced = set(re.findall(r"url\(#([^)]+)\)|href=\"#([^\"]+)\"", source))
    referenced = {name for pair in referenced for name in pair if name}
    new_names = (f"{letter}{number}" for number in count(1) for letter in string.ascii_lowercase)
    renamed: dict[str, str] = {}
    for element in root.iter():
        if (name := element.get("id")) in referenced:
            renamed[str(name)] = next(new_names)
    if referenced - renamed.keys():
        raise ValueError(f"refers to missing ids {referenced - renamed.keys()}")

    for element in root.iter():
        if element.tag.removeprefix(SVG) not in DRAWING:
            raise ValueError(f"does not expect <{element.tag}>")
        for declaration in filter(None, (element.get("style") or "").split(";")):
            if not NO_OP_STYLE.match(declaration):
                raise ValueError(f"style {declaration!r} must become an attribute")
        element.text = element.tail = None
        old_id, href = element.get("id"), element.get(XLINK_HREF) or element.get("href")
        for name in [name for name in element.attrib if SILENT.fullmatch(name)]:
            del element.attrib[name]
        if old_id and old_id in renamed:
            element.set("id", renamed[old_id])
        if href:
            element.set("href", "#" + renamed[href.removeprefix("#")])
        for name, value in element.attrib.items():
            element.set(name, re.sub(r"url\(#([^)]+)\)", lambda match: f"url(#{renamed[match[1]]})", value))
    ET.register_namespace("", SVG.strip("{}"))
    return ET.tostring(root, encoding="unicode") + "\n"


def rounded(source: str) -> str:
    """The same picture with coordinates of whole units."""
    with tempfile.NamedTemporaryFile("w", suffix=".mjs") as config:
        config.write(ROUNDING)
        config.flush()
        return subprocess.run([*SVGO, config.name], input=source, capture_output=True, text=True, check=True).stdout


def main(core: Path, localenames: Path, flag_icons: Path) -> None:
    """Write countries.json and svg/ beside this file."""
    versions = {folder: json.loads((folder / "package.json").read_text())["version"] for folder in (core, flag_icons)}
    document = {
        "source": f"Names and UN M49 regions: Unicode CLDR {versions[core]}. Emoji: from the ISO 3166-1 code."
        " Look-alikes and a few everyday names: this project.",
        "license": "Unicode-3.0 (LICENSE-unicode.txt)",
        "countries": countries(core, localenames),
    }
    one_line_each = ",\n".join(json.dumps(entry, ensure_ascii=False) for entry in document.pop("countries"))
    head = json.dumps(document, ensure_ascii=False, indent=1).removesuffix("\n}")
    (HERE / "countries.json").write_text(f'{head},\n "countries": [\n{one_line_each}\n]}}\n', encoding="utf-8")
    (HERE / "svg").mkdir(exist_ok=True)
    for code in CODES:
        name = f"{code.lower()}.svg"
        try:
            source = (flag_icons / "flags/4x3" / name).read_text(encoding="utf-8")
            cleaned = clean_svg(rounded(source) if code in COARSE else source)
        except ValueError as problem:
            sys.exit(f"{name}: {problem}")
        (HERE / "svg" / name).write_text(cleaned, encoding="utf-8")
    (HERE / "LICENSE-unicode.txt").write_text((core / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8")
    (HERE / "svg/LICENSE").write_text((flag_icons / "LICENSE").read_text(encoding="utf-8"), encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*map(Path, sys.argv[1:]))
