#!/usr/bin/env bash
# Start PostgreSQL; on an empty data directory create the cluster first. The conventions are the official image's:
# POSTGRES_PASSWORD or POSTGRES_PASSWORD_FILE, POSTGRES_DB, POSTGRES_INITDB_ARGS, /docker-entrypoint-initdb.d.
# Everything here runs as the user postgres: volumes and secrets have to be readable by it.
set -Eeuo pipefail

readonly CONFIG=/etc/postgresql/postgresql.conf
readonly SIZING=/run/postgresql-sizing/90-sizing.conf
readonly ARCHIVE=/run/postgresql-sizing/91-archiving.conf

# usage: fail WHAT NEXT
fail() { printf 'ERROR: %s\nHINT:  %s\n' "$1" "$2" >&2; exit 1; }
note() { printf 'entrypoint: %s\n' "$*"; }

# usage: from_file VAR [DEFAULT] — exports VAR, or what the file named by VAR_FILE holds (without its trailing newline)
from_file() {
	local var=$1 file_var="$1_FILE" value
	[ -z "${!var:-}" ] || [ -z "${!file_var:-}" ] ||
		fail "both $var and $file_var are set." "unset one of them: they are two ways to say the same"
	value=${!var:-${2:-}}
	if [ -n "${!file_var:-}" ]; then
		[ -r "${!file_var}" ] || fail "$file_var names ${!file_var}, which can't be read." "check the file's path and mode"
		value=$(<"${!file_var}")
	fi
	export "$var=$value"
	unset "$file_var"
}

check_data_directory() {
	mkdir -p "$PGDATA" 2>/dev/null || true
	[ -d "$PGDATA" ] && [ -w "$PGDATA" ] ||
		fail "$PGDATA can't be written by $(id -un) (uid $(id -u))." "give the volume to it: chown -R $(id -u):$(id -g)"
	if [ -s "$PGDATA/PG_VERSION" ] && [ "$(<"$PGDATA/PG_VERSION")" != "$PG_MAJOR" ]; then
		fail "$PGDATA holds a cluster of PostgreSQL $(<"$PGDATA/PG_VERSION"), this image is $PG_MAJOR." "start the image of that version, or upgrade with pg_upgrade"
	fi
}

check_password() {
	from_file POSTGRES_PASSWORD
	[ -n "$POSTGRES_PASSWORD" ] || fail "no password for the superuser: refusing to create a cluster." \
		"set POSTGRES_PASSWORD_FILE to a file with one, or POSTGRES_PASSWORD (docker run -e POSTGRES_PASSWORD=…)"
}

check_tls() {
	local file
	for file in /tls/tls.crt /tls/tls.key; do
		[ -r "$file" ] || fail "the TLS file $file is missing or can't be read by $(id -un) (uid $(id -u))." \
			"docker compose up certificates makes development's; in production see ./scripts/secrets"
	done
}

# shellcheck disable=SC2120  # its arguments come from POSTGRES_INITDB_ARGS
create_cluster() {
	note "creating a cluster in $PGDATA"
	# The built-in C.UTF-8 sorts the same whatever libc is underneath: no index to rebuild after a system upgrade.
	eval "set -- ${POSTGRES_INITDB_ARGS:-}"
	initdb --username=postgres --pwfile=<(printf '%s\n' "$POSTGRES_PASSWORD") --pgdata="$PGDATA" \
		--data-checksums --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C.UTF-8 \
		--auth-local=peer --auth-host=scram-sha-256 --no-instructions "$@" >/dev/null
	unset POSTGRES_PASSWORD
}

# usage: server_command — the one way this image starts a server
server_command() { printf '%s\n' postgres -D "$PGDATA" -c "config_file=$CONFIG"; }

bootstrap_sql() { psql --no-psqlrc --set=ON_ERROR_STOP=1 --quiet --host=/run/postgresql --username=postgres "$@"; }

# Like the official image: no TCP until the first-start scripts have run, so that nobody meets a half-made database.
run_initdb_scripts() {
	local file
	pg_ctl -D "$PGDATA" -w -s -o "-c config_file=$CONFIG -c listen_addresses=''" start
	if [ -n "${POSTGRES_DB:-}" ] && [ "$POSTGRES_DB" != postgres ]; then
		bootstrap_sql --dbname=postgres --set=db="$POSTGRES_DB" <<<'CREATE DATABASE :"db";'
	fi
	for file in /docker-entrypoint-initdb.d/*; do
		# shellcheck disable=SC1090  # sourced like the official image does
		case "$file" in
			*.sh)      note "running $file"; if [ -x "$file" ]; then "$file"; else . "$file"; fi ;;
			*.sql)     note "running $file"; bootstrap_sql --dbname="${POSTGRES_DB:-postgres}" --file="$file" ;;
			*.sql.gz)  note "running $file"; gunzip -c "$file" | bootstrap_sql --dbname="${POSTGRES_DB:-postgres}" ;;
			*.sql.xz)  note "running $file"; xzcat "$file" | bootstrap_sql --dbname="${POSTGRES_DB:-postgres}" ;;
			*.sql.zst) note "running $file"; zstdcat "$file" | bootstrap_sql --dbname="${POSTGRES_DB:-postgres}" ;;
			*/\*)      ;;
			*)         note "ignoring $file" ;;
		esac
	done
	pg_ctl -D "$PGDATA" -m fast -w -s stop
}

compute_sizing() {
	local connections
	mkdir -p "${SIZING%/*}"
	rm -f "$SIZING"
	connections=$(postgres -D "$PGDATA" -C max_connections -c "config_file=$CONFIG")
	sizing.py "$connections" >"$SIZING"
}

# The server archives where there is a repository (pg/archiving.conf). ARCHIVING: on; off; or nothing: if the service `repository`
# has made one. It goes by the repository, not by how today's start was typed: a forgotten --profile would tear a hole in the WAL.
archives() {
	case ${ARCHIVING:-} in
		on) ;;
		off) return 1 ;;
		'') [ -e /var/lib/pgbackrest/.for-backups ] ;;
		*) fail "ARCHIVING is '$ARCHIVING'." "set it to on or off, or leave it empty" ;;
	esac
}

choose_archiving() {
	rm -f "$ARCHIVE"
	if archives; then cp /etc/postgresql/archiving.conf "$ARCHIVE"; fi
}

# A cluster that wasn't finished (killed in the middle of its first start) has no marker: it is made anew, since nobody has
# been let in yet.
initialise() {
	local marker="$PGDATA/.initialising"
	if [ -e "$marker" ]; then
		note "the first start did not finish: creating the cluster again"
		find "$PGDATA" -mindepth 1 -delete
	fi
	[ ! -s "$PGDATA/PG_VERSION" ] || return 0
	from_file POSTGRES_DB
	from_file POSTGRES_INITDB_ARGS
	check_password
	# shellcheck disable=SC2119
	create_cluster
	touch "$marker"
	compute_sizing
	run_initdb_scripts
	rm "$marker"
}

_main() {
	if [ "${1:0:1}" = '-' ]; then set -- postgres "$@"; fi
	if [ "$1" = postgres ] && [[ " $* " != *' -C '* && " $* " != *' --'@(help|version)' '* ]]; then
		check_data_directory
		check_tls
		archives || true
		initialise
		compute_sizing
		choose_archiving
		shift
		mapfile -t command < <(server_command)
		set -- "${command[@]}" "$@"
	fi
	exec "$@"
}

_main "$@"
