-- Transaction id age: how far each database, and its ten oldest tables, are from a forced vacuum (100 %) and from the end (2 billion).
WITH ages AS (
    SELECT 'database ' || datname AS name, pg_catalog.age(datfrozenxid) AS xids, pg_catalog.mxid_age(datminmxid) AS multixacts, 1 AS part
    FROM pg_catalog.pg_database
    UNION ALL
    (SELECT c.oid::pg_catalog.regclass::text, pg_catalog.age(c.relfrozenxid), pg_catalog.mxid_age(c.relminmxid), 2
     FROM pg_catalog.pg_class AS c
     WHERE c.relkind IN ('r', 'm', 't')
     ORDER BY 2 DESC, 1
     LIMIT 10)
)
SELECT name, xids AS transaction_ids, multixacts,
       pg_catalog.round(100.0 * GREATEST(xids / pg_catalog.current_setting('autovacuum_freeze_max_age')::numeric,
                                         multixacts / pg_catalog.current_setting('autovacuum_multixact_freeze_max_age')::numeric), 1)
           AS to_forced_vacuum_pct,
       pg_catalog.round(100.0 * GREATEST(xids, multixacts) / 2147483648, 2) AS to_the_end_pct
FROM ages
ORDER BY part, xids DESC, name;
