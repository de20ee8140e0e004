"""What the application asks its database at 1, 10 and 50 million answers: p95 and plans, beside the reference's."""

import json
import re
from typing import Any

from benchmarks import plans, stacks
from benchmarks.results import Aim, Answer, Cell, Row, Table, figure
from benchmarks.run import Run
from benchmarks.stacks import INSIDE, TAG, Stack
from testing.shell import ROOT
from testing.stack import DEVELOPMENT

NAME = "growth"
TITLE = "Pages and queries on a table that grows"

TAKES = "9 minutes; 20 s"

SIZES, QUICK_SIZES = (1_000_000, 10_000_000, 50_000_000), (200_000,)
EACH = 200  # answers a person, inside/growth.sql
DAYS = 1000
CALLS, OUR_RUNS, ANSWERS = 300, 20, 500
# One of theirs takes minutes at 50 million: fewer runs there, and the first, which warms the cache, has to do.
REFERENCE_RUNS = {1_000_000: 3, 10_000_000: 1}
AIM_MS, AIM_COST = 5, 20
# What pages and sums brought: taken away for the arm that shows what they cost when somebody answers.
INDEXES = ("useranswer_by_user", "userstats_accuracy", "userstats_streaks")
OLD_INDEX = "CREATE INDEX userstats_active_streaks ON users_userstats (last_guess_date) WHERE current_streak > 0"
REFERENCE: dict[str, str] = json.loads((INSIDE / "reference.json").read_text())

Results = dict[int, dict[str, Any]]


def answer(run: Run) -> Answer:
    """Fills a database step by step; at each step measures every page and query."""
    stack = Stack("fl-bench-growth", DEVELOPMENT, port=24300, TAG=TAG)
    sizes = run.choose(SIZES, QUICK_SIZES)
    found: Results = {}
    with stacks.removed_afterwards(stack):
        run.say("growth: building what is not built yet")
        stack.build("postgres", "pgbouncer", "app")
        stack.up("app")
        people, cost = 0, {}
        for size in sizes:
            run.say(f"growth: making {size:,} answers")
            people = fill(stack, people, size // EACH)
            found[size] = measure(run, stack, people, size)
            if size == sizes[0]:
                run.say("growth: answering, with and without what pages need")
                cost = answering(run, stack, people)
    return answer_of(found, cost)


def fill(stack: Stack, before: int, people: int) -> int:
    """More people; all but the last one's answers are in the sums, so that reading adds as many as it ever does."""
    for first, last in ((before + 1, people - 1), (people, people)):
        script, bulk = (INSIDE / "growth.sql").read_text(), int(last < people)
        psql(stack, script, first=first, last=last, days=DAYS, bulk=bulk)
        if bulk:
            count = "from flags import guesses; guesses.AT_MOST = 1 << 62; [guesses.count_further() for _ in range(3)]"
            manage(stack, count)
    proved = manage(stack, "from flags import guesses; print(len(guesses.differences()), 'differences')")
    assert "0 differences" in proved, proved
    return people


def measure(run: Run, stack: Stack, people: int, size: int) -> dict[str, Any]:
    run.say(f"growth: pages at {size:,}")
    pages = in_app(stack, "pages", people, run.choose(CALLS, 100))
    ours, reference = {}, {}
    for name in REFERENCE:
        ours[name] = explained(stack, our_query(name), OUR_RUNS)
        reference[name] = explained(stack, REFERENCE[name], REFERENCE_RUNS.get(size, 0))
        p95 = f"ours {plans.p95(ours[name]['ms']):.1f} ms, the reference's {plans.p95(reference[name]['ms']):.1f} ms"
        run.say(f"growth: {name} at {size:,}: {p95}")
    return {"pages": pages, "ours": ours, "reference": reference}


def answering(run: Run, stack: Stack, people: int) -> dict[str, list[dict[str, float]]]:
    """Milliseconds of SQL (p50) and bytes of WAL for an answer, in turns; last as it is shipped."""
    with_, without = "as shipped", "without the three indexes and the counting"
    definitions = psql(stack, f"SELECT indexdef || ';' FROM pg_indexes WHERE indexname IN {INDEXES}")  # noqa: S608
    result: dict[str, list[dict[str, float]]] = {with_: [], without: []}
    for _ in range(run.choose(3, 1)):
        for arm in (without, with_):
            drop = " ".join(f"DROP INDEX IF EXISTS {name};" for name in (*INDEXES, "userstats_active_streaks"))
            psql(stack, drop + (definitions if arm == with_ else OLD_INDEX + ";"))
            psql(stack, "VACUUM ANALYZE users_userstats; VACUUM flags_useranswer; CHECKPOINT;")
            options = [] if arm == with_ else ["--without-counting"]
            count = run.choose(ANSWERS, ANSWERS // 10)
            in_app(stack, "answers", people, count // 5, *options)  # the pages that a checkpoint makes dearer
            wal = psql(stack, "SELECT pg_current_wal_insert_lsn()").strip()
            times = in_app(stack, "answers", people, count, *options)
            size = psql(stack, f"SELECT pg_current_wal_insert_lsn() - '{wal}'")
            result[arm].append({"ms": sorted(times)[len(times) // 2], "wal": float(size) / count})
    return result


# ---------------------------------------------------------------- asking


def psql(stack: Stack, sql: str, **variables: object) -> str:
    words = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
    command = ("psql", "-XqAt", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", "flaglearning_dev", *words, "-f", "-")
    done = stack.command("docker", "compose", "exec", "-T", "postgres", *command, stdin=sql, timeout=7200)
    return str(done.stdout)


def manage(stack: Stack, python: str) -> str:
    """As the migrator, whose statements may take as long as they take."""
    words = ("run", "--rm", "--no-deps", "-T", "migrate", "python", "manage.py", "shell", "-v", "0", "-c", python)
    return stack.compose(*words, timeout=3600)


def in_app(stack: Stack, *arguments: object) -> Any:
    """inside/growth_pages.py in the app's container, as the app."""
    script = (INSIDE / "growth_pages.py").read_text()
    environment = ("--env", "DJANGO_SETTINGS_MODULE=config.settings", "--env", "PYTHONPATH=/code")
    words = ("docker", "compose", "exec", "-T", *environment, "app", "python", "-", *map(str, arguments))
    return json.loads(stack.command(*words, stdin=script, timeout=3600).stdout)


def our_query(name: str) -> str:
    """pg/queries, as ./scripts/ops query runs it."""
    text = (ROOT / f"pg/queries/app_{name.replace('-', '_')}.sql").read_text()
    return re.sub(r"^--.*\n", "", text, flags=re.MULTILINE).replace(":'limit'", "'10'").rstrip().rstrip(";")


def explained(stack: Stack, query: str, runs: int) -> dict[str, Any]:
    """Milliseconds of each run (planned and executed, nothing sent), and the last plan. One before warms the cache;
    it is the only one when no other is wanted."""
    explain = f"EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) {query};\n"
    decoder, text, found = json.JSONDecoder(), psql(stack, explain * (runs + 1)), []
    while text.strip():
        [plan], end = decoder.raw_decode(text := text.lstrip())
        text = text[end:]
        found.append(plan)
    return {
        "ms": [plan["Planning Time"] + plan["Execution Time"] for plan in found[1:] or found],
        "plan": found[-1]["Plan"],
    }


# ---------------------------------------------------------------- what came out


def answer_of(found: Results, cost: dict[str, list[dict[str, float]]]) -> Answer:
    largest = max(found)
    calls = len(next(iter(found[largest]["pages"].values()))["ms"])
    pages = {name: plans.p95(page["ms"]) for name, page in found[largest]["pages"].items()}
    slowest = max(pages, key=pages.__getitem__)
    whole = sorted({name for size in found for name in reading_all(found[size], size)})
    dearer = extra(cost)
    return Answer(
        title=TITLE,
        how=(
            f"{EACH} answers a person, half of them to practice questions, in the order in which they were given. "
            f"Pages: the SQL of each, timed in the app (through the pooler, over TLS), {calls} calls for people chosen "
            "at random, nothing cached by the app. Queries: planned and executed in the server, warm. "
            "The sums were compared with the answers before each measurement."
        ),
        aims=(
            Aim(
                f"p95 of each page's SQL at most {AIM_MS} ms at {largest:,}",
                f"{pages[slowest]:.1f} ms ({slowest})",
                pages[slowest] <= AIM_MS,
            ),
            Aim("no page and no query of ours reads the whole table", ", ".join(whole) or "none does", not whole),
            Aim(f"answering at most {AIM_COST} % dearer", f"{dearer:+.0f} % of the SQL's time", dearer <= AIM_COST),
        ),
        tables=(
            timings("p95 of a page's SQL", "pages", found, plotted=True),
            timings("p95 of the seven queries", "ours", found),
            timings("… as the reference writes them", "reference", found),
            plan_table(found[largest], largest),
            cost_table(cost),
        ),
    )


def reading_all(measured: dict[str, Any], size: int) -> list[str]:
    """Pages and queries of ours that read the table of answers whole."""
    return [name for name, plan in all_plans(measured) if plans.reads_whole(plan, "flags_useranswer", size)]


def cost_table(cost: dict[str, list[dict[str, float]]]) -> Table:
    rows = tuple(
        Row(
            arm,
            (figure([each["ms"] for each in rounds], "ms", 2), figure([each["wal"] / 1024 for each in rounds], "kB")),
        )
        for arm, rounds in cost.items()
    )
    return Table("An answer", ("SQL, median", "WAL"), rows)


def all_plans(measured: dict[str, Any]) -> list[tuple[str, plans.Node]]:
    """Ours: of the pages and of the queries."""
    pages = [(name, plan["Plan"]) for name, page in measured["pages"].items() for plan in page["plans"]]
    return pages + [(f"query {name}", query["plan"]) for name, query in measured["ours"].items()]


def extra(cost: dict[str, list[dict[str, float]]]) -> float:
    """Percent of an answer's time that the indexes and the counting add, round by round; their median."""
    shipped, without = (figure([each["ms"] for each in rounds], "ms") for rounds in cost.values())
    return 100 * (shipped.over(without).median - 1)


def timings(caption: str, kind: str, found: Results, plotted: bool = False) -> Table:
    """Rows by size: p95 in ms."""
    columns = tuple(f"{size:,}" for size in found)
    names = next(iter(found.values()))[kind]

    def cells(name: str) -> tuple[Cell, ...]:
        return tuple(figure([plans.p95(measured[kind][name]["ms"])], "ms", 2) for measured in found.values())

    return Table(
        caption, columns, tuple(Row(name, cells(name)) for name in names), plotted=columns[-1] if plotted else ""
    )


def plan_table(measured: dict[str, Any], size: int) -> Table:
    """The node that reads most, of each page and query."""
    rows = [Row(name, (plans.essential(plan), f"{plans.pages_read(plan):,}")) for name, plan in all_plans(measured)]
    for name, query in measured["reference"].items():
        plan = query["plan"]
        rows.append(Row(f"the reference's {name}", (plans.essential(plan), f"{plans.pages_read(plan):,}")))
    return Table(f"Plans at {size:,}", ("reads most", "pages of 8 kB"), tuple(rows))
