"""PgBouncer and direct connections: 8 to 1,000 clients, and what idle clients cost."""

import threading
import time
from collections.abc import Iterable

from bench import pgbench
from bench.core import Question, Samples, at_least, at_most
from bench.results import Aim, Table
from bench.stacks import archive, cpu_time, production, psql, usage
from testing.shell import eventually

GENERATORS = 4  # each opens its connections one after the other
POOLED, DIRECT, RESET = "pooled", "direct", "reset"
WAYS = {POOLED: "PgBouncer", DIRECT: "direct", RESET: "PgBouncer with DISCARD ALL after each transaction"}
THOUSAND, RECONNECTING = "1,000 clients", "8 clients, a connection per transaction"
CLIENTS = {"8 clients": 8, "100 clients": 100, THOUSAND: 1000, RECONNECTING: 8}
BACKENDS = "SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usename = '{}'"


class Pool(Question):
    title = "What pooling is worth"
    takes = "6 minutes (70 s)"
    arms = tuple(WAYS)
    how = """pgbench in a container on the same machine, as the application's role, over TLS 1.3 with a verified
        certificate and SCRAM, on both legs of the pooled way: begin, a read by unique key, commit. The servers have
        what a thousand direct connections need: max_connections = 1100 (ours has 100), no limit for the role, 6 GB of
        memory. PgBouncer's server connections are counted after each window: it closes none within one."""
    notes = (
        """The load generator shares the machine's CPUs. Logins (TLS and SCRAM) come before the measured time, except
        with a connection per transaction; the CPU time is with logins.""",
        "PgBouncer is one thread: it uses one CPU at most.",
    )

    def start(self) -> None:
        self.cases = self.bench.choose(tuple(CLIENTS), ("8 clients", THOUSAND))
        for arm in self.arms:
            self.bench.say(f"{self.name}: starting {arm}")
            given = {"POSTGRES_MEMORY": "6g", "BENCH_POSTGRES": "-c max_connections=1100"}
            overlays = ("bench", "clients", *[arm] * (arm == RESET))
            self.stacks[arm] = stack = production(self.bench, arm, *overlays, **given)
            stack.build("postgres", "pgbouncer", "app")
            stack.up("clients")
            archive(stack)
            psql(stack, f"ALTER ROLE {stack.role('app')} CONNECTION LIMIT -1")

    def _pgbench(self, arm: str, clients: int, script: str, *options: str) -> str:
        """As the application's role, over TLS with a verified certificate and SCRAM; what pgbench prints."""
        stack = self.stacks[arm]
        server = "host=postgres port=5432" if arm == DIRECT else "host=pgbouncer port=6432"
        who = f"{server} dbname={stack.database} user={stack.role('app')} sslmode=verify-full sslrootcert=/tls/ca.crt"
        command = f'PGPASSWORD=$(</run/secrets/app_password) exec pgbench "$@" "{who}"'
        words = ("--no-vacuum", "--client", str(clients), "--file", f"/bench/{script}.sql", *options)
        # It gives up on a client after its first error; one that is killed fails.
        return stack.exec("clients", "bash", "-c", command, "pgbench", *words, timeout=7200, check=False)

    def measure(self, arm: str, case: str) -> dict[str, float]:
        """So many transactions, not so many seconds: pgbench's clock would run while a thousand clients log in.

        Not `--protocol prepared`: pgbench prepares with a call that blocks its thread, and would wait for a server
        connection that another of its own clients holds.
        """
        stack, clients = self.stacks[arm], CLIENTS[case]
        each = (600 if case == RECONNECTING else self.bench.choose(12_000, 2000)) // clients
        options = f"--jobs 2 --protocol extended --transactions {each} {'--connect' * (case == RECONNECTING)}".split()
        cpu = cpu_time(stack, "postgres", "clients", *["pgbouncer"] * (arm != DIRECT))
        result = pgbench.parse(self._pgbench(arm, clients, "transaction", *options))
        result |= {"errors": each * clients - result["done"], **cpu(result["done"])}
        if arm != DIRECT:  # whose connections have ended
            result["backends"] = float(psql(stack, BACKENDS.format(stack.role("app"))))
        return result

    # ---------------------------------------------------------------- idle connections

    def finish(self) -> None:
        """PgBouncer's memory without clients, then with more and more that stay."""
        stack, self.held, before, empty = self.stacks[POOLED], Samples(), 0, 0.0
        stack.restart("pgbouncer")  # its memory from before is not the idle clients'
        eventually(lambda: not self._connections(), within=30)
        for clients in self.bench.choose((0, 1000, 10_000), (0, 200)):
            began = time.monotonic()
            for _ in range(GENERATORS if clients else 0):
                hold = (POOLED, (clients - before) // GENERATORS, "hold", "--time", "3600")
                threading.Thread(target=self._pgbench, args=hold, daemon=True).start()
            eventually(lambda: self._connections() >= clients, within=400, every=0.5)  # noqa: B023 - called here
            seconds, resident, before = time.monotonic() - began, self._resident(), clients
            empty = resident if not clients else empty
            values = {"resident": resident, "each": 1024 * (resident - empty) / max(clients, 1), "seconds": seconds}
            self.held[POOLED, f"{clients:,} held"] = [
                {**values, "container": usage(stack, "pgbouncer")["pgbouncer"][1]}
            ]
            self.bench.say(f"{self.name}: {clients:,} idle clients  {resident:.0f} MB")
        stack.compose("kill", "clients")

    def _connections(self) -> int:
        """Established connections at PgBouncer's port, 6432 (hexadecimal 1920), in its network namespace."""
        count = "awk '$2 ~ /:1920$/ && $4 == \"01\"' /proc/net/tcp /proc/net/tcp6 | wc -l"
        return int(self.stacks[POOLED].exec("pgbouncer", "sh", "-c", count))

    def _resident(self) -> float:
        """MB of the largest process in PgBouncer's container."""
        largest = "awk '/VmRSS/ && $2 > most {most = $2} END {print most}' /proc/[0-9]*/status 2>/dev/null"
        return float(self.stacks[POOLED].exec("pgbouncer", "sh", "-c", largest)) / 1024

    # ---------------------------------------------------------------- telling

    def aims(self, samples: Samples) -> Iterable[Aim]:
        pooled = [one for (arm, _), rounds in samples.items() if arm == POOLED for one in rounds]
        backends, errors = max(one["backends"] for one in pooled), sum(one["errors"] for one in pooled)
        direct = samples.total("errors")((DIRECT, THOUSAND))
        yield at_least(f"{THOUSAND}: at least {{}} times direct", 1.3, samples.over("tps", DIRECT)((POOLED, THOUSAND)))
        yield at_most("through the pooler no errors", 0, errors, f"{{:.0f}} errors (direct at 1,000: {direct})")
        # default_pool_size and reserve_pool_size of pg/pgbouncer.ini
        yield at_most("never more than {} server connections (pool and reserve)", 25, backends, "at most {:.0f}")
        held = list(self.held)[-1]
        megabytes = [self.held.of(metric, "", 0)(held) for metric in ("resident", "container")]
        memory = "PgBouncer {} MB resident, its container {} MB".format(*megabytes)
        yield Aim(held[1].replace("held", "connections held"), memory, met=True)  # it fails otherwise

    def tables(self, samples: Samples) -> Iterable[Table]:
        rows = {f"{case}: {title}": (arm, case) for case in CLIENTS for arm, title in WAYS.items()}
        transactions = {
            "transactions/s": samples.of("tps", "transactions/s", 0),
            "× direct": samples.over("tps", DIRECT),
            "latency": samples.of("latency", "ms"),
            "errors": samples.total("errors"),
            "most backends": samples.cell("backends", "", 0),
        }
        yield samples.table("Short transactions", rows, transactions, plotted="transactions/s", ours=POOLED)
        services = {"pgbouncer": "pgbouncer", "postgres": "postgres", "pgbench": "clients"}
        costs = {title: samples.cell(f"cpu {service}", "ms", 2) for title, service in services.items()}
        yield samples.table("CPU milliseconds a transaction costs", rows, costs)
        memory = {
            "resident": self.held.of("resident", "MB"),
            "container": self.held.of("container", "MB"),
            "resident per client": self.held.of("each", "kB"),
            "until all were in": self.held.of("seconds", "s"),
        }
        yield self.held.table("PgBouncer's memory with idle clients", {key[1]: key for key in self.held}, memory)
