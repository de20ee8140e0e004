"""Physical backups beside the reference's dumps, and an incremental one after a small change."""

import functools
import json
from typing import Any

from benchmarks import stacks
from benchmarks.questions.backup import in_container, superuser, timed
from benchmarks.results import Aim, Answer, Figure, Row, Table, figure
from benchmarks.run import Run
from benchmarks.stacks import INSIDE, TAG, Stack
from testing.stack import DEVELOPMENT

NAME = "physical"
TITLE = "Physical backup, and restore to the first query"
TAKES = "32 minutes; 90 s"

ANSWERS, QUICK_ANSWERS, DAYS = 24_000_000, 100_000, 1000  # more than 5 GB
BACKUP_AIM, RESTORE_AIM, CHANGE_AIM = 5, 8, 5
OURS, REFERENCE, PARALLEL = "pgBackRest", "pg_dump | gzip", "pg_dump -Fd -j2"
ARMS = (OURS, REFERENCE, PARALLEL)
MOMENT = "a moment for the drill"
FOLDER, TARGET = "/backups/bench", "flaglearning_reference"
FIRST_QUERY = "SELECT count(*) FROM flags_country"


def answer(run: Run) -> Answer:
    """One stack that archives: filled, backed up and restored in turns; then a change, then pgbench."""
    stack = Stack("fl-bench-physical", DEVELOPMENT, port=24700, TAG=TAG, COMPOSE_PROFILES="backup", BACKUP_AT="off")
    answers = run.choose(ANSWERS, QUICK_ANSWERS)
    with stacks.removed_afterwards(stack):
        run.say("physical: building what is not built yet")
        stack.build("postgres", "pgbouncer", "app", "ops")
        stack.up("app", "backup")
        run.say(f"physical: making {answers:,} answers")
        superuser(stack, "flaglearning_dev", (INSIDE / "answers.sql").read_text(), answers=answers, days=DAYS)
        database = int(value(stack, "SELECT pg_database_size('flaglearning_dev')"))
        seconds: dict[tuple[str, str], list[float]] = {}
        rounds = run.choose(2, 1)
        for number, arm in run.rounds(rounds, ARMS):
            for work in (backup, restore):
                superuser(stack, "postgres", "CHECKPOINT")
                took = timed(functools.partial(work, arm=arm), stack)
                seconds.setdefault((arm, work.__name__), []).append(took)
                run.say(f"physical: round {number}/{rounds}  {arm:<16} {work.__name__:<8} {took:.1f} s")
            if arm == OURS:
                seconds.setdefault((MOMENT, "backup"), []).append(timed(moment, stack))
            clean_up(stack)
        run.say("physical: a change of 1 %")
        share = incremental(stack)
    return answer_of(answers, database, {key: figure(values, "s") for key, values in seconds.items()}, share)


def ops(stack: Stack, *arguments: str) -> str:
    done = stack.command("./scripts/ops", *arguments, timeout=7200)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def value(stack: Stack, sql: str, database: str = "postgres") -> str:
    return stack.exec("postgres", "psql", "-XAtU", "postgres", "-d", database, "-c", sql).strip()


# ---------------------------------------------------------------- the arms


def backup(stack: Stack, arm: str) -> None:
    """A full one; pg_dump as the reference types it, and as somebody would who knows its options."""
    if arm == OURS:
        ops(stack, "backup", "physical", "--type", "full", "--no-moment")
    elif arm == REFERENCE:
        in_container(stack, "ops", f"pg_dump flaglearning_dev | gzip > {FOLDER}.sql.gz")
    else:
        in_container(stack, "ops", f"pg_dump -Fd -j2 -f {FOLDER}.dir flaglearning_dev")


def moment(stack: Stack) -> None:
    """What the drill compares with, counted and hashed."""
    ops(stack, "backup", "moment")


def restore(stack: Stack, arm: str) -> None:
    """Until the first query is answered."""
    if arm == OURS:
        ops(stack, "restore", "physical", "--backup", newest(stack)["label"], "--scratch")
        ops(stack, "scratch", "psql", "-c", FIRST_QUERY)
        return
    superuser(stack, "postgres", f"CREATE DATABASE {TARGET} OWNER flaglearning_owner TEMPLATE template0")
    superuser(stack, TARGET, "CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pgaudit")
    # As the reference: not stopping at errors, some of which (extensions) are the superuser's business.
    load = (
        f"gunzip -c {FOLDER}.sql.gz | psql -q {TARGET} >/dev/null 2>&1"
        if arm == REFERENCE
        else f"pg_restore -j2 --no-owner --no-privileges -d {TARGET} {FOLDER}.dir >/dev/null 2>&1 || true"
    )
    counted = in_container(stack, "migrator", f"{load}; psql -Atc '{FIRST_QUERY}' {TARGET}")
    assert int(counted) > 100, f"{arm} restored {counted} countries"


def newest(stack: Stack) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ops(stack, "backup", "list", "--json"))[-1]
    return found


def clean_up(stack: Stack) -> None:
    """Every round has the same room."""
    ops(stack, "scratch", "drop")
    superuser(stack, "postgres", f"DROP DATABASE IF EXISTS {TARGET} WITH (FORCE)")
    in_container(stack, "ops", f"rm -rf {FOLDER}.sql.gz {FOLDER}.dir")


def incremental(stack: Stack) -> float:
    """Percent of the full backup's size, after 1 % of the answers have changed where they are."""
    ops(stack, "backup", "physical", "--type", "full", "--no-moment")
    full = newest(stack)["repository_bytes"]
    change = """UPDATE flags_useranswer SET is_correct = NOT is_correct WHERE id <=
                (SELECT min(id) + (max(id) - min(id)) / 100 FROM flags_useranswer); VACUUM flags_useranswer"""
    superuser(stack, "flaglearning_dev", change)
    ops(stack, "backup", "physical", "--type", "incr", "--no-moment")
    return float(100 * newest(stack)["repository_bytes"] / full)


# ---------------------------------------------------------------- what came out


def answer_of(answers: int, database: int, seconds: dict[tuple[str, str], Figure], share: float) -> Answer:
    works = ("backup", "restore")
    faster = {work: seconds[REFERENCE, work].over(seconds[OURS, work]) for work in works}
    parallel = {work: seconds[PARALLEL, work].over(seconds[OURS, work]) for work in works}
    rows = tuple(Row(arm, tuple(seconds[arm, work] for work in works)) for arm in ARMS)
    times = (
        Row(f"times faster than {REFERENCE}", tuple(faster.values())),
        Row(f"times faster than {PARALLEL}", tuple(parallel.values())),
        Row(MOMENT, (seconds[MOMENT, "backup"], "-")),
    )
    return Answer(
        title=TITLE,
        how=f"""{answers:,} answers, a database of {database / 2**30:.1f} GB. Whole commands, with the start of their
        containers. Ours: `./scripts/ops backup physical --type full`; what it does for the drill besides, counting and
        hashing every row, is a line of its own (`--no-moment` leaves it out); `./scripts/ops restore physical
        --scratch`, to the first query. Theirs: into an empty database that is there already, to the first query.""",
        aims=(
            *(
                Aim(f"{work} at least {aim} times faster than {REFERENCE}", f"{found.median:.1f}×", found.median >= aim)
                for (work, found), aim in zip(faster.items(), (BACKUP_AIM, RESTORE_AIM), strict=True)
            ),
            Aim(f"an incremental after 1 % of change at most {CHANGE_AIM} %", f"{share:.1f} %", share <= CHANGE_AIM),
        ),
        tables=(Table("Time", works, (*rows, *times), plotted="restore"),),
        notes=("What archiving costs is in the question `safety`.",),
    )
