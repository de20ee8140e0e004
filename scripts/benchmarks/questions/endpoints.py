"""Rate and p99 of the game's endpoints: ours, cookiecutter-django's defaults, ours with one choice undone."""

import dataclasses
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks import arms, engine, load, machine, stacks
from benchmarks.arms import Arm
from benchmarks.load import Measured, Request
from benchmarks.results import Aim, Answer, Figure, Row, Table, figure
from benchmarks.run import Run
from benchmarks.stacks import INSIDE, Stack

NAME = "endpoints"
TITLE = "The game's endpoints through the whole stack"
TAKES = "9 minutes; 35 s"
TIMES, P99_SHARE = 2.5, 0.5

HOST = "Host: localhost"
FIXED = 8  # connections, the same for everybody
CONNECTIONS = (2, 4, 8, 16)
PLAYERS = 2000  # an account may answer once a second
MOST_PER_SECOND = 2000  # answers that are prepared for each second of a stretch

CHALLENGE = "/api/challenge/today"


@dataclasses.dataclass(frozen=True)
class Question:
    """A practice question that waits for the answer of one player."""

    id: int
    session: str
    code: str

    @property
    def answer(self) -> Request:
        body = {"question_id": self.id, "country_code": self.code}
        return Request("POST", "/api/answers", self.session, json.dumps(body))


def _reading(path: str) -> Callable[[Question], list[Request]]:
    return lambda question: [Request("GET", path, question.session)]


def _round(question: Question) -> list[Request]:
    own = question.session
    return [
        Request("GET", CHALLENGE, own),
        question.answer,
        Request("GET", "/api/leaderboard", own),
        Request("GET", "/api/me/statistics", own),
    ]


# What is loaded: for each player's question, the requests that are sent.
GUEST, ANSWER, MIX = "today's challenge, a guest", "answer", "the four of a player in turn"
LOADS: dict[str, Callable[[Question], list[Request]]] = {
    GUEST: lambda question: [Request("GET", CHALLENGE)],
    "today's challenge, a player": _reading(CHALLENGE),
    ANSWER: lambda question: [question.answer],
    "leaderboard": _reading("/api/leaderboard"),
    "own statistics": _reading("/api/me/statistics"),
    MIX: _round,
}
WRITING = (ANSWER, MIX)  # each stretch needs questions that nobody has answered

ASK = """
    COPY (
        WITH country AS (SELECT min(id) AS first FROM flags_country),
        asked AS (
            INSERT INTO flags_question (kind, country_id, user_id, options, is_open, created_at)
            SELECT 'practice', c, u.id, ARRAY[c + 1, c, c + 2, c + 3], false, now()
            FROM generate_series(1, {each}) AS n, users_user AS u, country,
                 LATERAL (SELECT first + (u.id + n) % 190 AS c) AS x
            WHERE u.email LIKE 'bench%' ORDER BY n, u.id
            RETURNING id, user_id, country_id)
        SELECT asked.id, user_id, code FROM asked JOIN flags_country ON flags_country.id = country_id ORDER BY asked.id
    ) TO STDOUT
"""


@dataclasses.dataclass(frozen=True)
class Stretch:
    """One arm under load for some seconds: what wrk saw, and the CPU time of each container for a request."""

    seen: Measured
    cpu_ms: dict[str, float]


Seen = dict[tuple[str, str, str], list[Stretch]]  # arm, load, "best" or "fixed"


class Bench:
    """The stack with all arms in it, of which one at a time is loaded."""

    def __init__(self, run: Run, stack: Stack, folder: Path) -> None:
        self.run, self.stack, self.folder = run, stack, folder
        self.containers = stack.containers()
        self.players = run.choose(PLAYERS, 500)
        self._sessions: dict[str, dict[str, str]] = {}

    # ------------------------------------------------------------ what is sent

    def questions(self, arm: Arm, count: int) -> list[Question]:
        """New ones for each player in turn, in the arm's database."""
        sessions = self.sessions(arm)
        sql = ASK.format(each=-(-count // self.players))
        where = ("flaglearning_prod", "/run/postgresql") if arm.database == "postgres" else ("postgres", "/tmp")  # noqa: S108
        psql = ("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", where[0], "-h", where[1], "-c", sql)
        rows = (line.split("\t") for line in self.stack.exec(arm.database, *psql).splitlines())
        return [Question(int(id_), sessions[user], code) for id_, user, code in rows]

    def sessions(self, arm: Arm) -> dict[str, str]:
        """User id → session key, of the arm's database."""
        if arm.database not in self._sessions:
            script = (INSIDE / "players.py").read_text(encoding="utf-8")
            said = self.stack.exec(arm.app, "python", "-", str(self.players), stdin=script)
            self._sessions[arm.database] = json.loads(said.strip().splitlines()[-1])
        return self._sessions[arm.database]

    def prepare(self, arm: Arm, name: str, seconds: float) -> str:
        """The file of requests for a stretch."""
        count = int(MOST_PER_SECOND * seconds) if name in WRITING else self.players
        file = f"{arm.database}-{list(LOADS).index(name)}"
        if name in WRITING or not (self.folder / file).exists():
            questions = self.questions(arm, count)
            load.write(self.folder, file, [request for question in questions for request in LOADS[name](question)])
        return file

    # ------------------------------------------------------------ loading

    def wrk(self, arm: Arm, name: str, connections: int, seconds: float) -> Measured:
        file = self.prepare(arm, name, seconds)
        return load.wrk(self.stack, arm.origin, (HOST, *arm.headers), file, connections, seconds)

    def stretch(self, arm: Arm, name: str, connections: int, seconds: float) -> Stretch:
        file = self.prepare(arm, name, seconds)
        before = self._cpu(arm)
        seen = load.wrk(self.stack, arm.origin, (HOST, *arm.headers), file, connections, seconds)
        requests = max(seen.rps * seconds, 1)
        cpu = {service: (now - before[service]) * 1000 / requests for service, now in self._cpu(arm).items()}
        return Stretch(seen, cpu)

    def _cpu(self, arm: Arm) -> dict[str, float]:
        with ThreadPoolExecutor() as pool:
            usages = pool.map(engine.usage, [self.containers[service] for service in arm.services])
            return {service: usage.cpu_seconds for service, usage in zip(arm.services, usages, strict=True)}

    def check(self, arm: Arm) -> None:
        """Each page answers, the private ones to their player; then the arm is warm."""
        session = next(iter(self.sessions(arm).values()))
        for path, text in (
            (CHALLENGE, '"question"'),
            ("/api/leaderboard", '"rank"'),
            ("/api/me/statistics", '"accuracy"'),
        ):
            load.check(self.stack, arm.origin, (HOST, *arm.headers), Request("GET", path, session), text)

    def best_connections(self, arm: Arm, choices: Sequence[int], seconds: float) -> int:
        """The fewest connections that bring the arm within 3 % of its best: more would only wait in a queue."""
        seen = {count: self.wrk(arm, MIX, count, seconds).rps for count in choices}
        best = fewest(seen)
        rates = ", ".join(f"{count}: {rps:.0f}" for count, rps in seen.items())
        self.run.say(f"endpoints: requests/s of {arm.name} by connections: {rates} → {best}")
        return best


def fewest(seen: dict[int, float]) -> int:
    """Of these connections, as few as bring 97 % of the most requests per second."""
    return next(count for count, rps in sorted(seen.items()) if rps >= 0.97 * max(seen.values()))


# ---------------------------------------------------------------- measuring


def answer(run: Run) -> Answer:
    """Measures all arms, or in a quick run ours and cookiecutter-django's."""
    main = (arms.OURS, arms.COOKIECUTTER)
    others = run.choose((*arms.UNDONE, arms.BARE_COOKIECUTTER), ())
    folder = run.work / "requests"
    folder.mkdir()
    config = stacks.measured_production(run, "fl-bench-endpoints")
    stacks.with_load(config, folder)
    for arm in (*main, *others):
        arm.add(config, run)
    with stacks.removed_afterwards(stacks.write(run, config)) as stack:
        run.say("endpoints: building")
        stack.build()
        for arm in (*main, *others):  # one after the other: a dozen at once outlast the time that each may take
            run.say(f"endpoints: starting {arm.name}")
            stack.up("load", *arm.services)
        bench = Bench(run, stack, folder)
        for arm in (*main, *others):
            bench.check(arm)
            bench.wrk(arm, MIX, FIXED, run.choose(2, 1))
        best = {} if run.quick else {arm.name: bench.best_connections(arm, CONNECTIONS, 3) for arm in main}
        seen = _rounds(run, bench, main, others, best)
        return _answer(main, others, best, seen, machine.versions(stack))


def _rounds(run: Run, bench: Bench, main: Sequence[Arm], others: Sequence[Arm], best: dict[str, int]) -> Seen:
    """Arms take turns at each load: those with a best number of connections at all of them, the others at the mix."""
    seen: Seen = {}
    rounds, seconds = run.choose((3, 3), (1, 1))
    for number in range(1, rounds + 1):
        for name in LOADS:
            for arm in in_turn((*main, *others) if name == MIX else main, number):
                for kind, connections in {"best": best.get(arm.name), "fixed": FIXED}.items():
                    if connections:
                        stretch = bench.stretch(arm, name, connections, seconds)
                        seen.setdefault((arm.name, name, kind), []).append(stretch)
                _say(run, f"{number}/{rounds}", name, arm, seen)
    return seen


def in_turn(items: Sequence[Arm], number: int) -> list[Arm]:
    """Each round begins with another one."""
    shift = number % len(items)
    return [*items[shift:], *items[:shift]]


def _say(run: Run, number: str, name: str, arm: Arm, seen: Seen) -> None:
    one = seen[arm.name, name, "fixed"][-1].seen
    figures = f"{one.rps:6.0f} requests/s  p99 {one.p99_ms:5.1f} ms  {one.errors} errors"
    run.say(f"endpoints: round {number}  {name:<28} {arm.name:<17} {figures}")


# ---------------------------------------------------------------- telling


def _answer(main: Sequence[Arm], others: Sequence[Arm], best: dict[str, int], seen: Seen, versions: str) -> Answer:
    kind = "best" if best else "fixed"
    ours, theirs = arms.OURS.name, arms.COOKIECUTTER.name
    faster = {name: _rps(seen, ours, name, kind).over(_rps(seen, theirs, name, kind)) for name in LOADS}
    shares = {name: _p99(seen, ours, name, "fixed").over(_p99(seen, theirs, name, "fixed")) for name in LOADS}
    slowest, latest = min(LOADS, key=lambda n: faster[n].median), max(LOADS, key=lambda n: shares[n].median)
    errors = sum(one.seen.errors for (arm, _, _), several in seen.items() if arm == ours for one in several)
    return Answer(
        title=TITLE,
        how=(
            "The API as players use it, loaded by wrk in a container on the same machine over https and kept "
            "connections; each player has a session, and no two answers are to the same question. Rates are at as many "
            f"connections as serve the arm best, p99 at {FIXED} for everybody as well; the table of choices, and CPU "
            f"time, at {FIXED} alone. The clients are closed-loop."
        ),
        aims=(
            Aim(
                f"the mix: at least {TIMES} times cookiecutter-django's requests/s",
                f"{faster[MIX]} ×",
                faster[MIX].median >= TIMES,
            ),
            Aim(
                f"each endpoint at least {TIMES} times",
                f"{faster[slowest]} × ({slowest})",
                faster[slowest].median >= TIMES,
            ),
            Aim(f"the mix: p99 at most {P99_SHARE} of theirs", f"{shares[MIX]} ×", shares[MIX].median <= P99_SHARE),
            Aim(
                f"each endpoint's p99 at most {P99_SHARE}",
                f"{shares[latest]} × ({latest})",
                shares[latest].median <= P99_SHARE,
            ),
            Aim("no errors", f"{errors}", errors == 0),
        ),
        tables=(
            _ratios(faster, shares),
            *(() if not others else (_undone(others, seen),)),
            _by_endpoint("Requests per second", main, seen, _rps, kind),
            _by_endpoint(f"p99 in ms at {FIXED} connections", main, seen, _p99, "fixed"),
            *(() if kind == "fixed" else (_by_endpoint("p99 in ms at the arm's best", main, seen, _p99, kind),)),
            _cpu((*main, *others), seen),
        ),
        notes=(
            *(
                ["Best connections: " + ", ".join(f"{name} {count}" for name, count in best.items()) + "."]
                if best
                else []
            ),
            "cookiecutter-django's arm has its settings, its middleware, its gunicorn line and its number of workers "
            "(.envs/.production/.django, compose/production/django/start: line 9, config/settings/base.py: line 51, "
            "production.py: line 34), PostgreSQL's defaults, and nginx in the place of its Traefik "
            "(compose/production/traefik).",
            "Both arms share the machine's CPUs with their database and with wrk: a rate is what CPU time a request "
            "costs, in all containers together. The table of CPU time shows whose it is.",
        ),
        circumstances={"versions": versions},
    )


def _rps(seen: Seen, arm: str, name: str, kind: str) -> Figure:
    return figure([one.seen.rps for one in seen[arm, name, kind]], "requests/s", 0)


def _p99(seen: Seen, arm: str, name: str, kind: str) -> Figure:
    return figure([one.seen.p99_ms for one in seen[arm, name, kind]], "ms")


def _by_endpoint(
    caption: str, main: Sequence[Arm], seen: Seen, of: Callable[[Seen, str, str, str], Figure], kind: str
) -> Table:
    rows = tuple(Row(name, tuple(of(seen, arm.name, name, kind) for arm in main)) for name in LOADS)
    return Table(caption, tuple(arm.name for arm in main), rows)


def _ratios(faster: dict[str, Figure], shares: dict[str, Figure]) -> Table:
    rows = tuple(Row(name, (faster[name], shares[name]), ours=True) for name in LOADS)
    columns = ("times the requests/s", f"p99 at {FIXED} connections")
    return Table("Ours over cookiecutter-django's", columns, rows, plotted=columns[0])


def _undone(others: Sequence[Arm], seen: Seen) -> Table:
    """What each choice brings or costs, on the mix, with as many connections for everybody."""

    def row(arm: Arm) -> Row:
        rps = _rps(seen, arm.name, MIX, "fixed")
        errors = sum(one.seen.errors for one in seen[arm.name, MIX, "fixed"])
        ratio = rps.over(_rps(seen, arms.OURS.name, MIX, "fixed"))
        return Row(_title(arm), (rps, ratio, _p99(seen, arm.name, MIX, "fixed"), str(errors)))

    columns = ("requests/s", "× ours", "p99", "errors")
    rows = tuple(map(row, (arms.OURS, *others, arms.COOKIECUTTER)))
    return Table(f"Each choice undone by itself ({MIX}, {FIXED} connections)", columns, rows, plotted="requests/s")


def _cpu(every: Sequence[Arm], seen: Seen) -> Table:
    kinds = ("proxy", "app", "pgbouncer", "postgres")

    def of(one: Stretch, kind: str) -> float:
        return sum(ms for service, ms in one.cpu_ms.items() if service.partition("-")[0] == kind)

    def row(title: str, several: Sequence[Stretch]) -> Row:
        cells = [figure([of(one, kind) for one in several], "ms", 2) for kind in kinds]
        return Row(title, (*cells, figure([sum(one.cpu_ms.values()) for one in several], "ms", 2)))

    single = [name for name in LOADS if name != MIX]
    alone = [
        row(f"{arm.name}: {name}", seen[arm.name, name, "fixed"])
        for name in single
        for arm in (arms.OURS, arms.COOKIECUTTER)
    ]
    mixed = [row(_title(arm), seen[arm.name, MIX, "fixed"]) for arm in every]
    return Table("CPU milliseconds a request costs, by container", (*kinds, "sum"), (*mixed, *alone))


def _title(arm: Arm) -> str:
    return f"ours, but: {arm.title}" if arm in arms.UNDONE else arm.title
