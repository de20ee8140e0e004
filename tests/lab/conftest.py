"""One solo host, converged once, and a fleet of database, application and backup hosts; an outsider beside each."""

import os
from collections.abc import Iterator

import pytest

from support.lab import Lab
from support.stack import PROJECT, TAG

# The runner has built the images.
BUILT = ("-e", '{"images_build": false}', "-e", f"images_tag={TAG}")


@pytest.fixture(scope="session")
def lab() -> Iterator[Lab]:
    os.environ["TAG"] = TAG  # the machines' image too is this run's own
    lab = Lab(f"{PROJECT}-lab")
    if not os.environ.get("KEEP_STACK"):
        lab.down()
    try:
        lab.up("solo")
        lab.play("site.yml", *BUILT)
        yield lab
    finally:
        if not os.environ.get("KEEP_STACK"):
            lab.down()


@pytest.fixture(scope="session")
def split() -> Iterator[Lab]:
    os.environ["TAG"] = TAG
    lab = Lab(f"{PROJECT}-split")
    if not os.environ.get("KEEP_STACK"):
        lab.down()
    try:
        lab.up("split")
        lab.play("site.yml", *BUILT)
        yield lab
    finally:
        if not os.environ.get("KEEP_STACK"):
            lab.down()
