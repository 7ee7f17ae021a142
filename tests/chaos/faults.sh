# shellcheck shell=sh
#
# Part of tests/chaos/run: the faults.  Each program has a lane, a process that
# injects its faults one after the other and leaves it running; what the
# application does has a lane, too.  The lanes run side by side.  Counts on
# ${dir}, ${work}, ${root}, ${stack}, wait_for and sql of the driver.

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

# A standby is made, and all that is committed is on both servers.
stand_by() {
	wait_for 60 copy_primary &&
	    mv "$dir/run/postgres.pid" "$work/old-primary" && swap_servers &&
	    "$stack" start postgres "$dir" &&
	    sync_to "'*'" && wait_for 30 is_sync
}

# The standby's folder is made.  The primary may still be recovering from the
# fault before.
copy_primary() (
	# shellcheck disable=SC1091 # what tests/stack wrote
	. "$dir/run/stack.env"
	primary_port=$pg_port
	# shellcheck disable=SC1091
	. "$work/standby.env"
	# shellcheck disable=SC2086 # a command, or nothing
	cd / && find "$pg_data" -mindepth 1 -delete &&
	    $as_pg "$pg_bin/pg_basebackup" -h 127.0.0.1 \
	    -p "$primary_port" -U postgres -D "$pg_data" \
	    -R -X stream -c fast --no-sync
)

# For tests/stack the other server is PostgreSQL from now on.
swap_servers() (
	umask 077
	ours='^pg_(data|port)='
	grep -E "$ours" "$dir/run/stack.env" >"$work/other.env" &&
	    { grep -vE "$ours" "$dir/run/stack.env"; cat "$work/standby.env"; } \
	    >"$work/stack.env" &&
	    mv "$work/other.env" "$work/standby.env" &&
	    mv "$work/stack.env" "$dir/run/stack.env"
)

# Whose word every commit awaits that asks for synchronous_commit.
sync_to() {
	sql -c "ALTER SYSTEM SET synchronous_standby_names = $1" \
	    -c 'SELECT pg_reload_conf()' >/dev/null
}

is_sync() {
	[ "$(sql -c 'SELECT sync_state FROM pg_stat_replication')" = sync ]
}

# The primary dies, with all that serve its sessions.
kill_primary() {
	main=$(cat "$work/old-primary")
	kill -STOP "$main"
	# shellcheck disable=SC2046 # a list of numbers
	kill -KILL $(ps -o pid= --ppid "$main") "$main" 2>/dev/null
	wait_for 10 has_ended "$main" && rm "$work/old-primary"
}

has_ended() { ! ps -o stat= -p "$1" | grep -qv '^Z'; }

# The standby takes its place.
promote() {
	# shellcheck disable=SC1091 # what tests/stack wrote
	. "$dir/run/stack.env"
	[ "$(PGTARGETSESSIONATTRS=any sql -h 127.0.0.1 -p "$pg_port" \
	    -c 'SELECT pg_promote()')" = t ]
}

# A commit with a NOTIFY hangs in another database: a standby that there is not
# should have confirmed it.  Others ask for no confirmation, but for programs
# that connect meanwhile; an ALTER TABLE would wait for those, and all would
# wait for it, so it has to wait here.
hang() {
	exec 9>"$work/altering"
	flock 9
	wait_for 60 have_commits_hang || return 1
	for _ in 1 2 3 4 5; do
		sql -d postgres -c 'SET synchronous_commit = on' \
		    -c BEGIN -c "SELECT pg_logical_emit_message(true, '', '')" \
		    -c 'NOTIFY elsewhere' -c COMMIT >/dev/null 2>&1 9>&- &
		holder=$!
		! wait_for 2 hangs || break
	done
	hangs && book_meanwhile
}

# PostgreSQL may still be recovering from the fault before.
have_commits_hang() {
	sql -c 'ALTER SYSTEM SET synchronous_commit = local' &&
	    sync_to nobody
}

# Whose commit it is does not matter: a writer may have come first.
hangs() {
	[ "$(sql -c "SELECT count(*) FROM pg_locks JOIN pg_stat_activity
	    USING (pid) WHERE locktype = 'object' AND classid = 1262
	    AND objid = 0 AND granted AND wait_event = 'SyncRep'")" = 1 ]
}

# Sessions of the application that wait for no lock when they commit.
book_meanwhile() {
	for n in 1 2 5 10; do
		timeout 30 psql -XAtq -v ON_ERROR_STOP=1 -c BEGIN \
		    -c "SELECT chaos.book($n)" -c "SET LOCAL lock_timeout = 200" \
		    -c COMMIT || {
			echo 'an INSERT was lost while a NOTIFY hung' \
			    >>"$work/broken"
			return 0
		}
	done
}

let_go() {
	sql -c 'ALTER SYSTEM RESET synchronous_commit' \
	    -c 'ALTER SYSTEM RESET synchronous_standby_names' \
	    -c 'SELECT pg_reload_conf()' >/dev/null && wait "$holder" &&
	    exec 9>&-
}

# Run a command while no commit is made to hang.
altering() { flock "$work/altering" "$@"; }

# The application is brought up to date: a column more, and one of another type.
add_column() {
	altering psql -XAtq -v ON_ERROR_STOP=1 -c "ALTER TABLE
	    lad_dev.lead_bookings
	    ADD COLUMN IF NOT EXISTS chaos text NOT NULL DEFAULT 'none',
	    ALTER COLUMN notes TYPE varchar(500)"
}

drop_column() {
	altering psql -XAtq -v ON_ERROR_STOP=1 -c "ALTER TABLE
	    lad_dev.lead_bookings
	    DROP COLUMN IF EXISTS chaos, ALTER COLUMN notes TYPE text"
}

# The type of a column that the triggers name is altered, by the plan's number
# $1; all the types mean the same here.
alter() {
	utc=
	case $(($1 % 6)) in
	0) column=scheduled_at type=timestamp ;;
	1) column=booking_type type=text ;;
	2) column=timezone type=text ;;
	3) column=scheduled_at type=timestamptz ;;
	4) column=booking_type type='varchar(50)' ;;
	5) column=timezone type='varchar(64)' ;;
	esac
	[ "$column" != scheduled_at ] || utc="scheduled_at AT TIME ZONE 'UTC'"
	altering "$root/sql/followup-trigger" alter --column "$column" \
	    --type "$type" ${utc:+--using "$utc"}
}

# Many bookings in one transaction, a part of which is taken back.
book_in_bulk() {
	sql -c BEGIN -c 'SAVEPOINT a' \
	    -c 'SELECT chaos.book(250)' -c 'ROLLBACK TO a' \
	    -c 'SELECT chaos.book(200)' -c 'SAVEPOINT b' \
	    -c 'SELECT chaos.book(50)' -c 'SELECT chaos.postpone()' \
	    -c 'RELEASE b' -c COMMIT
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
	voice-agent,outage) cat <<-'EOT'
		[{"status":503,"method":"POST","count":-1}]
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

# Stop program $1, and start it with the variables $2...  It is started even if
# it had to be killed.  PostgreSQL may not end when it is told to in the midst
# of a recovery, which is no fault of ours; of another program it is one.
start_anew() {
	program=$1
	shift
	"$stack" stop "$program" "$dir" || [ "$program" = postgres ]
	stopped=$?
	env "$@" "$stack" start "$program" "$dir" && return "$stopped"
}

# Program $1 is started again, by a clock that is $2 minutes ahead of the right
# one, or with a minus behind it.  The emulator stands for Google, whose clock
# says when a booking is due.  It only ever goes behind: so whoever is called
# before the due time by the machine's clock is called too early.
set_clock() {
	wrapper=STACK_WRAPPER_$(echo "$1" | tr - _)
	start_anew "$1" "$wrapper=env LD_PRELOAD=$faketime \
	    FAKETIME=${2}m FAKETIME_DONT_FAKE_MONOTONIC=1 \
	    FAKETIME_CACHE_DURATION=100000" \
	    STACK_POSTGRES_FLAGS="-c chaos.ahead=${2}min"
}

# How far the clock of program $1 goes wrong, by the plan's number $2.  Tokens
# live for an hour, so that for followup-execute they have expired, or are not
# valid yet.
minutes() {
	case $1,$(($2 % 2)) in
	emulator,*) echo -30 ;;
	execute,0) echo +70 ;;
	*,0) echo +30 ;;
	*,1) echo -30 ;;
	esac
}

# What is written while the clock is ahead seems to come later than now once it
# is right.  That a pause was ended is such a thing: it would be in force again,
# and has to be ended by a clock that is right.
begin_clock() {
	exec 8>"$work/clock"
	flock 8
	set_clock "$1" "$(minutes "$1" "$2")"
}

end_clock() {
	start_anew "$1" && exec 8>&-
}

# Tell the gate something, however often that takes.
operate() { wait_for 60 "$root/sql/followup-trigger" "$@"; }

# From now on it is certain what the gate was told: $1 what, $2 scope, $3 and
# $4 values as in chaos.gate.
in_force() { told="$1	$2	$3	$4	$(date -u '+%F %T.%NZ')"; }

# The gate is about to be told otherwise.
no_longer() {
	printf '%b\t%s\n' "$told" "$(date -u '+%F %T.%NZ')" \
	    >>"$work/gate.$1"
}

# Pause what kind $1 says.  Where the pause has an end by itself, that is two
# seconds after the $2 ms of the fault, by the clock of PostgreSQL, which may
# change in between.
pause() {
	one=11111111-1111-4111-8111-111111111111
	other=22222222-2222-4222-8222-222222222222
	wait_for 60 try_pause "$1" "$2" || return 1
	case $1 in
	tenant*) in_force tenant "$one" "$ends" '' ;;
	except) in_force all "$other" "$ends" '' ;;
	*) in_force all '' "$ends" '' ;;
	esac
}

try_pause() {
	ends=
	tenant=
	case $1 in
	tenant*) tenant=$one ;;
	esac
	case $1 in
	*until) ends=$(sql -c "SELECT clock_timestamp()
	    + $(($2 + 2000)) * interval '1 ms'") || return 1 ;;
	esac
	"$root/sql/followup-trigger" pause --reason chaos \
	    ${ends:+--until "$ends"} \
	    ${tenant:+--tenant "$tenant"} || return 1
	[ "$1" != except ] ||
	    "$root/sql/followup-trigger" resume --tenant "$other"
}

# Every other pause may come to its own end, by the plan's number $1.  It does
# not where the clock has changed.
await_end() {
	[ $(($1 % 2)) = 0 ] || wait_for 5 is_over || true
}

is_over() {
	[ "$(sql -c 'SELECT count(*) FROM lad_dev.followup_pauses
	    WHERE until IS NULL OR until > now()')" = 0 ]
}

# End the pause of kind $1, which may have ended by itself.
resume() {
	case $1 in
	tenant*) flock "$work/clock" "$root/sql/followup-trigger" resume \
	    --tenant "$one" ;;
	*) flock "$work/clock" "$root/sql/followup-trigger" resume ;;
	esac
}

# A minute is outside of calling hours: this one, or the next one, by the plan's
# number $1.
close_hours() {
	minute=$(wait_for 60 sql -F ' ' -c "SELECT to_char(t, 'HH24:MI'),
	    to_char(t + interval '1 min', 'HH24:MI')
	    FROM (SELECT clock_timestamp() AT TIME ZONE 'UTC'
	    + $(($1 % 2)) * interval '1 min') AS x (t)") &&
	    operate set calling_hours "mon-sun ${minute#* }-${minute% *}" &&
	    in_force hours '' "${minute% *}" "${minute#* }"
}

# Begin fault $1 of program $2; $3 is a number of the plan, $4 for how many ms
# the fault is to last.  Where there is no
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
	failover) stand_by && kill_primary ;;
	hang) hang ;;
	alter) wait_for 60 add_column ;;
	stale) wait_for 60 sql -c 'SELECT chaos.copy(300)' ;;
	bulk) wait_for 60 book_in_bulk ;;
	clock) begin_clock "$2" "$3" ;;
	all | until | tenant | tenant-until | except) pause "$1" "$4" ;;
	hours) close_hours "$3" ;;
	within) operate set call_within 1m && in_force within '' 1m '' ;;
	errors | slow | reset | outage) script "$2" "$(rules "$2" "$1")" ;;
	esac
}

# End fault $1 of program $2, with the same number $3.
end() {
	case $1 in
	kill | restart) "$stack" start "$2" "$dir" ;;
	freeze) thaw "$2" ;;
	cut) reconnect "$2" ;;
	readonly) wait_for 30 read_only off ;;
	failover) promote ;;
	hang) wait_for 30 let_go ;;
	alter) wait_for 120 drop_column && wait_for 120 alter "$3" ;;
	stale) wait_for 60 sql -c 'SELECT chaos.save(1500)' ;;
	clock) end_clock "$2" ;;
	until | tenant-until)
		await_end "$3" && no_longer pauses && wait_for 60 resume "$1" ;;
	all | tenant | except)
		no_longer pauses && wait_for 60 resume "$1" ;;
	hours) no_longer settings && operate set calling_hours '' ;;
	within) no_longer settings && operate set call_within 4h ;;
	errors | slow | reset | outage) script "$2" '[]' ;;
	esac
}

# Neither the application nor an operator is a process.
is_running() {
	case $1 in application | pauses | settings) return 0 ;; esac
	kill -0 "$(cat "$dir/run/$1.pid")"
}
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
		if begin "$kind" "$target" "$number" "$lasts" >/dev/null; then
			printf '%s %s %d\n' "$kind" "$target" \
			    "$((began - start))" >>"$work/injected.$1"
			# As long as planned, however late it began.
			until_at $((began - start + lasts))
			end "$kind" "$target" "$number" >/dev/null || {
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
