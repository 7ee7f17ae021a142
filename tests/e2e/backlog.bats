#!/usr/bin/env bats
# A hundred thousand notifications while the webhook is down.

load lib

setup_file() {
	stack_up LOG_LEVEL=warning
}

teardown_file() {
	stack_down
}

setup() {
	stack_env
}

# rss: what the listener has in memory, in KiB.
rss() {
	awk '/^VmRSS/ { print $2 }' "/proc/$(cat "$STACK/run/listener.pid")/status"
}

@test "100 000 notifications while the webhook is down: bounded, then all scheduled" {
	! nm -D "$BUILD/followup-listener" | grep -q __asan_init ||
	    skip 'a sanitizer build has another memory'
	stack stop nginx
	sql "INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id, booking_type,
	    scheduled_at) SELECT '$TENANT', '$LEAD', 'follow_up',
	    now() + interval '1 hour' FROM generate_series(1, 100000)" \
	    2>"$BATS_TEST_TMPDIR/notices"
	[ "$(grep -c 'Notification sent' "$BATS_TEST_TMPDIR/notices")" = 100000 ]

	# The server's queue is emptied although nothing goes on.
	wait_for 20 sql_is 0 'SELECT pg_notification_queue_usage()'
	(($(rss) < 32 * 1024))

	stack start nginx
	wait_for 240 sql_is 0 "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE task_status <> 'scheduled'"
	(($(rss) < 32 * 1024))
}
