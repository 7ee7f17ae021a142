# The three daemons as programs: options, settings, signals, logs.

# shellcheck disable=SC2030,SC2031,SC2153
# (every test is a subshell of its own, and lib.bash sets the names in capitals)

load lib

DAEMONS=(listener schedule execute)

setup_file() {
	load lib
	# Every secret of the stack is a word that must not be found in a log.
	stack_up FOLLOWUP_CALL_TOKEN=canary-call-token \
	    FOLLOWUP_WEBHOOK_TOKEN=canary-webhook-token \
	    POSTGRES_PASSWORD=canary-password LOG_FORMAT=json LOG_LEVEL=debug
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
}

teardown() {
	[[ -z ${SERVER-} ]] || kill -KILL -- "-$SERVER" 2>/dev/null || true
	agent '[]'
	stack_reset
}

# complains DAEMON NAME [VARIABLE=VALUE]...: with these settings it stops at
# once, with one line that names NAME.
complains() {
	run in_stack env "${@:3}" timeout 10 "$BUILD/followup-$1" -t
	echo "$output"
	[[ $status == 1 && ${#lines[@]} == 1 ]]
	[[ $output == "followup-$1: "*"$2"* ]]

	# And so it does without -t.
	local with_t=$output
	run in_stack env "${@:3}" timeout 10 "$BUILD/followup-$1"
	[[ $status == 1 && $output == "$with_t" ]]
}

# workers MAIN: the processes of its workers.
workers() {
	pgrep -P "$1"
}

# The workers that each program has by default.
declare -gA WORKERS=([schedule]=5 [execute]=8)

# has_workers MAIN N
has_workers() {
	[[ $(workers "$1" | wc -l) == "$2" ]]
}

# A FastCGI daemon of our own, in a process group of its own: sets SERVER.
start_server() {
	mkdir -p "$BATS_TEST_TMPDIR/run"
	# The process that is started here is the daemon's in the end.
	setsid "$ROOT/tests/stack" exec "$STACK" env LOG_FORMAT=text \
	    FOLLOWUP_RUNTIME_DIR="$BATS_TEST_TMPDIR/run" \
	    "$BUILD/followup-$1" >"$BATS_TEST_TMPDIR/log" 2>&1 3>&- &
	SERVER=$!
	wait_for 10 test -S "$BATS_TEST_TMPDIR/run/$1.sock"
	wait_for 10 has_workers "$SERVER" "${WORKERS[$1]}"
}

@test "-h, -V and -t" {
	for name in "${DAEMONS[@]}"; do
		run "$BUILD/followup-$name" -h
		[[ $status == 0 && $output == "usage: followup-$name "* ]]
		[[ $output == *POSTGRES_SCHEMA*LOG_FORMAT* ]]
		run "$BUILD/followup-$name" -V
		[[ $status == 0 && $output =~ ^followup-$name\ [0-9]+\.[0-9] ]]
		run in_stack "$BUILD/followup-$name" -t
		[[ $status == 0 && $output == *"configuration is good"* ]]
		run "$BUILD/followup-$name" -x
		[[ $status == 1 ]]
		run in_stack "$BUILD/followup-$name" argument
		[[ $status == 1 && $output == *"takes no arguments"* ]]
	done
}

@test "a missing variable stops the program with one line that names it" {
	complains schedule GCP_PROJECT_ID GCP_PROJECT_ID=
	complains schedule FOLLOWUP_EXECUTION_ENDPOINT FOLLOWUP_EXECUTION_ENDPOINT=
	complains execute FOLLOWUP_EXECUTION_ENDPOINT FOLLOWUP_EXECUTION_ENDPOINT=
	complains execute FOLLOWUP_CALL_URL FOLLOWUP_CALL_URL=
}

@test "a wrong value stops the program with one line that names it" {
	for name in "${DAEMONS[@]}"; do
		complains "$name" LOG_LEVEL LOG_LEVEL=loud
		complains "$name" LOG_FORMAT LOG_FORMAT=xml
		complains "$name" POSTGRES_PORT POSTGRES_PORT=70000
		complains "$name" POSTGRES_SCHEMA \
		    "POSTGRES_SCHEMA=$(printf 'a%.0s' {1..64})"
		complains "$name" FOLLOWUP_RUNTIME_DIR FOLLOWUP_RUNTIME_DIR=run
	done
	complains listener FOLLOWUP_SWEEP_INTERVAL FOLLOWUP_SWEEP_INTERVAL=0
	complains listener FOLLOWUP_LISTENER_INFLIGHT FOLLOWUP_LISTENER_INFLIGHT=x
	complains listener FOLLOWUP_WEBHOOK_URL FOLLOWUP_WEBHOOK_URL=nonsense
	complains schedule FOLLOWUP_SCHEDULE_WORKERS FOLLOWUP_SCHEDULE_WORKERS=0
	complains schedule GCP_PROJECT_ID GCP_PROJECT_ID=a/b
	complains schedule CLOUD_TASKS_EMULATOR_HOST CLOUD_TASKS_EMULATOR_HOST=x
	complains schedule CLOUD_TASKS_ENDPOINT \
	    CLOUD_TASKS_ENDPOINT=http://example.com CLOUD_TASKS_EMULATOR_HOST=
	complains schedule CLOUD_TASKS_ENDPOINT \
	    CLOUD_TASKS_ENDPOINT=https://example.com
	complains schedule FOLLOWUP_EXECUTION_ENDPOINT \
	    FOLLOWUP_EXECUTION_ENDPOINT=http://example.com \
	    CLOUD_TASKS_EMULATOR_HOST=
	complains schedule FOLLOWUP_MAX_SCHEDULE_ATTEMPTS \
	    FOLLOWUP_MAX_SCHEDULE_ATTEMPTS=-1
	complains execute FOLLOWUP_EXECUTE_WORKERS FOLLOWUP_EXECUTE_WORKERS=9999
	complains execute FOLLOWUP_CALL_URL FOLLOWUP_CALL_URL=http://example.com
	complains execute OIDC_JWKS_URL OIDC_JWKS_URL=http://example.com/certs
	complains execute FOLLOWUP_CALL_TIMEOUT FOLLOWUP_CALL_TIMEOUT=2m
	complains execute GCP_CLOUD_TASKS_SERVICE_ACCOUNT \
	    GCP_CLOUD_TASKS_SERVICE_ACCOUNT=nobody
	complains execute FOLLOWUP_CALL_SECRET FOLLOWUP_CALL_SECRET=canary-wrong
	complains schedule FOLLOWUP_EVENTS_URL \
	    FOLLOWUP_EVENTS_URL=http://example.com
	complains schedule FOLLOWUP_EVENTS_SECRET \
	    FOLLOWUP_EVENTS_URL=https://example.com FOLLOWUP_EVENTS_SECRET=
	complains schedule FOLLOWUP_EVENTS_SECRET \
	    FOLLOWUP_EVENTS_SECRET=canary-wrong
	[[ $output != *canary* ]]
}

@test "with neither an account nor a secret nobody could be let in: no start" {
	for name in schedule execute; do
		complains "$name" GCP_CLOUD_TASKS_SERVICE_ACCOUNT \
		    GCP_CLOUD_TASKS_SERVICE_ACCOUNT= CLOUD_TASKS_SECRET=
		[[ $output == *CLOUD_TASKS_SECRET* ]]
		run in_stack env GCP_CLOUD_TASKS_SERVICE_ACCOUNT= \
		    CLOUD_TASKS_SECRET=secret "$BUILD/followup-$name" -t
		[[ $status == 0 ]]
	done
}

@test "workers that are killed are replaced, and nothing is lost" {
	for name in schedule execute; do
		main=$(cat "$STACK/run/$name.pid")
		wait_for 10 has_workers "$main" "${WORKERS[$name]}"
		before=$(workers "$main")
		# shellcheck disable=SC2086 # a list of numbers
		kill -KILL $before
		id=$(book '-1 second')
		becomes "$id" executed 20
		called "$id" 1
		wait_for 10 has_workers "$main" "${WORKERS[$name]}"
		for pid in $before; do
			not kill -0 "$pid" 2>/dev/null
		done
		logged "$name" 'was killed by signal 9'
	done
}

@test "SIGTERM and SIGINT: exit 0, no worker left, a stale socket is no matter" {
	for name in schedule execute; do
		for signal in TERM INT; do
			start_server "$name"
			pids=$(workers "$SERVER")
			kill -"$signal" "$SERVER"
			wait_for 10 not kill -0 "$SERVER" 2>/dev/null
			wait "$SERVER"
			for pid in $pids; do
				not kill -0 "$pid" 2>/dev/null
			done
			grep -q stopped "$BATS_TEST_TMPDIR/log"
		done

		# Killed, the workers leave too, and the next one can start.
		start_server "$name"
		pids=$(workers "$SERVER")
		kill -KILL "$SERVER"
		for pid in $pids; do
			wait_for 10 not kill -0 "$pid" 2>/dev/null
		done
		start_server "$name"
		[[ $(stat -c %a "$BATS_TEST_TMPDIR/run/$name.sock") == 660 ]]
		kill "$SERVER"
		wait "$SERVER"
	done
	SERVER=
}

@test "SIGTERM during a request: it is finished first" {
	agent '{"delayMs": 1500}'
	id=$(book '-1 second')
	wait_for 10 called "$id" 1
	stack stop execute
	has_status "$id" executed
	stack start execute
	called "$id" 1
}

@test "LOG_FORMAT=json: every line is an object for Cloud Logging" {
	id=$(book '-1 second')
	becomes "$id" executed
	sql "SELECT pg_notify('booking_followup_created',
	    E'quo\"te \\\\ back\\nnew line \\u00e9')" >/dev/null
	wait_for 5 logged listener 'quo..te'
	for name in "${DAEMONS[@]}"; do
		wc -l <"$STACK/log/$name.log"
		jq -es 'length > 0 and all(.[]; (.severity |
		    IN("DEBUG", "INFO", "WARNING", "ERROR")) and
		    (.time | test("^[0-9-]{10}T[0-9:]{8}\\.[0-9]{3}Z$")) and
		    (.message | test("^\\[[A-Za-z]+\\] .")))' \
		    "$STACK/log/$name.log"
		jq -es --arg id "$id" --arg tenant "$TENANT" 'any(.[];
		    .booking_id == $id and .tenant_id == $tenant)' \
		    "$STACK/log/$name.log"
	done
}

@test "no secret is in any log, or on any command line" {
	# Whatever goes wrong, too: errors quote what they are about.
	stack kill postgres
	api GET /readyz
	api GET /dead-letters -H 'Authorization: Bearer canary-webhook-token'
	stack start postgres
	api GET '/dead-letters?token=canary-query' \
	    -H 'Authorization: Bearer canary-wrong-token'
	problem 401 unauthorized
	agent '{"status": 400}'
	id=$(book '-1 second')
	becomes "$id" failed
	agent '{"reset": "before"}'
	id=$(book '-1 second')
	becomes "$id" executed

	# PostgreSQL's own log is not ours to keep clean, and clean as well.
	not in_any_log canary
	not in_any_log "${CALL_SECRET#whsec_}"
	not grep -rqE 'eyJ[A-Za-z0-9_-]+\.eyJ' "$STACK/log"
	for name in "${DAEMONS[@]}"; do
		not grep -q canary "/proc/$(cat "$STACK/run/$name.pid")/cmdline"
	done
}
