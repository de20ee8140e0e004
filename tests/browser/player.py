"""A user's actions on the site."""

import re
import secrets
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from playwright.sync_api import Page, StorageState, expect

KEYS = "1234"
# The fixtures of these names: open a page in a new browser; save a screenshot.
NewPage = Callable[..., Page]
Screenshot = Callable[[Page, str], None]
# The compose project of the site, which prints its mails (--project).
project = "flaglearning"


def mailed_link(email: str) -> str:
    """The path of the newest link that was mailed to the address, from the site's log."""
    command = ["docker", "compose", "--project-name", project, "logs", "--no-color", "--no-log-prefix", "app"]
    until = time.monotonic() + 10
    while time.monotonic() < until:
        log = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        log = log.replace("\x1b[2K", "")  # Compose 2.26 prints it before each line
        if found := re.findall(rf"^To: {re.escape(email)}\n(?:(?!To: ).*\n)*?https?://[^/]+(/\S+)", log, re.MULTILINE):
            return str(found[-1])
        time.sleep(0.1)
    raise AssertionError(f"no mail to {email} in the log of {project}")


@dataclass
class Account:
    """A user's credentials, and the cookies of a logged-in browser."""

    email: str = field(default_factory=lambda: f"{secrets.token_hex(8)}@example.org")
    password: str = field(default_factory=lambda: secrets.token_urlsafe(12))
    name: str = ""
    storage_state: StorageState | None = None


class Player:
    """A user with a browser; finds elements by label, role and key, as a screen reader does."""

    def __init__(self, page: Page, account: Account | None = None) -> None:
        self.page = page
        self.account = account or Account()

    def sign_up(self, name: str = "") -> None:
        """From the front page, as a new visitor would."""
        self.account.name = name or f"Player {secrets.token_hex(3)}"
        self.page.goto("/")
        self.page.get_by_role("link", name="Sign up", exact=True).click()
        self.page.get_by_label("E-mail address").fill(self.account.email)
        self.page.get_by_role("button", name="Sign up").click()
        expect(self.page.get_by_role("heading", name="Look into your mailbox")).to_be_visible()
        self.page.goto(mailed_link(self.account.email))
        self.page.get_by_label("Display name").fill(self.account.name)
        self.page.get_by_label("Password").fill(self.account.password)
        self.page.get_by_role("button", name="Make the account").click()
        expect(self.page.get_by_role("button", name="Log out")).to_be_visible()
        self.page.wait_for_load_state()  # until its scripts have run, a page works as without JavaScript

    def log_in(self, password: str | None = None) -> None:
        """With the account's password, or another one."""
        self.page.goto("/accounts/login/")
        self.page.get_by_label("E-mail address").fill(self.account.email)
        self.page.get_by_label("Password").fill(password or self.account.password)
        self.page.get_by_role("button", name="Log in").click()

    def log_out(self) -> None:
        """By the button in the header."""
        self.page.get_by_role("button", name="Log out").click()
        expect(self.page.get_by_role("link", name="Log in").first).to_be_visible()

    @property
    def options(self) -> list[str]:
        """The four names to choose from, in the order of their keys."""
        return self.page.locator("button.option span:not(.key)").all_inner_texts()

    @property
    def verdict(self) -> str:
        """The headline after an answer."""
        return self.page.locator("#verdict h2").inner_text()

    @property
    def streak(self) -> str:
        """The badge: `Streak: 3 days`."""
        return self.page.locator(".streak").inner_text().removeprefix("🔥").strip()

    def press(self, key: str) -> None:
        """Answers by a number key, and waits for the verdict."""
        self.page.keyboard.press(key)
        expect(self.page.locator("#verdict")).to_be_visible()

    def answer_today(self, key: str) -> str:
        """Answers today's challenge; returns the country that it was."""
        self.page.goto("/")
        self.press(key)
        return self.right_answer()

    def answer_practice(self, key: str) -> str:
        """Answers a practice question; returns the country that it was."""
        self.page.goto("/practice/")
        self.press(key)
        return self.right_answer()

    def right_answer(self) -> str:
        """The country's name on an answered question."""
        return self.page.locator(".option.right span").first.inner_text()
