#!/usr/bin/env bats
#
# FOLLOWUP_EVENTS_URL is told once of what begins and of what ends, signed, and
# also of what it missed.

load lib

KEY_TEXT=canary-events-key-0123456789
SECRET=whsec_$(printf %s "$KEY_TEXT" | base64)

setup_file() {
	export RECEIVER_DIR=$BATS_FILE_TMPDIR
	start_receiver
	stack_up FOLLOWUP_EVENTS_URL="$RECEIVER/events" \
	    FOLLOWUP_EVENTS_SECRET="$SECRET" FOLLOWUP_MAX_EXECUTION_ATTEMPTS=1
}

teardown_file() {
	stop_receiver
	stack_down
}

setup() {
	stack_env
	RECEIVER=$(cat "$RECEIVER_DIR/url")
	receive DELETE /calls >/dev/null
	sql 'DELETE FROM lad_dev.followup_events'
}

teardown() {
	[[ -e $RECEIVER_DIR/pid ]] || start_receiver
	receive DELETE /script >/dev/null
	agent '[]'
	stack_reset
}

# A second voice agent stands in for whoever is told.  It comes back where it
# was, and with what it had heard.
start_receiver() {
	local at=127.0.0.1:0
	[[ ! -e $RECEIVER_DIR/url ]] ||
	    at=$(sed 's,http://,,' "$RECEIVER_DIR/url")
	"$BUILD/voice-agent" -l "$at" --data "$RECEIVER_DIR/received" \
	    >"$RECEIVER_DIR/receiver.out" 2>&1 3>&- &
	echo $! >"$RECEIVER_DIR/pid"
	wait_for 10 grep -q 'ready on' "$RECEIVER_DIR/receiver.out"
	RECEIVER=$(sed -n 's/.* ready on //p' "$RECEIVER_DIR/receiver.out")
	echo "$RECEIVER" >"$RECEIVER_DIR/url"
}

stop_receiver() {
	kill "$(cat "$RECEIVER_DIR/pid")"
	rm "$RECEIVER_DIR/pid"
}

# receive METHOD PATH [CURL-OPTION]...
receive() {
	curl -sf -m 20 --noproxy '*' -X "$1" "${@:3}" "$RECEIVER$2"
}

# events TYPE [JQ-FILTER]: the array of those that it took.
events() {
	receive GET /calls | jq -c --arg type "followup.$1" "[.calls[] |
	    .event = (.body | fromjson) | select(.event.type == \$type and
	    .status == 200)] | ${2:-.}"
}

# told TYPE N [SECONDS]: so many of the type come.
told() {
	wait_for "${3:-40}" has_events "$1" "$2" || {
		receive GET /calls | jq -c '[.calls[] | .body]' >&2
		return 1
	}
}

has_events() {
	[[ $(events "$1" length) == "$2" ]]
}

# dead_letter [STATUS]: a booking dies of an answer of the voice agent's.
dead_letter() {
	local id
	agent "{\"status\": ${1:-422}, \"body\": \"no such number\"}"
	id=$(book '1 second')
	becomes "$id" failed 20
}

@test "the first dead letter of a cause is told, signed, and no second" {
	dead_letter 422
	told dead_letter.first 1
	events dead_letter.first '.[0]' >"$BATS_TEST_TMPDIR/event"
	jq -e '.event | .timestamp and (.data | .stage == "execute" and
	    .httpStatus == 422 and (.sentence | test("given up")) and
	    (.what_to_do | test("dead-letters")))' "$BATS_TEST_TMPDIR/event"

	# It looks as the README says.
	sed -n '/^<!-- event -->/,/^```$/{/^[{ ]/p}' README.md |
	    jq '[paths | join(".")]' >"$BATS_TEST_TMPDIR/described"
	jq '.event | [paths | join(".")]' "$BATS_TEST_TMPDIR/event" |
	    diff <(jq -c sort "$BATS_TEST_TMPDIR/described") <(jq -c sort)

	# openssl agrees with the signature.
	header_of() {
		jq -r ".headers[\"webhook-$1\"]" "$BATS_TEST_TMPDIR/event"
	}
	[[ $(header_of id) =~ ^evt_[0-9a-f]{32}$ ]]
	[[ $(header_of signature) == "v1,$(printf '%s.%s.%s' "$(header_of id)" \
	    "$(header_of timestamp)" "$(jq -j .body "$BATS_TEST_TMPDIR/event")" |
	    openssl dgst -sha256 -hmac "$KEY_TEXT" -binary | base64)" ]]

	# Another cause is told, which shows that the same was seen and was not.
	dead_letter 422
	dead_letter 404
	told dead_letter.first 2
	[[ $(events dead_letter.first '[.[].event.data.httpStatus]') == \
	    '[422,404]' ]]
	not in_any_log "$KEY_TEXT"
}

@test "the listener is lost, and back; what was missed comes later, as it was" {
	stack kill listener
	told listener.lost 1
	receive POST /script -H 'Content-Type: application/json' \
	    -d '{"status": 503, "count": 1}' >/dev/null
	stack start listener

	# The one that was refused comes again under its id.
	told listener.back 1 60
	[[ $(receive GET /calls | jq '[.calls[] | select(.body |
	    test("listener.back")) | .headers["webhook-id"]] | length, (unique |
	    length)' | xargs) == '2 1' ]]

	# Down altogether.
	sql "UPDATE lad_dev.followup_events
	    SET happened_at = happened_at - interval '2 min'"
	stop_receiver
	stack kill listener
	wait_for 30 sql_is 1 "SELECT count(*) FROM lad_dev.followup_events
	    WHERE state = 'lost' AND last_error IS NOT NULL"
	start_receiver
	told listener.lost 2 60
	api GET /metrics
	grep -q '^followup_events_total{outcome="retry"} [1-9]' <<<"$BODY"
	grep -q '^followup_events_total{outcome="delivered"} [1-9]' <<<"$BODY"
}

@test "a breaker opens and closes; a watcher that is killed tells no other" {
	local watcher
	faults '{"status": 503, "count": -1}'
	book_many 8
	told breaker.opened 1
	[[ $(events breaker.opened '.[0].event.data.target') == \
	    '"cloud_tasks"' ]]

	# It is the child that was forked last.
	watcher=$(pgrep -n -P "$(cat "$STACK/run/schedule.pid")")
	kill -KILL "$watcher"
	faults '[]'
	told breaker.closed 1 60
	[[ $(events breaker.opened '[.[].headers["webhook-id"]] | unique |
	    length') == 1 ]]
	logged schedule "the process beside the workers, [0-9]+ was killed by signal 9"
}

@test "the database is lost, and back" {
	stack stop postgres
	told database.lost 1 60
	stack start postgres
	told database.back 1 60
	[[ $(events database.lost length) == 1 ]]
}
