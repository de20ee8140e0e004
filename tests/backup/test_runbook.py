"""docs/runbooks/restore.md, run line by line: each section's own damage, then its commands in their order."""

import contextlib
import re
import shlex
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta, timezone
from zoneinfo import ZoneInfo

from backup.repository import PATH, Repository
from ops import cli
from support.ops import Result
from support.proxy import Proxy
from testing.shell import ROOT, eventually, run
from testing.stack import Stack

PAGE = (ROOT / "docs/runbooks/restore.md").read_text()
EXAMPLE_TIME = "2026-11-23 14:05:30"


def commands(section: str) -> list[str]:
    """The section's indented lines."""
    text = re.split(rf"^## {section}$", PAGE, flags=re.MULTILINE)[1].split("\n## ")[0]
    found = re.findall(r"^ {4,}(\S.*)$", text, re.MULTILINE)
    return [line for line in found if line.startswith(("./scripts", "docker", "REPOSITORY="))]


def confirmed(words: list[str]) -> list[str]:
    """With --yes, if the command would ask."""
    cli.load_commands()
    command = words[words.index("./scripts/ops") + 1 :] if "./scripts/ops" in words else []
    for name, declared in cli.REGISTRY.items():
        if command[: len(declared.words)] == name.split():
            return [*words, "--yes"] if cli.YES in declared.options else words
    return words


def follow(
    repository: Repository,
    section: str,
    replaced: dict[str, str] | None = None,
    before: tuple[str, Callable[[], None]] | None = None,
) -> list[Result]:
    """Run them, with the page's examples replaced. `before` a line with these words something is looked at."""
    results = []
    looked = before is None
    for line in commands(section):
        if before and before[0] in line:
            before[1]()
            looked = True
        words = [(replaced or {}).get(word, word) for word in shlex.split(line)]
        done = repository.stack.command(*confirmed(words), check=False)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        results.append(Result(done.returncode, done.stdout, done.stderr))
    assert looked, f"no line of {section} has {before}"
    return results


def to(at: datetime) -> dict[str, str]:
    return {EXAMPLE_TIME: at.isoformat()}


def test_the_first_look(repository: Repository) -> None:
    for line in re.findall(r"^ {4}(\./scripts.*)$", PAGE.partition("## A table")[0], re.MULTILINE):
        assert repository.ops(*shlex.split(line)[1:]).status == 0


GOOD = "SELECT md5(string_agg(c::text, '' ORDER BY id)) FROM flags_country AS c"
TIMELINE = "SELECT timeline_id FROM pg_control_checkpoint()"
REFERRING = "SELECT count(*) FROM pg_constraint WHERE confrelid = 'flags_country'::regclass"


def test_a_table(repository: Repository, stack: Stack) -> None:
    """Its rows are changed. The sandbox instance of the second step is looked at before it is dropped."""
    good = repository.sql(GOOD)
    at = repository.write("before-the-damage")
    repository.sql("UPDATE flags_country SET name = 'lost ' || code")
    repository.write("since-then")

    def beside_the_stack() -> None:
        seen = repository.ops("sandbox", "psql", "-XAtc", "SELECT word FROM probe ORDER BY id").lines
        assert seen[-1] == "before-the-damage"
        assert repository.words()[-1] == "since-then"
        # it can't harm the repository, and archives nothing
        written = run("docker", "exec", f"{stack.project}-sandbox", "touch", f"{PATH}/probe", check=False)
        assert "Read-only file system" in written.stderr
        assert repository.ops("sandbox", "psql", "-XAtc", "SHOW archive_mode").out.strip() == "off"

    follow(repository, "A table", to(at), before=("sandbox drop", beside_the_stack))
    assert repository.sql(GOOD) == good
    assert repository.words()[-1] == "since-then", "other tables keep what was written since"
    assert repository.postgres.value("app", "SELECT count(*) > 100 FROM flags_country"), "the application may read it"
    assert no_sandbox(stack)


def test_a_table_that_was_dropped(repository: Repository, stack: Stack) -> None:
    """The line of the third step creates it again, with the foreign keys of other tables."""
    referring, good = repository.sql(REFERRING), repository.sql(GOOD)
    at = repository.write("before-the-damage")
    repository.sql("DROP TABLE flags_country CASCADE")
    repository.write("since-then")
    [line] = [line for line in commands("A table") if "--table" in line]
    words = [to(at).get(word, word) for word in shlex.split(line)]
    restored = stack.command(*confirmed(words), check=False)
    assert restored.returncode == 0, restored.stdout + restored.stderr
    assert repository.sql(GOOD) == good
    assert repository.sql(REFERRING) == referring
    assert repository.words()[-1] == "since-then", "other tables keep what was written since"
    assert repository.postgres.value("app", "SELECT count(*) > 100 FROM flags_country"), "the application may read it"
    assert no_sandbox(stack)


def no_sandbox(stack: Stack) -> bool:
    """Neither its container nor its volume is left."""
    containers = run("docker", "ps", "--all", "--quiet", "--filter", f"name={stack.project}-sandbox").stdout
    volumes = run("docker", "volume", "ls", "--quiet", "--filter", f"name={stack.project}_sandbox-data").stdout
    return not containers + volumes


def test_from_a_dump(repository: Repository) -> None:
    """One table out of a full dump, also one that was dropped."""
    made = repository.ops("dump", "full", "--json")
    assert made.status == 0, made.err
    before = repository.sql("SELECT count(*) FROM flags_country")
    repository.sql("DROP TABLE flags_country CASCADE")
    follow(repository, "From a dump", {"NAME": made.json["name"]})
    assert repository.sql("SELECT count(*) FROM flags_country") == before
    repository.sql("DROP DATABASE flaglearning_look WITH (FORCE)", database="postgres")


def test_the_database(repository: Repository, proxy: Proxy) -> None:
    """Twice: the second time along the history that the first began; before the first, the newest backup is of the
    history that it abandons. The time is typed with an offset, then with the name of a zone without summer time, where
    no local time happens twice: the rows are exactly those of that instant."""
    with_offset = point_in_time(repository, lambda at: at.astimezone(timezone(timedelta(hours=2))).isoformat())
    with with_offset as typed:
        repository.sql("TRUNCATE flags_country CASCADE")
        abandoned = repository.ops("backup", "create", "--type", "full")  # from now on it is no way to anything
        assert abandoned.status == 0, abandoned.err
        follow(repository, "The database", {EXAMPLE_TIME: typed})
    assert int(repository.sql("SELECT count(*) FROM flags_country")) > 100
    assert "restoring" not in repository.shell("ls /var/lib/postgresql/17"), "what a killed restore had left is gone"
    zone = ZoneInfo("Asia/Kolkata")
    with point_in_time(repository, lambda at: f"{at.astimezone(zone):%Y-%m-%d %H:%M:%S.%f} Asia/Kolkata") as typed:
        restored = repository.ops("restore", "backup", "--to", typed, "--yes")
        assert restored.status == 0, restored.err
        assert re.search(r" UTC \([^)]+ Asia/Kolkata\)", restored.err), "it is shown in UTC and as it was typed"
    eventually(lambda: proxy.get("/readyz").status_code == 200, within=30)


@contextlib.contextmanager
def point_in_time(repository: Repository, typed: Callable[[datetime], str]) -> Iterator[str]:
    """A time, as it is typed. The block restores it: the rows that were written before are there, and no later ones."""
    repository.write("before")
    at = repository.write("good")
    there = repository.words()
    repository.write("too-late")
    repository.sql("DROP TABLE probe")
    timeline = int(repository.sql(TIMELINE))
    yield typed(at)
    assert repository.words() == there
    assert int(repository.sql(TIMELINE)) > timeline


def test_what_was_replaced_is_retained_until_it_is_dropped(repository: Repository) -> None:
    retained = [row["name"] for row in repository.ops("retained", "list", "--json").json]
    assert len(retained) >= 2
    for name in retained:
        assert re.fullmatch(r"data\.before-\d{8}t\d{6}", name)
        dropped = repository.ops("retained", "drop", name, "--yes")
        assert dropped.status == 0, dropped.err
    assert repository.ops("retained", "list", "--json").json == []
    assert repository.ops("retained", "drop", "data", "--yes").status == 4


def test_the_host(repository: Repository, stack: Stack) -> None:
    """Another machine, so far as its data directory is empty and its services are stopped; the repository is there."""
    repository.write("the-last-minute")
    assert repository.ops("backup", "info").status == 0
    stack.compose("stop", "proxy", "app", "pgbouncer", "postgres")  # a fast shutdown archives what it wrote
    shell = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "restore", "-ec")
    stack.compose(*shell, "rm -rf /var/lib/postgresql/17/*")
    follow(repository, "The host")
    assert repository.words()[-1] == "the-last-minute"
