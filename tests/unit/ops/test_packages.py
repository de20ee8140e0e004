"""packages.py: what apt, dpkg and changelogs print."""

from __future__ import annotations

import re

from ops import packages
from ops.packages import Installed, Update

APT = """Inst nginx-common [1.26.3-3+deb13u10] (1.26.3-3+deb13u11 Debian-Security:13/stable-security [all]) []
Inst tzdata [2025b-4] (2025b-5 Debian:13.2/stable [all])
Conf nginx-common (1.26.3-3+deb13u11 Debian-Security:13/stable-security [all])
"""
CHANGELOG = """nginx (1.26.3-3+deb13u11) trixie-security; urgency=medium

  * Fix CVE-2026-1111 and CVE-2026-22222.

 -- A Person <a@example.org>  Mon, 16 Nov 2026 10:00:00 +0000

nginx (1.26.3-3+deb13u10.1) trixie; urgency=medium

  * Fix CVE-2026-1000.

 -- A Person <a@example.org>  Sun, 01 Nov 2026 10:00:00 +0000

nginx (1.26.3-3+deb13u10) trixie; urgency=medium

  * Fix CVE-2020-0001.

 -- A Person <a@example.org>  Wed, 01 Jan 2020 10:00:00 +0000
"""
PUBLISHED = 1793527200.0  # 2026-11-01 10:00 UTC


def test_what_is_pending_and_whether_the_security_archive_has_it() -> None:
    assert packages.pending(APT) == [
        Update("nginx-common", "1.26.3-3+deb13u10", "1.26.3-3+deb13u11", True),
        Update("tzdata", "2025b-4", "2025b-5", False),
    ]


def test_entries_newer_than_the_installed_version_name_what_is_fixed_and_since_when() -> None:
    fixed = ("CVE-2026-1000", "CVE-2026-1111", "CVE-2026-22222")
    assert packages.newer(CHANGELOG, "1.26.3-3+deb13u10") == (fixed, PUBLISHED)
    assert packages.newer(CHANGELOG, "1.26.3-3+deb13u10+b1") == (fixed, PUBLISHED)
    assert packages.newer(CHANGELOG, "1.26.3-3+deb13u11") == ((), 0.0)
    assert packages.newer(CHANGELOG, "0.1-1") == ((), 0.0)
    assert packages.newer("", "1") == ((), 0.0)


def test_changelogs_are_of_their_packages() -> None:
    one, other = packages.with_changelogs(packages.pending(APT), f"=== nginx-common\n{CHANGELOG}\n=== tzdata\n\n")
    assert (one.since, len(one.fixes)) == (PUBLISHED, 3)
    assert (other.since, other.fixes) == (0.0, ())


def test_metrics_have_the_oldest_security_update_of_each_image() -> None:
    found = {
        "proxy": [Update("a", "1", "2", True, (), 50.0), Update("b", "1", "2", True, (), 40.0)],
        "ops": [Update("c", "1", "2", False)],
        "app": [Update("d", "1", "2", True)],
    }
    text = packages.metrics(found, 100.0, 60.0)
    assert 'pending{image="proxy",security="yes"} 2' in text
    assert 'pending{image="ops",security="no"} 1' in text
    assert 'since_timestamp_seconds{image="proxy"} 40' in text
    assert 'since_timestamp_seconds{image="app"} 100' in text
    assert 'security_since_timestamp_seconds{image="ops"}' not in text
    assert "reboot_required_since_timestamp_seconds 60" in text
    assert "reboot" not in packages.metrics(found, 100.0, None)
    assert all(re.fullmatch(r'# .*|flaglearning_\w+(\{[\w="-]+(,[\w="]+)*\})? \d+', line) for line in text.splitlines())


def test_what_differs_between_two_images() -> None:
    before = packages.installed("a\t1\ta\t1\tall\nb\t1\tb\t1\tall\n")
    after = packages.installed("a\t2\ta\t2\tall\nc\t1\tc\t1\tall\n")
    assert packages.changes(before, after) == [
        {"package": "a", "old": "1", "new": "2"},
        {"package": "b", "old": "1", "new": None},
        {"package": "c", "old": None, "new": "1"},
    ]


def test_a_bill_of_materials_names_debian_and_python_packages() -> None:
    debian = {"libc6": Installed("libc6", "2.41-12+deb13u5", "glibc", "2.41-12+deb13u5", "amd64")}
    made = packages.cyclonedx("flaglearning/app:dev", "sha256:1", debian, "Django\t5.2\nDjango\t5.2\nruamel.yaml\t1\n")
    assert [part["purl"] for part in made["components"]] == [
        "pkg:deb/debian/libc6@2.41-12%2Bdeb13u5?arch=amd64",
        "pkg:pypi/django@5.2",
        "pkg:pypi/ruamel-yaml@1",
    ]
    assert made["metadata"]["component"]["version"] == "sha256:1"


STATUS = """Package: nginx
Status: install ok installed
Version: 1.0-1
Description: x
 Version: in a text

Package: zlib1g
Version: 1:1.3-1
"""


def test_what_debsecan_knows() -> None:
    printed = (
        "CVE-2026-1 nginx (fixed, remotely exploitable, high urgency)\nCVE-2026-2 zlib1g\nTEMP-1 gone (obsolete)\n"
    )
    assert packages.known(printed, STATUS) == [
        packages.Known("nginx", "1.0-1", "CVE-2026-1", "archive", "remotely exploitable, high urgency"),
        packages.Known("zlib1g", "1:1.3-1", "CVE-2026-2"),
        packages.Known("gone", "", "TEMP-1"),
    ]


def test_a_vulnerability_is_as_old_as_the_first_look_up_that_found_its_fix() -> None:
    fixed, unfixed = packages.Known("a", "1", "CVE-1", "2"), packages.Known("b", "1", "CVE-2")
    first = packages.first_seen({"proxy": [fixed, unfixed]}, {}, 100.0)
    now_fixed = unfixed._replace(fix="archive")
    second = packages.first_seen({"proxy": [fixed, now_fixed], "app": [fixed]}, first, 200.0)
    assert [one["since"] for one in first["proxy"]] == [100.0, 0]
    assert [one["since"] for one in second["proxy"]] == [100.0, 200.0]
    assert second["app"][0]["since"] == 200.0
    text = packages.vulnerability_metrics({**first, "ops": []}, {"trixie": 50.0})
    assert 'vulnerabilities{image="proxy",fix="yes"} 1' in text
    assert 'vulnerabilities{image="proxy",fix="no"} 1' in text
    assert 'vulnerabilities{image="ops",fix="yes"} 0' in text
    assert 'fixable_since_timestamp_seconds{image="proxy"} 100' in text
    assert 'fixable_since_timestamp_seconds{image="ops"}' not in text
    assert 'advisories_timestamp_seconds{file="trixie"} 50' in text
    assert all(re.fullmatch(r'# .*|flaglearning_\w+\{[\w="-]+(,[\w="]+)*\} \d+', line) for line in text.splitlines())
