-- The restore that is under way: who holds the lock of restores (an advisory lock in the database `postgres`), and since when.
SELECT a.pid, a.usename::text AS role, a.application_name AS name, a.client_addr::text AS address, a.backend_start AS since
FROM pg_catalog.pg_locks AS l
JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND (l.classid, l.objid, l.objsubid) = (5432, 3, 2);
