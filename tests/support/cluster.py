"""A database cluster as a test sees it: who is the primary, faults, and what has to be true after each."""

import contextlib
import time
from collections.abc import Iterator
from typing import Any

from failover_history import Verdict
from ops.flows.failover_demo import Load
from support.ops import Ops
from support.postgres import Postgres
from testing.shell import eventually, run
from testing.stack import DEVELOPMENT, Stack

FILES = (*DEVELOPMENT, "docker/compose/cluster.yml")
MEMBERS = ("db1", "db2", "db3")
HEALED_WITHIN = 60  # seconds
SUM = "SELECT count(*) || ' ' || coalesce(sum(id), 0) FROM public.failover_row"


class Primary(Postgres):
    """The primary, through HAProxy."""

    service = "haproxy"


class Cluster:
    """`cluster.cut_off("db1")`, `cluster.primary()`, `with cluster.load() as load`."""

    def __init__(self, stack: Stack, ops: Ops) -> None:
        self.stack, self.ops = stack, ops
        self.cut: set[str] = set()
        self.killed: set[str] = set()

    # ------------------------------------------------------------ looking

    def status(self) -> dict[str, Any]:
        """`./scripts/ops cluster status --json`."""
        found: dict[str, Any] = self.ops("cluster", "status", "--json").json
        return found

    def primary(self) -> str:
        """The primary's name."""
        return str(self.status()["primary"])

    def standbys(self) -> list[str]:
        primary = self.primary()
        return [name for name in MEMBERS if name != primary]

    def healthy(self) -> float:
        """Wait until no problem is left; after how many seconds."""
        started = time.monotonic()
        eventually(lambda: not (self.status()["problems"]) or None, within=HEALED_WITHIN, every=0.5)
        return time.monotonic() - started

    def checklist(self, checks: str) -> Any:
        """`./scripts/checklist` with these checks, ended."""
        words = ("./scripts/checklist", "--target", f"docker://{self.stack.project}", "-k", checks)
        return self.stack.command(*words, check=False)

    def value(self, member: str, sql: str, database: str = "") -> str:
        """What one statement returns on a member, through its socket."""
        words = ("psql", "-XqAt", "-h", "/run/postgresql", "-U", "postgres", "-d", database or self.stack.database)
        return self.stack.exec(member, *words, "-c", sql).strip()

    # ------------------------------------------------------------ writing

    @contextlib.contextmanager
    def load(self) -> Iterator[Load]:
        """Writers through PgBouncer; the block begins when they are under way, and has a second more at its end."""
        with Load(self.stack.environment, keep=True, seconds=180) as load:
            assert load.wait(lambda: load.acknowledged() > 100, 60), "no write succeeded"
            yield load
            time.sleep(1)

    def judge(self, load: Load) -> Verdict:
        """The verdict, if nothing is wrong with it, and every member has the same rows."""
        verdict = load.verdict()
        assert verdict.lost == []
        assert verdict.violations == []
        self.mend()
        self.healthy()
        eventually(lambda: len({self.value(member, SUM) for member in MEMBERS}) == 1, within=20)
        return verdict

    # ------------------------------------------------------------ faults

    def container(self, service: str) -> str:
        return f"{self.stack.project}-{service}-1"

    def kill_postmaster(self, member: str) -> None:
        self.stack.exec(member, "pgcluster", "kill")

    def kill(self, service: str) -> None:
        """The whole container; Docker starts it again only in `mend`."""
        run("docker", "kill", self.container(service))
        self.killed.add(service)

    def cut_off(self, member: str) -> None:
        """Take a host off the network: the server and its etcd. Packets to it get no answer."""
        for service in (member, f"etcd-{member}"):
            run("docker", "network", "disconnect", f"{self.stack.project}_cluster", self.container(service))
        self.cut.add(member)

    def mend(self) -> None:
        """Bring back what a test took away."""
        for member in self.cut:
            network = f"{self.stack.project}_cluster"
            for service in (f"etcd-{member}", member):
                run("docker", "network", "connect", "--alias", service, network, self.container(service), check=False)
        self.cut.clear()
        for service in self.killed:
            run("docker", "start", self.container(service))
        self.killed.clear()
