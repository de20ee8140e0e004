"""What a client in the stack's network sees of each service: certificates, logins, the application's answers.

Every probe runs at the same time as the others; ./scripts/ops doctor puts them in order.
"""

import contextlib
import functools
import http.client
import socket
import ssl
import struct
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from pgclient import passwords, stack
from pgclient.database import START, cannot_connect
from pgclient.verbs import verb
from user_errors import Failure, OperationError

TIMEOUT = 5  # seconds, for each step of a probe
PROXY = stack.Endpoint("proxy", 8443)
# PostgreSQL 17 docs, 53.2.10: length 8, then a code in place of a protocol version. The answer is S, then TLS begins.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)

# After an outage of the server PgBouncer first answers with the error of that time, and tries a new server login.
CACHED = "server login has been failing, cached error"
LOGIN_RETRY = 0.3  # seconds; server_login_retry in pg/pgbouncer.ini is 0.2

Probe = Callable[[], Any]


class InvalidCertificate(OperationError):
    """A service shows a certificate that can't be verified: it expired, or another CA signed it."""


@verb("diagnose")
def diagnose() -> dict[str, dict[str, Any]]:
    """Probe → {"found": what it saw}, or {"what", "reason", "hint"} of its error.

    Standard input: the password of the pooler's lookup role, a secret that this container does not have; "" leaves its
    probe out.
    """
    lookup = sys.stdin.readline().strip()
    probes: dict[str, Probe] = {
        "client": client,
        "proxy certificate": lambda: days_left(PROXY),
        "pgbouncer certificate": lambda: days_left(stack.PGBOUNCER),
        "postgres certificate": lambda: days_left(stack.POSTGRES),
        "app": lambda: visit("/healthz"),
        "server": accepts_connections,
        **{f"{role} login": functools.partial(log_in, role, stack.POSTGRES) for role in stack.ROLES},
        "app login through the pooler": lambda: log_in("app", stack.PGBOUNCER),
        "postgres without TLS": lambda: plaintext(stack.POSTGRES),
        "pgbouncer without TLS": lambda: plaintext(stack.PGBOUNCER),
        "end to end": lambda: visit("/readyz"),
        **({"pgbouncer login": lambda: lookup_login(lookup)} if lookup else {}),
    }
    with ThreadPoolExecutor(len(probes)) as pool:
        return dict(zip(probes, pool.map(result, probes.values()), strict=True))


def result(probe: Probe) -> dict[str, Any]:
    """Run one probe."""
    try:
        return {"found": probe()}
    except Failure as failure:
        return {"what": failure.what, "reason": failure.reason, "hint": failure.hint}
    except (psycopg.Error, OSError) as error:
        return {"what": "a probe failed", "reason": " ".join(str(error).split()), "hint": "docker compose ps"}


def client() -> str:
    """What every other probe needs: the CA's certificate and the secrets."""
    if not stack.CA.exists():
        raise OperationError("the CA's certificate does not exist", "docker compose up --wait certificates")
    for role in stack.ROLES:
        stack.passwords(role)
    return "has the CA's certificate and the roles' secrets"


# ------------------------------------------------------------ PostgreSQL and PgBouncer


def accepts_connections() -> None:
    """Raises OperationError unless the server accepts connections; no role logs in for this."""
    match psycopg.pq.PGconn.ping(make_conninfo("", **stack.parameters()).encode()):
        case psycopg.pq.Ping.OK:
            return
        case psycopg.pq.Ping.REJECT:
            raise OperationError(
                "postgres rejects connections: it is starting, stopping or recovering",
                "docker compose logs --tail 20 postgres",
            )
    raise OperationError("postgres does not answer", "docker compose logs --tail 20 postgres")


def log_in(role: stack.RoleKey, endpoint: stack.Endpoint) -> None:
    """Log in as a role with its secret. Raises OperationError."""
    parameters = stack.parameters(role, endpoint=endpoint)
    conninfo = make_conninfo("", **parameters, password=stack.password(role))
    try:
        try:
            psycopg.connect(conninfo).close()
        except psycopg.OperationalError as error:
            if CACHED not in str(error):
                raise
            time.sleep(LOGIN_RETRY)
            psycopg.connect(conninfo).close()
    except psycopg.OperationalError as error:
        raise cannot_connect(error, parameters) from None


def lookup_login(password: str) -> None:
    """Raises OperationError when PostgreSQL refuses PgBouncer's own password: it looks up every client's with that."""
    if not passwords.logs_in("pgbouncer", password):
        raise OperationError(
            "PostgreSQL does not accept the secret pgbouncer_password: PgBouncer could not start again",
            "./scripts/ops password reset pgbouncer (in development with --yes)",
        )


def plaintext(endpoint: stack.Endpoint) -> None:
    """Raises OperationError when the server accepts a login without TLS."""
    parameters = stack.parameters(endpoint=endpoint) | {"sslmode": "disable"}
    try:
        psycopg.connect(make_conninfo("", **parameters, password=stack.password("ops"))).close()
    except psycopg.OperationalError:
        return
    raise OperationError(
        f"{endpoint.host} accepts a login without TLS",
        "docker compose build postgres pgbouncer && docker compose up --wait (pg/pg_hba.conf, pg/pgbouncer.ini)",
    )


# ------------------------------------------------------------ certificates


def days_left(endpoint: stack.Endpoint) -> int:
    """Days until the certificate expires that the service shows, verified. Raises OperationError."""
    return int((expiry(endpoint) - time.time()) // 86400)


def expiry(endpoint: stack.Endpoint) -> float:
    """When the certificate expires that the service shows, verified, in seconds since 1970. Raises OperationError."""
    with handshake(endpoint) as secured:
        certificate = secured.getpeercert()
        with contextlib.suppress(OSError):
            secured.unwrap()  # without a TLS close, PgBouncer logs a warning
    assert certificate
    return ssl.cert_time_to_seconds(str(certificate["notAfter"]))


def handshake(endpoint: stack.Endpoint) -> ssl.SSLSocket:
    """A TLS connection to the service. Raises OperationError, which says at which step it failed."""
    host = endpoint.host
    try:
        plain = socket.create_connection((host, endpoint.port), timeout=TIMEOUT)
    except socket.gaierror:
        raise OperationError(f"{host} is not running", START, f"no container has the name {host}") from None
    except TimeoutError:
        raise OperationError(
            f"{host} does not answer", f"docker compose restart {host}", f"no answer within {TIMEOUT} s"
        ) from None
    except OSError as error:
        raise OperationError(
            f"{host} runs, but accepts no connection", f"docker compose logs --tail 20 {host}", str(error)
        ) from None
    try:
        if endpoint is not PROXY:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                raise OperationError(f"{host} offers no TLS", f"docker compose logs --tail 20 {host}")
        return trusting(endpoint).wrap_socket(plain, server_hostname=host)
    except ssl.SSLCertVerificationError as error:
        raise InvalidCertificate(
            f"the certificate of {host} can't be verified", stack.renewal(), error.verify_message
        ) from None
    except OSError as error:
        raise OperationError(
            f"{host} accepts a connection and does not answer", f"docker compose restart {host}", str(error)
        ) from None


@functools.cache
def trusting(endpoint: stack.Endpoint) -> ssl.SSLContext:
    """A context that trusts the stack's CA; for the proxy also the public ones."""
    context = ssl.create_default_context(cafile=str(stack.CA))
    if endpoint is PROXY:
        context.load_default_certs()
        # The name that visitors use is not known here; chain and dates are verified.
        context.check_hostname = False
    return context


# ------------------------------------------------------------ the application


def visit(path: str) -> dict[str, Any]:
    """GET through the proxy: status, the beginning of the body, milliseconds. Raises OperationError."""
    start = time.monotonic()
    connection = http.client.HTTPSConnection(PROXY.host, PROXY.port, timeout=TIMEOUT, context=trusting(PROXY))
    try:
        connection.request("GET", path, headers={"Host": stack.SITE_NAME})
        response = connection.getresponse()
        body = response.read(300).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise OperationError(
            "the proxy does not answer a request", "docker compose restart proxy", str(error)
        ) from None
    finally:
        connection.close()
    return {"status": response.status, "body": body, "ms": round((time.monotonic() - start) * 1000)}
