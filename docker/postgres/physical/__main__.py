"""`physical COMMAND …`: facts as JSON on standard output, words on standard error.

Exit status: 0 done; 1 refused, failed, or a problem was found; 2 wrong usage.
"""

import argparse
import json
import os
import sys
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg2

import secret_files
from physical import copies as offhost
from physical import drill, moments, pgbackrest, recovery, schedule, server, target
from physical.errors import Refused, note

DATA = Path(os.environ["PGDATA"])
REPOSITORY = Path("/var/lib/pgbackrest")


def answer(facts: Any) -> None:
    """On standard output."""
    print(
        json.dumps(
            facts, indent=2, default=lambda value: value.isoformat() if isinstance(value, datetime) else str(value)
        )
    )


def prepare(asked: argparse.Namespace) -> int:
    """Before the server starts: a repository that can be written, with a passphrase fit for the deployment."""
    weakness = secret_files.weakness("backup_cipher", secret())
    if weakness and os.environ.get("DEPLOYMENT") != "development":
        raise Refused(
            f"the repository was not opened: the secret backup_cipher {weakness}.",
            f"{secret_files.NEW_FOLDER}; keep a copy away from this machine: without it no backup can be read",
        )
    try:
        (REPOSITORY / ".for-backups").touch()
    except OSError as error:
        raise Refused(
            f"the repository can't be written by uid {os.getuid()}.",
            "chown -R 5432:5432 the folder that BACKUP_REPOSITORY_DIR names",
            str(error),
        ) from None
    note("the repository is ready")
    return 0


def secret() -> str:
    """pgBackRest's passphrase, as it gets it."""
    try:
        return Path("/etc/pgbackrest/conf.d/backup_cipher.conf").read_text()
    except OSError as error:
        raise Refused(
            "the secret backup_cipher can't be read.", "./scripts/secrets new makes one", str(error)
        ) from None


def backup(asked: argparse.Namespace) -> int:
    """Make a backup, and write down a moment that can be restored to and compared."""
    began = time.monotonic()
    server.require_archiving()
    pgbackrest.ensure_stanza()
    moments.beat()
    pgbackrest.run(f"--type={asked.type}", "backup")
    made = pgbackrest.info()["backups"][-1]
    bad = pgbackrest.bad_files(made.label) if made.error else []
    took = round(time.monotonic() - began, 1)
    answer({**made._asdict(), "seconds": took, "bad_files": bad, "moment": None if asked.no_moment else moment()})
    return 1 if made.error else 0


def mark(asked: argparse.Namespace) -> int:
    """Write down a moment for the drill."""
    answer({"moment": moments.mark()})
    return 0


def moment() -> str | None:
    """A moment for the drill. A backup is one without it: a long VACUUM may be in the way."""
    try:
        return moments.mark()
    except Refused as refused:
        note(f"no moment for the drill was written down: {refused.what}")
        return None


def info(asked: argparse.Namespace) -> int:
    """Everything that is known: the repository's side and the server's."""
    facts: dict[str, Any] = {"at": datetime.now(UTC)}
    try:
        found = pgbackrest.info()
        facts |= {**found, "backups": [one._asdict() for one in found["backups"]]}
    except Refused as refused:
        facts |= {"backups": [], "archive": None, "state": refused.what, "why": refused.why}
    if server.is_there():
        facts["server"] = archiver()
        facts["until"] = moments.archived_until()
    facts["copy"] = offhost.facts()
    facts["from"] = facts["backups"][0]["stop"] if facts["backups"] else None
    answer(facts)
    return 0


def archiver() -> dict[str, Any]:
    """The server's side of archiving, the newest drill, how much would be lost now."""
    with server.connect() as session:
        return session.row(
            f"""SELECT current_setting('archive_mode') AS archive_mode,
                   last_archived_wal, last_archived_time, failed_count,
                   coalesce(last_failed_time > last_archived_time, last_failed_time IS NOT NULL) AS failing,
                   extract(epoch FROM now() - last_archived_time)::float AS archived_s,
                   (SELECT count(*) FROM pg_catalog.pg_ls_archive_statusdir() WHERE name LIKE '%%.ready') AS waiting,
                   (SELECT extract(epoch FROM now() - min(at))::float FROM operations.canary
                    WHERE at > now() - interval '35 days' AND {moments.SEGMENT} > {moments.ARCHIVED}) AS exposed_s,
                   (SELECT max(at) FROM operations.drill WHERE passed) AS drill_passed,
                   (SELECT max(at) FROM operations.drill) AS drill
                FROM pg_catalog.pg_stat_archiver"""  # noqa: S608
        )


def verify(asked: argparse.Namespace) -> int:
    """Read everything in the repository."""
    problems = pgbackrest.verify()
    found = pgbackrest.info()["backups"]
    problems += [f"{one.label}: {file}" for one in found if one.error for file in pgbackrest.bad_files(one.label)]
    answer({"good": not problems, "problems": problems, "backups": len(found)})
    return 1 if problems else 0


def plan(asked: argparse.Namespace) -> int:
    """Where a restore would go to."""
    answer(asdict(target.plan(DATA, to=asked.to or "", backup=asked.backup or "", timeline=asked.timeline)))
    return 0


def restore(asked: argparse.Namespace) -> int:
    """Into the stack."""
    answer(recovery.into_the_stack(target.read(json.loads(asked.plan))))
    return 0


def scratch(asked: argparse.Namespace) -> int:
    """Into this container's own volume; a server until it is stopped."""
    recovery.scratch(target.read(json.loads(asked.plan)))
    return 0


def ready(asked: argparse.Namespace) -> int:
    """Wait for the scratch instance."""
    answer(recovery.wait_for_scratch())
    return 0


def kept(asked: argparse.Namespace) -> int:
    """The data directories that a restore replaced."""
    answer(recovery.kept())
    return 0


def drop(asked: argparse.Namespace) -> int:
    """Remove one of them."""
    recovery.drop(asked.name)
    return 0


def choose(asked: argparse.Namespace) -> int:
    """A drill's moment: two lines, the plan and everything."""
    chosen = drill.choose()
    print(json.dumps(chosen["plan"]))
    print(json.dumps(chosen, default=str))
    return 0


def prove(asked: argparse.Namespace) -> int:
    """A drill's comparison; standard input: what `choose` said."""
    answer(drill.prove(json.load(sys.stdin)))
    return 0


def checksums(asked: argparse.Namespace) -> int:
    """Of the stopped scratch instance."""
    answer(drill.checksums())
    return 0


def record(asked: argparse.Namespace) -> int:
    """A drill's report, from standard input."""
    drill.record(json.load(sys.stdin))
    return 0


def night(asked: argparse.Namespace) -> int:
    """Write down that the night's dumps are made and verified."""
    with server.connect() as session:
        session.rows("INSERT INTO operations.night (at, dumps) VALUES (pg_catalog.now(), %s)", asked.dumps)
    return 0


def second(asked: argparse.Namespace) -> int:
    """Exit status 0 if there is a second repository (with that dump), 1 if not."""
    if offhost.facts() is None:
        return 1
    if asked.name:
        offhost.find(asked.name)
    return 0


def put(asked: argparse.Namespace) -> int:
    """A dump from standard input into the second repository."""
    offhost.put(asked.name)
    return 0


def get(asked: argparse.Namespace) -> int:
    """And back, to standard output."""
    offhost.get(asked.name)
    return 0


def copies(asked: argparse.Namespace) -> int:
    """The service `backup` of the backup host."""
    offhost.serve()
    return 0


def serve(asked: argparse.Namespace) -> int:
    """The service `backup`."""
    schedule.serve()
    return 0


def parser() -> argparse.ArgumentParser:
    """The commands."""
    made = argparse.ArgumentParser(
        prog="physical", description="Physical backups. People type ./scripts/ops backup and restore."
    )
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    for function in (
        prepare,
        serve,
        backup,
        mark,
        info,
        verify,
        plan,
        restore,
        scratch,
        ready,
        kept,
        drop,
        choose,
        prove,
        checksums,
        record,
        night,
        second,
        put,
        get,
        copies,
    ):
        one = commands.add_parser(function.__name__, help=(function.__doc__ or "").partition("\n")[0])
        one.set_defaults(function=function)
        if function is backup:
            one.add_argument("--type", choices=("full", "incr"), default="incr")
            one.add_argument("--no-moment", action="store_true")
        if function is plan:
            which = one.add_mutually_exclusive_group(required=True)
            which.add_argument("--to")
            which.add_argument("--latest", action="store_true")
            which.add_argument("--backup")
            one.add_argument("--timeline", type=int)
        if function in (restore, scratch):
            one.add_argument("plan")
        if function is night:
            one.add_argument("dumps", nargs="+")
        if function in (drop, put, get):
            one.add_argument("name")
        if function is second:
            one.add_argument("name", nargs="?")
    return made


def main() -> int:
    """Run a command; its exit status."""
    asked = parser().parse_args()
    try:
        status: int = asked.function(asked)
        return status
    except Refused as refused:
        refused.show()
    except psycopg2.Error as error:
        said = " ".join(str(error).split())
        Refused("the server said no.", "./scripts/ops setup apply; ./scripts/ops doctor", said).show()
    return 1


if __name__ == "__main__":
    sys.exit(main())
