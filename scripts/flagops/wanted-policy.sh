#!/bin/bash
# What apply.sql makes of a fresh server: runs in a container of the image flaglearning/postgres that has no network and no secret
# (./scripts/ops setup verify starts it). Standard input: pg/queries/policy.sql. Standard output: its answers, as CSV.
set -euo pipefail
query=$(cat)
export SECRETS=/tmp/secrets PGHOST=/run/postgresql PGUSER=postgres PGDATA=/tmp/data
mkdir "$SECRETS"
for role in app migrator readonly ops pgbouncer; do
	od -An -tx1 -N20 /dev/urandom | tr -d ' \n' >"$SECRETS/${role}_password"
done
{
	initdb --username postgres --auth peer --no-sync
	pg_ctl start --wait --silent --options \
		"-c listen_addresses= -c unix_socket_directories=$PGHOST -c fsync=off -c shared_preload_libraries=pg_stat_statements,pgaudit"
	pgadmin apply
	# It stands for whatever migrations make.
	psql --no-psqlrc --quiet -d "$APP_DATABASE" -c "SET ROLE flaglearning_owner" -c "CREATE TABLE policy_probe (id bigint GENERATED ALWAYS AS IDENTITY)"
} >/tmp/log 2>&1 || { cat /tmp/log >&2; exit 1; }
for database in "$APP_DATABASE" postgres; do
	psql --no-psqlrc --csv --tuples-only -v ON_ERROR_STOP=1 -v database="$APP_DATABASE" -d "$database" <<<"$query"
done
