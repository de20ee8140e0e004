-- Code that a dump brought along and that would run later as somebody else: functions, triggers, rules, policies.
SELECT kind, name FROM (
    SELECT 'function' AS kind, p.oid::pg_catalog.regprocedure::text AS name, 'pg_catalog.pg_proc'::pg_catalog.regclass AS class, p.oid
    FROM pg_catalog.pg_proc AS p
    UNION ALL
    SELECT 'trigger', pg_catalog.format('%s on %s', t.tgname, t.tgrelid::pg_catalog.regclass), 'pg_catalog.pg_trigger'::pg_catalog.regclass, t.oid
    FROM pg_catalog.pg_trigger AS t WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'rule', pg_catalog.format('%s on %s', r.rulename, r.ev_class::pg_catalog.regclass), 'pg_catalog.pg_rewrite'::pg_catalog.regclass, r.oid
    FROM pg_catalog.pg_rewrite AS r WHERE r.rulename <> '_RETURN'
    UNION ALL
    SELECT 'policy', pg_catalog.format('%s on %s', p.polname, p.polrelid::pg_catalog.regclass), 'pg_catalog.pg_policy'::pg_catalog.regclass, p.oid
    FROM pg_catalog.pg_policy AS p
    UNION ALL
    SELECT 'event trigger', e.evtname::text, 'pg_catalog.pg_event_trigger'::pg_catalog.regclass, e.oid
    FROM pg_catalog.pg_event_trigger AS e
) AS code
WHERE code.oid >= 16384
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend AS d WHERE d.classid = code.class AND d.objid = code.oid AND d.deptype = 'e')
ORDER BY kind, name;
