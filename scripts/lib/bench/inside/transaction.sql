BEGIN;
SELECT name FROM flags_country WHERE code = 'FR';
COMMIT;
