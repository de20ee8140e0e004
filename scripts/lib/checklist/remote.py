"""Functions that run inside a container, or on a host, with its own Python: `call(host, function, *arguments)`.

Each imports what it needs itself and returns something that JSON can carry: only its source text travels. None
returns a secret.
"""

import inspect
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import secret_files


def call(host: Any, function: Callable[..., Any], *arguments: Any) -> Any:
    """Run the function where the host is; return what it returned. It can import secret_files."""
    # The annotations stay text: what they name need not exist there.
    program = (
        f"from __future__ import annotations\nimport json, sys\n{importable(secret_files)}\n"
        f"{inspect.getsource(function)}\n"
        f"print(json.dumps({function.__name__}(*json.loads(sys.argv[1]))))"
    )
    done = host.run("python3 -c %s %s", program, json.dumps(arguments))
    assert done.rc == 0, f"{function.__name__} failed there: {done.stderr.strip()[-600:]}"
    return json.loads(done.stdout)


def importable(module: ModuleType) -> str:
    """Program text that makes a module of this project importable under its name."""
    source, name = inspect.getsource(module), module.__name__
    return (
        f"import types\nsys.modules[{name!r}] = types.ModuleType({name!r})\n"
        f"exec({source!r}, sys.modules[{name!r}].__dict__)"
    )


def write_passfiles(public: dict[str, str]) -> dict[str, int]:
    """For libpq: /tmp/pass/NAME from each secret, /tmp/pass/public_NAME from each of development's public passwords.

    While a password is being changed its secret holds more than one: NAME.0, NAME.1 … are these, NAME the newest.
    Returns how many each secret holds."""
    import os
    from pathlib import Path

    import secret_files

    os.umask(0o077)
    folder = Path("/tmp/pass")  # noqa: S108  (the container's own)
    folder.mkdir(exist_ok=True)
    passwords = {f"public_{name}": password for name, password in public.items()}
    found = {}
    for secret in Path("/run/secrets").glob("*_password"):
        candidates = secret_files.candidates(secret.read_text()) or [""]
        passwords |= {f"{secret.name}.{number}": password for number, password in enumerate(candidates)}
        passwords[secret.name] = candidates[-1]
        found[secret.name] = len(candidates)
    for name, password in passwords.items():
        escaped = password.replace("\\", "\\\\").replace(":", "\\:")
        (folder / name).write_text(f"*:*:*:*:{escaped}\n")
    (folder / "none").write_text("")
    return found


def run_psql(attempts: list[list[str]]) -> list[list[Any]]:
    """psql for each (connection string, command), a few at a time: [exit status, standard output, standard error].
    Where there is no psql, on a host that has the app's image alone, the app's own driver, as the same libpq speaks."""
    import shutil
    import subprocess
    from concurrent.futures import ThreadPoolExecutor

    def by_driver(attempt: list[str]) -> list[Any]:
        import psycopg

        try:
            with psycopg.connect(attempt[0]) as connection:
                rows = connection.execute(attempt[1]).fetchall()
        except psycopg.Error as error:
            return [2, "", str(error)]
        return [0, "\n".join(",".join(map(str, row)) for row in rows), ""]

    def one(attempt: list[str]) -> list[Any]:
        if not shutil.which("psql"):
            return by_driver(attempt)
        options = ["-X", "--no-password", "--csv", "--tuples-only", "-v", "VERBOSITY=verbose", "-v", "ON_ERROR_STOP=1"]
        done = subprocess.run(["psql", *options, "-d", attempt[0], "-c", attempt[1]], capture_output=True, text=True)
        return [done.returncode, done.stdout, done.stderr]

    with ThreadPoolExecutor(4) as pool:
        return list(pool.map(one, attempts))


def measure_secrets(public_digests: list[str]) -> dict[str, dict[str, Any]]:
    """Of each secret: its length, how many different characters, why production would refuse it ('' if it wouldn't),
    and which other secret has the same value."""
    import hashlib
    from pathlib import Path

    import secret_files

    texts = {file.name: file.read_text() for file in sorted(Path("/run/secrets").glob("*"))}
    values = {name: secret_files.value(name, text) for name, text in texts.items() if name in secret_files.SECRETS}
    measured: dict[str, dict[str, Any]] = {}
    for name in texts:
        value = values.get(name, secret_files.candidates(texts[name])[-1])
        public = hashlib.sha256(value.encode()).hexdigest() in public_digests
        if name not in values:
            reason = "is not declared in secret_files.py"
        else:
            reason = "is a public development secret" if public else secret_files.weakness(name, texts[name]) or ""
        originals = {other: theirs for other, theirs in values.items() if not secret_files.SECRETS[other].copy_of}
        measured[name] = {
            "length": len(value),
            "distinct": len(set(value)),
            "reason": reason,
            "same_as": [
                other for other, theirs in originals.items() if name in originals and other != name and theirs == value
            ],
        }
    return measured


def look_for_secrets(files: list[str], secrets: list[str]) -> dict[str, Any]:
    """Which of the files hold one of the secrets: which were read, how many secrets were looked for, what was found."""
    import os
    from pathlib import Path

    import secret_files

    def held(name: str, text: str) -> list[str]:
        """More than one while a password is being changed."""
        if name in secret_files.SECRETS and secret_files.SECRETS[name].kind == "cipher":
            return [secret_files.value(name, text)]
        return secret_files.candidates(text)

    readable = [Path(secret) for secret in secrets if os.access(secret, os.R_OK)]
    found = [(value, secret.name) for secret in readable for value in held(secret.name, secret.read_text())]
    values = {value: name for value, name in found if len(value) >= 12}  # what is shorter may be there by chance
    texts = {file: Path(file).read_text() for file in files if Path(file).is_file()}
    found_in = [f"{name} in {file}" for value, name in values.items() for file, text in texts.items() if value in text]
    return {"read": list(texts), "secrets": len(values), "found_in": found_in}


def probe(addresses: list[list[Any]], timeout: float) -> dict[str, str]:
    """Try to open a TCP connection to each (host, port), all at once: 'open', or why not."""
    import socket
    from concurrent.futures import ThreadPoolExecutor

    def one(address: list[Any]) -> str:
        try:
            socket.create_connection((address[0], address[1]), timeout).close()
        except TimeoutError:
            return "no answer"
        except OSError as error:
            return (error.strerror or str(error)).lower()
        return "open"

    with ThreadPoolExecutor(64) as pool:
        return {
            f"{host}:{port}": answer for (host, port), answer in zip(addresses, pool.map(one, addresses), strict=True)
        }


def many_clients(app: str, ops_server: str, ops_console: str, clients: int) -> dict[str, Any]:
    """Hold many clients at the pooler, let all ask at once; look from both ends: its console, and the server."""
    import time
    from concurrent.futures import ThreadPoolExecutor

    import psycopg
    from psycopg.rows import dict_row

    held: list[Any] = []

    def connect(conninfo: str, **options: Any) -> Any:
        held.append(psycopg.connect(conninfo, autocommit=True, **options))
        return held[-1]

    def ask(connection: Any) -> Any:
        return connection.execute("SELECT pg_backend_pid() FROM pg_sleep(0.02)").fetchone()[0]

    try:
        at_once = [connect(app) for _ in range(clients)]
        with ThreadPoolExecutor(clients) as pool:
            backends = set(pool.map(ask, at_once))
        # The console knows the simple protocol only.
        console = connect(ops_console, cursor_factory=psycopg.ClientCursor, row_factory=dict_row)
        server = connect(ops_server)
        # Both ends move while others work: the two counts are taken again until they were taken at the same instant.
        for _ in range(10):
            pools = console.execute("SHOW POOLS").fetchall()
            sessions = server.execute(
                "SELECT usename, datname, host(client_addr), count(*) FROM pg_stat_activity"
                " WHERE client_addr IS NOT NULL GROUP BY 1, 2, 3"
            ).fetchall()
            again = console.execute("SHOW POOLS").fetchall()
            if [row["sv_idle"] for row in pools] == [row["sv_idle"] for row in again]:
                break
            time.sleep(0.2)
        return {"backends": len(backends), "pools": pools, "sessions": sessions}
    finally:
        for connection in held:
            connection.close()


def connect_as_the_application() -> dict[str, Any]:
    """In the app's container, with its own settings and its own driver: what the connection is, seen from both ends."""
    import contextlib
    import os
    from pathlib import Path

    import psycopg

    import secret_files

    def connect() -> Any:
        *older, newest = secret_files.candidates(Path(os.environ["DATABASE_PASSWORD_FILE"]).read_text())
        for password in older:
            with contextlib.suppress(psycopg.OperationalError):
                return psycopg.connect(os.environ["DATABASE_URL"], password=password, connect_timeout=5)
        return psycopg.connect(os.environ["DATABASE_URL"], password=newest, connect_timeout=5)

    with connect() as connection:
        user, server_sees = next(connection.execute("SELECT current_user, host(inet_client_addr())"))
        return {
            "user": user,
            "server_sees": server_sees,
            "host": connection.info.host,
            "port": connection.info.port,
            "ssl": bool(connection.pgconn.ssl_in_use),
        }


def request(url: str, host: str, ca: str) -> dict[str, Any]:
    """GET without following redirects: status, headers, the beginning of the body; over https what TLS was agreed."""
    import http.client
    import ssl
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=5)
    connection.connect()
    tls = ""
    if parts.scheme == "https":
        secure = ssl.create_default_context(cafile=ca).wrap_socket(connection.sock, server_hostname=parts.hostname)
        tls = f"{secure.version()}, {(secure.cipher() or ['?'])[0]}"
        connection.sock = secure
    connection.request("GET", parts.path or "/", headers={"Host": host})
    answer = connection.getresponse()
    body = answer.read(300).decode(errors="replace")
    connection.close()
    return {"status": answer.status, "headers": dict(answer.getheaders()), "body": body, "tls": tls}


def scan(address: str, first: int, last: int, timeout: float) -> list[int]:
    """The TCP ports of an address that answer to a connection, of all from `first` to `last`."""
    import resource
    import select
    import socket
    import time

    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    at_once = min(hard - 100, 16000)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    found = []
    for start in range(first, last + 1, at_once):
        pending = {}
        poll = select.epoll()
        for port in range(start, min(start + at_once, last + 1)):
            pending_socket = socket.socket(family, socket.SOCK_STREAM)
            pending_socket.setblocking(False)
            pending_socket.connect_ex((address, port))
            pending[pending_socket.fileno()] = (pending_socket, port)
            poll.register(pending_socket, select.EPOLLOUT | select.EPOLLONESHOT)
        end = time.monotonic() + timeout
        while (left := end - time.monotonic()) > 0:
            for number, _ in poll.poll(left):
                pending_socket, port = pending[number]
                if pending_socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0:
                    found.append(port)
        poll.close()
        for pending_socket, _ in pending.values():
            pending_socket.close()
    return sorted(found)
