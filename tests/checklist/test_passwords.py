"""Item 1: strong passwords, stored and sent as SCRAM, readable by their services only."""

import hashlib
from pathlib import PurePosixPath
from typing import Any

from checklist.api import Evidence, check, deviates
from checklist.client import Client, Superuser
from checklist.machines import Machine
from checklist.remote import call, look_for_secrets, measure_secrets
from checklist.target import Target

PUBLIC = "development's secrets are public on purpose; production refuses to start with them"
NEW_SECRETS = (
    "`./scripts/secrets new` makes random ones; then start the stack again with SECRETS_DIR set to that folder"
)
REFERENCE_USER = "flaglearning_user"
SOCKET_ONLY = (
    "postgres",
    "flaglearning_verifier",
    "flaglearning_backup",
)  # as the server's own user, by peer authentication
MEMBERS_ONLY = ("flaglearning_replicator", "flaglearning_rewinder")  # in a cluster, by a member's certificate


@check(
    "PASS-01",
    claim="every role has a SCRAM-SHA-256 verifier, or no password and logs in through the socket only",
    remedy="apply the roles again: `docker compose up --build roles`; drop a role that isn't ours",
)
def test_verifiers_are_scram(superuser: Superuser, evidence: Evidence) -> None:
    rows = superuser.rows(
        "SELECT rolname, CASE WHEN rolpassword IS NULL THEN 'no password' WHEN rolpassword LIKE 'SCRAM-SHA-256$%' THEN"
        " 'SCRAM-SHA-256, ' || split_part(split_part(rolpassword, '$', 2), ':', 1) || ' iterations'"
        " WHEN rolpassword LIKE 'md5%' THEN 'md5' ELSE 'something else' END AS kind,"
        " rolvaliduntil < now() AS expired FROM pg_authid WHERE rolcanlogin ORDER BY 1"
    )
    for row in rows:
        evidence(f"{row['rolname']}: {row['kind']}")
    weak = [
        f"{row['rolname']} ({row['kind']})"
        for row in rows
        if row["kind"].partition(",")[0]
        != ("no password" if row["rolname"] in (*SOCKET_ONLY, *MEMBERS_ONLY) else "SCRAM-SHA-256")
    ]
    assert not weak, f"neither: {', '.join(weak)}"


@check(
    "PASS-02",
    claim="every secret is 32 or more random characters, none used twice, none a public one",
    remedy=NEW_SECRETS,
)
def test_secrets_are_strong(target: Target, beside: Client, public_secrets: dict[str, str], evidence: Evidence) -> None:
    public = [hashlib.sha256(password.encode()).hexdigest() for password in public_secrets.values()]
    measured: dict[str, Any] = {}
    for host in (*target.each("app"), target.host("postgres"), beside.host):
        measured |= call(host, measure_secrets, public)
    weak = []
    for name, secret in sorted(measured.items()):
        if secret["same_as"]:
            secret["reason"] = f"has the same value as {', '.join(secret['same_as'])}"
        strength = f"{secret['length']} characters, {secret['distinct']} different"
        evidence(f"{name}: {strength}" + (f"; it {secret['reason']}" if secret["reason"] else ""))
        if secret["reason"]:
            weak.append(f"{name} {secret['reason']}")
    if weak and target.development:
        deviates(f"{len(weak)} of {len(measured)} are weak: {PUBLIC}")
    assert not weak, f"weak secrets: {'; '.join(weak)}"


@check("PASS-03", claim="no role accepts a public development password", remedy=NEW_SECRETS)
def test_public_passwords_are_refused(target: Target, beside: Client, evidence: Evidence) -> None:
    roles = {
        "app": target.app_role,
        "migrator": "flaglearning_migrator",
        "readonly": "flaglearning_readonly",
        "ops": "flaglearning_ops",
        "monitor": "flaglearning_monitor",
        "pgbouncer": "pgbouncer",
    }
    logins = [(target.endpoint("postgres"), name, role) for name, role in roles.items()]
    logins += [(pooler, name, roles[name]) for pooler in target.poolers for name in ("app", "readonly")]
    if target.app_role != REFERENCE_USER:
        logins += [(endpoint, "app", REFERENCE_USER) for endpoint in target.endpoints]
    attempts = {}
    for endpoint, name, role in logins:
        database = "postgres" if name in ("pgbouncer", "monitor") else target.database
        attempts[f"{role} at {endpoint}"] = beside.attempt(endpoint, role, f"public_{name}_password", dbname=database)
    opened = []
    for who, answer in beside.try_all(attempts).items():
        evidence(f"{who}: {answer}")
        if answer.ok:
            opened.append(who)
    if opened and target.development:
        deviates(f"{len(opened)} logins with them succeed here: {PUBLIC}")
    assert not opened, f"a public password was accepted: {', '.join(opened)}"


@check(
    "PASS-04",
    claim="a wrong password, or none, is refused at the server and at the pooler",
    remedy="look for `trust` in pg/hba.d and pg/pgbouncer_hba.conf",
)
def test_wrong_passwords_are_refused(target: Target, beside: Client, evidence: Evidence) -> None:
    for endpoint in target.endpoints:
        passwords = ("app_password", "pgbouncer_password", "none")
        attempts = {password: beside.attempt(endpoint, target.app_role, password) for password in passwords}
        right, wrong, none = beside.try_all(attempts).values()
        evidence(f"{endpoint}: the right password: {right}; another role's: {wrong}; none: {none}")
        assert right.ok, f"{target.app_role} can't log in at {endpoint} at all: a refusal proves nothing: {right}"
        assert not wrong.ok, f"{endpoint} let {target.app_role} in with another role's password"
        assert not none.ok, f"{endpoint} let {target.app_role} in without a password"


@check(
    "PASS-05",
    claim="server and pooler accept SCRAM-SHA-256 only: no md5, no plaintext password",
    remedy="write scram-sha-256 or reject in the last column of pg_hba.conf, hba.d; then `docker compose up --build`",
)
def test_only_scram(target: Target, superuser: Superuser, beside: Client, evidence: Evidence) -> None:
    stored = superuser.value("SHOW password_encryption")
    methods = superuser.rows(
        "SELECT type, auth_method, count(*), string_agg(DISTINCT regexp_replace(file_name, '.*/', ''), ', ') AS files"
        " FROM pg_hba_file_rules GROUP BY 1, 2 ORDER BY 1, 2"
    )
    evidence(f"password_encryption = {stored}")
    evidence("pg_hba rules: " + ", ".join(f"{row['count']} {row['type']} {row['auth_method']}" for row in methods))
    for endpoint in target.endpoints:
        answer = beside.login(endpoint, target.app_role, "app_password", require_auth="md5,password,none")
        evidence(f"a client that offers only md5 or plaintext at {endpoint}: {answer}")
        assert not answer.ok, f"{endpoint} accepted a login that was not SCRAM"
        assert "SASL" in answer.text or "SCRAM" in answer.text, f"{endpoint} did not ask for SCRAM: {answer}"
    assert stored == "scram-sha-256", f"password_encryption is {stored}"
    accepted = [("local", "peer"), *([("hostssl", "cert")] if target.members else [])]
    weak = [
        f"{row['auth_method']} in {row['files']}"
        for row in methods
        if row["auth_method"] not in ("scram-sha-256", "reject") and (row["type"], row["auth_method"]) not in accepted
    ]
    assert not weak, f"weaker methods in pg_hba: {', '.join(weak)}"


@check(
    "PASS-06",
    claim="no secret is in a service's environment or command line",
    remedy="give it as a file (DATABASE_PASSWORD_FILE, DJANGO_SECRET_KEY_FILE); start again",
)
def test_secrets_are_files(target: Target, evidence: Evidence) -> None:
    # grep reads the secret as a pattern from its file and says only whether it found it. Each process, not the first
    # alone: an entrypoint may put into the environment what the container doesn't have.
    look = (
        "for s in /run/secrets/*; do [ -s $s ] || continue; for p in /proc/[0-9]*; do"
        " if cat $p/environ $p/cmdline 2>/dev/null | tr '\\0' '\\n' | grep -qF -f $s;"
        " then echo $s ${p#/proc/}; fi; done; done;"
        " ls /run/secrets 2>/dev/null | wc -l"
    )
    found = []
    for service in target.services:
        *leaks, count = service.run(look).stdout.split("\n")[:-1]
        found += [f"{leak} of {service}" for leak in leaks]
        evidence(f"{service}: {count} secret files, found in the environment or arguments of {len(leaks)} processes")
    assert not found, f"a secret is visible in (file, process): {'; '.join(found)}"


@check(
    "PASS-07",
    claim="on the machine, only root can read the secret files",
    remedy="`chown -R root:root DIR && chmod 0700 DIR` for the folder that SECRETS_DIR names",
)
def test_secret_files_are_private(target: Target, evidence: Evidence) -> None:
    open_to_others = []
    for machine in target.machines:
        files = target.secret_files(machine)
        # From the root down: a closed folder hides everything below it.
        folders = {file: [*reversed(PurePosixPath(file).parents), PurePosixPath(file)] for file in files.values()}
        closed = closed_parts(machine, {str(part) for parts in folders.values() for part in parts})
        for name, path in sorted(files.items()):
            behind = next((closed[str(part)] for part in folders[path] if str(part) in closed), "")
            evidence(f"{name}: {f'behind {behind}' if behind else f'{path} is readable by others'}", machine)
            if not behind:
                open_to_others.append(name)
    if open_to_others and target.development:
        deviates(f"{len(open_to_others)} files are readable: {PUBLIC}")
    assert not open_to_others, f"readable by others than root: {', '.join(open_to_others)}"


def closed_parts(machine: Machine, paths: set[str]) -> dict[str, str]:
    """Those of the files and folders that only root can enter or read, each with its mode."""
    parts = sorted(paths)
    found = {}
    for line in machine.run("stat -c '%%u %%a %%U %%n'" + " %s" * len(parts), *parts).stdout.splitlines():
        uid, mode, owner, path = line.split(" ", 3)
        if uid == "0" and int(mode, 8) & 0o077 == 0:
            found[path] = f"{path} ({owner}, 0{mode})"
    return found


@check(
    "PASS-08",
    claim="compose files and .env on the machine contain no secret",
    remedy="remove the value from .env or the compose file, and change it: it counts as disclosed",
)
def test_project_files_hold_no_secret(target: Target, evidence: Evidence) -> None:
    found_in = []
    for machine in target.machines:
        files = sorted({file for service in target.on(machine) for file in service.project_files})
        found = call(machine, look_for_secrets, files, list(target.secret_files(machine).values()))
        evidence(
            f"{', '.join(PurePosixPath(file).name for file in found['read'])}: looked for {found['secrets']} secrets,"
            f" found {', '.join(found['found_in']) or 'none'}"
        )
        found_in += found["found_in"]
        assert found["secrets"], f"no secret is readable on {machine or 'this machine'}: the files were not searched"
    assert not found_in, f"found: {', '.join(found_in)}"
