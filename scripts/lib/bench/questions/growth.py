"""The SQL of pages and queries at 1, 10 and 50 million answers: p95 and plans, beside the reference's queries."""

import json
import statistics
from collections.abc import Iterable, Iterator
from typing import Any

from bench.core import Question, Samples, at_most, turns
from bench.results import Aim, Row, Table
from bench.stacks import INSIDE, compose, psql
from testing.shell import ROOT
from testing.stack import DEVELOPMENT, Stack

EACH, DAYS = 200, 1000  # answers per player, days (inside/growth.sql)
DATABASE = "flaglearning_dev"
REFERENCE: dict[str, str] = json.loads((INSIDE / "reference.json").read_text())
# One of the reference's takes minutes at 50 million: there only the run that otherwise warms the cache.
REFERENCE_RUNS = {200_000: 3, 1_000_000: 3, 10_000_000: 1}
PAGES, OURS, THEIRS = "pages", "queries", "reference"
CAPTIONS = {PAGES: "p95 of a page's SQL", OURS: "p95 of the seven queries", THEIRS: "… as the reference writes them"}
QUERIES = {name: (ROOT / f"pg/queries/app_{name.replace('-', '_')}.sql").read_text() for name in REFERENCE}
PREFIXES = {PAGES: "", OURS: "query ", THEIRS: "the reference's "}
SHIPPED, WITHOUT = "as shipped", "without the three indexes and the counting"
INDEXES = ("useranswer_by_user", "userstats_accuracy", "userstats_streaks")
OLD_INDEX = "CREATE INDEX userstats_active_streaks ON users_userstats (last_guess_date) WHERE current_streak > 0;"
COUNT = "from flags import guesses; guesses.AT_MOST = 1 << 62; [guesses.count_further() for _ in range(3)]"
COMPARE = "from flags import guesses; print(len(guesses.differences()), 'differences')"

Plan = dict[str, Any]


def fill(stack: Stack, first: int, last: int, bulk: bool = True) -> None:
    """Add these players and their answers."""
    script = (INSIDE / "growth.sql").read_text()
    psql(stack, script, DATABASE, first=first, last=last, days=DAYS, bulk=int(bulk))


class Growth(Question):
    title = "Pages and queries on a table that grows"
    takes = "9 minutes (50 s)"
    arms = tuple(CAPTIONS)
    rounds = 1

    def start(self) -> None:
        self.sizes = self.bench.choose((1_000_000, 10_000_000, 50_000_000), (200_000,))
        self.cases = tuple(f"{size:,}" for size in self.sizes)
        self.calls = self.bench.choose(300, 100)
        self.people, self.plans, self.reading_all = 0, list[tuple[str, Plan]](), set[str]()
        self.stack = compose(self.bench, self.name, *DEVELOPMENT)
        self.stack.build("postgres", "pgbouncer", "app", "proxy")
        self.stack.up("app")
        self._grow(self.sizes[0])
        query = f"SELECT indexdef || ';' FROM pg_indexes WHERE indexname IN {INDEXES}"  # noqa: S608
        self.indexes = {SHIPPED: psql(self.stack, query, DATABASE), WITHOUT: OLD_INDEX}
        self.cost = Samples()
        for _, _, arm in turns(self.bench.choose(3, 1), ("",), (WITHOUT, SHIPPED)):
            self.cost.setdefault((arm, ""), []).append(self._answering(arm))
        self._create_indexes(SHIPPED)
        self.how = f"""{EACH} answers a person, half of them to practice questions, in the order in which they were
            given. Pages: the SQL of each, timed in the app (through the pooler, over TLS), {self.calls} calls for
            people chosen at random, nothing cached by the app. Queries: planned and executed in the server, warm. The
            sums were compared with the answers before each measurement."""

    def _grow(self, size: int) -> None:
        """All but the last player's answers are in the sums, so that reading adds as many as it ever does."""
        before, self.people = self.people, size // EACH
        if before == self.people:
            return
        self.bench.say(f"{self.name}: making {size:,} answers")
        fill(self.stack, before + 1, self.people - 1)
        self._manage(COUNT)
        fill(self.stack, self.people, self.people, bulk=False)
        proved = self._manage(COMPARE)
        assert "0 differences" in proved, proved

    def _manage(self, python: str) -> str:
        """As the migrator, whose statements have no timeout."""
        words = ("run", "--rm", "--no-deps", "-T", "migrate", "python", "manage.py", "shell", "-v", "0", "-c", python)
        return self.stack.compose(*words, timeout=3600)

    def _in_app(self, *arguments: object) -> Any:
        script = (INSIDE / "growth_pages.py").read_text()
        words = ("exec", "-T", "app", "python", "-", *map(str, arguments))
        return json.loads(self.stack.compose(*words, stdin=script, timeout=3600))

    def _create_indexes(self, arm: str) -> None:
        drop = " ".join(f"DROP INDEX IF EXISTS {name};" for name in (*INDEXES, "userstats_active_streaks"))
        vacuum = "VACUUM ANALYZE users_userstats; VACUUM flags_useranswer; CHECKPOINT;"
        psql(self.stack, f"{drop} {self.indexes[arm]} {vacuum}", DATABASE)

    def _answering(self, arm: str) -> dict[str, float]:
        """Milliseconds of SQL and bytes of WAL of an answer."""
        self._create_indexes(arm)
        count, without = self.bench.choose(500, 50), ["without"] * (arm == WITHOUT)
        self._in_app("answers", self.people, count // 5, *without)  # full page images that follow a checkpoint
        wal = psql(self.stack, "SELECT pg_current_wal_insert_lsn()")
        times = self._in_app("answers", self.people, count, *without)
        written = float(psql(self.stack, f"SELECT pg_current_wal_insert_lsn() - '{wal}'"))
        return {"ms": statistics.median(times), "wal": written / count / 1024}

    # ---------------------------------------------------------------- measuring

    def measure(self, arm: str, case: str) -> dict[str, float]:
        size = self.sizes[self.cases.index(case)]
        self._grow(size)
        found: dict[str, dict[str, Any]] = {}
        if arm == PAGES:
            self.plans = []  # of the largest size at the end
            found = self._in_app("pages", self.people, self.calls)
        for name in REFERENCE if arm != PAGES else ():
            query, runs = (QUERIES[name], 20) if arm == OURS else (REFERENCE[name], REFERENCE_RUNS.get(size, 0))
            found[name] = self._explained(query.rstrip(";\n"), runs)
        plans = [(PREFIXES[arm] + name, plan) for name, one in found.items() for plan in one["plans"]]
        self.plans += plans
        whole = {name for name, plan in plans if reads_whole(plan, "flags_useranswer", size)}
        self.reading_all |= whole if arm != THEIRS else set()
        return {name: p95(one["ms"]) for name, one in found.items()}

    def _explained(self, query: str, runs: int) -> dict[str, Any]:
        """Milliseconds of each run (planned and executed, nothing sent), and the last plan. One before warms the cache;
        it is the only one when no other is wanted."""
        explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON)\n{query};\n" * (runs + 1)
        text = psql(self.stack, explain, DATABASE, limit=10).replace("\n]\n[", "\n],[")
        plans = [plan for [plan] in json.loads(f"[{text}]")]
        times = [plan["Planning Time"] + plan["Execution Time"] for plan in plans[1:] or plans]
        return {"ms": times, "plans": [plans[-1]["Plan"]]}

    # ---------------------------------------------------------------- telling

    def aims(self, samples: Samples) -> Iterable[Aim]:
        largest = self.cases[-1]
        [pages] = samples[PAGES, largest]
        slowest = max(pages, key=pages.__getitem__)
        limit = f"p95 of each page's SQL at most {{}} ms at {largest}"
        yield at_most(limit, 5, pages[slowest], f"{{:.1f}} ms ({slowest})")
        whole = ", ".join(sorted(self.reading_all))
        yield Aim("no page and no query of ours reads the whole table", whole or "none does", not whole)
        dearer = 100 * (self.cost.over("ms", WITHOUT)((SHIPPED, "")).median - 1)
        yield at_most("answering at most {} % dearer", 20, dearer, "{:+.0f} % of the SQL's time")

    def tables(self, samples: Samples) -> Iterable[Table]:
        largest = self.cases[-1]
        for arm, caption in CAPTIONS.items():
            names = list(samples[arm, largest][0])
            columns = [samples.of(name, "ms", 2) for name in names]
            rows = [tuple(of((arm, case)) for case in self.cases) for of in columns]
            plotted = largest if arm == PAGES else ""
            yield Table(caption, tuple(self.cases), tuple(map(Row, names, rows)), plotted)
        blocks = [f"{plan['Shared Hit Blocks'] + plan['Shared Read Blocks']:,}" for _, plan in self.plans]
        plans = [Row(name, (most_read(plan), read)) for (name, plan), read in zip(self.plans, blocks, strict=True)]
        yield Table(f"Plans at {largest}", ("reads most", "pages of 8 kB"), tuple(plans))
        cost = {"SQL, median": self.cost.of("ms", "ms", 2), "WAL": self.cost.of("wal", "kB")}
        yield self.cost.table("An answer", {arm: (arm, "") for arm in (SHIPPED, WITHOUT)}, cost)


def p95(samples: list[float]) -> float:
    """The smallest sample that 95 of 100 don't exceed."""
    return sorted(samples)[-(-len(samples) * 95 // 100) - 1]


def nodes(plan: Plan) -> Iterator[Plan]:
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def readings(plan: Plan) -> list[tuple[float, str, str]]:
    """(rows, how, table) of each node that reads a table; rows that a filter removes were read."""
    found = [node for node in nodes(plan) if "Relation Name" in node]
    rows = [(one["Actual Rows"] + one.get("Rows Removed by Filter", 0)) * one["Actual Loops"] for one in found]
    hows = [f"{one['Node Type']} {one.get('Index Name', one['Relation Name'])}" for one in found]
    return list(zip(rows, hows, (one["Relation Name"] for one in found), strict=True))


def most_read(plan: Plan) -> str:
    rows, how, _ = max(readings(plan), default=(0, "", ""))
    return f"{how}: {rows:,.0f} rows" if how else "reads no table"


def reads_whole(plan: Plan, table: str, size: int) -> bool:
    """Whether it reads half of the table or more."""
    return any(name == table and rows >= size / 2 for rows, _, name in readings(plan))
