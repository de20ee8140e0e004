# Restore, reset, password: what these need of Docker. Sourced by scripts/ops, whose functions it uses. `|| return` everywhere: bash
# ignores `set -e` in a function that is called with `||`, as main is.
# shellcheck shell=bash disable=SC2034  # `options` is run_service's

# usage: clerk ARGUMENT… — the superuser's part, through the socket (docker/postgres/database-clerk)
clerk() {
	local options=(--no-TTY --entrypoint database-clerk)
	run_service roles "$@" </dev/null
}

# usage: has WORD ARGUMENT… — is it among the arguments?
has() {
	local word
	for word in "${@:2}"; do [ "$word" = "$1" ] && return; done
	return 1
}

# usage: restore ARGUMENT… — the container that restores, and the superuser's clerk beside it, who ends with it
restore() {
	local status=0 token name clerk
	if has --dry-run "$@"; then ops restore "$@"; return; fi
	token=$(od -An -N4 -tx1 /dev/urandom | tr -d ' ')
	name=flaglearning-clerk-$token
	clerk_beside "$token" "$name" &
	clerk=$!
	trap : INT TERM     # the container gets them too; here it is waited for
	RESTORE_TOKEN=$token ops restore "$@" || status=$?
	# It ends by itself after a restore. If it never came to one, nobody else tells it; and it may still be starting.
	while kill -0 "$clerk" 2>/dev/null; do
		docker kill --signal TERM "$name" >/dev/null 2>&1 || true
		sleep 0.2
	done
	trap - INT TERM
	# A restore that was killed while the pooler's clients waited.
	case $status in 0 | 1 | 2 | 4) ;; *) ops restore resume >/dev/null 2>&1 || true ;; esac
	return $status
}

# usage: clerk_beside TOKEN NAME
clerk_beside() {
	local options=(--no-TTY --entrypoint database-clerk --name "$2")
	run_service roles restore "$1" </dev/null
}

# usage: drop_kept NAME [--yes] [--dry-run]
drop_kept() {
	local word name=''
	ops restore drop "$@" || return
	has --dry-run "$@" && return
	for word; do case $word in -*) ;; *) name=$word ;; esac; done
	clerk drop "$name"
}

# usage: reset [--yes] [--dry-run]
reset() {
	ops reset "$@" || return
	has --dry-run "$@" && return
	clerk reset || return
	manage migrate --no-input --verbosity 0 || return
	manage load_countries
}

# usage: reset_password ROLE [--prompt] [--yes]
reset_password() {
	local role='' prompt=() word file old new
	for word; do
		case $word in
			--prompt) prompt=(--prompt) ;;
			--yes | -y) ;;
			*) role=$word ;;
		esac
	done
	new=$(ops password make "$role" "${prompt[@]}") || return
	new=${new%$'\r'}
	file=$(secret_file "$role") || return
	old=$(head -n 1 "$file") || return
	if ! has --yes "$@" && ! has -y "$@" && [[ $file = */docker/secrets.dev/* ]]; then
		die 1 "$file is development's public password, in git: it would be changed for everybody who pulls." \
			"--yes if you mean it; or SECRETS_DIR=./secrets, a folder of your own (./scripts/secrets new)"
	fi
	[ -n "$(docker compose ps --quiet --status running postgres)" ] ||
		die 1 "the server isn't running, so nothing was changed." "docker compose up --detach --wait postgres"
	scripts/change-secret begin "$file" <<<"$new" >/dev/null || return
	if ! apply_setup; then
		die 1 "the server did not take the new password (its message is above). Both are in $file, and every client tries both." \
			"./scripts/ops doctor; then the same command again"
	fi
	scripts/change-secret end "$file" <<<"$new" >/dev/null || return
	settle_password "$role" <<<"$old" || return
	echo "the secret file: $file" >&2
}

# usage: settle_password ROLE — the server has the new password, and its secret's file has nothing else: the pooler learns its own,
# and it is proven that the old one, on standard input, is refused
settle_password() {
	local old
	IFS= read -r old
	if [ "$1" = pgbouncer ]; then give_pooler "$(cat "$(secret_file "$1")")" || return; fi
	ops password prove "$1" <<<"$old"
}

# usage: secret_file ROLE — where Compose takes it from
secret_file() {
	docker compose --profile '*' config --format json |
		sed -n "/^    \"$1_password\": {/,/}/s/.*\"file\": \"\(.*\)\".*/\1/p"
}

# usage: give_pooler PASSWORD — its own login: the file it reads, and RELOAD; no client is disconnected
give_pooler() {
	[ -n "$(docker compose ps --quiet --status running pgbouncer)" ] || return 0
	docker compose exec -T pgbouncer bash -c \
		'umask 077; read -r password; printf "\"pgbouncer\" \"%s\"\n" "${password//\"/\"\"}" >/run/pgbouncer/userlist.new && mv /run/pgbouncer/userlist.new /run/pgbouncer/userlist.txt' <<<"$1" || return
	docker compose exec -T pgbouncer bash -c 'kill -HUP "$(pidof pgbouncer 2>/dev/null || pgrep -o pgbouncer)"'
}
