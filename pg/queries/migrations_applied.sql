-- How many migrations are applied; 0 before the first, without the table of them.
SELECT CASE WHEN pg_catalog.to_regclass('public.django_migrations') IS NULL THEN 0
            -- query_to_xml reads the table only if it exists: the parser would look for it in any case
            ELSE (pg_catalog.xpath('/row/n/text()', pg_catalog.query_to_xml(
                'SELECT count(*) AS n FROM public.django_migrations', false, true, '')))[1]::text::int END AS applied;
