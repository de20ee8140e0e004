"""Item 2: no connection without TLS 1.3, and the clients know whom they talk to."""

import re
import time
from datetime import UTC, datetime

from checklist.api import Evidence, check, deviates, not_yet
from checklist.client import Client, Superuser
from checklist.fleet import role_default
from checklist.machines import Machine
from checklist.remote import call, knock, request
from checklist.target import NO_OUTSIDER, Target

RELOAD = (
    "compare pg/conf.d/20-tls.conf and pg/pgbouncer.ini with what runs (a file in pg/local.d wins);"
    " then `docker compose up --build`"
)
RENEW = (
    "development: `docker compose up certificates`; production: `./scripts/secrets new DIR` renews what expires;"
    " then restart the services"
)
OTHER_CA = "/tmp/another.crt"  # noqa: S108  (the container's own)
ENOUGH_DAYS = 30
KEY_OWNERS = {"postgres": 5432, "pgbouncer": 6432, "proxy": 8443}  # service → uid of the key's owner


def agreed(client: Client, service: str, evidence: Evidence) -> None:
    door = client.target.door(service)
    answer = client.login(door, client.target.app_role, "app_password", "\\conninfo")
    assert answer.ok, f"a verified TLS login at {door} failed: {answer}"
    tls = re.search(r"protocol: (\S+), cipher: (\S+),", answer.text)
    assert tls, f"{door} did not use TLS: {answer.text}"
    evidence(f"{door} with sslmode=verify-full: {tls[1]}, {tls[2]}")
    assert tls[1] == "TLSv1.3", f"{door} agreed on {tls[1]}"


def refuses_plaintext(client: Client, service: str, evidence: Evidence, roles: dict[str, str]) -> None:
    door = client.target.door(service)
    attempts = {role: client.attempt(door, role, password, sslmode="disable") for role, password in roles.items()}
    for role, answer in client.try_all(attempts).items():
        evidence(f"{role} with sslmode=disable: {answer}")
        assert not answer.ok, f"{door} let {role} in without TLS"
        assert "FATAL" in answer.text, f"{door} did not refuse {role}, it did not answer: {answer}"


@check("TLS-01", claim="PostgreSQL speaks TLS 1.3 with a certificate that verifies", remedy=RELOAD)
def test_server_offers_tls(beside: Client, evidence: Evidence) -> None:
    agreed(beside, "postgres", evidence)


@check("TLS-02", claim="PgBouncer speaks TLS 1.3 with a certificate that verifies", remedy=RELOAD)
def test_pooler_offers_tls(beside: Client, evidence: Evidence) -> None:
    agreed(beside, "pgbouncer", evidence)


@check(
    "TLS-03",
    claim="PostgreSQL refuses every role that comes without TLS",
    remedy="in pg_hba.conf and hba.d write hostssl, not host; then `docker compose up --build postgres`",
)
def test_server_refuses_plaintext(target: Target, beside: Client, evidence: Evidence) -> None:
    refuses_plaintext(
        beside,
        "postgres",
        evidence,
        {
            target.app_role: "app_password",
            "flaglearning_migrator": "migrator_password",
            "flaglearning_readonly": "readonly_password",
            "flaglearning_ops": "ops_password",
        },
    )


@check(
    "TLS-04",
    claim="PgBouncer refuses every role that comes without TLS",
    remedy="client_tls_sslmode = require in pg/pgbouncer.ini; then `docker compose up --build pgbouncer`",
)
def test_pooler_refuses_plaintext(target: Target, beside: Client, evidence: Evidence) -> None:
    refuses_plaintext(
        beside,
        "pgbouncer",
        evidence,
        {
            target.app_role: "app_password",
            "flaglearning_readonly": "readonly_password",
            "flaglearning_ops": "ops_password",
        },
    )


@check("TLS-05", claim="nothing older than TLS 1.3 is accepted at either door", remedy=RELOAD)
def test_old_tls_is_refused(target: Target, beside: Client, evidence: Evidence) -> None:
    for service in ("postgres", "pgbouncer"):
        door = target.door(service)
        answer = beside.login(
            door, target.app_role, "app_password", ssl_min_protocol_version="TLSv1", ssl_max_protocol_version="TLSv1.2"
        )
        evidence(f"{door}, a client with at most TLS 1.2: {answer}")
        assert not answer.ok, f"{door} accepted a TLS version older than 1.3"
        assert "protocol version" in answer.text, f"{door} did not refuse the version: {answer}"


@check("TLS-06", claim="a client that trusts another CA, or asks for another name, does not connect", remedy=RENEW)
def test_verification_can_fail(target: Target, beside: Client, evidence: Evidence) -> None:
    made = beside.host.run(
        "openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 1 -subj '/CN=another CA'"
        f" -keyout /tmp/another.key -out {OTHER_CA}"
    )
    assert made.rc == 0, made.stderr
    for service in ("postgres", "pgbouncer"):
        door = target.door(service)
        stranger = beside.login(door, target.app_role, "app_password", sslrootcert=OTHER_CA)
        # the same server by its address, which its certificate doesn't name
        address = beside.host.run("getent ahostsv4 %s", door.host).stdout.split()[0]
        renamed = beside.login(door, target.app_role, "app_password", host=address)
        evidence(f"{door}: trusting another CA: {stranger}; by its address: {renamed}")
        assert "certificate verify failed" in stranger.text, f"{door} was believed under another CA: {stranger}"
        assert "does not match host name" in renamed.text, f"{door} was believed under another name: {renamed}"


@check(
    "TLS-07",
    claim=f"every served certificate is signed by our CA, names its server and lasts {ENOUGH_DAYS} days more",
    remedy=RENEW,
)
def test_certificates_last(target: Target, beside: Client, evidence: Evidence) -> None:
    ways = [
        (
            target.host(service),
            beside.host,
            target.door(service).host,
            f"{target.door(service).port} -starttls postgres",
        )
        for service in ("postgres", "pgbouncer")
    ]
    ways += [(proxy, target.client("edge", beside=proxy), "proxy", "8443") for proxy in target.each("proxy")]
    for service, client, name, port in ways:
        done = client.run(
            f"openssl s_client -connect {name}:{port} -CAfile /tls/ca.crt -verify_hostname {name} -verify_return_error"
            " </dev/null 2>/tmp/err | openssl x509 -noout -enddate -ext subjectAltName; grep -m1 'verif.*err' /tmp/err"
        )
        end = re.search(r"notAfter=(.*)", done.stdout)
        assert end, f"{service} served no certificate that verifies: {done.stdout} {done.stderr}"
        left = datetime.strptime(end[1], "%b %d %H:%M:%S %Y GMT").replace(tzinfo=UTC) - datetime.now(UTC)
        names = ", ".join(re.findall(r"(?:DNS|IP Address):([^,\s]+)", done.stdout))
        evidence(f"{service}: valid for {left.days} more days, for {names}")
        assert left.days >= ENOUGH_DAYS, f"{service}'s certificate has {left.days} days left"


@check(
    "TLS-08",
    claim="every session that is open now is encrypted: clients to pooler, pooler to server, all others",
    remedy=RELOAD,
)
def test_open_sessions_are_encrypted(target: Target, superuser: Superuser, beside: Client, evidence: Evidence) -> None:
    # The application's own path has to be among them.
    assert beside.login(target.door("pgbouncer"), target.app_role, "app_password").ok
    sessions = superuser.rows(
        "SELECT coalesce(version, 'no TLS') AS tls, count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)"
        " WHERE client_addr IS NOT NULL GROUP BY 1"
    )
    evidence("sessions at PostgreSQL over TCP: " + ", ".join(f"{row['count']} with {row['tls']}" for row in sessions))
    plain = []
    for what in ("CLIENTS", "SERVERS"):
        kinds = [row["tls"] or "no TLS" for row in beside.console(what)]
        evidence(
            f"{what.lower()} at PgBouncer: "
            + ", ".join(f"{kinds.count(kind)} with {kind}" for kind in sorted(set(kinds)))
        )
        plain += [kind for kind in kinds if not kind.startswith("TLSv1.3")]
    assert sessions, "no session at PostgreSQL came over TCP, so nothing was proven"
    plain += [row["tls"] for row in sessions if row["tls"] != "TLSv1.3"]
    assert not plain, f"sessions with something else than TLS 1.3 are open: {', '.join(plain)}"


@check(
    "TLS-09",
    claim="the application verifies the pooler, and the pooler verifies the server (verify-full)",
    remedy="sslmode=verify-full in DATABASE_URL; server_tls_sslmode = verify-full in pg/pgbouncer.ini",
)
def test_clients_verify(target: Target, beside: Client, evidence: Evidence) -> None:
    modes = set()
    for app in target.each("app"):
        mode = re.search(r"sslmode=([\w-]+)", app.environment.get("DATABASE_URL", ""))
        modes.add(mode[1] if mode else "(not set)")
        evidence(f"the app's DATABASE_URL: sslmode={mode[1] if mode else '(not set)'}", app.machine)
    config = {row["key"]: row["value"] for row in beside.console("CONFIG")}
    evidence(
        f"PgBouncer: server_tls_sslmode={config['server_tls_sslmode']},"
        f" server_tls_ca_file={config['server_tls_ca_file']}"
    )
    assert modes == {"verify-full"}, f"the app does not verify whom it talks to: sslmode={', '.join(sorted(modes))}"
    assert config["server_tls_sslmode"] == "verify-full", "PgBouncer does not verify whom it talks to"


@check(
    "TLS-10",
    claim="a private key can be read by its own service alone",
    remedy="chmod 0600 the tls.key, chown it to the service's user id",
)
def test_keys_are_private(target: Target, evidence: Evidence) -> None:
    loose = []
    for service in (service for service in target.services if service.service in KEY_OWNERS):
        mode, owner = service.run("stat -c '%a %u' /tls/tls.key").stdout.split()
        evidence(f"{service}: /tls/tls.key has mode 0{mode}, owner {owner}")
        if (mode, owner) != ("600", str(KEY_OWNERS[service.service])):
            loose.append(str(service))
    assert not loose, f"too open: {', '.join(loose)}"


@check(
    "TLS-11",
    claim="the site is served over TLS, and plain http leads there",
    remedy="DEPLOYMENT=production makes the app redirect; look at docker/proxy/nginx.conf",
)
def test_site_uses_tls(target: Target, evidence: Evidence) -> None:
    name = target.host("app").environment.get("ALLOWED_HOSTS", "proxy").split(",")[0]
    for proxy in target.each("proxy"):
        at_edge = target.client("edge", beside=proxy)
        secure = call(at_edge, request, "https://proxy:8443/", name, "/tls/ca.crt")
        plain = call(at_edge, request, "http://proxy:8000/", name, "/tls/ca.crt")
        location = {key.lower(): value for key, value in plain["headers"].items()}.get("location", "")
        evidence(f"https: {secure['tls']}, status {secure['status']}")
        evidence(f"http: status {plain['status']}" + (f", Location: {location}" if location else ""))
        assert secure["status"] in (200, 301, 302), f"the site of {proxy} answered {secure['status']} over https"
        if plain["status"] == 200 and target.development:
            deviates("plain http is served too, on loopback: a developer's browser doesn't know the private CA")
        assert plain["status"] in (301, 308), f"plain http answered {plain['status']} at {proxy}"
        assert location.startswith("https://"), f"plain http answered {plain['status']} {location}"


@check(
    "TLS-12",
    claim="from where each application is, the pooler is reached over TLS, verified in full; no other CA is believed",
    remedy=RENEW,
)
def test_applications_verify_the_pooler(target: Target, at_applications: list[Client], evidence: Evidence) -> None:
    door = target.door("pgbouncer")
    for client in at_applications:
        ways = {
            "ours": client.attempt(door, target.app_role, "app_password"),
            # libpq's word for the CAs that the system knows
            "another": client.attempt(door, target.app_role, "app_password", sslrootcert="system"),
        }
        ours, another = client.try_all(ways).values()
        evidence(f"{door} with sslmode=verify-full: {ours}; trusting the public CAs: {another}")
        assert ours.ok, f"no verified login by {client.host}: {ours}"
        assert "certificate verify failed" in another.text, f"{door} was believed under another CA: {another}"


@check(
    "TLS-13",
    claim="plaintext is refused from everywhere: the application is told so, a stranger reaches neither door",
    remedy="client_tls_sslmode = require in pg/pgbouncer.ini; strangers: `ansible-playbook site.yml` (firewall)",
)
def test_plaintext_is_refused_everywhere(target: Target, at_applications: list[Client], evidence: Evidence) -> None:
    for client in at_applications:
        refuses_plaintext(client, "pgbouncer", evidence, {target.app_role: "app_password"})
    if target.hosts and not target.outsider:
        not_yet(NO_OUTSIDER)
    stranger = target.outsider or target.client("neighbour")
    addresses = [address for host in target.hosts for address in host.public_addresses]
    doors = [
        [a, target.door(d).port] for a in addresses or [target.machines[0].gateway] for d in ("postgres", "pgbouncer")
    ]
    for address, answer in call(stranger, knock, doors, 2).items():
        evidence(f"a stranger to {address}: {answer}")
        assert answer != "open", f"a stranger reaches {address}"


@check(
    "TLS-14",
    claim="clocks are right: certificates and log lines count on them",
    remedy="`timedatectl set-ntp true` on the host, then `timedatectl timesync-status`",
)
def test_clocks_are_right(hosts: tuple[Machine, ...], evidence: Evidence) -> None:
    allowed = role_default("preflight", "preflight_clock_seconds")
    for host in hosts:
        before = time.time()
        there = float(host.run("date +%s.%N").stdout)
        off = max(before - there, there - time.time(), 0.0)
        kind, kept = host.run(
            "systemd-detect-virt --container; timedatectl show --property NTPSynchronized --value"
        ).stdout.split()
        # A container has no clock of its own, and timesyncd doesn't start there.
        whose = "kept by NTP: " + kept if kind == "none" else "a container, with the clock of the machine it runs on"
        evidence(f"{f'differs by {off:.1f} s from' if off else 'agrees with'} the clock here; {whose}")
        assert off <= allowed, f"the clock of {host} is {off:.0f} s off"
        assert kind != "none" or kept == "yes", f"nothing keeps the clock of {host} right"
