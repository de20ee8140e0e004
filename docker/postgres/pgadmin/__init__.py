"""The privileged helper: what only the superuser may do, as one-shots through the server's socket.

./scripts/ops and the stack's start call `pgadmin VERB [PARAMETERS]` in a container of the service `roles`: one JSON
object in, JSON on standard output, errors on standard error. Each verb is one step, validates its names, and can be
repeated: killed in the middle, the same command again converges.

    session.py    the superuser's session: search_path is pg_catalog, pg_temp
    policy.py     apply: pg/sql/apply.sql, with SCRAM verifiers computed here
    databases.py  staging databases of restores: create, reassign, rename, drop; reset
"""
