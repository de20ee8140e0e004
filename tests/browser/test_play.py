"""Playing, with the keyboard, a finger, and without JavaScript."""

import re

import pytest
from playwright.sync_api import Browser, Page, expect

from browser.player import KEYS, Account, NewPage, Player, Screenshot


@pytest.fixture(scope="session")
def todays_country(browser: Browser, base_url: str) -> str:
    """Today's country, learnt by answering: the site shows it afterwards only."""
    page = browser.new_page(base_url=base_url, ignore_https_errors=True)
    scout = Player(page)
    scout.sign_up()
    country = scout.answer_today("1")
    page.close()
    return country


def test_a_guest_sees_todays_flag_and_is_asked_to_sign_up(page: Page, screenshot: Screenshot) -> None:
    page.goto("/")
    flag = page.get_by_alt_text("Flag to guess")
    expect(flag).to_be_visible()
    assert flag.evaluate("image => image.complete && image.naturalWidth > 0"), "the flag is drawn"
    expect(page.get_by_role("link", name="Sign up to answer")).to_be_visible()
    assert page.get_by_role("button").count() == 0
    screenshot(page, "today-guest")


def test_a_right_answer_by_keyboard_begins_a_streak(
    player: Player, todays_country: str, screenshot: Screenshot
) -> None:
    screenshot(player.page, "today-open")
    assert player.streak == "Streak: 0 days"
    player.press(KEYS[player.options.index(todays_country)])
    assert player.verdict.startswith(f"Right! It’s {todays_country}")
    assert player.streak == "Streak: 1 day"
    expect(player.page.locator("#announcer")).to_contain_text(f"It’s {todays_country}")
    screenshot(player.page, "today-right")
    player.page.reload()
    assert player.streak == "Streak: 1 day", "the answer is kept"
    assert player.verdict.startswith("Right!"), "and the question is not asked again"


def test_a_wrong_answer_shows_the_right_one(player: Player, todays_country: str, screenshot: Screenshot) -> None:
    wrong = next(name for name in player.options if name != todays_country)
    player.page.get_by_role("button", name=wrong, exact=True).click()
    expect(player.page.locator("#verdict")).to_contain_text(f"Not quite. It’s {todays_country}")
    expect(player.page.locator("#verdict")).to_contain_text(f"You said {wrong}")
    expect(player.page.get_by_alt_text(f"Flag of {todays_country}")).to_be_visible()
    assert player.streak == "Streak: 0 days"
    screenshot(player.page, "today-wrong")


def test_tab_and_enter_are_enough(player: Player) -> None:
    for _ in range(30):
        player.page.keyboard.press("Tab")
        if player.page.evaluate("document.activeElement.matches('button.option')"):
            break
    player.page.keyboard.press("Enter")
    expect(player.page.locator("#verdict")).to_be_visible()
    assert player.page.evaluate("document.activeElement.innerText").startswith("Practise")


def test_practice_goes_on_with_one_hand_on_the_keyboard(player: Player, screenshot: Screenshot) -> None:
    player.page.goto("/practice/")
    pictures = []
    for key in "123":
        pictures.append(player.page.get_by_alt_text("Flag to guess").get_attribute("src"))
        player.press(key)
        expect(player.page.get_by_role("link", name="Next flag")).to_be_focused()
        if key == "3":
            screenshot(player.page, "practice-answered")
        player.page.keyboard.press("Enter")
        expect(player.page.get_by_alt_text("Flag to guess")).to_be_visible()
    assert len(set(pictures)) == 3
    player.page.goto("/statistics/")
    expect(player.page.get_by_text(re.compile("of 3$"))).to_be_visible()


def test_neither_page_nor_picture_says_whose_flag_it_is(player: Player) -> None:
    for path in ("/", "/practice/"):
        player.page.goto(path)
        picture = player.page.get_by_alt_text("Flag to guess").get_attribute("src") or ""
        assert re.fullmatch(r"/flags/[0-9a-f]{32}\.svg", picture)
        drawn = player.page.request.get(picture).text()
        assert not [name for name in player.options if name.lower() in drawn.lower()]


def test_a_second_tab_cannot_answer_again(player: Player) -> None:
    player.page.goto("/practice/")
    second = Player(player.page.context.new_page(), player.account)
    second.page.goto("/practice/")
    assert second.options == player.options
    player.press("1")
    second.press("2")
    assert second.verdict == player.verdict
    assert second.page.locator(".option").all_inner_texts() == player.page.locator(".option").all_inner_texts()


def test_a_session_that_ended_leads_to_the_login_page(player: Player) -> None:
    player.page.goto("/practice/")
    player.page.context.clear_cookies(name="sessionid")
    player.page.keyboard.press("1")
    expect(player.page.get_by_role("heading", name="Welcome back")).to_be_visible()


def test_without_javascript_everything_still_works(new_page: NewPage, screenshot: Screenshot) -> None:
    player = Player(new_page(java_script_enabled=False))
    player.sign_up()
    player.page.get_by_role("button", name=player.options[0], exact=True).click()
    expect(player.page.locator("#verdict")).to_be_visible()
    player.page.get_by_role("link", name="Practise more").click()
    player.page.get_by_role("button", name=player.options[2], exact=True).click()
    expect(player.page.locator("#verdict")).to_be_visible()
    screenshot(player.page, "practice-without-javascript")
    player.page.get_by_role("link", name="Next flag").click()
    expect(player.page.get_by_alt_text("Flag to guess")).to_be_visible()
    player.log_out()


def test_on_a_phone_one_hand_is_enough(new_page: NewPage, regular: Account, screenshot: Screenshot) -> None:
    page = new_page(
        viewport={"width": 360, "height": 740}, has_touch=True, is_mobile=True, storage_state=regular.storage_state
    )
    page.goto("/practice/")
    options = page.locator("button.option")
    boxes = [box for option in options.all() if (box := option.bounding_box())]
    assert all(box["height"] >= 44 for box in boxes), "large enough for a thumb"
    assert boxes[-1]["y"] + boxes[-1]["height"] <= 740, "flag and answers fit on one screen"
    screenshot(page, "phone-practice")
    options.first.tap()
    expect(page.locator("#verdict")).to_be_visible()
    screenshot(page, "phone-practice-answered")
