"""How long a backup and a restore take, and how large the file is, beside what the reference document types."""

import json
import time
from collections.abc import Callable

from benchmarks import engine, stacks
from benchmarks.results import Aim, Answer, Figure, Row, Table, figure
from benchmarks.run import Run
from benchmarks.stacks import INSIDE, TAG, Stack
from testing.stack import DEVELOPMENT

NAME = "backup"
TITLE = "Backup and restore"
TAKES = "8 minutes; 60 s"

ANSWERS, QUICK_ANSWERS, DAYS = 5_000_000, 100_000, 1000
OURS, REFERENCE = "./scripts/ops", "the reference"
AIM = 3
# The reference's commands, in the container that ours run in, over the same TLS, as roles of the same rights.
CONNECT = (
    "set -eo pipefail; export PGHOST=postgres PGSSLMODE=verify-full PGSSLROOTCERT=/tls/ca.crt "
    "PGUSER=flaglearning_{role} PGPASSWORD=$(cat /run/secrets/{role}_password); "
)
# What a restore's statements are for. The first pattern that fits.
PHASES = {
    "rows (COPY)": "^COPY .* FROM",
    "foreign keys": "FOREIGN KEY",
    "indexes, keys": "^CREATE (UNIQUE )?INDEX|ADD CONSTRAINT .* (UNIQUE|PRIMARY KEY)",
    "counting": "count\\(\\*\\) AS rows",
    "ANALYZE": "^ANALYZE",
}
CPU = "the server's CPU time, all of it"
FILE = "/backups/reference.sql.gz"
TARGET = "flaglearning_reference"


def answer(run: Run) -> Answer:
    """Fills a database, then backs it up and restores it, both ways in turns."""
    stack = Stack("fl-bench-backup", DEVELOPMENT, port=24100, TAG=TAG)
    answers = run.choose(ANSWERS, QUICK_ANSWERS)
    with stacks.removed_afterwards(stack):
        run.say("backup: building what is not built yet")
        stack.build("postgres", "pgbouncer", "app", "ops")
        stack.up("app")
        run.say(f"backup: making {answers:,} answers")
        superuser(stack, "flaglearning_dev", (INSIDE / "answers.sql").read_text(), answers=answers, days=DAYS)
        # Statements of a restore (COPY, CREATE INDEX …) are utility statements: counted here, for the table of phases.
        superuser(stack, "postgres", "ALTER SYSTEM SET pg_stat_statements.track_utility = on")
        superuser(stack, "postgres", "SELECT pg_reload_conf()")
        seconds: dict[tuple[str, str], list[float]] = {}
        phases: dict[str, dict[str, list[float]]] = {OURS: {}, REFERENCE: {}}
        sizes: dict[str, int] = {}
        rounds = run.choose(3, 1)
        for number, arm in run.rounds(rounds, (OURS, REFERENCE)):
            for work in ("backup", "restore"):
                superuser(stack, "postgres", "CHECKPOINT; SELECT pg_stat_statements_reset()")
                before = cpu_seconds(stack)
                took = timed(ARMS[arm, work], stack)
                if work == "restore":
                    spent = cpu_seconds(stack) - before
                    for phase, value in {**profile(stack), CPU: spent}.items():
                        phases[arm].setdefault(phase, []).append(value)
                seconds.setdefault((arm, work), []).append(took)
                run.say(f"backup: round {number}/{rounds}  {arm:<14} {work:<8} {took:.1f} s")
            sizes[arm] = size(stack, arm)
            clean_up(stack)
    return answer_of(answers, {key: figure(values, "s") for key, values in seconds.items()}, sizes, phases)


def timed(work: Callable[[Stack], None], stack: Stack) -> float:
    began = time.monotonic()
    work(stack)
    return time.monotonic() - began


def superuser(stack: Stack, database: str, sql: str, **variables: object) -> str:
    words = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
    psql = ("psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database, *words, "-f", "-")
    return stack.exec("postgres", *psql, stdin=sql, timeout=3600)


def cpu_seconds(stack: Stack) -> float:
    """The server's so far."""
    return engine.usage(stack.container("postgres")).cpu_seconds


def profile(stack: Stack) -> dict[str, float]:
    """Seconds that the server's sessions spent in each phase of what happened since the statistics were reset."""
    cases = " ".join(f"WHEN query ~ '{pattern}' THEN '{phase}'" for phase, pattern in PHASES.items())
    spent = superuser(stack, "postgres", f"""
        SELECT json_object_agg(phase, seconds) FROM (
            SELECT CASE {cases} END AS phase, sum(total_exec_time) / 1000 AS seconds FROM pg_stat_statements
            GROUP BY 1) AS each WHERE phase IS NOT NULL \\g (format=unaligned tuples_only=on)""")  # noqa: S608 - constants # fmt: skip
    found = json.loads(spent)
    return {phase: found.get(phase, 0.0) for phase in PHASES}


def in_container(stack: Stack, role: str, script: str) -> str:
    shell = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "bash", "ops", "-c", CONNECT.format(role=role) + script)
    return stack.compose(*shell, timeout=3600)


# ---------------------------------------------------------------- the arms


def our_backup(stack: Stack) -> None:
    stack.command("./scripts/ops", "backup", "full", timeout=3600)


def our_restore(stack: Stack) -> None:
    stack.command("./scripts/ops", "restore", "full", "latest", "--yes", timeout=3600)


def reference_backup(stack: Stack) -> None:
    in_container(stack, "ops", f"pg_dump flaglearning_dev | gzip > {FILE}")


def reference_restore(stack: Stack) -> None:
    # The database is made outside of what is timed… as is its ANALYZE, which the reference doesn't do at all.
    superuser(stack, "postgres", f"CREATE DATABASE {TARGET} OWNER flaglearning_owner TEMPLATE template0")
    superuser(stack, TARGET, "CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pgaudit")
    # Without stopping at errors, as the reference does it: some about extensions are the superuser's business.
    in_container(stack, "migrator", f"gunzip -c {FILE} | psql -q {TARGET} >/dev/null 2>&1")
    counted = in_container(stack, "migrator", f"psql -Atc 'SELECT count(*) FROM flags_useranswer' {TARGET}")  # noqa: S608 - a constant
    assert int(counted) >= QUICK_ANSWERS, f"the reference's restore has {counted} answers"


ARMS = {
    (OURS, "backup"): our_backup,
    (OURS, "restore"): our_restore,
    (REFERENCE, "backup"): reference_backup,
    (REFERENCE, "restore"): reference_restore,
}


def size(stack: Stack, arm: str) -> int:
    """Bytes of what the backup wrote."""
    files = FILE if arm == REFERENCE else "/backups/flaglearning_dev-full-*"
    return int(in_container(stack, "ops", f"du -sb {files} | tail -n 1 | cut -f 1"))


def clean_up(stack: Stack) -> None:
    """Databases that were put aside or are the reference's, and the files: every round has the same room."""
    superuser(stack, "postgres", f"""
        SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database
        WHERE datname ~ '_before_' OR datname = '{TARGET}' \\gexec""")  # noqa: S608 # fmt: skip
    in_container(stack, "ops", f"rm -rf {FILE} /backups/flaglearning_dev-full-*")


# ---------------------------------------------------------------- what came out


def answer_of(
    answers: int,
    seconds: dict[tuple[str, str], Figure],
    sizes: dict[str, int],
    phases: dict[str, dict[str, list[float]]],
) -> Answer:
    times = {work: seconds[REFERENCE, work].over(seconds[OURS, work]) for work in ("backup", "restore")}
    share = 100 * sizes[OURS] / sizes[REFERENCE]
    rows = tuple(
        Row(arm, (seconds[arm, "backup"], seconds[arm, "restore"], Figure((sizes[arm] / 2**20,), "MB")))
        for arm in (OURS, REFERENCE)
    )
    faster = Row("how many times faster", (times["backup"], times["restore"], f"{share:.1f} % of its size"))
    return Answer(
        title=TITLE,
        how=f"""{answers:,} answers, half of them to practice questions of which there are as many. Whole commands with
        the start of their container. Ours: `./scripts/ops backup full` (dump, counting the rows, reading it back)
        and `./scripts/ops restore full` (checksums, new database, load, counting, ANALYZE, switch). Theirs:
        `pg_dump | gzip` and `gunzip | psql` into an empty database that is there already; no check, no ANALYZE.""",
        aims=(
            *(
                Aim(f"{work} at least {AIM} times faster", f"{figure.median:.1f}×", figure.median >= AIM)
                for work, figure in times.items()
            ),
            Aim("the file no larger", f"{share:.1f} %", share <= 100),
        ),
        tables=(
            Table("Time and size", ("backup", "restore", "file"), (*rows, faster)),
            Table(
                "Seconds of the server's sessions in a restore",
                (OURS, REFERENCE),
                tuple(
                    Row(phase, tuple(figure(phases[arm][phase], "s") for arm in (OURS, REFERENCE)))
                    for phase in (*PHASES, CPU)
                ),
            ),
        ),
        notes=(
            "A restore is mostly work that nobody can leave out: rows parsed, indexes sorted, keys checked. Ours does "
            "it in as many sessions as there are processors, theirs in one, beside gunzip and psql. The server's CPU "
            "time divided by their number is the least that a restore can take.",
        ),
    )
