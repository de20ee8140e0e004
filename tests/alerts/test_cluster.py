"""A cluster on one machine, with monitoring: each of its alerts is fired by its fault, and Prometheus may read only."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.cluster_faults import CLUSTER_FAULTS
from alerts.conftest import FIRST_PORT
from alerts.lab import Lab
from alerts.sinks import Mails, Webhooks
from alerts.test_dashboard import PANELS
from alerts.test_faults import fired_and_resolved
from alerts.test_gateway import EXTENSIONS
from support.cluster import FILES, Cluster, Primary
from support.fixtures import own_stack
from support.ops import Ops
from testing.shell import eventually, run
from testing.stack import SLOT

pytestmark = pytest.mark.long

MONITORED = (
    *FILES, "docker/compose/monitoring.yml", "docker/compose/cluster-monitoring.yml",
    "tests/docker-compose.alerts-cluster.yml",
)  # fmt: skip
PROMETHEUS = FIRST_PORT + 200 * int(SLOT or 0) + 11


@pytest.fixture(scope="module")
def lab(variables: dict[str, str], webhooks: Webhooks) -> Iterator[Lab]:
    own = {**variables, "PROMETHEUS_PORT": str(PROMETHEUS)}
    built = ("db1", "etcd-db1", "haproxy", "prometheus")
    with own_stack("alerts-cluster", MONITORED, port=FIRST_PORT + 7, build=built, **own) as stack:
        yield Lab(stack, Primary(stack), webhooks, f"http://localhost:{PROMETHEUS}")


@pytest.fixture(scope="module")
def cluster(lab: Lab) -> Cluster:
    cluster = Cluster(lab.stack, Ops(lab.stack))
    cluster.healthy()
    return cluster


def test_every_part_is_read(lab: Lab, cluster: Cluster) -> None:
    wanted = {"patroni": 3.0, "etcd": 3.0, "haproxy": 1.0}
    eventually(lambda: {job: sum(lab.query(f'up{{job="{job}"}}')) for job in wanted} == wanted, within=60)


def test_its_panels_have_figures(lab: Lab, cluster: Cluster) -> None:
    [group] = [group for group in PANELS if group["title"] == "Cluster"]
    expressions = [query["expr"] for panel in group["panels"] for query in panel["queries"]]
    for expression in expressions:
        eventually(lambda it=expression: lab.query(it.replace("$window", "10s")), within=60)  # type: ignore[misc]


ASK = """
import json, ssl, urllib.request, urllib.error
context = ssl.create_default_context(cafile="/tls/ca.crt")
context.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
open_etcd = ssl.create_default_context(cafile="/tls/ca.crt")
open_etcd.check_hostname, open_etcd.verify_mode = False, ssl.CERT_NONE
open_etcd.load_cert_chain("/tls/tls.crt", "/tls/tls.key")
nobody = ssl.create_default_context(cafile="/tls/ca.crt")
def ask(name, url, context=None, body=None, method=None):
    try:
        request = urllib.request.Request(url, body, method=method)
        with urllib.request.urlopen(request, context=context, timeout=10) as answer:
            answers[name] = answer.status
    except urllib.error.HTTPError as error:
        answers[name] = error.code
    except OSError as error:
        answers[name] = "refused"
answers = {}
put = b'{"key": "YQ==", "value": "YQ=="}'
ask("patroni read", "https://db1:8008/metrics", context)
ask("patroni change", "https://db1:8008/config", context, b"{}", "PATCH")
ask("patroni switchover", "https://db1:8008/switchover", context, b"{}")
ask("patroni without a certificate", "https://db1:8008/metrics", nobody)
ask("etcd read", "http://etcd-db1:2381/metrics")
ask("etcd write at the port for metrics", "http://etcd-db1:2381/v3/kv/put", body=put)
ask("etcd write", "https://etcd-db1:2379/v3/kv/put", open_etcd, put)
print(json.dumps(answers))
"""


def test_prometheus_reads_and_changes_nothing(lab: Lab, cluster: Cluster) -> None:
    """With its certificate, from the members' network."""
    project, tag = lab.stack.project, lab.stack.variables["TAG"]
    words = ("--label", f"flaglearning-test={project}", "--network", f"{project}_cluster", "--user", "9090")
    mount = ("--volume", f"{project}_tls-monitoring:/tls:ro", "--entrypoint", "python3")
    done = run("docker", "run", "--rm", *words, *mount, f"flaglearning/ops:{tag}", "-c", ASK)
    assert json.loads(done.stdout) == {
        "patroni read": 200,
        "patroni change": 403,
        "patroni switchover": 403,
        "patroni without a certificate": "refused",
        "etcd read": 200,
        "etcd write at the port for metrics": 404,
        "etcd write": "refused",
    }


ASK_THE_GATEWAY = """
import json, ssl, urllib.request, urllib.error
answers = {}
for client in ("monitoring", "exporters"):
    for path in ("/patroni", "/etcd", "/haproxy"):
        context = ssl.create_default_context(cafile="/tls/ca.crt")
        context.load_cert_chain(f"/tls/{client}.crt", f"/tls/{client}.key")
        try:
            with urllib.request.urlopen("https://exporters:9443" + path, context=context, timeout=10) as answer:
                answers[client + path] = answer.read().decode()
        except urllib.error.HTTPError as error:
            answers[client + path] = str(error.code)
print(json.dumps(answers))
"""


@pytest.fixture
def answers_of_the_gateway(lab: Lab, cluster: Cluster, sink_folder: Path) -> Iterator[dict[str, str]]:
    """As on a member's host: db1 is `postgres` in the gateway's network, its etcd `etcd`; certificates of the stack's
    CA have the names that hosts' have."""
    stack, tag = lab.stack, lab.stack.variables["TAG"]
    network = f"{stack.project}-gateway"
    folder = sink_folder / "cluster-gateway"
    folder.mkdir(exist_ok=True)
    make = f"""
    make_leaf() {{
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -subj "/CN=$2" \\
            -keyout /out/$1.key -out /tmp/csr
        openssl x509 -req -in /tmp/csr -CA /ca/ca.crt -CAkey /ca/ca.key -days 2 \\
            -out /out/$1.crt -extfile /out/extensions
    }}
    printf '%s' '{EXTENSIONS}' >/out/extensions; cp /ca/ca.crt /out/
    make_leaf tls exporters; make_leaf monitoring monitoring; make_leaf exporters exporters; chmod 0644 /out/*"""
    ca = f"{stack.project}_ca"
    mounts = ("--volume", f"{ca}:/ca:ro", "--volume", f"{folder}:/out", "--network", "none", "--user", "root")
    image = str(stack.config["services"]["db1"]["image"])
    run("docker", "run", "--rm", *mounts, "--entrypoint", "bash", image, "-ec", make)
    label = ("--label", f"flaglearning-test={stack.project}")
    run("docker", "network", "create", "--internal", network)
    try:
        for service, alias in {"db1": "postgres", "etcd-db1": "etcd", "haproxy": "haproxy"}.items():
            run("docker", "network", "connect", "--alias", alias, network, cluster.container(service))
        of = ("--network", network, "--volume", f"{folder}:/tls:ro", *label)
        start = ("--detach", "--name", network, "--network-alias", "exporters", "--tmpfs", "/tmp:uid=9090")  # noqa: S108
        run("docker", "run", *of, *start, f"flaglearning/monitoring:{tag}", "gateway")
        words = ("--entrypoint", "python3", f"flaglearning/ops:{tag}", "-c", ASK_THE_GATEWAY)
        yield json.loads(run("docker", "run", "--rm", *of, *words).stdout)
    finally:
        run("docker", "rm", "--force", network, check=False)
        for service in ("db1", "etcd-db1", "haproxy"):
            run("docker", "network", "disconnect", network, cluster.container(service), check=False)
        run("docker", "network", "rm", network, check=False)


def test_on_hosts_the_gateway_reads_patroni_etcd_and_haproxy(answers_of_the_gateway: dict[str, str]) -> None:
    said = answers_of_the_gateway
    assert "patroni_primary{" in said["monitoring/patroni"]
    assert "etcd_server_has_leader" in said["monitoring/etcd"]
    assert "haproxy_backend_active_servers" in said["monitoring/haproxy"]
    assert {said[f"exporters{path}"] for path in ("/patroni", "/etcd", "/haproxy")} == {"403"}


def test_a_planned_switchover_fires_nothing(lab: Lab, cluster: Cluster) -> None:
    """Its new timeline is seen, and the rule's time is over."""
    before = lab.query("max(patroni_postgres_timeline)")
    done = lab.ops("cluster", "switchover", "--yes")
    assert done.status == 0, done.err
    eventually(lambda: lab.query("max(patroni_postgres_timeline)") > before, within=60)
    changed = "max(patroni_postgres_timeline) > max(patroni_postgres_timeline offset 60s)"  # with PATIENCE
    eventually(lambda: lab.query(f"count_over_time(({changed})[15s:1s]) > 12"), within=60)
    assert lab.query('max_over_time(ALERTS{alertname="FailoverHappened", alertstate="firing"}[60s])') == []


@pytest.mark.parametrize("alert", CLUSTER_FAULTS)
def test_it_reaches_the_receivers(
    lab: Lab, cluster: Cluster, mails: Mails, webhooks: Webhooks, record: dict[str, dict[str, object]], alert: str
) -> None:
    if alert == "FailoverHappened":  # else the switchover before excuses it
        words = ("rm", "-f", "/metrics/reports/flaglearning_switchover.prom")
        image = f"flaglearning/ops:{lab.stack.variables['TAG']}"
        mount = ("--volume", f"{lab.stack.project}_reports:/metrics/reports", "--user", "root", "--entrypoint")
        run("docker", "run", "--rm", "--network", "none", *mount, words[0], image, *words[1:])
        known = "last_over_time(flaglearning_switchover_timestamp_seconds[90s])"  # the rule's time, with PATIENCE
        eventually(lambda: lab.query(known) == [], within=150)
    record[alert] = fired_and_resolved(lab, mails, webhooks, alert, CLUSTER_FAULTS[alert](lab, cluster))
    cluster.healthy()
