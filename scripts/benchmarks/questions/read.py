"""Requests per second of today's challenge: our stack, cookiecutter-django's defaults, ours with one choice undone."""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import engine, load, machine, stacks
from benchmarks.load import Measured, Target
from benchmarks.results import Aim, Answer, Figure, Row, Table, figure
from benchmarks.run import Run
from benchmarks.stacks import INSIDE, Config, Services, Stack, with_copy

NAME = "read"
TITLE = "One indexed read through the whole stack"
AIM = 1.5

PATH = "/api/challenge/today"  # two SELECTs by unique key, no cache, on every request
EXPECTED = '"question"'
HOST = "Host: localhost"
CONNECTIONS = (4, 8, 16, 32)
PG = Path("pg")


@dataclasses.dataclass(frozen=True)
class Arm:
    """What is compared. `services` are the containers that work for it; `add` makes them."""

    name: str
    title: str
    add: Callable[[Config, Run], None]
    target: Target
    services: tuple[str, ...]


# ---------------------------------------------------------------- ours, with one choice undone


def _settings(service: Services, module: str) -> None:
    """Lets a copy of the app run with a settings module of ours."""
    service["volumes"].append({"type": "bind", "source": str(INSIDE), "target": "/bench", "read_only": True})
    service["environment"] |= {"DJANGO_SETTINGS_MODULE": module, "PYTHONPATH": "/bench:/code"}


def _database(**changes: Any) -> Callable[[Services], None]:
    """An edit of the app's copy: other values in DATABASES["default"]."""

    def edit(app: Services) -> None:
        _settings(app, "bench_changed")
        app["environment"]["BENCH_DATABASE"] = json.dumps(changes)

    return edit


def _workers(count: int) -> Callable[[Services], None]:
    def edit(app: Services) -> None:
        app["environment"]["WEB_CONCURRENCY"] = str(count)

    return edit


def _no_pooler(app: Services) -> None:
    url = app["environment"]["DATABASE_URL"]
    app["environment"]["DATABASE_URL"] = url.replace("@pgbouncer:6432/", "@postgres:5432/")
    app["networks"] = {"database": None}


def _own_front(config: Config, name: str) -> tuple[Services, Services]:
    """A copy of app and proxy with a socket of their own; the rest is shared: one arm at a time is loaded."""
    app, proxy = with_copy(config, "app", f"app-{name}"), with_copy(config, "proxy", f"proxy-{name}")
    volume = f"app-socket-{name}"
    config["volumes"][volume] = {**config["volumes"]["app-socket"], "name": f"{config['name']}_{volume}"}
    for service in (app, proxy):
        for mount in service["volumes"]:
            if mount["source"] == "app-socket":
                mount["source"] = volume
    return app, proxy


def _replaced(run: Run, file: Path, old: str, new: str) -> str:
    """A copy of a file with one thing changed; an error when that thing isn't in it any more."""
    text, count = re.subn(old, new, file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    if count != 1:
        raise AssertionError(f"{file} has {old!r} {count} times, not once: correct the arm in {__file__}")
    copy = run.work / file.name
    copy.write_text(text, encoding="utf-8")
    copy.chmod(0o644)
    return str(copy)


def undone(name: str, title: str, edit: Callable[[Services], None]) -> Arm:
    """An arm that is ours with an edited app."""

    def add(config: Config, run: Run) -> None:
        app, _ = _own_front(config, name)
        edit(app)

    return _arm(name, title, add, pgbouncer="" if edit is _no_pooler else "pgbouncer")


def _arm(name: str, title: str, add: Callable[[Config, Run], None], pgbouncer: str = "pgbouncer") -> Arm:
    services = (f"proxy-{name}", f"app-{name}", *filter(None, [pgbouncer]), "postgres")
    return Arm(name, title, add, Target(f"https://proxy-{name}:8443{PATH}", (HOST,)), services)


def _add_tcp(config: Config, run: Run) -> None:
    app, proxy = _own_front(config, "tcp")
    app["environment"]["GUNICORN_BIND"] = "0.0.0.0:8001"
    app["networks"]["edge"] = None
    nginx = _replaced(
        run, Path("docker/proxy/nginx.conf"), r"server unix:/run/app/gunicorn\.sock", "server app-tcp:8001"
    )
    proxy["volumes"].append({"type": "bind", "source": nginx, "target": "/etc/nginx/nginx.conf", "read_only": True})
    proxy["depends_on"]["app-tcp"] = {"condition": "service_healthy", "required": True}


def _add_no_reset(config: Config, run: Run) -> None:
    app, _ = _own_front(config, "no-reset")
    ini = _replaced(run, PG / "pgbouncer.ini", "^server_reset_query_always *= *1", "server_reset_query_always = 0")
    pgbouncer = with_copy(config, "pgbouncer", "pgbouncer-no-reset")
    pgbouncer["volumes"].append(
        {"type": "bind", "source": ini, "target": "/etc/pgbouncer/pgbouncer.ini", "read_only": True}
    )
    # In a network of its own it has the name that its certificate is for.
    config["networks"]["application-no-reset"] = {"name": f"{config['name']}_application-no-reset", "internal": True}
    pgbouncer["networks"] = {"database": None, "application-no-reset": {"aliases": ["pgbouncer"]}}
    app["networks"] = {"application-no-reset": None}
    app["depends_on"]["pgbouncer-no-reset"] = app["depends_on"].pop("pgbouncer")


# ---------------------------------------------------------------- cookiecutter-django

# initdb and `listen` as the official PostgreSQL image does them, without a line of configuration.
UNTUNED = """
test -s $PGDATA/PG_VERSION || {
  initdb --username=postgres --pwfile=<(echo bench) --auth-host=scram-sha-256 --no-instructions >/dev/null
  echo 'host all all all scram-sha-256' >> $PGDATA/pg_hba.conf
}
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
"""


def _add_cookiecutter(config: Config, run: Run) -> None:
    config["services"]["postgres-untuned"] = {
        "image": config["services"]["postgres"]["image"],
        "entrypoint": ["bash", "-ec", UNTUNED.replace("$", "$$")],
        "command": [],
        "init": True,
        "shm_size": "256m",
        "volumes": [{"type": "volume", "source": "untuned-data", "target": "/var/lib/postgresql"}],
        "networks": {"edge": None},
        "healthcheck": {
            "test": ["CMD", "pg_isready", "-q", "-h", "127.0.0.1"],
            "start_period": "60s",
            "start_interval": "200ms",
            "interval": "1h",
        },
    }
    config["volumes"]["untuned-data"] = {"name": f"{config['name']}_untuned-data"}
    _cookiecutter_app(config, "migrate-cookiecutter", "migrate", "postgres-untuned", "service_healthy")
    app = _cookiecutter_app(config, "app-cookiecutter", "app", "migrate-cookiecutter", "service_completed_successfully")
    # compose/production/django/start, line 9, at 0ba293a5. --chdir is our image's working directory; the control socket
    # can't be made on a read-only root.
    app["command"] = ["gunicorn", "config.wsgi", "--bind", "0.0.0.0:5000", "--no-control-socket"]
    app["healthcheck"]["test"] = ["CMD", "python", "-c", "import socket; socket.create_connection(('127.0.0.1', 5000))"]


def _cookiecutter_app(config: Config, name: str, like: str, after: str, condition: str) -> Services:
    service = with_copy(config, like, name)
    for limit in ("cpus", "mem_limit", "pids_limit"):
        service.pop(limit, None)
    environment = service["environment"]
    for variable in ("DATABASE_PASSWORD_FILE", "WEB_CONCURRENCY"):
        environment.pop(variable, None)
    # Our settings refuse a connection without TLS in production; the module below sets what production means to them.
    environment |= {
        "DEPLOYMENT": "development",
        "DATABASE_URL": "postgresql://postgres:bench@postgres-untuned:5432/postgres",
    }
    service["secrets"] = [secret for secret in service["secrets"] if secret["source"] == "django_secret_key"]
    _settings(service, "bench_cookiecutter")
    service["depends_on"] = {after: {"condition": condition, "required": True}}
    service["networks"] = {"edge": None}
    return service


OURS = Arm(
    "ours",
    "ours (3 workers, unix socket, PgBouncer, TLS on every leg)",
    lambda config, run: None,
    Target(f"https://proxy:8443{PATH}", (HOST,)),
    ("proxy", "app", "pgbouncer", "postgres"),
)
COOKIECUTTER = Arm(
    "cookiecutter",
    "cookiecutter-django's defaults (1 worker, no proxy, no pooler, no TLS)",
    _add_cookiecutter,
    # Their proxy says that the visitor came over https; here nothing is in front, at no cost to them.
    Target(f"http://app-cookiecutter:5000{PATH}", (HOST, "X-Forwarded-Proto: https")),
    ("app-cookiecutter", "postgres-untuned"),
)
UNDONE = (
    undone("workers-2", "2 workers", _workers(2)),
    undone("workers-4", "4 workers", _workers(4)),
    _arm("tcp", "TCP between nginx and gunicorn", _add_tcp),
    undone("no-check", "CONN_HEALTH_CHECKS off", _database(CONN_HEALTH_CHECKS=False)),
    _arm("no-reset", "server_reset_query_always off", _add_no_reset, pgbouncer="pgbouncer-no-reset"),
    undone(
        "prepared",
        "server-side prepared statements on",
        _database(OPTIONS={"server_side_binding": True, "prepare_threshold": 5}),
    ),
    undone("reconnect", "a connection per request (CONN_MAX_AGE=0)", _database(CONN_MAX_AGE=0)),
    undone("direct", "no PgBouncer: TLS to PostgreSQL", _no_pooler),
)


# ---------------------------------------------------------------- measuring


@dataclasses.dataclass
class Stretch:
    """One arm under load for some seconds: what wrk saw, and the CPU time of each container for a request."""

    seen: Measured
    cpu_ms: dict[str, float]


class Bench:
    """The stack with all arms in it, of which one at a time is loaded."""

    def __init__(self, run: Run, stack: Stack, seconds: float) -> None:
        self.run, self.stack, self.seconds = run, stack, seconds
        self.containers = stack.containers()

    def best_connections(self, arm: Arm, choices: tuple[int, ...], seconds: float) -> int:
        """The fewest connections that bring the arm within 3 % of its best: more would only wait in a queue."""
        seen = {count: load.wrk(self.stack, arm.target, count, seconds).rps for count in choices}
        best = next(count for count, rps in seen.items() if rps >= 0.97 * max(seen.values()))
        rates = ", ".join(f"{count}: {rps:.0f}" for count, rps in seen.items())
        self.run.say(f"read: requests/s of {arm.name} by connections: {rates} → {best}")
        return best

    def stretch(self, arm: Arm, connections: int) -> Stretch:
        before = self._cpu(arm)
        seen = load.wrk(self.stack, arm.target, connections, self.seconds)
        requests = max(seen.rps * self.seconds, 1)
        cpu = {service: (now - before[service]) * 1000 / requests for service, now in self._cpu(arm).items()}
        return Stretch(seen, cpu)

    def _cpu(self, arm: Arm) -> dict[str, float]:
        return {service: engine.usage(self.containers[service]).cpu_seconds for service in arm.services}


def answer(run: Run) -> Answer:
    """Measures all arms, or in a quick run ours and cookiecutter-django's."""
    arms = (OURS, COOKIECUTTER, *run.choose(UNDONE, ()))
    config = stacks.measured_production(run, "fl-bench-read")
    stacks.with_load(config)
    for arm in arms:
        arm.add(config, run)
    with stacks.removed_afterwards(stacks.write(run, config)) as stack:
        run.say(f"read: building, and starting {len(arms)} arms")
        stack.build()
        stack.up()
        return _measure(run, Bench(run, stack, run.choose(5, 4)), arms)


def _measure(run: Run, bench: Bench, arms: tuple[Arm, ...]) -> Answer:
    for arm in arms:
        load.check(bench.stack, arm.target, EXPECTED)
        load.wrk(bench.stack, arm.target, 8, run.choose(2, 1))
    choices = run.choose(CONNECTIONS, (4, 16))
    best = {arm.name: bench.best_connections(arm, choices, run.choose(4, 2)) for arm in (OURS, COOKIECUTTER)}
    connections = {arm.name: best.get(arm.name, best["ours"]) for arm in arms}
    stretches: dict[str, list[Stretch]] = {arm.name: [] for arm in arms}
    rounds = run.choose(5, 3)
    for number, arm in run.rounds(rounds, arms):
        stretch = bench.stretch(arm, connections[arm.name])
        stretches[arm.name].append(stretch)
        seen = stretch.seen
        run.say(
            f"read: round {number}/{rounds}  {arm.name:<13} {seen.rps:6.0f} requests/s  "
            f"p99 {seen.p99_ms:5.1f} ms  {seen.errors} errors"
        )
    return _answer(arms, connections, stretches, machine.versions(bench.stack))


# ---------------------------------------------------------------- telling


def _answer(
    arms: tuple[Arm, ...], connections: dict[str, int], stretches: dict[str, list[Stretch]], versions: str
) -> Answer:
    rps = {name: figure([one.seen.rps for one in several], "requests/s", 0) for name, several in stretches.items()}
    ratio = rps["ours"].over(rps["cookiecutter"])
    errors = sum(one.seen.errors for one in stretches["ours"])
    return Answer(
        title=TITLE,
        how=(
            f"GET {PATH} by a guest (two SELECTs by unique key, nothing cached), loaded by wrk in a container on the "
            "same machine, with as many connections as serve the arm best; ours over https and kept connections, theirs"
            " straight at gunicorn without TLS, which closes after each answer."
        ),
        aims=(
            Aim(f"at least {AIM} times cookiecutter-django's requests per second", f"{ratio} ×", ratio.median >= AIM),
            Aim("no errors", f"{errors}", errors == 0),
        ),
        tables=(_throughput(arms, connections, stretches, rps), _cpu(arms, stretches)),
        notes=(
            "The clients are closed-loop: p99 includes the queue that the arm's own best number of connections makes.",
            "cookiecutter-django's arm has its settings, its middleware and its gunicorn line (start: line 9, base.py: "
            "line 51, production.py: line 34), PostgreSQL's defaults, and no proxy in front, at no cost.",
        ),
        circumstances={"versions": versions},
    )


def _throughput(
    arms: tuple[Arm, ...], connections: dict[str, int], stretches: dict[str, list[Stretch]], rps: dict[str, Figure]
) -> Table:
    def row(arm: Arm) -> Row:
        several = stretches[arm.name]
        return Row(
            _title(arm),
            (
                rps[arm.name],
                rps[arm.name].over(rps["ours"]),
                figure([one.seen.p50_ms for one in several], "ms"),
                figure([one.seen.p99_ms for one in several], "ms"),
                str(sum(one.seen.errors for one in several)),
                str(connections[arm.name]),
            ),
        )

    columns = ("requests/s", "× ours", "p50 ms", "p99 ms", "errors", "connections")
    return Table("Requests per second", columns, tuple(map(row, arms)), plotted="requests/s")


def _cpu(arms: tuple[Arm, ...], stretches: dict[str, list[Stretch]]) -> Table:
    kinds = ("proxy", "app", "pgbouncer", "postgres")

    def of(one: Stretch, kind: str) -> float:
        return sum(ms for service, ms in one.cpu_ms.items() if service.partition("-")[0] == kind)

    def row(arm: Arm) -> Row:
        several = stretches[arm.name]
        cells = [figure([of(one, kind) for one in several], "ms", 2) for kind in kinds]
        return Row(_title(arm), (*cells, figure([sum(one.cpu_ms.values()) for one in several], "ms", 2)))

    return Table("CPU milliseconds a request costs, by container", (*kinds, "sum"), tuple(map(row, arms)))


def _title(arm: Arm) -> str:
    return arm.title if arm in (OURS, COOKIECUTTER) else f"ours, but: {arm.title}"
