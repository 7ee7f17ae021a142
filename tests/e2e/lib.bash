# shellcheck shell=bash disable=SC2034  # the tests use the variables set here
#
# What the tests of the running system share.  Every file has a stack of its
# own, from setup_file to teardown_file; see tests/stack.

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${FOLLOWUP_BUILD:-build}
[[ $BUILD == /* ]] || BUILD=$ROOT/$BUILD
. "$ROOT/tests/e2e/answers-lib.bash"

# What the stack's database has in it from the start (tests/schema.sql).
TENANT=11111111-1111-4111-8111-111111111111
LEAD=b1111111-1111-4111-8111-111111111111
ACCOUNT=followup@demo-project.iam.gserviceaccount.com
QUEUE=projects/demo-project/locations/us-central1/queues/follow-up-voag-calls

# A key as a deployment would have it; the text is a canary for the logs.
CALL_KEY=canary-call-secret-0123456789
CALL_SECRET=whsec_$(printf %s "$CALL_KEY" | base64)

# stack_up [VARIABLE=VALUE]...: for setup_file.
stack_up() {
	export STACK="$BATS_FILE_TMPDIR/stack"
	env "FOLLOWUP_CALL_SECRET=$CALL_SECRET" "$@" \
	    "$ROOT/tests/stack" up "$STACK"
}

# For teardown_file.  A program that had ended by itself is a failure.
stack_down() {
	"$ROOT/tests/stack" down "$STACK"
}

# stack VERB [NAME]
stack() {
	"$ROOT/tests/stack" "$@" "$STACK"
}

# For setup: where everything is.
stack_env() {
	cd "$ROOT" || return
	eval "$(stack env)"
	# Another stack, or a program that is started again, has its own.
	unset POSTGRES_HOST POSTGRES_PORT POSTGRES_DB POSTGRES_USER \
	    POSTGRES_SCHEMA
}

# restart NAME [VARIABLE=VALUE]...: with these settings, until stack_reset.
restart() {
	[[ $# == 1 ]] || RESTARTED+=("$1")
	stack stop "$1" && env "${@:2}" "$ROOT/tests/stack" start "$1" "$STACK"
}

# After a test that failed: what the daemons said of its booking, and of all.
what_happened() {
	[[ -n ${BATS_TEST_COMPLETED:-} ]] || grep -hE \
	    "${id:-no booking}|breaker|webhook|database|stopp|ready" \
	    "$STACK"/log/{listener,schedule,execute}.log | sort | tail -n 30 |
	    cut -c 1-300 >&2
}

# For teardown: whatever the test did, everything runs again as after up.
stack_reset() {
	local name
	what_happened
	for name in $(stack status | sed -n 's/ *not running$//p'); do
		stack start "$name" || return
	done
	for name in "${RESTARTED[@]}"; do
		restart "$name" || return
	done
}

# in_stack COMMAND...: in the daemons' environment.
in_stack() {
	"$ROOT/tests/stack" exec "$STACK" "$@"
}

sanitized() {
	grep -q __asan_init "$BUILD/followup-listener"
}

#
# The database
#

# sql STATEMENT [PSQL-OPTION]...: its rows, without decoration.
sql() {
	psql -XAtq -v ON_ERROR_STOP=1 "${@:2}" -c "$1"
}

# sql_is VALUE STATEMENT
sql_is() {
	[[ $(sql "$2") == "$1" ]]
}

# book [DUE [TYPE [LEAD]]]: insert a booking and print its id.  DUE is an
# interval from now.
book() {
	sql "INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id, booking_type,
	    scheduled_at) VALUES ('$TENANT', '${3:-$LEAD}',
	    '${2:-auto_followup}', now() + interval '${1:-10 minutes}')
	    RETURNING id" 2>/dev/null
}

# book_many N [DUE]: in as many transactions.
book_many() {
	local i
	for ((i = 0; i < $1; i++)); do
		echo "INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id,
		    booking_type, scheduled_at) VALUES ('$TENANT', '$LEAD',
		    'auto_followup', now() + interval '${2:-10 minutes}');"
	done | psql -Xq -v ON_ERROR_STOP=1 2>/dev/null
}

# column ID NAME
column() {
	sql "SELECT $2 FROM lad_dev.lead_bookings WHERE id = '$1'"
}

# change ID ASSIGNMENTS: by plain SQL, as an application does.
change() {
	sql "UPDATE lad_dev.lead_bookings SET $2 WHERE id = '$1'" 2>/dev/null
}

# has_status ID STATUS
has_status() {
	[[ $(column "$1" task_status) == "$2" ]]
}

# becomes ID STATUS [SECONDS]
becomes() {
	wait_for "${3:-15}" has_status "$1" "$2" || {
		sql "SELECT * FROM lad_dev.lead_bookings WHERE id = '$1'" -x >&2
		return 1
	}
}

# all_scheduled [SECONDS]: no booking waits.
all_scheduled() {
	wait_for "${1:-20}" sql_is 0 "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE task_status = 'pending'"
}

# Have a session hold the advisory lock $1 until release.
hold() {
	local fifo=$BATS_TEST_TMPDIR/hold
	mkfifo "$fifo"
	psql -Xq <"$fifo" >/dev/null 3>&- &
	HOLDER=$!
	exec {HOLD}>"$fifo"
	echo "SELECT pg_advisory_lock($1);" >&"$HOLD"
	wait_for 10 sql_is 1 "SELECT count(*) FROM pg_locks
	    WHERE locktype = 'advisory' AND objid = $1 AND granted"
}

release() {
	exec {HOLD}>&-
	wait "$HOLDER"
}

#
# The stand-ins
#

# calls ID [JQ-FILTER]: the array of calls for the booking.
calls() {
	curl -s -m 20 --noproxy '*' "$VOICE_AGENT_URL/calls?bookingId=$1" |
	    jq -rc ".calls | ${2:-.}"
}

# called ID N
called() {
	[[ $(calls "$1" length) == "$2" ]]
}

# agent RULES: script the voice agent.
agent() {
	curl -sf -m 20 --noproxy '*' -H 'Content-Type: application/json' \
	    -d "$1" "$VOICE_AGENT_URL/script" >/dev/null
}

# task_created ID: a rule for the voice agent, where it stands in for the API:
# it answers that the booking's task is created.
task_created() {
	jq -cn --arg name "$QUEUE/tasks/followup-$1-$(column "$1" \
	    'floor(extract(epoch FROM scheduled_at))::bigint')" '{method: "POST",
	    status: 200, body: ({name: $name} | tojson)}'
}

# faults RULES: of the emulator's API.
faults() {
	curl -sf -m 20 --noproxy '*' -H 'Content-Type: application/json' \
	    -d "$1" "$EMULATOR_URL/admin/faults" >/dev/null
}

# tasks ID [JQ-FILTER]: the array of the queue's tasks for the booking.
tasks() {
	curl -sf -m 20 --noproxy '*' \
	    "$EMULATOR_URL/v2/$QUEUE/tasks?pageSize=1000&responseView=FULL" |
	    jq -rc --arg id "$1" "[.tasks[]? | select(.name |
	    contains(\$id))] | ${2:-.}"
}

# has_tasks ID N
has_tasks() {
	[[ $(tasks "$1" length) == "$2" ]]
}

#
# Logs
#

# log_lines NAME PATTERN: how many there are.
log_lines() {
	grep -Ec -- "$2" "$STACK/log/$1.log" || true
}

# logged NAME PATTERN
logged() {
	grep -Eq -- "$2" "$STACK/log/$1.log"
}

# in_any_log TEXT: also in PostgreSQL's and nginx's.
in_any_log() {
	grep -rqF -- "$1" "$STACK/log"
}

# mark NAME, and then logged_since NAME PATTERN.
mark() {
	MARK=$(wc -l <"$STACK/log/$1.log")
}

logged_since() {
	tail -n +$((MARK + 1)) "$STACK/log/$1.log" | grep -E -- "$2"
}

#
# HTTP
#

# request METHOD URL [CURL-OPTION]...: set STATUS, HEAD and BODY.
request() {
	: >"$BATS_TEST_TMPDIR/body"
	curl -s -m 30 --noproxy '*' --path-as-is -X "$1" \
	    -D "$BATS_TEST_TMPDIR/head" -o "$BATS_TEST_TMPDIR/body" \
	    "${@:3}" "$2" || true
	HEAD=$(tr -d '\r' <"$BATS_TEST_TMPDIR/head")
	BODY=$(cat "$BATS_TEST_TMPDIR/body")
	STATUS=$(sed -n 's/^HTTP[^ ]* \([0-9]*\).*/\1/p' <<<"$HEAD" | tail -n 1)
}

# problem STATUS NAME: the last answer is this problem, as RFC 9457 has it.
problem() {
	expect "$1" ".type == \"urn:followup-scheduler:$2\"" ".status == $1" \
	    '.title | length > 0' '.detail | length > 0' &&
	    header Content-Type: application/problem+json
}

# header TEXT: the last answer has this header.
header() {
	grep -qixF -- "$*" <<<"$HEAD" || {
		printf 'no header %s:\n%s\n' "$*" "$HEAD" >&2
		return 1
	}
}

# api METHOD PATH [CURL-OPTION]...: ask the local API.
api() {
	request "$1" "$LOCAL_URL$2" "${@:3}"
}

# webhook BODY [CURL-OPTION]...
webhook() {
	printf %s "$1" >"$BATS_TEST_TMPDIR/sent"
	api POST /webhooks/booking-followup \
	    -H 'Content-Type: application/json' \
	    --data-binary "@$BATS_TEST_TMPDIR/sent" "${@:2}"
}

# Base64url of stdin.
base64url() {
	base64 -w 0 | tr '+/' '-_' | tr -d =
}

# decode TEXT: base64url to bytes.
decode() {
	local text
	text=$(tr -- '-_' '+/' <<<"$1")
	while ((${#text} % 4)); do text+='='; done
	base64 -d <<<"$text"
}

# sign CLAIMS KEY-FILE KID [HEADER-FILTER]: a JWT, RS256.
sign() {
	local head
	head=$(jq -nc --arg kid "$3" \
	    "{alg: \"RS256\", typ: \"JWT\", kid: \$kid} | ${4:-.}" | base64url)
	head+=.$(printf %s "$1" | base64url)
	printf '%s.%s' "$head" "$(printf %s "$head" |
	    openssl dgst -sha256 -sign "$2" -binary | base64url)"
}

#
# What the queue sends.  KEY is the file of the emulator's key, KID its id.
#

# queue_keys: set KEY and KID.
queue_keys() {
	KEY=$STACK/data/emulator-key.pem
	KID=$(kid)
}

# The id of the emulator's key.
kid() {
	curl -sf -m 20 --noproxy '*' "$EMULATOR_URL/oauth2/v3/certs" |
	    jq -r '.keys[0].kid'
}

# claims [JQ-FILTER]: those of a good token, changed by the filter.
claims() {
	jq -nc --arg aud "$PUBLIC_URL/bookings" --arg email "$ACCOUNT" \
	    "{iss: \"https://accounts.google.com\", aud: \$aud, email: \$email,
	    email_verified: true, iat: (now | floor),
	    exp: (now | floor + 3600)} | ${1:-.}"
}

# token [JQ-FILTER]: signed by the queue's key.
token() {
	sign "$(claims "${1:-.}")" "$KEY" "$KID"
}

# task_body ID [JQ-FILTER]: what the task of the booking carries.
task_body() {
	column "$1" "json_build_object('bookingId', id, 'tenantId', tenant_id,
	    'leadId', lead_id, 'assignedUserId', assigned_user_id,
	    'idempotencyKey', 'followup:' || tenant_id || ':' || id,
	    'scheduledAt', to_char(scheduled_at AT TIME ZONE 'UTC',
	    'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'))" | jq -c "${2:-.}"
}

# A service account's credentials, as Google hands them out.
make_credentials() {
	CREDENTIALS=$BATS_TEST_TMPDIR/credentials.json
	openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
	    -out "$BATS_TEST_TMPDIR/account.pem" 2>/dev/null
	jq -n --rawfile key "$BATS_TEST_TMPDIR/account.pem" '{
	    type: "service_account", project_id: "demo-project",
	    private_key_id: "key-1", private_key: $key,
	    client_email: "scheduler@demo-project.iam.gserviceaccount.com",
	    token_uri: "https://oauth2.googleapis.com/token"}' >"$CREDENTIALS"
	chmod 400 "$CREDENTIALS"
}
