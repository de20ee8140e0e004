"""What is in the database."""

import psycopg

from support.ops import Ops
from support.postgres import Bouncer


def test_tables_are_the_applications(ops: Ops) -> None:
    found = {row["name"]: row for row in ops("tables", "--json").json}
    assert {"users_user", "users_userstats", "flags_country", "flags_useranswer"} <= found.keys()
    assert found["flags_country"]["owner"] == "flaglearning_owner"
    assert found["flags_country"]["size_bytes"] > 8192
    assert "pg_stat_statements" not in found


def test_describe_tells_all_of_a_table(ops: Ops) -> None:
    found = ops("describe", "flags_country", "--json").json
    assert {"column": "code", "type": "character varying(2)", "nullable": False}.items() <= found["columns"][1].items()
    assert "country_code_form" in {row["name"] for row in found["constraints"]}
    assert "country_code_once" in {row["name"] for row in found["indexes"]}
    assert {row["table"] for row in found["foreign_keys"] if row["direction"] == "in"} == {
        "public.flags_dailychallenge", "public.flags_guesscount", "public.flags_question", "public.flags_useranswer"
    }  # fmt: skip


def test_indexes_of_a_table_are_not_anothers(ops: Ops) -> None:
    assert {row["table"] for row in ops("indexes", "flags_question", "--json").json} == {"flags_question"}
    assert len({row["table"] for row in ops("indexes", "--json").json}) > 10


def test_foreign_keys_go_out_and_in(ops: Ops) -> None:
    found = ops("foreign-keys", "users_user", "--json").json
    assert {
        "direction": "in",
        "table": "public.flags_useranswer",
        "columns": "user_id",
        "refers_to": "public.users_user",
    }.items() <= next(row for row in found if row["table"] == "public.flags_useranswer").items()


def test_a_table_without_foreign_keys_says_so(ops: Ops) -> None:
    assert ops("foreign-keys", "django_migrations").lines == [
        "django_migrations refers to no table, and no table refers to it"
    ]


def test_sizes_add_up_to_less_than_the_database(ops: Ops) -> None:
    *tables, database = ops("sizes", "--json").json
    assert 0 < sum(row["total_bytes"] for row in tables) < database["total_bytes"]
    assert all(row["heap_bytes"] + row["toast_bytes"] + row["indexes_bytes"] == row["total_bytes"] for row in tables)


def test_databases_and_roles(ops: Ops) -> None:
    assert {row["name"] for row in ops("databases", "--json").json} >= {"flaglearning_dev", "postgres"}
    roles = {row["name"]: row for row in ops("roles", "--json").json}
    assert roles["flaglearning_user"]["attributes"] == "login, create databases"
    assert roles["flaglearning_ops"]["member_of"] == [
        "pg_maintain", "pg_monitor", "pg_read_all_data", "pg_signal_backend", "pg_use_reserved_connections"
    ]  # fmt: skip
    assert "statement_timeout=15s" in roles["flaglearning_user"]["settings"]


def test_connections_of_server_and_pooler_side_by_side(ops: Ops, owner: psycopg.Connection, bouncer: Bouncer) -> None:
    with bouncer.connect("app") as app:
        app.execute("SELECT 1")
        found = ops("connections", "--json").json
    assert owner.info.backend_pid in {row["pid"] for row in found["server"]}
    pool = next(row for row in found["pooler"] if row["user"] == "flaglearning_user")
    assert pool["cl_active"] >= 1
