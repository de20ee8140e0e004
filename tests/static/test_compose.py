"""The compose files render, and .env.example documents exactly the variables that they use."""

import re
from typing import Any

import pytest

import secret_files
from testing.shell import ROOT, run
from testing.stack import (
    DEVELOPMENT,
    MONITORING,
    PRODUCTION,
    PRODUCTION_MONITORING,
    PROJECT,
    TEST,
    Stack,
    variables_of,
)

BASE = ("docker-compose.yml",)
WITH_A_BACKUP_HOST = (*PRODUCTION, "docker/compose/host-repository-2.yml")
BACKUP_HOST = ("docker/compose/host-backup.yml",)
BACKUP_HOST_OF_A_CLUSTER = (*BACKUP_HOST, "docker/compose/host-backup-cluster.yml")
CLUSTER = (*DEVELOPMENT, "docker/compose/cluster.yml")
MEMBER = (
    "docker/compose/host-database.yml",
    "docker/compose/host-repository-2.yml",
    "docker/compose/host-member.yml",
)
APPLICATION = ("docker/compose/host-application.yml",)
# What a host of a fleet runs → the ports that it publishes, and its files (ansible/roles/stack/vars/main.yml).
FLEET: dict[str, tuple[dict[str, set[int]], tuple[str, ...]]] = {
    "certificates repository postgres roles backup": (
        {"postgres": {5432}},
        ("docker/compose/host-published.yml", "docker/compose/host-database.yml"),
    ),
    "haproxy pgbouncer app proxy": ({"proxy": {8000, 8443}}, APPLICATION),
    # with a cluster
    "certificates etcd postgres pgbackrest-server backup": (
        {"etcd": {2379, 2380}, "postgres": {5432, 8008}, "pgbackrest-server": {8432}},
        MEMBER,
    ),
    "pgbouncer haproxy app proxy": (
        {"proxy": {8000, 8443}},
        (*APPLICATION, "docker/compose/host-application-cluster.yml"),
    ),
}
NEEDED: dict[str, Any] = {"SECRETS_DIR": "./docker/secrets.dev", "ALLOWED_HOSTS": "play.example.org"}
NEEDED_WITH_A_BACKUP_HOST: dict[str, Any] = {
    **NEEDED,
    "DATABASE_HOST_ADDRESS": "192.0.2.11",
    "BACKUP_HOST_ADDRESS": "192.0.2.14",
    "BACKUP_REPOSITORY_DIR": "/srv/backup",
}
MEMBERS = {"db1": "192.0.2.11", "db2": "192.0.2.15", "db3": "192.0.2.16"}
NEEDED_IN_A_FLEET: dict[str, Any] = {
    **NEEDED_WITH_A_BACKUP_HOST,
    **{"MEMBER": "db1", "MEMBER_ADDRESS": "192.0.2.11"},
    **{"PEER_1": "db2", "PEER_1_ADDRESS": "192.0.2.15", "PEER_2": "db3", "PEER_2_ADDRESS": "192.0.2.16"},
    **{f"MEMBER_{n}": name for n, name in enumerate(MEMBERS, 1)},
    **{f"MEMBER_{n}_ADDRESS": address for n, address in enumerate(MEMBERS.values(), 1)},
}


@pytest.mark.parametrize(
    "files",
    [BASE, DEVELOPMENT, PRODUCTION, TEST, WITH_A_BACKUP_HOST, BACKUP_HOST, BACKUP_HOST_OF_A_CLUSTER, CLUSTER],
    ids=" + ".join,
)
def test_it_renders(files: tuple[str, ...]) -> None:
    Stack(f"{PROJECT}-static", files, **NEEDED_IN_A_FLEET).compose("--profile", "*", "config", "--quiet")


@pytest.mark.parametrize(("services", "ports", "files"), [(name, *host) for name, host in FLEET.items()], ids=FLEET)
def test_a_host_of_a_fleet_runs_its_part(services: str, ports: dict[str, set[int]], files: tuple[str, ...]) -> None:
    stack = Stack(f"{PROJECT}-static", (*PRODUCTION, *files), **NEEDED_IN_A_FLEET)
    assert set(stack.compose("config", "--services").split()) == set(services.split())
    config = stack.config["services"]  # those of other hosts too, behind a profile
    published = {name: config[name]["ports"] for name in services.split() if config[name].get("ports")}
    assert {name: {port["target"] for port in own} for name, own in published.items()} == ports
    inside = [port for name, own in published.items() if name != "proxy" for port in own]
    assert all(port.get("host_ip") == "192.0.2.11" for port in inside)


def test_a_member_knows_the_others_by_name_and_itself_by_its_network() -> None:
    services = Stack(f"{PROJECT}-static", (*PRODUCTION, *MEMBER), **NEEDED_IN_A_FLEET).config["services"]
    others = {*(f"{kind}{name}={MEMBERS[name]}" for kind in ("", "etcd-") for name in ("db2", "db3"))}
    for service, own in (("postgres", "db1"), ("etcd", "etcd-db1")):
        assert set(services[service]["extra_hosts"]) - {"backup-host=192.0.2.14"} == others
        assert services[service]["networks"]["cluster"]["aliases"] == [own]
    assert services["etcd"]["environment"]["ETCD_INITIAL_CLUSTER"].count("https://") == len(MEMBERS)
    one_machine = Stack(f"{PROJECT}-static", CLUSTER).config["services"]["etcd-db1"]
    assert services["etcd"]["command"] == one_machine["command"]


def test_a_published_server_with_a_backup_host_has_one_route_out() -> None:
    """With two, Docker chooses the default route by the networks' names; one without masquerading reaches no host."""
    files = ("docker/compose/host-published.yml", "docker/compose/host-repository-2.yml")
    config = Stack(f"{PROJECT}-static", (*PRODUCTION, *files), **NEEDED_IN_A_FLEET).config
    networks = config["services"]["postgres"]["networks"]
    assert [name for name in networks if not config["networks"][name].get("internal")] == ["repository-2"]
    assert not config["networks"]["repository-2"].get("driver_opts")
    assert [port["published"] for port in config["services"]["postgres"]["ports"]] == ["5432"]


def test_a_member_has_the_backup_hosts_repository_alone() -> None:
    """A setting of repository 1, a passphrase among them, would mean that there is one."""
    services = Stack(f"{PROJECT}-static", (*PRODUCTION, *MEMBER), **NEEDED_IN_A_FLEET).config["services"]
    for name in ("postgres", "backup", "restore", "sandbox"):
        service = services[name]
        assert "backup_cipher" not in {secret["source"] for secret in service["secrets"]}, name
        assert not [
            key for key, value in service["environment"].items() if key.startswith("PGBACKREST_REPO1") and value
        ]
        assert service["environment"]["REPOSITORY"] == "2"
        hidden = [volume for volume in service["volumes"] if volume["target"].endswith("conf.d/repo1.conf")]
        assert [volume["source"] for volume in hidden] == ["/dev/null"]


@pytest.mark.parametrize("variable", NEEDED)
def test_production_without_a_needed_variable_says_which(variable: str) -> None:
    others = {name: value for name, value in NEEDED.items() if name != variable}
    done = Stack(f"{PROJECT}-static", PRODUCTION, **others).command(
        "docker", "compose", "config", "--quiet", check=False
    )
    assert done.returncode != 0
    assert f"{variable}" in done.stderr
    assert "is not set" in done.stderr


@pytest.mark.parametrize("name", ["postgres", "pgbouncer", "proxy"])
def test_nothing_is_published_beyond_loopback_in_development(stack: Stack, name: str) -> None:
    assert {port["host_ip"] for port in stack.config["services"][name]["ports"]} == {"127.0.0.1"}


def test_production_publishes_the_proxy_only() -> None:
    services = Stack(f"{PROJECT}-static", PRODUCTION, **NEEDED).config["services"]
    assert [name for name, service in services.items() if service.get("ports")] == ["proxy"]


@pytest.mark.parametrize(("files", "address"), [(WITH_A_BACKUP_HOST, "192.0.2.11"), (BACKUP_HOST, "192.0.2.14")])
def test_between_database_and_backup_host_one_port_of_one_address_is_published(
    files: tuple[str, ...], address: str
) -> None:
    services = Stack(f"{PROJECT}-static", files, **NEEDED_WITH_A_BACKUP_HOST).config["services"]
    published = {
        name: [(port["host_ip"], port["published"]) for port in one["ports"]]
        for name, one in services.items()
        if one.get("ports") and name != "proxy"
    }
    assert published == {"pgbackrest-server": [(address, "8432")]}


@pytest.mark.parametrize("service", ["postgres", "pgbouncer", "app", "proxy"])
@pytest.mark.parametrize("key", ["mem_limit", "cpus", "pids_limit", "restart", "logging"])
def test_production_limits(service: str, key: str) -> None:
    config = Stack(f"{PROJECT}-static", PRODUCTION, **NEEDED).config["services"][service]
    if key == "logging":
        assert int(config["logging"]["options"]["max-file"]) * 10 <= 100  # megabytes
    elif key == "restart":
        assert config["restart"] == "unless-stopped"
    else:
        assert float(config.get(key) or config["deploy"]["resources"]["limits"][key.removesuffix("_limit")]) > 0


# ------------------------------------------------------------ .env.example


def documented() -> dict[str, str]:
    """Variable → the default that .env.example shows, commented out."""
    return dict(re.findall(r"^#?([A-Z0-9_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))


def used() -> dict[str, str]:
    """Variable → its default in the compose files. A variable that production needs has its development default."""
    overlays = [str(file.relative_to(ROOT)) for file in (ROOT / "docker/compose").glob("*.yml")]
    hosts = [file for file in overlays if file not in PRODUCTION]
    found = {
        name: "" if default.startswith("is not set") else default for name, default in variables_of(*hosts).items()
    }
    found |= {**variables_of(PRODUCTION[-1]), **variables_of(*DEVELOPMENT)}
    found["ADVISORIES_DIR"] = ""  # read by ./scripts/ops update itself
    del found["PIP_CERT"]  # pip's own, which the build takes over
    return found


def test_every_variable_is_documented() -> None:
    assert sorted(used()) == sorted(documented())


@pytest.mark.parametrize("variable", sorted(used()))
def test_the_documented_default_is_the_default(variable: str) -> None:
    assert documented()[variable] == used()[variable]


def test_every_documented_variable_has_an_explanation() -> None:
    """A comment above it, or above its group."""
    for block in (ROOT / ".env.example").read_text().split("\n\n"):
        assert re.search(r"^# ", block, re.MULTILINE), block


def test_the_example_is_valid_as_it_stands(tmp_path) -> None:  # type: ignore[no-untyped-def]
    """Copied and with every line uncommented, it renders the same stack."""
    copied = tmp_path / "env"
    copied.write_text(re.sub(r"^#([A-Z0-9_]+=)", r"\1", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))
    files = [option for file in DEVELOPMENT for option in ("-f", file)]
    plain = Stack(f"{PROJECT}-static", DEVELOPMENT).environment
    kept = [f"{name}={value}" for name, value in plain.items() if not name.startswith(("COMPOSE", "PIP_", *used()))]
    rendered = [
        run("env", "-i", *kept, "docker", "compose", "--env-file", source, *files, "config").stdout
        for source in ("/dev/null", str(copied))
    ]
    assert rendered[0] == rendered[1]


@pytest.mark.parametrize("files", [DEVELOPMENT, PRODUCTION, CLUSTER], ids=["development", "production", "cluster"])
def test_no_image_is_fetched_under_our_names(files: tuple[str, ...]) -> None:
    """An image of the same name in a public registry must never run here."""
    services = Stack(f"{PROJECT}-static", files, **NEEDED).config["services"]
    assert {name: service.get("pull_policy") for name, service in services.items()} == dict.fromkeys(services, "never")


def test_each_service_gets_the_secrets_that_are_declared_for_it(stack: Stack) -> None:
    """scripts/lib/secret_files.py names the readers; the compose file mounts each secret into them and no other."""
    services = stack.config["services"]
    mounted = {
        name: {
            service for service in services if name in {one["source"] for one in services[service].get("secrets", [])}
        }
        for name in secret_files.GENERATED
    }
    declared = {name: set(secret_files.SECRETS[name].readers) & services.keys() for name in secret_files.GENERATED}
    assert mounted == declared
    assert set(stack.config["secrets"]) == {*secret_files.GENERATED, "ca"}


@pytest.mark.parametrize("files", [BASE, DEVELOPMENT, PRODUCTION, TEST, CLUSTER], ids=" + ".join)
def test_no_network_has_a_way_out(files: tuple[str, ...]) -> None:
    """Internal, or without masquerading: NET-13 proves it of a running stack. `acme` has to reach the ACME server."""
    networks = Stack(f"{PROJECT}-static", files, **NEEDED).config["networks"]
    masquerade = "com.docker.network.bridge.enable_ip_masquerade"
    closed = [
        name
        for name, network in networks.items()
        if network.get("internal") or network.get("driver_opts", {}).get(masquerade) == "false"
    ]
    assert closed == [name for name in networks if name != "acme"]


@pytest.mark.parametrize("files", [BASE, DEVELOPMENT, PRODUCTION, CLUSTER], ids=" + ".join)
def test_only_what_publishes_a_port_is_on_a_network_that_is_not_internal(files: tuple[str, ...]) -> None:
    config = Stack(f"{PROJECT}-static", files, **NEEDED).config
    internal = {name for name, network in config["networks"].items() if network.get("internal")}
    outside = {name for name, service in config["services"].items() if set(service.get("networks") or ()) - internal}
    published = {name for name, service in config["services"].items() if service.get("ports")}
    assert outside == published | {"proxy", "acme"}  # which the base file publishes nowhere


MONITORED_CLUSTER = (*MONITORING[:2], CLUSTER[2], MONITORING[2], "docker/compose/cluster-monitoring.yml")


@pytest.mark.parametrize(
    "files", [MONITORING, PRODUCTION_MONITORING, MONITORED_CLUSTER], ids=["development", "production", "cluster"]
)
def test_of_monitoring_only_alertmanager_has_a_way_out_and_prometheus_a_port(files: tuple[str, ...]) -> None:
    config = Stack(f"{PROJECT}-static", files, **NEEDED).config
    own = {name for name, one in config["services"].items() if "monitoring" in (one.get("networks") or ())} - {"ops"}
    published = {name: config["services"][name].get("ports") for name in own if config["services"][name].get("ports")}
    assert [port["host_ip"] for ports in published.values() for port in ports] == ["127.0.0.1"]
    assert list(published) == ["prometheus"]
    closed = {name for name, one in config["networks"].items() if one.get("internal") or one.get("driver_opts")}
    outside = {name for name in own if set(config["services"][name]["networks"]) - closed}
    assert outside == {"alertmanager"}


MONITORING_HOST = tuple(f"docker/compose/host-{name}.yml" for name in ("gateway", "node", "monitoring"))
NEEDED_TO_MONITOR: dict[str, Any] = {
    **NEEDED_IN_A_FLEET,
    "EXPORTERS_ADDRESS": "192.0.2.14",
    "MONITORING_ADDRESS": "192.0.2.15",
    "PROJECT_DIR": str(ROOT),
    "DISK": "/srv/backup",
    "TARGETS_DIR": "/srv/targets",
}
EXPORTERS = tuple(
    f"docker/compose/{name}.yml" for name in ("monitoring", "monitoring-production", "host-exporters", "host-gateway")
)
MONITORED = {
    "exporters node-exporter ops-exporter postgres-exporter": (
        "docker/compose/host-database.yml",
        *EXPORTERS,
        "docker/compose/host-exporters-database.yml",
    ),
    "exporters node-exporter ops-exporter mtail pgbouncer-exporter": (
        *APPLICATION,
        *EXPORTERS,
        "docker/compose/host-exporters-application.yml",
        "docker/compose/host-dashboard.yml",
    ),
    # with a cluster: Patroni's own port is read, and etcd's that has metrics only
    "etcd exporters node-exporter ops-exporter postgres-exporter": (
        *MEMBER,
        *EXPORTERS,
        "docker/compose/host-exporters-database.yml",
        "docker/compose/host-exporters-member.yml",
    ),
}


@pytest.mark.parametrize(("services", "files"), MONITORED.items(), ids=MONITORED)
def test_a_monitored_host_publishes_its_exporters_through_the_gateway_alone(
    services: str, files: tuple[str, ...]
) -> None:
    stack = Stack(f"{PROJECT}-static", (*PRODUCTION, *files), **NEEDED_TO_MONITOR)
    started = stack.compose("config", "--services").split()
    on_it = {name for name in started if "monitoring" in (stack.config["services"][name].get("networks") or ())}
    assert on_it == set(services.split())
    published = {
        name: stack.config["services"][name]["ports"]
        for name in on_it - {"etcd"}
        if "ports" in stack.config["services"][name]
    }
    assert [(name, port["host_ip"], port["published"]) for name, ports in published.items() for port in ports] == [
        ("exporters", "192.0.2.14", "9443")
    ]
    if "app" in started:
        assert stack.config["services"]["app"]["environment"]["PROMETHEUS_URL"] == "http://exporters:9091"


def test_the_monitoring_host_publishes_the_gateway_and_on_loopback_prometheus() -> None:
    config = Stack(f"{PROJECT}-static", MONITORING_HOST, **NEEDED_TO_MONITOR).config
    services = config["services"]
    published = {name: [port["host_ip"] for port in one["ports"]] for name, one in services.items() if "ports" in one}
    assert published == {"exporters": ["192.0.2.14"], "prometheus": ["127.0.0.1"]}
    closed = {name for name, one in config["networks"].items() if one.get("internal") or one.get("driver_opts")}
    outside = {name for name, one in services.items() if set(one["networks"]) - closed}
    assert outside == {"prometheus", "alertmanager"}
    assert services["alertmanager"]["environment"]["DEPLOYMENT"] == "production"


def test_production_does_not_monitor_without_a_receiver() -> None:
    """docker/monitoring/alertmanager-config refuses to start without one, by this variable."""
    services = Stack(f"{PROJECT}-static", PRODUCTION_MONITORING, **NEEDED).config["services"]
    assert services["alertmanager"]["environment"]["DEPLOYMENT"] == "production"
    for service in ("postgres-exporter", "pgbouncer-exporter", "ops-exporter"):
        assert [mount["source"] for mount in services[service]["volumes"]] == [f"{ROOT}/docker/secrets.dev/tls/client"]


def test_a_cluster_publishes_haproxy_instead_of_a_member_and_on_loopback_only() -> None:
    config = Stack(f"{PROJECT}-static", CLUSTER).config
    published = {
        name: {port["host_ip"] for port in service["ports"]}
        for name, service in config["services"].items()
        if service.get("ports")
    }
    assert published == {name: {"127.0.0.1"} for name in ("haproxy", "pgbouncer", "proxy")}
    on_it = {name for name, one in config["services"].items() if "cluster" in (one.get("networks") or ())}
    assert on_it == {*(f"{kind}db{n}" for kind in ("", "etcd-") for n in (1, 2, 3)), "haproxy"}
    assert config["networks"]["cluster"]["internal"]
    assert "postgres" in config["services"]["haproxy"]["networks"]["database"]["aliases"]


def test_sentry_gives_the_application_alone_a_way_out() -> None:
    needed = {**NEEDED, "SENTRY_DSN": "https://key@sentry.example.org/1"}
    config = Stack(f"{PROJECT}-static", (*PRODUCTION, "docker/compose/sentry.yml"), **needed).config
    assert [name for name, one in config["services"].items() if "sentry" in (one.get("networks") or ())] == ["app"]
    assert not config["networks"]["sentry"].get("internal")


def test_mail_gives_the_application_alone_a_way_out_and_a_secret() -> None:
    needed = {**NEEDED, "EMAIL_HOST": "smtp.example.org", "EMAIL_FROM": "flags@example.org"}
    config = Stack(f"{PROJECT}-static", (*PRODUCTION, "docker/compose/mail.yml"), **needed).config
    on_mail = [name for name, service in config["services"].items() if "mail" in (service.get("networks") or ())]
    knowing = [
        name
        for name, service in config["services"].items()
        if "email_password" in {secret["source"] for secret in service.get("secrets") or ()}
    ]
    assert (on_mail, knowing) == (["app"], ["app"])
    assert "application" in config["services"]["app"]["networks"]
    assert not config["networks"]["mail"].get("internal")


EVERYTHING = (*PRODUCTION_MONITORING, "docker/compose/mail.yml", "docker/compose/sentry.yml")


@pytest.mark.parametrize("files", [DEVELOPMENT, EVERYTHING, CLUSTER], ids=" + ".join)
def test_the_rehearsals_requests_reach_its_server_and_nothing_else(files: tuple[str, ...]) -> None:
    """No network, no other service's socket; no mail server, error tracker or database that its environment names."""
    needed = {
        **NEEDED,
        "EMAIL_HOST": "smtp.example.org",
        "EMAIL_FROM": "flags@example.org",
        "SENTRY_DSN": "https://k@example.org/1",
    }
    config = Stack(f"{PROJECT}-static", files, **needed).config
    service, sandbox = (config["services"][name] for name in ("rehearsal", "sandbox"))
    assert (service["network_mode"], service.get("networks"), service.get("ports")) == ("none", None, None)
    volumes = [(one["source"], one.get("read_only", False)) for one in service["volumes"] if one["type"] == "volume"]
    assert volumes == [("sandbox-data", True)]
    assert "sandbox-data" in [one["source"] for one in sandbox["volumes"]]
    assert {one["source"] for one in service["secrets"]} == {"app_password", "django_secret_key"}
    environment = service["environment"]
    assert not {"EMAIL_HOST", "SENTRY_DSN", "PROMETHEUS_URL"} & environment.keys()
    role, database = sandbox["environment"]["APP_ROLE"], sandbox["environment"]["APP_DATABASE"]
    assert environment["DATABASE_URL"] == f"postgresql://{role}@/{database}?host=/sandbox/socket&sslmode=verify-full"
