"""Item 7: pg_stat_statements records, the log shows what an operator needs, and other roles see neither."""
# ruff: noqa: S608 -- the only names that are pasted into SQL here are this stack's own role names

import json
import re
import secrets
import time
from datetime import UTC, datetime, timedelta

from checklist.api import Evidence, check, does_not_apply, not_proven
from checklist.client import Client, Superuser
from checklist.remote import call, request
from checklist.target import Target
from ops import packages

PRELOAD = (
    "shared_preload_libraries in pg/conf.d/40-statistics.conf has to name it, also after pg/local.d;"
    " then `docker compose up --build --force-recreate postgres roles`"
)
# No other query combines these functions, so its entry in pg_stat_statements counts this check alone.
MARKER = "SELECT pg_catalog.reverse(pg_catalog.md5(pg_catalog.initcap(current_database())))"
COUNT = f"SELECT coalesce(sum(calls), 0) FROM public.pg_stat_statements WHERE query = '{MARKER}'"
EXPECTED = {
    "log_connections": "on",
    "log_disconnections": "on",
    "log_lock_waits": "on",
    "log_checkpoints": "on",
    "track_activities": "on",
    "track_counts": "on",
    "track_io_timing": "on",
    "compute_query_id": "on",
}


@check("MON-01", claim="pg_stat_statements is loaded, and installed in the application's database", remedy=PRELOAD)
def test_extension_is_there(superuser: Superuser, evidence: Evidence) -> None:
    libraries = superuser.value("SHOW shared_preload_libraries")
    versions = superuser.rows("SELECT extversion FROM pg_extension WHERE extname = 'pg_stat_statements'")
    evidence(f"shared_preload_libraries = {libraries}")
    evidence(f"extension: {versions[0]['extversion'] if versions else 'not installed'}")
    assert "pg_stat_statements" in libraries.replace(" ", "").split(","), "pg_stat_statements is not loaded"
    assert versions, "the extension is not installed: docker compose up roles"


@check(
    "MON-02", claim="pg_stat_statements counts each call that the application makes through the pooler", remedy=PRELOAD
)
def test_it_records(target: Target, beside: Client, evidence: Evidence) -> None:
    def counted() -> int:
        answer = beside.login(target.endpoint("postgres"), "flaglearning_ops", "ops_password", COUNT)
        assert answer.ok, f"the ops role can't read pg_stat_statements: {answer}"
        return int(answer.text)

    before = counted()
    run = beside.attempt(target.endpoint("pgbouncer"), target.app_role, "app_password", MARKER)
    for answer in beside.try_all({"first": run, "second": run, "third": run}).values():
        assert answer.ok, f"the marker query failed: {answer}"
    after = counted()
    evidence(f"calls of a marker query as {target.app_role} through the pooler: {before} before, {after} after 3 runs")
    assert after - before == 3, f"3 runs were counted as {after - before}"


@check(
    "MON-03",
    claim="the application can't read other roles' query texts, and can't reset the statistics",
    remedy="`docker compose up roles` restores pg/sql/40-monitoring.sql",
)
def test_others_see_nothing(target: Target, beside: Client, evidence: Evidence) -> None:
    endpoint = target.endpoint("postgres")
    hidden = beside.login(
        endpoint,
        target.app_role,
        "app_password",
        "SELECT count(*) FILTER (WHERE query <> '<insufficient privilege>') || ' of ' || count(*)"
        " FROM public.pg_stat_statements WHERE userid <> current_user::regrole",
    )
    evidence(f"texts of other roles' queries that {target.app_role} can read: {hidden.text}")
    assert hidden.text.startswith("0 of"), f"{target.app_role} reads other roles' queries: {hidden}"
    roles = {target.app_role: "app_password", "flaglearning_readonly": "readonly_password"}
    reset = "SELECT pg_stat_statements_reset()"
    attempts = {role: beside.attempt(endpoint, role, password, reset) for role, password in roles.items()}
    for role, answer in beside.try_all(attempts).items():
        evidence(f"pg_stat_statements_reset() as {role}: {answer}")
        assert "42501" in answer.text, f"{role} may reset the statistics: {answer}"


@check(
    "MON-04",
    claim="pg_stat_statements holds no statement that sets a password",
    remedy="pg_stat_statements.track_utility = off; `SELECT pg_stat_statements_reset()` as flaglearning_ops clears it",
)
def test_no_password_is_kept(superuser: Superuser, evidence: Evidence) -> None:
    utility = superuser.value("SHOW pg_stat_statements.track_utility")
    with_password = superuser.value(
        r"SELECT count(*) FROM public.pg_stat_statements"
        r" WHERE query ~* '\m(role|user)\M.*\mpassword\M\s+''|SCRAM-SHA-256\$'"
    )
    total = superuser.value("SELECT count(*) FROM public.pg_stat_statements")
    evidence(f"track_utility = {utility}; of {total} statements {with_password} set a password or hold a verifier")
    assert utility == "off", "track_utility is on: the text of ALTER ROLE … PASSWORD is recorded"
    assert with_password == "0", f"{with_password} statements hold a password"


@check(
    "MON-05",
    claim="a refused login is in the server's log, with role, database and client address",
    remedy="compare pg/conf.d/30-logging.conf with what runs",
)
def test_log_tells(target: Target, beside: Client, superuser: Superuser, evidence: Evidence) -> None:
    unknown_role = f"checklist_{secrets.token_hex(4)}"
    refused = beside.login(target.endpoint("postgres"), unknown_role, "none")
    assert not refused.ok, f"{unknown_role} logged in"
    for _ in range(20):
        # The log is the container engine's: it may be an instant behind.
        log = target.host("postgres").log(30)
        lines = [line for line in log.splitlines() if unknown_role in line and "FATAL" in line]
        if lines:
            break
        time.sleep(0.1)
    assert lines, "the server's log has no line about a refused login"
    evidence(f"log: {lines[0]}")
    assert re.search(rf"{unknown_role}@{target.database}", lines[0]), "the log line lacks the role or the database"
    values = superuser.settings(*EXPECTED)
    evidence(", ".join(f"{name}={value}" for name, value in sorted(values.items())))
    assert values == EXPECTED, "a setting differs from the expected ones"


@check(
    "MON-06",
    claim="slow queries and schema changes are logged: auto_explain and pgaudit are loaded",
    remedy=PRELOAD,
)
def test_slow_and_audit(superuser: Superuser, evidence: Evidence) -> None:
    shown = superuser.settings("shared_preload_libraries", "auto_explain.log_min_duration", "pgaudit.log")
    evidence("; ".join(f"{name} = {value}" for name, value in shown.items()))
    libraries = set(re.split(r",\s*", shown["shared_preload_libraries"]))
    assert {"auto_explain", "pgaudit"} <= libraries, "a library is not loaded"
    assert shown["auto_explain.log_min_duration"] not in ("-1", "(not set)"), "slow queries are not logged"
    assert {"ddl", "role"} <= set(re.split(r",\s*", shown["pgaudit.log"])), (
        "changes of schema and roles are not audited"
    )


@check(
    "MON-07",
    claim="every service is healthy, and /readyz answers 200",
    remedy="`docker compose ps`; `docker compose logs --tail 50` of what is not healthy",
)
def test_health(target: Target, evidence: Evidence) -> None:
    name = target.host("app").environment.get("ALLOWED_HOSTS", "proxy").split(",")[0]
    states = {str(service): service.health() for service in target.services}
    evidence("; ".join(f"{service}: {state}" for service, state in states.items()))
    answers = {}
    for proxy in target.each("proxy"):
        ready = call(target.client("edge", beside=proxy), request, "https://proxy:8443/readyz", name, "/tls/ca.crt")
        evidence(f"/readyz: {ready['status']} {ready['body']}")
        answers[str(proxy)] = ready["status"]
    assert all(state == "running, healthy" for state in states.values()), "a service is not healthy"
    assert set(answers.values()) == {200}, f"/readyz answered {answers}"


@check(
    "MON-20",
    claim="no security update (with advisories: no known fix) of an image or the host has been out for over 7 days,"
    " by a look-up of the last 2",
    remedy="`./scripts/ops update --check` lists them, `./scripts/ops update` installs them;"
    " `./scripts/ops timers install` looks daily",
)
def test_security_updates_are_installed(target: Target, evidence: Evidence) -> None:
    if not target.hosts and target.development:
        does_not_apply("a developer's images are rebuilt with the checkout")
    look = ("sh", "-c", "test ! -e /v/updates.json || cat /v/updates.json")
    text = target.host("postgres").in_folder("REPORTS_DIR", "reports", *look)
    if not text.strip():
        not_proven("no look-up of updates has been recorded")
    found = json.loads(text)
    updates = {
        name: [packages.Update(**{**one, "fixes": tuple(one["fixes"])}) for one in pending]
        for name, pending in found["pending"].items()
    }
    now = datetime.now(UTC)
    late = []
    for name, pending in updates.items():
        since = packages.oldest(pending, found["checked"])
        age = now - datetime.fromtimestamp(since, UTC) if since else timedelta(0)
        secure = sum(one.security for one in pending)
        evidence(f"{name}: {len(pending)} updates, {secure} of security, out for {age.days} days")
        if age > packages.SECURITY_AGE:
            late.append(f"{name} ({age.days} days)")
    age = now - datetime.fromtimestamp(found["checked"], UTC)
    evidence(f"looked up {age.total_seconds() / 3600:.1f} hours ago")
    assert age <= packages.CHECK_AGE, f"the newest look-up is {age.days} days old"
    assert not late, f"security updates are not installed: {', '.join(late)}"
    for file, modified in found.get("advisories", {}).items():
        age = now - datetime.fromtimestamp(modified, UTC)
        evidence(f"advisories {file}: {age.days} days old")
        assert age <= packages.SECURITY_AGE, f"the advisories {file} are {age.days} days old"
    for name, known in found.get("vulnerabilities", {}).items():
        fixable = [one for one in known if one["fix"]]
        evidence(f"{name}: {len(known)} known vulnerabilities, {len(fixable)} of them with a fix")
        for one in fixable:
            age = now - datetime.fromtimestamp(one["since"], UTC)
            assert age <= packages.SECURITY_AGE, f"{one['id']} of {name} has had a fix for {age.days} days"
    wanted_since = datetime.fromtimestamp(found["reboot_since"] or found["checked"], UTC)
    assert now - wanted_since <= packages.SECURITY_AGE, "the host waits for a reboot"
