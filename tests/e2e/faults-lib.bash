# shellcheck shell=bash disable=SC2034  # the tests use the variables set here
#
# What faults_schedule.bats and faults_execute.bats share, besides lib.bash.

# queue VERB [QUEUE]: pause, resume or purge it.
queue() {
	curl -sf -m 20 --noproxy '*' -X POST -o /dev/null \
	    -H 'Content-Type: application/json' -d '{}' \
	    "$EMULATOR_URL/v2/${2:-$QUEUE}:$1"
}

# fault_hits: how many requests have met the faults.
fault_hits() {
	curl -sf -m 20 --noproxy '*' "$EMULATOR_URL/admin/faults" |
	    jq '[.rules[].hits] | add // 0'
}

# fault_hit N: at least so often.
fault_hit() {
	(($(fault_hits) >= $1))
}

# queue_agrees: the queue holds the task of every scheduled row and no other.
queue_agrees() {
	local rows tasks
	rows=$(sql "SELECT task_name FROM lad_dev.lead_bookings
	    WHERE task_status = 'scheduled'" | LC_ALL=C sort)
	tasks=$(tasks / '.[].name' | LC_ALL=C sort)
	[[ $rows == "$tasks" ]]
}

# failure ID COLUMNS: what is remembered of its failed attempts.
failure() {
	sql "SELECT $2 FROM lad_dev.followup_failures WHERE booking_id = '$1'"
}

# failed_times ID N: so many attempts are on record.
failed_times() {
	[[ $(failure "$1" attempts) == "$2" ]]
}

# no_failures: no failed attempt and no dead letter is on record.
no_failures() {
	sql_is 0 'SELECT count(*) FROM lad_dev.followup_failures'
}

# dead_letter ID JQ-FILTER...: it is one, as GET /dead-letters has it.
dead_letter() {
	local filter id=$1
	api GET '/dead-letters?limit=500'
	expect 200
	for filter in "${@:2}"; do
		jq -e --arg id "$id" ".deadLetters[] |
		    select(.bookingId == \$id) | $filter" <<<"$BODY" >/dev/null || {
			echo "not $filter: $BODY" >&2
			return 1
		}
	done
}

# retry ID: as an operator does, by the local API.
retry() {
	api POST "/followups/$1/retry"
	expect 200 .success '.taskStatus == "pending"'
}

# one_key ID N: it was called N times, always with the same key.
one_key() {
	called "$1" "$2"
	[[ $(calls "$1" '[.[].idempotencyKey] | unique | length') == 1 ]]
	[[ $(calls "$1" '.[0].idempotencyKey') == "followup:$TENANT:$1:"* ]]
}

# hold_row ID: a session of ours locks the row, until release.
hold_row() {
	local fifo=$BATS_TEST_TMPDIR/hold
	mkfifo "$fifo"
	psql -Xq <"$fifo" >/dev/null 3>&- &
	HOLDER=$!
	exec {HOLD}>"$fifo"
	echo "SET application_name = 'holder'; BEGIN; SELECT FROM
	    lad_dev.lead_bookings WHERE id = '$1' FOR UPDATE;" >&"$HOLD"
	wait_for 10 sql_is 1 "SELECT count(*) FROM pg_stat_activity
	    WHERE application_name = 'holder'
	    AND state = 'idle in transaction'"
}

# post_aside ID: post it while the test goes on; wait for ${ASIDE}.
post_aside() {
	curl -s -m 60 --noproxy '*' -o /dev/null \
	    -H 'Content-Type: application/json' -d "{\"booking_id\":\"$1\"}" \
	    "$LOCAL_URL/webhooks/booking-followup" 3>&- &
	ASIDE=$!
}

# schedule_worker: the worker of followup-schedule that holds a booking's lock,
# found by the port from which it talks to the server.
schedule_worker() {
	local port inode pid
	port=$(sql "SELECT client_port FROM pg_stat_activity JOIN pg_locks
	    USING (pid) WHERE locktype = 'advisory' AND granted
	    AND application_name = 'followup-schedule'")
	[[ -n $port ]] || return
	inode=$(awk -v from="$(printf ':%04X$' "$port")" \
	    -v to="$(printf ':%04X$' "$PGPORT")" \
	    '$4 == "01" && $2 ~ from && $3 ~ to { print $10 }' /proc/net/tcp)
	for pid in $(pgrep -P "$(cat "$STACK/run/schedule.pid")"); do
		if [[ -n $(find "/proc/$pid/fd" -lname "socket:\\[$inode\\]") ]]; then
			echo "$pid"
			return
		fi
	done
	return 1
}

# freeze PID...: until thaw, or the end of the test.
freeze() {
	FROZEN+=("$@")
	kill -STOP "$@"
}

thaw() {
	((${#FROZEN[@]} == 0)) || kill -CONT "${FROZEN[@]}" 2>/dev/null || true
	FROZEN=()
}

# start_cutter N: stand between a client and the emulator, at 127.0.0.1:${PORT},
# and let only the first half of the body of the first N answers through.
start_cutter() {
	perl -MIO::Socket::INET -e '
		$SIG{PIPE} = "IGNORE";
		my ($upstream, $cut) = @ARGV;
		my $listener = IO::Socket::INET->new(Listen => 16,
		    LocalAddr => "127.0.0.1") or die;
		$| = 1;
		print($listener->sockport(), "\n");
		while (my $client = $listener->accept()) {
			my ($request, $answer) = ("", "");
			1 while $request !~ /\r\n\r\n/ &&
			    sysread($client, $request, 65536, length($request));
			my ($head, $body) = split(/\r\n\r\n/, $request, 2);
			my ($n) = $head =~ /^content-length: *(\d+)/mi;
			1 while length($body) < ($n // 0) &&
			    sysread($client, $body, 65536, length($body));
			my $server = IO::Socket::INET->new($upstream) or next;
			print $server "$head\r\nConnection: close\r\n\r\n$body";
			1 while sysread($server, $answer, 65536, length($answer));
			my ($top, $rest) = split(/\r\n\r\n/, $answer, 2);
			$rest = substr($rest, 0, length($rest) / 2) if $cut-- > 0;
			print $client "$top\r\n\r\n$rest";
		}' "${EMULATOR_URL#http://}" "$1" >"$BATS_TEST_TMPDIR/cutter" 3>&- &
	CUTTER=$!
	wait_for 10 test -s "$BATS_TEST_TMPDIR/cutter"
	PORT=$(cat "$BATS_TEST_TMPDIR/cutter")
}

# For setup: where everything is, and nothing of ours is under way.
faults_setup() {
	stack_env
	FROZEN=() CUTTER='' HOLD=''
}

# For teardown: everything works again as after up.
faults_reset() {
	thaw
	[[ -z $HOLD ]] || release 2>/dev/null || true
	stack_reset
	[[ -z $CUTTER ]] || kill "$CUTTER"
	faults '[]'
	agent '[]'
	queue resume
}
