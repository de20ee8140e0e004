-- Indexes that another one makes unnecessary: the same columns, or a prefix of them, with the same order, classes and condition.
SELECT redundant.indrelid::pg_catalog.regclass::text AS table, redundant.indexrelid::pg_catalog.regclass::text AS index,
       pg_catalog.pg_relation_size(redundant.indexrelid) AS size_bytes,
       kept.indexrelid::pg_catalog.regclass::text AS covered_by,
       CASE WHEN redundant.indnkeyatts = kept.indnkeyatts THEN 'same columns' ELSE 'prefix' END AS why
FROM pg_catalog.pg_index AS redundant
JOIN pg_catalog.pg_class AS r ON r.oid = redundant.indexrelid
JOIN pg_catalog.pg_namespace AS n ON n.oid = r.relnamespace AND n.nspname <> 'pg_toast' AND n.nspname <> 'pg_catalog'
JOIN pg_catalog.pg_index AS kept ON kept.indrelid = redundant.indrelid AND kept.indexrelid <> redundant.indexrelid
JOIN pg_catalog.pg_class AS k ON k.oid = kept.indexrelid AND k.relam = r.relam
CROSS JOIN LATERAL (SELECT pg_catalog.string_to_array(redundant.indkey::text, ' ') AS keys,
                           pg_catalog.string_to_array(redundant.indclass::text, ' ') AS classes,
                           pg_catalog.string_to_array(redundant.indcollation::text, ' ') AS collations,
                           pg_catalog.string_to_array(redundant.indoption::text, ' ') AS options) AS a
CROSS JOIN LATERAL (SELECT pg_catalog.string_to_array(kept.indkey::text, ' ') AS keys,
                           pg_catalog.string_to_array(kept.indclass::text, ' ') AS classes,
                           pg_catalog.string_to_array(kept.indcollation::text, ' ') AS collations,
                           pg_catalog.string_to_array(kept.indoption::text, ' ') AS options) AS b
WHERE redundant.indisvalid AND kept.indisvalid
  -- expressions and conditions: the same text, or none
  AND pg_catalog.pg_get_expr(redundant.indpred, redundant.indrelid) IS NOT DISTINCT FROM pg_catalog.pg_get_expr(kept.indpred, kept.indrelid)
  AND redundant.indkey::text !~ '\m0\M' AND kept.indkey::text !~ '\m0\M'
  AND a.keys = b.keys[:pg_catalog.cardinality(a.keys)]
  AND a.classes = b.classes[:redundant.indnkeyatts] AND a.collations = b.collations[:redundant.indnkeyatts]
  AND a.options = b.options[:redundant.indnkeyatts]
  AND redundant.indnkeyatts <= kept.indnkeyatts
  -- a prefix helps only B-trees; of two equal ones the plainer goes, then the younger
  AND (redundant.indnkeyatts = kept.indnkeyatts OR r.relam = (SELECT oid FROM pg_catalog.pg_am WHERE amname = 'btree'))
  AND (NOT redundant.indisunique OR (kept.indisunique AND redundant.indnkeyatts = kept.indnkeyatts))
  AND (pg_catalog.cardinality(a.keys) < pg_catalog.cardinality(b.keys)
       OR (redundant.indisprimary, redundant.indisunique, -redundant.indexrelid::bigint) < (kept.indisprimary, kept.indisunique, -kept.indexrelid::bigint))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_constraint AS c WHERE c.conindid = redundant.indexrelid)
ORDER BY 3 DESC, 1, 2, 4;
