# shellcheck shell=sh
#
# Part of tests/chaos/run: the faults.  Each program has a lane, a process that
# injects its faults one after the other and leaves it running; the lanes run
# side by side.  Counts on ${dir}, ${work}, ${stack} and wait_for of the driver.

# Print the processes of program $1, the main one first.  PostgreSQL's children
# lead groups of their own.
processes() {
	main=$(cat "$dir/run/$1.pid")
	case $1 in
	postgres) by=ppid ;;
	*) by=pgid ;;
	esac
	echo "$main"
	ps -eo "pid=,$by=,stat=" | awk -v main="$main" \
	    '$1 != main && $2 == main && $3 !~ /^Z/ { print $1 }'
}

# Print one of the processes $2..., the same for the same number $1.
pick() {
	skip=$(($1 % ($# - 1) + 1))
	shift "$skip"
	echo "$1"
}

# Freeze the main process first, so that it starts none that we do not see.
freeze() {
	kill -STOP "$(cat "$dir/run/$1.pid")"
	frozen=$(processes "$1")
	echo "$frozen" >"$work/frozen.$1"
	# shellcheck disable=SC2086 # a list of numbers
	kill -STOP $frozen 2>/dev/null || true
}

thaw() {
	# shellcheck disable=SC2046 # a list of numbers
	kill -CONT $(cat "$work/frozen.$1") 2>/dev/null || true
	rm -f "$work/frozen.$1"
}

# The sessions of the programs in $1 end, as with a firewall that forgot them.
# followup-schedule has none while it has had nothing to do since it lost them:
# give it a reason.
disconnect() {
	[ "$1" != schedule ] ||
	    curl -s -o /dev/null -m 2 --noproxy '*' "$LOCAL_URL/readyz" || true
	ended=$(psql -XAtq -v ON_ERROR_STOP=1 -c "SELECT count(*)
	    FROM (SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	    WHERE application_name = 'followup-$1') AS t") && [ "$ended" != 0 ]
}

# The database lets the daemons in no more (NOLOGIN), or again (LOGIN).
let_in() {
	psql -XAtq -v ON_ERROR_STOP=1 -c "ALTER ROLE followup $1" \
	    -c "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
	    WHERE '$1' = 'NOLOGIN' AND usename = 'followup'" >/dev/null
}

# The database takes no more writes, as a primary that was demoted (on), or it
# does again (off).
read_only() {
	PGOPTIONS='-c default_transaction_read_only=off' \
	    psql -XAtq -v ON_ERROR_STOP=1 \
	    -c "ALTER SYSTEM SET default_transaction_read_only = $1" \
	    -c 'SELECT pg_reload_conf()' >/dev/null
}

# Program $1 can be reached no more, as if the network between were gone; the
# program itself notices nothing.
cut_off() {
	case $1 in
	postgres) wait_for 30 let_in NOLOGIN ;;
	emulator | voice-agent) script "$1" '[{"reset":"before","count":-1}]' ;;
	*) mv "$(socket_of "$1")" "$(socket_of "$1").cut" ;;
	esac
}

reconnect() {
	case $1 in
	postgres) wait_for 60 let_in LOGIN ;;
	emulator | voice-agent) script "$1" '[]' ;;
	*) mv "$(socket_of "$1").cut" "$(socket_of "$1")" ;;
	esac
}

# The socket by which others reach program $1.
socket_of() {
	runtime=${LOCAL_SOCKET%/*}
	case $1 in
	nginx) echo "$LOCAL_SOCKET" ;;
	*) echo "$runtime/$1.sock" ;;
	esac
}

# Have a stand-in answer "by the rules $2".
script() {
	case $1 in
	emulator) url=$EMULATOR_URL/admin/faults ;;
	voice-agent) url=$VOICE_AGENT_URL/script ;;
	esac
	curl -sf -m 20 --noproxy '*' -H 'Content-Type: application/json' \
	    -d "$2" "$url"
}

# Print the rules of kind $2 for the stand-in $1; each answer that they spoil
# is drawn by the stand-in itself.
rules() {
	case $1,$2 in
	emulator,errors) cat <<-'EOT'
		[{"status":500,"body":"<html>Error 500</html>","count":-1,
		  "probability":0.1},
		 {"status":503,"body":"<html>Error 503</html>","count":-1,
		  "probability":0.1,"performed":true,
		  "operation":"createTask"},
		 {"status":503,"count":-1,"probability":0.1},
		 {"status":429,"headers":{"Retry-After":"1"},"count":-1,
		  "probability":0.1}]
		EOT
		;;
	voice-agent,errors) cat <<-'EOT'
		[{"status":503,"method":"POST","count":-1,"probability":0.2},
		 {"status":429,"headers":{"Retry-After":"1"},"method":"POST",
		  "count":-1,"probability":0.1}]
		EOT
		;;
	*,slow)
		# Some longer than a call may take (FOLLOWUP_CALL_TIMEOUT).
		echo '[{"delayMs":4000,"count":-1,"probability":0.03},
		    {"delayMs":300,"count":-1,"probability":0.3}]' ;;
	*,reset)
		echo '[{"reset":"before","count":-1,"probability":0.15},
		    {"reset":"after","count":-1,"probability":0.15}]' ;;
	esac
}

# Kill one of the processes that do the work of program $1, chosen by the plan's
# number $2.  Of PostgreSQL, one that serves the daemons: all others end too.
kill_worker() {
	if [ "$1" = postgres ]; then
		victims=$(psql -XAtq -c "SELECT pid FROM pg_stat_activity
		    WHERE usename = 'followup'")
	else
		victims=$(processes "$1" | tail -n +2)
	fi
	# shellcheck disable=SC2086 # a list of numbers
	[ -n "$victims" ] && kill -KILL "$(pick "$2" $victims)"
}

# Begin fault $1 of program $2; $3 is a number of the plan.  Where there is no
# session or worker to end just now, because of another fault, one is awaited.
begin() {
	case $1 in
	kill) "$stack" kill "$2" "$dir" ;;
	restart)
		# PostgreSQL: an immediate shutdown, with recovery afterwards.
		if [ "$2" = postgres ]; then
			kill -QUIT "$(cat "$dir/run/postgres.pid")"
			wait_for 30 is_gone postgres
		else
			"$stack" stop "$2" "$dir"
		fi ;;
	freeze) freeze "$2" ;;
	disconnect) wait_for 30 disconnect "$2" ;;
	worker) wait_for 30 kill_worker "$2" "$3" ;;
	cut) cut_off "$2" ;;
	readonly) wait_for 30 read_only on ;;
	errors | slow | reset) script "$2" "$(rules "$2" "$1")" ;;
	esac
}

# End fault $1 of program $2.
end() {
	case $1 in
	kill | restart) "$stack" start "$2" "$dir" ;;
	freeze) thaw "$2" ;;
	cut) reconnect "$2" ;;
	readonly) wait_for 30 read_only off ;;
	errors | slow | reset) script "$2" '[]' ;;
	esac
}

is_running() { kill -0 "$(cat "$dir/run/$1.pid")"; }
is_gone() {
	[ -z "$(processes "$1" | xargs -r ps -o stat= -p | grep -v '^Z')" ]
}

# Sleep until ${start} plus $1 milliseconds: the plan's clock.
until_at() {
	left=$((start + $1 - $(date +%s%3N)))
	[ "$left" -le 0 ] ||
	    sleep "$((left / 1000)).$(printf %03d $((left % 1000)))"
}

# Inject the faults of lane $1.  What was injected goes to injected.LANE, what
# should not happen to broken.
lane() {
	tab=$(printf '\t')
	number=0
	while IFS=$tab read -r _ at lasts kind target; do
		number=$((number + 1))
		until_at "$at"
		is_running "$target" || {
			echo "$target had ended by itself" >>"$work/broken"
			return
		}
		began=$(date +%s%3N)
		if begin "$kind" "$target" "$number" >/dev/null; then
			printf '%s %s %d\n' "$kind" "$target" \
			    "$((began - start))" >>"$work/injected.$1"
			# As long as planned, however late it began.
			until_at $((began - start + lasts))
			end "$kind" "$target" >/dev/null || {
				echo "$target did not recover from: $kind" \
				    >>"$work/broken"
				return
			}
		else
			echo "$target could not be hurt by: $kind" \
			    >>"$work/broken"
			return
		fi
	done <"$work/trouble.$1"
}
