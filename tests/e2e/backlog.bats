#!/usr/bin/env bats
# More notifications than fit into memory, while the webhook is down.

# bats file_tags=shipped

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

@test "30 000 notifications while the webhook is down: bounded, then all scheduled" {
	not sanitized || skip 'a sanitizer build has another memory'
	stack stop nginx
	sql "SET session_replication_role = replica;
	    INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id, booking_type,
	    scheduled_at) SELECT '$TENANT', '$LEAD', 'follow_up',
	    now() + interval '1 hour' FROM generate_series(1, 30000)"
	[ "$(sql "SELECT count(pg_notify('booking_followup_created',
	    json_build_object('booking_id', id, 'tenant_id', tenant_id,
	    'padding', repeat('x', 500))::text))
	    FROM lad_dev.lead_bookings")" = 30000 ]

	# The server's queue is emptied although nothing goes on.
	wait_for 20 sql_is 0 'SELECT pg_notification_queue_usage()'
	(($(rss) < 32 * 1024))

	stack start nginx
	wait_for 120 sql_is 0 "SELECT count(*) FROM lad_dev.lead_bookings
	    WHERE task_status <> 'scheduled'"
	(($(rss) < 32 * 1024))
}
