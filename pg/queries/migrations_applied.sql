-- How many migrations are applied; 0 before the first, without the table of them.
SELECT CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
                         -- a table: a view in its place would run its owner's functions
                         WHERE n.nspname = 'public' AND c.relname = 'django_migrations' AND c.relkind = 'r')
            -- query_to_xml reads the table only if it exists: the parser would look for it in any case
            THEN (pg_catalog.xpath('/row/n/text()', pg_catalog.query_to_xml(
                'SELECT count(*) AS n FROM ONLY public.django_migrations', false, true, '')))[1]::text::int
            ELSE 0 END AS applied;
