"""A database cluster as a test sees it: who is the primary, faults, and what has to be true after each."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

from failover_history import Verdict
from ops.flows.failover_demo import Load
from support.ops import Ops
from support.postgres import Postgres
from testing.shell import eventually, run
from testing.stack import DEVELOPMENT, TAG, Stack

FILES = (*DEVELOPMENT, "docker/compose/cluster.yml")
MEMBERS = ("db1", "db2", "db3")
PSQL = ("psql", "-XqAt", "-h", "/run/postgresql", "-U", "postgres")
HEALED_WITHIN = 60  # seconds
SUM = "SELECT count(*) || ' ' || coalesce(sum(id), 0) FROM public.failover_row"


IMAGE = f"flaglearning/lab-host:{TAG}"  # a system with `ip` and `strace`, for faults inside another container
# In an etcd's container.
ETCDCTL = (
    'etcdctl --endpoints="$ETCD_ADVERTISE_CLIENT_URLS" --cacert=/tls/ca.crt --cert=/tls/tls.crt --key=/tls/tls.key '
)


def figures(verdict: Verdict) -> str:
    """In one line."""
    return (
        f"{' → '.join(verdict.eras)}: no write for {verdict.gap_s:.2f} s, {verdict.acknowledged} acknowledged, "
        f"{verdict.failed} failed, {verdict.unknown} unknown, {len(verdict.lost)} lost, "
        f"longest {verdict.longest_s:.2f} s"
    )


Note = Callable[[Verdict, float], None]  # fixtures of tests/cluster/conftest.py
Finish = Callable[[Load], Verdict]


class Primary(Postgres):
    """The primary, through HAProxy."""

    service = "haproxy"


class Cluster:
    """`cluster.cut_off("db1")`, `cluster.primary()`, `with cluster.load() as load`."""

    def __init__(self, stack: Stack, ops: Ops) -> None:
        self.stack, self.ops = stack, ops
        self.cut: set[str] = set()
        self.killed: set[str] = set()
        self.frozen: set[str] = set()
        self.routes: dict[str, set[str]] = {}  # service → addresses to which it can't send

    # ------------------------------------------------------------ looking

    def status(self) -> dict[str, Any]:
        """`./scripts/ops cluster status --json`."""
        found: dict[str, Any] = self.ops("cluster", "status", "--json").json
        return found

    def primary(self) -> str:
        """The primary's name, as the first member says that answers; "" when there is none."""
        said = (self.stack.exec(name, "pgcluster", "primary", check=False).strip() for name in MEMBERS)
        return next((name for name in said if name in MEMBERS), "")

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
        return self.stack.exec(member, *PSQL, "-d", database or self.stack.database, "-c", sql).strip()

    # ------------------------------------------------------------ writing

    @contextlib.contextmanager
    def load(self, seconds: float = 240) -> Iterator[Load]:
        """Writers through PgBouncer; the block begins when they are under way, and has a second more at its end."""
        with Load(self.stack.environment, keep=True, seconds=seconds) as load:
            assert load.wait(lambda: load.acknowledged() > 100, 60), "no write succeeded"
            yield load
            time.sleep(1)

    def judge(self, load: Load) -> Verdict:
        """The verdict, if nothing is wrong with it, and every member has the same rows."""
        verdict = load.verdict()
        assert verdict.lost == []
        assert verdict.violations == [], verdict.violations
        self.mend()
        self.healthy()
        eventually(lambda: len({self.value(member, SUM) for member in MEMBERS}) == 1, within=20)
        return verdict

    # ------------------------------------------------------------ faults

    def container(self, service: str) -> str:
        return f"{self.stack.project}-{service}-1"

    def kill_postmaster(self, member: str) -> None:
        self.stack.exec(member, "pgcluster", "kill")

    def signal(self, member: str, name: str) -> None:
        """Send a signal to each process of a member's server; Patroni gets none."""
        script = """
        for file in /proc/[0-9]*/comm; do
            folder=${file%/comm}; read -r name <"$file" && [ "$name" = postgres ] && kill "-$1" "${folder#/proc/}"
        done 2>/dev/null || true"""
        self.stack.exec(member, "sh", "-c", script, "sh", name)

    def kill(self, *services: str) -> None:
        """The whole containers; Docker starts them again only in `mend`."""
        run("docker", "kill", *map(self.container, services))
        self.killed.update(services)

    def freeze(self, *services: str) -> None:
        """Stop their processes until `mend`; connections stay open."""
        run("docker", "pause", *map(self.container, services))
        self.frozen.update(services)

    def others(self, member: str) -> list[str]:
        """The services of the other hosts."""
        return [service for name in MEMBERS if name != member for service in (name, f"etcd-{name}")]

    def address(self, service: str) -> str:
        """In the members' network."""
        networks = self.stack.inspect(service)["NetworkSettings"]["Networks"]
        return str(networks[f"{self.stack.project}_cluster"]["IPAddress"])

    def drop(self, service: str, *targets: str) -> None:
        """What a service sends to these is lost, until `mend`; what they send arrives."""
        self.routes.setdefault(service, set()).update(map(self.address, targets))
        self.route("replace", service)

    def route(self, action: str, service: str) -> None:
        """Replace or delete a service's routes into nowhere, all at once."""
        run("docker", "build", "--quiet", "--tag", IMAGE, "docker/lab-host", timeout=600)
        script = 'for address; do ip route "$0" blackhole "$address/32"; done'
        words = ["docker", "run", "--rm", f"--network=container:{self.container(service)}", "--cap-add=NET_ADMIN"]
        words += ["--entrypoint=sh", IMAGE, "-c", script, action, *sorted(self.routes[service])]
        run(*words, check=action == "replace")

    @contextlib.contextmanager
    def slow_sync(self, service: str, seconds: float) -> Iterator[None]:
        """The service's process waits so long after each sync to the disk (strace's fault injection)."""
        run("docker", "build", "--quiet", "--tag", IMAGE, "docker/lab-host", timeout=600)
        name = f"{self.stack.project}-slow-sync"
        words = ["docker", "run", "--detach", "--rm", "--name", name, f"--pid=container:{self.container(service)}"]
        words += [
            "--label",
            f"flaglearning-test={self.stack.project}",
            "--cap-add=SYS_PTRACE",
            "--entrypoint=sh",
            IMAGE,
        ]
        delay = f"fdatasync,fsync:delay_exit={round(seconds * 1e6)}"
        script = f"exec strace --follow-forks --quiet=all --inject={delay} --attach=$(pgrep --oldest --exact etcd)"
        run(*words, "-c", f"{script} --trace=fdatasync,fsync")
        try:
            yield
        finally:
            run("docker", "rm", "--force", name)

    def lead_etcd(self, service: str) -> None:
        """Make this etcd the leader of the three."""
        endpoints = ",".join(f"https://etcd-{name}:2379" for name in MEMBERS)
        script = f"""
        id=$({ETCDCTL} endpoint status --write-out=fields | sed -n 's/^"MemberID" : //p')
        ETCD_ADVERTISE_CLIENT_URLS={endpoints} ; {ETCDCTL} move-leader "$(printf %x "$id")" || true"""
        self.stack.exec(service, "sh", "-ec", script)

    def fill_etcd(self) -> None:
        """Write until etcd says that its space is exceeded."""
        script = f"""
        head -c 1000000 /dev/zero | tr '\\0' x >/dev/shm/value
        for n in $(seq 600); do
            said=$({ETCDCTL} --command-timeout=20s put "/fill/$n" </dev/shm/value 2>&1) || true
            case $said in *'space exceeded'*) exit 0 ;; esac
        done
        echo "$said"; exit 1"""
        self.stack.exec("etcd-db1", "sh", "-ec", script, timeout=900)

    def empty_etcd(self) -> None:
        """Delete that again, and let etcd take writes (etcd 3.5 docs, "Maintenance", space quota)."""
        script = f"""
        {ETCDCTL} del --prefix /fill/ >/dev/null
        revision=$({ETCDCTL} endpoint status --write-out=fields | sed -n 's/^"Revision" : //p')
        {ETCDCTL} compact "$revision" >/dev/null"""
        self.stack.exec("etcd-db1", "sh", "-ec", script)
        for member in MEMBERS:
            self.stack.exec(f"etcd-{member}", "sh", "-ec", f"{ETCDCTL} --command-timeout=30s defrag")
        self.stack.exec("etcd-db1", "sh", "-ec", f"{ETCDCTL} alarm disarm")

    def strict(self, on: bool) -> None:
        """CLUSTER_STRICT, as ./scripts/up applies it."""
        value = f"CLUSTER_STRICT={str(on).lower()}"
        self.stack.compose("exec", "-T", "--env", value, "db1", "pgcluster", "configure")

    def repository(self, mode: str) -> None:
        """Give the backups' repository this mode: 000, and it can't be written, as if its host were away."""
        words = ["docker", "run", "--rm", "--user=root", f"--volume={self.stack.project}_repository:/repository"]
        image = self.stack.config["services"]["db1"]["image"]
        run(*words, "--entrypoint=chmod", image, mode, "/repository")

    def log(self, service: str, seconds: int) -> str:
        """What a service logged in the last seconds."""
        done = run("docker", "logs", "--since", f"{seconds}s", self.container(service))
        return done.stdout + done.stderr

    def cut_off(self, member: str) -> None:
        """Take a host off the network: the server and its etcd. Packets to it get no answer."""
        for service in (member, f"etcd-{member}"):
            run("docker", "network", "disconnect", f"{self.stack.project}_cluster", self.container(service))
        self.cut.add(member)

    def mend(self) -> None:
        """Bring back what a test took away."""
        for service in self.routes:
            self.route("del", service)
        self.routes.clear()
        for service in self.frozen:
            run("docker", "unpause", self.container(service))
        self.frozen.clear()
        for member in self.cut:
            network = f"{self.stack.project}_cluster"
            for service in (f"etcd-{member}", member):
                run("docker", "network", "connect", "--alias", service, network, self.container(service), check=False)
        self.cut.clear()
        for service in self.killed:
            run("docker", "start", self.container(service))
        self.killed.clear()
