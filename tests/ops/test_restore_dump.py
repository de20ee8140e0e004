"""./scripts/ops restore dump: all or nothing, whatever the file is.

Whole restores go through ./scripts/ops. Where only one of its steps is in question (what is loaded, what is found),
that step's verb is called in a waiting container of the same service: seconds less for each case.
"""

import contextlib
import json
import signal
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest

from support.ops import Container, Ops, Result, Started
from support.postgres import Bouncer, Postgres
from testing.shell import ROOT, eventually, run

DATABASE = "flaglearning_dev"
PASSWORD = 40 * "7"
HEAD = "--\n-- PostgreSQL database dump\n--\n\n-- Dumped from database version {version}\n\n"
TAIL = "\n--\n-- PostgreSQL database dump complete\n--\n\n"


@pytest.fixture(scope="module", autouse=True)
def _no_dumps(client: Container) -> Iterator[None]:
    client.shell("rm -rf /dumps/* /dumps/.partial-*")
    yield
    client.shell("rm -rf /dumps/* /dumps/.partial-*")


def dump(client: Container, kind: str, **parameters: str | bool) -> str:
    """A new dump's name; by the verb that ./scripts/ops dump calls."""
    done = client.verb("dump-create", kind=kind, **parameters)
    assert done.status == 0, done.err
    return str(done.json["name"])


@pytest.fixture(scope="module")
def dumps(client: Container, postgres: Postgres, pgadmin: Container) -> Iterator[dict[str, str]]:
    """Names of one of each kind; the full one is the oldest, and has a large object."""
    postgres.value("migrator", "SELECT lo_from_bytea(4711, 'a flag')")
    assert pgadmin.verb("grant-large-objects").status == 0
    made = {"full": dump(client, "full"), "table": dump(client, "table", table="flags_country")}
    yield made | {kind: dump(client, kind) for kind in ("schema", "data")}
    postgres.superuser("SELECT lo_unlink(oid) FROM pg_largeobject_metadata WHERE oid = 4711", DATABASE)


@pytest.fixture
def country(postgres: Postgres) -> Iterator[None]:
    """France is called something else; whatever happens, afterwards it is France."""
    rename(postgres, "Gaul")
    yield
    left = "SELECT datname FROM pg_database WHERE datname ~ '_before_|_copy$|_restoring_'"
    for name in postgres.superuser(left).splitlines():
        postgres.superuser(f'DROP DATABASE "{name}" WITH (FORCE)')
    rename(postgres, "France")


def rename(postgres: Postgres, name: str) -> None:
    postgres.superuser(f"UPDATE flags_country SET name = '{name}' WHERE code = 'FR'", database=DATABASE)  # noqa: S608


def france(postgres: Postgres, database: str = DATABASE) -> str:
    return postgres.superuser("SELECT name FROM flags_country WHERE code = 'FR'", database=database)


def databases(postgres: Postgres) -> list[str]:
    names = postgres.superuser("SELECT datname FROM pg_database WHERE datname LIKE 'flaglearning%' ORDER BY 1")
    return names.splitlines()


def restorers(postgres: Postgres) -> str:
    return postgres.superuser("SELECT rolname FROM pg_roles WHERE rolname = 'flaglearning_restorer'")


def assert_untouched(postgres: Postgres) -> None:
    """The target is as it was, and nothing of the restore is left."""
    assert france(postgres) == "Gaul"
    assert databases(postgres) == [DATABASE]
    assert restorers(postgres) == ""


def restored(done: Result) -> None:
    assert done.status == 0, done.err


# ------------------------------------------------------------ it works


@pytest.mark.usefixtures("country")
def test_the_newest_full_dump_comes_back_and_the_previous_database_is_retained(
    ops: Ops, postgres: Postgres, bouncer: Bouncer, dumps: dict[str, str]
) -> None:
    """It is older than a migration. Clients of the pooler wait, and see no error."""
    with postgres.connect("migrator") as owner:
        owner.execute("CREATE TABLE flags_later (id int)")
        owner.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('flags', '0099_later', now())")
    with clients_of_the_pooler(bouncer) as waited:
        done = ops("restore", "dump", "latest", "--yes")
    restored(done)
    assert done.out == f"restored {dumps['full']} as {DATABASE}\n"
    assert f"{dumps['full']} is older than flags 0099_later: afterwards ./scripts/ops migrations apply" in done.err
    assert max(waited) < 5
    assert france(postgres) == "France"
    assert postgres.value("app", "SELECT lo_get(4711)") == b"a flag"
    postgres.value("app", "SELECT lo_unlink(4711)")
    verified = ops("setup", "verify")
    assert verified.status == 0, verified.out

    [retained] = ops("retained", "list", "--json").json
    assert (retained["what"], france(postgres, retained["name"])) == ("database", "Gaul")
    assert ops("retained", "drop", retained["name"]).status == 2, "not confirmed"
    restored(ops("retained", "drop", retained["name"], "--yes"))
    assert databases(postgres) == [DATABASE]


@contextlib.contextmanager
def clients_of_the_pooler(bouncer: Bouncer) -> Iterator[list[float]]:
    """The seconds that each query took. Raises the error that one got."""
    seconds, stop, errors = [0.0], threading.Event(), list[Exception]()

    def play() -> None:
        with bouncer.connect("app") as connection:
            while not stop.wait(0.01):
                began = time.monotonic()
                try:
                    connection.execute("SELECT count(*) FROM flags_country")
                except psycopg.Error as error:
                    errors.append(error)
                    return
                seconds.append(time.monotonic() - began)

    player = threading.Thread(target=play)
    player.start()
    try:
        yield seconds
    finally:
        stop.set()
        player.join()
    assert not errors


@pytest.mark.usefixtures("country")
def test_a_plain_dump_with_an_extension_of_a_migration(ops: Ops, client: Container, postgres: Postgres) -> None:
    rename(postgres, "France")
    name = ""
    with postgres.connect("migrator") as owner:
        owner.execute("CREATE EXTENSION pg_trgm")
        owner.execute("CREATE INDEX country_like ON flags_country USING gin (name gin_trgm_ops)")
    try:
        name = dump(client, "full", plain=True)
        rename(postgres, "Gaul")
        restored(ops("restore", "dump", name, "--yes"))
        assert france(postgres) == "France"
        assert postgres.superuser("SELECT 'country_like'::regclass", database=DATABASE) == "country_like"
    finally:
        client.shell(f"rm -rf /dumps/{name or 'none'}")
        postgres.superuser("DROP EXTENSION pg_trgm CASCADE", DATABASE)


@pytest.mark.usefixtures("country")
def test_a_dump_of_another_database_into_a_new_one(
    ops: Ops, client: Container, postgres: Postgres, dumps: dict[str, str]
) -> None:
    with changed(client, dumps["full"], database="flaglearning_prod") as name:
        refused = client.verb("restore-plan", name=name)
        assert (refused.status, "is a dump of another database: flaglearning_prod" in refused.err) == (2, True)
        into = ("--from-database", "flaglearning_prod", "--into", "flaglearning_copy", "--yes")
        restored(ops("restore", "dump", name, *into))
        assert (france(postgres), france(postgres, "flaglearning_copy")) == ("Gaul", "France")
        again = ops("restore", "dump", name, *into)
        assert (again.status, "the database flaglearning_copy exists already" in again.err) == (2, True)


@pytest.mark.usefixtures("country")
def test_a_schema_into_a_new_database(ops: Ops, client: Container, postgres: Postgres, dumps: dict[str, str]) -> None:
    assert client.verb("restore-plan", name=dumps["schema"]).status == 2
    restored(ops("restore", "dump", dumps["schema"], "--into", "flaglearning_copy", "--yes"))
    assert postgres.superuser("SELECT count(*) FROM flags_country", database="flaglearning_copy") == "0"
    assert postgres.superuser("SELECT count(*) FROM pg_constraint WHERE contype = 'f'", "flaglearning_copy") != "0"


@pytest.mark.usefixtures("country", "players")
@pytest.mark.parametrize("kind", ["table", "data", "full --table"])
def test_rows_come_back(ops: Ops, client: Container, postgres: Postgres, dumps: dict[str, str], kind: str) -> None:
    """Of the table of countries, which questions and answers refer to; or of all."""
    if kind == "data":
        rename(postgres, "France")
        name = dump(client, "data")  # with the players
        rename(postgres, "Gaul")
        restored(ops("restore", "dump", name, "--yes"))
    elif kind == "table":
        restored(ops("restore", "dump", dumps["table"], "--yes"))
    else:
        restored(ops("restore", "dump", dumps["full"], "--table", "flags_country", "--yes"))
    assert france(postgres) == "France"
    assert postgres.superuser("SELECT count(*) FROM flags_useranswer", database=DATABASE) == "6"
    assert databases(postgres) == [DATABASE]


KEYS = """SELECT conrelid::regclass::text, conname FROM pg_constraint
          WHERE contype = 'f' AND confrelid = 'flags_country'::regclass ORDER BY 1, 2"""


@pytest.mark.usefixtures("country")
def test_a_dropped_table_comes_back_with_its_foreign_keys(ops: Ops, postgres: Postgres, dumps: dict[str, str]) -> None:
    keys = postgres.superuser(KEYS, database=DATABASE)
    with postgres.connect("migrator") as owner:
        owner.execute("DROP TABLE flags_country CASCADE")
    done = ops("restore", "dump", dumps["full"], "--table", "flags_country", "--yes")
    restored(done)
    number = len(keys.splitlines())
    assert done.out == f"created public.flags_country again, with {number} foreign keys of other tables to it\n"
    assert france(postgres) == "France"
    assert postgres.superuser(KEYS, database=DATABASE) == keys
    assert number == 4
    assert ops("setup", "verify").status == 0


@pytest.mark.usefixtures("country")
def test_another_pg_dumps_dump_where_the_database_is_gone(
    ops: Ops, client: Container, postgres: Postgres, bouncer: Bouncer
) -> None:
    """With the owners, privileges and extensions that pg_dump writes when it is not told otherwise."""
    rename(postgres, "France")
    url = f"host=postgres dbname={DATABASE} user=flaglearning_migrator sslmode=verify-full sslrootcert=/tls/ca.crt"
    secret = "PGPASSWORD=$(cat /run/secrets/migrator_password)"
    client.shell(f"{secret} pg_dump '{url}' -Fc --no-large-objects -f /dumps/reference.dump")
    postgres.superuser(f"DROP DATABASE {DATABASE} WITH (FORCE)")
    restored(ops("restore", "dump", "reference.dump", "--external", "--yes"))
    client.shell("rm /dumps/reference.dump")
    assert bouncer.value("app", "SELECT name FROM flags_country WHERE code = 'FR'") == "France"
    assert ops("retained", "list").out == "no restore has retained anything\n"


# ------------------------------------------------------------ it refuses


@contextlib.contextmanager
def changed(client: Container, name: str, **values: object) -> Iterator[str]:
    """A copy of a dump with other values in its manifest."""
    manifest = json.loads(client.shell(f"cat /dumps/{name}/manifest.json")) | values
    client.shell(f"cp -r /dumps/{name} /dumps/other")
    write(client, "other/manifest.json", json.dumps(manifest))
    try:
        yield "other"
    finally:
        client.shell("rm -r /dumps/other")


WRITE = "import json, sys; [open(f'/dumps/{name}', 'w').write(text) for name, text in json.load(sys.stdin).items()]"


def write(client: Container, name: str, text: str) -> None:
    write_all(client, {name: text})


def write_all(client: Container, texts: dict[str, str]) -> None:
    done = client("python3", "-c", WRITE, stdin=json.dumps(texts))
    assert done.status == 0, done.err


@pytest.mark.usefixtures("country", "players")
def test_a_row_that_is_referred_to_may_not_get_lost(ops: Ops, client: Container, postgres: Postgres) -> None:
    """A dump of the countries without one of them: nothing is done, and the foreign key is named."""
    postgres.superuser("CREATE TABLE keep AS SELECT * FROM flags_country", database=DATABASE)
    try:
        postgres.superuser(
            "SET session_replication_role = replica; DELETE FROM flags_country WHERE code = 'DE'", database=DATABASE
        )
        name = dump(client, "table", table="flags_country")
    finally:
        postgres.superuser(
            "SET session_replication_role = replica; DELETE FROM flags_country;"
            "INSERT INTO flags_country SELECT * FROM keep; DROP TABLE keep", database=DATABASE,
        )  # fmt: skip
    refused = ops("restore", "dump", name, "--yes")
    assert refused.status == 1
    assert "nothing was changed: the restored rows violate a constraint of the database" in refused.err
    assert "violates foreign key" in refused.err
    assert_untouched(postgres)


@pytest.mark.usefixtures("country")
def test_a_damaged_dump(ops: Ops, client: Container, postgres: Postgres, dumps: dict[str, str]) -> None:
    for damage in ("truncate -s -1 $f/dump/toc.dat", "rm $f/manifest.json", "rm -r $f/dump", ": >$f/manifest.json"):
        client.shell(f"cp -r /dumps/{dumps['full']} /dumps/damaged; f=/dumps/damaged; {damage}")
        refused = client.verb("restore-plan", name="damaged")
        assert refused.status == (2 if "rm $f/manifest" in damage else 1), (damage, refused.err)
        assert "damaged is not a " in refused.err
        if damage.startswith("truncate"):
            whole = ops("restore", "dump", "damaged", "--yes")
            assert (whole.status, "damaged is not a usable dump" in whole.err) == (1, True)
        client.shell("rm -r /dumps/damaged")
    assert_untouched(postgres)


def test_not_meant_for_here(client: Container, dumps: dict[str, str]) -> None:
    for value, said in (
        ({"server_version": "18.1"}, "it comes from PostgreSQL 18, this server is 17"),
        ({"database": "blog"}, "is a dump of another database: blog"),
        ({"format": 2}, "is not a usable dump"),
        ({"kind": "everything"}, "is not a usable dump"),
    ):
        with changed(client, dumps["full"], **value) as name:
            refused = client.verb("restore-plan", name=name)
        assert (refused.status in (1, 2), said in refused.err) == (True, True), refused.err
    newer = client.verb("restore-plan", name="x", external={"server_version": "18.0", "plain": True, "database": ""})
    assert (newer.status, "comes from PostgreSQL 18" in newer.err) == (2, True)
    assert client.verb("restore-plan", name=dumps["full"], table="blog_post").status == 2


def test_names(ops: Ops, client: Container, dumps: dict[str, str]) -> None:
    """No such dump; no name for a new database. More of them: tests/unit/pgclient/test_names.py."""
    assert client.verb("restore-plan", name="../etc").status == 4
    assert client.verb("dump-inspect", name="../etc").status == 4
    assert ops("restore", "dump", "no-such", "--yes").status == 4
    assert ops("restore", "dump", dumps["full"], "--into", "flaglearning_x;", "--yes").status == 2


@pytest.mark.usefixtures("country")
def test_without_confirmation_nothing_is_changed(ops: Ops, postgres: Postgres, dumps: dict[str, str]) -> None:
    assert ops("restore", "dump", dumps["full"]).status == 2
    dry = ops("restore", "dump", dumps["full"], "--dry-run")
    assert (dry.status, "nothing was changed" in dry.out) == (0, True)
    assert f"{dumps['full']} will take the place of {DATABASE}" in dry.out
    assert_untouched(postgres)


# ------------------------------------------------------------ step by step


class Staging:
    """A staging database, and the steps of a restore on it."""

    def __init__(self, client: Container, loader: Container, pgadmin: Container) -> None:
        self.client, self.loader, self.pgadmin = client, loader, pgadmin
        done = pgadmin.verb("create-staging", PASSWORD)
        assert done.status == 0, done.err
        self.database = str(done.json["database"])

    def load(self, path: str, plain: bool = True, **options: str | bool | list[str]) -> Result:
        return self.loader.verb("restore-load", PASSWORD, database=self.database, path=path, plain=plain, **options)

    def sql(self, statements: str) -> Result:
        """Load a plain dump with these statements."""
        write(self.client, "external.sql", HEAD.format(version="17.2") + statements + TAIL)
        return self.load("external.sql")

    def reassign(self) -> None:
        done = self.pgadmin.verb("reassign", database=self.database)
        assert done.status == 0, done.err

    def check(self, rows: dict[str, int] | None = None, **options: bool) -> Result:
        name = "external.sql"
        return self.client.verb("restore-check", database=self.database, name=name, rows_expected=rows or {}, **options)

    def drop(self) -> None:
        assert self.pgadmin.verb("drop-staging", database=self.database).status == 0


@pytest.fixture
def staging(client: Container, loader: Container, pgadmin: Container) -> Iterator[Staging]:
    made = Staging(client, loader, pgadmin)
    yield made
    made.drop()
    client.shell("rm -f /dumps/external.sql")


def test_a_full_dump_is_checked_against_its_manifest_and_the_application(
    client: Container, postgres: Postgres, staging: Staging, dumps: dict[str, str]
) -> None:
    """Wrong counts; a table that the application has and the dump lacks, with and without a migration that explains it;
    a table whose columns have changed."""
    restored(staging.load(f"{dumps['full']}/dump", plain=False))
    staging.reassign()
    wrong = staging.check({"public.flags_country": 196})
    assert (wrong.status, "public.flags_country: 195 instead of 196" in wrong.err) == (1, True)
    restored(staging.check({"public.flags_country": 195}, complete=True))
    with postgres.connect("migrator") as owner:
        try:
            owner.execute("ALTER TABLE flags_country ADD anthem text")
            tables = ["public.flags_country"]
            other = client.verb("restore-rows", database=staging.database, tables=tables)
            assert (other.status, "has other columns now: anthem text" in other.err) == (1, True)
            owner.execute("CREATE TABLE flags_later (id int)")
            lacking = staging.check(complete=True)
            assert (lacking.status, "it lacks tables: public.flags_later" in lacking.err) == (1, True)
            owner.execute("INSERT INTO django_migrations (app, name, applied) VALUES ('flags', '0099_later', now())")
            assert staging.check(complete=True).json["later"] == ["flags 0099_later"]
        finally:
            owner.execute("ALTER TABLE flags_country DROP IF EXISTS anthem; DROP TABLE IF EXISTS flags_later")
            owner.execute("DELETE FROM django_migrations WHERE name = '0099_later'")


def test_a_dump_without_tables(staging: Staging) -> None:
    restored(staging.sql("SELECT 1;"))
    staging.reassign()
    refused = staging.check()
    assert (refused.status, "external.sql has no tables" in refused.err) == (1, True)


def test_settings_of_the_database_do_not_survive(postgres: Postgres, staging: Staging) -> None:
    """As pg_dump --create writes them they are left out; done by code, they are reset."""
    before = settings(postgres, staging)
    restored(
        staging.sql(
            "ALTER DATABASE flaglearning_dev SET search_path TO evil;\n"
            "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET search_path TO evil', current_database());"
            " EXECUTE format('ALTER DATABASE %I CONNECTION LIMIT 0', current_database()); END $$;\n"
        )
    )
    assert settings(postgres, staging) != before
    staging.reassign()
    assert settings(postgres, staging) == before
    assert "evil" not in postgres.superuser("SELECT setconfig FROM pg_db_role_setting")


def settings(postgres: Postgres, staging: Staging) -> str:
    return postgres.superuser(
        """SELECT datconnlimit, datallowconn, datistemplate, setconfig FROM pg_database AS d
           LEFT JOIN pg_db_role_setting ON setdatabase = d.oid AND setrole = 0 WHERE datname = current_database()""",
        staging.database,
    )


# ------------------------------------------------------------ external dumps: what pg_dump writes

BLOG = """
    CREATE EXTENSION pg_trgm; CREATE EXTENSION "uuid-ossp"; CREATE EXTENSION pg_stat_statements;
    CREATE SCHEMA shop;
    CREATE TABLE author (id serial PRIMARY KEY, name text NOT NULL);
    CREATE INDEX author_name ON author USING gin (name gin_trgm_ops);
    CREATE TABLE shop.book (id uuid PRIMARY KEY DEFAULT uuid_generate_v4(), author integer REFERENCES author,
                            title text);
    INSERT INTO author (name) VALUES ('it''s; me'), (E'GRANT a TO b;\\nDROP TABLE author;'), ('国 \\');
    INSERT INTO shop.book (author, title) SELECT id, name FROM author;
    CREATE VIEW shop.titles AS SELECT title FROM shop.book;
    COMMENT ON TABLE author IS 'ALTER TABLE author OWNER TO x;';
    GRANT SELECT ON author TO flaglearning_readonly;
    ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO flaglearning_readonly;
    CREATE PUBLICATION everything FOR ALL TABLES;
    SELECT lo_from_bytea(4712, 'x');
    ALTER DATABASE blog SET search_path TO evil; ALTER DATABASE blog CONNECTION LIMIT 3;
"""
# How it is dumped, into the file $f; extensions that the restore has to be told.
KINDS = {
    "custom": ("pg_dump -Fc >$f", []),
    "tar": ("pg_dump -Ft >$f", []),
    "plain": ("pg_dump >$f", []),
    "plain, gzip": ("pg_dump | gzip >$f", []),
    "plain, --clean --if-exists": ("pg_dump --clean --if-exists >$f", []),
    "plain, --clean --create": ("pg_dump --clean --create >$f", []),
    "plain, --inserts": ("pg_dump --inserts >$f", []),
    "plain, CRLF and a byte order mark": (r"pg_dump | sed 's/$/\r/; 1s/^/\xef\xbb\xbf/' >$f", []),
    "plain, one schema": ("pg_dump -n public >$f", ["pg_trgm"]),
    "custom, one schema": ("pg_dump -n public -Fc >$f", ["pg_trgm"]),
    "custom, --create": ("pg_dump -Fc --create >$f", []),
    "directory": ("rm $f; pg_dump -Fd -f $f", []),
}


@pytest.fixture(scope="module")
def blog(postgres: Postgres) -> Iterator[None]:
    """Another application's database."""
    postgres.superuser("CREATE DATABASE blog")
    postgres.superuser(BLOG, database="blog")
    yield
    postgres.superuser("DROP DATABASE blog")


@pytest.mark.usefixtures("blog")
@pytest.mark.parametrize(("how", "extensions"), KINDS.values(), ids=KINDS.keys())
def test_what_pg_dump_writes_is_loaded(
    ops: Ops, client: Container, postgres: Postgres, staging: Staging, how: str, extensions: list[str]
) -> None:
    # The superuser's, with all that a role with less power may not restore.
    script = f"export PGUSER=postgres PGDATABASE=blog PGOPTIONS='-c search_path='; f=/tmp/made; >$f; {how}"
    send = "tar -C /tmp -c made; rm -r /tmp/made"
    server = postgres.stack.inspect("postgres")["Id"]
    pipe = 'docker exec "$1" sh -ec "$2" | docker exec -i "$3" tar -C /dumps -xm --no-same-permissions'
    run("sh", "-ec", pipe, "sh", server, f"{script}\n{send}", client.name)
    try:
        inspected = staging.loader.verb("dump-inspect", name="made")
        restored(inspected)
        restored(staging.load("made", inspected.json["plain"], extensions=extensions))
    finally:
        client.shell("rm -r /dumps/made")
    value = ("SELECT string_agg(name, '|' ORDER BY id), count(*) FROM author", staging.database)
    assert postgres.superuser(*value) == "it's; me|GRANT a TO b;\nDROP TABLE author;|国 \\|3"
    assert postgres.superuser("SELECT 'author_name'::regclass", staging.database) == "author_name"
    if not extensions:
        assert (
            postgres.superuser("SELECT count(*) FROM shop.book JOIN shop.titles USING (title)", staging.database) == "3"
        )
    assert postgres.superuser("SELECT pubname FROM pg_publication", staging.database) == ""
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname !~ '^pg_|^information'"
    assert postgres.superuser(owners, staging.database) == "flaglearning_restorer"
    staging.reassign()
    assert postgres.superuser(owners, staging.database) == "flaglearning_owner"
    restored(staging.check())


# Northwind, Pagila, and what managed PostgreSQL adds, in one file.
MANAGED = r"""
\restrict AbCdEf0123456789
SET statement_timeout = 0;
SET transaction_timeout = 0;
SET client_encoding = 'UTF8';
SET standard_conforming_strings = on;
SELECT pg_catalog.set_config('search_path', '', false);
CREATE SCHEMA public;
ALTER SCHEMA public OWNER TO azure_pg_admin;
COMMENT ON SCHEMA public IS 'standard public schema';
CREATE OR REPLACE PROCEDURAL LANGUAGE plpgsql;
ALTER PROCEDURAL LANGUAGE plpgsql OWNER TO postgres;
CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog;
COMMENT ON EXTENSION plpgsql IS 'PL/pgSQL procedural language';
CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS pg_stat_statements WITH SCHEMA public;
CREATE EXTENSION IF NOT EXISTS google_vacuum_mgmt WITH SCHEMA public;
COMMENT ON EXTENSION google_vacuum_mgmt IS 'extension for assistive operational tooling';
CREATE EVENT TRIGGER issue_graphql ON ddl_command_end
         WHEN TAG IN ('CREATE FUNCTION')
   EXECUTE FUNCTION extensions.set_graphql();
ALTER EVENT TRIGGER issue_graphql OWNER TO supabase_admin;
SET default_tablespace = '';
SET default_with_oids = false;
CREATE TABLE public.customers (
    customer_id character varying(5) NOT NULL,
    token uuid DEFAULT public.uuid_generate_v4(),
    company_name character varying(60) NOT NULL
);
ALTER TABLE public.customers OWNER TO rds_superuser;
SECURITY LABEL FOR anon ON COLUMN public.customers.company_name IS 'MASKED WITH FUNCTION anon.fake_company()';
CREATE TABLE public.orders (order_id smallint NOT NULL, customer_id character varying(5));
ALTER TABLE public.orders OWNER TO cloudsqlsuperuser;
INSERT INTO public.customers (customer_id, company_name) VALUES ('ALFKI', 'Alfreds; GRANT
DROP TABLE public.orders;
''Futterkiste');
COPY public.orders (order_id, customer_id) FROM stdin;
10248	ALFKI
10249	\N
\.
ALTER TABLE ONLY public.customers ADD CONSTRAINT pk_customers PRIMARY KEY (customer_id);
ALTER TABLE ONLY public.orders
    ADD CONSTRAINT fk_orders FOREIGN KEY (customer_id) REFERENCES public.customers(customer_id);
CREATE PUBLICATION supabase_realtime WITH (publish = 'insert, update, delete, truncate');
ALTER PUBLICATION supabase_realtime OWNER TO postgres;
ALTER PUBLICATION supabase_realtime ADD TABLE ONLY public.orders;
GRANT ALL ON TABLE public.customers TO rds_superuser;
REVOKE ALL ON SCHEMA public FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE supabase_admin IN SCHEMA public GRANT ALL ON TABLES TO anon;
\unrestrict AbCdEf0123456789
"""


@pytest.mark.usefixtures("country")
def test_another_applications_dump_of_a_managed_server(ops: Ops, client: Container, postgres: Postgres) -> None:
    """Only into a new database: it lacks the application's tables."""
    write(client, "managed.sql", HEAD.format(version="15.8") + MANAGED + TAIL)
    command = ("restore", "dump", "managed.sql", "--external", "--yes")
    try:
        refused = ops(*command)
        assert (refused.status, "managed.sql is not a dump of the application" in refused.err) == (1, True), refused.err
        assert "add --into flaglearning_NAME" in refused.err
        assert_untouched(postgres)
        done = ops(*command, "--into", "flaglearning_copy")
    finally:
        client.shell("rm /dumps/managed.sql")
    restored(done)
    assert "left out: the extension google_vacuum_mgmt" in done.err
    found = "SELECT company_name FROM customers JOIN orders USING (customer_id) WHERE token IS NOT NULL"
    assert postgres.superuser(found, "flaglearning_copy") == "Alfreds; GRANT\nDROP TABLE public.orders;\n'Futterkiste"
    assert france(postgres) == "Gaul"


# The name of the first table's file of rows becomes that of a secret.
ELSEWHERE = r"""
import re, sys
contents = open(sys.argv[1], "rb").read()
changed = re.sub(rb"\0.\0\0\0\d+\.dat", b"\0\x1e\0\0\0../../run/secrets/ops_password", contents, 1, re.DOTALL)
assert changed != contents
open(sys.argv[1], "wb").write(changed)
"""
# Files that are no dump: how $f is made, what is said. $p is a plain dump, $c one in the custom format.
FILES = {
    "an empty file": (":", "it is empty"),
    "a folder": ("rm $f; mkdir $f", "it is a folder without pg_dump's table of contents"),
    "no dump": ("echo SELECT 1 >$f", "does not begin as pg_dump's files do"),
    "half of a dump": ("head -c 3000 $p >$f", "its end is missing"),
    "half of a compressed dump": ("gzip -c $p | head -c 3000 >$f", "it can't be unpacked"),
    "half of an archive": ("head -c 3000 $c >$f", "pg_restore: error: "),
    "an archive without its last bytes": ("head -c -100 $c >$f", "pg_restore: error: "),
    "a link": ("rm $f; ln -s /run/secrets/ops_password $f", "it is a link or a device"),
    "a device": ("rm $f; mkfifo $f", "it is a link or a device"),
    "UTF-16": ("printf '\\377\\376-\\0-\\0' >$f", "is encoded in UTF-16"),
    "zstd": ("printf '\\050\\265\\057\\375x' >$f", "is compressed with zstd"),
    "ZIP": ("printf 'PK\\003\\004' >$f", "is a ZIP archive"),
    "all databases": ("printf -- '-- PostgreSQL database cluster dump\\n' >$f", "pg_dumpall wrote it"),
    "a link in a directory": ("rm $f; cp -r $d $f; ln -s /run/secrets/ops_password $f/9.dat", "9.dat is a link"),
    "another file in a directory": ("rm $f; cp -r $d $f; touch $f/more.txt", "more.txt is not a file of pg_dump's"),
    "a folder in a directory": ("rm $f; cp -r $d $f; mkdir $f/9.dat", "9.dat is a link, a device or a folder"),
    "a large object elsewhere": (
        "rm $f; cp -r $d $f; echo '1 ../../run/secrets/ops_password' >$f/blobs_1.toc",
        "blobs_1.toc names a file that is not a large object of this folder",
    ),
    "rows elsewhere": (
        f"rm $f; cp -r $d $f; python3 -c '{ELSEWHERE}' $f/toc.dat",
        "its table of contents names a file outside of the folder",
    ),
}


def test_files_that_are_no_dump(ops: Ops, client: Container, loader: Container, dumps: dict[str, str]) -> None:
    plain = dump(client, "full", plain=True)
    folder = f"/dumps/{dumps['full']}/dump"
    url = f"host=postgres dbname={DATABASE} user=flaglearning_migrator sslmode=verify-full sslrootcert=/tls/ca.crt"
    secret = "PGPASSWORD=$(cat /run/secrets/migrator_password)"
    client.shell(f"{secret} pg_dump '{url}' -Fc --no-large-objects -f /dumps/.partial-custom")
    script = [f"p=/dumps/{plain}/dump.sql; c=/dumps/.partial-custom; d={folder}"]
    script += [f"f=/dumps/case-{number}; >$f; {how}" for number, (how, _) in enumerate(FILES.values())]
    client.shell("\n".join(script))
    # All in one command: each is a program's start.
    inspect = """python3 -P -m pgclient dump-inspect "{\\"name\\": \\"case-$n\\"}" 2>&1"""
    printed = loader.shell(f'for n in $(seq 0 {len(FILES) - 1}); do {inspect} || echo "status $?"; echo "-----"; done')
    client.shell("rm -rf /dumps/case-*")
    results = dict(zip(FILES, printed.split("-----\n"), strict=False))
    for kind, (_, said) in FILES.items():
        assert "can't be restored: " in results[kind], (kind, results[kind])
        assert said in results[kind], (kind, results[kind])
        assert results[kind].endswith("status 2\n"), kind
    ours = loader.verb("dump-inspect", name=dumps["full"])
    assert (ours.status, "run the same command without --external" in ours.err) == (2, True)
    client.shell("echo SELECT 1 >/dumps/file")
    refused = ops("restore", "dump", "file", "--external", "--yes")
    assert (refused.status, "does not begin as pg_dump's files do" in refused.err) == (2, True)
    client.shell(f"rm -r /dumps/file /dumps/.partial-custom /dumps/{plain}")


# ------------------------------------------------------------ external dumps: hostile ones

# What is tried → the error.
HOSTILE = {
    "a program in the loader": (r"\! touch /tmp/owned", "backslash commands are restricted"),
    "a file of the loader": (r"\copy flags_country FROM '/etc/passwd'", "backslash commands are restricted"),
    "another connection": ("SELECT 1;\n\\c flaglearning_dev", "backslash commands are restricted"),
    "out of the restriction": ("SELECT 1; \\unrestrict 0000\n\\! touch /tmp/owned", "restrict"),
    "a variable that is a program": ("\\set x `touch /tmp/owned`", "backslash commands are restricted"),
    "a program on the server": ("COPY (SELECT 1) TO PROGRAM 'touch /tmp/owned'", "permission denied to COPY"),
    "a file of the server": ("CREATE TABLE t (l text); COPY t FROM '/etc/passwd'", "permission denied to COPY"),
    "a file of the server, read": ("SELECT pg_read_file('/etc/passwd')", "permission denied for function"),
    "a file of the server, as a large object": ("SELECT lo_import('/etc/passwd')", "permission denied for function"),
    "the superuser": ("SET ROLE postgres", "permission denied to set role"),
    "the owner": ("SET ROLE flaglearning_owner", "permission denied to set role"),
    "more rights": ("DO $$ BEGIN ALTER ROLE flaglearning_restorer SUPERUSER; END $$", "permission denied"),
    "a role": ("DO $$ BEGIN CREATE ROLE flaglearning_x LOGIN; END $$", "permission denied to create role"),
    "the application's database": ("COMMIT; DROP DATABASE flaglearning_dev", "must be owner of database"),
    "its name": ("COMMIT; ALTER DATABASE flaglearning_dev RENAME TO gone", "must be owner of database"),
    "its settings": ("COMMIT; ALTER DATABASE flaglearning_dev SET role = x", "must be owner of database"),
    "others' sessions": (
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'flaglearning_readonly'",
        "permission denied to terminate process",
    ),
    "an extension": ("DO $$ BEGIN EXECUTE 'CREATE EXTENSION dblink'; END $$", 'permission denied to create extension'),
    "a language": ("CREATE FUNCTION f() RETURNS int LANGUAGE c AS '/tmp/x', 'f'", "permission denied for language c"),
    "the server's settings": ("COMMIT; ALTER SYSTEM SET archive_command = 'touch /tmp/owned'", "permission denied"),
    "a library": ("LOAD '/tmp/x.so'", "access to library"),
    "an event trigger": (
        "DO $$ BEGIN CREATE EVENT TRIGGER e ON ddl_command_end EXECUTE FUNCTION pg_catalog.tsvector_update_trigger();"
        " END $$",
        "permission denied to create event trigger",
    ),
}  # fmt: skip
# At the top level these are left out before psql sees them.
IGNORED = [
    "ALTER ROLE flaglearning_restorer SUPERUSER;",
    "DROP DATABASE flaglearning_dev;",
    r"\connect flaglearning_dev",
]


@pytest.mark.usefixtures("country")
def test_hostile_statements(ops: Ops, postgres: Postgres, staging: Staging) -> None:
    """Each as a dump of its own, on one staging database: it fails as a whole, so nothing of it is left there."""
    tried = [sql for sql, _ in HOSTILE.values()]
    texts = {
        f"hostile-{number}.sql": f"{HEAD.format(version='17.2')}CREATE TABLE public.t{number} ();\n{sql}\n;{TAIL}"
        for number, sql in enumerate(tried)
    }
    ignored = "".join(f"{sql}\n" for sql in IGNORED)
    write_all(staging.client, texts | {"hostile.sql": HEAD.format(version="17.2") + ignored + TAIL})
    with postgres.connect("readonly") as other:
        for number, (what, (_, said)) in enumerate(HOSTILE.items()):
            refused = staging.load(f"hostile-{number}.sql")
            assert refused.status == 1, what
            assert said in refused.err, (what, refused.err)
        restored(staging.load("hostile.sql"))
        assert other.execute("SELECT 1").fetchone() == (1,), "its session was not ended"
    staging.client.shell("rm /dumps/hostile*.sql")
    tables = "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    found = set(postgres.superuser(tables, staging.database).splitlines())
    assert found == {f"t{number}" for number, sql in enumerate(tried) if sql.startswith("COMMIT")}
    role = "SELECT rolsuper, rolcreaterole, rolcreatedb FROM pg_roles WHERE rolname = 'flaglearning_restorer'"
    assert postgres.superuser(role) == "f|f|f"
    for shell in (staging.loader.shell, lambda script: ops.stack.exec("postgres", "sh", "-c", script)):
        assert shell("test ! -e /tmp/owned && echo nothing") == "nothing\n"
    staging.drop()
    assert_untouched(postgres)


def test_the_restorer_reaches_no_other_database(client: Container, loader: Container, staging: Staging) -> None:
    url = "user=flaglearning_restorer host=postgres sslmode=verify-full sslrootcert=/tls/ca.crt"
    for database, refused in ((DATABASE, True), ("postgres", True), (staging.database, False)):
        done = loader("psql", "-XAt", f"{url} dbname={database}", "-c", "SELECT 1", PGPASSWORD=PASSWORD)
        assert (done.status != 0) == refused, (database, done.err)


def test_the_loader_has_no_secret(loader: Container, client: Container) -> None:
    assert loader.shell("ls /run/secrets 2>/dev/null || echo none") == "none\n"
    assert "password" not in loader.shell("env; cat /proc/mounts").lower()
    assert loader("touch", "/dumps/x").status == 1, "it can't change a dump"
    assert client.shell("ls /run/secrets").split() != []


# Each with a function of its own, where it would run with the rights of the role that uses the table.
CODE = """
CREATE SEQUENCE public.ran;
CREATE TABLE public.flags_useranswer (id integer, word text);
CREATE FUNCTION public.in_operator(oid, integer) RETURNS boolean LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT nextval('public.ran') > 0 $$;
CREATE OPERATOR public.>= (LEFTARG = oid, RIGHTARG = integer, FUNCTION = public.in_operator);
CREATE FUNCTION public.in_equals(name, name) RETURNS boolean LANGUAGE sql SECURITY DEFINER
    AS $$ SELECT nextval('public.ran') > 0 $$;
CREATE OPERATOR public.= (LEFTARG = name, RIGHTARG = name, FUNCTION = public.in_equals);
CREATE FUNCTION public.in_index(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT $1 $$;
CREATE INDEX i ON public.flags_useranswer (public.in_index(word));
CREATE FUNCTION public.in_domain(text) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
CREATE DOMAIN public.word AS text CHECK (public.in_domain(VALUE));
CREATE FUNCTION public.in_check(text) RETURNS boolean LANGUAGE sql AS $$ SELECT true $$;
ALTER TABLE public.flags_useranswer ADD CHECK (public.in_check(word));
CREATE FUNCTION public.in_column(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT $1 $$;
ALTER TABLE public.flags_useranswer ADD made text GENERATED ALWAYS AS (public.in_column(word)) STORED;
CREATE FUNCTION public.in_default() RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
ALTER TABLE public.flags_useranswer ADD given text DEFAULT public.in_default();
CREATE FUNCTION public.in_view() RETURNS text LANGUAGE sql AS $$ SELECT 'x' $$;
CREATE VIEW public.v AS SELECT public.in_view();
CREATE RULE in_rule AS ON INSERT TO public.flags_useranswer DO ALSO SELECT 1;
CREATE POLICY in_policy ON public.flags_useranswer USING (true);
ALTER TABLE public.flags_useranswer ENABLE ROW LEVEL SECURITY;
CREATE FUNCTION public.in_trigger() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NEW; END $$;
CREATE TRIGGER fires BEFORE INSERT ON public.flags_useranswer EXECUTE FUNCTION public.in_trigger();
CREATE AGGREGATE public.in_aggregate(integer) (SFUNC = int4pl, STYPE = integer);
CREATE TYPE public.pair AS (a integer, b integer);
CREATE FUNCTION public.in_cast(public.pair) RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$;
CREATE CAST (public.pair AS integer) WITH FUNCTION public.in_cast(public.pair) AS ASSIGNMENT;
CREATE PROCEDURE public.in_procedure() LANGUAGE sql AS $$ SELECT 1 $$;
CREATE EXTENSION pg_trgm SCHEMA public;
CREATE FUNCTION public.in_extension() RETURNS integer LANGUAGE sql AS $$ SELECT 1 $$;
DO $$ BEGIN ALTER EXTENSION pg_trgm ADD FUNCTION public.in_extension(); END $$;
INSERT INTO public.flags_useranswer (id, word) VALUES (1, 'a');
"""
CODE_FOUND = {
    "operator public.>=(oid,integer)", "operator public.=(name,name)", "function public.in_operator(oid,integer)",
    "function public.in_equals(name,name)", "function public.in_index(text)", "function public.in_domain(text)",
    "function public.in_check(text)", "function public.in_column(text)", "function public.in_default()",
    "function public.in_view()", "rule in_rule on public.flags_useranswer", "function public.in_trigger()",
    "policy in_policy on public.flags_useranswer", "trigger fires on public.flags_useranswer",
    "aggregate public.in_aggregate(integer)",
    "function public.in_cast(public.pair)", "cast public.pair to integer", "function public.in_procedure()",
    "function public.in_extension()",
}  # fmt: skip


def test_code_is_found_wherever_it_is_and_none_of_it_runs(postgres: Postgres, staging: Staging) -> None:
    restored(staging.sql(CODE))
    staging.reassign()
    refused = staging.check()
    assert refused.status == 1
    assert "external.sql contains code" in refused.err
    assert f"and {len(CODE_FOUND) - 10} more" in refused.err
    query = (ROOT / "pg/queries/external_code.sql").read_text()
    lines = postgres.superuser(f"SET search_path = pg_catalog, pg_temp;\n{query}", staging.database).splitlines()
    assert {line.replace("|", " ", 1) for line in lines} == CODE_FOUND
    assert postgres.superuser("SELECT is_called FROM public.ran", staging.database) == "f"


CODE_OF_A_BLOG = """
CREATE TABLE public.post (id integer, word text);
CREATE FUNCTION public.slug(text) RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT lower($1) $$;
CREATE INDEX i ON public.post (public.slug(word));
INSERT INTO public.post (id, word) VALUES (1, 'A');
"""


@pytest.mark.usefixtures("country")
def test_code_needs_consent(ops: Ops, client: Container, postgres: Postgres) -> None:
    write(client, "blog.sql", HEAD.format(version="17.2") + CODE_OF_A_BLOG + TAIL)
    command = ("restore", "dump", "blog.sql", "--external", "--into", "flaglearning_copy", "--yes")
    try:
        refused = ops(*command)
        assert refused.status == 1
        assert "blog.sql contains code" in refused.err
        assert "function public.slug(text)" in refused.err
        assert "HINT:  read it; add --with-code to restore it with its code" in refused.err
        assert_untouched(postgres)
        restored(ops(*command, "--with-code"))
    finally:
        client.shell("rm /dumps/blog.sql")
    assert postgres.superuser("SELECT slug(word) FROM post", "flaglearning_copy") == "a"


# ------------------------------------------------------------ in the middle


@pytest.fixture
def slow(ops: Ops, client: Container, postgres: Postgres) -> Iterator[Started]:
    """A restore that is in the middle, and stays there."""
    sleep = "CREATE TABLE public.t (id integer);\nSELECT pg_catalog.pg_sleep(300);"
    write(client, "slow.sql", HEAD.format(version="17.2") + sleep + TAIL)
    asleep = "FROM pg_stat_activity WHERE usename = 'flaglearning_restorer' AND wait_event = 'PgSleep'"
    try:
        with ops.started("restore", "dump", "slow.sql", "--external", "--yes") as restore:
            eventually(lambda: postgres.superuser(f"SELECT count(*) {asleep}") == "1", within=60)
            yield restore
    finally:
        for name in loading(ops):
            run("docker", "kill", name, check=False)
        client.shell("rm /dumps/slow.sql")


def loading(ops: Ops) -> list[str]:
    """The containers that load a dump."""
    project = f"label=com.docker.compose.project={ops.stack.project}"
    rows = run("docker", "ps", "--filter", project, "--filter", "name=-loader-run-", "--format", "{{.Names}}")
    return rows.stdout.split()


@pytest.mark.usefixtures("country")
def test_two_at_once_and_ctrl_c(ops: Ops, postgres: Postgres, dumps: dict[str, str], slow: Started) -> None:
    refused = ops("restore", "dump", dumps["full"], "--yes")
    assert (refused.status, "another restore is running" in refused.err) == (1, True)
    reset = ops("reset", "--yes")
    assert (reset.status, "another restore is under way: session" in reset.err) == (1, True)
    assert "of flaglearning_restorer in flaglearning_dev_restoring_" in reset.err
    slow.signal(signal.SIGINT)
    assert slow.result().status == 130
    assert loading(ops) == []
    assert_untouched(postgres)


@pytest.mark.usefixtures("country")
@pytest.mark.parametrize("how", ["kill", "stop"])
def test_a_killed_container_leaves_nothing(ops: Ops, postgres: Postgres, slow: Started, how: str) -> None:
    [container] = loading(ops)
    run("docker", how, container)
    assert slow.result().status == {"kill": 1, "stop": 130}[how]
    assert_untouched(postgres)


@pytest.mark.usefixtures("country")
def test_the_server_restarts_in_the_middle(ops: Ops, postgres: Postgres, slow: Started) -> None:
    ops.stack.restart("postgres")
    result = slow.result()
    assert result.status == 3, result.err
    assert_untouched(postgres)


@pytest.mark.usefixtures("country")
def test_after_sigkill_the_next_one_cleans_up(
    ops: Ops, postgres: Postgres, dumps: dict[str, str], slow: Started
) -> None:
    """Of ./scripts/ops; its container goes on, and as long as it does no other restore begins."""
    slow.process.kill()
    assert slow.process.wait(10) == -signal.SIGKILL
    refused = ops("restore", "dump", dumps["schema"], "--into", "flaglearning_copy", "--yes")
    assert (refused.status, "another restore is under way" in refused.err) == (1, True)
    run("docker", "kill", *loading(ops))
    assert [name for name in databases(postgres) if "_restoring_" in name]
    sessions = "SELECT count(pg_terminate_backend(pid, 5000)) FROM pg_stat_activity WHERE datname ~ '_restoring_'"
    postgres.superuser(sessions)  # the server notices when it next writes to the client: after this sleep
    restored(ops("restore", "dump", dumps["schema"], "--into", "flaglearning_copy", "--yes"))
    assert databases(postgres) == ["flaglearning_copy", DATABASE]
