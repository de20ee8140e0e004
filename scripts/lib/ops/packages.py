"""Debian packages of an image or a host: what is installed, what is newer in the archive, and what that fixes.

The programs' output is read by pure functions. Security updates are those of Debian's security archive; what they fix,
and since when they have been out, is in the changelogs of the packages themselves.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

# For how long a security update may be out and not installed, and how old the look-up may be.
SECURITY_AGE, CHECK_AGE = timedelta(days=7), timedelta(days=2)
# Of the image's own apt, in a container of it, as root without a capability. Nothing of the image is changed.
PENDING = r"""
set -e
apt-get -qq -o APT::Sandbox::User=root update >&2
apt-get -s -o Debug::NoLocking=1 --with-new-pkgs upgrade | grep '^Inst .* \[' || true
"""
# For each package of "$@": its changelog, out of the archive's package. Old entries are cut off.
CHANGELOGS = r"""
cd /tmp
for name in "$@"; do
	apt-get -qq -o APT::Sandbox::User=root download "$name" >&2 || continue
	echo "=== $name"
	dpkg-deb --fsys-tarfile "$name"_*.deb | tar -xO --wildcards "./usr/share/doc/$name/changelog.Debian*" 2>/dev/null |
		gzip -dc 2>/dev/null | head -c 20000 || true
	echo
done
"""
INSTALLED = ("-W", "-f", "${Package}\t${Version}\t${source:Package}\t${source:Version}\t${Architecture}\n")
PYTHON = """
import importlib.metadata
for one in importlib.metadata.distributions():
    print(one.metadata["Name"], one.version, sep="\\t")
"""
# debsecan's --format summary: CVE-2026-1 nginx (fixed, remotely exploitable, high urgency)
DEBSECAN = re.compile(r"^(\S+) (\S+)(?: \((.*)\))?$")
SIMULATED = re.compile(r"^Inst (\S+) \[(\S+)\] \((\S+) (.*?)\)")
ENTRY = re.compile(r"^\S+ \(([^)]+)\) ", re.MULTILINE)
CVE = re.compile(r"\bCVE-\d{4}-\d{4,}\b")


class Update(NamedTuple):
    """A package that the archive has a newer version of. `since`: when the first of the newer ones was published, in
    seconds since 1970; 0 when its changelog does not tell."""

    package: str
    old: str
    new: str
    security: bool
    fixes: tuple[str, ...] = ()
    since: float = 0


class Installed(NamedTuple):
    """An installed package; `source` and `source_version` name what Debian's security tracker knows it by."""

    name: str
    version: str
    source: str
    source_version: str
    architecture: str


class Known(NamedTuple):
    """A known vulnerability of an installed package. `fix`: the version that has it; "archive": a newer one in Debian's
    archive has it; "" when there is none yet. `notes`: urgency and reach, as Debian's security tracker rates them."""

    package: str
    version: str
    id: str
    fix: str = ""
    notes: str = ""


def pending(printed: str) -> list[Update]:
    """Of the lines of `apt-get --simulate upgrade`: Inst nginx [1.0-1] (1.0-2 Debian-Security:13/stable [amd64])."""
    found = filter(None, map(SIMULATED.match, printed.splitlines()))
    return [Update(one[1], one[2], one[3], "security" in one[4].lower()) for one in found]


def with_changelogs(updates: list[Update], printed: str) -> list[Update]:
    """The same, with what the changelogs (of CHANGELOGS) say that they fix."""
    parts = dict(part.partition("\n")[::2] for part in printed.split("=== ")[1:])
    return [
        one._replace(fixes=fixes, since=since)
        for one in updates
        for fixes, since in [newer(parts.get(one.package, ""), one.old)]
    ]


def newer(changelog: str, old: str) -> tuple[tuple[str, ...], float]:
    """The CVEs that the entries before the one of version `old` name, and when the oldest of these was published."""
    starts = list(ENTRY.finditer(changelog))
    known = [number for number, one in enumerate(starts) if one[1] == re.sub(r"\+b\d+$", "", old)]
    if not known or known[0] == 0:
        return (), 0.0
    text = changelog[: starts[known[0]].start()]
    dates = re.findall(r"^ -- .*?>  (.*)$", text, re.MULTILINE)
    since = parsedate_to_datetime(dates[-1]).timestamp() if dates else 0.0
    return tuple(sorted(set(CVE.findall(text)))), since


def installed(printed: str) -> dict[str, Installed]:
    """Of the lines of `dpkg-query` with the format INSTALLED."""
    rows = [line.split("\t") for line in printed.splitlines()]
    return {row[0]: Installed(*row) for row in rows}


def known(printed: str, status: str) -> list[Known]:
    """Of the lines of `debsecan --format summary`, and of the dpkg status file that it read."""
    fields = (dict(re.findall(r"^(Package|Version): (\S+)$", part, re.MULTILINE)) for part in status.split("\n\n"))
    versions = {one.get("Package"): one.get("Version", "") for one in fields}
    found = []
    for one in filter(None, map(DEBSECAN.match, printed.splitlines())):
        notes = (one[3] or "").split(", ")
        fix = "archive" if "fixed" in notes else ""
        rest = ", ".join(note for note in notes if note not in ("", "fixed", "obsolete"))
        found.append(Known(one[2], versions.get(one[2], ""), one[1], fix, rest))
    return found


def changes(before: dict[str, Installed], after: dict[str, Installed]) -> list[dict[str, Any]]:
    """What differs, by package; None where a version does not exist."""
    old = {name: one.version for name, one in before.items()}
    new = {name: one.version for name, one in after.items()}
    return [
        {"package": name, "old": old.get(name), "new": new.get(name)}
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]


def cyclonedx(image: str, digest: str, debian: dict[str, Installed], python: str) -> dict[str, Any]:
    """The bill of materials of an image (CycloneDX 1.5, cyclonedx.org). `python`: what the program PYTHON printed."""
    parts = [
        {
            "type": "library", "name": one.name, "version": one.version,
            "purl": f"pkg:deb/debian/{one.name}@{one.version.replace('+', '%2B')}?arch={one.architecture}",
            "properties": [{"name": "source", "value": f"{one.source} {one.source_version}"}],
        }
        for one in debian.values()
    ]  # fmt: skip
    for line in sorted(set(python.splitlines())):
        name, _, version = line.partition("\t")
        normal = re.sub(r"[-_.]+", "-", name).lower()
        parts.append({"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{normal}@{version}"})
    return {
        "bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1,
        "metadata": {
            "timestamp": datetime.now(timezone.utc).isoformat(timespec="seconds"),
            "component": {"type": "container", "name": image, "version": digest},
        },
        "components": parts,
    }  # fmt: skip


def metrics(found: dict[str, list[Update]], checked: float, reboot_since: float | None) -> str:
    """For Prometheus. `found`: image (or `host`) → its updates; times in seconds since 1970."""
    lines = ["# HELP flaglearning_updates_pending Packages that the archive has a newer version of."]
    lines.append("# TYPE flaglearning_updates_pending gauge")
    for where, updates in found.items():
        for label, wanted in (("yes", True), ("no", False)):
            count = sum(one.security is wanted for one in updates)
            lines.append(f'flaglearning_updates_pending{{image="{where}",security="{label}"}} {count}')
    lines.append("# HELP flaglearning_updates_security_since_timestamp_seconds When the oldest one was published.")
    lines.append("# TYPE flaglearning_updates_security_since_timestamp_seconds gauge")
    for where, updates in found.items():
        if since := oldest(updates, checked):
            lines.append(f'flaglearning_updates_security_since_timestamp_seconds{{image="{where}"}} {since:.0f}')
    lines.append("# HELP flaglearning_updates_checked_timestamp_seconds When this was looked up.")
    lines.append("# TYPE flaglearning_updates_checked_timestamp_seconds gauge")
    lines.append(f"flaglearning_updates_checked_timestamp_seconds {checked:.0f}")
    if reboot_since is not None:
        lines.append("# HELP flaglearning_reboot_required_since_timestamp_seconds Since when the host wants a reboot.")
        lines.append("# TYPE flaglearning_reboot_required_since_timestamp_seconds gauge")
        lines.append(f"flaglearning_reboot_required_since_timestamp_seconds {reboot_since:.0f}")
    return "\n".join(lines) + "\n"


def first_seen(
    known: dict[str, list[Known]], before: dict[str, list[dict[str, Any]]], now: float
) -> dict[str, list[dict[str, Any]]]:
    """The known vulnerabilities by image, each with `since`: when a look-up first found that it has a fix, in seconds
    since 1970; 0 without a fix. `before`: what this returned at the look-up before."""
    seen = {(where, one["package"], one["id"]): one["since"] for where, ones in before.items() for one in ones}
    return {
        where: [
            {**one._asdict(), "since": (seen.get((where, one.package, one.id)) or now) if one.fix else 0}
            for one in ones
        ]
        for where, ones in known.items()
    }


def vulnerability_metrics(known: dict[str, list[dict[str, Any]]], files: dict[str, float]) -> str:
    """For Prometheus. `known`: what first_seen() returned; `files`: advisories → their time, in seconds since 1970."""
    name = "flaglearning_vulnerabilities"
    lines = [f"# HELP {name} Known vulnerabilities of installed packages.", f"# TYPE {name} gauge"]
    for where, ones in known.items():
        for label, wanted in (("yes", True), ("no", False)):
            count = sum(bool(one["fix"]) is wanted for one in ones)
            lines.append(f'{name}{{image="{where}",fix="{label}"}} {count}')
    since = f"{name}_fixable_since_timestamp_seconds"
    lines += [f"# HELP {since} When the oldest one that has a fix was first found.", f"# TYPE {since} gauge"]
    for where, ones in known.items():
        if times := [one["since"] for one in ones if one["fix"]]:
            lines.append(f'{since}{{image="{where}"}} {min(times):.0f}')
    age = "flaglearning_advisories_timestamp_seconds"
    lines += [f"# HELP {age} How old the advisories are.", f"# TYPE {age} gauge"]
    lines += [f'{age}{{file="{file}"}} {time:.0f}' for file, time in files.items()]
    return "\n".join(lines) + "\n"


def oldest(updates: list[Update], checked: float) -> float | None:
    """When the oldest pending security update was published; the time of the check where no changelog tells."""
    times = [one.since or checked for one in updates if one.security]
    return min(times) if times else None
