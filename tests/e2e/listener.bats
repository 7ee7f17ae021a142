# The listener, with every part it depends on taken away and given back.

# shellcheck disable=SC2030,SC2031,SC2153
# (every test is a subshell of its own, and lib.bash sets the names in capitals)

load lib

setup_file() {
	load lib
	stack_up FOLLOWUP_SWEEP_INTERVAL=2s
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
}

teardown() {
	[[ -z ${OTHER-} ]] || kill -KILL "$OTHER" 2>/dev/null || true
	[[ -z ${FROZEN-} ]] || kill -CONT "$FROZEN" 2>/dev/null || true
	stack_reset
}

# notify PAYLOAD
notify() {
	sql "SELECT pg_notify('booking_followup_created', :'payload')" >/dev/null \
	    2>&1 || echo "SELECT pg_notify('booking_followup_created',
	    :'payload')" | psql -Xq -v "payload=$1" >/dev/null
}

posts() {
	grep -c 'POST /webhooks' "$STACK/log/followup-local.access.log" || true
}

# posted_more_than N
posted_more_than() {
	(($(posts) > $1))
}

# The server process that serves the listener.
backend() {
	sql "SELECT pid FROM pg_stat_activity
	    WHERE application_name = 'followup-listener'"
}

# lines_since N: the listener has written N lines since mark.
lines_since() {
	(($(wc -l <"$STACK/log/listener.log") - MARK >= $1))
}

# A listener of our own beside the stack's; its log is ${OTHER_LOG}.
start_other() {
	OTHER_LOG=$STACK/log/other-listener.log
	: >"$OTHER_LOG"
	env "$@" "$ROOT/tests/stack" exec "$STACK" "$BUILD/followup-listener" \
	    >"$OTHER_LOG" 2>&1 3>&- &
	OTHER=$!
}

# other_ends STATUS: within the time a transfer may take.
other_ends() {
	local status=0
	wait_for 20 not kill -0 "$OTHER" 2>/dev/null
	wait "$OTHER" || status=$?
	OTHER=
	[[ $status == "$1" ]]
}

@test "a payload that makes no sense gives one line, no request, no sweep" {
	sql "ALTER ROLE followup SET log_statement = 'all'"
	restart listener FOLLOWUP_SWEEP_INTERVAL=60s LOG_LEVEL=debug
	sweeps() { log_lines postgres 'followup-listener.*WITH RECURSIVE reach AS'; }
	wait_for 5 logged postgres 'followup-listener.*WITH RECURSIVE reach AS'
	sweeps=$(sweeps) posts=$(posts)

	for payload in 'no JSON' '{"booking_id":"test-123"}' '[1,2]' 42 '' \
	    '{"booking_id":42}' '{"schema":"lad_dev"}' \
	    '{"booking_id":"44444444-4444-4444-8444-444444444444","schema":"other"}'; do
		mark listener
		notify "$payload"
		wait_for 1 lines_since 1
	done
	(($(sweeps) == sweeps))

	# What comes after them is the proof that nothing else came of them.
	mark listener
	id=$(book)
	becomes "$id" scheduled 2
	[[ $(log_lines listener 'ignored a notification that is not a JSON') == 4 ]]
	[[ $(log_lines listener 'ignored a notification whose booking_id') == 3 ]]
	[[ $(log_lines listener 'passed over a notification for another schema') == 1 ]]
	(($(posts) == posts + 1))
	[[ $(grep -c 44444444 "$STACK/log/schedule.log") == 0 ]]
	sql 'ALTER ROLE followup RESET log_statement'
}

@test "a booking whose notification was skipped is found with the next one" {
	restart listener FOLLOWUP_SWEEP_INTERVAL=60s
	wait_for 5 sql_is 1 "SELECT count(*) FROM pg_stat_activity
	    WHERE application_name = 'followup-listener' AND state = 'idle'
	    AND (query LIKE 'WITH RECURSIVE reach AS%' OR query LIKE '%followup_canary%')"
	id=$(sql "SET session_replication_role = replica;
	    INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id,
	    booking_type, scheduled_at) VALUES ('$TENANT', '$LEAD',
	    'auto_followup', now() + interval '10 minutes') RETURNING id")
	has_status "$id" pending
	book
	becomes "$id" scheduled 2
	not logged listener "Received booking notification.*$id"
}

@test "of a session's many transactions some are announced, all are scheduled" {
	restart listener FOLLOWUP_SWEEP_INTERVAL=60s
	before=$(log_lines listener 'Received booking notification')
	sql "DO \$\$BEGIN FOR i IN 1 .. 3000 LOOP
	    INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id,
	        booking_type, scheduled_at) VALUES ('$TENANT', '$LEAD',
	        'auto_followup', now() + interval '10 minutes');
	    COMMIT;
	END LOOP; END\$\$"
	all_scheduled 30
	notified=$(($(log_lines listener 'Received booking notification') - before))
	((notified >= 1000 && notified < 2000))
}

@test "what is inserted while the listener is down is scheduled when it is up" {
	stack stop listener
	book_many 50
	sql_is 50 "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE task_status = 'pending'"
	stack start listener
	all_scheduled 10
}

@test "the server is down for a while: reconnected, caught up" {
	stack kill postgres
	mark listener
	wait_for 10 logged_since listener 'no database connection'
	stack start postgres
	book_many 20
	all_scheduled
	logged_since listener 'Started listening'
}

@test "a backlog goes in batches" {
	stack stop listener
	book_many 200
	posts=$(posts)
	mark listener
	stack start listener
	all_scheduled
	not logged_since listener 'one by one'
	(($(posts) - posts < 100))
}

@test "nginx is down, then up: everything is scheduled" {
	stack stop nginx
	mark listener
	book_many 20
	wait_for 5 logged_since listener 'bookings? waits? until'
	stack start nginx
	all_scheduled
	logged_since listener 'the webhook works again'
	# One line says that it is away, not one a booking.
	[[ $(logged_since listener 'bookings? waits? until' | wc -l) == 1 ]]
}

@test "a burst of 500 inserts by 8 clients: everything is scheduled" {
	before=$(log_lines listener 'Received booking notification')
	for _ in {1..8}; do
		book_many 63 3>&- &
		clients+=($!)
	done
	wait "${clients[@]}"
	all_scheduled 20
	sql_is 0 "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE task_status <> 'scheduled' AND booking_type = 'auto_followup'"
	echo "$(($(log_lines listener 'Received booking notification') -
	    before)) of 504 were notified"
}

@test "a second listener stands by and takes over within ten seconds" {
	start_other
	wait_for 5 grep -q 'another listener is active; standing by' "$OTHER_LOG"
	id=$(book)
	becomes "$id" scheduled
	not grep -q "$id" "$OTHER_LOG"

	stack kill listener
	id=$(book)
	becomes "$id" scheduled 10
	grep -q 'Started listening' "$OTHER_LOG"
	kill -TERM "$OTHER"
	other_ends 0
}

@test "SIGTERM while it is busy: what is in flight is finished, exit 0" {
	stack stop listener
	faults '{"operation": "createTask", "delayMs": 1500, "count": 3}'
	start_other
	wait_for 5 grep -q 'Started listening' "$OTHER_LOG"
	for _ in 1 2 3; do
		ids+=("$(book)")
	done
	delayed() {
		curl -s --noproxy '*' "$EMULATOR_URL/admin/faults" |
		    jq -e '[.. | objects | .hits // empty] | add == 3'
	}
	wait_for 5 delayed
	kill -TERM "$OTHER"
	other_ends 0
	grep -q 'stopping: 3 bookings in flight' "$OTHER_LOG"
	for id in "${ids[@]}"; do
		has_status "$id" scheduled
		grep -q "Successfully scheduled Cloud Task booking_id=$id" "$OTHER_LOG"
	done
}

@test "a pooler in transaction mode is named at the start" {
	command -v pgbouncer >/dev/null || skip 'pgbouncer is not installed'
	port=$(perl -MIO::Socket::INET -e 'print IO::Socket::INET->new(
	    Listen => 1, LocalAddr => "127.0.0.1")->sockport()')
	cat >"$BATS_TEST_TMPDIR/pgbouncer.ini" <<-EOT
	[databases]
	* = host=127.0.0.1 port=$PGPORT user=followup
	[pgbouncer]
	listen_addr = 127.0.0.1
	listen_port = $port
	unix_socket_dir =
	auth_type = any
	pool_mode = transaction
	ignore_startup_parameters = extra_float_digits
	EOT
	as=()
	[[ $(id -u) != 0 ]] || as=(-u nobody)
	pgbouncer "${as[@]}" "$BATS_TEST_TMPDIR/pgbouncer.ini" \
	    >"$BATS_TEST_TMPDIR/pgbouncer.log" 2>&1 3>&- &
	pooler=$!
	wait_for 5 psql -XAtq -h 127.0.0.1 -p "$port" -U followup -c 'SELECT 1'
	start_other POSTGRES_PORT="$port"
	other_ends 1
	kill "$pooler"
	wait "$pooler" || true
	cat "$OTHER_LOG"
	grep -qi 'pool' "$OTHER_LOG"
}

@test "with FOLLOWUP_WEBHOOK_TOKEN nobody else is let in" {
	restart schedule FOLLOWUP_WEBHOOK_TOKEN=canary-webhook-token
	restart listener FOLLOWUP_WEBHOOK_TOKEN=canary-webhook-token
	id=$(book)
	becomes "$id" scheduled
	webhook "{\"booking_id\":\"$id\"}"
	problem 401 unauthorized
	header WWW-Authenticate: Bearer
	webhook "{\"booking_id\":\"$id\"}" -H 'Authorization: Bearer wrong'
	problem 401 unauthorized
	webhook "{\"booking_id\":\"$id\"}" \
	    -H 'Authorization: Bearer canary-webhook-token'
	expect 200 '.reason == "already scheduled"'
	api GET /healthz
	expect 200
	not in_any_log canary-webhook-token
}

@test "a forged notification of a booking that was called calls nobody" {
	id=$(book '-1 second')
	becomes "$id" executed
	posts=$(posts)
	mark listener
	notify "{\"booking_id\":\"$id\",\"scheduled_at\":\"2020-01-01\"}"
	wait_for 5 logged_since listener "nothing to schedule: already executed.*$id"
	posted_more_than "$posts"
	called "$id" 1
	has_status "$id" executed
}

# all_ignored N: the log accounts for N notifications since mark, in few lines.
all_ignored() {
	logged_since listener 'ignored a notification' |
	    awk -v want="$1" '{ n++ }
	    / and [0-9]+ more like it / { sub(/.* and /, ""); n += $1 - 1 }
	    END { exit !(n == want && NR < 100) }'
}

# bats test_tags=shipped
@test "a flood of 20000 junk notifications costs neither memory nor bookings" {
	mark listener
	sql "SELECT count(pg_notify('booking_followup_created', CASE n % 3
	    WHEN 0 THEN repeat('x', 3000) || n
	    WHEN 1 THEN '{\"booking_id\":\"test-' || n || '\"}'
	    ELSE '[' || n || ']' END)) FROM generate_series(1, 20000) n" >/dev/null
	id=$(book)
	becomes "$id" scheduled
	wait_for 25 all_ignored 20000
	sql_is t 'SELECT pg_notification_queue_usage() < 0.01'
	rss=$(awk '/^VmHWM/ { print $2 }' "/proc/$(cat "$STACK/run/listener.pid")/status")
	echo "$rss kB at most"
	sanitized || ((rss < 32768))
}

@test "a frozen server process is replaced, although it still holds the lock" {
	pid=$(backend)
	mark listener
	FROZEN=$pid
	kill -STOP "$pid"
	id=$(book)
	becomes "$id" scheduled 15
	logged_since listener 'the server does not answer'
	kill -CONT "$pid"
	# The lock goes to the session that works.
	wait_for 15 sql_is 1 "SELECT count(*) FROM pg_locks l
	    JOIN pg_stat_activity a USING (pid)
	    WHERE l.locktype = 'advisory' AND l.classid = 1181707340
	    AND l.granted AND a.application_name = 'followup-listener'
	    AND a.pid <> $pid"
}
