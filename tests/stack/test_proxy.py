"""nginx: its own error responses, the one-second cache, the rate limits."""

import contextlib
import functools
import json
import socket
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from support.load import CSRF, Player, make_players
from support.ops import Ops
from support.postgres import Postgres
from support.proxy import Proxy, another_proxy
from testing.shell import eventually, run
from testing.stack import Stack

pytestmark = pytest.mark.last


@pytest.fixture(scope="class")
def without_app(stack: Stack, proxy: Proxy) -> Iterator[Proxy]:
    """The proxy, with the application stopped."""
    stack.stop("app")
    yield proxy
    stack.start("app")
    eventually(lambda: proxy.get("/readyz").status_code == 200, within=30)


class TestWithoutTheApplication:
    @pytest.mark.parametrize("path", ["/", "/healthz", "/readyz", "/api/challenge/today"])
    def test_every_path_returns_503(self, without_app: Proxy, path: str) -> None:
        assert without_app.get(path).status_code == 503

    def test_a_browser_gets_a_page_with_its_style_sheet(self, without_app: Proxy) -> None:
        page = without_app.get("/")
        assert "back in a moment" in page.text
        assert page.headers["retry-after"] == "5"
        assert f"<code>{page.headers['x-request-id']}</code>" in page.text
        assert "style-src 'self'" in page.headers["content-security-policy"]
        assert without_app.get("/error-pages/site.css").headers["content-type"] == "text/css"

    def test_an_api_client_gets_the_apis_error(self, without_app: Proxy) -> None:
        answer = without_app.get("/api/challenge/today")
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


def logged(stack: Stack, *answers: httpx.Response) -> list[dict[str, Any]]:
    """nginx's lines about the requests that were answered so, one each."""
    lines = [line.partition("| ")[2] for line in stack.logs("proxy", since="1m").splitlines()]
    entries = [json.loads(line) for line in lines if line.startswith('{"time"')]
    ids = [answer.headers["x-request-id"] for answer in answers]
    found = [entry for entry in entries if entry["request_id"] in ids]
    assert sorted(entry["request_id"] for entry in found) == sorted(ids)
    return found


@pytest.fixture(scope="class")
def known(stack: Stack) -> Player:
    (one,) = make_players(lambda *words: stack.exec("app", "python", "manage.py", *words), count=1)
    return one


class TestLog:
    """One line a request, nginx's. Figures of the application come in a response header that clients don't get."""

    @pytest.mark.parametrize("path", ["/statistics/", "/api/me/statistics"])
    def test_a_players_line_has_their_id_and_figures(
        self, stack: Stack, proxy: Proxy, known: Player, path: str
    ) -> None:
        with player(proxy, known) as client:
            user_id = client.get("/api/session").json()["user"]["id"]
            answer = client.get(path)
        (line,) = logged(stack, answer)
        assert (line["path"], line["status"], line["user_id"]) == (path, 200, user_id)
        assert line["queries"] >= 1
        assert 0 < line["database_ms"] < 1000 * line["seconds"]
        assert answer.headers["x-request-id"] not in stack.logs("app", since="1m")

    def test_an_id_leads_through_nginx_the_application_and_the_database(
        self, stack: Stack, proxy: Proxy, known: Player, postgres: Postgres
    ) -> None:
        """Of an answer that waits for a lock: both logs have it because it was slow."""

        def give_answer(client: httpx.Client) -> httpx.Response:
            question = client.post("/api/practice").json()
            body = {"question_id": question["id"], "country_code": question["options"][0]["code"]}
            return client.post("/api/answers", json=body)

        with postgres.connect("migrator") as owner, player(proxy, known) as client, ThreadPoolExecutor(1) as pool:
            give_answer(client)  # the first one makes the row of the totals
            time.sleep(1)  # an account may answer once a second
            with owner.transaction():
                owner.execute("SELECT FROM users_userstats FOR UPDATE")
                answering = pool.submit(give_answer, client)
                time.sleep(1.5)
            answer = answering.result()
        assert answer.status_code == 201, answer.text
        words = ("logs", "--since", "1m", "--request-id", answer.headers["x-request-id"], "--json")
        lines = eventually(lambda: Ops(stack)(*words).json, within=10)
        assert {line["service"] for line in lines} == {"proxy", "app", "postgres"}
        assert any("duration: " in line["text"] for line in lines if line["service"] == "postgres")

    @pytest.mark.parametrize(
        "path",
        [
            "/",
            "/leaderboard/",
            "/nothing",
            "/api/nothing",
            "/api/session",
            "/api/leaderboard",
            "/static/x",
            "/flags/x.svg",
        ],
    )
    def test_no_client_sees_the_figures(self, proxy: Proxy, known: Player, path: str) -> None:
        with player(proxy, known) as client:
            answers = [client.get(path) for _ in range(2)]  # the second may come from the cache
        assert not [name for answer in answers for name in answer.headers if "metrics" in name]

    def test_a_client_cannot_forge_them(self, stack: Stack, proxy: Proxy) -> None:
        forged = {"X-App-Metrics": "user=1 queries=99 database_ms=9.9", "User-Agent": '","user_id":1,"x":"'}
        (line,) = logged(stack, proxy.get("/api/csrf?user=1 queries=99 database_ms=9.9", headers=forged))
        assert (line["user_id"], line["queries"], line["agent"]) == (None, 0, forged["User-Agent"])

    def test_a_response_from_the_cache_has_no_figures(self, stack: Stack, proxy: Proxy, known: Player) -> None:
        """They would be those of the player whose request made it."""
        path = "/api/leaderboard?limit=96"  # no other test requests it
        with player(proxy, known) as client:
            lines = logged(stack, *(client.get(path) for _ in range(20)))
        hits = [line for line in lines if line["cache"] == "HIT"]
        assert hits
        assert {(line["user_id"], line["queries"], line["database_ms"]) for line in hits} == {(None, None, None)}
        assert {line["queries"] for line in lines if line["cache"] != "HIT"} == {1}


class TestOneSecondCache:
    """Responses with Cache-Control: public. nginx's log lines say which requests it passed to the application."""

    PATH = "/api/leaderboard?limit=97"  # no other test requests it

    def reached_app(self, stack: Stack, answers: list[httpx.Response]) -> int:
        """How many of these requests reached the application."""
        return sum(line["upstream_seconds"] != "" for line in logged(stack, *answers))

    def test_many_requests_in_a_second_reach_the_application_once(self, stack: Stack, proxy: Proxy) -> None:
        with proxy.client() as client:
            answers = [client.get(self.PATH) for _ in range(20)]
        assert {answer.status_code for answer in answers} == {200}
        assert len({answer.headers["x-request-id"] for answer in answers}) == 20
        assert 1 <= self.reached_app(stack, answers) < 10

    def test_it_expires_after_a_second(self, stack: Stack, proxy: Proxy) -> None:
        first = proxy.get(self.PATH)
        time.sleep(2.1)  # nginx counts whole seconds
        assert self.reached_app(stack, [first, proxy.get(self.PATH)]) >= 1
        assert self.reached_app(stack, [proxy.get(self.PATH)]) == 0

    def test_a_players_challenge_is_not_cached_for_others(self, stack: Stack, proxy: Proxy) -> None:
        """Guests and players alternate within the second."""
        one, other = make_players(lambda *words: stack.exec("app", "python", "manage.py", *words), count=2)
        with proxy.client() as guest, player(proxy, one) as first, player(proxy, other) as second:
            question = guest.get(CHALLENGE).json()["question"]
            answer = {"question_id": question["id"], "country_code": question["options"][0]["code"]}
            assert first.post("/api/answers", json=answer).status_code in (
                201,
                409,
            )  # 409: answered in an earlier run (KEEP_STACK)
            seen = [client.get(CHALLENGE).json()["answer"] for client in (guest, first, second, guest, first)]
        assert [answer is not None for answer in seen] == [False, True, False, False, True]

    def test_another_host_name_gets_no_cached_response(self, proxy: Proxy) -> None:
        assert proxy.get(self.PATH).status_code == 200
        assert proxy.get(self.PATH, headers={"Host": "evil.example"}).status_code == 400

    @pytest.mark.parametrize(
        "path",
        [  # each with a limit of its own: another's response would be in the cache
            "/api/leaderboard?limit=90&_={}",
            "/api/leaderboard?_={}&limit=91",
            "/api/leaderboard?limit=92&limit={}",
            "/api/leaderboard?limit=93&{}",
            "/api/countries/most-guessed?_={}",
        ],
    )
    def test_a_query_string_does_not_pass_the_cache(self, stack: Stack, proxy: Proxy, path: str) -> None:
        with proxy.client() as client:
            answers = [client.get(path.format(number)) for number in range(1000, 1020)]
        assert {answer.status_code for answer in answers} == {200}
        assert 1 <= self.reached_app(stack, answers) < 10

    @pytest.mark.parametrize("limit", ["0", "101", "097", "%2B97", "97%20", "abc", "-1", "9" * 30])
    def test_a_limit_that_is_none_is_an_error_of_the_api(self, proxy: Proxy, limit: str) -> None:
        assert proxy.get(f"/api/leaderboard?limit={limit}").status_code == 422

    def test_a_host_name_in_capitals_does_not_pass_the_cache(self, stack: Stack, proxy: Proxy) -> None:
        with proxy.client() as client:
            names = ("localhost", "LOCALHOST", "Localhost", "localhost:1", "localhost:2")
            path = "/api/leaderboard?limit=94"  # no other test requests it
            answers = [client.get(path, headers={"Host": name}) for name in 3 * names]
        assert {answer.status_code for answer in answers} == {200}
        assert 1 <= self.reached_app(stack, answers) < 10

    def test_a_cached_path_still_rejects_other_methods(self, proxy: Proxy) -> None:
        with proxy.client() as client:
            assert client.get(self.PATH).status_code == 200
            assert client.head(self.PATH).status_code == 405


# --- Slow clients -----------------------------------------------------------------------------------------------------

SLOW = 100  # of each kind: many times the application's workers
HEADER = b"POST /api/none HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


def test_slow_headers_and_bodies_do_not_slow_others(proxy: Proxy) -> None:
    """nginx waits for them, for 10 s, and gunicorn's workers do not."""
    with contextlib.ExitStack() as slow:
        for beginning in (HEADER, HEADER + b"Content-Length: 60000\r\n\r\n{"):
            for _ in range(SLOW):
                connection = slow.enter_context(
                    socket.create_connection(("localhost", httpx.URL(proxy.http).port or 80))
                )
                connection.sendall(beginning)
        with proxy.client(timeout=30) as client:
            started = time.monotonic()
            assert {client.get("/leaderboard/").status_code for _ in range(5)} == {200}
        assert time.monotonic() - started < 5


# --- Rate limits: docker/proxy/nginx.conf -----------------------------------------------------------------------------

REQUESTS_BURST, ANSWERS_BURST, LOGINS_BURST = 200, 60, 20


def until_refused(client: httpx.Client, method: str, path: str, most: int) -> list[httpx.Response]:
    """The responses to requests as fast as the client sends them, up to the first 429."""
    responses: list[httpx.Response] = []
    while len(responses) < most and not (responses and responses[-1].status_code == 429):
        responses.append(client.request(method, path))
    return responses


def play(proxy: Proxy, one: Player) -> list[int]:
    """A page, a question and its answer: the statuses."""
    with player(proxy, one) as client:
        page, question = client.get("/"), client.post("/api/practice")
        answer = {"question_id": question.json()["id"], "country_code": question.json()["options"][0]["code"]}
        return [page.status_code, question.status_code, client.post("/api/answers", json=answer).status_code]


def test_a_class_of_thirty_plays_behind_one_address(stack: Stack, proxy: Proxy) -> None:
    players = make_players(lambda *words: stack.exec("app", "python", "manage.py", *words), count=30)
    with ThreadPoolExecutor(len(players)) as pool:
        assert list(pool.map(functools.partial(play, proxy), players)) == [[200, 200, 201]] * len(players)


def test_cached_files_have_no_limit(proxy: Proxy) -> None:
    with proxy.client() as client:
        assert {client.get("/static/site.css").status_code for _ in range(3 * REQUESTS_BURST)} == {200}


class TestPagesAndApi:
    def test_a_flood_of_api_requests_gets_the_apis_error(self, proxy: Proxy) -> None:
        with proxy.client() as client:
            *accepted, refused = until_refused(client, "GET", "/api/leaderboard", most=20 * REQUESTS_BURST)
        assert len(accepted) >= REQUESTS_BURST
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "too_many_requests"
        assert refused.headers["retry-after"] == "60"

    def test_pages_count_with_it_and_get_a_page(self, proxy: Proxy) -> None:
        with proxy.client() as client:
            for _ in range(20):  # a page that takes longer than 10 ms lets the next request through
                until_refused(client, "GET", "/api/leaderboard", most=20 * REQUESTS_BURST)
                if (refused := client.get("/")).status_code == 429:
                    break
        assert refused.status_code == 429
        assert refused.headers["content-type"] == "text/html"
        assert "That was very fast!" in refused.text

    def test_after_a_flood_requests_are_served_again(self, proxy: Proxy) -> None:
        eventually(lambda: proxy.get("/api/leaderboard").status_code == 200, within=5)


@pytest.mark.parametrize("path", ["/questions/1/", "/api/answers", "/api/practice"])
def test_a_flood_of_answers_is_refused(proxy: Proxy, path: str) -> None:
    time.sleep(ANSWERS_BURST / 30)  # the previous test has used the burst
    with proxy.client() as client:
        *accepted, refused = until_refused(client, "POST", path, most=20 * ANSWERS_BURST)
    assert len(accepted) >= ANSWERS_BURST
    assert refused.status_code == 429
    assert proxy.get("/").status_code == 200  # reading goes on


@pytest.fixture(scope="module")
def logins(proxy: Proxy) -> list[httpx.Response]:
    """The responses to login attempts, as fast as they go, up to the first 429."""
    with proxy.client() as client:
        return until_refused(client, "POST", "/accounts/login/", most=5 * LOGINS_BURST)


def test_a_burst_of_logins_reaches_the_application_and_no_more(logins: list[httpx.Response]) -> None:
    assert logins[-1].status_code == 429
    assert len(logins) > LOGINS_BURST


def test_a_refused_login_page_says_when_to_try_again(logins: list[httpx.Response]) -> None:
    assert "try again in a minute" in logins[-1].text
    assert logins[-1].headers["retry-after"] == "60"


@pytest.mark.parametrize(
    "path",
    [
        "/accounts/signup/",
        "/admin/login/",
        "/accounts//login/",
        "/accounts/%6cogin/",
        "/accounts/password/",
        "/accounts/password/reset/",
        "/accounts/signup/confirm/",
        "/accounts/export/",
        "/accounts/delete/",
    ],
)
def test_every_way_to_log_in_counts(proxy: Proxy, logins: list[httpx.Response], path: str) -> None:
    with proxy.client() as client:
        assert 429 in [client.post(path).status_code for _ in range(3)]


def test_a_refused_api_login_gets_the_apis_error(proxy: Proxy, logins: list[httpx.Response]) -> None:
    with proxy.client() as client:
        answers = [client.post("/api/session", json={}) for _ in range(3)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.json()["error"]["code"] == "too_many_requests"


def test_reading_the_login_page_is_not_limited_by_login_attempts(proxy: Proxy, logins: list[httpx.Response]) -> None:
    assert proxy.get("/accounts/login/").status_code == 200


REQUESTS = r"""
request=$1
shift
for address; do
    exec 3<>/dev/tcp/127.0.0.1/8000
    printf "$request"' HTTP/1.0\r\nHost: localhost\r\nX-Forwarded-For: %s\r\n\r\n' "$address" >&3
    read -r _ status _ <&3
    echo "$status"
done
"""


@pytest.fixture(scope="class")
def second_proxy(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Another proxy of the stack, which trusts its own address: X-Forwarded-For tells it the client's."""
    exempt = tmp_path_factory.mktemp("proxy") / "limits_exempt.conf"
    exempt.write_text("192.0.2.0/24 1;\n")
    options = ("--env", "TRUSTED_PROXIES=127.0.0.1", "--volume", f"{exempt}:/etc/nginx/limits_exempt.conf:ro")
    with another_proxy(stack, *options) as container:
        yield container


class TestClientAddress:
    def logins(self, container: str, addresses: Iterable[str]) -> list[str]:
        return self.requests(container, "POST /accounts/login/", addresses)

    def requests(self, container: str, request: str, addresses: Iterable[str]) -> list[str]:
        return run("docker", "exec", container, "bash", "-c", REQUESTS, "-", request, *addresses).stdout.split()

    def test_an_ipv6_network_is_one_client(self, second_proxy: str) -> None:
        statuses = self.logins(second_proxy, [f"2001:db8:0:1::{host:x}" for host in range(1, 25)])
        assert statuses[:LOGINS_BURST] == ["403"] * LOGINS_BURST
        assert statuses[-1] == "429"
        assert self.logins(second_proxy, ["2001:db8:0:1:a:b:c:d", "2001:db8:0:2::1"]) == ["429", "403"]

    def test_ipv4_neighbours_are_clients_of_their_own(self, second_proxy: str) -> None:
        assert self.logins(second_proxy, ["198.51.100.1"] * 24)[-1] == "429"
        assert self.logins(second_proxy, ["198.51.100.2"]) == ["403"]

    def test_the_admin_is_for_networks_of_the_clients_address_and_no_client_chooses_it(self, second_proxy: str) -> None:
        """Development's default is private networks."""
        addresses = {"10.1.2.3": "200", "fd00::1": "200", "198.51.100.9": "404", "10.1.2.3, 198.51.100.9": "404"}
        assert self.requests(second_proxy, "GET /admin/login/", addresses) == list(addresses.values())

    def test_an_exempt_network_has_no_limit(self, second_proxy: str) -> None:
        assert self.logins(second_proxy, ["192.0.2.7"] * 40) == ["403"] * 40
