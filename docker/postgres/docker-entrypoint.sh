#!/usr/bin/env bash
# Start PostgreSQL; on an empty data directory create the cluster first. The superuser gets no password: it logs in through the
# socket (peer). Roles, databases and privileges are made by the service `roles` (apply-roles), not here.
# Everything here runs as the user postgres: volumes and secrets have to be readable by it.
set -Eeuo pipefail
umask 077  # CIS PostgreSQL Benchmark 2.1

readonly CONFIG=/etc/postgresql/postgresql.conf
readonly SIZING=/run/postgresql-sizing/90-sizing.conf
readonly ARCHIVE=/run/postgresql-sizing/91-archiving.conf
readonly MEMBER=/run/postgresql-sizing/92-member.conf

# usage: fail WHAT NEXT
fail() { printf 'ERROR: %s\nHINT:  %s\n' "$1" "$2" >&2; exit 1; }
note() { printf 'entrypoint: %s\n' "$*"; }

check_data_directory() {
	mkdir -p "$PGDATA" 2>/dev/null || true
	[ -d "$PGDATA" ] && [ -w "$PGDATA" ] ||
		fail "$PGDATA can't be written by $(id -un) (uid $(id -u))." "give the volume to it: chown -R $(id -u):$(id -g)"
	if [ -s "$PGDATA/PG_VERSION" ] && [ "$(<"$PGDATA/PG_VERSION")" != "$PG_MAJOR" ]; then
		fail "$PGDATA holds a cluster of PostgreSQL $(<"$PGDATA/PG_VERSION"), this image is $PG_MAJOR." "start the image of that version, or ./scripts/ops upgrade"
	fi
	# An empty data directory beside one of an older version: a new cluster would hide its data.
	local older
	for older in "${PGDATA%/*/*}"/*/data/PG_VERSION; do
		[ ! -s "$older" ] || [ -s "$PGDATA/PG_VERSION" ] || [ "$older" = "$PGDATA/PG_VERSION" ] ||
			fail "the volume holds a cluster of PostgreSQL $(<"$older"), this image is $PG_MAJOR." "./scripts/ops upgrade"
	done
}

check_tls() {
	local file
	for file in /tls/tls.crt /tls/tls.key; do
		[ -r "$file" ] || fail "the TLS file $file is missing or can't be read by $(id -un) (uid $(id -u))" \
			"development: docker compose up certificates; production: ./scripts/secrets new, on Ansible hosts site.yml"
	done
}

# A cluster that initdb did not finish keeps the name *.new, and is created again: $PGDATA is complete or empty.
create_cluster() {
	[ ! -s "$PGDATA/PG_VERSION" ] || return 0
	note "creating a cluster in $PGDATA"
	rm -rf "$PGDATA.new"
	# The built-in C.UTF-8 sorts the same whatever libc is underneath: no index to rebuild after a system upgrade.
	initdb --username=postgres --pgdata="$PGDATA.new" --data-checksums --encoding=UTF8 --locale-provider=builtin \
		--builtin-locale=C.UTF-8 --locale=C.UTF-8 --auth-local=peer --auth-host=reject --allow-group-access --no-instructions >/dev/null
	mv --no-target-directory "$PGDATA.new" "$PGDATA"
}

# The group, which pgBackRest's TLS server is in, may read the data directory and connect to the socket (docs/adr/0020). PostgreSQL
# gives new files the mode that the directory has. A data directory of an older version, or from a backup of one, is changed once;
# the directory itself last, so that an interrupted change is repeated.
allow_group_access() {
	chmod 0750 "${PGDATA%/*}" /run/postgresql
	[[ $(stat --format=%a "$PGDATA") != *750 ]] || return 0
	note "letting the group read $PGDATA"
	find -L "$PGDATA" -mindepth 1 ! -type l -exec chmod g+rX {} +
	chmod 0750 "$PGDATA"
}

compute_sizing() {
	local connections
	mkdir -p "${SIZING%/*}"
	rm -f "$SIZING"
	connections=$(postgres -D "$PGDATA" -C max_connections -c "config_file=$CONFIG")
	sizing.py "$connections" >"$SIZING"
}

# The server archives where there is a repository (pg/archiving.conf). ARCHIVING: on; off; or nothing: if the service `repository`
# has made one. It goes by the repository, not by how today's start was typed: a forgotten --profile would leave a WAL gap.
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

# Which member a client is connected to, for it to ask: current_setting('flaglearning.member').
name_member() {
	[[ ${PATRONI_NAME:-} =~ ^[a-z0-9][a-z0-9.-]*$ ]] || fail "PATRONI_NAME is '${PATRONI_NAME:-}'" "set it to the member's name"
	printf "flaglearning.member = '%s'\n" "$PATRONI_NAME" >"$MEMBER"
}

_main() {
	if [ "${1:0:1}" = '-' ]; then set -- postgres "$@"; fi
	if [ "$*" = create-cluster ]; then create_cluster; return; fi   # Patroni's bootstrap
	if [ "$1" = patroni ]; then
		check_data_directory
		check_tls
		archives || true
		allow_group_access
		compute_sizing
		choose_archiving
		name_member
	fi
	if [ "$1" = postgres ] && [[ " $* " != *' -C '* && " $* " != *' --'@(help|version)' '* ]]; then
		check_data_directory
		check_tls
		archives || true
		create_cluster
		allow_group_access
		compute_sizing
		choose_archiving
		shift
		set -- postgres -D "$PGDATA" -c "config_file=$CONFIG" "$@"
	fi
	exec "$@"
}

_main "$@"
