-- What a table refers to (out) and what refers to it (in), and what happens on deletion. Variable: table.
SELECT CASE WHEN c.conrelid = :'table'::pg_catalog.regclass THEN 'out' ELSE 'in' END AS direction,
       c.conrelid::pg_catalog.regclass::text AS table, f.columns, c.confrelid::pg_catalog.regclass::text AS refers_to,
       t.columns AS their_columns,
       CASE c.confdeltype WHEN 'a' THEN 'no action' WHEN 'r' THEN 'restrict' WHEN 'c' THEN 'cascade' WHEN 'n' THEN 'set null'
                          ELSE 'set default' END AS on_delete,
       c.convalidated AS valid, c.conname AS name
FROM pg_catalog.pg_constraint AS c
CROSS JOIN LATERAL (SELECT pg_catalog.string_agg(a.attname, ', ' ORDER BY k.position) AS columns
                    FROM pg_catalog.unnest(c.conkey) WITH ORDINALITY AS k (attnum, position)
                    JOIN pg_catalog.pg_attribute AS a ON (a.attrelid, a.attnum) = (c.conrelid, k.attnum)) AS f
CROSS JOIN LATERAL (SELECT pg_catalog.string_agg(a.attname, ', ' ORDER BY k.position) AS columns
                    FROM pg_catalog.unnest(c.confkey) WITH ORDINALITY AS k (attnum, position)
                    JOIN pg_catalog.pg_attribute AS a ON (a.attrelid, a.attnum) = (c.confrelid, k.attnum)) AS t
WHERE c.contype = 'f' AND :'table'::pg_catalog.regclass IN (c.conrelid, c.confrelid) AND c.conparentid = 0
ORDER BY direction DESC, 2, 3;
