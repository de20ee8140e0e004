"""What the endpoints are measured on: our stack, cookiecutter-django's defaults, ours with one choice undone.

All of them are services of one compose project, so that they can take turns: an arm adds copies of what differs.
"""

import dataclasses
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.run import Run
from benchmarks.stacks import INSIDE, PORTS_AGAIN, Config, Services, with_copy

NGINX = Path("docker/proxy/nginx.conf")
POOLER, POOLER_HBA = Path("pg/pgbouncer.ini"), Path("pg/pgbouncer_hba.conf")
HTTPS_AT_A_PROXY = "X-Forwarded-Proto: https"


@dataclasses.dataclass(frozen=True)
class Arm:
    """What is compared. `services` are the containers that work for it; `add` makes them.

    `app` and `database` are where its players and questions are made.
    """

    name: str
    title: str
    add: Callable[[Config, Run], None]
    origin: str
    services: tuple[str, ...]
    headers: tuple[str, ...] = ()
    app: str = "app"
    database: str = "postgres"


# ---------------------------------------------------------------- changing copies


def _replaced(run: Run, arm: str, file: Path, *changes: tuple[str, str]) -> str:
    """A copy of a file with these things changed; an error when one of them isn't in it any more."""
    text = file.read_text(encoding="utf-8")
    for old, new in changes:
        text, count = re.subn(old, new, text, flags=re.MULTILINE)
        if count == 0:
            raise AssertionError(f"{file} doesn't have {old!r} any more: correct the arm {arm!r} in {__file__}")
    copy = run.work / f"{arm}-{file.name}"
    copy.write_text(text, encoding="utf-8")
    copy.chmod(0o644)
    return str(copy)


def mount(service: Services, source: str, target: str) -> None:
    """Lays a file or folder over what the image has."""
    service["volumes"].append({"type": "bind", "source": source, "target": target, "read_only": True})


def _settings(app: Services, module: str) -> None:
    """Lets a copy of the app run with a settings module of ours."""
    mount(app, str(INSIDE), "/bench")
    app["environment"] |= {"DJANGO_SETTINGS_MODULE": module, "PYTHONPATH": "/bench:/code"}


def _changed_settings(app: Services, **changes: Any) -> None:
    _settings(app, "bench_changed")
    app["environment"]["BENCH_SETTINGS"] = json.dumps(changes)


def _front(config: Config, name: str) -> tuple[Services, Services]:
    """A copy of app and proxy with a socket of their own; the rest is shared: one arm at a time is loaded."""
    app, proxy = with_copy(config, "app", f"app-{name}"), with_copy(config, "proxy", f"proxy-{name}")
    volume = f"app-socket-{name}"
    config["volumes"][volume] = {**config["volumes"]["app-socket"], "name": f"{config['name']}_{volume}"}
    for service in (app, proxy):
        for mount in service["volumes"]:
            if mount["source"] == "app-socket":
                mount["source"] = volume
    return app, proxy


def _pooler(config: Config, name: str, app: Services, *files: tuple[str, str]) -> None:
    """A pooler for one arm's app: in a network of its own it has the name that its certificate is for."""
    pgbouncer = with_copy(config, "pgbouncer", f"pgbouncer-{name}")
    for source, target in files:
        mount(pgbouncer, source, target)
    network = f"application-{name}"
    config["networks"][network] = {"name": f"{config['name']}_{network}", "internal": True}
    pgbouncer["networks"] = {"database": None, network: {"aliases": ["pgbouncer"]}}
    app["networks"] = {network: None}
    app["depends_on"][f"pgbouncer-{name}"] = app["depends_on"].pop("pgbouncer")


# ---------------------------------------------------------------- ours, with one choice undone

OURS = Arm(
    "ours",
    "ours (3 workers, unix socket, PgBouncer, TLS on every leg)",
    lambda config, run: None,
    "https://proxy:8443",
    ("proxy", "app", "pgbouncer", "postgres"),
)

Edit = Callable[[Config, Run, Services, Services], None]  # config, run, the arm's app, its proxy


def undone(name: str, title: str, edit: Edit, pooler: str = "pgbouncer", scheme: str = "https") -> Arm:
    """An arm that is ours with its own app and proxy, one of them edited."""

    def add(config: Config, run: Run) -> None:
        edit(config, run, *_front(config, name))

    port = {"https": 8443, "http": 8000}[scheme]
    services = (f"proxy-{name}", f"app-{name}", *filter(None, [pooler]), "postgres")
    return Arm(name, title, add, f"{scheme}://proxy-{name}:{port}", services)


def _one_worker(config: Config, run: Run, app: Services, proxy: Services) -> None:
    app["environment"]["WEB_CONCURRENCY"] = "1"


def _reconnecting(config: Config, run: Run, app: Services, proxy: Services) -> None:
    _changed_settings(app, database={"CONN_MAX_AGE": 0})


def _prepared(config: Config, run: Run, app: Services, proxy: Services) -> None:
    _changed_settings(app, options={"prepare_threshold": 5})


def _direct(config: Config, run: Run, app: Services, proxy: Services) -> None:
    url = app["environment"]["DATABASE_URL"]
    app["environment"]["DATABASE_URL"] = url.replace("@pgbouncer:6432/", "@postgres:5432/")
    app["networks"] = {"database": None}


def _without_tls(config: Config, run: Run, app: Services, proxy: Services) -> None:
    """Plain on all three legs; whom the server and the pooler let in stays the same, by password."""
    mount(proxy, _replaced(run, "plain", NGINX, (r"X-Forwarded-Proto \$scheme", "X-Forwarded-Proto https")), CONF)
    _changed_settings(app, options={"sslmode": "disable"})
    ini = _replaced(
        run,
        "plain",
        POOLER,
        ("^client_tls_sslmode = .*", "client_tls_sslmode = disable"),
        ("^server_tls_sslmode = .*", "server_tls_sslmode = disable"),
    )
    hba = _replaced(run, "plain", POOLER_HBA, ("^hostssl", "host"))
    _pooler(config, "plain", app, (ini, INI), (hba, "/etc/pgbouncer/pgbouncer_hba.conf"))
    lines = _replaced(
        run, "plain", Path("pg/pg_hba.conf"), (r"^(?!hostssl).*\n", ""), ("^hostssl", "hostnossl"), (r"\Z", "\n")
    )
    mount(config["services"]["postgres"], lines, "/etc/postgresql/hba.d/bench.conf")


def _over_tcp(config: Config, run: Run, app: Services, proxy: Services) -> None:
    app["environment"]["GUNICORN_BIND"] = "0.0.0.0:8001"
    app["networks"]["edge"] = None
    server = _replaced(run, "tcp", NGINX, (r"server unix:/run/app/gunicorn\.sock", "server app-tcp:8001"))
    mount(proxy, server, CONF)
    proxy["sysctls"] = PORTS_AGAIN
    proxy["depends_on"]["app-tcp"] = {"condition": "service_healthy", "required": True}


def _bare_api(config: Config, run: Run, app: Services, proxy: Services) -> None:
    _changed_settings(app, bare_api=True)


def _unshared(config: Config, run: Run, app: Services, proxy: Services) -> None:
    mount(proxy, _replaced(run, "unshared", NGINX, (r"^ *proxy_cache shared;\n", "")), CONF)


def _leaking(config: Config, run: Run, app: Services, proxy: Services) -> None:
    add_leaking_pooler(config, run, app)


def add_leaking_pooler(config: Config, run: Run, app: Services) -> None:
    """`pgbouncer-leaking`, for this service: what SET changes stays for the next client."""
    ini = _replaced(run, "leaking", POOLER, ("^server_reset_query_always = 1", "server_reset_query_always = 0"))
    _pooler(config, "leaking", app, (ini, INI))


def _silent(config: Config, run: Run, app: Services, proxy: Services) -> None:
    _changed_settings(app, silent=True)
    mount(
        proxy,
        _replaced(run, "silent", NGINX, (r"access_log /dev/stdout json if=\$worth_logging", "access_log off")),
        CONF,
    )


CONF, INI = "/etc/nginx/nginx.conf", "/etc/pgbouncer/pgbouncer.ini"

UNDONE = (
    undone("one-worker", "1 worker", _one_worker),
    undone("reconnecting", "a connection per request (CONN_MAX_AGE = 0)", _reconnecting),
    undone("prepared", "prepared statements", _prepared),
    undone("direct", "no pooler: TLS to PostgreSQL", _direct, pooler=""),
    undone("plain", "no TLS, on no leg", _without_tls, pooler="pgbouncer-plain", scheme="http"),
    undone("tcp", "TCP between nginx and gunicorn", _over_tcp),
    undone("bare-api", "API routes without CSP, WhiteNoise, messages, X-Frame-Options", _bare_api),
    undone("unshared", "no answers kept for a second by nginx", _unshared),
    undone("silent", "no log line for a request, of nginx or of the app", _silent),
    undone("leaking", "no RESET ALL after a transaction", _leaking, pooler="pgbouncer-leaking"),
)


# ---------------------------------------------------------------- cookiecutter-django

# initdb and `listen` as the official PostgreSQL image does them, without a line of configuration.
UNTUNED = """
test -s $PGDATA/PG_VERSION || {
  initdb --username=postgres --pwfile=<(echo bench) --auth-host=scram-sha-256 --no-instructions >/dev/null
  echo 'host all all all scram-sha-256' >> $PGDATA/pg_hba.conf
}
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
"""
# .envs/.production/.django at 065becf2
WORKERS = "4"


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
    app["environment"]["WEB_CONCURRENCY"] = WORKERS
    # compose/production/django/start, line 9, at 0ba293a5. --chdir is our image's working directory; the control socket
    # can't be made on a read-only root.
    app["command"] = ["gunicorn", "config.wsgi", "--bind", "0.0.0.0:5000", "--no-control-socket"]
    app["healthcheck"]["test"] = ["CMD", "python", "-c", "import socket; socket.create_connection(('127.0.0.1', 5000))"]


def _cookiecutter_app(config: Config, name: str, like: str, after: str, condition: str) -> Services:
    service = with_copy(config, like, name)
    for limit in ("cpus", "mem_limit", "pids_limit"):
        service.pop(limit, None)
    environment = service["environment"]
    environment.pop("DATABASE_PASSWORD_FILE", None)
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


# compose/production/traefik/traefik.yml: TLS for visitors, plain HTTP to django:5000. Debian has no Traefik; here nginx
# does the same, and nothing else.
FRONT = """
worker_processes auto;
pid /run/nginx/nginx.pid;
error_log stderr warn;
events { worker_connections 4096; }
http {
    access_log off;
    client_body_temp_path /run/nginx/body;
    proxy_temp_path /run/nginx/proxy;
    fastcgi_temp_path /run/nginx/fastcgi;
    uwsgi_temp_path /run/nginx/uwsgi;
    scgi_temp_path /run/nginx/scgi;
    ssl_certificate /tls/tls.crt;
    ssl_certificate_key /tls/tls.key;
    ssl_protocols TLSv1.2 TLSv1.3;
    server {
        listen 8443 ssl;
        location / {
            proxy_pass http://app-cookiecutter:5000;
            proxy_http_version 1.1;
            proxy_set_header Host $http_host;
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
        }
    }
}
"""


def _add_cookiecutters_front(config: Config, run: Run) -> None:
    """Their proxy, and what is behind it."""
    _add_cookiecutter(config, run)
    proxy = with_copy(config, "proxy", "proxy-cookiecutter")
    file = run.work / "cookiecutter-nginx.conf"
    file.write_text(FRONT, encoding="utf-8")
    file.chmod(0o644)
    mount(proxy, str(file), CONF)
    proxy["sysctls"] = PORTS_AGAIN
    for limit in ("cpus", "mem_limit", "pids_limit", "healthcheck"):
        proxy.pop(limit, None)
    proxy["volumes"] = [mount for mount in proxy["volumes"] if mount["source"] != "app-socket"]
    proxy["depends_on"]["app-cookiecutter"] = {"condition": "service_healthy", "required": True}


COOKIECUTTER = Arm(
    "cookiecutter",
    "cookiecutter-django (4 workers, TLS at its proxy alone, no pooler)",
    _add_cookiecutters_front,
    "https://proxy-cookiecutter:8443",
    ("proxy-cookiecutter", "app-cookiecutter", "postgres-untuned"),
    app="app-cookiecutter",
    database="postgres-untuned",
)
BARE_COOKIECUTTER = Arm(
    "bare-cookiecutter",
    "cookiecutter-django without its proxy and TLS",
    lambda config, run: None,  # the containers of the one above
    "http://app-cookiecutter:5000",
    ("app-cookiecutter", "postgres-untuned"),
    headers=(HTTPS_AT_A_PROXY,),
    app="app-cookiecutter",
    database="postgres-untuned",
)
