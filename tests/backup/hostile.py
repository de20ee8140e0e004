"""What the owner of the tables can plant for privileged roles to evaluate. Each function writes to the server's log
what it was planted in and as which role it runs: also from a read-only transaction, and from one that fails.
"""

import re

RAN = re.compile(r"LOG:  HOSTILE (.+) as (\w+)$", re.MULTILINE)

BASE = """
CREATE SCHEMA hostile;
GRANT USAGE ON SCHEMA hostile TO PUBLIC;
ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO PUBLIC;
CREATE FUNCTION hostile.ran(what text) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS
    $$BEGIN RAISE LOG 'HOSTILE % as %', what, current_user; RETURN true; END$$;
CREATE FUNCTION hostile.ran(what text, value text) RETURNS text LANGUAGE plpgsql IMMUTABLE AS
    $$BEGIN PERFORM hostile.ran(what); RETURN value; END$$;
SET search_path = hostile, public;
"""

# In the schema hostile unless the name has to be found in public.
PLANTS = {
    "cast of a row to text": """
        CREATE TABLE rows (id int PRIMARY KEY, word text); INSERT INTO rows VALUES (1, 'a');
        CREATE FUNCTION as_text(rows) RETURNS text LANGUAGE sql AS $$SELECT hostile.ran('cast of a row to text', 'x')$$;
        CREATE CAST (rows AS text) WITH FUNCTION as_text(rows) AS IMPLICIT""",
    "casts of an enum to text and JSON": """
        CREATE TYPE colour AS ENUM ('red'); CREATE TABLE enums (colour colour); INSERT INTO enums VALUES ('red');
        CREATE FUNCTION as_text(colour) RETURNS text LANGUAGE sql AS $$SELECT hostile.ran('cast to text', 'x')$$;
        CREATE FUNCTION as_json(colour) RETURNS json LANGUAGE sql AS $$SELECT hostile.ran('cast to JSON', '1')::json$$;
        CREATE CAST (colour AS text) WITH FUNCTION as_text(colour) AS IMPLICIT;
        CREATE CAST (colour AS json) WITH FUNCTION as_json(colour)""",
    "operators that fit better than PostgreSQL's own": """
        CREATE FUNCTION compare(oid, integer) RETURNS boolean LANGUAGE sql AS $$SELECT hostile.ran('operator')$$;
        CREATE OPERATOR public.>= (LEFTARG = oid, RIGHTARG = integer, FUNCTION = compare);
        CREATE OPERATOR public.> (LEFTARG = oid, RIGHTARG = integer, FUNCTION = compare);
        CREATE OPERATOR public.<> (LEFTARG = oid, RIGHTARG = integer, FUNCTION = compare);
        CREATE OPERATOR public.= (LEFTARG = oid, RIGHTARG = integer, FUNCTION = compare)""",
    "functions and an aggregate before those of pg_catalog": """
        CREATE FUNCTION now() RETURNS timestamptz LANGUAGE sql AS
            $$SELECT hostile.ran('function before pg_catalog'); SELECT pg_catalog.now()$$;
        CREATE FUNCTION current_setting(text) RETURNS text LANGUAGE sql AS
            $$SELECT hostile.ran('function before pg_catalog'); SELECT pg_catalog.current_setting($1)$$;
        CREATE FUNCTION add(numeric, bigint) RETURNS numeric LANGUAGE sql AS
            $$SELECT hostile.ran('aggregate'); SELECT $1 + $2$$;
        CREATE AGGREGATE sum(bigint) (SFUNC = add, STYPE = numeric, INITCOND = '0')""",
    "overloads of functions that checks and reports call": """
        CREATE FUNCTION public.verify_heapam(relation oid, on_error_stop boolean, check_toast boolean, skip text,
            OUT blkno bigint, OUT offnum int, OUT attnum int, OUT msg text) RETURNS SETOF record LANGUAGE plpgsql AS
            $$BEGIN PERFORM hostile.ran('overload of verify_heapam'); END$$;
        CREATE FUNCTION public.bt_index_check(index oid, heapallindexed boolean) RETURNS void LANGUAGE plpgsql AS
            $$BEGIN PERFORM hostile.ran('overload of bt_index_check'); END$$;
        CREATE FUNCTION public.bt_index_check(index oid, heapallindexed boolean, checkunique boolean) RETURNS void
            LANGUAGE plpgsql AS $$BEGIN PERFORM hostile.ran('overload of bt_index_check'); END$$;
        CREATE FUNCTION public.pgstattuple_approx(reloid oid, OUT table_len bigint, OUT dead_tuple_len bigint,
            OUT dead_tuple_percent float8, OUT approx_free_space bigint, OUT approx_free_percent float8) RETURNS record
            LANGUAGE plpgsql AS $$BEGIN PERFORM hostile.ran('overload of pgstattuple_approx'); END$$""",
    "a view in the place of django_migrations": """
        ALTER TABLE public.django_migrations RENAME TO real_django_migrations;
        CREATE VIEW public.django_migrations AS
            SELECT id, app, name, applied + pg_catalog.length(hostile.ran('view', ''))::text::interval AS applied
            FROM public.real_django_migrations""",
    "a domain's CHECK": """
        CREATE DOMAIN word AS text CHECK (hostile.ran('CHECK of a domain', VALUE) IS NOT NULL);
        CREATE TABLE domains (word word); INSERT INTO domains VALUES ('x')""",
    "defaults, generated columns, CHECKs": """
        CREATE TABLE computed (id text DEFAULT hostile.ran('default', 'x'), word text,
            generated text GENERATED ALWAYS AS (hostile.ran('generated column', word)) STORED,
            CHECK (hostile.ran('CHECK', generated) IS NOT NULL), CHECK (hostile.ran('constant CHECK')));
        INSERT INTO computed (word) VALUES ('x')""",
    "row security": """
        CREATE TABLE secured (id int); INSERT INTO secured VALUES (1);
        ALTER TABLE secured ENABLE ROW LEVEL SECURITY; ALTER TABLE secured FORCE ROW LEVEL SECURITY;
        CREATE POLICY everyone ON secured USING (hostile.ran('row security'))""",
    "rules and triggers": """
        CREATE TABLE ruled (id int);
        CREATE RULE also AS ON INSERT TO ruled DO ALSO SELECT hostile.ran('rule');
        CREATE FUNCTION triggered() RETURNS trigger LANGUAGE plpgsql AS
            $$BEGIN PERFORM hostile.ran('trigger'); RETURN NEW; END$$;
        CREATE TRIGGER trigger BEFORE INSERT OR UPDATE OR DELETE ON ruled EXECUTE FUNCTION triggered()""",
    "index expressions and predicates": """
        CREATE TABLE indexed (id int, word text); INSERT INTO indexed VALUES (1, 'x');
        CREATE INDEX ON indexed (hostile.ran('index expression', word));
        CREATE INDEX ON indexed (id, hostile.ran('constant index expression'));
        CREATE INDEX ON indexed (id) WHERE hostile.ran('constant index predicate')""",
    "extended statistics": """
        CREATE TABLE measured AS SELECT n AS id, n::text AS word FROM pg_catalog.generate_series(1, 100) AS n;
        CREATE STATISTICS by_word ON id, (hostile.ran('statistics', word)) FROM measured;
        CREATE STATISTICS constant ON id, (hostile.ran('constant statistics', 'x')) FROM measured""",
    "partition keys": """
        CREATE TABLE parted (id int, word text) PARTITION BY LIST (hostile.ran('partition key', word));
        CREATE TABLE parted_x PARTITION OF parted FOR VALUES IN ('x'); INSERT INTO parted VALUES (1, 'x');
        CREATE TABLE divided (word text) PARTITION BY RANGE ((word || hostile.ran('constant partition key', 'x')));
        CREATE TABLE divided_rest PARTITION OF divided DEFAULT; INSERT INTO divided VALUES ('x')""",
    "a range type's difference": """
        CREATE FUNCTION difference(float8, float8) RETURNS float8 LANGUAGE sql IMMUTABLE AS
            $$SELECT pg_catalog.length(hostile.ran('difference of a range', 'x'))::float8$$;
        CREATE TYPE span AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = difference);
        CREATE TABLE spans AS SELECT span(n, n + 1) AS span FROM pg_catalog.generate_series(1, 100) AS n;
        CREATE INDEX ON spans USING gist (span)""",
    "views and materialized views": """
        CREATE VIEW looked_at AS SELECT hostile.ran('view of its own');
        CREATE MATERIALIZED VIEW stored AS SELECT hostile.ran('materialized view')""",
    "a publication with a row filter": """
        CREATE TABLE published (id int PRIMARY KEY); CREATE PUBLICATION hostile FOR TABLE published WHERE (id > 0)""",
    "a trusted extension with a function of its own": """
        CREATE EXTENSION hstore SCHEMA hostile;
        CREATE FUNCTION hidden() RETURNS boolean LANGUAGE sql AS $$SELECT hostile.ran('hidden function')$$;
        ALTER EXTENSION hstore ADD FUNCTION hidden()""",
}

# What a session gets from ALTER DATABASE … SET: the owner may set all of these.
SETTINGS = {
    "search_path": "hostile, public, pg_catalog",
    "local_preload_libraries": "nothing",
    "role": "flaglearning_owner",
    "statement_timeout": "1",
    "idle_session_timeout": "1",
    "default_transaction_read_only": "on",
    "client_encoding": "SQL_ASCII",
    "standard_conforming_strings": "off",
    "quote_all_identifiers": "on",
    "datestyle": "'SQL, DMY'",
    "row_security": "off",
}

# As the superuser.
REMOVE = """
    DROP SCHEMA IF EXISTS hostile CASCADE;
    ALTER TABLE IF EXISTS public.real_django_migrations RENAME TO django_migrations;
    DROP PUBLICATION IF EXISTS hostile;
    ALTER DEFAULT PRIVILEGES FOR ROLE flaglearning_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
    DROP FUNCTION IF EXISTS public.verify_heapam(oid, boolean, boolean, text), public.bt_index_check(oid, boolean),
        public.bt_index_check(oid, boolean, boolean), public.pgstattuple_approx(oid);
"""


def ran(log: str) -> set[tuple[str, str]]:
    """(what it was planted in, as which role it ran)."""
    return set(RAN.findall(log))
