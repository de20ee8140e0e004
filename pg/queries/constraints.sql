-- A table's checks, unique, exclusion and primary keys (foreign keys: foreign_keys.sql). Variable: table.
SELECT conname AS name, pg_catalog.pg_get_constraintdef(oid) AS definition, convalidated AS valid
FROM pg_catalog.pg_constraint
WHERE conrelid = :'table'::pg_catalog.regclass AND contype IN ('c', 'u', 'x', 'p')
ORDER BY contype DESC, conname;
