"""What of a plain dump psql gets: whole statements are left out, never a line of a string, a body or data."""

import pytest

from pgclient import sql_filter

HAS = {"pg_trgm", "uuid-ossp"}


def kept(sql: str) -> str:
    lines = sql.encode().splitlines(keepends=True)
    return b"".join(sql_filter.filtered(lines, HAS.__contains__)).decode()


LEFT_OUT = [
    "GRANT SELECT ON TABLE public.a TO rds_superuser;",
    "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
    "ALTER DEFAULT PRIVILEGES FOR ROLE postgres IN SCHEMA public\n    GRANT ALL ON TABLES TO supabase_admin;",
    "CREATE DATABASE blog WITH TEMPLATE = template0 ENCODING = 'UTF8' LOCALE = 'C;';",
    "ALTER DATABASE blog SET search_path TO evil;",
    "ALTER DATABASE blog WITH CONNECTION LIMIT = 0;",
    "ALTER ROLE app IN DATABASE blog SET search_path TO evil;",
    "COMMENT ON DATABASE blog IS 'it''s; a blog';",
    "DROP DATABASE IF EXISTS blog;",
    "\\connect blog",
    "\\connect -reuse-previous=on \"dbname='a b'\"",
    "\\restrict AbC123",
    "\\unrestrict AbC123",
    "CREATE EXTENSION IF NOT EXISTS plpgsql WITH SCHEMA pg_catalog;",
    "COMMENT ON EXTENSION plpgsql IS 'PL/pgSQL procedural language';",
    'CREATE EXTENSION IF NOT EXISTS "google_vacuum_mgmt" WITH SCHEMA public;',
    "ALTER EXTENSION pg_trgm ADD FUNCTION public.f();",
    "CREATE PROCEDURAL LANGUAGE plpgsql;",
    "CREATE OR REPLACE PROCEDURAL LANGUAGE plpgsql;",
    "COMMENT ON LANGUAGE plpgsql IS 'x';",
    "CREATE SCHEMA public;",
    "CREATE SCHEMA IF NOT EXISTS public;",
    "COMMENT ON SCHEMA public IS 'standard public schema';",
    "ALTER SCHEMA public OWNER TO pg_database_owner;",
    "DROP SCHEMA IF EXISTS public;",
    "CREATE PUBLICATION p FOR ALL TABLES WITH (publish = 'insert');",
    "ALTER PUBLICATION p ADD TABLE ONLY public.a;",
    "CREATE SUBSCRIPTION s CONNECTION 'x' PUBLICATION 'p' WITH (connect = false);",
    "CREATE EVENT TRIGGER e ON ddl_command_end\n   EXECUTE FUNCTION public.f();",
    "ALTER EVENT TRIGGER e OWNER TO supabase_admin;",
    "SECURITY LABEL FOR anon ON COLUMN public.a.b IS 'MASKED';",
    "SET SESSION AUTHORIZATION 'postgres';",
    "SET default_tablespace = fast;",
    "SET default_with_oids = false;",
    "DROP TABLE IF EXISTS public.a;",
    "ALTER TABLE IF EXISTS ONLY public.a DROP CONSTRAINT IF EXISTS a_pkey;",
    "ALTER TABLE public.a ALTER COLUMN id DROP DEFAULT;",
    "SELECT pg_catalog.lo_unlink('16400');",
    "SELECT pg_catalog.lo_unlink(oid) FROM pg_catalog.pg_largeobject_metadata WHERE oid = '16400';",
    "ALTER TABLE public.a OWNER TO postgres;",
    'ALTER FUNCTION public.f(integer, text) OWNER TO "o\'brien; x";',
    'ALTER TABLE public."it\'s; OWNER" OWNER TO cloudsqlsuperuser;',
]
KEPT = [
    "SET transaction_timeout = 0;",
    "SELECT pg_catalog.set_config('search_path', '', false);",
    "CREATE EXTENSION IF NOT EXISTS pg_trgm WITH SCHEMA public;",
    'CREATE EXTENSION IF NOT EXISTS "uuid-ossp" WITH SCHEMA public;',
    "COMMENT ON EXTENSION pg_trgm IS 'x';",
    "CREATE SCHEMA public_old;",
    'CREATE SCHEMA "public-old";',
    "CREATE TABLE public.grant_log (id integer, who text DEFAULT 'GRANT; x');",
    "COMMENT ON TABLE public.a IS 'ALTER TABLE a OWNER TO b;';",
    "ALTER TABLE ONLY public.a ADD CONSTRAINT c CHECK ((t <> ' DROP CONSTRAINT x;'::text));",
    "INSERT INTO public.a VALUES ('\nGRANT ALL ON a TO b;\nDROP TABLE a;\n');",
    "INSERT INTO public.a VALUES (E'it''s a \\\\\nDROP TABLE a;\n \\'; ');",
    'CREATE TABLE public."a;\nDROP TABLE b;\n" (id integer);',
    "CREATE FUNCTION public.f() RETURNS void\n    LANGUAGE plpgsql\n    AS $$\nBEGIN\nDROP TABLE a;\nGRANT x TO y;\n"
    "END\n$$;",
    "CREATE FUNCTION public.g() RETURNS text\n    LANGUAGE sql\n    AS $_$ SELECT '$$;'\n;\nREVOKE x FROM y;\n$_$;",
    "CREATE FUNCTION public.h() RETURNS integer\n    LANGUAGE sql\n    BEGIN ATOMIC\n SELECT 1;\n SELECT 2;\nEND;",
    "CREATE FUNCTION public.a$$b() RETURNS void\n    LANGUAGE sql\n    AS 'SELECT';",
    "/* one /* nested; */\nGRANT x TO y;\n*/ SELECT 1;",
    "CREATE VIEW public.v AS\n SELECT 1 -- it's; a comment\n;",
    "COPY public.a (t) FROM stdin;\nGRANT ALL ON a TO b;\nDROP TABLE a;\n\\\\connect x\n'\n$$\n\\.",
    "COPY public.a FROM stdin WITH (FORMAT csv);\nit's\n\\.",
    "CREATE USER MAPPING FOR postgres SERVER s;",
]


@pytest.mark.parametrize("statement", LEFT_OUT)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_statement_that_is_left_out(statement: str, newline: str) -> None:
    around = f"SELECT 1;\n{statement}\nSELECT 2;\n".replace("\n", newline)
    assert kept(around) == "SELECT 1;\nSELECT 2;\n".replace("\n", newline)


@pytest.mark.parametrize("statement", KEPT)
@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["LF", "CRLF"])
def test_a_statement_that_is_restored(statement: str, newline: str) -> None:
    """Unchanged; and the scanner is outside of everything behind it."""
    wanted = f"{statement}\nSELECT 2;\n".replace("\n", newline)
    assert kept(wanted + f"GRANT a TO b;{newline}") == wanted


def test_a_byte_order_mark_is_removed() -> None:
    assert kept("\ufeff--\n-- PostgreSQL database dump\n") == "--\n-- PostgreSQL database dump\n"
    assert kept("\ufeffGRANT a TO b;\nSELECT 1;\n") == "SELECT 1;\n"


def test_what_is_cut_off_reaches_psql() -> None:
    """It reports the error; a filter that swallowed it would make a part look whole."""
    assert kept("SELECT 1;\nINSERT INTO a VALUES ('x\n") == "SELECT 1;\nINSERT INTO a VALUES ('x\n"
