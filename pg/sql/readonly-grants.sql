-- What flaglearning_readonly reads: these tables, and of a table with a list of columns only those. A session key is a
-- logged-in session, and a password hash is a password to be guessed: readonly has neither.
--
-- A table or column that is not named here stays unreadable, as a new one may hold a token. Run by 50-privileges.sql at every
-- start, as the superuser; after each `manage.py migrate` by its role (app/core/privileges.py), so that new tables have it
-- at once. Grants what is missing and nothing else.
DO $grants$
DECLARE
    wanted record;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = 'flaglearning_readonly') THEN
        RETURN;
    END IF;
    FOR wanted IN
        SELECT c.relname,
               CASE WHEN readable.columns IS NULL THEN '' ELSE '(' || listed.columns || ')' END AS columns
        FROM (VALUES
            ('flags_country', NULL::text[]),
            ('flags_dailychallenge', NULL),
            ('flags_guesscount', NULL),
            ('flags_guesscounting', NULL),
            ('flags_question', NULL),
            ('flags_useranswer', NULL),
            ('users_userstats', NULL),
            ('users_user', ARRAY['id', 'email', 'display_name', 'is_active', 'is_staff', 'is_superuser', 'date_joined',
                                 'last_login']),
            ('django_migrations', NULL)   -- ./scripts/ops migrations state
        ) AS readable (name, columns)
        JOIN pg_catalog.pg_class AS c ON c.relname = readable.name AND c.relkind IN ('r', 'p')
        JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace AND n.nspname = 'public'
        CROSS JOIN LATERAL (
            SELECT pg_catalog.string_agg(pg_catalog.quote_ident(a.attname), ', ') AS columns,
                   pg_catalog.bool_and(pg_catalog.has_column_privilege('flaglearning_readonly', c.oid, a.attnum, 'SELECT')) AS done
            FROM pg_catalog.pg_attribute AS a
            WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
              AND (readable.columns IS NULL OR a.attname::text = ANY (readable.columns))
        ) AS listed
        WHERE NOT listed.done AND pg_catalog.pg_has_role(c.relowner, 'USAGE')
    LOOP
        EXECUTE pg_catalog.format('GRANT SELECT %s ON TABLE public.%I TO flaglearning_readonly', wanted.columns, wanted.relname);
    END LOOP;
END
$grants$;
