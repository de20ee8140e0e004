"""Players at a fixed rate: requests leave on time whether or not earlier ones have been answered, as visitors' do."""

import asyncio
import dataclasses
import itertools
import json
import ssl
import threading
import time
from collections.abc import Callable
from typing import Any, Self

import httpx

# What visitors ask. Not /readyz: it has a deadline, which a busy machine misses without a fault of the switch.
PAGES = ("/accounts/login/", "/api/challenge/today", "/api/leaderboard", "/accounts/signup/")
# Accounts without a password, logged in from inside: no login, whose hash is slow on purpose, is part of the load.
MAKE_PLAYERS = """
import json
from django.test import Client
from users.models import User
clients = []
for number in range({count}):
    user, _ = User.objects.get_or_create(email=f"load{{number}}@example.org", defaults={{"password": "!"}})
    clients.append(client := Client())
    client.force_login(user)
print("players:" + json.dumps([client.cookies["sessionid"].value for client in clients]))
"""
COUNT_ANSWERS = "SELECT count(*) FROM flags_useranswer a JOIN users_user u ON u.id = user_id WHERE email LIKE 'load%'"
CSRF = "a" * 32  # a cookie of our own: it only has to be what the header says


@dataclasses.dataclass
class Player:
    """A client that is logged in and answers one question after the other."""

    session: str
    answers: int = 0
    busy: bool = False


def make_players(manage: Callable[..., str], count: int = 40) -> list[Player]:
    """`manage` runs Django's manage.py. An account may answer once a second: so many are needed for the rate."""
    said = manage("shell", "--verbosity", "0", "--command", MAKE_PLAYERS.format(count=count))
    return [Player(session) for session in json.loads(said.partition("players:")[2].splitlines()[0])]


class Load:
    """`with Load(...) as load: …; load.failures == []`: what was asked meanwhile, and what went wrong.

    Each request comes on a connection of its own, as a new visitor's does. Every fourth is a player's: a question, and
    its answer; `answers` counts those that were confirmed with 201, so the database has to have as many.
    """

    def __init__(self, url: str, ca: str, players: list[Player], rate: float = 50) -> None:
        self.url, self.rate, self.players = url, rate, players
        self.tls = ssl.create_default_context(cafile=ca)
        self.failures: list[str] = []
        self.slowest = 0.0
        self.requests = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    @property
    def answers(self) -> int:
        """How many answers were confirmed."""
        return sum(player.answers for player in self.players)

    def __str__(self) -> str:
        return (
            f"{self.requests} requests at {self.rate:.0f}/s, {self.answers} answers, {len(self.failures)} failed, "
            f"the longest took {self.slowest * 1000:.0f} ms"
        )

    async def _run(self) -> None:
        pages, players = itertools.cycle(PAGES), itertools.cycle(self.players)
        started = time.monotonic()
        async with asyncio.TaskGroup() as tasks:
            for number in itertools.count():
                if self._stop.is_set():
                    return
                await asyncio.sleep(started + number / self.rate - time.monotonic())
                if number % 4:
                    tasks.create_task(self._ask("GET", next(pages)))
                elif not (player := next(players)).busy:  # an answer is two requests, one after the other
                    tasks.create_task(self._play(player))

    async def _play(self, player: Player) -> None:
        player.busy = True
        question = await self._ask("POST", "/api/practice", player)
        if question:
            body = {"question_id": question["id"], "country_code": question["options"][0]["code"]}
            player.answers += await self._ask("POST", "/api/answers", player, body) is not None
        player.busy = False

    async def _ask(self, method: str, path: str, player: Player | None = None, body: Any = None) -> Any:
        """What was answered, or None: then it is among the failures."""
        who: dict[str, Any] = {}
        if player:
            who["cookies"] = {"sessionid": player.session, "csrftoken": CSRF}
            who["headers"] = {"X-CSRFToken": CSRF, "Referer": f"{self.url}/"}
        started = time.monotonic()
        self.requests += 1
        common: dict[str, Any] = {"base_url": self.url, "verify": self.tls, "trust_env": False, "timeout": 20}
        try:
            async with httpx.AsyncClient(**common, **who) as client:
                answer = await client.request(method, path, json=body)
            if answer.is_success:
                return answer.json() if player else answer
            self.failures.append(f"{method} {path}: {answer.status_code} {answer.text[:200]}")
        except httpx.HTTPError as error:
            self.failures.append(f"{method} {path}: {error!r}")
        finally:
            self.slowest = max(self.slowest, time.monotonic() - started)
        return None
