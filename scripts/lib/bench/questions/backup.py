"""Backups and dumps, and restores to the first query, beside what the reference types: pg_dump, gzip, psql."""

import json
import shlex
import time
from collections.abc import Iterable
from typing import Any

from bench.core import Question, Samples, at_least, at_most
from bench.questions.growth import DATABASE, EACH, fill
from bench.results import Aim, Figure, Row, Table
from bench.stacks import compose, psql
from testing.shell import eventually
from testing.stack import DEVELOPMENT

OURS, DUMP, REFERENCE, PARALLEL = "pgBackRest", "./scripts/ops dump", "pg_dump | gzip", "pg_dump -Fd -j2"
MARK = "a restore point with row checksums, for the drill"
TARGET, FILES, FIRST_QUERY = "flaglearning_reference", "/dumps/reference", "'SELECT count(*) FROM flags_country'"
BACKUPS = {
    OURS: "./scripts/ops backup create --type full --no-mark",
    DUMP: "./scripts/ops dump full",
    REFERENCE: f"pg_dump {DATABASE} | gzip >{FILES}",
    PARALLEL: f"pg_dump -Fd -j2 -f {FILES} {DATABASE}",
    MARK: "./scripts/ops backup mark",
}
QUERY = f"psql -XAtc {FIRST_QUERY}"
# The reference doesn't stop at errors: some about extensions are for the superuser.
RESTORES = {
    OURS: ("./scripts/ops restore backup --backup {label} --sandbox --yes", f"./scripts/ops sandbox {QUERY}"),
    DUMP: ("./scripts/ops restore dump latest --yes", f"./scripts/ops {QUERY}"),
    REFERENCE: (f"gunzip -c <{FILES} | psql -q {TARGET} >/dev/null 2>&1; {QUERY} {TARGET}",),
    PARALLEL: (f"pg_restore -j2 -Ox -d {TARGET} {FILES} >/dev/null 2>&1 || true; {QUERY} {TARGET}",),
}
# The reference's commands run in the container of ours, over the same TLS, as roles of the same rights.
CONNECT = """set -eo pipefail
export PGHOST=postgres PGSSLMODE=verify-full PGSSLROOTCERT=/tls/ca.crt PGUSER=flaglearning_{role}
PGPASSWORD=$(cat /run/secrets/{role}_password); export PGPASSWORD
"""
CHANGE = """
    UPDATE flags_useranswer SET is_correct = NOT is_correct
    WHERE id <= (SELECT min(id) + (max(id) - min(id)) / 100 FROM flags_useranswer);
    VACUUM flags_useranswer
"""
RETAINED = """
    SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database
    WHERE datname ~ '_before_' OR datname = 'flaglearning_reference' \\gexec
"""
WAITING = "SELECT count(*) FROM pg_ls_archive_statusdir() WHERE name LIKE '%.ready'"


class Backup(Question):
    title = "Backups and dumps, and restores to the first query"
    takes = "40 minutes (3 minutes)"
    arms = (OURS, DUMP, REFERENCE, PARALLEL, MARK)
    rounds = 2
    notes = ("What archiving costs is in the question `safety`.",)

    def start(self) -> None:
        answers = self.bench.choose(24_000_000, 100_000)  # 7 GB
        self.stack = compose(self.bench, self.name, *DEVELOPMENT, COMPOSE_PROFILES="backup", BACKUP_AT="off")
        self.stack.build("postgres", "pgbouncer", "app", "ops")
        self.stack.up("app", "backup")
        self.bench.say(f"{self.name}: making {answers:,} answers")
        fill(self.stack, 1, answers // EACH)
        gigabytes = int(psql(self.stack, f"SELECT pg_database_size('{DATABASE}')")) / 2**30
        self.how = f"""{answers:,} answers, a database of {gigabytes:.1f} GB. Whole commands, with the start of their
            containers, to the first query. `./scripts/ops backup create --type full --no-mark` (the restore point for
            the drill is a line of its own) and `restore backup --sandbox`; `./scripts/ops dump full` (dump, counting
            the rows, reading it back) and `restore dump` (checksums, staging database, load, counting, ANALYZE,
            rename). The reference's restores go into an empty database that exists already; no check, no ANALYZE."""

    def measure(self, arm: str, case: str) -> dict[str, float]:
        seconds, _ = self._timed(BACKUPS[arm])
        if arm == MARK:
            return {"backup": seconds}
        size = self._newest()["repository_bytes"] if arm == OURS else self._run("du -sb /dumps | cut -f 1")
        if arm in (REFERENCE, PARALLEL):
            psql(self.stack, f"CREATE DATABASE {TARGET} OWNER flaglearning_owner TEMPLATE template0")
            psql(self.stack, "CREATE EXTENSION pg_stat_statements; CREATE EXTENSION pgaudit", TARGET)
        label = self._newest()["label"]
        restored, counted = self._timed(*(command.format(label=label) for command in RESTORES[arm]), role="migrator")
        assert int(counted) > 100, f"{arm} restored {counted} countries"
        if arm == OURS:
            self._run("./scripts/ops sandbox drop --yes")
        psql(self.stack, RETAINED)
        self._run("rm -rf /dumps/*")
        return {"backup": seconds, "restore": restored, "size": float(size) / 2**20}

    def _timed(self, *commands: str, role: str = "ops") -> tuple[float, str]:
        """Seconds, and what the last command printed; not while the WAL of the arm before is being archived."""
        psql(self.stack, "CHECKPOINT")
        eventually(lambda: psql(self.stack, WAITING) == "0", within=600, every=0.5)
        began = time.monotonic()
        printed = [self._run(command, role) for command in commands]
        return time.monotonic() - began, printed[-1]

    def _run(self, command: str, role: str = "ops") -> str:
        """On this machine if it is ours, else in the ops container."""
        if command.startswith("./scripts/ops"):
            return str(self.stack.command(*shlex.split(command), timeout=7200).stdout)
        words = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "bash", "ops", "-c")
        return self.stack.compose(*words, CONNECT.format(role=role) + command, timeout=7200)

    def _newest(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self._run("./scripts/ops backup list --json"))[-1]
        return found

    def finish(self) -> None:
        """An incremental backup, in percent of the full one's size, after 1 % of the answers have changed."""
        self._run(BACKUPS[OURS])
        full = self._newest()["repository_bytes"]
        psql(self.stack, CHANGE, DATABASE)
        self._run("./scripts/ops backup create --type incr --no-mark")
        self.share = 100 * float(self._newest()["repository_bytes"]) / full

    # ---------------------------------------------------------------- telling

    def aims(self, samples: Samples) -> Iterable[Aim]:
        for arm, work, limit in ((OURS, "backup", 5), (OURS, "restore", 8), (DUMP, "backup", 3), (DUMP, "restore", 3)):
            ratio = times(samples, arm, REFERENCE, work)
            yield at_least(f"{arm}: {work} at least {{}} times faster than {REFERENCE}", limit, ratio)
        smaller = 100 * samples.over("size", REFERENCE)((DUMP, "")).median
        yield at_most("the dump at most {} % of the reference's size", 100, smaller, "{:.1f} %")
        yield at_most("an incremental after 1 % of change at most {} %", 5, self.share, "{:.1f} %")

    def tables(self, samples: Samples) -> Iterable[Table]:
        works = {work: samples.cell(work, "s") for work in ("backup", "restore")}
        columns = {**works, "size": samples.cell("size", "MB", 0)}
        yield samples.table("Time and size", {arm: (arm, "") for arm in self.arms}, columns, "backup", DUMP)
        pairs = [(arm, other) for arm in (OURS, DUMP) for other in (REFERENCE, PARALLEL)]
        ratios = [tuple(times(samples, arm, other, work) for work in works) for arm, other in pairs]
        rows = [Row(f"{arm} than {other}", ratio) for (arm, other), ratio in zip(pairs, ratios, strict=True)]
        yield Table("How many times faster", tuple(works), tuple(rows))


def times(samples: Samples, arm: str, other: str, work: str) -> Figure:
    return samples.of(work)((other, "")).over(samples.of(work)((arm, "")))
