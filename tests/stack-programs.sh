# shellcheck shell=sh
#
# Part of tests/stack: how each program is started, when it is ready, and how
# it is stopped, with all the processes it consists of.

# Print when the process $1 was born, in ticks since the machine's boot, or
# nothing where it does not run: tells it from another with the same number.
born() {
	awk '{ sub(/.*\) /, ""); if ($1 !~ /[ZX]/) print $20 }' \
	    "/proc/$1/stat" 2>/dev/null || true
}

# Is NAME running?  Leaves its number in ${pid}.
alive() {
	pid=$(cat "$dir/run/$1.pid" 2>/dev/null) || return 1
	birth=$(born "$pid")
	[ -n "$birth" ] && [ "$birth" = "$(cat "$dir/run/$1.born")" ]
}

# Print the living processes that NAME, whose main process is or was $2,
# consists of.  PostgreSQL's children lead groups of their own.
members() {
	if [ "$1" = postgres ]; then
		by=ppid
	else
		by=pgid
	fi
	ps -eo "pid=,$by=,stat=" | awk -v main="$2" \
	    '($1 == main || $2 == main) && $3 !~ /^Z/ { print $1 }'
}

gone() { [ -z "$(members "$1" "$2")" ]; }

# Start "$2..." as NAME: in the daemons' environment, in a process group of
# its own, without our open files, and PostgreSQL as its user.
launch() {
	name=$1
	shift
	log=$dir/log/$name.log
	touch "$log"
	log_start=$(wc -c <"$log")
	eval "wrapper=\${STACK_WRAPPER_$(echo "$name" | tr - _)-}"
	as=
	[ "$name" != postgres ] || as=$as_pg
	# shellcheck disable=SC2086 # commands with their flags
	(cd / && enter_daemon_env && exec setsid $as $wrapper "$@") </dev/null \
	    >>"$log" 2>&1 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&- &
	echo $! >"$dir/run/$name.pid"
	born $! >"$dir/run/$name.born"
}

# Print what NAME wrote since it was launched.
new_log() { tail -c +$((log_start + 1)) "$dir/log/$1.log"; }

# Wait until NAME, just launched, is ready.
await() {
	if wait_for 60 settled "$1" && alive "$1"; then
		return 0
	fi
	if alive "$1"; then
		say "$1 is not ready after 60 seconds; its log ends:"
	else
		say "$1 ended at once; its log ends:"
		rm -f "$dir/run/$1.pid"
	fi
	new_log "$1" | quote_log
	return 1
}

quote_log() { tail -n 15 | sed 's/^/    /' >&2; }

# Is it decided whether NAME is ready: it is, or it is gone?
settled() { ! alive "$1" || "ready_$(echo "$1" | tr - _)"; }

answers() { curl -s -o /dev/null -m 2 --noproxy '*' "http://127.0.0.1:$1"; }

# Is it the process that alive found which listens on port $1?  Another stack's
# program may have taken the port, and answers in its place.
listens() {
	inode=$(awk -v port=":$(printf %04X "$1")$" \
	    '$2 ~ port && $4 == "0A" { print $10 }' /proc/net/tcp)
	[ -n "$inode" ] &&
	    find "/proc/$pid/fd" -lname "socket:\[$inode\]" 2>/dev/null | grep -q .
}

ready_postgres() {
	listens "$pg_port" &&
	    "$pg_bin/pg_isready" -q -h 127.0.0.1 -p "$pg_port" -U postgres
}
ready_emulator() {
	listens "$emulator_port" && answers "$emulator_port/oauth2/v3/certs"
}
ready_voice_agent() {
	listens "$voice_agent_port" && answers "$voice_agent_port/healthz"
}
ready_nginx() { listens "$public_port" && answers "$public_port/"; }
ready_schedule() { connects "$runtime/schedule.sock"; }
ready_execute() { connects "$runtime/execute.sock"; }

# A listener is ready when it listens, or stands by for one that does.  With
# no database there, or without its log lines, running is all there is to see.
ready_listener() {
	case $LOG_LEVEL in debug | info) ;; *) return 0 ;; esac
	new_log listener | grep -Eqi 'started listening|stand(s|ing)? ?by' ||
	    ! "$pg_bin/pg_isready" -q -d \
	    "${DATABASE_URL:-host=$POSTGRES_HOST port=$POSTGRES_PORT}"
}

# Where the first process reaps no orphans (some containers), a killed server
# stays in the process table, and its lock file would stand for a running one.
# Without that file it does not find the shared memory that a killed one left:
# let that be in its own folder.
run_postgres() {
	rm -f "$pg_data/postmaster.pid"
	# shellcheck disable=SC2086 # flags
	launch postgres "$pg_bin/postgres" -D "$pg_data" -p "$pg_port" \
	    -c listen_addresses=127.0.0.1 -c unix_socket_directories= \
	    -c fsync=off -c full_page_writes=off -c max_connections=200 \
	    -c dynamic_shared_memory_type=mmap \
	    -c timezone=UTC -c log_timezone=UTC -c 'log_line_prefix=%m [%p] %a ' \
	    ${STACK_POSTGRES_FLAGS:-}
}

run_emulator() {
	queue=projects/$GCP_PROJECT_ID/locations/$GCP_LOCATION
	queue=$queue/queues/$FOLLOWUP_QUEUE_NAME
	# shellcheck disable=SC2086 # flags
	launch emulator "$build/cloud-tasks-emulator" --admin \
	    -l "127.0.0.1:$emulator_port" -q "$queue" \
	    --key "$dir/data/emulator-key.pem" \
	    --data "$dir/data/emulator.journal" ${STACK_EMULATOR_FLAGS:-}
}

run_voice_agent() {
	launch voice-agent "$build/voice-agent" \
	    -l "127.0.0.1:$voice_agent_port" --data "$dir/data/calls.jsonl"
}

# The socket of the local server outlives an nginx that was killed, and would
# keep the next one from starting.
run_nginx() {
	rm -f "$runtime/local.sock"
	launch nginx nginx -p "$dir" -c "$dir/nginx/nginx.conf"
}

run_schedule() { launch schedule "$build/followup-schedule"; }
run_execute() { launch execute "$build/followup-execute"; }
run_listener() { launch listener "$build/followup-listener"; }

# Start NAME and wait until it is ready.  While it was down its port may have
# been lent to another program's connection: then wait until that one ends.
start() {
	! alive "$1" || die "$1 is running already"
	kill_rest "$1"
	for attempt in 1 2 3 4 5; do
		"run_$(echo "$1" | tr - _)"
		! await "$1" || break
		[ "$attempt" != 5 ] && [ ! -f "$dir/run/$1.pid" ] &&
		    new_log "$1" | grep -qi 'in use' || return 1
		sleep 1
	done
	# nginx makes its unix sockets 0666.
	[ "$1" != nginx ] || chmod 660 "$runtime/local.sock"
}

# Kill what a main process that was killed by others left behind.
kill_rest() {
	[ -f "$dir/run/$1.pid" ] || return 0
	pid=$(cat "$dir/run/$1.pid")
	# Where the number is another's by now, the group is long gone.
	[ -n "$(born "$pid")" ] || kill_group "$1" "$pid"
	rm -f "$dir/run/$1.pid"
}

# Kill NAME, whose main process is or was $2.  First that one is frozen, so
# that it makes no children while we look for them.
kill_group() {
	kill -STOP "$2" 2>/dev/null || true
	# shellcheck disable=SC2046 # a list of numbers
	kill -KILL $(members "$1" "$2") 2>/dev/null || true
	wait_for 10 gone "$1" "$2" || die "$1 (process $2) survives SIGKILL"
}

stop() {
	if ! alive "$1"; then
		[ -f "$dir/run/$1.pid" ] || { say "$1 is not running"; return 0; }
		kill_rest "$1"
		say "$1 had ended by itself; see $dir/log/$1.log"
		return 1
	fi
	signal=TERM
	[ "$1" != postgres ] || signal=INT
	kill -"$signal" "$pid" 2>/dev/null || true
	# Only one that is frozen: another one may be at its end, and SIGCONT
	# undoes the SIGSTOP by which a leak check stops its threads, for ever.
	! grep -q ') T ' "/proc/$pid/stat" 2>/dev/null ||
	    kill -CONT "$pid" 2>/dev/null || true
	main=$pid
	if ! wait_for 60 gone "$1" "$main"; then
		say "$1 does not stop in 60 seconds: killing it"
		kill_group "$1" "$main"
		rm -f "$dir/run/$1.pid"
		return 1
	fi
	rm -f "$dir/run/$1.pid"
}

kill_hard() {
	alive "$1" || { kill_rest "$1"; say "$1 is not running"; return 0; }
	kill_group "$1" "$pid"
	rm -f "$dir/run/$1.pid"
}
