"""The backup host, a project beside the stack: what it receives, which host it admits, its outage, restores from it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from backup.repository import PATH, Repository
from backup.test_faults import archiving, checklist
from backup.test_runbook import commands, follow
from support.fixtures import KEEP, own_stack
from support.postgres import Postgres
from testing.shell import ROOT, eventually, run
from testing.stack import ARTIFACTS, DEVELOPMENT, PROJECT, TAG, Stack

THERE = f"{PATH}/offhost"
SECRETS = ARTIFACTS / f"{PROJECT}-offhost"
# What the role pki does on hosts: a certificate for each side, by one CA; another host of the same CA.
CERTIFICATES = """
    cd /tmp; new() { openssl req "$@" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc 2>/dev/null; }
    new -x509 -subj /CN=ca -addext keyUsage=critical,keyCertSign -keyout ca.key -out ca.crt
    for name in database-host backup-host stranger; do
        folder=/secrets/tls/$name; mkdir -p $folder
        new -new -subj /CN=$name -keyout $folder/tls.key -out csr
        printf "%s\\n" subjectAltName=DNS:$name authorityKeyIdentifier=keyid extendedKeyUsage=serverAuth,clientAuth >ext
        openssl x509 -req -in csr -CA ca.crt -CAkey ca.key -days 30 -extfile ext -out $folder/tls.crt 2>/dev/null
        cp ca.crt $folder; chmod 0600 $folder/tls.key; chown -R 5432:5432 $folder
    done
    cd /secrets/tls/database-host; chown -R 0:5432 .; chmod 0750 .; chmod 0640 tls.key; cd /tmp
    mkdir -p /secrets/tls/unknown; cp ca.crt /secrets/tls/unknown
    new -x509 -subj /CN=database-host -keyout /secrets/tls/unknown/tls.key -out /secrets/tls/unknown/tls.crt
    chown -R 5432:5432 /secrets/tls/unknown"""


def in_secrets(script: str) -> None:
    """As root: keys belong to the user id that reads them."""
    volume = ("--volume", f"{SECRETS}:/secrets", "--user", "0", "--network", "none", "--entrypoint", "bash")
    run("docker", "run", "--rm", *volume, f"flaglearning/postgres:{TAG}", "-ec", script)


def make_secrets() -> None:
    SECRETS.mkdir(parents=True, exist_ok=True)
    for file in (ROOT / "docker/secrets.dev").iterdir():
        (SECRETS / file.name).write_text(file.read_text())
    passphrase = (ROOT / "docker/secrets.dev/backup_cipher").read_text().rpartition("repo1-cipher-pass=")[2]
    (SECRETS / "backup_cipher_offhost").write_text(f"[global]\nrepo2-cipher-pass={passphrase}")
    in_secrets("rm -rf /secrets/tls" + CERTIFICATES)
    in_secrets("rm -rf /secrets/disk; install -d -o 5432 -g 5432 -m 0700 /secrets/disk/repository-2")


HERE = {"SECRETS_DIR": str(SECRETS), "BACKUP_HOST_ADDRESS": "127.0.0.1", "DATABASE_HOST_ADDRESS": "127.0.0.1"}


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The database host's side."""
    for_tests = ("tests/docker-compose.host-repository-2.yml", "tests/docker-compose.backup.yml")
    files = (*DEVELOPMENT, "docker/compose/host-repository-2.yml", *for_tests)
    own = {"COMPOSE_PROFILES": "backup", "BACKUP_AT": "off", "ARCHIVING": "on", **HERE}
    if not KEEP or not (SECRETS / "tls").exists():
        make_secrets()
    with own_stack("offhost", files, port=21090, build=(), **own) as stack:
        yield stack
    if not KEEP:
        in_secrets("rm -rf /secrets/*")


@pytest.fixture(scope="module")
def postgres(stack: Stack) -> Postgres:
    return Postgres(stack)


@pytest.fixture(scope="module")
def host(stack: Stack) -> Iterator[Stack]:
    """The backup host."""
    files = ("docker/compose/host-backup.yml", "tests/docker-compose.host-backup.yml")
    repository = str(SECRETS / "disk/repository-2")
    own: dict[str, Any] = {"DATABASE_PROJECT": stack.project, "BACKUP_REPOSITORY_DIR": repository, **HERE}
    with own_stack("offhost-host", files, **own) as host:
        yield host


@pytest.fixture(scope="module")
def repository(stack: Stack, host: Stack, postgres: Postgres) -> Repository:
    """With a backup in each, the second's made by its own host."""
    repository = Repository(stack, postgres)
    repository.sql("SET ROLE flaglearning_owner; CREATE TABLE IF NOT EXISTS probe (id serial PRIMARY KEY, word text)")
    made = repository.ops("backup", "create", "--type", "full")
    assert made.status == 0, made.err
    eventually(lambda: copy(repository)["backups"] != [], within=120, every=2)
    return repository


def copy(repository: Repository) -> dict[str, Any]:
    """What the second repository holds."""
    found: dict[str, Any] = repository.ops("backup", "info", "--json").json["copy"]
    return found


def there(host: Stack, segment: str) -> bool:
    return bool(
        host.exec("pgbackrest-server", "find", f"{THERE}/archive", "-name", f"*{segment[8:]}-*", "!", "-name", "*.tmp")
    )


# ------------------------------------------------------------ what gets there


def test_the_write_ahead_log_goes_to_both(repository: Repository, host: Stack) -> None:
    repository.write("in-both")
    segment = repository.switch()
    eventually(lambda: there(host, segment), within=60)
    eventually(lambda: repository.archived(segment), within=60)


def test_the_backup_host_makes_its_backup_by_itself(repository: Repository, host: Stack) -> None:
    [first, *_] = copy(repository)["backups"]
    assert first["type"] == "full", "its own host made it"
    assert first["label"] not in repository.labels()


# ------------------------------------------------------------ which client is admitted


@pytest.mark.parametrize(
    ("certificate", "said"),
    [
        ("stranger", "access denied"),
        ("backup-host", "access denied"),
        ("unknown", "alert unknown ca"),
        ("database-host", "archive"),
    ],
)
def test_the_repository_admits_only_the_database_host(
    repository: Repository, stack: Stack, certificate: str, said: str
) -> None:
    """Not another host with a certificate of the same CA, not itself, and no certificate of another CA."""
    options = ["--repo2-host=backup-host", "--repo2-host-type=tls", "--repo2-host-ca-file=/tls/stranger/ca.crt"]
    answer = as_client(
        stack, "--repo=2", *options, f"--repo2-path={THERE}", *certificate_of(certificate, "repo2"), "repo-ls"
    )
    assert said in answer


# pgBackRest's own client insists on a certificate. So it talks to this, which passes everything on and shows none, or
# the one that it is given.
RELAY = """
import os, socket, ssl, subprocess, sys, threading
def pump(source, target):
    while data := source.recv(65536):
        target.sendall(data)
    target.shutdown(socket.SHUT_RDWR)
own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
own.load_cert_chain('/tls/stranger/tls.crt', '/tls/stranger/tls.key')
other = ssl.create_default_context(cafile='/tls/stranger/ca.crt')
if sys.argv[1]:
    other.load_cert_chain(f'/tls/{sys.argv[1]}/tls.crt', f'/tls/{sys.argv[1]}/tls.key')
listening = socket.create_server(('127.0.0.1', 8432))
asking = subprocess.Popen(sys.argv[2:])
inner = own.wrap_socket(listening.accept()[0], server_side=True)
outer = other.wrap_socket(socket.create_connection(('backup-host', 8432)), server_hostname='backup-host')
for pair in ((inner, outer), (outer, inner)):
    threading.Thread(target=pump, args=pair, daemon=True).start()
os._exit(asking.wait())
"""


@pytest.mark.parametrize(("certificate", "said"), [("", "TLS error"), ("database-host", "archive")])
def test_a_client_without_a_certificate_is_refused(
    repository: Repository, stack: Stack, certificate: str, said: str
) -> None:
    options = ["--repo2-host=stranger", "--repo2-host-type=tls", "--repo2-host-ca-file=/tls/stranger/ca.crt"]
    plain = ["--no-config", "--stanza=flaglearning", "--io-timeout=5", "--log-level-file=off", "--repo=2", *options]
    asking = ["pgbackrest", *plain, f"--repo2-path={THERE}", *certificate_of("stranger", "repo2"), "repo-ls"]
    assert said in on_the_network(stack, "python3", "-c", RELAY, certificate, *asking)


@pytest.mark.parametrize(
    ("certificate", "let_in"), [("stranger", False), ("database-host", False), ("backup-host", True)]
)
def test_the_database_host_admits_only_the_backup_host(
    repository: Repository, stack: Stack, certificate: str, let_in: bool
) -> None:
    """A backup made from anywhere else would be a copy of everything."""
    options = ["--pg1-host=database-host", "--pg1-host-type=tls", "--pg1-host-ca-file=/tls/stranger/ca.crt"]
    options += certificate_of(certificate, "pg1")
    options += ["--repo1-path=/tmp/repository", "--pg1-path=/var/lib/postgresql/17/data"]
    answer = as_client(stack, *options, "--pg1-socket-path=/run/postgresql", "stanza-create")
    assert ("access denied" in answer) != let_in, answer


# ------------------------------------------------------------ what a hostile backup host can do on the database host

DATABASE_HOST = ["--pg1-host=database-host", "--pg1-host-type=tls", "--pg1-host-ca-file=/tls/stranger/ca.crt"]
DATABASE_HOST += ["--pg1-path=/var/lib/postgresql/17/data", "--pg1-socket-path=/run/postgresql"]


def test_what_the_backup_host_sends_runs_as_one_role(repository: Repository, stack: Stack) -> None:
    """The options of a session are the backup host's to choose. The server's user id is not."""
    roles = repository.sql("SELECT rolname FROM pg_roles WHERE rolcanlogin").split()
    options = [*DATABASE_HOST, *certificate_of("backup-host", "pg1"), "--repo1-path=/tmp/repository"]
    said = {role: as_client(stack, *options, f"--pg1-user={role}", "stanza-create") for role in roles}
    assert 'Peer authentication failed for user "postgres"' in said["postgres"]
    assert [role for role, answer in said.items() if "FATAL: " not in answer] == ["flaglearning_backup"], said
    assert said["flaglearning_backup"] == "", "and that one works"


@pytest.mark.parametrize(
    ("command", "folder", "name", "said"),
    [
        ("repo-put", "/var/lib/postgresql/17/data", "planted", "Read-only file system"),
        ("repo-put", "/run/postgresql", "planted", "Read-only file system"),
        ("repo-put", "/etc/pgbackrest/server", "planted", "Read-only file system"),
        ("repo-get", "/etc/pgbackrest/conf.d", "backup_cipher.conf", "missing file"),
        ("repo-get", "/etc/pgbackrest/conf.d", "backup_cipher_offhost.conf", "missing file"),
        ("repo-ls", "/var/lib/pgbackrest", "", "Permission denied"),
        ("repo-get", "/var/lib/postgresql/17/data", "PG_VERSION", "17"),
    ],
)
def test_the_backup_host_writes_nothing_and_finds_no_passphrase(
    repository: Repository, stack: Stack, command: str, folder: str, name: str, said: str
) -> None:
    """pgBackRest's protocol reads and writes what its server can: as if a folder of that host were a repository."""
    options = ["--repo1-host=database-host", "--repo1-host-type=tls", "--repo1-host-ca-file=/tls/stranger/ca.crt"]
    options += [*certificate_of("backup-host", "repo1"), f"--repo1-path={folder}"]
    assert said in as_client(stack, *options, command, *filter(None, [name]))


def certificate_of(name: str, group: str) -> list[str]:
    """The options for it."""
    return [f"--{group}-host-cert-file=/tls/{name}/tls.crt", f"--{group}-host-key-file=/tls/{name}/tls.key"]


def as_client(stack: Stack, *arguments: str) -> str:
    """pgBackRest in a container on the hosts' network, with no settings but the arguments; what it says."""
    plain = ("--no-config", "--stanza=flaglearning", "--io-timeout=5", "--log-level-file=off")
    return on_the_network(stack, "pgbackrest", *plain, *arguments)


def on_the_network(stack: Stack, *command: str) -> str:
    """A program in the container of the fixture `client`; what it says."""
    done = run("docker", "exec", f"{stack.project}-client", *command, check=False)
    return str(done.stdout + done.stderr)


@pytest.fixture(scope="module", autouse=True)
def client(stack: Stack) -> Iterator[None]:
    """A container of our image on the hosts' network, with every certificate."""
    name = f"{stack.project}-client"
    machine = ("--network", f"{stack.project}_repository-2", "--volume", f"{SECRETS}/tls:/tls:ro")
    own = ("--env", "PGBACKREST_LOCK_PATH=/tmp/lock", "--add-host", "stranger:127.0.0.1", "--init")
    labels = ("--name", name, "--label", f"flaglearning-test={stack.project}")
    run("docker", "rm", "--force", name, check=False)
    image = f"flaglearning/postgres:{TAG}"
    run("docker", "run", "--rm", "--detach", *labels, *machine, *own, "--entrypoint", "sleep", image, "infinity")
    yield
    run("docker", "rm", "--force", name)


# ------------------------------------------------------------ what a hostile database host can do on the backup host

# A foothold in the postgres container: pgBackRest's own client, the certificate, the address.
ATTACK = """
    ask() { pgbackrest --stanza=flaglearning --repo=2 "$@"; }
    for file in $(ask repo-ls --recurse backup); do
        case $file in *backup.info* | *.manifest* | *bundle/*) echo damaged | ask repo-put backup/$file ;; esac
    done
    for file in $(ask repo-ls --recurse archive | grep info); do echo damaged | ask repo-put archive/$file; done"""


def on_the_backup_host(host: Stack, line: str) -> str:
    """A line of the runbook, typed there as root: in a container that has that host's disk and the scripts."""
    if line.startswith("docker compose"):
        return host.compose(*line.split()[2:], check=False)
    disk = ("--volume", f"{SECRETS}/disk:/disk", "--volume", f"{ROOT}/scripts:/scripts:ro", "--network", "none")
    settings = {
        "BACKUP_REPOSITORY_DIR": "/disk/repository-2",
        "SNAPSHOTS_DIR": "/disk/snapshots",
        "SNAPSHOT_DAYS": "14",
    }
    given = [word for name, value in settings.items() for word in ("--env", f"{name}={value}")]
    typed = ("--entrypoint", f"/{line.split()[0][2:]}", f"flaglearning/postgres:{TAG}", *line.split()[1:])
    done = run("docker", "run", "--rm", "--user", "0", *disk, *given, *typed, check=False)
    return f"{done.stdout}{done.stderr}"


def test_the_database_host_destroys_repository_2_and_a_snapshot_brings_it_back(
    repository: Repository, host: Stack, stack: Stack
) -> None:
    labels = [backup["label"] for backup in copy(repository)["backups"]]
    taken = on_the_backup_host(host, "./scripts/snapshots take")
    assert " files" in taken, taken
    name = taken.split(":")[0]
    stack.exec("postgres", "bash", "-ec", ATTACK)
    assert copy(repository)["state"] != "ok", "the attack works: pgBackRest's protocol writes"

    # with the user id of its server there, too: more than the protocol gives
    writable = "find /var/lib/pgbackrest -type f -links +1 -exec sh -c 'echo >>$0' {} ';' 2>&1; ls /var/lib /disk 2>&1"
    said = host.exec("pgbackrest-server", "sh", "-c", writable, check=False)
    assert "Permission denied" in said
    assert "snapshots" not in said, "the folder is in no container"
    alarm = on_the_backup_host(host, "./scripts/snapshots take")
    assert "ERROR: the repository was changed as pgBackRest never does" in alarm
    assert "backup.manifest was replaced" in alarm

    lines = [line.replace("20261130T003000Z", name) for line in commands("Repository 2, from a snapshot")]
    said = "".join(on_the_backup_host(host, line) for line in lines)
    assert f"is the snapshot {name}" in said, said
    found = copy(repository)
    assert [backup["label"] for backup in found["backups"]][: len(labels)] == labels
    assert len(found["backups"]) > len(labels), "the last line made another"
    assert found["state"] == "ok"
    assert "ERROR" not in said, said
    segment = repository.switch()
    eventually(lambda: there(host, segment), within=60)
    assert repository.ops("backup", "verify", REPOSITORY="2").status == 0


# ------------------------------------------------------------ when it is away


def test_while_the_backup_host_is_away_the_game_goes_on_and_it_is_said(
    repository: Repository, host: Stack, stack: Stack, tmp_path: Path
) -> None:
    host.stop("pgbackrest-server")
    try:
        at = repository.write("while-it-is-away")
        segment = repository.switch()
        eventually(lambda: repository.archived(segment), within=60)  # the repository here has it all the same
        eventually(lambda: repository.ops("backup", "info").status == 1, within=60)
        link = archiving(repository)
        assert link["status"] == "failed"
        assert "repository 2" in link["detail"]
        assert checklist(stack, tmp_path)["BACK-04"] == "fail"
        repository.write("still")
        # a restore to now needs this host alone
        planned = stack.compose("run", "--rm", "--no-deps", "-T", "backup", "plan", json.dumps({"to": at.isoformat()}))
        assert json.loads(planned)["type"] == "time"
    finally:
        host.start("pgbackrest-server")
    eventually(lambda: there(host, segment), within=120, every=2)  # the gap closes by itself
    eventually(lambda: repository.ops("backup", "info").status == 0, within=120)
    assert archiving(repository)["status"] == "ok"
    assert checklist(stack, tmp_path)["BACK-04"] == "pass"


# ------------------------------------------------------------ restores


def test_a_drill_of_what_is_there(repository: Repository) -> None:
    done = repository.ops("backup", "drill", "--json", REPOSITORY="2")
    assert done.status == 0, done.err
    assert (done.json["passed"], done.json["repository"]) == (True, 2)
    assert done.json["backup"] in [backup["label"] for backup in copy(repository)["backups"]]
    assert " in repository 2 was restored to " in repository.ops("backup", "report").out


def test_the_database_host_is_lost(repository: Repository, stack: Stack) -> None:
    """A new one: an empty database, a repository with backups of that. Then everything from the backup host."""
    another_timeline(repository, stack)
    repository.write("the-last-minute")
    repository.sql("SELECT pg_switch_wal()")
    there = ("postgres", "backup", "pgbackrest-server")
    stack.compose("stop", *there)  # a fast shutdown archives what it wrote
    shell = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "restore", "-ec")
    stack.compose(*shell, f"rm -rf /var/lib/postgresql/17/* {PATH}/*")
    stack.up(*there)
    assert repository.ops("backup", "create", "--type", "full").status == 0, "the new host works, for itself"
    info = repository.ops("backup", "info")
    assert info.status == 1, "and what it writes does not get into the backup host's repository"
    assert "repository 2 belongs to another cluster" in info.err
    wrong = repository.ops("restore", "backup", "--latest", "--dry-run", REPOSITORY="3")
    assert wrong.status == 1
    of_the_empty_one = repository.labels()
    follow(repository, "The host, from the backup host")
    assert repository.words()[-1] == "the-last-minute"
    # both repositories are this database's again, and nothing of the new host's empty one is offered
    assert len(repository.labels()) == 1
    assert not set(of_the_empty_one) & set(repository.labels())
    eventually(lambda: repository.ops("backup", "info").status == 0, within=120)
    assert archiving(repository)["status"] == "ok"
    segment = repository.switch()
    eventually(lambda: repository.archived(segment), within=60)


def another_timeline(repository: Repository, stack: Stack) -> None:
    """As after a restore, without its cost: the way from the backup there has to be found without the old server."""
    before = repository.sql("SELECT timeline_id FROM pg_control_checkpoint()")
    repository.sql("ALTER SYSTEM SET restore_command = 'false'", database="postgres")
    # and as a version that did not let the group read the data directory left it: the start changes that
    repository.shell("touch $PGDATA/recovery.signal; chmod -R go= /var/lib/postgresql/17")
    stack.compose("restart", "postgres")
    eventually(lambda: repository.sql("SELECT pg_is_in_recovery()") == "f", within=60)
    repository.sql("ALTER SYSTEM RESET restore_command", database="postgres")
    repository.sql("CHECKPOINT")
    assert repository.shell("find /var/lib/postgresql/17 ! -perm -g=r") == ""
    assert repository.sql("SELECT timeline_id FROM pg_control_checkpoint()") > before


# ------------------------------------------------------------ without one


def test_without_a_second_repository_the_checklist_says_so(stack: Stack, repository: Repository) -> None:
    asked = stack.exec("postgres", "sh", "-c", "pgbackrest --repo=3 info; echo status=$?", check=False)
    assert "status=32" in asked, "what BACK-04 goes by where there is one repository"
