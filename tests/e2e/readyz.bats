#!/usr/bin/env bats
#
# /readyz is true: what keeps a booking from becoming a call is named within
# ten seconds, in a sentence that says what to do, and not afterwards.

load lib

setup_file() {
	stack_up
}

teardown_file() {
	stack_down
}

setup() {
	stack_env
	ready
}

teardown() {
	stack_reset
}

# is_ready, and ready: soon.
is_ready() {
	api GET /readyz
	expect 200 '.status == "ready"'
}

ready() {
	wait_for 15 is_ready 2>"$BATS_TEST_TMPDIR/why" || {
		tail -n 2 "$BATS_TEST_TMPDIR/why" >&2
		return 1
	}
}

# has_trouble CODE PATTERN: it is among what /readyz names.
has_trouble() {
	api GET /readyz
	jq -e --arg code "$1" --arg re "$2" 'any(.troubles[]?;
	    .code == $code and (.sentence | test($re)))' <<<"$BODY"
}

# troubled CODE PATTERN: within ten seconds, and alone.
troubled() {
	wait_for 10 has_trouble "$1" "$2" || {
		echo "$BODY" >&2
		return 1
	}
	problem 503 out-of-service
	jq -e --arg code "$1" 'all(.troubles[]; .code == $code)' <<<"$BODY"
}

# queue VERB: pause or resume it.
queue() {
	curl -sf -m 20 --noproxy '*' -o /dev/null -d '{}' \
	    -H 'Content-Type: application/json' "$EMULATOR_URL/v2/$QUEUE:$1"
}

@test "no listener, or one that is frozen" {
	stack kill listener
	troubled listener 'no followup-listener is connected.*systemctl status'
	stack start listener
	ready
	pid=$(cat "$STACK/run/listener.pid")
	kill -STOP "$pid"
	wait_for 20 has_trouble listener 'silent for [0-9]+ s.*restart'
	kill -CONT "$pid"
	ready
}

@test "the webhook wants another token than the listener has" {
	restart schedule FOLLOWUP_WEBHOOK_TOKEN=sesame
	ready
	id=$(book '1 hour')
	troubled webhook 'answers 401 .*FOLLOWUP_WEBHOOK_TOKEN be the same'
	api GET /status.json
	expect 200 '.state == "degraded"' '.code == "webhook"'
	restart schedule
	becomes "$id" scheduled 10
	ready
}

@test "commits wait for a synchronous standby" {
	sql "ALTER SYSTEM SET synchronous_standby_names = 'none'"
	sql 'SELECT pg_reload_conf()'
	id=$(PGOPTIONS='-c synchronous_commit=local' book '1 hour')
	wait_for 20 has_trouble database \
	    'wait for a synchronous standby: start it, or take it out of'
	sql 'ALTER SYSTEM RESET synchronous_standby_names'
	sql 'SELECT pg_reload_conf()'
	becomes "$id" scheduled 60
	ready
}

@test "no followup-execute" {
	stack kill execute
	troubled execute 'followup-execute does not answer.*systemctl status'
	stack start execute
	ready
}

@test "followup-execute refuses all callbacks" {
	# Anybody can be refused; that alone does not mean that we do not work.
	request POST "$PUBLIC_URL/bookings/$LEAD/execute-followup" -d '{}'
	problem 401 unauthorized
	is_ready
	restart execute FOLLOWUP_EXECUTION_AUDIENCE=https://other.example
	id=$(book '1 second')
	troubled callbacks 'its audience is not FOLLOWUP_EXECUTION_AUDIENCE'
	restart execute
	becomes "$id" executed 60
	ready
}

@test "triggers disabled, all or one" {
	sql/followup-trigger disable
	troubled trigger-disabled 'followup-trigger enable'
	sql/followup-trigger enable
	is_ready
	for name in $(sql "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal
	    AND tgrelid = 'lad_dev.lead_bookings'::regclass
	    AND tgname ~ 'followup'"); do
		sql "ALTER TABLE lad_dev.lead_bookings DISABLE TRIGGER $name"
		troubled trigger-disabled "$name"
		sql "ALTER TABLE lad_dev.lead_bookings ENABLE TRIGGER $name"
	done
	is_ready
}

@test "rows that are hidden, grants that are taken, a read-only server" {
	sql 'ALTER TABLE lad_dev.lead_bookings ENABLE ROW LEVEL SECURITY'
	troubled row-security 'ALTER ROLE followup BYPASSRLS'
	sql 'ALTER ROLE followup BYPASSRLS'
	is_ready
	sql 'ALTER TABLE lad_dev.lead_bookings DISABLE ROW LEVEL SECURITY'
	sql 'ALTER ROLE followup NOBYPASSRLS'
	sql 'REVOKE EXECUTE ON FUNCTION lad_dev.followup_call_request
	    FROM followup'
	troubled grants 'EXECUTE on followup_call_request.*--grant-to followup'
	sql/followup-trigger install --grant-to followup
	is_ready

	# As a server that was demoted refuses writes: in running sessions, too.
	sql 'ALTER DATABASE followup SET default_transaction_read_only = on'
	sql "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
	    WHERE application_name ~ '^followup-'" >/dev/null
	wait_for 10 has_trouble database 'read-only.*takes writes'
	PGOPTIONS='-c default_transaction_read_only=off' sql \
	    'ALTER DATABASE followup RESET default_transaction_read_only'
	ready
}

@test "a queue that is paused, or is not there" {
	queue pause
	troubled queue-paused 'gcloud tasks queues resume'
	queue resume
	ready
	restart schedule FOLLOWUP_QUEUE_NAME=nowhere
	troubled queue-missing '404.*queue nowhere of FOLLOWUP_QUEUE_NAME exist'
	restart schedule
	ready
}

# service_account TOKEN-URI: print a credentials file that asks there.
service_account() {
	jq -n --arg uri "$1" --arg key "$(openssl genrsa 2048 2>/dev/null)" \
	    '{type: "service_account", client_email: "a@b.example",
	    private_key_id: "1", private_key: $key, token_uri: $uri}'
}

@test "credentials for which there is no token, and a service that hangs" {
	(umask 077; service_account "$EMULATOR_URL/nothing" \
	    >"$BATS_TEST_TMPDIR/credentials.json")
	settings=("CLOUD_TASKS_ENDPOINT=$EMULATOR_URL" CLOUD_TASKS_EMULATOR_HOST=
	    "GOOGLE_APPLICATION_CREDENTIALS=$BATS_TEST_TMPDIR/credentials.json")
	restart schedule "${settings[@]}"
	troubled credentials 'no access token for Google.*404'

	# It accepts, and says nothing: nobody is kept waiting for it.
	perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Listen => 5,
	    LocalAddr => "127.0.0.1") or die; print($s->sockport(), "\n");
	    close(STDOUT); sleep(60)' >"$BATS_TEST_TMPDIR/port" 3>&- &
	hanging=$!
	wait_for 10 test -s "$BATS_TEST_TMPDIR/port"
	(umask 077; service_account \
	    "http://127.0.0.1:$(cat "$BATS_TEST_TMPDIR/port")/" \
	    >"$BATS_TEST_TMPDIR/credentials.json")
	restart schedule "${settings[@]}"
	begun=${EPOCHREALTIME/[.,]/}
	api GET /readyz
	took=$((${EPOCHREALTIME/[.,]/} - begun))
	kill "$hanging"
	problem 503 out-of-service
	[[ $BODY == *'has not answered'* ]]
	((took < 2000000))
	restart schedule
	ready
}
