-- The newest drill's report (./scripts/ops backup drill), and the newest one that passed.
SELECT at, passed, report, (SELECT pg_catalog.max(at) FROM operations.drill WHERE passed) AS newest_passed
FROM operations.drill ORDER BY at DESC LIMIT 1;
