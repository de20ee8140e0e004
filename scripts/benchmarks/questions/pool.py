"""A thousand clients with short transactions at PgBouncer, and ten thousand that only hold a connection."""

import configparser
import contextlib
import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

from benchmarks import engine, stacks
from benchmarks.results import Aim, Answer, Row, Table, figure
from benchmarks.run import Run, wait_until
from benchmarks.servers import found
from benchmarks.stacks import Config, Stack, with_copy
from support.shell import Failed

NAME = "pool"
TITLE = "A thousand clients at the pooler, and ten thousand idle ones"

CROWD = 1000
FEW = 20
IDLE = 10_000
GENERATORS = 4  # each opens its connections one after the other

# One transaction: begin, a read by unique key, commit.
TRANSACTION = "BEGIN;\nSELECT name FROM flags_country WHERE code = 'FR';\nCOMMIT;\n"
VERIFIED = "sslmode=verify-full sslrootcert=/tls/ca.crt"
HOLD = "\\sleep 3600 s\n"

# Read here, where the pooler reads it.
SETTINGS = configparser.ConfigParser()
SETTINGS.read("pg/pgbouncer.ini", encoding="utf-8")


def most_backends() -> int:
    """The server connections that one pool may have: its size and its reserve."""
    pooler = SETTINGS["pgbouncer"]
    return int(pooler["default_pool_size"]) + int(pooler["reserve_pool_size"])


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Clients running transactions for some seconds."""

    tps: float
    latency_ms: float
    logins: float
    errors: int
    backends: int


def answer(run: Run) -> Answer:
    """Short transactions by few and by many clients, in turns; then idle connections and their memory."""
    with stacks.removed_afterwards(stacks.write(run, _config(run))) as stack:
        run.say("pool: building and starting")
        stack.build()
        stack.up()
        # Its connections would be among those that are counted.
        stack.compose("stop", "app", "proxy")
        stretches = _rounds(run, stack)
        held = _hold(run, stack)
    return _answer(stretches, held)


def _config(run: Run) -> Config:
    config = stacks.measured_production(run, "fl-bench-pool")
    clients = with_copy(config, "postgres", "clients")
    for unneeded in ("healthcheck", "environment", "mem_limit", "cpus", "pids_limit"):
        clients.pop(unneeded, None)
    scripts = {"transaction.sql": TRANSACTION, "hold.sql": HOLD}
    for name, text in scripts.items():
        (run.work / name).write_text(text, encoding="utf-8")
        (run.work / name).chmod(0o644)
    clients |= {
        "entrypoint": ["sleep", "infinity"],
        "command": [],
        "depends_on": {},
        "networks": {"application": None},
        "secrets": [{"source": "app_password", "target": "/run/secrets/app_password"}],
        "ulimits": {"nofile": 16384},
        "tmpfs": ["/tmp"],  # noqa: S108
        "volumes": [mount for mount in config["services"]["app"]["volumes"] if mount["target"] == "/tls"]
        + [
            {"type": "bind", "source": str(run.work / name), "target": f"/{name}", "read_only": True}
            for name in scripts
        ],
    }
    return config


def _pgbench(stack: Stack, clients: int, script: str, *options: str) -> str:
    """pgbench as the application's role, over TLS with a verified certificate; what it prints."""
    who = f"host=pgbouncer port=6432 dbname={stack.database} user={stack.role('app')}"
    command = f'PGPASSWORD=$(</run/secrets/app_password) exec pgbench "$@" "{who} {VERIFIED}"'
    arguments = ("--no-vacuum", "--client", str(clients), "--file", f"/{script}", *options)
    return stack.exec("clients", "bash", "-c", command, "pgbench", *arguments)


# ---------------------------------------------------------------- short transactions


def _rounds(run: Run, stack: Stack) -> dict[int, list[Stretch]]:
    stretches: dict[int, list[Stretch]] = {FEW: [], CROWD: []}
    rounds, transactions = run.choose((3, 50_000), (1, 20_000))
    for number, clients in run.rounds(rounds, tuple(stretches)):
        stretch = _stretch(stack, clients, transactions)
        stretches[clients].append(stretch)
        run.say(
            f"pool: round {number}/{rounds}  {clients:5d} clients {stretch.tps:6.0f} transactions/s  "
            f"{stretch.errors} errors  at most {stretch.backends} backends"
        )
    return stretches


def _stretch(stack: Stack, clients: int, transactions: int) -> Stretch:
    """That many transactions in all.

    Not so many seconds: pgbench's clock would run while a thousand clients log in. Not `--protocol prepared`: pgbench
    prepares with a call that blocks its thread, and waits for ever for a server connection that another of its own
    clients holds.
    """
    each = transactions // clients
    with ThreadPoolExecutor() as pool:
        sampled = pool.submit(_backends, stack)
        try:
            output = _pgbench(
                stack, clients, "transaction.sql", "--jobs", "2", "--protocol", "extended", "--transactions", str(each)
            )
        except Failed as failure:
            output = failure.output
        finally:
            stack.exec("postgres", "touch", STOP_SAMPLING)
        backends = max(sampled.result())
    done = int(found(output, r"actually processed: (\d+)"))
    return Stretch(
        tps=found(output, r"tps = ([\d.]+)") if done else 0,
        latency_ms=found(output, r"latency average = ([\d.]+)") if done else 0,
        logins=clients / (found(output, r"initial connection time = ([\d.]+)") / 1000) if done else 0,
        # pgbench gives up on a client after its first error.
        errors=each * clients - done,
        backends=backends,
    )


STOP_SAMPLING = "/tmp/bench-stop-sampling"  # noqa: S108


def _backends(stack: Stack) -> list[int]:
    """The application role's server processes, counted five times a second by one session until the file is there."""
    query = f"""
        SELECT count(*) FROM pg_catalog.pg_stat_activity WHERE usename = '{stack.role("app")}'
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
    steps = run.choose((0, CROWD, IDLE), (0, CROWD))
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
        _pgbench(stack, clients, "hold.sql", "--time", "3600")


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


def _answer(stretches: dict[int, list[Stretch]], held: list[Held]) -> Answer:
    everything = [stretch for several in stretches.values() for stretch in several]
    backends, errors = max(stretch.backends for stretch in everything), sum(stretch.errors for stretch in everything)
    most = held[-1]
    return Answer(
        title=TITLE,
        how=(
            "pgbench in a container on the same machine, as the application's role, over TLS 1.3 with a verified "
            "certificate and SCRAM: begin, a read by unique key, commit. Server connections of the role are counted "
            "in PostgreSQL five times a second."
        ),
        aims=(
            Aim(f"{CROWD:,} clients: no errors", f"{errors} errors", errors == 0),
            Aim(
                f"never more than {most_backends()} server connections (pool and reserve)",
                f"at most {backends}",
                backends <= most_backends(),
            ),
            # How many this run wanted to hold; it fails when they don't come.
            Aim(
                f"{most.connections:,} connections held",
                f"PgBouncer {most.resident_mb:.0f} MB resident, its container {most.container_mb:.0f} MB",
                met=True,
            ),
        ),
        tables=(_transactions(stretches), _idle(held)),
        notes=("The load generator shares the machine's CPUs. Logins (TLS and SCRAM) come before the measured time.",),
    )


def _transactions(stretches: dict[int, list[Stretch]]) -> Table:
    def row(clients: int, several: list[Stretch]) -> Row:
        cells = (
            figure([one.tps for one in several], "transactions/s", 0),
            figure([one.latency_ms for one in several], "ms"),
            figure([one.logins for one in several], "logins/s", 0),
            str(sum(one.errors for one in several)),
            str(max(one.backends for one in several)),
        )
        return Row(f"{clients:,} clients", cells)

    columns = ("transactions/s", "latency", "logins/s", "errors", "most backends")
    rows = tuple(row(clients, several) for clients, several in stretches.items())
    return Table("Short transactions", columns, rows)


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
