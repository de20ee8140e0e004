"""Three database hosts: a fleet's server becomes a cluster with its data in place; then hosts are changed and lost."""

import itertools
import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from alerts.sinks import Webhooks
from images import BUILT
from lab.hosts import Lab
from network import scan
from players import HERE, Players
from support.checklist import Checklist
from support.cluster import FILES
from test_deploy import version
from test_monitoring import MONITORING, up
from test_playbooks import ROLE, changed
from testing.shell import eventually, run
from testing.stack import PROJECT, TAG, Stack

pytestmark = pytest.mark.long

MEMBERS = ("db1", "db2", "db3")
PSQL = ("docker", "exec", "flaglearning-postgres-1", "psql", "-XqAt", "-h", "/run/postgresql", "-U", "postgres")
SERVER = "SELECT pg_postmaster_start_time(), (SELECT timeline_id FROM pg_control_checkpoint())"
Record = Callable[[str, object], None]
# What docs/runbooks/cluster.md types on a member that leaves: its server stops for good, its etcd still votes.
LEAVE = ("sh", "-ec", "systemctl disable flaglearning; cd /opt/flaglearning; docker compose stop postgres")
# And when the cluster has ended.
FORGET = (
    "sh",
    "-ec",
    "cd /opt/flaglearning; docker compose down; docker volume rm flaglearning_postgres-data flaglearning_etcd",
)
WAITED = re.compile(r"clients of (\w+) waited (\d+) ms")
# A host that is cut off: nothing comes in, out, or through to its containers.
CUT = "add table inet cut; " + " ".join(
    f"add chain inet cut {hook} {{ type filter hook {hook} priority -300; policy drop; }};"
    for hook in ("input", "output", "forward")
)


def ops(lab: Lab, host: str, *words: str) -> str:
    """`./scripts/ops` on a host: what it prints, then its exit status."""
    return lab.exec(host, "sh", "-c", f"cd /opt/flaglearning && ./scripts/ops {' '.join(words)}; echo status $?")


def primary(lab: Lab, hosts: Sequence[str] = MEMBERS) -> str:
    """Which host takes writes, as the first of these says that answers."""
    for host in hosts:
        name = lab.exec(host, "docker", "exec", "flaglearning-postgres-1", "pgcluster", "primary", check=False).strip()
        if name in MEMBERS:
            return name
    return ""


def sql(lab: Lab, host: str, text: str, database: str = "flaglearning_prod") -> str:
    return lab.exec(host, *PSQL, "-d", database, "-c", text).strip()


def answers(lab: Lab, host: str) -> int:
    return int(sql(lab, host, "SELECT count(*) FROM flags_useranswer"))


@pytest.fixture(scope="module")
def grown(split: Lab, players: Players) -> dict[str, Any]:
    """What was seen while the fleet's one server became a cluster under load."""
    if primary(split):  # KEEP_STACK=1: it has grown before
        return {}
    split.lab_system = sql(split, "db1", "SELECT system_identifier FROM pg_control_system()")  # type: ignore[attr-defined]
    before = answers(split, "db1")
    # The runner builds one server's images.
    Stack(PROJECT, FILES).build("db1", "etcd-db1")
    split.up("cluster")
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        growing = pool.submit(split.play, "site.yml", *BUILT, timeout=1800)
        first, second = players.loads("app1", "app2")
        with first, second:
            growing.result()
    return {
        "seconds": time.monotonic() - began,
        "failures": first.failures + second.failures,
        "answers": answers(split, primary(split)) - before - first.answers - second.answers,
        "measured": f"app1 {first}; app2 {second}",
    }


@pytest.fixture(scope="module")
def cluster(split: Lab, grown: dict[str, Any]) -> Lab:
    """Three members, in sync."""
    healthy(split)
    return split


def healthy(lab: Lab, within: float = 120) -> None:
    host = next(host for host in MEMBERS if host in lab.running())
    eventually(lambda: "status 0" in ops(lab, host, "cluster", "status"), within=within, every=2)


def test_one_server_became_three_with_its_data_and_no_failed_request(
    cluster: Lab, grown: dict[str, Any], record_property: Record
) -> None:
    record_property("measured", f"{grown.get('seconds', 0):.0f} s; {grown.get('measured')}")
    assert grown["failures"] == []
    assert grown["answers"] == 0
    systems = {sql(cluster, host, "SELECT system_identifier FROM pg_control_system()") for host in MEMBERS}
    assert systems == {cluster.lab_system}  # type: ignore[attr-defined]


def test_a_second_run_changes_nothing_and_switches_nothing_over(cluster: Lab) -> None:
    before = primary(cluster), sql(cluster, primary(cluster), SERVER)
    assert changed(cluster.play("site.yml", *BUILT).stdout) == 0
    assert changed(cluster.play("site.yml", *BUILT, "--check").stdout) == 0
    assert (primary(cluster), sql(cluster, primary(cluster), SERVER)) == before


@pytest.mark.parametrize(
    ("source", "target", "reached"),
    [
        ("app1", "db1", [5432, 8008]),
        ("app2", "db3", [5432, 8008]),
        ("db1", "db2", [2379, 2380, 5432, 8008]),
        ("backup1", "db1", [8432, 9443]),  # it is the monitoring host, too
        ("vantage", "db1", []),
        ("vantage", "db2", []),
        ("vantage", "app1", [80, 443]),
    ],
)
def test_a_member_answers_members_and_application_hosts_only(
    cluster: Lab, source: str, target: str, reached: list[int]
) -> None:
    assert scan(cluster, cluster.address(target), 23, 10000, host=source) == reached


def test_the_app_reaches_its_pooler_and_no_member(cluster: Lab) -> None:
    probe = "timeout 2 bash -c 'exec 3<>/dev/tcp/{0}' 2>/dev/null && echo open || echo shut"
    inside = (*HERE, "exec", "-T", "app", "sh", "-c")
    assert cluster.exec("app1", *inside, probe.format("pgbouncer/6432")).strip() == "open"
    for port in (5432, 8008, 6432):
        assert cluster.exec("app1", *inside, probe.format(f"{cluster.address('db1')}/{port}")).strip() == "shut"


def test_commands_work_on_the_primarys_host_and_say_so_elsewhere(cluster: Lab) -> None:
    name = primary(cluster)
    other = next(host for host in MEMBERS if host != name)
    assert "status 0" in ops(cluster, name, "tables")
    refused = ops(cluster, other, "tables")
    assert "status 2" in refused
    assert f"on {name}: the same command" in refused
    assert "status 0" in ops(cluster, other, "cluster", "status")


def test_doctor_leaves_out_what_other_hosts_run(cluster: Lab) -> None:
    said = ops(cluster, primary(cluster), "doctor", "--json")
    links = {one["link"]: one["status"] for one in json.loads(said[: said.rindex("\nstatus ")])}
    assert {"proxy", "pooler", "end to end"}.isdisjoint(links)
    assert set(links) >= {"cluster", "roles", "migrations", "archiving"}
    assert set(links.values()) == {"ok"}, said


def test_the_monitoring_host_reads_every_member_and_every_pooler(cluster: Lab) -> None:
    wanted = {f"{job} {host}" for job in ("node", "certificates", "postgres", "patroni", "etcd") for host in MEMBERS}
    application = ("node", "certificates", "pgbouncer", "haproxy", "proxy", "site")
    wanted |= {f"{job} {host}" for job in application for host in ("app1", "app2")}
    eventually(lambda: set(up(cluster).values()) == {"up"}, within=120, every=2)
    assert set(up(cluster)) == wanted | {"prometheus", "alertmanager", "node backup1"}


def test_the_checklist_passes(cluster: Lab, tmp_path: Path, webhooks: Webhooks) -> None:
    cluster.exec("backup1", *MONITORING, "./scripts/ops", "alert", "test")
    done = cluster.play("checklist.yml", "-e", f"checklist_artifacts={tmp_path}", check=False)
    checks = Checklist(tmp_path, "-i", str(cluster.inventory), env=cluster.environment).checks()
    assert {check["id"]: check["outcome"] for check in checks if check["outcome"] != "pass"} == {}, done.stdout
    poolers = {seen["line"].split(":")[0] for check in checks if check["id"] == "POOL-04" for seen in check["evidence"]}
    assert {"pgbouncer on app1", "pgbouncer on app2"} <= poolers


def test_timers_work_on_the_primarys_host_alone(cluster: Lab) -> None:
    for host in MEMBERS:
        cluster.exec(host, "systemctl", "start", "flaglearning-clear-sessions.service")
        shown = cluster.exec(host, "systemctl", "show", "-p", "Result", "flaglearning-clear-sessions.service").strip()
        assert shown == ("Result=success" if host == primary(cluster) else "Result=exec-condition")


# When an etcd ended, and when one became healthy: "seconds event", of one host.
WATCH_ETCD = (
    "docker events --filter label=com.docker.compose.service=etcd --filter event=die --filter event=health_status"
    " --format '{{.Time}} {{.Action}}' >/run/etcd-events"
)
# An etcd that runs, and is reached by no other host.
CUT_ETCD = (
    "add table inet cut; add chain inet cut forward { type filter hook forward priority -300; };"
    " add rule inet cut forward tcp dport 2380 drop; add rule inet cut forward tcp sport 2380 drop;"
)


@pytest.fixture
def newer_etcd() -> str:
    """Options of site.yml: another image of etcd, the others as they are."""
    images = run("docker", "image", "ls", "--filter", f"reference=flaglearning/*:{TAG}", "--format", "{{.Repository}}")
    for image in images.stdout.split():
        run("docker", "tag", f"{image}:{TAG}", f"{image}:{TAG}-etcd")
    dockerfile = f"FROM flaglearning/etcd:{TAG}\nLABEL version=etcd"
    run("docker", "build", "--quiet", "--tag", f"flaglearning/etcd:{TAG}-etcd", "-", stdin=dockerfile)
    return json.dumps({"images_build": False, "images_tag": f"{TAG}-etcd"})


def test_a_new_image_of_etcd_is_taken_one_by_one_and_only_while_all_are_healthy(
    cluster: Lab, players: Players, newer_etcd: str, record_property: Record
) -> None:
    """No quorum is lost: the primary stays. Each ends after the one before has become healthy."""
    before = primary(cluster), sql(cluster, primary(cluster), SERVER)
    standby = next(host for host in reversed(MEMBERS) if host != before[0])
    for host in MEMBERS:
        cluster.exec(host, "systemd-run", "--quiet", "--collect", "--unit=etcd-events", "sh", "-c", WATCH_ETCD)
    cluster.exec(standby, "nft", CUT_ETCD)
    try:
        refused = cluster.play("site.yml", "-e", newer_etcd, check=False)
    finally:
        cluster.exec(standby, "nft", "delete", "table", "inet", "cut")
    assert refused.returncode != 0
    assert "the others would lose their majority" in " ".join(refused.stdout.split())
    assert [host for host in MEMBERS if " die" in cluster.exec(host, "cat", "/run/etcd-events")] == []
    healthy(cluster)

    first, second = players.loads("app1", "app2")
    with first, second:
        cluster.play("site.yml", "-e", newer_etcd)
    record_property("measured", f"app1 {first}; app2 {second}")
    assert (primary(cluster), sql(cluster, primary(cluster), SERVER)) == before
    assert first.failures + second.failures == []
    away = []
    for host in MEMBERS:
        cluster.exec(host, "systemctl", "stop", "etcd-events")
        events = [line.split(" ", 1) for line in cluster.exec(host, "cat", "/run/etcd-events").splitlines()]
        [ended] = [int(moment) for moment, event in events if event == "die"]
        away.append((ended, min(int(at) for at, event in events if "healthy" in event.split() and int(at) >= ended)))
    assert [after for before, after in itertools.pairwise(sorted(away)) if after[0] < before[1]] == []


def test_a_planned_switchover_fails_no_request(cluster: Lab, players: Players, record_property: Record) -> None:
    before = primary(cluster)
    first, second = players.loads("app1", "app2")
    with first, second:
        done = cluster.play("switchover.yml")
    waited = WAITED.findall(done.stdout)
    record_property("measured", f"{waited}; app1 {first}; app2 {second}")
    assert first.failures + second.failures == []
    assert len(waited) == 2
    assert primary(cluster) not in ("", before)


def test_a_deploy_migrates_at_the_primary_and_fails_no_request(cluster: Lab, players: Players) -> None:
    first, second = players.loads("app1", "app2")
    with first, second:
        cluster.play("deploy.yml", "-e", version("cluster"))
    assert first.failures + second.failures == []
    cluster.play("deploy.yml", *BUILT)


def test_passwords_change_on_a_cluster_without_a_failed_request(cluster: Lab, players: Players) -> None:
    old = cluster.secrets()
    first, second = players.loads("app1", "app2")
    with first, second:
        cluster.play("rotate-passwords.yml")
    assert first.failures + second.failures == []
    assert {name for name, value in cluster.secrets().items() if old[name] != value} >= {
        "app_password",
        "pgbouncer_password",
    }
    assert changed(cluster.play("site.yml", *BUILT).stdout) == 0


def test_certificates_change_on_a_cluster_without_a_failed_request(cluster: Lab, players: Players) -> None:
    first, second = players.loads("app1", "app2")
    with first, second:
        cluster.play("rotate-certificates.yml")
    assert first.failures + second.failures == []
    healthy(cluster)


def test_a_lost_primarys_host_is_replaced_and_comes_back(
    cluster: Lab, players: Players, record_property: Record
) -> None:
    """The host is cut off first: a container that is killed would send RST, and flatter the number."""
    lost = primary(cluster)
    before = answers(cluster, lost)
    first, second = players.loads("app1", "app2")
    with first, second:
        began = time.monotonic()
        cluster.exec(lost, "nft", CUT)
        others = [host for host in MEMBERS if host != lost]
        eventually(lambda: primary(cluster, others) not in ("", lost), within=60, every=0.5)
        gap = time.monotonic() - began
        eventually(lambda: [players.ask(host) for host in ("app1", "app2")] == [200, 200], within=30, every=0.5)
        served = time.monotonic() - began
    record_property(
        "measured",
        f"another primary after {gap:.1f} s, both hosts served after {served:.1f} s; app1 {first}; app2 {second}",
    )
    cluster.exec(lost, "nft", "delete", "table", "inet", "cut")
    healthy(cluster)
    told = first.answers + second.answers
    assert answers(cluster, primary(cluster)) - before >= told


def test_a_lost_hosts_successor_joins_under_its_name(cluster: Lab, players: Players, record_property: Record) -> None:
    """Its disks are gone. A standby's, so that no failover is part of it."""
    lost = next(host for host in MEMBERS if host != primary(cluster))
    cluster.compose("rm", "--stop", "--force", "--volumes", lost)
    cluster.up("cluster")
    began = time.monotonic()
    first, second = players.loads("app1", "app2")
    with first, second:
        cluster.play("replace-node.yml", *BUILT, "-e", f"replace_node={lost}", timeout=1800)
    record_property("measured", f"{time.monotonic() - began:.0f} s; app1 {first}; app2 {second}")
    assert first.failures + second.failures == []
    healthy(cluster)
    assert changed(cluster.play("site.yml", *BUILT).stdout) == 0


def test_the_archive_has_no_gap(cluster: Lab) -> None:
    """Through all timelines that the switchovers and the lost host have begun."""
    verify = (*HERE, "exec", "-T", "backup", "pgbackrest", "--stanza=flaglearning", "--repo=2", "--verbose", "verify")
    eventually(lambda: "status: ok" in cluster.exec("backup1", *verify, check=False), within=60, every=5)


def test_a_restore_brings_the_cluster_back_to_a_point_in_time(
    cluster: Lab, players: Players, record_property: Record
) -> None:
    """What was deleted afterwards is back, on all members: the standbys have copied it."""
    host = primary(cluster)
    with players.load("app1") as load:
        eventually(lambda: load.answers > 0, within=60)
    kept, moment = answers(cluster, host), sql(cluster, host, "SELECT clock_timestamp()")
    time.sleep(1)
    sql(cluster, host, "DELETE FROM flags_useranswer")
    began = time.monotonic()
    cluster.play("restore.yml", "-e", json.dumps({"restore_to": moment, "restore_confirm": "flaglearning_prod"}))
    record_property("measured", f"{kept} answers, {time.monotonic() - began:.0f} s")
    healthy(cluster)
    assert kept > 0
    assert {answers(cluster, host) for host in MEMBERS} == {kept}
    with players.load("app2") as load:
        eventually(lambda: load.answers > 0, within=60)
    assert load.failures == []
    assert changed(cluster.play("site.yml", *BUILT).stdout) == 0


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ({"database": ["db1", "db2"]}, "the group `database` has 2 hosts"),
        ({"backup": []}, "a cluster needs a host in the group `backup`"),
    ],
)
def test_preflight_refuses_a_cluster_that_cannot_work(
    cluster: Lab, tmp_path: Any, groups: dict[str, list[str]], sentence: str
) -> None:
    shutil.copytree(cluster.inventory, tmp_path / "inventory")
    hosts = json.loads((tmp_path / "inventory/hosts.yml").read_text())
    for group, names in groups.items():
        hosts[group] = {"hosts": {name: {"ansible_host": cluster.address(name)} for name in names}}
    (tmp_path / "inventory/hosts.yml").write_text(json.dumps(hosts))
    done = cluster.play(ROLE, "-e", "role=preflight", "-i", str(tmp_path / "inventory"), check=False)
    assert done.returncode
    assert sentence in " ".join(done.stdout.split())


def test_the_cluster_becomes_one_server_again(cluster: Lab, players: Players, record_property: Record) -> None:
    """As docs/runbooks/cluster.md says, without a failed request; killed once, before HAProxy is replaced."""
    if primary(cluster) != "db1":
        cluster.play("switchover.yml", "-e", "switchover_to=db1")
    before = answers(cluster, "db1")
    for host in ("db2", "db3"):
        cluster.exec(host, *LEAVE)
    cluster.up("split")
    first, second = players.loads("app1", "app2")
    with first, second:
        cluster.play_and_kill("site.yml", *BUILT, at="Replace HAProxy and PgBouncer")
        done = cluster.play("site.yml", *BUILT)
    record_property("measured", f"{WAITED.findall(done.stdout)}; app1 {first}; app2 {second}")
    assert first.failures + second.failures == []
    assert sql(cluster, "db1", "SELECT pg_is_in_recovery()") == "f"
    assert answers(cluster, "db1") - before == first.answers + second.answers
    assert changed(cluster.play("site.yml", *BUILT).stdout) == 0


def test_a_growth_that_is_killed_twice_is_completed_by_the_same_playbook(
    cluster: Lab, players: Players, record_property: Record
) -> None:
    """Before the server is told to make way, and while it does. Last: the members begin anew, with db1's data."""
    for host in ("db2", "db3"):
        cluster.exec(host, *FORGET)
    cluster.up("cluster")
    before = answers(cluster, "db1")
    first, second = players.loads("app1", "app2")
    with first, second:
        for task in ("Tell it that clients wait", "Wait for the end of what replaces it"):
            cluster.play_and_kill("site.yml", *BUILT, at=task)
        cluster.play("site.yml", *BUILT, timeout=1800)
    record_property("measured", f"app1 {first}; app2 {second}")
    healthy(cluster)
    assert first.failures + second.failures == []
    assert answers(cluster, primary(cluster)) - before == first.answers + second.answers
