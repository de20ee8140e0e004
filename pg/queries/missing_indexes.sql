-- Where an index may be missing: foreign keys without one (deleting a parent row scans the child), and tables that are mostly scanned.
WITH foreign_keys AS (
    SELECT c.conrelid AS relid, c.conname AS name,
           pg_catalog.string_agg(a.attname, ', ' ORDER BY k.position) AS columns
    FROM pg_catalog.pg_constraint AS c
    CROSS JOIN LATERAL pg_catalog.unnest(c.conkey) WITH ORDINALITY AS k (attnum, position)
    JOIN pg_catalog.pg_attribute AS a ON (a.attrelid, a.attnum) = (c.conrelid, k.attnum)
    WHERE c.contype = 'f'
      AND NOT EXISTS (
          SELECT FROM pg_catalog.pg_index AS i
          WHERE i.indrelid = c.conrelid AND i.indisvalid
            -- looking for a key finds no null, so an index without the nulls will do
            AND (i.indpred IS NULL OR pg_catalog.pg_get_expr(i.indpred, i.indrelid) =
                 (SELECT pg_catalog.format('(%I IS NOT NULL)', k.attname) FROM pg_catalog.pg_attribute AS k
                  WHERE k.attrelid = c.conrelid AND ARRAY[k.attnum] = c.conkey))
            -- the key's columns, in any order, are the index's first ones
            AND (pg_catalog.string_to_array(i.indkey::text, ' ')::int2[])[:pg_catalog.cardinality(c.conkey)] @> c.conkey)
    GROUP BY c.oid, c.conrelid, c.conname
)
SELECT t.relid::pg_catalog.regclass::text AS table, 'foreign key without an index' AS why, f.columns || ' (' || f.name || ')' AS detail,
       t.n_live_tup AS live_rows, t.seq_scan AS scans, pg_catalog.pg_relation_size(t.relid) AS size_bytes
FROM foreign_keys AS f
JOIN pg_catalog.pg_stat_user_tables AS t ON t.relid = f.relid
UNION ALL
SELECT t.relid::pg_catalog.regclass::text, 'mostly scanned',
       pg_catalog.format('%s scans of the whole table read %s rows; %s index scans', t.seq_scan, t.seq_tup_read, COALESCE(t.idx_scan, 0)),
       t.n_live_tup, t.seq_scan, pg_catalog.pg_relation_size(t.relid)
FROM pg_catalog.pg_stat_user_tables AS t
-- a small table is scanned because that is faster
WHERE t.n_live_tup > 10000 AND t.seq_scan > COALESCE(t.idx_scan, 0) AND t.seq_scan > 10
ORDER BY size_bytes DESC, 1, 3;
