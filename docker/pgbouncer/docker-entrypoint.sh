#!/usr/bin/env bash
# Write the lookup role's password where PgBouncer reads it (SCRAM logins need the plaintext), then start PgBouncer.
#
#   docker-entrypoint.sh COMMAND…          start
#   docker-entrypoint.sh write-userlist    in the running container, after the secret has changed; RELOAD reads it
#
# POOLERS: how many PgBouncers share the server's connections, one on each application host of a cluster (default: 1).
set -Eeuo pipefail
umask 077

readonly SECRET=/run/secrets/pgbouncer_password USERLIST=/run/pgbouncer/userlist.txt SHARE=/run/pgbouncer/share.ini

fail() { printf 'ERROR: %s\nHINT:  %s\n' "$1" "$2" >&2; exit 1; }

check_files() {
	local file
	[ -r "$SECRET" ] || fail "the secret $SECRET is missing or can't be read by uid $(id -u)" \
		"put pgbouncer_password into the folder that SECRETS_DIR names (./scripts/secrets new)"
	for file in /tls/ca.crt /tls/tls.crt /tls/tls.key; do
		[ -r "$file" ] || fail "the TLS file $file is missing or can't be read by uid $(id -u)" \
			"development: docker compose up certificates; production: ./scripts/secrets new, on Ansible hosts site.yml"
	done
}

write_userlist() {
	local password
	# While the password is being changed the file has two lines; the last is the one that PostgreSQL is given.
	password=$(tail -n 1 "$SECRET")
	# A quotation mark is doubled in this file (pgbouncer(5), "Authentication file format").
	printf '"pgbouncer" "%s"\n' "${password//\"/\"\"}" >"$USERLIST.new"
	mv "$USERLIST.new" "$USERLIST"
}

# This pooler's part of what pg/pgbouncer.ini gives one: two pools (the application's and readonly's) with both in reserve fit the part.
write_share() {
	local poolers=${POOLERS:-1} part reserve
	[[ $poolers =~ ^[1-5]$ ]] || fail "POOLERS is '$poolers'" "set it to the number of application hosts: 1 to 5"
	part=$((50 / poolers)) reserve=$((poolers < 5 ? 5 / poolers : 1))
	printf '%s\n' "max_db_connections = $part" "reserve_pool_size = $reserve" "default_pool_size = $((part / 2 - reserve))" >"$SHARE"
}

check_files
write_userlist
write_share
if [ "$*" != write-userlist ]; then exec "$@"; fi
