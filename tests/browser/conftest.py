"""A real browser against a running site: https://localhost:8443, or --base-url, or $BASE_URL.

Chromium is Debian's; Playwright drives it and downloads nothing. Every page that a test opens is watched: an error on
its console (a violation of the Content-Security-Policy is one), an exception or a failed request fails the test.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, Request, sync_playwright

from browser import player as player_module
from browser.player import Account, NewPage, Player, Screenshot
from browser.quiet_network import start_in_quiet_network

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("browser")
    group.addoption(
        "--base-url", default=os.environ.get("BASE_URL", "https://localhost:8443"), help="the site to play on"
    )
    group.addoption("--project", default=player_module.project, help="the compose project that prints the site's mails")
    group.addoption(
        "--screenshots", type=Path, default=Path("artifacts/screenshots"), help="the folder to keep them in"
    )


def pytest_configure(config: pytest.Config) -> None:
    player_module.project = config.getoption("--project")


def is_own_machine(url: str) -> bool:
    """Whether the site runs here. Then its certificate is development's own, and tests/stack checks its chain."""
    return urlsplit(url).hostname in ("localhost", "127.0.0.1")


@pytest.fixture(scope="session")
def base_url(request: pytest.FixtureRequest) -> str:
    return str(request.config.getoption("--base-url")).rstrip("/")


@pytest.fixture(scope="session")
def browser(base_url: str) -> Iterator[Browser]:
    executable = os.environ.get("CHROMIUM", "/usr/bin/chromium")
    assert Path(executable).exists(), f"No browser at {executable}: run `apt-get install chromium`, or set CHROMIUM."
    site = urlsplit(base_url)
    start = sync_playwright().start
    if is_own_machine(base_url):
        playwright = start_in_quiet_network(start, site.port or {"http": 80, "https": 443}[site.scheme])
    else:
        playwright = start()
    browser = playwright.chromium.launch(executable_path=executable, args=FLAGS)
    yield browser
    browser.close()
    playwright.stop()


@pytest.fixture
def new_page(browser: Browser, base_url: str) -> Iterator[NewPage]:
    """Opens a page in a browser of its own, without cookies. Takes Playwright's options (viewport, color_scheme, …)."""
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def watch(page: Page) -> None:
        def failed(request: Request) -> None:
            if request.failure != "net::ERR_ABORTED":  # that is a link followed before the page was complete
                complaints.append(f"{page.url}: {request.url} {request.failure}")

        page.on("console", lambda line: complaints.append(f"{page.url}: {line.text}") if line.type == "error" else None)
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on("requestfailed", failed)

    def make(**options: Any) -> Page:
        context = browser.new_context(
            base_url=base_url, ignore_https_errors=is_own_machine(base_url), reduced_motion="reduce", **options
        )
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        watch(page)
        return page

    yield make
    for context in contexts:
        context.close()
    assert complaints == [], f"the browser complained: {complaints}"


@pytest.fixture
def page(new_page: NewPage) -> Page:
    return new_page()


@pytest.fixture
def player(page: Page) -> Player:
    """A user who has just signed up."""
    player = Player(page)
    player.sign_up()
    return player


@pytest.fixture(scope="session")
def regular(browser: Browser, base_url: str) -> Account:
    """A user with answers, for read-only tests. Logged in once, because logins are rate limited."""
    context = browser.new_context(base_url=base_url, ignore_https_errors=is_own_machine(base_url))
    player = Player(context.new_page())
    player.sign_up(name="Ada of Regular House")
    player.answer_today("1")
    for _ in range(3):
        player.answer_practice("2")
    player.account.storage_state = context.storage_state()
    context.close()
    return player.account


@pytest.fixture
def screenshot(request: pytest.FixtureRequest) -> Screenshot:
    """Save a screenshot of the page: screenshot(page, "today-answered")."""
    folder: Path = request.config.getoption("--screenshots")
    folder.mkdir(parents=True, exist_ok=True)

    def keep(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png", full_page=True)

    return keep
