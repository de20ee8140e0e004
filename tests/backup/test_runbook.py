"""docs/runbooks/restore.md, run line by line: each section's own damage, then its commands in their order."""

import re
import shlex
from collections.abc import Callable
from datetime import datetime

from backup.repository import PATH, Repository
from ops import cli
from support.ops import Result
from testing.shell import ROOT, run
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


def test_the_database(repository: Repository) -> None:
    at = repository.write("good")
    repository.sql("TRUNCATE flags_country CASCADE; DROP TABLE probe")
    follow(repository, "The database", to(at))
    assert repository.words()[-1] == "good"
    assert int(repository.sql("SELECT count(*) FROM flags_country")) > 100


def test_the_host(repository: Repository, stack: Stack) -> None:
    """Another machine, so far as its data directory is empty and its services are stopped; the repository is there."""
    repository.write("the-last-minute")
    assert repository.ops("backup", "info").status == 0
    stack.compose("stop", "proxy", "app", "pgbouncer", "postgres")  # a fast shutdown archives what it wrote
    shell = ("run", "--rm", "--no-deps", "-T", "--entrypoint", "sh", "restore", "-ec")
    stack.compose(*shell, "rm -rf /var/lib/postgresql/17/*")
    follow(repository, "The host")
    assert repository.words()[-1] == "the-last-minute"
