"""Every page, light and dark, on a desktop and a phone: no violation of axe's rules, nothing wider than the screen."""

import pytest
from axe_playwright_python.sync_playwright import Axe

from browser.player import Account, NewPage, Screenshot

GUEST_PAGES = {
    "today": "/",
    "login": "/accounts/login/",
    "signup": "/accounts/signup/",
    "signup-sent": "/accounts/signup/sent/",
    "signup-old-link": "/accounts/signup/confirm/",
    "reset": "/accounts/password/reset/",
    "admin-login": "/admin/login/",
    "leaderboard": "/leaderboard/",
    "api": "/api/docs",
}
PLAYER_PAGES = {
    "today-answered": "/",
    "practice": "/practice/",
    "password": "/accounts/password/",
    "account": "/accounts/",
    "account-delete": "/accounts/delete/",
    "statistics": "/statistics/",
    "leaderboard": "/leaderboard/",
    "most-guessed": "/most-guessed/",
}
PAGES = [("guest", name, path) for name, path in GUEST_PAGES.items()] + [
    ("player", name, path) for name, path in PLAYER_PAGES.items()
]
SCREENS = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 360, "height": 740}}
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}


@pytest.mark.parametrize("screen", SCREENS)
@pytest.mark.parametrize(("who", "name", "path"), PAGES, ids=[f"{who}-{name}" for who, name, _ in PAGES])
def test_a_page_is_accessible_and_fits(
    new_page: NewPage, screenshot: Screenshot, regular: Account, who: str, name: str, path: str, screen: str
) -> None:
    state = regular.storage_state if who == "player" else None
    page = new_page(viewport=SCREENS[screen], color_scheme="light", storage_state=state)
    page.goto(path)
    for colours in ("light", "dark"):  # style alone: the page is not loaded again
        page.emulate_media(color_scheme=colours)
        screenshot(page, f"{who}-{name}-{screen}-{colours}")
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow == 0, f"{colours}: {overflow} pixels too wide"
        report = Axe().run(page, options=RULES)
        assert report.violations_count == 0, f"{colours}: {report.generate_report()}"
