"""Accounts, and what other users see of them."""

import json

import pytest
from playwright.sync_api import Page, expect

from browser.player import Account, NewPage, Player, Screenshot, mailed_link


def test_logging_out_and_in_again(player: Player) -> None:
    player.log_out()
    player.log_in()
    expect(player.page.get_by_role("button", name="Log out")).to_be_visible()
    expect(player.page.locator("header")).to_contain_text(player.account.name)


def test_a_wrong_password_reveals_no_account(page: Page, regular: Account) -> None:
    Player(page, regular).log_in(password="not the password")
    expect(page.get_by_role("alert")).to_contain_text("don’t go together")
    known = page.get_by_role("alert").inner_text()
    Player(page).log_in(password="not the password")
    assert page.get_by_role("alert").inner_text() == known, (
        "the message must not reveal whether an address has an account"
    )


def test_signing_up_reports_errors(page: Page, screenshot: Screenshot) -> None:
    account = Account()
    page.goto("/accounts/signup/")
    page.get_by_label("E-mail address").fill(account.email)
    page.get_by_role("button", name="Sign up").click()
    expect(page.get_by_role("heading", name="Look into your mailbox")).to_be_visible()
    screenshot(page, "signup-sent")
    page.goto(mailed_link(account.email))
    page.get_by_label("Display name").fill("me@example.org")
    page.get_by_label("Password").fill("password")
    page.get_by_role("button", name="Make the account").click()
    for field, complaint in [
        ("Display name", "leave out the @"),
        ("Password", "too common"),
    ]:
        expect(page.get_by_label(field)).to_have_attribute("aria-invalid", "true")
        expect(page.locator(".field").filter(has=page.get_by_label(field))).to_contain_text(complaint)
    screenshot(page, "signup-errors")


def test_a_page_for_players_leads_there_after_logging_in(page: Page, regular: Account) -> None:
    page.goto("/statistics/")
    page.get_by_label("E-mail address").fill(regular.email)
    page.get_by_label("Password").fill(regular.password)
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("heading", name="My statistics")).to_be_visible()


@pytest.mark.parametrize("target", ["https://example.org/", "//example.org/", "javascript:alert(1)"])
def test_next_leads_to_this_site_only(new_page: NewPage, regular: Account, base_url: str, target: str) -> None:
    page = new_page(storage_state=regular.storage_state)
    page.goto(f"/accounts/login/?next={target}")
    assert page.url == f"{base_url}/"


def test_the_leaderboard_shows_names_and_no_address(new_page: NewPage, regular: Account) -> None:
    page = new_page(storage_state=regular.storage_state)
    page.goto("/leaderboard/")
    expect(page.get_by_role("heading", name="Leaderboard")).to_be_visible()
    assert "@" not in page.locator("main").inner_text()
    assert regular.email not in page.content()


def test_a_password_is_changed_with_the_keyboard(page: Page) -> None:
    player = Player(page)
    player.sign_up()
    page.get_by_role("link", name=player.account.name).focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="Change your password").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Change your password")).to_be_visible()
    old, new = player.account.password, "another long sentence of words"
    page.get_by_label("Old password").focus()
    for text in (old, new, new):
        page.keyboard.type(text)
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.locator(".messages")).to_contain_text("Your password is changed")
    player.log_out()
    player.log_in(password=new)
    expect(page.get_by_role("button", name="Log out")).to_be_visible()


def test_a_forgotten_password_leads_to_a_neutral_answer(page: Page) -> None:
    page.goto("/accounts/login/")
    page.get_by_role("link", name="Forgot your password?").click()
    page.get_by_label("E-mail address").fill("unknown@example.org")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Look into your mailbox")).to_be_visible()


def test_data_is_downloaded_and_the_account_deleted_without_javascript(new_page: NewPage) -> None:
    player = Player(new_page(java_script_enabled=False))
    player.sign_up()
    page = player.page
    page.goto("/accounts/")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download your data").click()
    assert json.loads(download.value.path().read_text())["account"]["email"] == player.account.email
    page.get_by_role("link", name="Delete your account").click()
    page.get_by_label("Your password").fill(player.account.password)
    page.get_by_role("button", name="Delete everything").click()
    expect(page.locator(".messages")).to_contain_text("are deleted")
    player.log_in()
    expect(page.get_by_role("alert")).to_contain_text("don’t go together")
