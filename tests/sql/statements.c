#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <libpq-fe.h>

#include "dead_letters.h"
#include "time_limit.h"
#include "troubles.h"

#define SCHEMA	"test_statements"

#include "lib/states.h"

/*
 * The statements of the daemons, against the server of tests/sql/run: what
 * each makes of rows in every state, and of rows that somebody else changes
 * at the same time.
 */

/*
 * Somebody else changes the booking, in a transaction that commits once our
 * statement waits for it.
 */
static pthread_t somebody;
static PGconn *other;

static void *
commit_when_awaited(void *unused)
{
	struct timespec pause = { .tv_nsec = 5000000 };
	PGresult *result;
	int i, waits = 0;

	(void)unused;
	for (i = 0; i < WAIT_MS / 5 && !waits; i++) {
		result = PQexec(app, "SELECT count(*) FROM pg_stat_activity "
		    "WHERE wait_event_type = 'Lock' AND application_name = "
		    "'test'");
		waits = strcmp(PQgetvalue(result, 0, 0), "0") != 0;
		PQclear(result);
		(void)nanosleep(&pause, NULL);
	}
	run_on(other, "COMMIT");
	return (waits ? &somebody : NULL);
}

static void
does(const char *daemon, const char *change)
{

	other = connect_app();
	run_on(other, "BEGIN; SET LOCAL followup.daemon = '%s'; "
	    "UPDATE lead_bookings SET %s WHERE id = '" ID "'", daemon, change);
	assert_int_equal(pthread_create(&somebody, NULL, commit_when_awaited,
	    NULL), 0);
}

static void
somebody_does(const char *change)
{

	does("off", change);
}

static void
another_daemon_does(const char *change)
{

	does("on", change);
}

/* Our statement did wait. */
static void
somebody_did(void)
{
	void *waited;

	assert_int_equal(pthread_join(somebody, &waited), 0);
	assert_non_null(waited);
	PQfinish(other);
}

/*
 * Reading.
 */

static void
row_is_read(void **state)
{
	const char *ids[] = { OTHER_ID, ID };
	struct booking list[2];
	char text[BOOKING_TIME_LEN];
	PGresult *result;

	(void)state;
	insert(ID, "scheduled");
	run("UPDATE lead_bookings SET timezone = 'Asia/Dubai', "
	    "lead_id = '" OTHER_ID "', is_deleted = true");
	run("INSERT INTO followup_obsolete_tasks (task_name, booking_id, "
	    "obsolete_at) VALUES ('b', '" ID "', now()), "
	    "('a', '" ID "', now() + interval '1 s'), ('c', '" OTHER_ID "', "
	    "now())");
	assert_int_equal(booking_read(b, ids, 2, list, &result), DB_OK);
	assert_int_equal(list[0].found, 0);
	assert_string_equal(list[0].id, OTHER_ID);
	assert_string_equal(list[0].obsolete_tasks, "c\n");
	assert_int_equal(list[1].found, 1);
	assert_int_equal(list[1].status, BOOKING_SCHEDULED);
	assert_string_equal(list[1].tenant_id,
	    "11111111-1111-4111-8111-111111111111");
	assert_string_equal(list[1].lead_id, OTHER_ID);
	assert_null(list[1].assigned_user_id);
	assert_string_equal(list[1].booking_type, "follow_up");
	assert_int_equal(list[1].is_followup, 1);
	assert_int_equal(list[1].is_deleted, 1);
	assert_string_equal(list[1].task_name, QUEUE "old");
	assert_string_equal(booking_time(list[1].due, 6, text),
	    "2030-01-01T12:00:00.250000Z");
	assert_true(list[1].task_scheduled_at == list[1].due);
	assert_true(list[1].executed_at == BOOKING_NO_TIME);
	assert_true(list[1].due_in > 0);
	assert_int_equal(list[1].execution_attempts, 2);
	assert_int_equal(list[1].schedule_attempts, 1);
	assert_int_equal(list[1].outcome_unknown, 1);
	assert_string_equal(list[1].last_error, "boom");
	assert_string_equal(list[1].timezone, "Asia/Dubai");
	assert_string_equal(list[1].obsolete_tasks, "b\na\n");
	PQclear(result);
}

/* A time goes to C and back without losing anything. */
static void
times(void **state)
{
	static const struct {
		const char *sql;
		const char *text;
	} rows_of[] = {
		{ "2030-01-01 12:00:00.123456+00",
		    "2030-01-01T12:00:00.123456Z" },
		{ "1969-12-31 23:59:59.999999+00",
		    "1969-12-31T23:59:59.999999Z" },
		{ "0001-01-01 00:00:00+00", "1-01-01T00:00:00.000000Z" },
		{ "12026-06-01 00:00:00.5+00",
		    "12026-06-01T00:00:00.500000Z" },
	};
	struct booking_task task = { .booking = &booking, .name = "n" };
	char text[BOOKING_TIME_LEN];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows_of); i++) {
		clear();
		insert(ID, "pending");
		run("UPDATE lead_bookings SET scheduled_at = '%s'",
		    rows_of[i].sql);
		read_booking();
		ASSERT_ROW(strcmp(booking_time(booking.due, 6, text),
		    rows_of[i].text) == 0, rows_of[i].sql);
		assert_int_equal(booking_scheduled(b, &task, 1), DB_OK);
		ASSERT_ROW(task.changed, rows_of[i].sql);
		expect("SELECT task_scheduled_at = scheduled_at "
		    "FROM lead_bookings", "t");
	}
	run("UPDATE lead_bookings SET scheduled_at = 'infinity'");
}

/* The key is in the task, in the call and in the row: it never changes. */
static void
key_and_body(void **state)
{
	static const struct {
		const char *sql;
		const char *due;
	} rows_of[] = {
		{ "2030-01-01 12:00:00.25+00", "2030-01-01T12:00:00.250Z" },
		{ "2030-01-01 12:00:00.9999+04", "2030-01-01T08:00:00.999Z" },
		{ "1969-12-31 23:59:59.9999+00", "1969-12-31T23:59:59.999Z" },
		{ "12026-06-01 00:00:00+00", "12026-06-01T00:00:00.000Z" },
	};
	char key[256], due[BOOKING_TIME_LEN];
	json_t *body, *wanted;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows_of); i++) {
		clear();
		insert(ID, "pending");
		run("UPDATE lead_bookings SET scheduled_at = '%s', "
		    "lead_id = '" OTHER_ID "'", rows_of[i].sql);
		read_booking();
		assert_string_equal(booking_time(booking.due, 3, due),
		    rows_of[i].due);
		(void)snprintf(key, sizeof(key), "followup:%s:%s:%s",
		    booking.tenant_id, ID, due);
		assert_string_equal(booking.key, key);
		body = json_loads(booking.task_body, JSON_REJECT_DUPLICATES,
		    NULL);
		wanted = json_pack("{ss ss ss sn ss ss}", "tenantId",
		    booking.tenant_id, "bookingId", ID, "leadId", OTHER_ID,
		    "assignedUserId", "idempotencyKey", key, "scheduledAt",
		    due);
		assert_true(json_equal(body, wanted));
		json_decref(body);
		json_decref(wanted);
	}
	run("UPDATE lead_bookings SET scheduled_at = NULL");
	read_booking();
	assert_null(booking.key);
}

/* A call that is to begin long before its time is one of now. */
static void
early_call(void **state)
{
	struct db *its_db = db_new(&conf, "followup-execute");
	struct bookings *its = bookings_new(&conf, its_db);
	const char *ids[] = { ID };
	struct booking early;
	PGresult *result;
	char *body;
	int changed;

	(void)state;
	assert_non_null(its);
	clear();
	insert(ID, "scheduled");
	run("UPDATE lead_bookings SET scheduled_at = now() + interval '2 h'; "
	    "INSERT INTO followup_settings VALUES ('calling_hours', "
	    "to_char(now() AT TIME ZONE 'UTC' + interval '1 h', "
	    "'\"mon-sun\" HH24:MI') || to_char(now() AT TIME ZONE 'UTC' "
	    "+ interval '3 h', '-HH24:MI'))");
	read_booking();
	assert_int_equal(booking.verdict, BOOKING_CALL);
	assert_int_equal(bookings_ready(its), DB_OK);
	assert_int_equal(booking_read(its, ids, 1, &early, &result), DB_OK);
	assert_int_equal(early.verdict, BOOKING_WAIT);
	assert_int_equal(booking_begun(its, &early, &body, &changed), DB_OK);
	assert_int_equal(changed, 0);
	PQclear(result);
	run("DELETE FROM followup_settings WHERE name = 'calling_hours'");
	bookings_free(its);
	db_free(its_db);
}

/*
 * Locks.
 */

static void
locks(void **state)
{
	const char *ids[] = { ID, OTHER_ID };
	struct booking list[2];
	PGresult *result;
	int locked;

	(void)state;
	insert(ID, "pending");
	assert_int_equal(booking_take(b, BOOKING_SCHEDULE, ids, 1, list,
	    &result), DB_OK);
	assert_int_equal(list[0].locked, 1);
	PQclear(result);

	/* Somebody else reads it, but has no lock; nor on another stage. */
	assert_int_equal(booking_take(b2, BOOKING_SCHEDULE, ids, 2, list,
	    &result), DB_OK);
	assert_int_equal(list[0].locked, 0);
	assert_int_equal(list[0].found, 1);
	assert_int_equal(list[1].locked, 1);
	assert_int_equal(list[1].found, 0);
	PQclear(result);
	assert_int_equal(booking_try_lock(b2, BOOKING_EXECUTE, ID, &locked),
	    DB_OK);
	assert_int_equal(locked, 1);
	assert_int_equal(booking_try_lock(b, BOOKING_EXECUTE, ID, &locked),
	    DB_OK);
	assert_int_equal(locked, 0);
	booking_unlock(b2, BOOKING_SCHEDULE, &ids[1], 1);
	assert_int_equal(booking_try_lock(b, BOOKING_SCHEDULE, OTHER_ID,
	    &locked), DB_OK);
	assert_int_equal(locked, 1);
	booking_unlock(b, BOOKING_SCHEDULE, ids, 2);
	assert_int_equal(booking_try_lock(b2, BOOKING_SCHEDULE, ID, &locked),
	    DB_OK);
	assert_int_equal(locked, 1);
}

/* The same booking of another table of this database is another one. */
static void
locks_know_their_table(void **state)
{
	struct config others = conf;
	struct bookings *there;
	int locked;

	(void)state;
	others.table = "other_bookings";
	there = bookings_new(&others, db2);
	assert_non_null(there);
	assert_int_equal(booking_try_lock(b, BOOKING_EXECUTE, ID, &locked),
	    DB_OK);
	assert_int_equal(locked, 1);
	assert_int_equal(booking_try_lock(there, BOOKING_EXECUTE, ID, &locked),
	    DB_OK);
	assert_int_equal(locked, 1);
	bookings_free(there);
}

/* A row that cannot be read leaves no lock behind. */
static void
no_lock_without_a_row(void **state)
{
	const char *ids[] = { ID };
	struct booking list[1];
	PGresult *result;
	int locked;

	(void)state;
	insert(ID, "pending");
	run("ALTER FUNCTION followup_due_at(lead_bookings) RENAME TO away");
	assert_int_equal(booking_take(b, BOOKING_SCHEDULE, ids, 1, list,
	    &result), DB_BROKEN);
	run("ALTER FUNCTION away(lead_bookings) RENAME TO followup_due_at");
	assert_null(result);
	assert_int_equal(booking_try_lock(b2, BOOKING_SCHEDULE, ID, &locked),
	    DB_OK);
	assert_int_equal(locked, 1);
}

/*
 * Scheduled.
 */

static int64_t due_shift;

/* Write a task for the booking as it was read; was the row changed? */
static int
schedule(void)
{
	struct booking_task task = { .booking = &booking,
	    .name = QUEUE "new", .changed = -1 };

	booking.key = "new key";
	booking.planned = booking.due;
	booking.due += due_shift;
	booking.planned += due_shift;
	assert_int_equal(booking_scheduled(b, &task, 1), DB_OK);
	return (task.changed);
}

static void
take_lock(void)
{
	int locked;

	assert_int_equal(booking_try_lock(b, BOOKING_SCHEDULE, ID, &locked),
	    DB_OK);
	assert_int_equal(locked, 1);
}

/* Is our lock gone?  If not, it is released. */
static int
is_released(void)
{
	const char *ids[] = { ID };
	int locked;

	assert_int_equal(booking_try_lock(b2, BOOKING_SCHEDULE, ID, &locked),
	    DB_OK);
	booking_unlock(locked ? b2 : b, BOOKING_SCHEDULE, ids, 1);
	return (locked);
}

static void
scheduled(void **state)
{

	(void)state;
	start("pending");
	take_lock();
	assert_int_equal(schedule(), 1);
	assert_int_equal(is_released(), 1);
	expect(state_sql, "scheduled new 2 boom failures:execute2 begun");
	expect("SELECT concat(idempotency_key, ' ', task_scheduled_at) "
	    "FROM lead_bookings", "new key 2030-01-01 12:00:00.25+00");

	/* An error that is not of an attempt at the call is over. */
	start("pending");
	run("UPDATE lead_bookings SET execution_attempts = 0");
	assert_int_equal(schedule(), 1);
	expect("SELECT last_execution_error IS NULL FROM lead_bookings", "t");
}
static void
not_scheduled(void **state)
{
	static const char *const states[] = { "scheduled", "executed",
	    "cancelled", "failed" };
	static const char *const changes[] = { "is_deleted = true",
	    "booking_type = 'meeting'",
	    "scheduled_at = scheduled_at + interval '1 us'",
	    "scheduled_at = scheduled_at - interval '1 us'",
	    "scheduled_at = NULL" };
	char kept[128];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(states); i++) {
		start(states[i]);
		take_lock();
		ASSERT_ROW(schedule() == 0, states[i]);
		ASSERT_ROW(!is_released(), states[i]);
		(void)snprintf(kept, sizeof(kept), "%s old" REST, states[i]);
		expect(state_sql, kept);
	}
	for (i = 0; i < NITEMS(changes); i++) {
		start("pending");
		run("UPDATE lead_bookings SET %s", changes[i]);
		ASSERT_ROW(schedule() == 0, changes[i]);
		expect(state_sql, "pending -" REST);
	}
	clear();
	assert_int_equal(schedule(), 0);
}

static void
changed_while_it_is_scheduled(void **state)
{

	(void)state;
	start("pending");
	somebody_does("task_status = 'cancelled'");
	assert_int_equal(schedule(), 0);
	somebody_did();
	expect(state_sql, "cancelled - 2 cancelled");
	start("pending");
	somebody_does("scheduled_at = scheduled_at + interval '1 hour'");
	assert_int_equal(schedule(), 0);
	somebody_did();
	start("pending");
	somebody_does("notes = 'unrelated'");
	assert_int_equal(schedule(), 1);
	somebody_did();
}

/* Two bookings, taken by us, and their tasks. */
static struct booking pair[2];
static struct booking_task tasks[2];

static enum db_outcome
schedule_pair(void)
{
	const char *ids[] = { ID, OTHER_ID };
	int i;

	PQclear(rows);
	assert_int_equal(booking_take(b, BOOKING_SCHEDULE, ids, 2, pair,
	    &rows), DB_OK);
	for (i = 0; i < 2; i++) {
		tasks[i].booking = &pair[i];
		tasks[i].name = i == 0 ? QUEUE "first" : QUEUE "second";
		pair[i].key = i == 0 ? "k0" : "k1";
		tasks[i].changed = -1;
	}
	return (booking_scheduled(b, tasks, 2));
}

static const char pair_sql[] = "SELECT string_agg(task_status || ' ' || "
    "coalesce(task_name, '-') || ' ' || idempotency_key, ', ' ORDER BY id) "
    "FROM lead_bookings";

static void
many_are_scheduled(void **state)
{

	(void)state;
	insert(ID, "pending");
	insert(OTHER_ID, "pending");
	assert_int_equal(schedule_pair(), DB_OK);
	assert_int_equal(tasks[0].changed, 1);
	assert_int_equal(tasks[1].changed, 1);
	expect(pair_sql, "scheduled " QUEUE "first k0, scheduled " QUEUE
	    "second k1");
	assert_int_equal(is_released(), 1);
	expect("SELECT string_agg(stage, ',') FROM followup_failures",
	    "execute,execute");
}

/* Whoever gets a lock after us sees the state that we have written. */
static void
locks_last_until_the_commit(void **state)
{

	(void)state;
	run("CREATE TABLE at_commit (held bigint); "
	    "CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS "
	    "$$ BEGIN INSERT INTO " SCHEMA ".at_commit SELECT count(*) "
	    "FROM pg_locks WHERE locktype = 'advisory' "
	    "AND pid = pg_backend_pid(); RETURN NULL; END $$");
	run("CREATE CONSTRAINT TRIGGER at_commit AFTER UPDATE ON lead_bookings "
	    "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW "
	    "EXECUTE FUNCTION at_commit()");
	insert(ID, "pending");
	insert(OTHER_ID, "pending");
	assert_int_equal(schedule_pair(), DB_OK);
	expect("SELECT string_agg(held::text, ' ') FROM at_commit", "2 2");
	assert_int_equal(is_released(), 1);
	run("DROP TRIGGER at_commit ON lead_bookings; "
	    "DROP FUNCTION at_commit; DROP TABLE at_commit");
}

/* A row that somebody holds is left out; nobody waits for it. */
static void
locked_rows_are_left_out(void **state)
{

	(void)state;
	insert(ID, "pending");
	insert(OTHER_ID, "pending");
	run("BEGIN; SELECT FROM lead_bookings WHERE id = '" ID "' FOR UPDATE");
	assert_int_equal(schedule_pair(), DB_OK);
	run("ROLLBACK");
	assert_int_equal(tasks[0].changed, 0);
	assert_int_equal(tasks[1].changed, 1);
	assert_int_equal(is_released(), 0);
	expect(pair_sql, "pending - key, scheduled " QUEUE "second k1");

	/* A foreign key's lock on the row is no reason to. */
	clear();
	insert(ID, "pending");
	insert(OTHER_ID, "pending");
	run("BEGIN; SELECT FROM lead_bookings WHERE id = '" ID
	    "' FOR KEY SHARE");
	assert_int_equal(schedule_pair(), DB_OK);
	run("ROLLBACK");
	assert_int_equal(tasks[0].changed, 1);
}

/* One that waits does not wait for ever. */
static void
locked_row_alone(void **state)
{

	(void)state;
	start("pending");
	run("BEGIN; SELECT FROM lead_bookings FOR UPDATE");
	struct booking_task task = { .booking = &booking, .name = "n" };
	assert_int_equal(booking_scheduled(b, &task, 1), DB_LOCKED);
	assert_false(bookings_timed_out(b));
	run("ROLLBACK");
}

static void
one_bad_row_and_none_is_scheduled(void **state)
{

	(void)state;
	insert(ID, "pending");
	insert(OTHER_ID, "pending");
	run("ALTER TABLE lead_bookings ADD CONSTRAINT bad "
	    "CHECK (task_name NOT LIKE '%%/second')");
	assert_int_equal(schedule_pair(), DB_FAILED);
	run("ALTER TABLE lead_bookings DROP CONSTRAINT bad");
	expect(pair_sql, "pending - key, pending - key");
	assert_int_equal(is_released(), 0);
}

/*
 * The call.
 */

static int
begin_call(char **body)
{
	int changed = -1;

	assert_int_equal(booking_begun(b, &booking, body, &changed), DB_OK);
	return (changed);
}

static void
begun(void **state)
{
	static const char *const states[] = { "pending", "scheduled" };
	char *body;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(states); i++) {
		start(states[i]);
		run("DELETE FROM followup_attempts");
		ASSERT_ROW(begin_call(&body) == 1, states[i]);
		assert_non_null(strstr(body, "\"bookingId\": \"" ID "\""));
		free(body);
		expect("SELECT concat_ws(' ', task_status, execution_attempts,"
		    " (SELECT count(*) FROM followup_attempts)) "
		    "FROM lead_bookings", i == 0 ? "pending 3 1" :
		    "scheduled 3 1");
	}

	/* Again, because its outcome is not known. */
	run("UPDATE followup_attempts SET begun_at = 'epoch'");
	assert_int_equal(begin_call(&body), 1);
	free(body);
	expect("SELECT begun_at > 'epoch' FROM followup_attempts", "t");
}

/* A call may have been started, and then the row makes the database refuse. */
static void
refused_after_begun(void **state)
{
	struct booking_refusal refusal = { .stage = BOOKING_EXECUTE,
	    .error = "no", .max_attempts = 2 };
	char *body;

	(void)state;
	start("scheduled");
	run("DELETE FROM followup_failures");
	assert_int_equal(begin_call(&body), 1);
	free(body);
	assert_int_equal(booking_refused(b, &booking, &refusal), DB_OK);
	assert_int_equal(refusal.given_up, 0);
	expect("SELECT error FROM followup_failures", "no");
	assert_int_equal(booking_refused(b, &booking, &refusal), DB_OK);
	assert_int_equal(refusal.given_up, 1);
	assert_int_equal(refusal.unknown, 1);
	expect("SELECT error FROM followup_failures", "an attempt was begun "
	    "and its outcome is not known: ask the voice agent whether the "
	    "call was made, then retry or cancel (no)");

	/* The first refusal may be the last; and nothing may be unknown. */
	refusal.max_attempts = 1;
	run("DELETE FROM followup_failures");
	assert_int_equal(booking_refused(b, &booking, &refusal), DB_OK);
	expect("SELECT error LIKE 'an attempt was begun%% (no)' "
	    "FROM followup_failures", "t");
	run("DELETE FROM followup_failures; DELETE FROM followup_attempts");
	assert_int_equal(booking_refused(b, &booking, &refusal), DB_OK);
	assert_int_equal(refusal.unknown, 0);
	expect("SELECT error FROM followup_failures", "no");
}

static void
not_begun(void **state)
{
	static const char *const changes[] = { "task_status = 'executed'",
	    "task_status = 'cancelled'", "task_status = 'failed'",
	    "is_deleted = true", "booking_type = NULL",
	    "scheduled_at = scheduled_at + interval '1 us'" };
	char *body;
	size_t i;

	(void)state;
	run("ALTER TABLE lead_bookings ALTER booking_type DROP NOT NULL");
	for (i = 0; i < NITEMS(changes); i++) {
		start("scheduled");
		run("DELETE FROM followup_attempts; UPDATE lead_bookings SET "
		    "%s", changes[i]);
		ASSERT_ROW(begin_call(&body) == 0, changes[i]);
		assert_null(body);
		expect("SELECT count(*) FROM followup_attempts", "0");
		expect("SELECT execution_attempts FROM lead_bookings", "2");
	}

	/* A pause is in force at once. */
	start("scheduled");
	run("DELETE FROM followup_attempts; INSERT INTO followup_pauses "
	    "(scope, reason) VALUES ('tenant:" TENANT "', 'x')");
	assert_int_equal(begin_call(&body), 0);
	expect("SELECT count(*) FROM followup_attempts", "0");
	run("UPDATE followup_pauses SET until = now()");
	assert_int_equal(begin_call(&body), 1);
	free(body);
}

/* Cancelled or moved in a transaction that commits while the task fires. */
static void
changed_while_the_task_fires(void **state)
{
	static const char *const changes[] = { "task_status = 'cancelled'",
	    "is_deleted = true",
	    "scheduled_at = scheduled_at + interval '1 hour'" };
	char *body;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(changes); i++) {
		start("scheduled");
		run("DELETE FROM followup_attempts");
		somebody_does(changes[i]);
		ASSERT_ROW(begin_call(&body) == 0, changes[i]);
		somebody_did();
		expect("SELECT count(*) FROM followup_attempts", "0");
		expect("SELECT execution_attempts = 2 OR execution_attempts = "
		    "0 FROM lead_bookings", "t");
	}
}

static void
executed(void **state)
{
	static const char *const states[] = { "pending", "scheduled",
	    "cancelled", "failed" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(states); i++) {
		start(states[i]);
		booking.key = "its key";
		assert_int_equal(booking_executed(b, &booking, "made-it",
		    &took), DB_OK);
		expect(state_sql, i == 0 ? "executed - 2 -" :
		    "executed made-it 2 - obsolete:old");
		expect("SELECT concat_ws(' ', task_name, idempotency_key, "
		    "executed_at > now() - interval '1 min', "
		    "task_scheduled_at) FROM lead_bookings", i == 0 ?
		    "its key t 2030-01-01 12:00:00.25+00" :
		    QUEUE "made-it its key t 2030-01-01 12:00:00.25+00");
	}

	/* By the task that it has; and by one whose name is not known. */
	start("scheduled");
	assert_int_equal(booking_executed(b, &booking, "old", &took), DB_OK);
	expect(state_sql, "executed old 2 -");
	start("scheduled");
	assert_int_equal(booking_executed(b, &booking, NULL, &took), DB_OK);
	expect(state_sql, "executed old 2 -");
	start("executed");
	run("UPDATE lead_bookings SET executed_at = 'epoch'");
	assert_int_equal(booking_executed(b, &booking, "old", &took), DB_OK);
	expect("SELECT executed_at = 'epoch' FROM lead_bookings", "t");
}

/*
 * What was moved while the call was made is executed all the same, and a task
 * that it was given for its new time is obsolete.
 */
static void
changed_while_it_is_executed(void **state)
{

	(void)state;
	start("scheduled");
	somebody_does("scheduled_at = scheduled_at + interval '1 hour'");
	assert_int_equal(booking_executed(b, &booking, "old", &took), DB_OK);
	somebody_did();
	expect(state_sql, "executed - 0 - obsolete:old");
	start("scheduled");
	somebody_does("task_name = '" QUEUE "newer'");
	assert_int_equal(booking_executed(b, &booking, "old", &took), DB_OK);
	somebody_did();
	expect(state_sql, "executed old 2 - obsolete:newer");
}

static void
name_of_an_executed_one(void **state)
{

	(void)state;
	start("executed");
	assert_int_equal(booking_name_executed(b, ID, "n"), DB_OK);
	expect(state_sql, "executed old" REST);
	run("UPDATE lead_bookings SET task_name = NULL");
	assert_int_equal(booking_name_executed(b, ID, "n"), DB_OK);
	expect(state_sql, "executed n" REST);
	start("scheduled");
	run("UPDATE lead_bookings SET task_name = NULL");
	assert_int_equal(booking_name_executed(b, ID, "n"), DB_OK);
	expect(state_sql, "scheduled -" REST);
}

/*
 * Failures.
 */

static struct booking_failure failure = { .error = "it said no",
    .http_status = 503, .retry_in = 30 };

static void
fail_once(enum booking_stage stage)
{

	failure.stage = stage;
	assert_int_equal(booking_failed_once(b, &booking, &failure), DB_OK);
}

static void
failed_once(void **state)
{

	(void)state;
	start("scheduled");
	fail_once(BOOKING_EXECUTE);
	expect(state_sql, "scheduled old 2 it said no "
	    "failures:execute3,schedule1");
	expect("SELECT concat_ws(' ', http_status, error, tenant_id IS NOT "
	    "NULL, round(extract(epoch FROM next_attempt_at - last_failed_at))"
	    ") FROM followup_failures WHERE stage = 'execute'",
	    "503 it said no f 30");

	/* It may have been started: the attempt is not over. */
	start("scheduled");
	failure.unknown = 1;
	fail_once(BOOKING_EXECUTE);
	failure.unknown = 0;
	expect(state_sql, "scheduled old 2 it said no "
	    "failures:execute3,schedule1 begun");

	/* The first one; its tenant is known. */
	start("pending");
	run("DELETE FROM followup_failures; UPDATE lead_bookings SET "
	    "execution_attempts = 0");
	fail_once(BOOKING_SCHEDULE);
	expect(state_sql, "pending - 0 it said no failures:schedule1 begun");
	expect("SELECT tenant_id FROM followup_failures",
	    "11111111-1111-4111-8111-111111111111");

	/* What the call failed for is not written over. */
	start("pending");
	fail_once(BOOKING_SCHEDULE);
	expect(state_sql, "pending - 2 boom failures:execute2,schedule2 "
	    "begun");
}

/* Moved meanwhile: what failed is over.  Cancelled: there is no error. */
static void
failed_once_meanwhile(void **state)
{

	(void)state;
	start("scheduled");
	run("UPDATE lead_bookings SET scheduled_at = scheduled_at + "
	    "interval '1 us'");
	fail_once(BOOKING_EXECUTE);
	expect(state_sql, "scheduled old 2 boom "
	    "failures:execute2,schedule1");
	start("cancelled");
	fail_once(BOOKING_EXECUTE);
	expect("SELECT last_execution_error FROM lead_bookings", "boom");
}

/* What was counted is taken back, unless it is another booking's by now. */
static void
spared(void **state)
{
	static const char *const states[] = { "pending", "scheduled" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(states); i++) {
		start(states[i]);
		assert_int_equal(booking_spared(b, &booking, &failure),
		    DB_OK);
		expect("SELECT concat_ws(' ', execution_attempts, "
		    "last_execution_error, (SELECT count(*) FROM "
		    "followup_attempts), (SELECT sum(attempts) FROM "
		    "followup_failures)) FROM lead_bookings",
		    "1 it said no 0 3");
	}

	/* It may have been started; and it was not counted. */
	start("scheduled");
	run("UPDATE lead_bookings SET execution_attempts = 0");
	failure.unknown = 1;
	assert_int_equal(booking_spared(b, &booking, &failure), DB_OK);
	failure.unknown = 0;
	expect("SELECT concat_ws(' ', execution_attempts, (SELECT count(*) "
	    "FROM followup_attempts)) FROM lead_bookings", "0 1");

	/* Moved or cancelled: the attempt is over, and that is all. */
	start("scheduled");
	run("UPDATE lead_bookings SET scheduled_at = scheduled_at + "
	    "interval '1 us'");
	assert_int_equal(booking_spared(b, &booking, &failure), DB_OK);
	expect(state_sql, "scheduled old 2 boom "
	    "failures:execute2,schedule1");
	start("cancelled");
	assert_int_equal(booking_spared(b, &booking, &failure), DB_OK);
	expect(state_sql, "cancelled old 2 boom "
	    "failures:execute2,schedule1");
}

/* Attempts that were not its fault are given back, and no more than those. */
static void
cleared(void **state)
{

	(void)state;
	start("scheduled");
	assert_int_equal(booking_cleared(b, ID, 1), DB_OK);
	expect(state_sql, "scheduled old 1 boom "
	    "failures:execute1,schedule1 begun");
	assert_int_equal(booking_cleared(b, ID, 2), DB_OK);
	expect(state_sql, "scheduled old 0 boom failures:schedule1 begun");

	/* The attempt has succeeded meanwhile. */
	start("executed");
	assert_int_equal(booking_cleared(b, ID, 1), DB_OK);
	expect("SELECT concat_ws(' ', task_status, execution_attempts) "
	    "FROM lead_bookings", "executed 2");

	/* A dead letter tells what it died of. */
	start("scheduled");
	run("UPDATE lead_bookings SET task_status = 'failed'; "
	    "UPDATE followup_failures SET dead_at = now()");
	assert_int_equal(booking_cleared(b, ID, 1), DB_OK);
	expect("SELECT concat_ws(' ', execution_attempts, (SELECT attempts "
	    "FROM followup_failures WHERE stage = 'execute')) "
	    "FROM lead_bookings", "2 2");
}

static int
fail_for_good(enum booking_stage stage)
{
	int changed = -1;

	failure.stage = stage;
	assert_int_equal(booking_failed(b, &booking, &failure, &changed),
	    DB_OK);
	return (changed);
}

static void
failed(void **state)
{
	static const char *const states[] = { "executed", "cancelled",
	    "failed" };
	char kept[128];
	size_t i;

	(void)state;
	start("scheduled");
	assert_int_equal(fail_for_good(BOOKING_EXECUTE), 1);
	expect(state_sql, "failed old 2 it said no "
	    "failures:execute3!,schedule1");
	start("pending");
	assert_int_equal(fail_for_good(BOOKING_SCHEDULE), 1);
	expect(state_sql, "failed - 2 it said no "
	    "failures:execute2,schedule2! begun");
	for (i = 0; i < NITEMS(states); i++) {
		start(states[i]);
		ASSERT_ROW(fail_for_good(BOOKING_SCHEDULE) == 0, states[i]);
		(void)snprintf(kept, sizeof(kept), "%s old" REST, states[i]);
		expect(state_sql, kept);
	}
	start("pending");
	run("UPDATE lead_bookings SET scheduled_at = scheduled_at + "
	    "interval '1 us'");
	assert_int_equal(fail_for_good(BOOKING_SCHEDULE), 0);
	expect(state_sql, "pending -" REST);
}

/* A time that is not valid is the same time as long as it is not. */
static void
failed_without_a_time(void **state)
{

	(void)state;
	start("pending");
	run("UPDATE lead_bookings SET scheduled_at = NULL");
	assert_int_equal(fail_for_good(BOOKING_SCHEDULE), 0);
	read_booking();
	assert_true(booking.due == BOOKING_NO_TIME);
	assert_int_equal(fail_for_good(BOOKING_SCHEDULE), 1);
	start("pending");
	run("UPDATE lead_bookings SET scheduled_at = NULL");
	read_booking();
	run("UPDATE lead_bookings SET scheduled_at = now()");
	assert_int_equal(fail_for_good(BOOKING_SCHEDULE), 0);
}

/*
 * Back to pending, cancelled, retried.
 */

typedef enum db_outcome transition(struct bookings *, const struct booking *,
    int *);

/* What ${f} makes of a booking that was read with this status. */
static void
expect_transition(transition *f, const char *status, int changes,
    const char *after)
{
	int changed = -1;

	start(status);
	assert_int_equal(f(b, &booking, &changed), DB_OK);
	assert_int_equal(changed, changes);
	expect(state_sql, after);
}

static enum db_outcome
task_is_gone(struct bookings *handle, const struct booking *gone, int *changed)
{

	return (booking_task_gone(handle, gone, NULL, changed));
}

static enum db_outcome
cancel(struct bookings *handle, const struct booking *unwanted, int *changed)
{

	return (booking_cancel(handle, unwanted, "ann", changed));
}

static void
unscheduled(void **state)
{

	(void)state;
	expect_transition(booking_unschedule, "scheduled", 1,
	    "pending - 0 - obsolete:old");
	expect("SELECT concat(task_scheduled_at, idempotency_key) "
	    "FROM lead_bookings", "");
	expect_transition(booking_unschedule, "executed", 0,
	    "executed old" REST);
	expect_transition(booking_unschedule, "cancelled", 0,
	    "cancelled old" REST);
	start("scheduled");
	run("UPDATE lead_bookings SET task_name = 'newer'");
	int changed;
	assert_int_equal(booking_unschedule(b, &booking, &changed), DB_OK);
	assert_int_equal(changed, 0);
	expect(state_sql, "scheduled newer" REST);
}

/* Attempts at its call still count, and one that was begun is not over. */
static void
task_gone(void **state)
{

	(void)state;
	expect_transition(task_is_gone, "scheduled", 1, "pending -" REST);
	expect("SELECT concat(task_scheduled_at, idempotency_key) "
	    "FROM lead_bookings", "key");
	expect_transition(task_is_gone, "executed", 0,
	    "executed old" REST);
	start("scheduled");
	run("UPDATE lead_bookings SET task_name = 'newer'");
	int changed;
	assert_int_equal(booking_task_gone(b, &booking, NULL, &changed), DB_OK);
	assert_int_equal(changed, 0);

	/* One that never had a task. */
	run("UPDATE lead_bookings SET task_name = NULL");
	read_booking();
	assert_int_equal(booking_task_gone(b, &booking, NULL, &changed), DB_OK);
	assert_int_equal(changed, 1);
}

static void
cancelled(void **state)
{

	(void)state;
	/* The attempt that was begun cannot be stopped, and is not over. */
	expect_transition(cancel, "pending", 1,
	    "cancelled - 2 cancelled begun");
	expect_transition(cancel, "scheduled", 1,
	    "cancelled - 2 cancelled begun obsolete:old");
	expect_transition(cancel, "failed", 1,
	    "cancelled - 2 cancelled begun obsolete:old");
	expect_transition(cancel, "executed", 0,
	    "executed old" REST);
}

/* Executed in the moment in which it is cancelled. */
static void
executed_while_it_is_cancelled(void **state)
{
	int changed;

	(void)state;
	start("scheduled");
	another_daemon_does("task_status = 'executed'");
	assert_int_equal(booking_cancel(b, &booking, NULL, &changed), DB_OK);
	somebody_did();
	assert_int_equal(changed, 0);
	expect(state_sql, "executed old" REST);
}

static void
retried(void **state)
{
	int changed;

	(void)state;
	start("failed");
	assert_int_equal(booking_retry(b, ID, 0, NULL, &changed), DB_OK);
	assert_int_equal(changed, 1);
	expect("SELECT task_status FROM lead_bookings", "pending");
	start("scheduled");
	assert_int_equal(booking_retry(b, ID, 0, NULL, &changed), DB_OK);
	assert_int_equal(changed, 0);
}

static void
obsolete_tasks(void **state)
{

	(void)state;
	start("pending");
	run("INSERT INTO followup_obsolete_tasks (task_name, booking_id) "
	    "VALUES ('one', '" ID "'), ('two', '" ID "'), "
	    "('three', '" OTHER_ID "')");
	assert_int_equal(booking_obsolete_later(b, ID, 7.5), DB_OK);
	expect("SELECT string_agg(concat_ws(' ', task_name, attempts, "
	    "next_attempt_at > now() + interval '5 s'), ',' ORDER BY "
	    "task_name) FROM followup_obsolete_tasks",
	    "one 1 t,three 0,two 1 t");
	assert_int_equal(booking_obsolete_deleted(b, "one", &booking,
	    "deleted"), DB_OK);
	expect("SELECT string_agg(task_name, ',' ORDER BY task_name) "
	    "FROM followup_obsolete_tasks", "three,two");
}

/*
 * The daemons' own writes fire none of the triggers.
 */

static void
own_writes_fire_nothing(void **state)
{
	struct pollfd pfd = { .events = POLLIN };
	PGconn *listener = connect_app();
	int changed;

	(void)state;
	run_on(listener, "LISTEN booking_followup_created");
	start("scheduled");
	assert_int_equal(booking_task_gone(b, &booking, NULL, &changed), DB_OK);
	expect("SELECT count(*) FROM followup_obsolete_tasks", "0");
	start("scheduled");
	assert_int_equal(booking_unschedule(b, &booking, &changed), DB_OK);
	read_booking();
	assert_int_equal(schedule(), 1);
	assert_int_equal(fail_for_good(BOOKING_SCHEDULE), 1);
	start("scheduled");
	assert_int_equal(booking_cancel(b, &booking, NULL, &changed), DB_OK);

	/* The first that is heard is the application's own. */
	run("SET followup.daemon = 'off'; NOTIFY booking_followup_created, "
	    "'the end'");
	pfd.fd = PQsocket(listener);
	assert_int_equal(poll(&pfd, 1, WAIT_MS), 1);
	assert_int_equal(PQconsumeInput(listener), 1);
	PGnotify *notify = PQnotifies(listener);
	assert_non_null(notify);
	assert_string_equal(notify->extra, "the end");
	PQfreemem(notify);

	/* The same by hand does fire. */
	run("SET followup.daemon = 'on'");
	start("scheduled");
	run("SET followup.daemon = 'off'");
	run("UPDATE lead_bookings SET task_status = 'pending'");
	expect("SELECT count(*) FROM followup_obsolete_tasks", "1");
	PQfinish(listener);
}

/* How many parameters ${text} has: up to nine (BOOKINGS_PARAMS). */
static int
nparams(const char *text)
{
	int n = 0;

	for (; *text != '\0'; text++)
		if (text[0] == '$' && text[1] - '0' > n)
			n = text[1] - '0';
	return (n);
}

/* The dead letters of one group are named by their whole cause. */
static void
filters_are_narrowed(void **state)
{
	static const struct {
		const char *filter;
		const char *becomes;
	} all[] = {
		{ "{\"error\":\"took <n> s\"}", "{\"cause\":\"took <n> s\"}" },
		{ "{\"error\":\"took <n>\"}", "{\"error\":\"took <n>\"}" },
		{ "{\"error\":\"took <n> s\",\"stage\":\"schedule\"}",
		    "{\"error\":\"took <n> s\",\"stage\":\"schedule\"}" },
		{ "{\"stage\":\"execute\"}", "{\"stage\":\"execute\"}" },
	};
	json_t *filter;
	char *text;
	size_t i;

	(void)state;
	insert(ID, "failed");
	run("INSERT INTO followup_failures (booking_id, stage, attempts, "
	    "error, dead_at) "
	    "VALUES ('" ID "', 'execute', 8, 'took 31 s', now()) "
	    "ON CONFLICT (booking_id, stage) DO UPDATE "
	    "SET error = excluded.error, dead_at = now()");
	for (i = 0; i < NITEMS(all); i++) {
		filter = json_loads(all[i].filter, 0, NULL);
		assert_int_equal(dead_letters_narrow(b, filter), DB_OK);
		text = json_dumps(filter, JSON_COMPACT);
		assert_string_equal(text, all[i].becomes);
		free(text);
		json_decref(filter);
	}
}

/* No part of ${sql} reads a whole table. */
static void
finds_by_index(const struct bookings_sql *sql)
{
	const struct bookings_sql *const list[] = { sql, NULL };
	struct bookings_sql explain = { .name = "explain" };
	struct bookings_call call = { .sql = &explain };
	struct db *a_db = db_new(&conf, "test");
	struct bookings *a = bookings_new(&conf, a_db);
	static const char nulls[] = ", NULL, NULL, NULL, NULL, NULL, NULL, "
	    "NULL, NULL, NULL";
	const char *line, *next;
	char text[256];
	int i;

	assert_non_null(a);
	assert_int_equal(bookings_prepare(a, list), DB_OK);
	/* That is the name of the first statement of a session. */
	(void)snprintf(text, sizeof(text), "EXPLAIN (COSTS off) EXECUTE s0 "
	    "(%.*s)", nparams(sql->text) * 6 - 2, &nulls[2]);
	explain.text = text;
	if (bookings_run(a, &call, 1) != DB_OK)
		fail_msg("%s: %s", sql->name, db_error(a_db));
	for (i = 0; i < PQntuples(call.result); i++) {
		line = PQgetvalue(call.result, i, 0);
		next = i + 1 < PQntuples(call.result) ?
		    PQgetvalue(call.result, i + 1, 0) : "";
		if (strstr(line, "Seq Scan on ") != NULL ||
		    (strstr(line, "Scan using ") != NULL &&
		    strstr(next, "Index Cond: ") == NULL))
			fail_msg("\"%s\": %s", sql->name, line);
	}
	PQclear(call.result);
	bookings_free(a);
	db_free(a_db);
}

/*
 * Statistics that say that the tables are tiny, and sessions that have planned
 * by them when a burst comes: it would take each statement through all of it.
 */
static void
tiny_tables_are_not_read(void **state)
{
	const struct bookings_sql *const *const lists[] = { booking_statements,
	    booking_state_statements, booking_waits_statements };
	size_t i, j;

	(void)state;
	start("scheduled");
	run("INSERT INTO followup_obsolete_tasks (task_name, booking_id) "
	    "VALUES ('a', '" ID "')");
	run("VACUUM ANALYZE lead_bookings, followup_failures, "
	    "followup_attempts, followup_obsolete_tasks, followup_waits");
	for (i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		for (j = 0; lists[i][j] != NULL; j++)
			finds_by_index(lists[i][j]);
}

/*
 * A batch costs so much for each of its bookings: no part of the statement
 * compares each of them with all others.
 */
static void
batch_is_not_compared_with_itself(void **state)
{
	struct bookings_sql explain = { .name = "explain" };
	struct bookings_call call = { .sql = &explain, .nparams = 7 };
	int i, written = 0;
	PGresult *lists;
	const char *line;
	char *text;

	(void)state;
	run("INSERT INTO lead_bookings (scheduled_at) "
	    "SELECT now() + i * interval '1 s' "
	    "FROM generate_series(1, 100) AS i");
	lists = PQexec(app, "SELECT array_agg(id), "
	    "array_agg('n' || id), array_agg(due), array_agg('k' || id), "
	    "array_agg(due), array_agg(due), "
	    "array_agg('{scheduled}'::text) FROM (SELECT id, "
	    "(extract(epoch FROM scheduled_at) * 1000000)::bigint AS due "
	    "FROM lead_bookings) AS b");
	assert_int_equal(PQnfields(lists), call.nparams);
	for (i = 0; i < call.nparams; i++)
		call.params[i] = PQgetvalue(lists, 0, i);
	assert_true(asprintf(&text, "EXPLAIN (ANALYZE, TIMING off, COSTS off) "
	    "%s", booking_state_schedule[0]->text) > 0);
	explain.text = text;
	assert_int_equal(bookings_run(b, &call, 1), DB_OK);
	for (i = 0; i < PQntuples(call.result); i++) {
		line = PQgetvalue(call.result, i, 0);
		written |= strstr(line, "Update on lead_bookings") != NULL &&
		    strstr(line, "rows=100") != NULL;
		if (strstr(line, "Rows Removed by Join Filter") != NULL)
			fail_msg("%s", line);
	}
	assert_true(written);
	PQclear(call.result);
	PQclear(lists);
	free(text);
}

/*
 * Statistics that say that nothing is pending: the sweep's index looks as if
 * it were empty, and reading it for every booking of a burst would read all.
 */
static void
rows_are_found_by_id(void **state)
{
	struct booking_task task = { .booking = &booking, .name = "n" };
	char *body;
	int changed, i;

	(void)state;
	run("ALTER TABLE lead_bookings SET (autovacuum_enabled = off); "
	    "INSERT INTO lead_bookings (scheduled_at, task_status) "
	    "SELECT now() + i * interval '1 s', 'executed' "
	    "FROM generate_series(1, 5000) AS i");
	run("ANALYZE lead_bookings");
	run("INSERT INTO lead_bookings (scheduled_at) "
	    "SELECT now() + i * interval '1 s' "
	    "FROM generate_series(1, 500) AS i");
	/* What this session has counted so far would be added later. */
	run("SELECT pg_stat_force_next_flush()");
	run("SELECT pg_stat_reset()");
	bookings_disconnect(b);
	assert_int_equal(bookings_ready(b), DB_OK);
	insert(ID, "pending");
	insert(OTHER_ID, "pending");
	assert_int_equal(schedule_pair(), DB_OK);
	run("UPDATE lead_bookings SET task_status = 'pending', "
	    "task_name = NULL WHERE id IN ('" ID "', '" OTHER_ID "')");
	read_booking();
	assert_int_equal(booking_scheduled(b, &task, 1), DB_OK);
	assert_int_equal(task.changed, 1);
	read_booking();
	assert_int_equal(booking_begun(b, &booking, &body, &changed), DB_OK);
	assert_int_equal(changed, 1);
	free(body);
	fail_once(BOOKING_EXECUTE);
	assert_int_equal(booking_task_gone(b, &booking, NULL, &changed), DB_OK);
	assert_int_equal(booking_scheduled(b, &task, 1), DB_OK);
	read_booking();
	assert_int_equal(booking_unschedule(b, &booking, &changed), DB_OK);
	assert_int_equal(booking_cancel(b, &booking, NULL, &changed), DB_OK);
	assert_int_equal(booking_executed(b, &booking, "t", &took), DB_OK);

	/* The session hands in its figures at its end. */
	bookings_disconnect(b);
	for (i = 0; i < WAIT_MS / 10; i++) {
		PGresult *result = PQexec(app, "SELECT idx_scan > 5 FROM "
		    "pg_stat_user_indexes WHERE indexrelname = "
		    "'lead_bookings_pkey' AND schemaname = '" SCHEMA "'");
		int is_there = strcmp(PQgetvalue(result, 0, 0), "t") == 0;
		struct timespec pause = { .tv_nsec = 10000000 };

		PQclear(result);
		if (is_there)
			break;
		(void)nanosleep(&pause, NULL);
	}
	assert_true(i < WAIT_MS / 10);
	expect("SELECT idx_scan FROM pg_stat_user_indexes WHERE "
	    "indexrelname = 'followup_bookings_due_idx' AND schemaname = '"
	    SCHEMA "'", "0");
	expect("SELECT seq_scan FROM pg_stat_user_tables WHERE relname = "
	    "'lead_bookings' AND schemaname = '" SCHEMA "'", "0");
}

/* The one trouble is ${code}, and ${part} stands in its sentence. */
static void
expect_trouble(struct bookings *daemon, const char *code, const char *part)
{
	struct troubles troubles = { .n = 0 };

	assert_int_equal(bookings_check(daemon, &troubles), DB_OK);
	if (troubles.n != 1 || strcmp(troubles.list[0].code, code) != 0 ||
	    strstr(troubles.list[0].sentence, part) == NULL)
		fail_msg("%zu troubles, not \"%s\" alone, the first is \"%s\": "
		    "%s", troubles.n, code, troubles.n > 0 ?
		    troubles.list[0].code : "", troubles.n > 0 ?
		    troubles.list[0].sentence : "");
}

/* What stands in the way of the daemons' role is named. */
static void
check(void **state)
{
	static const struct {
		const char *code, *part, *spoil, *mend;
	} all[] = {
		{ "not-installed", "the trigger is not installed",
		    "ALTER TABLE followup_failures RENAME TO away",
		    "ALTER TABLE away RENAME TO followup_failures" },
		{ "not-installed", "check FOLLOWUP_TABLE",
		    "ALTER TABLE lead_bookings RENAME TO away",
		    "ALTER TABLE away RENAME TO lead_bookings" },
		{ "not-installed", "may not use the schema: run "
		    "followup-trigger install --grant-to followup_check",
		    "REVOKE USAGE ON SCHEMA " SCHEMA " FROM followup_check",
		    "GRANT USAGE ON SCHEMA " SCHEMA " TO followup_check" },
		{ "trigger-missing", "no trigger "
		    "trigger_followup_cloud_task_deleted: run",
		    "ALTER TRIGGER trigger_followup_cloud_task_deleted "
		    "ON lead_bookings RENAME TO x",
		    "ALTER TRIGGER x ON lead_bookings RENAME TO "
		    "trigger_followup_cloud_task_deleted" },
		{ "trigger-disabled", "trigger_followup_cloud_task_changed is "
		    "disabled",
		    "ALTER TABLE lead_bookings DISABLE TRIGGER "
		    "trigger_followup_cloud_task_changed",
		    "ALTER TABLE lead_bookings ENABLE ALWAYS TRIGGER "
		    "trigger_followup_cloud_task_changed" },
		{ "trigger-disabled", "trigger_followup_cloud_task_changed is "
		    "disabled",
		    "ALTER TABLE lead_bookings ENABLE REPLICA TRIGGER "
		    "trigger_followup_cloud_task_changed",
		    "ALTER TABLE lead_bookings ENABLE TRIGGER "
		    "trigger_followup_cloud_task_changed" },
		{ "column-missing", "has no column idempotency_key",
		    "ALTER TABLE lead_bookings RENAME idempotency_key TO x",
		    "ALTER TABLE lead_bookings RENAME x TO idempotency_key" },
		{ "column-added", "has got the column deleted_at since the "
		    "install", "ALTER TABLE lead_bookings ADD deleted_at "
		    "timestamptz", "ALTER TABLE lead_bookings DROP deleted_at" },
		{ "grants", "(UPDATE of executed_at)",
		    "REVOKE UPDATE (executed_at) ON lead_bookings "
		    "FROM followup_check",
		    "GRANT UPDATE (executed_at) ON lead_bookings "
		    "TO followup_check" },
		{ "grants", "(SELECT on lead_bookings)",
		    "REVOKE SELECT ON lead_bookings FROM followup_check",
		    "GRANT SELECT ON lead_bookings TO followup_check" },
		{ "grants", "(DELETE on followup_attempts)",
		    "REVOKE DELETE ON followup_attempts FROM followup_check",
		    "GRANT DELETE ON followup_attempts TO followup_check" },
		{ "grants", "(EXECUTE on followup_call_request)",
		    "REVOKE EXECUTE ON FUNCTION followup_call_request "
		    "FROM followup_check",
		    "GRANT EXECUTE ON FUNCTION followup_call_request "
		    "TO followup_check" },
		{ "row-security", "hides rows of followup_failures from the "
		    "role followup_check: ALTER ROLE followup_check BYPASSRLS",
		    "ALTER TABLE followup_failures ENABLE ROW LEVEL SECURITY",
		    "ALTER TABLE followup_failures DISABLE ROW LEVEL "
		    "SECURITY" },
		{ "row-security", "hides rows of lead_bookings from "
		    "followup_owner, who owns our functions",
		    "GRANT followup_owner TO followup_check; "
		    "ALTER ROLE followup_check BYPASSRLS; "
		    "ALTER FUNCTION followup_booking_changed() "
		    "OWNER TO followup_owner; "
		    "ALTER TABLE lead_bookings ENABLE ROW LEVEL SECURITY",
		    "ALTER TABLE lead_bookings DISABLE ROW LEVEL SECURITY; "
		    "ALTER FUNCTION followup_booking_changed() "
		    "OWNER TO CURRENT_USER" },
		{ "listener", "no followup-listener is connected",
		    "SELECT pg_advisory_unlock_all()",
		    NULL },
	};
	static struct config as;
	char key[16];
	const char *const lead[] = { key };
	struct troubles troubles = { .n = 0 };
	struct bookings *daemon;
	PGresult *result;
	struct db *its;
	size_t i;

	(void)state;
	run("CREATE ROLE followup_check LOGIN; CREATE ROLE followup_owner; "
	    "GRANT CREATE ON SCHEMA " SCHEMA " TO followup_owner");
	run("GRANT USAGE ON SCHEMA " SCHEMA " TO followup_check; "
	    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA "
	    SCHEMA " TO followup_check; "
	    "REVOKE UPDATE ON lead_bookings FROM followup_check; "
	    "GRANT UPDATE (task_name, task_scheduled_at, task_status, "
	    "executed_at, execution_attempts, last_execution_error, "
	    "idempotency_key) ON lead_bookings TO followup_check; "
	    "GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA " SCHEMA
	    " TO followup_check");
	(void)snprintf(key, sizeof(key), "%" PRId32, bookings_key(&conf));
	result = PQexecParams(app, bookings_leader_sql(), 1, NULL, lead, NULL,
	    NULL, 0);
	assert_string_equal(PQgetvalue(result, 0, 0), "t");
	PQclear(result);
	as = conf;
	as.postgres_user = "followup_check";
	assert_non_null(its = db_new(&as, "test"));
	assert_non_null(daemon = bookings_new(&as, its));
	assert_int_equal(bookings_ready(daemon), DB_OK);
	assert_int_equal(bookings_check(daemon, &troubles), DB_OK);
	if (troubles.n != 0)
		fail_msg("%s", troubles.list[0].sentence);
	for (i = 0; i < NITEMS(all); i++) {
		run("%s", all[i].spoil);
		expect_trouble(daemon, all[i].code, all[i].part);
		if (all[i].mend != NULL)
			run("%s", all[i].mend);
	}
	bookings_free(daemon);
	db_free(its);
	run("DROP OWNED BY followup_check, followup_owner; "
	    "DROP ROLE followup_check; DROP ROLE followup_owner");
}

/* A booking whose callback should have come, and only such a one. */
static void
overdue(void **state)
{
	static const struct {
		const char *status, *task_in;
		int is_overdue;
	} all[] = {
		{ "scheduled", "-1 min", 1 }, { "scheduled", "-23 h", 1 },
		{ "scheduled", "-25 h", 0 }, { "scheduled", "1 s", 0 },
		{ "pending", "-1 min", 0 }, { "executed", "-1 min", 0 },
		{ "failed", "-1 min", 0 },
	};
	int found;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(all); i++) {
		clear();
		insert(ID, all[i].status);
		run("UPDATE lead_bookings SET scheduled_at = now() + '%s', "
		    "task_scheduled_at = now() + '%s'", all[i].task_in,
		    all[i].task_in);
		assert_int_equal(bookings_overdue(b, &found), DB_OK);
		ASSERT_ROW(found == all[i].is_overdue, all[i].task_in);
	}
}

/* A page's statement is cut short, and what bookings need is as it was. */
static void
limited(void **state)
{
	static const struct bookings_sql slow = { "slow",
	    "SELECT pg_catalog.pg_sleep(5)" };
	static const struct bookings_sql limit = { "its limit",
	    "SELECT pg_catalog.current_setting('statement_timeout')" };
	struct bookings_call call = { .sql = &slow };

	(void)state;
	assert_int_equal(time_limit_run(b, &call), DB_LOCKED);
	assert_true(bookings_timed_out(b));
	call.sql = &limit;
	assert_int_equal(time_limit_run(b, &call), DB_OK);
	assert_string_equal(PQgetvalue(call.result, 0, 0), TIME_LIMIT);
	PQclear(call.result);
	assert_int_equal(bookings_run(b, &call, 1), DB_OK);
	assert_string_equal(PQgetvalue(call.result, 0, 0),
	    DB_STATEMENT_TIMEOUT);
	PQclear(call.result);
}

static void
statements_can_be_prepared(void **state)
{

	(void)state;
	assert_int_equal(bookings_prepare(b, booking_statements), DB_OK);
	assert_int_equal(bookings_prepare(b, booking_state_schedule), DB_OK);
	assert_int_equal(bookings_prepare(b, booking_state_execute), DB_OK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(row_is_read),
		TEST(times),
		TEST(key_and_body),
		TEST(early_call),
		TEST(locks),
		TEST(locks_know_their_table),
		TEST(no_lock_without_a_row),
		TEST(scheduled),
		TEST(not_scheduled),
		TEST(changed_while_it_is_scheduled),
		TEST(many_are_scheduled),
		TEST(locks_last_until_the_commit),
		TEST(locked_rows_are_left_out),
		TEST(locked_row_alone),
		TEST(one_bad_row_and_none_is_scheduled),
		TEST(begun),
		TEST(refused_after_begun),
		TEST(not_begun),
		TEST(changed_while_the_task_fires),
		TEST(executed),
		TEST(changed_while_it_is_executed),
		TEST(name_of_an_executed_one),
		TEST(failed_once),
		TEST(failed_once_meanwhile),
		TEST(spared),
		TEST(cleared),
		TEST(failed),
		TEST(failed_without_a_time),
		TEST(unscheduled),
		TEST(task_gone),
		TEST(cancelled),
		TEST(executed_while_it_is_cancelled),
		TEST(retried),
		TEST(obsolete_tasks),
		TEST(own_writes_fire_nothing),
		TEST(filters_are_narrowed),
		TEST(tiny_tables_are_not_read),
		TEST(batch_is_not_compared_with_itself),
		TEST(rows_are_found_by_id),
		TEST(check),
		TEST(overdue),
		TEST(limited),
		TEST(statements_can_be_prepared),
	};

	return (cmocka_run_group_tests(tests, install, uninstall));
}
