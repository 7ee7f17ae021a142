#ifndef STATES_H_
#define STATES_H_

#include "as_daemon.h"

/*
 * Statements of the daemons on a booking in any state: two workers, the booking
 * ID with a task, failures and an attempt that was begun, and what is left of
 * all that.  Due times are 2030-01-01 12:00:00.25 UTC.
 */

#define OTHER_ID	"00000000-0000-4000-8000-00000000000c"
#define QUEUE		"projects/p/locations/l/queues/q/tasks/"

static struct db *db2;
static struct bookings *b2;		/* of another worker */

/*
 * What there is of the booking: status, short name of its task, attempts at
 * its call, error, failures and whether they are dead, attempts that were
 * begun, tasks to delete.
 */
static const char state_sql[] =
    "SELECT concat_ws(' ', "
    "coalesce((SELECT b.task_status || ' ' || coalesce(regexp_replace("
    "b.task_name, '.*/', ''), '-') || ' ' || b.execution_attempts || ' ' "
    "|| coalesce(regexp_replace(b.last_execution_error, ' at 20.*Z$', ''), "
    "'-') FROM lead_bookings b "
    "WHERE b.id = '" ID "'), 'none'), "
    "(SELECT 'failures:' || string_agg(f.stage || f.attempts || "
    "CASE WHEN f.dead_at IS NULL THEN '' ELSE '!' END, ',' ORDER BY f.stage) "
    "FROM followup_failures f WHERE f.booking_id = '" ID "'), "
    "(SELECT 'begun' FROM followup_attempts a WHERE a.booking_id = '" ID "'),"
    " (SELECT 'obsolete:' || string_agg(regexp_replace(o.task_name, '.*/', "
    "''), ',' ORDER BY o.task_name) FROM followup_obsolete_tasks o))";

/* What insert leaves behind a status and a task, in state_sql. */
#define REST	" 2 boom failures:execute2,schedule1 begun"

static inline int
install(void **state)
{

	(void)state;
	be_quiet();
	install_into("", "");
	app = connect_app();
	begin_daemon();
	assert_non_null(db2 = db_new(&conf, "another worker"));
	assert_non_null(b2 = bookings_new(&conf, db2));
	return (0);
}

static inline int
uninstall(void **state)
{

	(void)state;
	end_daemon();
	bookings_free(b2);
	db_free(db2);
	remove_schema();
	return (0);
}

/* An empty table; what the test itself writes fires no trigger. */
static inline int
begin(void **state)
{

	(void)state;
	run("SET followup.daemon = 'on'; DELETE FROM lead_bookings; "
	    "DELETE FROM followup_failures; DELETE FROM followup_attempts; "
	    "DELETE FROM followup_obsolete_tasks; "
	    "DELETE FROM followup_pauses; DELETE FROM followup_backlog; "
	    "DELETE FROM followup_past_pauses; DELETE FROM followup_waits");
	assert_int_equal(bookings_ready(b), DB_OK);
	assert_int_equal(bookings_ready(b2), DB_OK);
	return (0);
}

/* Whatever a test locked goes with its sessions. */
static inline int
end(void **state)
{

	(void)state;
	forget_booking();
	bookings_disconnect(b);
	bookings_disconnect(b2);
	return (0);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

/* A booking ${id} with this status, and with a task, failures and so on. */
static inline void
insert(const char *id, const char *status)
{

	run("INSERT INTO lead_bookings (id, scheduled_at, task_status, "
	    "task_name, task_scheduled_at, execution_attempts, "
	    "last_execution_error, idempotency_key) VALUES ('%s', "
	    "'2030-01-01 12:00:00.25+00', '%s', CASE WHEN '%s' <> 'pending' "
	    "THEN '" QUEUE "old' END, '2030-01-01 12:00:00.25+00', 2, 'boom', "
	    "'key')", id, status, status);
	run("INSERT INTO followup_failures (booking_id, stage, attempts, "
	    "error) VALUES ('%s', 'schedule', 1, 'no'), "
	    "('%s', 'execute', 2, 'boom')", id, id);
	run("INSERT INTO followup_attempts (booking_id) VALUES ('%s')", id);
}

static inline void
clear(void)
{

	run("DELETE FROM lead_bookings; DELETE FROM followup_failures; "
	    "DELETE FROM followup_attempts; DELETE FROM followup_waits; "
	    "DELETE FROM followup_obsolete_tasks");
}

/* The booking has this ${status}, and is read. */
static inline void
start(const char *status)
{

	clear();
	insert(ID, status);
	read_booking();
}

#endif /* !STATES_H_ */
