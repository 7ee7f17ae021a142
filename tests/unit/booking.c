#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "booking.h"
#include "sql_array.h"

#include "scripted_bookings.h"
#include "unit.h"

#define A	(&table.rows[0])
#define B	(&table.rows[1])

static struct booking list[2];
static PGresult *rows;
static const char *ids[2];

static int
begin(void **state)
{

	(void)state;
	table_begin();
	ids[0] = A->id;
	ids[1] = B->id;
	memset(list, 0xa5, sizeof(list));
	return (0);
}

static int
end(void **state)
{

	(void)state;
	PQclear(rows);
	rows = NULL;
	table_end();
	return (0);
}

/*
 * Reading and locking.
 */

static void
every_column(void **state)
{

	(void)state;
	table_schedule(A);
	A->last_error = "boom";
	A->called = 1;
	(void)snprintf(A->dead, sizeof(A->dead), "refused");
	A->execution_attempts = 3;
	A->schedule_attempts = 4;
	A->outcome_unknown = A->is_deleted = 1;
	A->due_in = -1.5;
	(void)snprintf(A->obsolete, sizeof(A->obsolete), "x\ny\n");
	A->verdict = "wait";
	A->verdict_reason = "paused";
	A->wait_in = 60;
	A->in_backlog = 1;
	A->queue = "tenant-1";
	B->absent = 1;
	assert_int_equal(booking_read(NULL, ids, 2, list, &rows), DB_OK);
	table_expect("read:AB");
	assert_string_equal(list[0].id, A->id);
	assert_string_equal(list[0].dead, "refused");
	assert_true(list[0].called_at == TABLE_NOW);
	assert_string_equal(list[0].queue, "tenant-1");
	assert_null(list[1].queue);
	assert_null(list[1].dead);
	assert_true(list[1].called_at == BOOKING_NO_TIME);
	assert_int_equal(list[0].found, 1);
	assert_int_equal(list[0].locked, 0);
	assert_int_equal(list[0].status, BOOKING_SCHEDULED);
	assert_string_equal(list[0].status_text, "scheduled");
	assert_string_equal(list[0].tenant_id, "t1");
	assert_string_equal(list[0].lead_id, "lead");
	assert_string_equal(list[0].assigned_user_id, "user");
	assert_string_equal(list[0].booking_type, "follow_up");
	assert_int_equal(list[0].is_followup, 1);
	assert_int_equal(list[0].is_deleted, 1);
	assert_string_equal(list[0].task_name, A->task_name);
	assert_true(list[0].task_scheduled_at == TABLE_NOW + 60000000);
	assert_true(list[0].executed_at == BOOKING_NO_TIME);
	assert_int_equal(list[0].execution_attempts, 3);
	assert_int_equal(list[0].schedule_attempts, 4);
	assert_string_equal(list[0].last_error, "boom");
	assert_string_equal(list[0].scheduled_at, "as written");
	assert_string_equal(list[0].timezone, "the zone");
	assert_true(list[0].due == TABLE_NOW - 1500000);
	assert_true(list[0].due_in == -1.5);
	assert_true(list[0].retry_in == 0);
	assert_int_equal(list[0].outcome_unknown, 1);
	assert_string_equal(list[0].obsolete_tasks, "x\ny\n");
	assert_int_equal(list[0].verdict, BOOKING_WAIT);
	assert_string_equal(list[0].verdict_reason, "paused");
	assert_true(list[0].wait_until == TABLE_NOW + 60000000);
	assert_int_equal(list[0].in_backlog, 1);

	/* What there is of a row that there is not. */
	assert_string_equal(list[1].id, B->id);
	assert_int_equal(list[1].found, 0);
	assert_int_equal(list[1].status, BOOKING_OTHER);
	assert_null(list[1].status_text);
	assert_null(list[1].tenant_id);
	assert_true(list[1].due == BOOKING_NO_TIME);
	assert_true(list[1].due_in == 0);
	assert_null(list[1].obsolete_tasks);
}

static void
statuses(void **state)
{
	static const struct {
		const char *text;
		enum booking_status status;
	} all[] = {
		{ "pending", BOOKING_PENDING },
		{ "scheduled", BOOKING_SCHEDULED },
		{ "executed", BOOKING_EXECUTED },
		{ "cancelled", BOOKING_CANCELLED },
		{ "failed", BOOKING_FAILED },
		{ "Pending", BOOKING_OTHER },
		{ "pending ", BOOKING_OTHER },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(all); i++) {
		A->status = all[i].text;
		PQclear(rows);
		assert_int_equal(booking_read(NULL, ids, 1, list, &rows),
		    DB_OK);
		ASSERT_ROW(list[0].status == all[i].status, all[i].text);
	}
}

/* What a gate says that we do not know lets nobody be called. */
static void
verdicts(void **state)
{
	static const struct {
		const char *text;
		enum booking_verdict verdict;
	} all[] = {
		{ "call", BOOKING_CALL }, { "wait", BOOKING_WAIT },
		{ "never", BOOKING_NEVER }, { "Call", BOOKING_WAIT },
		{ "calls", BOOKING_WAIT }, { NULL, BOOKING_WAIT },
	};
	char why[BOOKING_WHY_LEN];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(all); i++) {
		A->verdict = all[i].text;
		PQclear(rows);
		assert_int_equal(booking_read(NULL, ids, 1, list, &rows),
		    DB_OK);
		ASSERT_ROW(list[0].verdict == all[i].verdict, all[i].text);
	}
	assert_string_equal(booking_why_not(&list[0], why), "followup_gate "
	    "does not let it be called, and does not say why");
	list[0].verdict_reason = "paused: x";
	assert_string_equal(booking_why_not(&list[0], why), "paused: x");
	list[0].wait_until = TABLE_NOW;
	assert_string_equal(booking_why_not(&list[0], why),
	    "paused: x, until 2026-11-26T00:00:00.000Z");
}

static void
taken_in_one_round_trip(void **state)
{

	(void)state;
	A->queue = "tenant-1";
	B->foreign = 1;
	assert_int_equal(booking_take(NULL, BOOKING_EXECUTE, ids, 2, list,
	    &rows), DB_OK);
	table_expect("try_lock:AB read:AB");
	assert_int_equal(list[0].verdict, BOOKING_CALL);
	assert_null(list[0].queue);
	assert_int_equal(list[0].locked, 1);
	assert_int_equal(list[1].locked, 0);
	assert_int_equal(list[1].found, 1);
	assert_int_equal(A->locks[BOOKING_EXECUTE], 1);
	booking_unlock(NULL, BOOKING_EXECUTE, ids, 1);
	table_expect("unlock:A");
}

/* If the rows cannot be read, the locks are not kept. */
static void
not_taken(void **state)
{

	(void)state;
	table_fail("read", DB_FAILED);
	assert_int_equal(booking_take(NULL, BOOKING_SCHEDULE, ids, 2, list,
	    &rows), DB_FAILED);
	table_expect("try_lock:AB read:AB unlock:AB");
	assert_null(rows);
	table_fail("try lock", DB_LOCKED);
	assert_int_equal(booking_take(NULL, BOOKING_SCHEDULE, ids, 2, list,
	    &rows), DB_LOCKED);
	table_expect("try_lock:AB read:AB");
	table_fail("try lock", DB_LOST);
	assert_int_equal(booking_take(NULL, BOOKING_SCHEDULE, ids, 2, list,
	    &rows), DB_LOST);
	assert_null(rows);
	assert_int_equal(booking_read(NULL, ids, 2, list, &rows), DB_LOST);
	assert_null(rows);
}

static void
locks(void **state)
{
	int locked = -1;

	(void)state;
	assert_int_equal(booking_try_lock(NULL, BOOKING_EXECUTE, A->id,
	    &locked), DB_OK);
	assert_int_equal(locked, 1);
	A->foreign = 1;
	assert_int_equal(booking_try_lock(NULL, BOOKING_EXECUTE, A->id,
	    &locked), DB_OK);
	assert_int_equal(locked, 0);
	table_fail("try lock", DB_LOCKED);
	assert_int_equal(booking_try_lock(NULL, BOOKING_EXECUTE, A->id,
	    &locked), DB_LOCKED);
	table.trace[0] = '\0';

	/* No ids cost nothing; a lock that stays held ends the session. */
	booking_unlock(NULL, BOOKING_EXECUTE, ids, 0);
	table_expect("");
	table_fail("unlock", DB_FAILED);
	booking_unlock(NULL, BOOKING_EXECUTE, ids, 1);
	table_expect("unlock:A disconnect");
}

static void
stages(void **state)
{

	(void)state;
	assert_string_equal(booking_stage_name(BOOKING_SCHEDULE), "schedule");
	assert_string_equal(booking_stage_name(BOOKING_EXECUTE), "execute");
}

/*
 * Times and keys.
 */

static void
times(void **state)
{
	static const struct {
		int64_t time;
		const char *milli, *micro;
		int64_t epoch;
	} all[] = {
		{ 0, "1970-01-01T00:00:00.000Z",
		    "1970-01-01T00:00:00.000000Z", 0 },
		{ 1795651260123456, "2026-11-26T00:01:00.123Z",
		    "2026-11-26T00:01:00.123456Z", 1795651260 },
		{ 999, "1970-01-01T00:00:00.000Z",
		    "1970-01-01T00:00:00.000999Z", 0 },
		{ -1, "1969-12-31T23:59:59.999Z",
		    "1969-12-31T23:59:59.999999Z", -1 },
		{ -1000000, "1969-12-31T23:59:59.000Z",
		    "1969-12-31T23:59:59.000000Z", -1 },
		{ -1000001, "1969-12-31T23:59:58.999Z",
		    "1969-12-31T23:59:58.999999Z", -2 },
		{ 253402300800000000, "10000-01-01T00:00:00.000Z",
		    "10000-01-01T00:00:00.000000Z", 253402300800 },
		{ INT64_MAX, "294247-01-10T04:00:54.775Z",
		    "294247-01-10T04:00:54.775807Z", 9223372036854 },
	};
	char buf[BOOKING_TIME_LEN];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(all); i++) {
		ASSERT_ROW(strcmp(booking_time(all[i].time, 3, buf),
		    all[i].milli) == 0, all[i].micro);
		ASSERT_ROW(strcmp(booking_time(all[i].time, 6, buf),
		    all[i].micro) == 0, all[i].micro);
		ASSERT_ROW(booking_epoch(all[i].time) == all[i].epoch,
		    all[i].micro);
	}
	assert_null(booking_time(BOOKING_NO_TIME, 3, buf));
}

static void
arrays(void **state)
{
	static const char *const texts[] = { "", "a\"b\\c", "{,}", "NULL",
	    " \n" };
	char *array;

	(void)state;
	assert_non_null(array = sql_array(texts, NITEMS(texts)));
	assert_string_equal(array,
	    "{\"\",\"a\\\"b\\\\c\",\"{,}\",\"NULL\",\" \n\"}");
	free(array);
	assert_non_null(array = sql_array(texts, 0));
	assert_string_equal(array, "{}");
	free(array);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_column),
		TEST(statuses),
		TEST(verdicts),
		TEST(taken_in_one_round_trip),
		TEST(not_taken),
		TEST(locks),
		TEST(stages),
		TEST(times),
		TEST(arrays),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
