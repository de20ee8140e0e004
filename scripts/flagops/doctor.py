"""Section 8: `doctor` walks the way of a request and names the first broken link, why, and the next command."""

import http.client
import json as jsons
import os
import socket
import ssl
import struct
import time
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import psycopg
import typer
from psycopg.conninfo import make_conninfo
from rich.text import Text

from flagops import database, drill_report, stack
from flagops.cli import TROUBLE, command
from flagops.errors import Refused, Status, in_words
from flagops.output import Json, console, printable, say, show_json, size
from flagops.queries import load

PATIENCE = 5  # seconds, for each knock
PROXY = stack.Door("proxy", 8443, "")
# PostgreSQL 17 docs, 53.2.10: length 8, then a code in place of a protocol version. The answer is S, then TLS begins.
SSL_REQUEST = struct.pack("!ii", 8, 80877103)
DAYS_TO_RENEW = 14
LEAST_FREE = 0.1


class Link(NamedTuple):
    """A link of the chain. `check` returns what it saw, or raises Refused."""

    name: str
    check: Callable[[], str]


@command(TROUBLE)
def doctor(
    migrations: Annotated[
        str | None, typer.Option(hidden=True, help="What `migrate --plan` says; ./scripts/ops passes it.")
    ] = None,
    backups: Annotated[
        str | None, typer.Option(hidden=True, help="What `physical info` says; ./scripts/ops passes it.")
    ] = None,
    json: Json = False,
) -> Status:
    """Walk the chain client → proxy → app → pooler → server → database → roles → TLS → disk → migrations → archiving;
    name the first broken link, why, and the next command."""
    chain = [
        Link("client", client),
        Link("proxy", lambda: "answers with TLS, " + certificate_of(PROXY)),
        Link("app", app),
        Link("pooler", lambda: "answers with TLS, " + certificate_of(stack.PGBOUNCER)),
        Link("server", server),
        Link("database", the_database),
        Link("roles", roles),
        Link("TLS", tls),
        Link("disk", disk),
        Link("migrations", lambda: migrated(migrations)),
        Link("whole way", whole_way),
        Link("archiving", lambda: archiving(backups)),
    ]
    results: list[dict[str, Any]] = []
    broken: Refused | None = None
    for link in chain:
        result = {"link": link.name, "status": "not checked", "detail": ""}
        if broken is None:
            try:
                result |= {"status": "ok", "detail": link.check()}
            except Refused as refused:
                broken = refused
            except (psycopg.Error, OSError) as error:
                broken = (
                    in_words(error)
                    if isinstance(error, psycopg.Error)
                    else Refused(f"{link.name} failed.", "docker compose ps", str(error))
                )
            if broken:
                result |= {"status": "broken", "detail": broken.what, "why": broken.why, "next": broken.next}
        results.append(result)
        if not json:
            print_result(result)
    if json:
        show_json(results)
    elif broken:
        broken.show()
    else:
        say("every link holds.")
    return Status.PROBLEM if broken else Status.OK


def print_result(result: dict[str, Any]) -> None:
    """A line a link."""
    mark, style = {"ok": ("✓", "green"), "broken": ("✗", "red"), "not checked": ("·", "dim")}[result["status"]]
    detail = printable(result["detail"] or result["status"])
    console.print(Text.assemble((f"{mark} {result['link']:<10} ", style), detail))


# ------------------------------------------------------------ the links


def client() -> str:
    """What every other link needs: the CA's certificate and the secrets."""
    if not stack.CA.exists():
        raise Refused(
            "there is no CA certificate: the one-shot `certificates` hasn't run.",
            "docker compose up --wait (or ./scripts/up)",
        )
    for short in stack.ROLES:
        stack.password(short)
    return "has the CA's certificate and the roles' secrets"


def app() -> str:
    """The application's process, through the proxy."""
    status, body = visit("/healthz")
    # Its own words: while it is away, the proxy shows visitors a page.
    if status != 200 or '"ok"' not in body:
        raise Refused(
            f"the proxy can't reach the application: /healthz is {status}.",
            "docker compose ps app migrate; docker compose logs --tail 20 app migrate",
            " ".join(body.split()),
        )
    return "/healthz is 200, through the proxy"


def server() -> str:
    """PostgreSQL accepts connections; nobody has to log in for this."""
    seen = certificate_of(stack.POSTGRES)
    match psycopg.pq.PGconn.ping(make_conninfo("", **stack.parameters()).encode()):
        case psycopg.pq.Ping.OK:
            return f"accepts connections, {seen}"
        case psycopg.pq.Ping.REJECT:
            raise Refused(
                "the server is there, but lets nobody in: it starts, stops or recovers.",
                "docker compose logs --tail 20 postgres",
            )
    raise Refused("the server doesn't answer.", "docker compose ps postgres; docker compose logs --tail 20 postgres")


def the_database() -> str:
    """The application's database exists and lets people in."""
    try:
        with database.connect() as connection:
            row = database.rows(connection, load("server"))[0]
    except Refused as refused:
        if "authentication failed" in refused.why:
            return "not seen: flaglearning_ops can't log in"
        if "does not exist" in refused.why:
            raise Refused(
                f"there is no database {stack.APP_DATABASE}.",
                "./scripts/ops setup apply; ./scripts/ops migrations apply",
                refused.why,
            ) from None
        raise
    if row["replica"]:
        raise Refused("the server is a replica: it takes no writes.", "docker compose logs --tail 20 postgres")
    return f"{stack.APP_DATABASE}; {row['connections']} of {row['max_connections']} connections used"


def roles() -> str:
    """Every role logs in with its secret; the application's through the pooler, too, and nobody waits there."""
    for short in stack.ROLES:
        database.connect(short).close()
    database.through_the_pooler("app").close()
    with database.pooler() as console:
        pools = console.execute("SHOW POOLS").fetchall()
        held = [row["name"] for row in console.execute("SHOW DATABASES").fetchall() if row["paused"] or row["disabled"]]
    if held:
        raise Refused(
            f"the pooler holds everybody back: {', '.join(held)} is paused or disabled.",
            "docker compose restart pgbouncer",
        )
    if waiting := sum(row["cl_waiting"] for row in pools):
        raise Refused(
            f"{waiting} clients wait for a connection in the pooler.",
            "./scripts/ops connections; ./scripts/ops sessions",
        )
    return f"{', '.join(stack.ROLES)} log in with their secrets; app through the pooler, too"


def tls() -> str:
    """Certificates stay valid for a while, and nobody gets in without TLS."""
    for door in (PROXY, stack.PGBOUNCER, stack.POSTGRES):
        if (days := days_left(door)) < DAYS_TO_RENEW:
            raise Refused(f"the certificate of {door.host} expires in {days} days.", renewal())
    for door in (stack.PGBOUNCER, stack.POSTGRES):
        target = make_conninfo(
            "", **stack.parameters(door=door) | {"sslmode": "disable"}, password=stack.password("ops")
        )
        try:
            psycopg.connect(target).close()
        except psycopg.OperationalError:
            continue
        raise Refused(
            f"{door.host} lets a client in without TLS.",
            "docker compose build postgres pgbouncer && docker compose up --wait (pg/pg_hba.conf)",
        )
    return "certificates are valid for weeks; without TLS nobody gets in"


def disk() -> str:
    """Room on the disk that the server writes to."""
    found = os.statvfs("/var/lib/postgresql")
    free = found.f_bavail * found.f_frsize
    share = found.f_bavail / found.f_blocks
    if share < LEAST_FREE:
        raise Refused(
            f"the server's disk is nearly full: {size(free)} are free ({share:.0%}).",
            "./scripts/ops space; docker system df",
        )
    return f"{size(free)} free ({share:.0%})"


def migrated(plan: str | None) -> str:
    """Every migration of the application's image is applied."""
    with database.connect() as connection:
        row = connection.execute(
            "SELECT pg_catalog.to_regclass('public.django_migrations') IS NOT NULL AS ever"
        ).fetchone()
        if not row or not row["ever"]:
            raise Refused("no migration was ever applied.", "./scripts/ops migrations apply")
        count = len(database.rows(connection, load("migrations"), limit="1000000"))
    if plan is None:
        return f"{count} applied (whether all are, ./scripts/ops doctor asks the application)"
    if "No planned migration operations" not in plan:
        raise Refused(
            "not every migration is applied, or the application can't say.",
            "./scripts/ops migrations plan; ./scripts/ops migrations apply",
            " ".join(plan.split())[:300],
        )
    return f"{count} applied, none missing"


def whole_way() -> str:
    """A visitor's request, all the way to the database and back."""
    start = time.monotonic()
    status, body = visit("/readyz")
    if status != 200:
        raise Refused(
            f"each link holds, but the application isn't ready: /readyz is {status}.",
            "docker compose logs --tail 20 app",
            body,
        )
    return f"/readyz is 200 after {(time.monotonic() - start) * 1000:.0f} ms"


def archiving(facts: str | None) -> str:
    """What is written gets into the repository, and a backup to begin a restore with is there."""
    if not facts:
        return "not seen (./scripts/ops doctor asks the repository)"
    found = jsons.loads(facts)
    if stack.IS_DEVELOPMENT and (found.get("server") or {}).get("archive_mode") == "off":
        return "off: docker compose --profile backup up makes physical backups"
    if problem := drill_report.problem_of(found):
        raise problem
    return drill_report.well(found)


# ------------------------------------------------------------ knocking


def trusting(door: stack.Door) -> ssl.SSLContext:
    """Trusts the stack's CA; for the proxy also the public ones, because it may show a certificate of theirs."""
    context = ssl.create_default_context(cafile=str(stack.CA))
    if door is PROXY:
        context.load_default_certs()
        # By which name visitors come isn't known here; chain and dates are checked.
        context.check_hostname = False
    return context


def knock(door: stack.Door) -> ssl.SSLSocket:
    """A TLS connection, the peer's certificate verified. Why it failed is the link's answer."""
    try:
        plain = socket.create_connection((door.host, door.port), timeout=PATIENCE)
    except socket.gaierror:
        raise Refused(
            f"{door.host} isn't running.",
            "docker compose up --wait (or ./scripts/up)",
            f"no container answers to the name {door.host}",
        ) from None
    except TimeoutError:
        raise Refused(
            f"{door.host} doesn't answer.", f"docker compose restart {door.host}", f"no answer within {PATIENCE} s"
        ) from None
    except OSError as error:
        raise Refused(
            f"{door.host} runs, but nothing listens there.", f"docker compose logs --tail 20 {door.host}", str(error)
        ) from None
    try:
        if door is not PROXY:
            plain.sendall(SSL_REQUEST)
            if plain.recv(1) != b"S":
                raise Refused(f"{door.host} doesn't offer TLS.", f"docker compose logs --tail 20 {door.host}")
        return trusting(door).wrap_socket(plain, server_hostname=door.host)
    except ssl.SSLCertVerificationError as error:
        raise Refused(f"the certificate of {door.host} can't be trusted: {error.verify_message}.", renewal()) from None
    except OSError as error:
        raise Refused(
            f"{door.host} accepts a connection and then says nothing.",
            f"docker compose restart {door.host}",
            str(error),
        ) from None


def days_left(door: stack.Door) -> int:
    """Until the certificate that is shown expires."""
    with knock(door) as secured:
        certificate = secured.getpeercert()
    assert certificate
    return int((ssl.cert_time_to_seconds(str(certificate["notAfter"])) - time.time()) // 86400)


def certificate_of(door: stack.Door) -> str:
    """The certificate, in words."""
    return f"its certificate is valid for {days_left(door)} more days"


def renewal() -> str:
    """How a certificate is renewed."""
    if stack.IS_DEVELOPMENT:
        return "docker compose run --rm certificates && docker compose restart proxy pgbouncer postgres"
    return "./scripts/secrets new renews them; then reload (docs/production.md)"


def visit(path: str) -> tuple[int, str]:
    """GET through the proxy: status and the beginning of the body."""
    knock(PROXY).close()
    connection = http.client.HTTPSConnection(PROXY.host, PROXY.port, timeout=PATIENCE, context=trusting(PROXY))
    try:
        connection.request("GET", path, headers={"Host": stack.ALLOWED_HOSTS[0]})
        response = connection.getresponse()
        return response.status, response.read(300).decode(errors="replace")
    except (OSError, http.client.HTTPException) as error:
        raise Refused("the proxy doesn't answer a request.", "docker compose restart proxy", str(error)) from None
    finally:
        connection.close()
