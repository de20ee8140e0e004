"""Rate, p99 and CPU time of the game's endpoints: ours, cookiecutter-django's, ours with one choice undone."""

import json
from collections.abc import Iterable, Mapping

from bench import http_load, stacks
from bench.core import Question, Samples, at_least, at_most
from bench.results import Aim, Row, Table
from testing.stack import Stack

FEW, MANY = 4, 8  # connections, the same for all arms; of 2, 4, 8 and 16, 4 brought both main arms most requests/s
ANSWERS_PER_SECOND = 2000  # questions that are prepared; each is answered once
OURS, THEIRS = "ours", "cookiecutter"
TITLES = {
    OURS: "ours (3 workers, unix socket, PgBouncer, TLS on every leg)",
    "one-worker": "ours, but: 1 worker",
    "reconnecting": "ours, but: a connection per request (CONN_MAX_AGE = 0)",
    "unprepared": "ours, but: no prepared statements",
    "direct": "ours, but: no pooler: TLS to PostgreSQL",
    "reset": "ours, but: DISCARD ALL after each transaction, as in development",
    "djangos-session": "ours, but: Django's session engine, and the answer stored under a lock",
    THEIRS: "cookiecutter-django (4 workers, TLS at its proxy alone, no pooler)",
}
OVERLAYS = ("direct", "reset")  # arms that are an overlay; the others are settings (inside/bench_changed.py)
SETTINGS: dict[str, Mapping[str, object]] = {
    "reconnecting": {"database": {"CONN_MAX_AGE": 0}},
    "unprepared": {"options": {"prepare_threshold": None}},
    "djangos-session": {"session_engine": "django.contrib.sessions.backends.db"},
}
PAGES = {"/api/challenge/today": '"question"', "/api/leaderboard": '"rank"', "/api/me/statistics": '"accuracy"'}
CHALLENGE, LEADERBOARD, STATISTICS = (f"GET {path} {{session}}" for path in PAGES)
POST = 'POST /api/answers {session} {{"question_id": {id}, "country_code": "{code}"}}'
PLAYERS_CHALLENGE, ANSWER, OWN_STATISTICS = "today's challenge, a player", "answer", "own statistics"
MIX = "the four of a player in turn"
# The requests for each practice question that waits for its player's answer.
LOADS = {
    "today's challenge, a guest": CHALLENGE.removesuffix(" {session}"),
    PLAYERS_CHALLENGE: CHALLENGE,
    ANSWER: POST,
    "leaderboard": LEADERBOARD,
    OWN_STATISTICS: STATISTICS,
    MIX: "\n".join([CHALLENGE, POST, LEADERBOARD, STATISTICS]),
}
ASK = """
    WITH asked AS (
        INSERT INTO flags_question (kind, country_id, user_id, options, is_open, created_at)
        SELECT 'practice', c, u.id, ARRAY[c + 1, c, c + 2, c + 3], false, now()
        FROM generate_series(1, :each) AS n, users_user AS u, (SELECT min(id) AS first FROM flags_country) AS country,
             LATERAL (SELECT first + (u.id + n) % 190 AS c) AS x
        WHERE u.email LIKE 'bench%' ORDER BY n, u.id
        RETURNING id, user_id, country_id)
    SELECT asked.id, user_id, code FROM asked JOIN flags_country ON flags_country.id = country_id ORDER BY asked.id
"""


class Endpoints(Question):
    title = "The game's endpoints through the whole stack"
    takes = "10 minutes (90 s)"
    cases = tuple(LOADS)
    how = f"""The API as players use it, loaded by wrk in a container on the same machine over https and kept
        connections, without nginx's rate limits; each player has a session, and no two answers are to the same
        question. Rates are at {FEW} connections, the best number for both arms, p99 at {MANY} as well; the table of
        choices, and CPU time, at {MANY} alone. The clients are closed-loop."""
    notes = (
        """cookiecutter-django's arm has its settings, its middleware, its gunicorn line and its number of workers
        (.envs/.production/.django, compose/production/django/start: line 9, config/settings/base.py: line 51,
        production.py: line 34), Django's database backend and session engine, PostgreSQL's defaults, and nginx in the
        place of its Traefik (compose/production/traefik). The game's own code (fewer statements for an answer, what is
        cached for all) is the same in both.""",
        """Both arms share the machine's CPUs with their database and with wrk: a rate is what CPU time a request costs,
        in all containers together. The table of CPU time shows whose it is.""",
    )

    def start(self) -> None:
        self.arms = self.bench.choose(tuple(TITLES), (OURS, THEIRS))
        # An account may answer once per second.
        self.seconds, self.players = self.bench.choose((3, 2000), (1, 500))
        self.sessions: dict[str, dict[str, str]] = {}
        for arm in self.arms:
            self.bench.say(f"{self.name}: starting {arm}")
            self.stacks[arm] = self._stack(arm)
            self._load(arm, MIX, MANY, 1)  # warm
        self.versions = {"versions": stacks.versions(self.stacks[OURS])}

    def _stack(self, arm: str) -> Stack:
        if arm == THEIRS:
            secrets = self.stacks[OURS].variables["SECRETS_DIR"]
            stack = stacks.compose(self.bench, arm, stacks.overlay("cookiecutter"), SECRETS_DIR=secrets)
        else:
            overlays = [*[arm] * (arm in OVERLAYS), *["settings"] * (arm in SETTINGS)]
            given = {
                "BENCH_SETTINGS": json.dumps(SETTINGS.get(arm)),
                "WEB_CONCURRENCY": "1" if arm == "one-worker" else "3",
            }
            stack = stacks.production(self.bench, arm, "bench", "load", *overlays, **given)
            stack.build()
        stack.up("load", "proxy", "app")
        script = (stacks.INSIDE / "players.py").read_text()
        printed = stack.exec("app", "python", "-", str(self.players), stdin=script)
        self.sessions[arm] = json.loads(printed.strip().splitlines()[-1])
        for path, text in PAGES.items():
            http_load.check(stack, path, next(iter(self.sessions[arm].values())), text)
        return stack

    def _requests(self, arm: str, load: str, seconds: int) -> list[str]:
        """For new questions, of each player in turn."""
        each = -(-ANSWERS_PER_SECOND * seconds // self.players) if load in (ANSWER, MIX) else 1
        where = ("postgres", "/tmp") if arm == THEIRS else (self.stacks[arm].database, "/run/postgresql")  # noqa: S108
        rows = (line.split("|") for line in stacks.psql(self.stacks[arm], ASK, *where, each=each).splitlines())
        own = self.sessions[arm]
        return [LOADS[load].format(id=question, session=own[user], code=code) for question, user, code in rows]

    def _load(self, arm: str, load: str, connections: int, seconds: int) -> dict[str, float]:
        requests = self._requests(arm, load, seconds)
        pooler = ["pgbouncer"] * (arm not in (THEIRS, "direct"))
        cpu = stacks.cpu_time(self.stacks[arm], "proxy", "app", *pooler, "postgres")
        seen = http_load.wrk(self.stacks[arm], requests, connections, seconds)
        spent = cpu(seen["rps"] * seconds)
        return {**seen, **spent, "cpu sum": sum(spent.values())}

    def applies(self, arm: str, case: str) -> bool:
        return case == MIX or arm in (OURS, THEIRS)

    def measure(self, arm: str, case: str) -> dict[str, float]:
        seen = self._load(arm, case, MANY, self.seconds)
        if arm in (OURS, THEIRS):
            few = self._load(arm, case, FEW, self.seconds)
            seen |= {"few rps": few["rps"], "few p99": few["p99"], "errors": seen["errors"] + few["errors"]}
        return seen

    # ---------------------------------------------------------------- telling

    def aims(self, samples: Samples) -> Iterable[Aim]:
        faster = {load: samples.over("few rps", THEIRS)((OURS, load)) for load in LOADS}
        later = {load: samples.over("p99", THEIRS)((OURS, load)) for load in LOADS}
        own = (PLAYERS_CHALLENGE, ANSWER, OWN_STATISTICS)
        slowest, latest = min(own, key=lambda n: faster[n].median), max(LOADS, key=lambda n: later[n].median)
        yield at_least("what a player asks for, each: at least {} times", 1.3, faster[slowest], f" ({slowest})")
        yield at_least("the mix: at least {} times cookiecutter-django's requests/s", 1.5, faster[MIX])
        yield at_most("the mix: p99 at most {} of theirs", 0.8, later[MIX].median, f"{later[MIX]} ×")
        yield at_most("each endpoint's p99 at most {}", 0.8, later[latest].median, f"{later[latest]} × ({latest})")
        errors = sum(one["errors"] for (arm, _), rounds in samples.items() if arm == OURS for one in rounds)
        yield at_most("no errors", 0, errors, "{:.0f}")

    def tables(self, samples: Samples) -> Iterable[Table]:
        ours, mixed = {load: (OURS, load) for load in LOADS}, {title: (arm, MIX) for arm, title in TITLES.items()}
        ratios = {
            "times the requests/s": samples.over("few rps", THEIRS),
            f"p99 at {MANY} connections": samples.over("p99", THEIRS),
        }
        yield samples.table("Ours over cookiecutter-django's", ours, ratios, "times the requests/s", OURS)
        undone = {
            "requests/s": samples.of("rps", "requests/s", 0),
            "× ours": samples.over("rps", OURS),
            "p99": samples.of("p99", "ms"),
            "errors": samples.total("errors"),
        }
        yield samples.table(f"Each choice undone by itself ({MIX}, {MANY} connections)", mixed, undone, "requests/s")
        for caption, of in (
            ("Requests per second", samples.of("few rps", "requests/s", 0)),
            (f"p99 in ms at {MANY} connections", samples.of("p99", "ms")),
            (f"p99 in ms at {FEW} connections", samples.of("few p99", "ms")),
        ):
            yield Table(caption, (OURS, THEIRS), tuple(Row(n, (of((OURS, n)), of((THEIRS, n)))) for n in LOADS))
        single = {f"{arm}: {load}": (arm, load) for load in LOADS if load != MIX for arm in (OURS, THEIRS)}
        services = ("proxy", "app", "pgbouncer", "postgres", "sum")
        costs = {service: samples.cell(f"cpu {service}", "ms", 2) for service in services}
        yield samples.table("CPU milliseconds a request costs, by container", {**mixed, **single}, costs)
