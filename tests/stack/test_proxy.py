"""What nginx answers by itself: when the application is away, and when somebody tries too many passwords."""

from collections.abc import Iterator

import pytest

from support.proxy import Proxy
from support.shell import eventually
from support.stack import Stack

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
