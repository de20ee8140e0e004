#!/usr/bin/env bash
# Write the lookup role's password where PgBouncer reads it (it needs the plaintext to log in with SCRAM), then start.
set -Eeuo pipefail

readonly SECRET=/run/secrets/pgbouncer_password USERLIST=/run/pgbouncer/userlist.txt

fail() { printf 'ERROR: %s\nHINT:  %s\n' "$1" "$2" >&2; exit 1; }

[ -r "$SECRET" ] || fail "the secret $SECRET is missing or can't be read." "put pgbouncer_password into the folder that SECRETS_DIR names"
for file in /tls/ca.crt /tls/tls.crt /tls/tls.key; do
	[ -r "$file" ] || fail "the TLS file $file is missing or can't be read by uid $(id -u)." \
		"docker compose up certificates makes development's; in production see ./scripts/secrets"
done

umask 077
# While it is being changed the file has two lines: the last is the one that the server is given.
password=$(tail -n 1 "$SECRET")
# In this file a quotation mark is written twice (pgbouncer(5), "Authentication file format").
printf '"pgbouncer" "%s"\n' "${password//\"/\"\"}" >"$USERLIST"

exec "$@"
