"""Item 6: which ports listen, who reaches them, and what a process inside a container could do."""

import json
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from checklist.api import Evidence, check, deviates
from checklist.client import Superuser
from checklist.machines import Container, Machine, Port
from checklist.remote import call, probe, scan
from checklist.target import Target
from checklist.timers import unarmed

LISTENERS: dict[str, set[int]] = {"postgres": {5432}, "pgbouncer": {6432}, "app": set(), "proxy": {8000, 8443}}
PROXY_PROTOCOL = {8001, 8444}  # with TRUSTED_PROXIES (docker/proxy/proxy_protocol.conf)
PATRONI = {8008}  # its REST API, of a cluster's member (HA-04)
SITE = "ansible-playbook playbooks/site.yml"
FOR_DEVELOPERS = "published on this machine's loopback for a developer's tools"


def listening(host: Container) -> set[tuple[str, int]]:
    """(address, port) of every listening TCP and UDP socket but that of Docker's resolver."""
    found = set()
    for kinds, waiting in (("tcp*", "0A"), ("udp*", "07")):
        # tcp and tcp6; not udplite
        for line in host.run(f"cat /proc/net/{kinds}").stdout.splitlines():
            if "local_address" in line:
                continue
            _, local, _, state, *_ = line.split()
            address, port = local.split(":")
            if state == waiting and not address.endswith("0B00007F"):  # 127.0.0.11
                found.add(
                    (
                        "every address"
                        if not address.strip("0")
                        else "loopback"
                        if address.endswith("7F")
                        else address,
                        int(port, 16),
                    )
                )
    return found


@check(
    "NET-01",
    claim="each service listens on its own ports only",
    remedy="find the process: `docker compose top`; rebuild the image",
)
def test_listening_sockets(target: Target, evidence: Evidence) -> None:
    unexpected = []
    optional = {"proxy": PROXY_PROTOCOL, "postgres": PATRONI if target.members else set()}
    for service in target.services:
        found = listening(service)
        sockets = ", ".join(f"{port} on {address}" for address, port in sorted(found))
        evidence(f"{service}: {sockets or 'nothing (a Unix socket)'}")
        ports, needed = {port for _, port in found}, LISTENERS[service.service]
        if not needed <= ports <= needed | optional.get(service.service, set()):
            unexpected.append(str(service))
    assert not unexpected, f"not the expected ports: {', '.join(unexpected)}"


@check(
    "NET-02",
    claim="only the proxy's ports are published; in a fleet the server's too, for application hosts",
    remedy="COMPOSE_FILE in .env names docker-compose.yml and docker/compose/production.yml, not the override file",
)
def test_published_ports(target: Target, evidence: Evidence) -> None:
    ports = target.published()
    for machine in target.machines:
        for port in target.published(machine):
            evidence(str(port), machine)
    if not ports:
        evidence("nothing is published")
    allowed = LISTENERS | {"proxy": LISTENERS["proxy"] | PROXY_PROTOCOL, "postgres": LISTENERS["postgres"] | PATRONI}
    unexpected = [str(port) for port in ports if port.container_port not in allowed.get(port.service, set())]
    inner = [port for port in ports if port.service != "proxy" and not for_the_fleet(port, target)]
    assert not unexpected, f"ports on which no service listens: {', '.join(unexpected)}"
    if target.development:
        exposed = [str(port) for port in ports if not port.on_loopback]
        assert not exposed, f"published beyond loopback: {', '.join(exposed)}"
        if inner:
            deviates(f"{', '.join(str(port.container_port) for port in inner)} are {FOR_DEVELOPERS}")
    assert not inner, f"published: {', '.join(map(str, inner))}"


def for_the_fleet(port: Port, target: Target) -> bool:
    """Whether it is the server's, or Patroni's, at one address, for other hosts; the firewall names these."""
    other_hosts = any(app.machine is not target.host("postgres").machine for app in target.each("app"))
    return port.service == "postgres" and other_hosts and port.address not in ("0.0.0.0", "::")  # noqa: S104


@check(
    "NET-03",
    claim="another container on the host reaches the published site, and no other port",
    remedy="publish on 127.0.0.1 or not at all; Docker Engine 28, or the host's firewall, closes container addresses",
)
def test_other_containers_are_kept_out(target: Target, evidence: Evidence) -> None:
    for machine in target.machines:
        inside = {
            f"{address}:{port}": f"{service} at its own {address}, port {port}"
            for service in target.on(machine)
            for address in service.addresses
            for port in sorted(LISTENERS[service.service])
        }
        through = {f"{machine.gateway}:{port.port}": port for port in target.published(machine)}
        other = target.client("other-container", beside=target.on(machine)[0])
        answers = call(other, probe, [address.rsplit(":", 1) for address in (*inside, *through)], 2)
        expected = {address for address, port in through.items() if port.service == "proxy" and not port.on_loopback}
        for address, answer in answers.items():
            what = inside.get(address) or f"what this machine publishes, port {address.rsplit(':', 1)[1]}"
            evidence(f"from another container to {what}: {answer}")
        reached = {address for address, answer in answers.items() if answer == "open"}
        assert reached <= expected, f"another container reaches {', '.join(sorted(reached - expected))}"
        assert expected <= reached, f"another container does not reach {', '.join(sorted(expected - reached))}"


@check(
    "NET-04",
    claim="every TCP line of pg_hba names its databases, its users and a network; the last rejects all",
    remedy="correct the named line in pg_hba.conf or hba.d; then `docker compose up --build postgres`",
)
def test_hba_is_narrow(target: Target, superuser: Superuser, evidence: Evidence) -> None:
    rules = superuser.rows(
        "SELECT type, array_to_string(database, ',') AS databases, array_to_string(user_name, ',') AS users,"
        " concat_ws('/', address, netmask) AS address, auth_method, error,"
        " regexp_replace(file_name, '.*/', '') || ':' || line_number AS place"
        " FROM pg_hba_file_rules WHERE type <> 'local' ORDER BY rule_number"
    )
    wide = []
    for rule in rules:
        evidence(" ".join(rule[name] for name in ("place", "type", "databases", "users", "address", "auth_method")))
        everyone = rule["address"] in ("all", "0.0.0.0/0.0.0.0", "::/::")
        everything = "all" in rule["databases"].split(",") or "all" in rule["users"].split(",")
        if rule["error"] or (rule["auth_method"] != "reject" and (everyone or everything or rule["type"] != "hostssl")):
            wide.append(rule["place"])
    last = rules[-1]
    assert not wide, f"too wide, or invalid: {', '.join(wide)}"
    assert (last["users"], last["databases"], last["auth_method"]) == ("all", "all", "reject"), (
        "the last line is not a reject of all"
    )


@check(
    "NET-05",
    claim="the application has no route out of its network",
    remedy="the network `application` has to be internal: `docker compose down`, then up",
)
def test_application_is_shut_in(target: Target, evidence: Evidence) -> None:
    for app in target.each("app"):
        routes = [line.split() for line in app.run("cat /proc/net/route").stdout.splitlines()[1:]]
        default = [route[0] for route in routes if route[1] == "00000000"]
        evidence(f"routes of the app: {len(routes)}, default routes: {len(default)}")
        # An address for documentation (RFC 5737): no host has it, but with a route out the packet would leave. The
        # vantage host has a sshd that listens.
        outside = [["192.0.2.1", 443], [app.machine.gateway, 443]]
        outside += [[machine.address, machine.port] for machine in (target.vantage, *target.hosts) if machine]
        answers = call(app, probe, outside, 1)
        evidence("; ".join(f"to {address}: {answer}" for address, answer in answers.items()))
        # docker/compose/mail.yml: mails leave through a network of their own.
        mails = any(name.endswith("_mail") for name in app.facts["NetworkSettings"]["Networks"])
        assert mails or not default, f"{app} has a way out through {', '.join(default)}"
        assert "open" not in answers.values(), f"{app} reached an address outside"


MASQUERADE = "com.docker.network.bridge.enable_ip_masquerade"
# Routes of repository 2, to the backup host or the bucket, of docker/compose/mail.yml, to the mail server, between the
# hosts of a cluster, and from HAProxy to the database hosts, which the firewall limits.
FOR_ANOTHER_HOST = ("_repository-2", "_mail", "_cluster", "_servers")


@check(
    "NET-13",
    claim="no service has a way out: its networks are internal, or no answer comes back to its address",
    remedy="networks of docker-compose.yml: internal, or enable_ip_masquerade false; `docker compose down`, then up",
)
def test_services_have_no_way_out(target: Target, evidence: Evidence) -> None:
    open_networks = []
    for service in target.services:
        for name in service.facts["NetworkSettings"]["Networks"]:
            network = json.loads(service.machine.docker("network", "inspect", name))[0]
            masquerades = network["Options"].get(MASQUERADE, "true") == "true"
            other = not network["Internal"] and name.endswith(FOR_ANOTHER_HOST)
            kind = "internal" if network["Internal"] else "masquerades" if masquerades else "does not masquerade"
            evidence(f"{service}: {name} {kind}{', for another host' if other else ''}")
            if masquerades and not network["Internal"] and not other:
                open_networks.append(f"{service} through {name}")
        routes = [line.split() for line in service.run("cat /proc/net/route").stdout.splitlines()[1:]]
        evidence(f"{service}: default routes: {sum(route[1] == '00000000' for route in routes)}")
    assert not open_networks, f"a way out: {', '.join(open_networks)}"


def lasting_processes(host: Container) -> list[str]:
    """/proc/PID/status of the processes that are there twice. The container engine enters a container as root for an
    instant, before it becomes the user that a health check runs as; that one isn't the service's."""
    looks = host.run("cat /proc/[0-9]*/status; echo Twice; sleep 0.5; cat /proc/[0-9]*/status").stdout.split("Twice\n")
    first, second = (
        {
            re.search(r"^Pid:\s+(\d+)", text, re.MULTILINE)[1]: text  # type: ignore[index]
            for text in re.split(r"^(?=Name:)", look, flags=re.MULTILINE)
            if "\nPid:" in text
        }
        for look in looks
    )
    return [text for pid, text in second.items() if pid in first]


@check(
    "NET-06",
    claim="no service runs as root, has a capability, can gain one, or can write to its own files",
    remedy="user, cap_drop: [ALL], no-new-privileges and read_only: true in docker-compose.yml",
)
def test_services_are_unprivileged(target: Target, evidence: Evidence) -> None:
    loose = []
    for service in target.services:
        status = "\n".join(lasting_processes(service))
        uids = {int(uid) for uid in re.findall(r"^Uid:\s+(\d+)", status, re.MULTILINE)}
        capabilities = {int(mask, 16) for mask in re.findall(r"^Cap(?:Eff|Prm|Bnd):\s+(\w+)", status, re.MULTILINE)}
        gains = "0" in re.findall(r"^NoNewPrivs:\s+(\d)", status, re.MULTILINE)
        options = next(
            line.split()[3] for line in service.run("cat /proc/mounts").stdout.splitlines() if line.split()[1] == "/"
        )
        read_only = "ro" in options.split(",")
        evidence(
            f"{service}: user ids {', '.join(map(str, sorted(uids)))};"
            f" capabilities {'none' if capabilities == {0} else 'SOME'}; no-new-privileges {'off' if gains else 'on'};"
            f" root {'read-only' if read_only else 'WRITABLE'}"
        )
        if 0 in uids or capabilities != {0} or gains or not read_only:
            loose.append(str(service))
    assert not loose, f"more than they need: {', '.join(loose)}"


@check(
    "NET-07",
    claim="no service holds the Docker socket or shares the host's network, processes or devices",
    remedy="remove the mount or the mode from the compose file",
)
def test_services_are_apart(target: Target, evidence: Evidence) -> None:
    shared = []
    machines_own = {machine: machine.run("readlink /proc/self/ns/net").stdout.strip() for machine in target.machines}
    look = (
        'echo "network $(readlink /proc/self/ns/net 2>&1)"; echo "processes $(echo /proc/[0-9]*)";'
        ' echo "socket $(ls /var/run/docker.sock /run/docker.sock 2>/dev/null)"'
    )
    for service in target.services:
        seen = dict(line.partition(" ")[::2] for line in service.run(look).stdout.splitlines())
        network, processes, sockets = (seen.get(name, "") for name in ("network", "processes", "socket"))
        assert network.startswith("net:["), f"{service} did not report its network namespace: {seen}"
        apart = network != machines_own[service.machine]
        evidence(
            f"{service}: network {'its own' if apart else 'THE HOST'}, Docker socket {sockets or 'none'},"
            f" sees {len(processes.split())} processes",
            service.machine,
        )
        if sockets or not apart:
            shared.append(str(service))
    assert not shared, f"shares something of the host: {', '.join(shared)}"


@check(
    "NET-08",
    claim="each host's firewall drops by default, for IPv4 and IPv6, input and forward, from boot on",
    remedy=f"`systemctl reload flaglearning-firewall` on the host; `{SITE}` restores the rules and the unit",
)
def test_host_firewall(hosts: tuple[Machine, ...], evidence: Evidence) -> None:
    for host in hosts:
        rules = json.loads(host.run("nft --json list chains").stdout or '{"nftables": []}')["nftables"]
        drops = [chain for rule in rules if (chain := rule.get("chain", {})).get("policy") == "drop"]
        evidence("; ".join(f"{c['family']} {c['table']} {c['name']}: hook {c['hook']}, policy drop" for c in drops))
        at_boot = host.run("systemctl is-enabled flaglearning-firewall").stdout.strip()
        evidence(f"flaglearning-firewall.service: {at_boot or 'not installed'}")
        for hook in ("input", "forward"):
            families = {chain["family"] for chain in drops if chain["hook"] == hook}
            # a chain of the family inet counts for both
            assert "inet" in families or {"ip", "ip6"} <= families, f"{host} drops nothing by default in {hook}"
        assert at_boot == "enabled", f"the firewall of {host} is not enabled at boot"


@check(
    "NET-09",
    claim="a scan of all TCP ports of each host from the vantage host, IPv4 and IPv6, finds the site only",
    remedy=f"`ss -ltnp` on the host names the process, `nft list table inet flaglearning` the rule; `{SITE}`",
)
def test_scan_from_outside(target: Target, hosts: tuple[Machine, ...], vantage: Machine, evidence: Evidence) -> None:
    endpoints = [(host, address) for host in hosts for address in host.public_addresses]

    def look(endpoint: tuple[Machine, str]) -> tuple[bool, list[int]]:
        answers_ping = vantage.run("ping -c 1 -W 2 %s", endpoint[1]).rc == 0
        return answers_ping, call(vantage, scan, endpoint[1], 1, 65535, 1.5)

    with ThreadPoolExecutor(2) as pool:
        seen = dict(zip(endpoints, pool.map(look, endpoints), strict=True))
    wrong = []
    for (host, address), (answers_ping, ports) in seen.items():
        expected = sorted({port.port for port in target.published(host) if port.service == "proxy"})
        evidence(f"{address}, all 65535 ports from {vantage}: {', '.join(map(str, ports)) or 'none'} open", host)
        assert ports or answers_ping, f"{vantage} does not reach {address} of {host} at all: the scan proves nothing"
        if ports != expected:
            wrong.append(f"{address} of {host} has {ports}, not {expected}")
    assert not wrong, "; ".join(wrong)


@contextmanager
def routes(vantage: Machine, ways: dict[str, str]) -> Iterator[str]:
    """Route each container's address through its host, as a machine on the same network could; the routes in force."""

    def ip(command: str) -> str:
        lines = [f"route {command.format(address=address, host=host)}" for address, host in ways.items()]
        return str(vantage.run("echo %s | ip -force -batch -", "\n".join(lines)).stdout)

    ip("add {address} via {host}")
    try:
        yield ip("get {address}")
    finally:
        ip("del {address} via {host}")


@check(
    "NET-10",
    claim="the vantage host reaches no container's own address, and no port that is published on loopback",
    remedy=f"the forward chain of /etc/nftables.d/flaglearning.nft drops it: `{SITE}`",
)
def test_the_vantage_host_reaches_no_container(
    target: Target, hosts: tuple[Machine, ...], vantage: Machine, evidence: Evidence
) -> None:
    own = [(service, address) for service in target.services for address in service.addresses]
    ways = {address: near(service.machine, address) for service, address in own}
    with routes(vantage, ways) as gone:
        ports = [[address, port] for service, address in own for port in sorted(LISTENERS[service.service])]
        answers = call(vantage, probe, ports, 2)
    for service, address in own:
        way = f"routed through {ways[address]}" if f"{address} via {ways[address]} " in gone else "no route"
        for port in sorted(LISTENERS[service.service]):
            answer = answers[f"{address}:{port}"]
            evidence(f"{service} at its own {address}, port {port} ({way}): {answer}", service.machine)
    for host in hosts:
        inner = [port.port for port in target.published(host) if port.on_loopback]
        evidence(f"published on loopback: {', '.join(map(str, inner)) or 'nothing'}", host)
        answers |= call(vantage, probe, [[address, port] for address in host.public_addresses for port in inner], 2)
    reached = [where for where, answer in answers.items() if answer == "open"]
    assert not reached, f"{vantage} reaches {', '.join(reached)}"


def near(machine: Machine, address: str) -> str:
    """The machine's own address of the same family."""
    return next((own for own in machine.public_addresses if (":" in own) == (":" in address)), machine.address)


@check(
    "NET-11",
    claim="sshd accepts public keys only, for root too",
    remedy=f"a file of /etc/ssh/sshd_config.d sorts before 00-flaglearning.conf; `{SITE}` restores that",
)
def test_ssh_takes_keys_only(hosts: tuple[Machine, ...], evidence: Evidence) -> None:
    wanted = {"passwordauthentication": "no", "kbdinteractiveauthentication": "no", "pubkeyauthentication": "yes"}
    for host in hosts:
        told = dict(line.split(" ", 1) for line in host.run("sshd -T").stdout.splitlines() if " " in line)
        settings = {name: told.get(name, "(not set)") for name in (*wanted, "permitrootlogin")}
        evidence(", ".join(f"{name} {value}" for name, value in settings.items()))
        # What the running sshd offers; its files may have changed since.
        offered = host.run(
            "ssh -o BatchMode=yes -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
            " -o PubkeyAuthentication=no -p %s no-such-user@localhost; true",
            told.get("port", "22"),
        ).stderr.strip()
        evidence(f"a client without a key gets: {offered}")
        assert wanted.items() <= settings.items(), f"sshd of {host} accepts more than public keys"
        assert settings["permitrootlogin"] != "yes", f"root may log in to {host} with a password"
        assert "(publickey)" in offered, f"sshd of {host} offers more than public keys: {offered}"


@check(
    "NET-12",
    claim="Debian's security updates are installed automatically every day",
    remedy=f"`systemctl enable --now apt-daily.timer apt-daily-upgrade.timer` on the host, or `{SITE}`",
)
def test_security_updates(hosts: tuple[Machine, ...], evidence: Evidence) -> None:
    loose = []
    for host in hosts:
        loose += unarmed(host, ["apt-daily.timer", "apt-daily-upgrade.timer"], evidence)
        periodic = host.run(
            "apt-config shell LISTS APT::Periodic::Update-Package-Lists UPGRADE APT::Periodic::Unattended-Upgrade"
        )
        there = host.run("dpkg-query -W -f '${db:Status-Abbrev}' unattended-upgrades").stdout.startswith("ii")
        evidence(
            f"unattended-upgrades {'is' if there else 'is not'} installed; {' '.join(periodic.stdout.split())}", host
        )
        if not there or periodic.stdout.split() != ["LISTS='1'", "UPGRADE='1'"]:
            loose.append(f"unattended-upgrades of {host}")
    assert not loose, f"not active: {', '.join(loose)}"
