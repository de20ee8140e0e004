-- Large objects are files of any size that every role of the database may write by default, readonly too, and in a read-only
-- transaction of a role that turns that off. Only the owner's migrations may: the application stores none. An application
-- that does needs `TO :"app_role"` here. Reading (lo_open, loread, lo_get) stays: each object has privileges of its own, and
-- a dump reads them as ops.
REVOKE EXECUTE ON FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea),
                           pg_catalog.lo_put(oid, bigint, bytea), pg_catalog.lowrite(integer, bytea),
                           pg_catalog.lo_truncate(integer, integer), pg_catalog.lo_truncate64(integer, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION pg_catalog.lo_creat(integer), pg_catalog.lo_create(oid), pg_catalog.lo_from_bytea(oid, bytea),
                          pg_catalog.lo_put(oid, bigint, bytea), pg_catalog.lowrite(integer, bytea),
                          pg_catalog.lo_truncate(integer, integer), pg_catalog.lo_truncate64(integer, bigint) TO flaglearning_owner;
