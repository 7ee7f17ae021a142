#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "booking_state_internal.h"
#include "phone_number.h"

#include "booking_waits.h"

static const struct bookings_sql held_sql = { "held",
    "WITH changed AS (UPDATE {T} b SET task_status = 'pending', "
    "task_name = NULL, task_scheduled_at = NULL, "
    "last_execution_error = " FIT("$3", "last_execution_error") " "
    "WHERE b.id = $1::uuid AND " BOOKINGS_STATUS " = 'scheduled' "
    "AND b.task_name IS NOT DISTINCT FROM $2 RETURNING b.id), "
    "waits AS (INSERT INTO {S}.followup_waits (booking_id, due_at, "
    "looked_at, look_at) SELECT changed.id, " TIME("$4::bigint") ", now(), "
    "now() FROM changed ON CONFLICT (booking_id) DO UPDATE "
    "SET due_at = excluded.due_at, until = NULL, looked_at = now(), "
    "look_at = now()), "
    TELL("$5", "changed") " SELECT count(*) FROM changed" };

/**
 * booking_held(bookings, booking, reason, changed):
 * Put a scheduled ${booking}, whose task has fired although the gate makes it
 * wait for ${reason}, back to pending, for the next sweep to look at.  The
 * attempts at its call still count.
 */
enum db_outcome
booking_held(struct bookings *b, const struct booking *booking,
    const char *reason, int *changed)
{
	char due[BOOKING_NUMBER_LEN];
	struct bookings_call call = { .sql = &held_sql, .nparams = 5,
	    .params = { booking->id, booking->task_name, reason, due },
	    .booking = booking->id };

	(void)snprintf(due, sizeof(due), "%" PRId64, booking->due);
	return (booking_state_told(b, &call, 4, booking, (struct history_row){
	    .what = "waiting", .reason = reason }, changed));
}

static const struct bookings_sql replan_sql = { "replan",
    "WITH changed AS (UPDATE {T} b SET task_status = 'pending', "
    "task_name = NULL, task_scheduled_at = NULL "
    "WHERE b.id = $1::uuid AND " BOOKINGS_STATUS " = 'scheduled' "
    "AND b.task_name = $2 RETURNING b.id), "
    "obsolete AS (INSERT INTO {S}.followup_obsolete_tasks "
    "(task_name, booking_id) SELECT $2, changed.id FROM changed "
    "ON CONFLICT DO NOTHING), "
    TELL("$3", "changed") " SELECT count(*) FROM changed" };

/**
 * booking_replan(bookings, booking, changed):
 * Put a scheduled ${booking} whose task would come too late back to pending;
 * its task is obsolete.  The attempts that were made at its call still count.
 */
enum db_outcome
booking_replan(struct bookings *b, const struct booking *booking,
    int *changed)
{
	struct bookings_call call = { .sql = &replan_sql, .nparams = 3,
	    .params = { booking->id, booking->task_name },
	    .booking = booking->id };

	return (booking_state_told(b, &call, 2, booking, (struct history_row){
	    .what = "superseded", .reason = "it may be called sooner" },
	    changed));
}

/*
 * Whoever looked at a booking later, as booking_held, knows better, unless that
 * was by a clock that was ahead.  Of those without facts history does not tell.
 */
static const struct bookings_sql noted_sql = { "noted",
    "WITH t AS (SELECT * FROM ROWS FROM (pg_catalog.unnest($1::uuid[]), "
    "pg_catalog.unnest($2::bigint[]), pg_catalog.unnest($3::bigint[]), "
    "pg_catalog.unnest($4::bigint[]), pg_catalog.unnest($5::bigint[]), "
    "pg_catalog.unnest($6::text[])) "
    "AS t (id, due, until, read_at, look, facts)), "
    "kept AS (INSERT INTO {S}.followup_waits AS w (booking_id, due_at, "
    "until, looked_at, look_at) SELECT t.id, " TIME("t.due") ", "
    TIME("nullif(t.until, 0)") ", " TIME("t.read_at") ", "
    "now() + t.look * interval '1 ms' FROM t WHERE t.look > 0 "
    "ON CONFLICT (booking_id) DO UPDATE SET due_at = excluded.due_at, "
    "until = excluded.until, looked_at = excluded.looked_at, "
    "look_at = excluded.look_at "
    "WHERE w.looked_at NOT BETWEEN excluded.looked_at AND now() "
    "OR w.looked_at = excluded.looked_at), "
    "gone AS (DELETE FROM {S}.followup_waits w USING t "
    "WHERE " BOOKINGS_ONE_OF("w.booking_id", "t.id") " AND t.look = 0 "
    "AND (w.looked_at <= " TIME("t.read_at") " OR w.looked_at > now())), "
    "told AS (" HISTORY_INSERT(HISTORY_AS_TOLD, "t.id", "t.facts",
    "t WHERE (t.facts::text[])[1] IS NOT NULL "
    "AND NOT EXISTS (SELECT FROM (SELECT h.what, h.reason "
    "FROM {S}.followup_history h WHERE h.booking_id = t.id "
    "ORDER BY h.id DESC LIMIT 1) AS h WHERE h.what = 'waiting' "
    "AND h.reason = (t.facts::text[])[6])") ") "
    "SELECT count(*) FROM t" };

/* The arrays of that statement. */
struct arrays {
	const char *ids[BOOKING_BATCH];
	struct booking_numbers dues;
	struct booking_numbers until;
	struct booking_numbers read_at;
	struct booking_numbers looks;	/* in milliseconds */
	char *facts[BOOKING_BATCH];
};

/* What history says of ${wait}, to be freed; NULL when memory is short. */
static char *
facts(const struct booking_wait *wait)
{
	char reason[512];

	if (wait->reason == NULL)
		return (strdup("{}"));
	(void)snprintf(reason, sizeof(reason), "%s", wait->reason);
	phone_number_hide(reason, NULL);
	return (booking_state_facts(wait->booking, (struct history_row){
	    .what = "waiting", .reason = reason }));
}

/* Return 0, or -1 when memory is short; to be given to free_arrays. */
static int
fill_arrays(struct arrays *a, const struct booking_wait *waits, size_t n)
{
	const struct booking *booking;
	size_t i;

	for (i = 0; i < n; i++) {
		booking = waits[i].booking;
		a->ids[i] = booking->id;
		booking_state_number(&a->dues, i, waits[i].look_in > 0 ?
		    booking->due : 0);
		booking_state_number(&a->until, i, booking_task_waits(booking) ?
		    booking->task_scheduled_at : 0);
		booking_state_number(&a->read_at, i, booking->read_at);
		booking_state_number(&a->looks, i,
		    (int64_t)(waits[i].look_in * 1000));
		if ((a->facts[i] = facts(&waits[i])) == NULL)
			return (-1);
	}
	return (0);
}

static void
free_arrays(struct arrays *a, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		free(a->facts[i]);
	free(a);
}

/**
 * booking_noted(bookings, waits, n):
 * Keep up to BOOKING_BATCH ${waits} in followup_waits, unless somebody has
 * looked at the booking since it was read.  History tells of those with a
 * reason; since they are looked at again and again, no row is added to it
 * where the last one says the same.
 */
enum db_outcome
booking_noted(struct bookings *b, const struct booking_wait *waits, size_t n)
{
	struct bookings_call call = { .sql = &noted_sql };
	enum db_outcome outcome = DB_LOST;
	struct arrays *a;

	if ((a = calloc(1, sizeof(*a))) == NULL)
		return (DB_LOST);
	if (fill_arrays(a, waits, n) == 0)
		outcome = booking_state_lists(b, &call,
		    (const char *const *const []) { a->ids, a->dues.values,
		    a->until.values, a->read_at.values, a->looks.values,
		    (const char *const *)a->facts }, 6, n);
	if (outcome == DB_OK)
		PQclear(call.result);
	free_arrays(a, n);
	return (outcome);
}

const struct bookings_sql *const booking_waits_schedule[] = { &noted_sql,
    NULL };
const struct bookings_sql *const booking_waits_statements[] = { &held_sql,
    &replan_sql, &noted_sql, NULL };
