-- How many rows the running COPYs of the sessions with that application_name have moved so far. Variable: name.
SELECT p.pid, p.relid::int8 AS relid, p.tuples_processed AS rows
FROM pg_catalog.pg_stat_progress_copy AS p
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = p.pid
WHERE a.application_name = :'name';
