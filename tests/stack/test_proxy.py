"""What nginx answers by itself: when the application is away, and when somebody tries too many passwords."""

import time
from collections.abc import Iterator

import httpx
import pytest

from support.load import CSRF, Player, make_players
from support.proxy import Proxy
from testing.shell import eventually
from testing.stack import Stack

pytestmark = pytest.mark.last


@pytest.fixture(scope="class")
def away(stack: Stack, proxy: Proxy) -> Iterator[Proxy]:
    """The proxy, with the application stopped."""
    stack.stop("app")
    yield proxy
    stack.start("app")
    eventually(lambda: proxy.get("/readyz").status_code == 200, within=30)


class TestWithoutTheApplication:
    @pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/api/challenge/today"])
    def test_nothing_says_that_all_is_well(self, away: Proxy, path: str) -> None:
        assert away.get(path).status_code == 503

    def test_a_person_gets_a_page_with_its_style(self, away: Proxy) -> None:
        page = away.get("/")
        assert "back in a moment" in page.text
        assert page.headers["retry-after"] == "5"
        assert "style-src 'self'" in page.headers["content-security-policy"]
        assert away.get("/error-pages/site.css").headers["content-type"] == "text/css"

    def test_a_program_gets_json_in_the_apis_shape(self, away: Proxy) -> None:
        answer = away.get("/api/challenge/today")
        assert answer.headers["content-type"] == "application/json"
        assert set(answer.json()["error"]) == {"code", "message", "request_id"}
        assert answer.json()["error"]["code"] == "unavailable"


CHALLENGE = "/api/challenge/today"


def player(proxy: Proxy, player: Player) -> httpx.Client:
    """A client that is logged in."""
    return proxy.client(
        cookies={"sessionid": player.session, "csrftoken": CSRF},
        headers={"X-CSRFToken": CSRF, "Referer": f"{proxy.https}/"},
    )


class TestWhatIsKeptForASecond:
    """Answers that say that they are the same for everybody; ids tell apart which request the application saw."""

    PATH = "/api/leaderboard?limit=97"  # nobody else asks for it

    def asked(self, stack: Stack, answers: list[httpx.Response]) -> int:
        """How many of these requests reached the application."""
        log = stack.logs("app", since="1m")
        return sum(answer.headers["x-request-id"] in log for answer in answers)

    def test_a_crowd_is_one_request(self, stack: Stack, proxy: Proxy) -> None:
        with proxy.client() as client:
            answers = [client.get(self.PATH) for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.headers["x-request-id"] for answer in answers}) == 20
        assert 1 <= self.asked(stack, answers) < 10

    def test_it_is_made_again_after_a_second(self, stack: Stack, proxy: Proxy) -> None:
        first = proxy.get(self.PATH)
        time.sleep(2.1)  # nginx counts whole seconds
        assert self.asked(stack, [first, proxy.get(self.PATH)]) >= 1
        assert self.asked(stack, [proxy.get(self.PATH)]) == 0

    def test_a_players_challenge_is_their_own(self, stack: Stack, proxy: Proxy) -> None:
        """However guests and players take turns, within the second too."""
        one, other = make_players(lambda *words: stack.exec("app", "python", "manage.py", *words), count=2)
        with proxy.client() as guest, player(proxy, one) as first, player(proxy, other) as second:
            question = guest.get(CHALLENGE).json()["question"]
            answer = {"question_id": question["id"], "country_code": question["options"][0]["code"]}
            assert first.post("/api/answers", json=answer).status_code in (201, 409)  # 409: a kept stack's, from before
            seen = [client.get(CHALLENGE).json()["answer"] for client in (guest, first, second, guest, first)]
        assert [answer is not None for answer in seen] == [False, True, False, False, True]

    def test_another_host_gets_nothing_of_it(self, proxy: Proxy) -> None:
        assert proxy.get(self.PATH).status_code == 200
        assert proxy.get(self.PATH, headers={"Host": "evil.example"}).status_code == 400

    def test_a_method_that_the_api_does_not_have_is_refused_as_ever(self, proxy: Proxy) -> None:
        with proxy.client() as client:
            assert client.get(self.PATH).status_code == 200
            assert client.head(self.PATH).status_code == 405


BURST = 20  # docker/proxy/nginx.conf


@pytest.fixture(scope="module")
def statuses(proxy: Proxy) -> list[int]:
    """What somebody gets who tries passwords as fast as they can, until they are refused."""
    tried: list[int] = []
    with proxy.client() as client:
        while 429 not in tried and len(tried) < 5 * BURST:
            tried.append(client.post("/accounts/login/").status_code)
    return tried


def test_a_burst_of_logins_reaches_the_application_and_no_more(statuses: list[int]) -> None:
    assert statuses.index(429) >= BURST


def test_a_person_is_told_when_to_come_back(proxy: Proxy, statuses: list[int]) -> None:
    with proxy.client() as client:
        refused = next(answer for _ in range(3) if (answer := client.post("/accounts/login/")).status_code == 429)
    assert "try again in a minute" in refused.text
    assert refused.headers["retry-after"] == "60"


def test_the_api_refuses_in_its_own_shape(proxy: Proxy, statuses: list[int]) -> None:
    with proxy.client() as client:
        answers = [client.post("/api/session", json={}) for _ in range(3)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "too_many_requests"


def test_reading_is_not_limited(proxy: Proxy, statuses: list[int]) -> None:
    assert proxy.get("/accounts/login/").status_code == 200
