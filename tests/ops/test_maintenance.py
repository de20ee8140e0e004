"""VACUUM, ANALYZE, REINDEX."""
# ruff: noqa: S608 - the names pasted into SQL are the tests' own

import signal
import threading
from collections.abc import Iterator

import psycopg
import pytest

from support.ops import Ops
from support.postgres import Postgres
from testing.shell import eventually


@pytest.fixture
def table(postgres: Postgres) -> Iterator[str]:
    """A table with two indexes and some dead rows."""
    with postgres.connect("migrator") as owner:
        owner.execute("DROP TABLE IF EXISTS worn")
        owner.execute("CREATE TABLE worn (id bigint PRIMARY KEY, word text)")
        owner.execute("INSERT INTO worn SELECT n, repeat('x', 100) FROM generate_series(1, 20000) n")
        owner.execute("CREATE INDEX worn_word ON worn (word)")
        owner.execute("DELETE FROM worn WHERE id > 1000")
    yield "worn"
    with postgres.connect("migrator") as owner:
        owner.execute("DROP TABLE worn")


def invalidate(postgres: Postgres, index: str) -> None:
    """As an interrupted REINDEX CONCURRENTLY leaves it."""
    set_invalid = f"UPDATE pg_index SET indisvalid = false WHERE indexrelid = '{index}'::regclass"
    postgres.superuser(set_invalid, database=postgres.stack.database)


def indexes(ops: Ops, table: str) -> set[str]:
    return {row["name"] for row in ops("indexes", table, "--json").json}


@pytest.mark.parametrize("command", ["vacuum-analyze", "analyze"])
def test_one_table_or_all(ops: Ops, table: str, command: str) -> None:
    assert "public.worn: done" in ops(command, table).out
    result = ops(command)
    assert "of the whole database: done" in result.out
    assert "permission denied" not in result.err


def test_a_view_stores_nothing_to_vacuum(ops: Ops) -> None:
    assert ops("vacuum-analyze", "pg_stat_statements").status == 2


def test_vacuum_full_names_its_lock_and_asks(ops: Ops, table: str) -> None:
    assert "queries of it wait" in ops("vacuum-full", table, "--dry-run").out
    assert ops("vacuum-full", table).status == 2
    result = ops("vacuum-full", table, "--yes")
    assert "freed:" in result.out
    assert ops("sizes", "--json").status == 0


def test_vacuum_full_doesnt_queue_up_behind_a_reader(ops: Ops, table: str, owner: psycopg.Connection) -> None:
    with owner.transaction():
        owner.execute("SELECT FROM worn LIMIT 1")
        result = ops("vacuum-full", table, "--yes")
    assert result.status == 1
    assert "./scripts/ops blocking" in result.err


@pytest.mark.parametrize("name", ["worn", "worn_word"])
def test_reindex_keeps_names_and_validity(ops: Ops, table: str, name: str) -> None:
    before = indexes(ops, table)
    assert "CONCURRENTLY" in ops("reindex", name).out
    assert indexes(ops, table) == before
    assert all(row["valid"] for row in ops("indexes", table, "--json").json)


def test_leftovers_are_dropped_what_looks_like_them_is_not(
    ops: Ops, postgres: Postgres, owner: psycopg.Connection, table: str
) -> None:
    for name in ("worn_word_ccnew", "worn_word_ccold1", "worn_by_hand_ccnew", "worn_half"):
        owner.execute(f"CREATE INDEX {name} ON worn (word, id)".encode())
        if name != "worn_by_hand_ccnew":  # a valid index of such a name
            invalidate(postgres, name)
    dry = ops("reindex", "--clean", "--dry-run")
    assert "worn_word_ccnew" in dry.out
    assert ops("reindex", "--clean").status == 2  # without a terminal and --yes
    assert len(indexes(ops, table)) == 6
    result = ops("reindex", "--clean", "--yes")
    assert result.status == 0, result.err
    assert indexes(ops, table) == {"worn_pkey", "worn_word", "worn_by_hand_ccnew", "worn_half"}
    assert "worn_half is invalid" in result.err


def test_an_interrupted_reindex_cleans_up_after_itself(
    ops: Ops, owner: psycopg.Connection, postgres: Postgres, table: str
) -> None:
    results = []
    with owner.transaction():
        owner.execute("UPDATE worn SET word = 'held' WHERE id = 1")
        reindex = threading.Thread(target=lambda: results.append(ops("reindex", table, "--yes")))
        reindex.start()
        backend = "SELECT pid FROM pg_stat_activity WHERE query LIKE 'REINDEX%' AND wait_event_type = 'Lock'"
        pid = eventually(lambda: postgres.value("ops", backend), within=15)
        assert ops("cancel", str(pid), "--yes").status == 0
        # it waits for us before it can drop what is half built
    reindex.join(30)
    assert results[0].status == 1
    assert "canceling statement" in results[0].err
    assert indexes(ops, table) == {"worn_pkey", "worn_word"}
    leftovers = ops("reindex", "--clean", "--dry-run")
    for line in leftovers.err.splitlines():  # of the TOAST table: the superuser's
        if line.startswith("docker compose exec"):
            postgres.superuser(line.split("'")[1], database=postgres.stack.database)
    assert "no interrupted REINDEX left an index" in ops("reindex", "--clean").err


def test_an_interrupted_command_cancels_its_statement(
    ops: Ops, owner: psycopg.Connection, postgres: Postgres, table: str
) -> None:
    """Ctrl-C on the host: docker exec does not pass signals on."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'VACUUM (FULL%' AND state = 'active'"
    with owner.transaction():
        owner.execute("SELECT FROM worn LIMIT 1")
        process = ops.start_script("vacuum-full", table, "--yes")
        eventually(lambda: postgres.value("ops", waiting) == 1, within=15)
        process.send_signal(signal.SIGINT)
        process.wait(20)
        assert process.returncode == 130
        eventually(lambda: postgres.value("ops", waiting) == 0, within=4)


def test_reindex_takes_a_name_or_clean(ops: Ops) -> None:
    assert ops("reindex").status == 2
    assert ops("reindex", "flags_country", "--clean").status == 2


def test_expired_login_sessions_are_deleted_and_others_stay(ops: Ops, postgres: Postgres) -> None:
    rows = "('gone', '', now() - interval '1 s'), ('stays', '', now() + interval '1 day')"
    with postgres.connect("migrator") as owner:
        owner.execute("DELETE FROM django_session")
        owner.execute(f"INSERT INTO django_session (session_key, session_data, expire_date) VALUES {rows}")
        assert ops("clear-sessions").out == "deleted 1 expired sessions\n"
        assert owner.execute("SELECT session_key FROM django_session").fetchall() == [("stays",)]
