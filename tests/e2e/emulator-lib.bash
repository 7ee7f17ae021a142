# shellcheck shell=bash disable=SC2034  # the tests use the variables set here
#
# What emulator.bats needs to run cloud-tasks-emulator and voice-agent: each
# test gets its own pair on ports of the kernel's choice, and both are gone
# when it ends.

ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
BUILD=${FOLLOWUP_BUILD:-build}
[[ $BUILD == /* ]] || BUILD=$ROOT/$BUILD
. "$ROOT/tests/e2e/answers-lib.bash"

LOCATION=projects/demo-project/locations/us-central1
QUEUE=$LOCATION/queues/follow-up-voag-calls

# start_program LOG PROGRAM [OPTION...]: start it and set URL and PID.
start_program() {
	local log=$1
	shift
	: >"$log.out"
	"$BUILD/$1" -l 127.0.0.1:0 "${@:2}" >"$log.out" 2>>"$log.err" 3>&- &
	PID=$!
	PIDS+=("$PID")
	wait_for 10 grep -q 'ready on' "$log.out" || {
		cat "$log.err" >&2
		return 1
	}
	URL=$(sed 's/.* ready on //' "$log.out")
}

# start_emulator [OPTION...]: set EMULATOR, API (the queue's URL) and
# EMULATOR_PID.
start_emulator() {
	start_program "$BATS_TEST_TMPDIR/emulator" cloud-tasks-emulator \
		-q "$QUEUE" "$@"
	EMULATOR=$URL EMULATOR_PID=$PID API=$URL/v2/$QUEUE
}

# start_agent [OPTION...]: set AGENT and AGENT_PID.
start_agent() {
	start_program "$BATS_TEST_TMPDIR/agent" voice-agent "$@"
	AGENT=$URL AGENT_PID=$PID
}

has_ended() {
	! kill -0 "$1" 2>/dev/null
}

# stop_program SIGNAL PID: and wait until it is gone.  After a SIGTERM it must
# have ended with 0, which under a sanitizer also says that nothing leaked.
stop_program() {
	local rc=0 pid left=()
	for pid in "${PIDS[@]}"; do
		[[ $pid == "$2" ]] || left+=("$pid")
	done
	PIDS=("${left[@]}")
	kill -s "$1" "$2" 2>/dev/null || true
	wait_for 10 has_ended "$2" || kill -s KILL "$2"
	wait "$2" || rc=$?
	[[ $rc == 0 || $1 == KILL ]] || {
		echo "a program ended with $rc:" >&2
		cat "$BATS_TEST_TMPDIR"/*.err >&2
		return 1
	}
}

stop_all() {
	local pid rc=0
	for pid in "${PIDS[@]}"; do
		stop_program TERM "$pid" || rc=1
	done
	return "$rc"
}

# request METHOD URL [BODY]: set STATUS and BODY.
request() {
	local out
	out=$(printf %s "${3-}" | curl -s -m 20 -X "$1" -w '\n%{http_code}' \
		-H 'Content-Type: application/json' ${3+--data-binary @-} \
		"$2") || return
	STATUS=${out##*$'\n'}
	BODY=${out%$'\n'*}
}

# in_seconds N: the time in N seconds (may be a fraction), RFC 3339, never a
# whole second, which the service writes without a fraction.
in_seconds() {
	jq -nr --argjson n "$1" 'now + $n | (floor | todate[:-1]) + "." + (("000"
		+ ([1, (. * 1000 | floor % 1000)] | max | tostring))[-3:]) + "Z"'
}

# task ID [JQ-FILTER]: the body of tasks:create for a call of the agent, or
# of nobody where there is none, changed by the filter (of the task).
task() {
	jq -nc --arg name "$QUEUE/tasks/$1" --arg url "${AGENT-https://example.com}/call" \
		"{task: ({name: \$name, httpRequest: {url: \$url}} | ${2:-.})}"
}

# create ID [JQ-FILTER]
create() {
	request POST "$API/tasks" "$(task "$@")"
}

# A task that is due long after the test: create_later ID.
create_later() {
	create "$1" ".scheduleTime = \"$(in_seconds 3600)\""
}

# is_gone ID: the task is no more.
is_gone() {
	request GET "$API/tasks/$1"
	[[ $STATUS == 404 ]]
}

# calls [JQ-FILTER]: what the agent was asked for.
calls() {
	curl -s -m 20 "$AGENT/calls" | jq -c ".calls | ${1:-.}"
}

# called N: at least N calls have come.
called() {
	(($(calls length) >= $1))
}

# script RULES: of the agent.
script() {
	request POST "$AGENT/script" "$1"
	expect 200
}

# faults RULES: of the emulator.
faults() {
	request POST "$EMULATOR/admin/faults" "$1"
	expect 200
}

# decode: base64url on stdin to bytes.
decode() {
	local text
	text=$(tr -- '-_' '+/')
	while ((${#text} % 4)); do text+='='; done
	base64 -d <<<"$text"
}

# public_key JWKS KID: that RSA key of it as PEM.  A key is, in DER, a sequence
# of the algorithm and of the two numbers; openssl builds it from the numbers.
public_key() {
	local n e
	n=$(jq -r --arg kid "$2" '.keys[] | select(.kid == $kid).n' <<<"$1" |
		decode | od -An -v -tx1 | tr -d ' \n')
	e=$(jq -r --arg kid "$2" '.keys[] | select(.kid == $kid).e' <<<"$1" |
		decode | od -An -v -tx1 | tr -d ' \n')
	openssl asn1parse -noout -out "$BATS_TEST_TMPDIR/key.der" -genconf <(
		cat <<-END
			asn1 = SEQUENCE:spki
			[spki]
			algorithm = SEQUENCE:algorithm
			key = BITWRAP,SEQUENCE:key
			[algorithm]
			oid = OID:rsaEncryption
			parameter = NULL
			[key]
			n = INTEGER:0x$n
			e = INTEGER:0x$e
		END
	)
	openssl pkey -pubin -inform DER -in "$BATS_TEST_TMPDIR/key.der"
}

# verify TOKEN JWKS: is it signed by the key of the set that it names?
verify() {
	local header payload signature kid
	IFS=. read -r header payload signature <<<"$1"
	kid=$(decode <<<"$header" | jq -r .kid)
	public_key "$2" "$kid" >"$BATS_TEST_TMPDIR/key.pem"
	decode <<<"$signature" >"$BATS_TEST_TMPDIR/signature"
	printf '%s.%s' "$header" "$payload" | openssl dgst -sha256 \
		-verify "$BATS_TEST_TMPDIR/key.pem" \
		-signature "$BATS_TEST_TMPDIR/signature"
}

# on_emulator GCLOUD-COMMAND...: gcloud, talking to the emulator.
on_emulator() {
	CLOUDSDK_CONFIG=$BATS_TEST_TMPDIR/gcloud \
	CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS=$EMULATOR/ \
	CLOUDSDK_CORE_PROJECT=demo-project \
	CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true \
	CLOUDSDK_CORE_DISABLE_PROMPTS=1 \
		timeout 30 gcloud "$@" --location=us-central1 2>&1
}
