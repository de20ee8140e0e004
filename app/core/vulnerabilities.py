"""Known vulnerabilities of this environment's Python packages, by advisories in a file; no feed is asked.

    python -m core.vulnerabilities FILE

FILE is OSV's export of its ecosystem PyPI: a zip with one advisory a JSON file (ossf.github.io/osv-schema). Prints a
JSON list with package, version, id (the CVE, if it has one) and fix (the lowest version that has it, or "").
"""

import importlib.metadata
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator
from typing import Any

from packaging.utils import canonicalize_name
from packaging.version import InvalidVersion, Version

Advisory = dict[str, Any]
ORDER = {"introduced": 0, "fixed": 1, "last_affected": 2}


def known(advisories: Iterable[Advisory], installed: dict[str, str]) -> list[dict[str, str]]:
    """What affects these packages (name → version). An advisory that two databases have is listed once."""
    versions = {str(canonicalize_name(name)): Version(version) for name, version in installed.items()}
    found: dict[tuple[str, str], dict[str, str]] = {}
    for advisory in advisories:
        if "withdrawn" in advisory:
            continue
        for affected in advisory.get("affected", []):
            package = affected.get("package", {})
            name = str(canonicalize_name(str(package.get("name"))))
            version = versions.get(name)
            if package.get("ecosystem") != "PyPI" or version is None or not is_affected(version, affected):
                continue
            names = [advisory["id"], *advisory.get("aliases", [])]
            cve = min((one for one in names if one.startswith("CVE-")), default=names[0])
            row = {"package": name, "version": str(version), "id": cve, "fix": fixed_in(version, affected)}
            if not found.get((name, cve), {}).get("fix"):
                found[name, cve] = row
    return [found[key] for key in sorted(found)]


def is_affected(version: Version, affected: Advisory) -> bool:
    """OSV's rule (section "Evaluation"): it is listed, or inside a range."""
    if version in map(parsed, affected.get("versions", [])):
        return True
    return any(inside(version, events) for events in ranges(affected))


def ranges(affected: Advisory) -> Iterator[list[tuple[Version, str]]]:
    """The events of each range of versions, in order."""
    for one in affected.get("ranges", []):
        if one.get("type") == "ECOSYSTEM":
            events = [
                (parsed(value), kind) for event in one["events"] for kind, value in event.items() if kind in ORDER
            ]
            yield sorted(((at, kind) for at, kind in events if at), key=lambda event: (event[0], ORDER[event[1]]))


def inside(version: Version, events: list[tuple[Version, str]]) -> bool:
    """Whether the last event up to this version leaves it vulnerable."""
    vulnerable = False
    for at, kind in events:
        if kind == "introduced" and version >= at:
            vulnerable = True
        elif (kind == "fixed" and version >= at) or (kind == "last_affected" and version > at):
            vulnerable = False
    return vulnerable


def fixed_in(version: Version, affected: Advisory) -> str:
    """The lowest fixed version above this one; "" when there is none yet."""
    fixes = [at for events in ranges(affected) for at, kind in events if kind == "fixed" and at > version]
    return str(min(fixes)) if fixes else ""


def parsed(text: str) -> Version | None:
    """None for what is no version of PEP 440: nothing that pip installs has it."""
    try:
        return Version(text)
    except InvalidVersion:
        return None


def main() -> None:
    """Of this environment."""
    installed = {one.metadata["Name"]: one.version for one in importlib.metadata.distributions()}
    with zipfile.ZipFile(sys.argv[1]) as archive:
        advisories = (json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json"))
        print(json.dumps(known(advisories, installed)))


if __name__ == "__main__":
    main()
