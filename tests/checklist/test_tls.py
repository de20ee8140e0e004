"""Item 2: every connection uses TLS 1.3, and clients verify the server."""

import itertools
import re
import time
from datetime import UTC, datetime

from checklist.api import Evidence, check, deviates, not_proven
from checklist.client import Client, Superuser
from checklist.fleet import role_default
from checklist.machines import Machine
from checklist.remote import call, probe, request
from checklist.target import NO_VANTAGE, Endpoint, Target

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


def agreed(client: Client, endpoint: Endpoint, evidence: Evidence) -> None:
    answer = client.login(endpoint, client.target.app_role, "app_password", "\\conninfo")
    assert answer.ok, f"a verified TLS login at {endpoint} failed: {answer}"
    tls = re.search(r"protocol: (\S+), cipher: (\S+),", answer.text)
    assert tls, f"{endpoint} did not use TLS: {answer.text}"
    evidence(f"{endpoint} with sslmode=verify-full: {tls[1]}, {tls[2]}")
    assert tls[1] == "TLSv1.3", f"{endpoint} agreed on {tls[1]}"


def refuses_plaintext(client: Client, endpoint: Endpoint, evidence: Evidence, roles: dict[str, str]) -> None:
    attempts = {role: client.attempt(endpoint, role, password, sslmode="disable") for role, password in roles.items()}
    for role, answer in client.try_all(attempts).items():
        evidence(f"{role} at {endpoint} with sslmode=disable: {answer}")
        assert not answer.ok, f"{endpoint} let {role} in without TLS"
        assert "FATAL" in answer.text, f"{endpoint} did not refuse {role}: {answer}"


@check("TLS-01", claim="PostgreSQL offers TLS 1.3 with a certificate that verifies", remedy=RELOAD)
def test_server_offers_tls(target: Target, beside: Client, evidence: Evidence) -> None:
    agreed(beside, target.endpoint("postgres"), evidence)


@check("TLS-02", claim="PgBouncer offers TLS 1.3 with a certificate that verifies", remedy=RELOAD)
def test_pooler_offers_tls(target: Target, beside: Client, evidence: Evidence) -> None:
    for pooler in target.poolers:
        agreed(beside, pooler, evidence)


@check(
    "TLS-03",
    claim="PostgreSQL refuses every role without TLS",
    remedy="in pg_hba.conf and hba.d write hostssl, not host; then `docker compose up --build postgres`",
)
def test_server_refuses_plaintext(target: Target, beside: Client, evidence: Evidence) -> None:
    refuses_plaintext(
        beside,
        target.endpoint("postgres"),
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
    claim="PgBouncer refuses every role without TLS",
    remedy="client_tls_sslmode = require in pg/pgbouncer.ini; then `docker compose up --build pgbouncer`",
)
def test_pooler_refuses_plaintext(target: Target, beside: Client, evidence: Evidence) -> None:
    for pooler in target.poolers:
        refuses_plaintext(
            beside,
            pooler,
            evidence,
            {
                target.app_role: "app_password",
                "flaglearning_readonly": "readonly_password",
                "flaglearning_ops": "ops_password",
            },
        )


@check("TLS-05", claim="server and pooler refuse TLS versions older than 1.3", remedy=RELOAD)
def test_old_tls_is_refused(target: Target, beside: Client, evidence: Evidence) -> None:
    for endpoint in target.endpoints:
        answer = beside.login(
            endpoint,
            target.app_role,
            "app_password",
            ssl_min_protocol_version="TLSv1",
            ssl_max_protocol_version="TLSv1.2",
        )
        evidence(f"{endpoint}, a client with at most TLS 1.2: {answer}")
        assert not answer.ok, f"{endpoint} accepted a TLS version older than 1.3"
        assert "protocol version" in answer.text, f"{endpoint} did not refuse the version: {answer}"


@check("TLS-06", claim="a client that trusts another CA, or connects by another name, refuses the server", remedy=RENEW)
def test_verification_can_fail(target: Target, beside: Client, evidence: Evidence) -> None:
    made = beside.host.run(
        "openssl req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -days 1 -subj '/CN=another CA'"
        f" -keyout /tmp/another.key -out {OTHER_CA}"
    )
    assert made.rc == 0, made.stderr
    for endpoint in target.endpoints:
        other_ca = beside.login(endpoint, target.app_role, "app_password", sslrootcert=OTHER_CA)
        # the same server by its address, which its certificate doesn't name
        address = beside.host.run("getent ahostsv4 %s", endpoint.host).stdout.split()[0]
        renamed = beside.login(endpoint, target.app_role, "app_password", host=address)
        evidence(f"{endpoint}: trusting another CA: {other_ca}; by its address: {renamed}")
        assert "certificate verify failed" in other_ca.text, f"{endpoint} was accepted under another CA: {other_ca}"
        assert "does not match host name" in renamed.text, f"{endpoint} was accepted under another name: {renamed}"


@check(
    "TLS-07",
    claim=f"every served certificate is signed by our CA, names its server and lasts {ENOUGH_DAYS} days more",
    remedy=RENEW,
)
def test_certificates_last(target: Target, beside: Client, evidence: Evidence) -> None:
    ways = [
        (
            endpoint.container or target.host(endpoint.service),
            beside.host,
            endpoint.host,
            f"{endpoint.port} -starttls postgres",
        )
        for endpoint in target.endpoints
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
    claim="every open session uses TLS 1.3: clients to pooler, pooler to server, and all others",
    remedy=RELOAD,
)
def test_open_sessions_are_encrypted(target: Target, superuser: Superuser, beside: Client, evidence: Evidence) -> None:
    # The application's own path has to be among them.
    for pooler in target.poolers:
        assert beside.login(pooler, target.app_role, "app_password").ok
    sessions = superuser.rows(
        "SELECT coalesce(version, 'no TLS') AS tls, count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)"
        " WHERE client_addr IS NOT NULL GROUP BY 1"
    )
    evidence("sessions at PostgreSQL over TCP: " + ", ".join(f"{row['count']} with {row['tls']}" for row in sessions))
    plain = []
    for pooler, what in itertools.product(target.poolers, ("CLIENTS", "SERVERS")):
        kinds = [row["tls"] or "no TLS" for row in beside.console(pooler, what)]
        evidence(
            f"{what.lower()} at {pooler}: "
            + ", ".join(f"{kinds.count(kind)} with {kind}" for kind in sorted(set(kinds)))
        )
        plain += [kind for kind in kinds if not kind.startswith("TLSv1.3")]
    assert sessions, "no session at PostgreSQL came over TCP, so the check proves nothing"
    plain += [row["tls"] for row in sessions if row["tls"] != "TLSv1.3"]
    assert not plain, f"sessions without TLS 1.3: {', '.join(plain)}"


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
    assert modes == {"verify-full"}, f"the app does not verify the pooler: sslmode={', '.join(sorted(modes))}"
    for pooler in target.poolers:
        config = {row["key"]: row["value"] for row in beside.console(pooler, "CONFIG")}
        evidence(
            f"{pooler}: server_tls_sslmode={config['server_tls_sslmode']},"
            f" server_tls_ca_file={config['server_tls_ca_file']}"
        )
        assert config["server_tls_sslmode"] == "verify-full", f"{pooler} does not verify the server"


@check(
    "TLS-10",
    claim="only its own service can read a private key",
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
    claim="the site is served over TLS, and plain http redirects to it",
    remedy="DEPLOYMENT=production makes the app redirect; see docker/proxy/nginx.conf",
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
    claim="from each application host, the pooler is reached over TLS with verify-full; another CA is refused",
    remedy=RENEW,
)
def test_applications_verify_the_pooler(target: Target, at_applications: list[Client], evidence: Evidence) -> None:
    endpoint = target.endpoint("pgbouncer")
    for client in at_applications:
        ways = {
            "ours": client.attempt(endpoint, target.app_role, "app_password"),
            # libpq's word for the CAs that the system knows
            "another": client.attempt(endpoint, target.app_role, "app_password", sslrootcert="system"),
        }
        ours, another = client.try_all(ways).values()
        evidence(f"{endpoint} with sslmode=verify-full: {ours}; trusting the public CAs: {another}")
        assert ours.ok, f"no verified login by {client.host}: {ours}"
        assert "certificate verify failed" in another.text, f"{endpoint} was accepted under another CA: {another}"


@check(
    "TLS-13",
    claim="the pooler refuses plaintext from the application; other machines and containers reach neither port",
    remedy="client_tls_sslmode = require in pg/pgbouncer.ini; the firewall: `ansible-playbook playbooks/site.yml`",
)
def test_plaintext_is_refused_everywhere(target: Target, at_applications: list[Client], evidence: Evidence) -> None:
    for client in at_applications:
        refuses_plaintext(client, target.endpoint("pgbouncer"), evidence, {target.app_role: "app_password"})
    if target.hosts and not target.vantage:
        not_proven(NO_VANTAGE)
    outside = target.vantage or target.client("other-container")
    addresses = [address for host in target.hosts for address in host.public_addresses]
    endpoints = [
        [a, target.endpoint(d).port]
        for a in addresses or [target.machines[0].gateway]
        for d in ("postgres", "pgbouncer")
    ]
    for address, answer in call(outside, probe, endpoints, 2).items():
        evidence(f"from outside to {address}: {answer}")
        assert answer != "open", f"{address} is reachable from outside"


@check(
    "TLS-14",
    claim="the hosts' clocks agree and are synchronised by NTP",
    remedy="`timedatectl set-ntp true` on the host, then `timedatectl timesync-status`",
)
def test_clocks_are_right(hosts: tuple[Machine, ...], evidence: Evidence) -> None:
    allowed = role_default("preflight", "preflight_clock_seconds")
    for host in hosts:
        before = time.time()
        there = float(host.run("date +%s.%N").stdout)
        off = max(before - there, there - time.time(), 0.0)
        kind, synchronised = host.run(
            "systemd-detect-virt --container; timedatectl show --property NTPSynchronized --value"
        ).stdout.split()
        # A container has no clock of its own, and timesyncd doesn't start there.
        ntp = f"synchronised by NTP: {synchronised}" if kind == "none" else "a container, with its machine's clock"
        evidence(f"{f'differs by {off:.1f} s from' if off else 'agrees with'} the clock here; {ntp}")
        assert off <= allowed, f"the clock of {host} is {off:.0f} s off"
        assert kind != "none" or synchronised == "yes", f"the clock of {host} is not synchronised"
