"""A cluster of three servers: how long no client can write, and what its parts cost a player's answer."""

import json
from collections.abc import Iterable
from typing import Any

from bench import http_load, stacks
from bench.core import Question, Samples, at_most
from bench.questions.endpoints import ANSWERS_PER_SECOND, ASK, MANY, POST
from bench.results import Aim, Table
from testing.shell import Failed, eventually, run
from testing.stack import DEVELOPMENT

KILLED, SWITCHED = "the primary's server is killed", "planned switchover"
WHOLE, ALONE, STRAIGHT = "as it runs", "no standby is waited for", "PgBouncer straight to the primary, no HAProxy"
DEMOS: dict[str, tuple[str, ...]] = {KILLED: (), SWITCHED: ("--switchover",)}
# Patroni's setting, in etcd; what `pgcluster configure` brings back.
MODE = """import sys; from pgcluster import rest; rest.own("PATCH", "/config", {"synchronous_mode": sys.argv[1]})"""
HEALED_WITHIN = 120  # seconds


class Failover(Question):
    title = "A cluster that loses its primary, and what it costs"
    takes = "8 minutes (3 minutes)"
    arms = (KILLED, SWITCHED, WHOLE, ALONE, STRAIGHT)
    how = f"""Three servers under Patroni, three etcd, HAProxy, PgBouncer, and the application on one machine
        (`./scripts/up --cluster`, with production's pooler settings). Failovers: `./scripts/ops cluster demo`, eight
        writers with twenty operations a second each. Costs: answers of players over https by wrk at {MANY}
        connections, as in the question `endpoints`; the arms differ in one thing of the same running cluster."""
    notes = (
        """All three servers share the CPUs and the disk of one machine. On three hosts a commit waits for a network
        instead of for the other servers' CPU time.""",
    )

    def start(self) -> None:
        self.seconds, players = self.bench.choose((6, 2000), (2, 500))
        self.bench.say(f"{self.name}: starting the cluster")
        files = (*DEVELOPMENT, "docker/compose/cluster.yml", *map(stacks.overlay, ("cluster", "load")))
        self.stack = stacks.compose(self.bench, self.name, *files, COMPOSE_PROFILES="backup")
        # Its members share an image: built by several services at once, they would get one each.
        self.stack.build("db1", "etcd-db1", "haproxy", "ops", "pgbouncer", "app", "proxy", "load")
        self.stack.up()
        printed = self.stack.exec("app", "python", "-", str(players), stdin=(stacks.INSIDE / "players.py").read_text())
        self.sessions: dict[str, str] = json.loads(printed.strip().splitlines()[-1])
        self.straight = ""  # the member to which PgBouncer connects without HAProxy
        self._healthy()

    # ---------------------------------------------------------------- the cluster

    def _status(self) -> dict[str, Any]:
        found = self.stack.command("./scripts/ops", "cluster", "status", "--json", check=False).stdout
        status: dict[str, Any] = json.loads(found) if found.startswith("{") else {"problems": ["no answer"]}
        return status

    def _healthy(self) -> str:
        """Wait until nothing is wrong; the primary's name."""
        eventually(lambda: not self._status()["problems"] or None, within=HEALED_WITHIN, every=0.5)
        return str(self._status()["primary"])

    def _wait_for_standbys(self, on: bool) -> None:
        """Whether a commit waits for a standby."""
        primary = str(self._status()["primary"])
        python = ("env", "PYTHONPATH=/usr/local/lib/flaglearning", "python3", "-c", MODE)
        self.stack.exec(primary, *python, "quorum" if on else "off")
        sql = ("psql", "-XqAt", "-h", "/run/postgresql", "-U", "postgres", "-c", "SHOW synchronous_standby_names")
        eventually(lambda: bool(self.stack.exec(primary, *sql).strip()) == on or None, within=30)

    def _go_straight(self, member: str) -> None:
        """Make the name `postgres`, to which PgBouncer connects, a member's; with "", HAProxy's again."""
        network = f"{self.stack.project}_database"
        for action, service in (("disconnect", self.straight or "haproxy"), ("connect", member or "haproxy")):
            alias = ("--alias", "postgres") if action == "connect" else ()
            run("docker", "network", action, *alias, network, f"{self.stack.project}-{service}-1")
        self.straight = member

    # ---------------------------------------------------------------- measuring

    def measure(self, arm: str, case: str) -> dict[str, float]:
        primary = self._healthy()
        if arm in DEMOS:
            return self._demo(arm)
        if arm == ALONE:
            self._wait_for_standbys(False)
        if arm == STRAIGHT:
            self._go_straight(primary)
        try:
            return self._answers(primary)
        finally:
            if arm == ALONE:
                self._wait_for_standbys(True)
            if arm == STRAIGHT:
                self._go_straight("")

    def _demo(self, arm: str) -> dict[str, float]:
        """The verdict of `./scripts/ops cluster demo`."""
        words = ("./scripts/ops", "cluster", "demo", "--yes", "--json", *DEMOS[arm])
        verdict = json.loads(self.stack.command(*words).stdout)
        assert not verdict["violations"], verdict["violations"]
        metrics = {"gap": "gap_s", "longest": "longest_s", "acknowledged": "acknowledged", "failed": "failed"}
        values = {metric: float(verdict[name]) for metric, name in metrics.items()}
        return {**values, "unknown": float(verdict["unknown"]), "lost": float(len(verdict["lost"]))}

    def _answers(self, primary: str) -> dict[str, float]:
        """Players' answers. In each arm PgBouncer has started anew, and all connections were made before."""
        self.stack.restart("pgbouncer")

        def reachable() -> bool | None:
            try:
                http_load.check(self.stack, "/api/me/statistics", next(iter(self.sessions.values())), '"accuracy"')
            except (AssertionError, Failed):
                return None
            return True

        eventually(reachable, within=60, every=0.2)
        http_load.wrk(self.stack, self._requests(primary, self.seconds), MANY, self.seconds)
        requests = self._requests(primary, self.seconds)
        cpu = stacks.cpu_time(self.stack, "haproxy", "pgbouncer", primary)
        seen = http_load.wrk(self.stack, requests, MANY, self.seconds)
        spent = cpu(seen["rps"] * self.seconds)
        return {**seen, "cpu haproxy": spent["cpu haproxy"], "cpu primary": spent[f"cpu {primary}"]}

    def _requests(self, primary: str, seconds: int) -> list[str]:
        each = -(-ANSWERS_PER_SECOND * seconds // len(self.sessions))
        words = ("psql", "-XqAt", "-h", "/run/postgresql", "-U", "postgres", "-d", self.stack.database)
        printed = self.stack.exec(primary, *words, "-v", f"each={each}", "-f", "-", stdin=ASK, timeout=600)
        rows = (line.split("|") for line in printed.strip().splitlines())
        return [POST.format(id=question, session=self.sessions[user], code=code) for question, user, code in rows]

    # ---------------------------------------------------------------- telling

    def aims(self, samples: Samples) -> Iterable[Aim]:
        gap = samples.of("gap", "s")((KILLED, ""))
        longest = samples.of("longest", "s", 2)((SWITCHED, ""))
        lost = sum(one["lost"] for arm in DEMOS for one in samples[arm, ""])
        failed = sum(one["failed"] + one["unknown"] for one in samples[SWITCHED, ""])
        yield at_most("acknowledged writes lost: {}", 0, lost, "{:.0f}")
        yield at_most(f"{KILLED}: no write for at most {{}} s", 3, gap.median, f"{gap} s")
        yield at_most(f"{SWITCHED}: {{}} operations fail", 0, failed, "{:.0f}")
        yield at_most(f"{SWITCHED}: the longest takes at most {{}} s", 1.5, longest.median, f"{longest} s")

    def tables(self, samples: Samples) -> Iterable[Table]:
        demos = {arm: (arm, "") for arm in DEMOS}
        events = {
            "no write for": samples.of("gap", "s", 2),
            "longest operation": samples.of("longest", "s", 2),
            "acknowledged": samples.total("acknowledged"),
            "failed": samples.total("failed"),
            "unknown": samples.total("unknown"),
            "lost": samples.total("lost"),
        }
        yield samples.table("What clients see", demos, events, "no write for")
        ways = {arm: (arm, "") for arm in (WHOLE, ALONE, STRAIGHT)}
        costs = {
            "answers/s": samples.of("rps", "answers/s", 0),
            f"× {WHOLE}": samples.over("rps", WHOLE),
            "p99": samples.of("p99", "ms"),
            "CPU of HAProxy, an answer": samples.of("cpu haproxy", "ms", 2),
            "CPU of the primary, an answer": samples.of("cpu primary", "ms", 2),
            "errors": samples.total("errors"),
        }
        yield samples.table("Answers, with one thing of the cluster left out", ways, costs, "answers/s", WHOLE)
