-- Code that a restored dump brings along and that would run later with the rights of the roles that use its tables: functions, operators,
-- casts, triggers, rules, policies, event triggers. Everything is compared with its own type: the database may define operators.
SELECT kind, name FROM (
    SELECT CASE p.prokind WHEN 'a'::"char" THEN 'aggregate' ELSE 'function' END AS kind, p.oid::pg_catalog.regprocedure::text AS name,
           'pg_catalog.pg_proc'::pg_catalog.regclass::oid AS class, p.oid, p.proowner AS owner
    FROM pg_catalog.pg_proc AS p
    UNION ALL
    SELECT 'operator', o.oid::pg_catalog.regoperator::text, 'pg_catalog.pg_operator'::pg_catalog.regclass::oid, o.oid, o.oprowner
    FROM pg_catalog.pg_operator AS o
    UNION ALL
    SELECT 'cast', pg_catalog.format('%s to %s', c.castsource::pg_catalog.regtype, c.casttarget::pg_catalog.regtype),
           'pg_catalog.pg_cast'::pg_catalog.regclass::oid, c.oid, COALESCE((SELECT p.proowner FROM pg_catalog.pg_proc AS p WHERE p.oid = c.castfunc), 10::oid)
    FROM pg_catalog.pg_cast AS c
    UNION ALL
    SELECT 'trigger', pg_catalog.format('%s on %s', t.tgname, t.tgrelid::pg_catalog.regclass),
           'pg_catalog.pg_trigger'::pg_catalog.regclass::oid, t.oid, 0::oid
    FROM pg_catalog.pg_trigger AS t WHERE NOT t.tgisinternal
    UNION ALL
    SELECT 'rule', pg_catalog.format('%s on %s', r.rulename, r.ev_class::pg_catalog.regclass),
           'pg_catalog.pg_rewrite'::pg_catalog.regclass::oid, r.oid, 0::oid
    FROM pg_catalog.pg_rewrite AS r WHERE r.rulename <> '_RETURN'::name
    UNION ALL
    SELECT 'policy', pg_catalog.format('%s on %s', p.polname, p.polrelid::pg_catalog.regclass),
           'pg_catalog.pg_policy'::pg_catalog.regclass::oid, p.oid, 0::oid
    FROM pg_catalog.pg_policy AS p
    UNION ALL
    SELECT 'event trigger', e.evtname::text, 'pg_catalog.pg_event_trigger'::pg_catalog.regclass::oid, e.oid, e.evtowner
    FROM pg_catalog.pg_event_trigger AS e
    UNION ALL
    SELECT 'language', l.lanname::text, 'pg_catalog.pg_language'::pg_catalog.regclass::oid, l.oid, l.lanowner
    FROM pg_catalog.pg_language AS l
    UNION ALL
    SELECT 'foreign server', s.srvname::text, 'pg_catalog.pg_foreign_server'::pg_catalog.regclass::oid, s.oid, s.srvowner
    FROM pg_catalog.pg_foreign_server AS s
) AS code
-- 16384: what initdb did not make. An extension's own members are the superuser's; what a dump added to it (ALTER EXTENSION … ADD) is not.
WHERE code.oid >= 16384::oid
  AND NOT (code.owner = 10::oid AND EXISTS (SELECT FROM pg_catalog.pg_depend AS d
      WHERE d.classid = code.class AND d.objid = code.oid AND d.deptype = 'e'::"char"))
ORDER BY kind, name;
