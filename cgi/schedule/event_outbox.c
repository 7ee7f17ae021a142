#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "bookings.h"

#include "event_outbox.h"

/* Seconds since 1970, and how old the word of a host may get. */
#define EPOCH		"extract(epoch FROM now())::float8"
#define EXPIRES		"60"
#define RENEWED		"20"

/* What has begun and not ended; what of it others than t.by have seen. */
#define LASTS		"e.seen IS NOT NULL"
#define OTHERS								\
    "(SELECT pg_catalog.jsonb_object_agg(v.key, v.value) "		\
    "FROM pg_catalog.jsonb_each(e.seen) AS v WHERE v.key <> t.by "	\
    "AND (v.key = '' OR v.value::float8 > " EPOCH " - " EXPIRES "))"
#define OURS		"pg_catalog.jsonb_build_object(t.by, " EPOCH ")"

/*
 * The host's word is renewed in time for the others, and what all see alike
 * needs to be said once: as a rule nothing is written.
 */
static const struct bookings_sql seen_sql = { "events seen",
    "WITH t AS (SELECT * FROM pg_catalog.jsonb_to_recordset($1::jsonb) AS t "
    "(kind text, key text, \"on\" boolean, state text, over text, by text, "
    "data jsonb)), "
    "moved AS (UPDATE {S}.followup_events e SET seen = CASE WHEN t.\"on\" "
    "THEN coalesce(" OTHERS ", pg_catalog.jsonb_build_object()) || " OURS " "
    "ELSE " OTHERS " END FROM t WHERE " LASTS " AND e.kind = t.kind "
    "AND e.key = t.key AND NOT (t.\"on\" AND coalesce((e.seen ->> t.by)"
    "::float8 > CASE t.by WHEN '' THEN 0 ELSE " EPOCH " - " RENEWED " END, "
    "false)) RETURNING t.kind, t.key, t.over, t.data, e.seen), "
    "ended AS (INSERT INTO {S}.followup_events (kind, key, state, data) "
    "SELECT m.kind, m.key, m.over, m.data FROM moved m "
    "WHERE m.seen IS NULL AND m.over IS NOT NULL "
    "RETURNING kind, key, state), "
    "gone AS (UPDATE {S}.followup_events e SET seen = NULL WHERE " LASTS " "
    "AND e.kind = ANY ($2::text[]) AND NOT EXISTS (SELECT FROM t "
    "WHERE t.kind = e.kind AND t.key = e.key)), "
    "begun AS (INSERT INTO {S}.followup_events (kind, key, state, data, "
    "seen) SELECT t.kind, t.key, t.state, t.data, " OURS " FROM t "
    "WHERE t.\"on\" AND NOT EXISTS (SELECT FROM {S}.followup_events e "
    "WHERE e.kind = t.kind AND e.key = t.key AND (" LASTS " "
    "OR e.happened_at > now() - interval '60 s')) "
    "AND (SELECT count(*) FROM (SELECT FROM {S}.followup_events w "
    "WHERE w.next_attempt_at IS NOT NULL LIMIT 100) AS w) < 100 "
    "ON CONFLICT (kind, key) WHERE seen IS NOT NULL DO NOTHING "
    "RETURNING kind, key, state) "
    "SELECT kind, key, state FROM ended "
    "UNION ALL SELECT kind, key, state FROM begun" };

/**
 * event_outbox_seen(bookings, seen, complete, told):
 * Compare what is ${seen} now with what has begun and not ended, and write an
 * event for each difference.  ${told} is set to an array of their kind, key and
 * state, for the caller to drop.
 */
enum db_outcome
event_outbox_seen(struct bookings *b, const json_t *seen,
    const char *complete, json_t **told)
{
	char *text = json_dumps(seen, JSON_COMPACT);
	struct bookings_call call = { .sql = &seen_sql, .nparams = 2,
	    .params = { text, complete } };
	enum db_outcome outcome = DB_LOST;
	int row;

	*told = NULL;
	if (text != NULL && (outcome = bookings_run(b, &call, 1)) == DB_OK) {
		*told = json_array();
		for (row = 0; row < PQntuples(call.result); row++)
			(void)json_array_append_new(*told, json_pack(
			    "{s:s, s:s, s:s}", "kind",
			    PQgetvalue(call.result, row, 0), "key",
			    PQgetvalue(call.result, row, 1), "state",
			    PQgetvalue(call.result, row, 2)));
		PQclear(call.result);
	}
	free(text);
	return (outcome);
}

/* Twice 15 s, and so on; some more, so that hosts do not go in step. */
static const struct bookings_sql next_sql = { "event next",
    "WITH next AS (SELECT e.id FROM {S}.followup_events e "
    "WHERE e.next_attempt_at <= now() AND NOT EXISTS (SELECT "
    "FROM {S}.followup_events o WHERE o.next_attempt_at IS NOT NULL "
    "AND o.kind = e.kind AND o.key = e.key "
    "AND o.happened_at < e.happened_at) "
    "ORDER BY e.happened_at, e.id LIMIT 1 FOR UPDATE OF e SKIP LOCKED) "
    "UPDATE {S}.followup_events e SET attempts = e.attempts + 1, "
    "next_attempt_at = now() + least(3600, 15 * 2 ^ least(e.attempts, 8)) "
    "* (1 + random() / 2) * interval '1 s' FROM next WHERE e.id = next.id "
    "RETURNING e.id, 'evt_' || replace(e.id::text, '-', ''), "
    "'followup.' || e.kind || '.' || e.state, "
    "pg_catalog.to_char(e.happened_at AT TIME ZONE 'UTC', "
    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), e.data, e.attempts, "
    "extract(epoch FROM now() - e.happened_at)::bigint" };

/**
 * event_outbox_next(bookings, event, result):
 * Take the next event that is due, for at least 15 seconds: it is due again if
 * its outcome is not recorded by then.  The time grows with each attempt, up to
 * an hour.  Events of one kind and key are delivered in order.  The caller
 * clears ${result}, which is NULL if no event is due.
 */
enum db_outcome
event_outbox_next(struct bookings *b, struct event *event, PGresult **result)
{
	struct bookings_call call = { .sql = &next_sql };
	enum db_outcome outcome;

	*result = NULL;
	if ((outcome = bookings_run(b, &call, 1)) != DB_OK)
		return (outcome);
	if (PQntuples(call.result) == 0) {
		PQclear(call.result);
		return (DB_OK);
	}
	*result = call.result;
	event->id = PQgetvalue(call.result, 0, 0);
	event->webhook_id = PQgetvalue(call.result, 0, 1);
	event->type = PQgetvalue(call.result, 0, 2);
	event->timestamp = PQgetvalue(call.result, 0, 3);
	event->data = PQgetvalue(call.result, 0, 4);
	event->attempt = (int)db_int(call.result, 0, 5);
	event->age = (long)db_int(call.result, 0, 6);
	return (DB_OK);
}

static const struct bookings_sql told_sql = { "event told",
    "WITH changed AS (UPDATE {S}.followup_events e SET "
    "next_attempt_at = CASE $2::text WHEN 'retry' THEN "
    "greatest(e.next_attempt_at, now() + $4::float8 * interval '1 s') END, "
    "delivered_at = CASE $2::text WHEN 'delivered' THEN now() END, "
    "last_error = $3 WHERE e.id = $1::uuid RETURNING 1) "
    "SELECT count(*) FROM changed" };

/**
 * event_outbox_told(bookings, id, outcome, error, wait):
 * Record the outcome of an attempt to deliver the event ${id}, with the
 * ${error} or NULL.  A retry comes after ${wait} seconds at the earliest.
 */
enum db_outcome
event_outbox_told(struct bookings *b, const char *id,
    enum event_outcome outcome, const char *error, long wait)
{
	static const char *const names[] = {
		[EVENT_DELIVERED] = "delivered",
		[EVENT_RETRY] = "retry",
		[EVENT_GIVEN_UP] = "given up",
	};
	char seconds[24];
	struct bookings_call call = { .sql = &told_sql, .nparams = 4,
	    .params = { id, names[outcome], error, seconds } };

	(void)snprintf(seconds, sizeof(seconds), "%ld", wait);
	return (bookings_changed(b, &call, NULL));
}

static const struct bookings_sql forget_sql = { "events forgotten",
    "WITH gone AS (DELETE FROM {S}.followup_events e WHERE e.seen IS NULL "
    "AND e.next_attempt_at IS NULL "
    "AND (e.happened_at < now() - interval '7 days' "
    "OR e.happened_at <= (SELECT o.happened_at FROM {S}.followup_events o "
    "ORDER BY o.happened_at DESC OFFSET 1000 LIMIT 1)) RETURNING 1) "
    "SELECT count(*) FROM gone" };

/**
 * event_outbox_forget(bookings):
 * Remove what has ended and was told more than a week ago, or was followed by
 * a thousand others.
 */
enum db_outcome
event_outbox_forget(struct bookings *b)
{
	struct bookings_call call = { .sql = &forget_sql };

	return (bookings_changed(b, &call, NULL));
}

const struct bookings_sql *const event_outbox_statements[] = { &seen_sql,
    &next_sql, &told_sql, &forget_sql, NULL };
