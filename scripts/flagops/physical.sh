# Physical backups: what they need of Docker. Sourced by scripts/ops, whose functions it uses. The work is done by `physical` in the
# server's image (docker/postgres/physical); its answers are JSON, which the CLI shows.
# shellcheck shell=bash disable=SC2034  # `options` is run_service's

# Which repository is meant: REPOSITORY=2 before a command is the one on the backup host.
repository_option() { [ -z "${REPOSITORY:-}" ] || echo "--env=REPOSITORY=$REPOSITORY"; }

# usage: physical COMMAND ARGUMENT… — beside the server, through its socket
physical() {
	local options
	mapfile -t options < <(echo --no-TTY; repository_option)
	run_service backup "$@"
}

# usage: run_restore COMMAND ARGUMENT… — the same, where the data directory can be written
run_restore() {
	local options
	mapfile -t options < <(echo --no-TTY; repository_option)
	run_service restore "$@" </dev/null
}

# usage: scratch_name — of the scratch instance's container
scratch_name() { docker compose config | sed -n 's/^name: \(.*\)/\1-scratch/p;1q'; }

# usage: without_json ARGUMENT… — one a line
without_json() { local word; for word; do [ "$word" = --json ] || printf '%s\n' "$word"; done; }

# usage: backup_physical [--type full|incr] [--json], backup_facts info|verify|list [--json]
backup_physical() { show_facts physical backup "$@"; }
backup_facts() {
	case $1 in
		list) show_facts list info "${@:2}" ;;
		moment) show_facts moment mark "${@:2}" ;;
		*) show_facts "$1" "$1" "${@:2}" ;;
	esac
}

# usage: show_facts COMMAND-OF-OPS-BACKUP COMMAND-OF-PHYSICAL ARGUMENT…
show_facts() {
	local found status=0 given
	mapfile -t given < <(without_json "${@:3}")
	found=$(physical "$2" "${given[@]}" </dev/null) || status=$?
	[ -n "$found" ] || return "$status"
	ops backup "$1" "${@:3}" <<<"$found"
}

# usage: restore_physical (--to TIME | --latest | --backup LABEL) [--scratch] [--table TABLE] [--yes] [--dry-run]
restore_physical() {
	local target=() table='' scratch='' yes=() given=("$@") answer status=0
	while [ $# -gt 0 ]; do
		case $1 in
			--to | --backup | --timeline) target+=("$1" "${2:-}"); shift ;;
			--to=* | --backup=* | --timeline=* | --latest) target+=("$1") ;;
			--table) table=${2:-}; shift ;;
			--table=*) table=${1#*=} ;;
			--scratch) scratch=1 ;;
			--yes | -y) yes=(--yes) ;;
		esac
		shift
	done
	PLAN=$(physical plan "${target[@]}" </dev/null) || return
	export PLAN
	ops restore physical "${given[@]}" || return
	has --dry-run "${given[@]}" && return
	if [ -n "$table" ]; then
		start_scratch && fetch_table "$table" "${yes[@]}" || status=$?
		[ -n "$scratch" ] || drop_scratch
		return $status
	elif [ -n "$scratch" ]; then
		start_scratch || return
		echo "look at it: ./scripts/ops scratch psql; remove it: ./scripts/ops scratch drop"
	else
		replace_data_directory
	fi
}

# The server stops, the new data directory takes the old one's place, the server starts; or, if anything fails, the old one does.
replace_data_directory() {
	local answer status=0
	trap : INT TERM     # the container gets them too, and leaves the old directory as it was; here it is started again
	docker compose stop postgres >&2
	answer=$(run_restore restore "$PLAN") || status=$?
	docker compose up --detach --no-deps --no-recreate --no-build --wait postgres >&2 || status=$?
	trap - INT TERM
	if [ $status -ne 0 ]; then
		die 1 "nothing was restored (why is above); the server runs on the data directory that it had." "./scripts/ops backup info"
	fi
	apply_setup >&2 || return       # today's passwords and privileges
	if [ -n "$(docker compose ps --quiet --status running pgbouncer)" ]; then docker compose restart pgbouncer >&2; fi
	printf '%s\n' "$answer"
	echo "restored. If it is what you wanted: ./scripts/ops restore directories, then drop the old one; a new backup: ./scripts/ops backup physical" >&2
}

# usage: start_scratch — as PLAN says; returns when it answers queries
start_scratch() {
	local name options
	name=$(scratch_name)
	mapfile -t options < <(repository_option)
	drop_scratch
	docker compose run --detach --no-deps --no-TTY --use-aliases "${options[@]}" --name "$name" scratch scratch "$PLAN" >/dev/null || return
	if ! READY=$(docker exec "$name" physical ready 2>/dev/null); then
		READY=null
		docker wait "$name" >/dev/null 2>&1 || true
		SCRATCH_LOG=$(docker logs "$name" 2>&1 | tail -n 20)
		printf '%s\n' "$SCRATCH_LOG" >&2
		drop_scratch
		return 1
	fi
}

drop_scratch() {
	local name
	name=$(scratch_name)
	docker rm --force --volumes "$name" >/dev/null 2>&1 || true
	docker volume rm --force "${name%-scratch}_scratch-data" >/dev/null 2>&1 || true
}

scratch_psql() { INSTANCE=scratch ops scratch psql "$@"; }

# usage: fetch_table TABLE [--yes] — a dump of it from the scratch instance, restored with everything that a restore looks at; one
# that the stack has lost is made again
fetch_table() {
	local dump status=0
	ops describe "$1" >/dev/null 2>&1 || status=$?
	if [ $status = 4 ]; then
		ops scratch bring-back "$@" && apply_setup >&2
		return
	fi
	dump=$(INSTANCE=scratch ops backup table "$1") || return
	restore table "${dump%$'\r'}" "${@:2}"
}

# usage: backup_drill [--json]
backup_drill() {
	local chosen checks=() said name report status=0 options=(--no-TTY)
	chosen=$(physical choose </dev/null) || return
	PLAN=${chosen%%$'\n'*}
	READY=null SCRATCH_LOG=
	name=$(scratch_name)
	if start_scratch; then
		said=$(docker exec --interactive "$name" physical prove <<<"${chosen#*$'\n'}") || said=$(failed_check "what was restored can be compared" "it could not: see above")
		checks+=("$said" "$(check_migrations)")
		docker stop --time 60 "$name" >/dev/null
		checks+=("$(run_service scratch checksums </dev/null)")
	else
		checks+=("$(failed_check "the backup can be restored" "$SCRATCH_LOG")")
	fi
	drop_scratch
	report=$(printf '{"chosen": %s, "ready": %s, "parts": [%s]}' "${chosen#*$'\n'}" "$READY" "$(IFS=,; echo "${checks[*]}")" | ops backup drill) || status=$?
	[ -n "$report" ] || return "$status"
	physical record <<<"$report" || return
	ops backup report "$@"
}

# A dump of everything, one of the schema, both read again; then what the retention doesn't keep goes. Where there is a backup host, both
# go there too.
backup_nightly() {
	local full schema name
	full=$(ops backup full) || return
	schema=$(ops backup schema) || return
	ops backups verify "${full%$'\r'}" "${schema%$'\r'}" || return
	ops backups prune --yes || return
	physical night "${full%$'\r'}" "${schema%$'\r'}" </dev/null || return
	physical second </dev/null || return 0
	for name in "${full%$'\r'}" "${schema%$'\r'}"; do
		in_ops tar --create --directory /backups "$name" | physical put "$name" || return
	done
}

# usage: fetch_copy NAME — a dump that only the backup host has any more
fetch_copy() {
	in_ops test ! -e "/backups/$1" || die 1 "$1 is here already." "./scripts/ops backups list"
	physical second "$1" </dev/null || return
	physical get "$1" </dev/null | in_ops tar --extract --directory /backups || return
	ops backups verify "$1"
}

# usage: in_ops PROGRAM ARGUMENT… — another program of the CLI's image, as its user
in_ops() {
	local options=(--no-TTY --entrypoint "$1")
	run_service ops "${@:2}"
}

# usage: failed_check WHAT SAW
failed_check() {
	local saw=${2//\\/}
	saw=${saw//\"/\'}
	printf '{"check": "%s", "ok": false, "saw": "%s"}' "$1" "$(tr -d '\000-\010\013-\037' <<<"$saw" | tr '\n\t' '  ')"
}

# Django, with today's code, at the scratch instance: the server's certificate and name are verified, its address is another.
check_migrations() {
	local options=(--no-TTY)
	# shellcheck disable=SC2016  # the container's shell expands it
	if said=$(run_service --entrypoint sh migrate -ec 'DATABASE_URL="$DATABASE_URL&hostaddr=$(getent ahostsv4 scratch | head -n 1 | cut -d " " -f 1)" exec python manage.py migrate --check' </dev/null 2>&1); then
		printf '{"check": "Django'"'"'s migrate --check passes", "ok": true, "saw": "every migration of the application is applied"}'
	else
		failed_check "Django's migrate --check passes" "${said: -600}"
	fi
}
