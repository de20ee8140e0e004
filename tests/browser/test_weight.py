"""What a first visit of each page transfers: bytes, not times. docs/benchmarks.md has the times on a slow network."""

from collections import Counter
from typing import Any

import pytest
from playwright.sync_api import Page

from browser.player import Account, NewPage

# Without flags, of which tests/app/test_flag_images.py limits each to 20 kB: today's page stays below 60 kB.
MOST = 40_000
GUESTS = ("/", "/leaderboard/", "/most-guessed/", "/accounts/login/", "/accounts/signup/", "/api/docs")
PLAYERS = ("/", "/practice/", "/statistics/")


def transferred(page: Page, path: str) -> Counter[str]:
    """Bytes on the network by kind: `flags`, `rest`. Headers count."""
    urls: dict[str, str] = {}
    found: Counter[str] = Counter()

    def finished(event: dict[str, Any]) -> None:
        found["flags" if "/flags/" in urls[event["requestId"]] else "rest"] += int(event["encodedDataLength"])

    session = page.context.new_cdp_session(page)
    session.on("Network.requestWillBeSent", lambda event: urls.update({event["requestId"]: event["request"]["url"]}))
    session.on("Network.loadingFinished", finished)
    session.send("Network.enable")
    response = page.goto(path, wait_until="networkidle")
    assert response
    assert response.status == 200
    session.detach()
    return found


@pytest.mark.parametrize("path", GUESTS)
def test_a_guests_page(page: Page, path: str) -> None:
    weight = transferred(page, path)
    assert 5_000 < weight["rest"] <= MOST, weight


@pytest.mark.parametrize("path", PLAYERS)
def test_a_players_page(new_page: NewPage, regular: Account, path: str) -> None:
    weight = transferred(new_page(storage_state=regular.storage_state), path)
    assert 5_000 < weight["rest"] <= MOST, weight
