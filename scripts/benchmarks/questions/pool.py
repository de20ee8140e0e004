"""What pooling is worth: PgBouncer and direct connections, 8 to 1,000 clients, and what idle clients cost."""

import configparser
import contextlib
import dataclasses
import os
import threading
from concurrent.futures import ThreadPoolExecutor

from benchmarks import arms, engine, stacks
from benchmarks.results import Aim, Answer, Figure, Row, Table, figure
from benchmarks.run import Run, wait_until
from benchmarks.servers import found
from benchmarks.stacks import Config, Services, Stack, with_copy
from testing.shell import Failed

NAME = "pool"
TITLE = "What pooling is worth"
TAKES = "5 minutes; 25 s"
TIMES = 3

CROWD, QUICK_CROWD = (8, 100, 1000), (8, 1000)
IDLE = 10_000
GENERATORS = 4  # each opens its connections one after the other

# One transaction: begin, a read by unique key, commit.
TRANSACTION = "BEGIN;\nSELECT name FROM flags_country WHERE code = 'FR';\nCOMMIT;\n"
VERIFIED = "sslmode=verify-full sslrootcert=/tls/ca.crt"
HOLD = "\\sleep 3600 s\n"

# What a server needs to let a thousand in by themselves; ours has 100 places, and the pool takes 50 of them.
FOR_A_THOUSAND = {"max_connections": "1100"}
MEMORY, PROCESSES = "6g", 1500


@dataclasses.dataclass(frozen=True)
class Way:
    """How clients reach the server: from which container, at which host and port, past which pooler."""

    title: str
    clients: str
    server: str
    pooler: str = ""

    @property
    def peer(self) -> str:
        """The service that the server sees."""
        return self.pooler or self.clients


POOLED, DIRECT, LEAKING = "pooled", "direct", "leaking"
WAYS = {
    POOLED: Way("PgBouncer", "clients", "host=pgbouncer port=6432", "pgbouncer"),
    DIRECT: Way("direct", "clients", "host=postgres port=5432"),
    LEAKING: Way("PgBouncer without RESET ALL", "clients-leaking", "host=pgbouncer port=6432", "pgbouncer-leaking"),
}

# Read here, where the pooler reads it.
SETTINGS = configparser.ConfigParser()
SETTINGS.read("pg/pgbouncer.ini", encoding="utf-8")


def most_backends() -> int:
    """The server connections that one pool may have: its size and its reserve."""
    pooler = SETTINGS["pgbouncer"]
    return int(pooler["default_pool_size"]) + int(pooler["reserve_pool_size"])


@dataclasses.dataclass(frozen=True)
class Load:
    """So many clients; `reconnecting`: each transaction on a connection of its own (pgbench -C)."""

    clients: int
    reconnecting: bool = False

    def __str__(self) -> str:
        return f"{self.clients:,} clients" + (", a connection per transaction" if self.reconnecting else "")


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Clients running transactions for some seconds."""

    tps: float
    latency_ms: float
    errors: int
    backends: int
    cpu_ms: dict[str, float]


Seen = dict[tuple[Load, str], list[Stretch]]


def answer(run: Run) -> Answer:
    """Short transactions by few and by many clients, both ways in turns; then idle connections and their memory."""
    with stacks.removed_afterwards(stacks.write(run, _config(run))) as stack:
        run.say("pool: building and starting")
        stack.build()
        stack.up()
        superuser = ("psql", "-Xq", "-h", "/run/postgresql", "-U", "postgres")
        stack.exec("postgres", *superuser, "-c", f"ALTER ROLE {stack.role('app')} CONNECTION LIMIT -1")
        seen = _rounds(run, stack)
        held = [] if run.quick else _hold(run, stack)
    return _answer(seen, held)


def _config(run: Run) -> Config:
    config = stacks.measured_production(run, "fl-bench-pool")
    server = config["services"]["postgres"]
    server |= {"mem_limit": MEMORY, "pids_limit": PROCESSES}
    arms.mount(server, _file(run, "bench.conf", FOR_A_THOUSAND), "/etc/postgresql/local.d/bench.conf")
    app = with_copy(config, "app", "leaking")  # only to be told where the pooler is
    arms.add_leaking_pooler(config, run, app)
    _add_clients(config, run, "clients", config["services"]["app"], "application", "database")
    _add_clients(config, run, "clients-leaking", app, *app["networks"])
    for server in ("app", "leaking", "proxy"):  # whose connections would be among those that are counted
        del config["services"][server]
    return config


def _file(run: Run, name: str, settings: dict[str, str]) -> str:
    file = run.work / name
    file.write_text("".join(f"{setting} = '{value}'\n" for setting, value in settings.items()), encoding="utf-8")
    file.chmod(0o644)
    return str(file)


def _add_clients(config: Config, run: Run, name: str, app: Services, *networks: str) -> None:
    """A container for pgbench, which finds what this app would find."""
    clients: Services = with_copy(config, "postgres", name)
    for unneeded in ("healthcheck", "environment", "mem_limit", "cpus", "pids_limit"):
        clients.pop(unneeded, None)
    scripts = {"transaction.sql": TRANSACTION, "hold.sql": HOLD}
    for script, text in scripts.items():
        (run.work / script).write_text(text, encoding="utf-8")
        (run.work / script).chmod(0o644)
    clients |= {
        "entrypoint": ["sleep", "infinity"],
        "command": [],
        "depends_on": app["depends_on"],
        "networks": dict.fromkeys(networks),
        "secrets": [{"source": "app_password", "target": "/run/secrets/app_password"}],
        "ulimits": {"nofile": 16384},
        "tmpfs": ["/tmp"],  # noqa: S108
        "volumes": [mount for mount in app["volumes"] if mount["target"] == "/tls"]
        + [
            {"type": "bind", "source": str(run.work / script), "target": f"/{script}", "read_only": True}
            for script in scripts
        ],
    }


def _pgbench(stack: Stack, way: Way, clients: int, script: str, *options: str) -> str:
    """pgbench as the application's role, over TLS with a verified certificate and SCRAM; what it prints."""
    who = f"{way.server} dbname={stack.database} user={stack.role('app')}"
    command = f'PGPASSWORD=$(</run/secrets/app_password) exec pgbench "$@" "{who} {VERIFIED}"'
    arguments = ("--no-vacuum", "--client", str(clients), "--file", f"/{script}", *options)
    return stack.exec(way.clients, "bash", "-c", command, "pgbench", *arguments)


# ---------------------------------------------------------------- short transactions


def _rounds(run: Run, stack: Stack) -> Seen:
    seen: Seen = {}
    ways = run.choose(tuple(WAYS), (POOLED, DIRECT))
    loads = run.choose((*map(Load, CROWD), Load(8, reconnecting=True)), tuple(map(Load, QUICK_CROWD)))
    rounds = run.choose(3, 1)
    for number, load in run.rounds(rounds, loads):
        for name in ways if number % 2 else reversed(ways):
            stretch = _stretch(stack, WAYS[name], load, _transactions(run, load))
            seen.setdefault((load, name), []).append(stretch)
            run.say(
                f"pool: round {number}/{rounds}  {name:<8} {load!s:<42} {stretch.tps:6.0f} transactions/s  "
                f"{stretch.errors} errors  at most {stretch.backends} backends"
            )
    return seen


def _transactions(run: Run, load: Load) -> int:
    """In all: some seconds' worth. A login costs as much CPU time as dozens of them."""
    return 600 if load.reconnecting else run.choose(12_000, 2000)


def _stretch(stack: Stack, way: Way, load: Load, transactions: int) -> Stretch:
    """That many transactions in all.

    Not so many seconds: pgbench's clock would run while a thousand clients log in. Not `--protocol prepared`: pgbench
    prepares with a call that blocks its thread, and waits for ever for a server connection that another of its own
    clients holds.
    """
    each = transactions // load.clients
    options = ("--jobs", "2", "--protocol", "extended", "--transactions", str(each))
    with ThreadPoolExecutor() as pool:
        before = _cpu(stack, way)
        sampled = pool.submit(_backends, stack, way)
        try:
            output = _pgbench(
                stack, way, load.clients, "transaction.sql", *options, *(["--connect"] if load.reconnecting else [])
            )
        except Failed as failure:
            output = failure.output
        finally:
            stack.exec("postgres", "touch", STOP_SAMPLING)
        backends = max(sampled.result(), default=0)
    spent = {service: seconds - before[service] for service, seconds in _cpu(stack, way).items()}
    return parse(output, each * load.clients, backends, spent)


def parse(output: str, wanted: int, backends: int, cpu_seconds: dict[str, float]) -> Stretch:
    """What pgbench printed. It gives up on a client after its first error: what wasn't done is an error."""
    done = int(found(output, r"actually processed: (\d+)"))
    return Stretch(
        tps=found(output, r"tps = ([\d.]+)") if done else 0,
        latency_ms=found(output, r"latency average = ([\d.]+)") if done else 0,
        errors=wanted - done,
        backends=backends,
        cpu_ms={service: 1000 * seconds / max(done, 1) for service, seconds in cpu_seconds.items()},
    )


def _cpu(stack: Stack, way: Way) -> dict[str, float]:
    services = (*filter(None, [way.pooler]), "postgres", way.clients)
    return {service: engine.usage(f"{stack.project}-{service}-1").cpu_seconds for service in services}


STOP_SAMPLING = "/tmp/bench-stop-sampling"  # noqa: S108


def _backends(stack: Stack, way: Way) -> list[int]:
    """The role's server processes, counted five times a second by one session until the file is there. The way's alone:
    the poolers of others keep theirs meanwhile, and each has one more, of a role of its own, to look passwords up."""
    peers = ",".join(engine.addresses(stack.container(way.peer)))
    query = f"""
        SELECT count(*) FROM pg_catalog.pg_stat_activity
        WHERE usename = '{stack.role("app")}' AND client_addr = ANY ('{{{peers}}}'::inet[])
        HAVING (pg_catalog.pg_stat_file('{STOP_SAMPLING}', true)).size IS NULL \\watch interval=0.2 min_rows=1
    """  # noqa: S608
    stack.exec("postgres", "rm", "-f", STOP_SAMPLING)
    output = stack.exec(
        "postgres", "psql", "--no-psqlrc", "--tuples-only", "--no-align", "--host=/run/postgresql", stdin=query
    )
    return [int(line) for line in output.splitlines() if line.strip().isdigit()]


# ---------------------------------------------------------------- idle connections


@dataclasses.dataclass(frozen=True)
class Held:
    """Idle connections that were held at once, and what they cost the pooler."""

    connections: int
    seconds: float
    resident_mb: float
    container_mb: float


def _hold(run: Run, stack: Stack) -> list[Held]:
    """The pooler's memory without clients, then with more and more that stay."""
    stack.compose("restart", "pgbouncer")  # its memory from before is not the idle clients'
    wait_until(lambda: _connections(stack) == 0, 30, "PgBouncer after its restart")
    steps = (0, 1000, IDLE)
    held: list[Held] = []
    open_: list[threading.Thread] = []
    try:
        for step in steps:
            threads = _open(stack, step - (held[-1].connections if held else 0))
            open_ += threads
            held.append(_held(stack, step, threads))
            memory = f"resident {held[-1].resident_mb:.0f} MB, container {held[-1].container_mb:.0f} MB"
            run.say(f"pool: {step:6,d} idle clients: PgBouncer's {memory}")
    finally:
        stack.compose("kill", "clients", check=False)
        for thread in open_:
            thread.join(30)
    return held


def _open(stack: Stack, count: int) -> list[threading.Thread]:
    def hold() -> None:
        _pgbench_until_killed(stack, count // GENERATORS)

    threads = [threading.Thread(target=hold, daemon=True) for _ in range(GENERATORS if count else 0)]
    for thread in threads:
        thread.start()
    return threads


def _pgbench_until_killed(stack: Stack, clients: int) -> None:
    # It fails when its container is killed. When it gives up before, _held() notices.
    with contextlib.suppress(Failed):
        _pgbench(stack, WAYS[POOLED], clients, "hold.sql", "--time", "3600")


def _held(stack: Stack, count: int, threads: list[threading.Thread]) -> Held:
    def reached() -> bool:
        if threads and not all(thread.is_alive() for thread in threads):
            raise AssertionError(f"a generator gave up before {count} connections were open")
        return _connections(stack) >= count

    seconds = wait_until(reached, 400, f"{count} idle connections", every=0.5)
    pgbouncer = stack.container("pgbouncer")
    return Held(count, seconds, engine.resident_mb(pgbouncer, "pgbouncer"), engine.usage(pgbouncer).memory_mb)


def _connections(stack: Stack) -> int:
    """Established connections at the pooler's port, in its own network namespace."""
    tables = stack.exec("pgbouncer", "cat", "/proc/net/tcp", "/proc/net/tcp6", check=False)
    port = f":{int(SETTINGS['pgbouncer']['listen_port']):04X}"
    rows = (line.split() for line in tables.splitlines())
    return sum(1 for row in rows if len(row) > 3 and row[1].endswith(port) and row[3] == "01")


# ---------------------------------------------------------------- telling


def _answer(seen: Seen, held: list[Held]) -> Answer:
    pooled = [stretch for (_, way), several in seen.items() if way == POOLED for stretch in several]
    backends, errors = max(stretch.backends for stretch in pooled), sum(stretch.errors for stretch in pooled)
    times = _tps(seen, Load(1000), POOLED).over(_tps(seen, Load(1000), DIRECT))
    refused = sum(stretch.errors for stretch in seen[Load(1000), DIRECT])
    return Answer(
        title=TITLE,
        how=(
            "pgbench in a container on the same machine, as the application's role, over TLS 1.3 with a verified "
            "certificate and SCRAM, on both legs of the pooled way: begin, a read by unique key, commit. One server "
            f"for both ways, given what a thousand direct connections need: max_connections = "
            f"{FOR_A_THOUSAND['max_connections']} (ours has 100), no limit for the role, {MEMORY} of memory, "
            f"{PROCESSES} processes. Its connections are counted five times a second."
        ),
        aims=(
            Aim(f"1,000 clients: at least {TIMES} times direct", f"{times} ×", times.median >= TIMES),
            Aim("through the pooler no errors", f"{errors} errors (direct at 1,000: {refused})", errors == 0),
            Aim(
                f"never more than {most_backends()} server connections (pool and reserve)",
                f"at most {backends}",
                backends <= most_backends(),
            ),
            *_aims_of(held),
        ),
        tables=(_transactions_table(seen), _cpu_table(seen), *((_idle(held),) if held else ())),
        notes=(
            "The load generator shares the machine's CPUs. Logins (TLS and SCRAM) come before the measured time, "
            "except with a connection per transaction; the CPU time is with logins.",
            f"PgBouncer is one thread: it uses one of {os.cpu_count()} CPUs at most.",
        ),
    )


def _aims_of(held: list[Held]) -> list[Aim]:
    """How many this run wanted to hold; it fails when they don't come."""
    return [
        Aim(
            f"{most.connections:,} connections held",
            f"PgBouncer {most.resident_mb:.0f} MB resident, its container {most.container_mb:.0f} MB",
            met=True,
        )
        for most in held[-1:]
    ]


def _tps(seen: Seen, load: Load, way: str) -> Figure:
    return figure([one.tps for one in seen[load, way]], "transactions/s", 0)


def _transactions_table(seen: Seen) -> Table:
    def row(load: Load, way: str) -> Row:
        several = seen[load, way]
        cells = (
            _tps(seen, load, way),
            _tps(seen, load, way).over(_tps(seen, load, DIRECT)),
            figure([one.latency_ms for one in several], "ms"),
            str(sum(one.errors for one in several)),
            str(max(one.backends for one in several)),
        )
        return Row(f"{load}: {WAYS[way].title}", cells, ours=way == POOLED)

    columns = ("transactions/s", "× direct", "latency", "errors", "most backends")
    return Table("Short transactions", columns, tuple(row(*key) for key in seen), plotted="transactions/s")


def _cpu_table(seen: Seen) -> Table:
    def row(load: Load, way: str) -> Row:
        def cell(service: str) -> Figure | str:
            return figure([one.cpu_ms[service] for one in seen[load, way]], "ms", 2) if service else ""

        ways = WAYS[way]
        return Row(f"{load}: {ways.title}", (cell(ways.pooler), cell("postgres"), cell(ways.clients)))

    columns = ("pgbouncer", "postgres", "pgbench")
    return Table("CPU milliseconds a transaction costs", columns, tuple(row(*key) for key in seen))


def _idle(held: list[Held]) -> Table:
    def row(one: Held) -> Row:
        clients = one.connections or 1
        cells = (
            figure([one.resident_mb], "MB"),
            figure([one.container_mb], "MB"),
            figure([(one.resident_mb - held[0].resident_mb) * 1024 / clients], "kB"),
            figure([one.seconds], "s"),
        )
        return Row(f"{one.connections:,} held", cells)

    columns = ("resident", "container", "resident per client", "until all were in")
    return Table("PgBouncer's memory with idle clients", columns, tuple(map(row, held)))
