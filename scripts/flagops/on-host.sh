# Restore and reset: what these need of Docker. Sourced by scripts/ops, whose functions it uses. `|| return` everywhere: bash
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
