#!/usr/bin/env bats
#
# The canary: a made-up follow-up goes through everything but the call; and
# what is in its way is named.

load lib

setup_file() {
	stack_up FOLLOWUP_SWEEP_INTERVAL=1
}

teardown_file() {
	stack_down
}

setup() {
	stack_env
	sql 'DELETE FROM lad_dev.followup_canary'
}

teardown() {
	followup_trigger enable
	queue resume
	every ''
	stack_reset
}

followup_trigger() {
	"$ROOT/sql/followup-trigger" "$@"
}

every() {
	followup_trigger set canary_every "$1"
}

# queue VERB: pause or resume it.
queue() {
	curl -sf -m 20 --noproxy '*' -o /dev/null -d '{}' \
	    -H 'Content-Type: application/json' "$EMULATOR_URL/v2/$QUEUE:$1"
}

# canaries CONDITION: there is one.
canaries() {
	[[ $(sql "SELECT count(*) FROM lad_dev.followup_canary
	    WHERE $1") != 0 ]]
}

# Time passes: three intervals since the last one that came back, and enough
# for the one at hand.
pass() {
	sql "UPDATE lad_dev.followup_settings
	    SET changed_at = changed_at - interval '4 min';
	    UPDATE lad_dev.followup_canary SET slot = slot - interval '4 min',
	    created_at = created_at - interval '1 min',
	    called_back_at = called_back_at - interval '4 min'"
}

# is_stuck PATTERN: /readyz says so.
is_stuck() {
	api GET /readyz
	jq -e --arg re "$1" 'any(.troubles[]?; .code == "canary_stale" and
	    (.sentence | test($re)))' <<<"$BODY"
}

stuck() {
	wait_for 10 is_stuck "$1" || {
		echo "$BODY" >&2
		return 1
	}
	followup_trigger status | grep -iE "^$1"
}

@test "it comes back within seconds, and nobody is called" {
	before=$(curl -s --noproxy '*' "$VOICE_AGENT_URL/calls" |
	    jq '.calls | length')
	bookings=$(sql 'SELECT count(*) FROM lad_dev.lead_bookings')
	followup_trigger status | grep -x 'The canary is off'
	every 1min
	wait_for 20 canaries 'called_back_at IS NOT NULL'
	[ "$(curl -s --noproxy '*' "$VOICE_AGENT_URL/calls" |
	    jq '.calls | length')" = "$before" ]
	[ "$(sql 'SELECT count(*) FROM lad_dev.lead_bookings')" = "$bookings" ]
	sql_is t "SELECT bool_and(notified_at BETWEEN created_at
	    AND task_created_at AND task_created_at < called_back_at)
	    FROM lad_dev.followup_canary WHERE called_back_at IS NOT NULL"
	followup_trigger status |
	    grep -E '^The canary of ..:.. UTC came back after'
	api GET /readyz
	expect 200

	# A pause of calls does not hold it.
	api POST /pauses -d '{"scope": "all", "reason": "holidays"}'
	sql 'DELETE FROM lad_dev.followup_canary'
	wait_for 20 canaries 'called_back_at IS NOT NULL'
	api DELETE /pauses/all

	# A restart sends no second one.
	sql "UPDATE lad_dev.followup_settings SET value = '1d'
	    WHERE name = 'canary_every'; DELETE FROM lad_dev.followup_canary"
	wait_for 20 canaries 'called_back_at IS NOT NULL'
	restart listener
	book '1 hour'
	all_scheduled
	sql_is 1 'SELECT count(*) FROM lad_dev.followup_canary'
}

@test "the listener is down" {
	stack stop listener
	every 1min
	pass
	stuck 'no canary has been sent since .* followup-listener'
}

@test "its trigger is disabled" {
	followup_trigger disable
	every 1min
	wait_for 10 canaries true
	pass
	stuck 'the canary of .* was not announced, because the trigger'
}

@test "nginx does not answer the listener" {
	restart listener \
	    FOLLOWUP_WEBHOOK_SOCKET="$BATS_TEST_TMPDIR/nobody.sock" \
	    FOLLOWUP_SWEEP_INTERVAL=1
	every 1min
	wait_for 10 canaries 'notified_at IS NOT NULL'
	pass
	stuck 'the canary of .* was announced, but did not reach'
}

@test "Cloud Tasks refuses its task" {
	faults '{"operation":"createTask","status":400,"count":-1}'
	every 1min
	wait_for 10 canaries 'error IS NOT NULL'
	faults '[]'
	pass
	stuck 'the canary of .* was announced, but no task was created: .*400'
}

@test "the queue is paused, or followup-execute is down" {
	queue pause
	every 1min
	wait_for 10 canaries 'task_created_at IS NOT NULL'
	pass
	stuck 'the canary of .* had its task created, but was not called back'
	queue resume

	# A late one is answered like any other, and what it says is over.
	wait_for 20 canaries 'called_back_at IS NOT NULL'
	stack stop execute
	sql 'DELETE FROM lad_dev.followup_canary'
	wait_for 10 canaries 'task_created_at IS NOT NULL'
	pass
	stuck 'the canary of .* had its task created, but was not called back'
}
