"""Item 1: strong passwords, stored and sent as SCRAM, known to nobody who needn't."""

import hashlib
from pathlib import PurePosixPath
from typing import Any

from checklist.api import Evidence, check, deviates
from checklist.client import Client, Superuser
from checklist.remote import call, measure_secrets
from checklist.target import SERVICES, Target

PUBLIC = "development's are public on purpose, the reference's among them; production refuses to start with them"
NEW_SECRETS = (
    "`./scripts/secrets new` makes random ones; then start the stack again with SECRETS_DIR set to that folder"
)
REFERENCE_USER = "flaglearning_user"
MINIMUM_LENGTH = 32
MINIMUM_BITS = 100  # of Shannon entropy in the text itself; 32 random hexadecimal digits have about 115


@check(
    "PASS-01",
    claim="every role that can log in has a SCRAM-SHA-256 verifier, and nothing else",
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
    weak = [f"{row['rolname']} ({row['kind']})" for row in rows if not row["kind"].startswith("SCRAM-SHA-256")]
    assert not weak, f"without a SCRAM verifier: {', '.join(weak)}"


@check(
    "PASS-02",
    claim="every secret is 32 or more random characters, none used twice, none a public one",
    remedy=NEW_SECRETS,
)
def test_secrets_are_strong(target: Target, beside: Client, public_secrets: dict[str, str], evidence: Evidence) -> None:
    public = [hashlib.sha256(password.encode()).hexdigest() for password in public_secrets.values()]
    measured = call(target.host("app"), measure_secrets, public) | call(
        target.host("postgres"), measure_secrets, public
    )
    measured |= call(beside.host, measure_secrets, public)
    weak = []
    for name, secret in sorted(measured.items()):
        evidence(
            f"{name}: {secret['length']} characters, {secret['distinct']} different,"
            f" entropy about {secret['bits']} bits"
        )
        if secret["public"] or secret["length"] < MINIMUM_LENGTH or secret["bits"] < MINIMUM_BITS or secret["same_as"]:
            weak.append(name)
    if weak and target.development:
        deviates(f"{len(weak)} of {len(measured)} are too weak or known to everybody: {PUBLIC}")
    assert not weak, f"too short, not random, used twice, or public: {', '.join(weak)}"


@check("PASS-03", claim="development's public passwords open nothing", remedy=NEW_SECRETS)
def test_public_passwords_are_refused(target: Target, beside: Client, evidence: Evidence) -> None:
    roles = {
        "app": target.app_role,
        "migrator": "flaglearning_migrator",
        "readonly": "flaglearning_readonly",
        "ops": "flaglearning_ops",
        "pgbouncer": "pgbouncer",
    }
    logins = [("postgres", name, role) for name, role in roles.items()]
    logins += [("pgbouncer", name, roles[name]) for name in ("app", "readonly")]
    if target.app_role != REFERENCE_USER:
        logins += [(service, "app", REFERENCE_USER) for service in ("postgres", "pgbouncer")]
    attempts = {}
    for service, name, role in logins:
        database = "postgres" if name == "pgbouncer" else target.database
        door = target.door(service)
        attempts[f"{role} at {door}"] = beside.attempt(door, role, f"public_{name}_password", dbname=database)
    opened = []
    for who, answer in beside.try_all(attempts).items():
        evidence(f"{who}: {answer}")
        if answer.ok:
            opened.append(who)
    if opened and target.development:
        deviates(f"they open {len(opened)} doors here: {PUBLIC}")
    assert not opened, f"a public password was accepted: {', '.join(opened)}"


@check(
    "PASS-04",
    claim="a wrong password, or none, is refused at both doors",
    remedy="look for `trust` in pg/hba.d and pg/pgbouncer_hba.conf",
)
def test_wrong_passwords_are_refused(target: Target, beside: Client, evidence: Evidence) -> None:
    for service in ("postgres", "pgbouncer"):
        door = target.door(service)
        passwords = ("app_password", "pgbouncer_password", "none")
        attempts = {password: beside.attempt(door, target.app_role, password) for password in passwords}
        right, wrong, none = beside.try_all(attempts).values()
        evidence(f"{door}: the right password: {right}; another role's: {wrong}; none: {none}")
        assert right.ok, f"{target.app_role} can't log in at {door} at all, so a refusal proves nothing: {right}"
        assert not wrong.ok, f"{door} let {target.app_role} in with another role's password"
        assert not none.ok, f"{door} let {target.app_role} in without a password"


@check(
    "PASS-05",
    claim="no door speaks a weaker method than SCRAM-SHA-256: md5 and plaintext passwords can't be used",
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
    for service in ("postgres", "pgbouncer"):
        door = target.door(service)
        answer = beside.login(door, target.app_role, "app_password", require_auth="md5,password,none")
        evidence(f"a client that offers only md5 or plaintext at {door}: {answer}")
        assert not answer.ok, f"{door} accepted a login that was not SCRAM"
        assert "SASL" in answer.text or "SCRAM" in answer.text, f"{door} did not ask for SCRAM: {answer}"
    assert stored == "scram-sha-256", f"password_encryption is {stored}"
    weak = [
        f"{row['auth_method']} in {row['files']}"
        for row in methods
        if row["auth_method"] not in ("scram-sha-256", "reject")
        and (row["type"], row["auth_method"]) != ("local", "peer")
    ]
    assert not weak, f"weaker methods in pg_hba: {', '.join(weak)}"


@check(
    "PASS-06",
    claim="no secret is in a service's environment or command line",
    remedy="give it as a file (DATABASE_PASSWORD_FILE, DJANGO_SECRET_KEY_FILE, POSTGRES_PASSWORD_FILE); start again",
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
    for service in SERVICES:
        *leaks, count = target.host(service).run(look).stdout.split("\n")[:-1]
        found += [f"{leak} of {service}" for leak in leaks]
        evidence(f"{service}: {count} secret files, found in the environment or arguments of {len(leaks)} processes")
    assert not found, f"a secret is visible in (file, process): {'; '.join(found)}"


@check(
    "PASS-07",
    claim="on the machine, only root can reach the secret files",
    remedy="`chown -R root:root DIR && chmod 0700 DIR` for the folder that SECRETS_DIR names",
)
def test_secret_files_are_private(target: Target, evidence: Evidence) -> None:
    open_to_others = []
    for name, path in sorted(target.secret_files().items()):
        closed = first_closed(target.machine("postgres"), path)
        if closed:
            evidence(f"{name}: behind {closed}")
        else:
            evidence(f"{name}: {path} can be reached by others")
            open_to_others.append(name)
    if open_to_others and target.development:
        deviates(f"{len(open_to_others)} files are readable: {PUBLIC}")
    assert not open_to_others, f"readable by others than root: {', '.join(open_to_others)}"


def first_closed(machine: Any, path: str) -> str:
    """The folder above the file, or the file, that is root's and closed to everybody else; '' if there is none."""
    # From the root down: what lies below a closed folder can't be looked at, which is the point.
    for part in (*reversed(PurePosixPath(path).parents), PurePosixPath(path)):
        file = machine.file(str(part))
        if file.uid == 0 and file.mode & 0o077 == 0:
            return f"{part} ({file.user}, {file.mode:04o})"
    return ""
