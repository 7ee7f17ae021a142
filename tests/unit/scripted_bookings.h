#ifndef SCRIPTED_BOOKINGS_H_
#define SCRIPTED_BOOKINGS_H_

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "booking_state.h"
#include "bookings.h"

#include "unit.h"

/*
 * A bookings table without a server: a test that includes this file defines
 * the functions of bookings.c, so that the linker takes these.  The modules
 * booking and booking_state are the product's; what their statements do is
 * acted out on rows that the test sets up and looks at.
 *
 * table_begin();
 * table.rows[0].due_in = -3600;
 * table_before("scheduled", move_a);	what somebody else does meanwhile
 * table_fail("read", DB_LOST);		what becomes of the next "read"
 * ... the program works ...
 * table_expect("try_lock:A read:A scheduled_one:A");
 * table_end();
 *
 * The rows are called A, B, ... in everything that the test reads; a "read"
 * that does not ask the gate is called "read row".  That each
 * lock is released exactly once is checked at all times.
 */

#define TABLE_ROWS	100
#define TABLE_COLUMNS	33
#define TABLE_NOW	INT64_C(1795651200000000)	/* 2026-11-26 */
#define TABLE_QUEUE	"projects/p/locations/l/queues/q"
#define TABLE_TEXT	2048

struct table_row {
	char id[UUID_LEN];
	int absent;			/* there is no such row */
	int is_canary;			/* but a canary of this id */
	const char *status;
	const char *tenant_id;
	const char *type;
	int is_followup;
	int is_deleted;
	char task_name[TABLE_TEXT];	/* empty: none */
	char key[256];
	double due_in;			/* seconds from TABLE_NOW */
	int no_due;			/* its time is not valid */
	double task_in;			/* likewise, of the task; or 0: none */
	int execution_attempts;
	int schedule_attempts;
	double retry_in;		/* until its next attempt */
	const char *last_error;
	char dead[TABLE_TEXT];		/* its dead letter; empty: none */
	int refusals[2];		/* that were counted, by stage */
	int called;			/* only our own tables say so */
	int outcome_unknown;
	char obsolete[TABLE_TEXT];	/* names, each with a newline */
	const char *body;		/* of its call, or NULL */
	const char *verdict;		/* of the gate */
	const char *verdict_reason;	/* or NULL */
	double wait_in;			/* seconds from TABLE_NOW, or 0 */
	int waits;			/* followup_waits has it, as due now */
	double look_in;			/* likewise: seconds to its next look */
	int told;			/* history was told, of it or another */
	int in_backlog;
	const char *queue;		/* of followup_queue, or NULL */
	const char *traceparent;	/* of its column, or NULL */

	int locks[2];			/* of ours, by stage */
	int dropped[2];			/* likewise, of sessions that broke */
	int foreign;			/* another session has the lock */
	int busy;			/* somebody has locked the row */
	int ignores;			/* it ignores what is written to it */
	const char *poisons;		/* a statement that it makes fail */
};

static struct {
	struct table_row rows[TABLE_ROWS];
	int window;			/* seconds that the sweep goes back */
	int lost;			/* the connection is */
	int ends;			/* it will be at bookings_holds */
	int connects;			/* calls of bookings_ready */
	int connect_fails;		/* how many more of them fail */
	long limit;			/* see bookings_limit */
	long limited;			/* what it was when it ended */
	char trace[16384];

	/* Answers statements that are not about single rows. */
	PGresult *(*other)(const struct bookings_call *);

	char told[TABLE_TEXT];		/* to history, by "scheduled" */

	/* The failure that was written last. */
	struct {
		char stage[16];
		char error[1024];
		int http_status;
		double retry_in;
		int unknown;
	} failure;

	struct {
		const char *statement;
		void (*happen)(void);
		enum db_outcome outcome;
	} faults[32];
	int nfaults;
	int timed_out;			/* what is DB_LOCKED took too long */
} table;

static inline void
table_begin(void)
{
	struct table_row *row;
	int i;

	memset(&table, 0, sizeof(table));
	for (i = 0; i < TABLE_ROWS; i++) {
		row = &table.rows[i];
		(void)snprintf(row->id, sizeof(row->id),
		    "%08d-0000-4000-8000-00000000000b", i);
		row->status = "pending";
		row->tenant_id = "t1";
		row->type = "follow_up";
		row->is_followup = 1;
		row->due_in = 60;
		row->verdict = "call";
		row->body = "{\"phoneNumber\":\"+491701234567\"}";
	}
}

/* No lock may be left. */
static inline void
table_end(void)
{
	int i;

	for (i = 0; i < TABLE_ROWS; i++) {
		if (table.rows[i].locks[0] != 0 ||
		    table.rows[i].locks[1] != 0)
			fail_msg("row %d is still locked", i);
	}
}

/* Note what happened, for table_expect. */
static inline void __attribute__((format(printf, 1, 2)))
table_trace(const char *fmt, ...)
{
	size_t len = strlen(table.trace);
	va_list ap;

	if (len > 0 && len + 1 < sizeof(table.trace))
		table.trace[len++] = ' ';
	va_start(ap, fmt);
	(void)vsnprintf(&table.trace[len], sizeof(table.trace) - len, fmt,
	    ap);
	va_end(ap);
}

/* All that happened since the last time is ${trace}. */
static inline void
table_expect(const char *trace)
{

	if (strcmp(table.trace, trace) != 0)
		fail_msg("\n  happened %s\n  expected %s", table.trace,
		    trace);
	table.trace[0] = '\0';
}

/* Let ${happen} happen before the next run of ${statement}. */
static inline void
table_before(const char *statement, void (*happen)(void))
{

	assert_true((size_t)table.nfaults < NITEMS(table.faults));
	table.faults[table.nfaults].statement = statement;
	table.faults[table.nfaults++].happen = happen;
}

/* The next run of ${statement} has this ${outcome} instead of its own. */
static inline void
table_fail(const char *statement, enum db_outcome outcome)
{

	assert_true((size_t)table.nfaults < NITEMS(table.faults));
	table.faults[table.nfaults].statement = statement;
	table.faults[table.nfaults++].outcome = outcome;
}

static inline struct table_row *
table_row(const char *id)
{
	size_t i = strtoul(id, NULL, 10);

	assert_true(i < TABLE_ROWS);
	assert_string_equal(table.rows[i].id, id);
	return (&table.rows[i]);
}

static inline char
table_letter(const struct table_row *row)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t i = (size_t)(row - table.rows);

	if (i >= strlen(letters))
		return ('.');
	return (letters[i]);
}

static inline int64_t
table_due(const struct table_row *row)
{

	return (TABLE_NOW + (int64_t)(row->due_in * 1000000));
}

/*
 * Return what the test calls the task ${name}: A, or A+3600 where it is for
 * another time than in a minute, and -2 behind; or its short name.
 */
static inline const char *
table_task(const char *name)
{
	static char text[TABLE_TEXT];
	const char *slash = strrchr(name, '/'), *rest;
	const struct table_row *row;
	char id[UUID_LEN];
	int64_t in;
	char *end;

	name = slash != NULL ? slash + 1 : name;
	if (strncmp(name, "followup-", 9) != 0 || strlen(name) < 47)
		return (name);
	(void)snprintf(id, sizeof(id), "%s", name + 9);
	row = table_row(id);
	rest = name + 9 + strlen(id) + 1;
	in = strtoll(rest, &end, 10) - TABLE_NOW / 1000000 - 60;
	if (in != 0)
		(void)snprintf(text, sizeof(text), "%c%+" PRId64 "%s",
		    table_letter(row), in, end);
	else
		(void)snprintf(text, sizeof(text), "%c%s", table_letter(row),
		    end);
	return (text);
}

/* Give ${row} a task of the time it is due at, as if it were scheduled. */
static inline void
table_schedule(struct table_row *row)
{

	row->status = "scheduled";
	row->task_in = row->due_in;
	(void)snprintf(row->task_name, sizeof(row->task_name),
	    TABLE_QUEUE "/tasks/followup-%s-%" PRId64, row->id,
	    table_due(row) / 1000000);
}

/* A parameter that is an array. */
struct table_array {
	char *text;
	char *values[TABLE_ROWS];
	size_t n;
};

/* Take ${text} apart; no value of the tests has quotes or commas in it. */
static inline void
table_array(struct table_array *a, const char *text)
{
	char *rest, *value;

	a->n = 0;
	assert_non_null(text);
	assert_non_null(rest = a->text = strdup(text));
	while ((value = strtok_r(rest, "{\",}", &rest)) != NULL) {
		assert_true(a->n < TABLE_ROWS);
		a->values[a->n++] = value;
	}
}

/*
 * Results.
 */

static inline PGresult *
table_rows(int columns)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc attributes[TABLE_COLUMNS] = { { .name = NULL } };
	char name[] = "column";
	int i;

	assert_true(result != NULL && columns <= TABLE_COLUMNS);
	for (i = 0; i < columns; i++)
		attributes[i].name = name;
	assert_int_equal(PQsetResultAttrs(result, columns, attributes), 1);
	return (result);
}

/* Set a value; an empty ${fmt} is SQL's NULL. */
static inline void __attribute__((format(printf, 4, 5)))
table_set(PGresult *result, int row, int column, const char *fmt, ...)
{
	char text[4096];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	assert_int_equal(PQsetvalue(result, row, column, text,
	    *text != '\0' ? (int)strlen(text) : -1), 1);
}

static inline PGresult *
table_count(int n)
{
	PGresult *result = table_rows(1);

	table_set(result, 0, 0, "%d", n);
	return (result);
}

static inline PGresult *
table_read(const struct table_array *ids, const char *const *params)
{
	PGresult *result = table_rows(TABLE_COLUMNS);
	char due[BOOKING_TIME_LEN], key[256];
	const struct table_row *r;
	int i;

	for (i = 0; i < (int)ids->n; i++) {
		r = table_row(ids->values[i]);
		table_set(result, i, 22, "%s", r->obsolete);
		table_set(result, i, 0, "%s", r->absent ? "f" : "t");
		if (r->absent)
			continue;
		table_set(result, i, 1, "%s", r->status);
		table_set(result, i, 2, "%s",
		    r->tenant_id != NULL ? r->tenant_id : "");
		table_set(result, i, 3, "lead");
		table_set(result, i, 4, "user");
		table_set(result, i, 5, "%s", r->type != NULL ? r->type : "");
		table_set(result, i, 6, "%s", r->is_followup ? "t" : "f");
		table_set(result, i, 7, "%s", r->is_deleted ? "t" : "f");
		table_set(result, i, 8, "%s", r->task_name);
		if (r->task_in != 0)
			table_set(result, i, 9, "%" PRId64, TABLE_NOW +
			    (int64_t)(r->task_in * 1000000));
		table_set(result, i, 11, "%d", r->execution_attempts);
		table_set(result, i, 12, "%s",
		    r->last_error != NULL ? r->last_error : "");
		table_set(result, i, 13, "as written");
		table_set(result, i, 14, "the zone");
		if (!r->no_due) {
			table_set(result, i, 15, "%" PRId64, table_due(r));
			table_set(result, i, 16, "%f", r->due_in);
		}
		table_set(result, i, 17, "%d", r->schedule_attempts);
		if (r->retry_in != 0 || r->schedule_attempts > 0)
			table_set(result, i, 18, "%f", r->retry_in);
		table_set(result, i, 19, "%s", r->outcome_unknown ? "t" : "f");
		table_set(result, i, 23, "%s", *params[1] == 't' &&
		    r->verdict != NULL ? r->verdict : "");
		if (r->wait_in != 0)
			table_set(result, i, 24, "%" PRId64, TABLE_NOW +
			    (int64_t)(r->wait_in * 1000000));
		table_set(result, i, 25, "%s",
		    r->verdict_reason != NULL ? r->verdict_reason : "");
		table_set(result, i, 26, "%s", r->in_backlog ? "t" : "f");
		table_set(result, i, 27, "%s", r->dead);
		if (r->called)
			table_set(result, i, 28, "%" PRId64, TABLE_NOW);
		if (*params[2] == 't' && r->queue != NULL)
			table_set(result, i, 29, "%s", r->queue);
		table_set(result, i, 30, "%s",
		    r->traceparent != NULL ? r->traceparent : "");
		table_set(result, i, 31, "%" PRId64, TABLE_NOW);
		if (r->no_due)
			continue;
		if (r->waits)
			table_set(result, i, 32, "%" PRId64, table_due(r));
		(void)booking_time(table_due(r), 3, due);
		(void)snprintf(key, sizeof(key), "followup:%s:%s:%s",
		    r->tenant_id != NULL ? r->tenant_id : "", r->id, due);
		table_set(result, i, 20, "%s", key);
		table_set(result, i, 21, "{\"idempotencyKey\":\"%s\"}", key);
	}
	return (result);
}

static inline int
table_stage(const char *name)
{

	assert_true(strcmp(name, "schedule") == 0 ||
	    strcmp(name, "execute") == 0);
	return (strcmp(name, "execute") == 0);
}

static inline PGresult *
table_try_lock(const struct table_array *ids, const char *stage)
{
	PGresult *result = table_rows(1);
	struct table_row *row;
	int i;

	for (i = 0; i < (int)ids->n; i++) {
		row = table_row(ids->values[i]);
		if (!row->foreign)
			row->locks[table_stage(stage)]++;
		table_set(result, i, 0, "%s", row->foreign ? "f" : "t");
	}
	return (result);
}

static inline void
table_unlock(struct table_row *row, int stage)
{

	/* To release what went with its session does nothing. */
	if (row->locks[stage] == 0 && row->dropped[stage] > 0)
		row->dropped[stage]--;
	else if (--row->locks[stage] < 0)
		fail_msg("the lock on %c was released twice",
		    table_letter(row));
}

/* The row is as ${status} says and due as it was. */
static inline int
table_is(const struct table_row *row, const char *status, const char *due)
{

	return (!row->absent && strstr(status, row->status) != NULL &&
	    !row->is_deleted && (row->no_due ? due == NULL :
	    due != NULL && strtoll(due, NULL, 10) == table_due(row)));
}

static inline PGresult *
table_scheduled(const struct table_array *ids, const char *const *params,
    int many)
{
	struct table_array names, dues, keys, planned;
	PGresult *result = table_rows(2);
	struct table_row *row;
	size_t i;
	int n = 0;

	(void)snprintf(table.told, sizeof(table.told), "%s", params[6]);
	table_array(&names, params[1]);
	table_array(&dues, params[2]);
	table_array(&keys, params[3]);
	table_array(&planned, params[4]);
	assert_true(names.n == ids->n && dues.n == ids->n &&
	    keys.n == ids->n && planned.n == ids->n);

	/* From the end: nobody may rely on the order. */
	for (i = ids->n; i-- > 0;) {
		row = table_row(ids->values[i]);
		if ((many && row->busy) || row->ignores ||
		    !table_is(row, "pending", dues.values[i]))
			continue;
		row->status = "scheduled";
		row->task_in = (double)(strtoll(planned.values[i], NULL, 10) -
		    TABLE_NOW) / 1000000;
		row->waits = strcmp(planned.values[i], dues.values[i]) != 0;
		(void)snprintf(row->task_name, sizeof(row->task_name), "%s",
		    names.values[i]);
		(void)snprintf(row->key, sizeof(row->key), "%s",
		    keys.values[i]);
		row->schedule_attempts = 0;
		table_unlock(row, BOOKING_SCHEDULE);
		table_set(result, n, 0, "%s", row->id);
		table_set(result, n++, 1, "t");
	}
	free(names.text);
	free(dues.text);
	free(keys.text);
	free(planned.text);
	return (result);
}

static inline PGresult *
table_failed(struct table_row *row, const char *const *params, int for_good)
{

	(void)snprintf(table.failure.stage, sizeof(table.failure.stage), "%s",
	    params[1]);
	(void)snprintf(table.failure.error, sizeof(table.failure.error), "%s",
	    params[5]);
	table.failure.http_status = (int)strtol(params[4], NULL, 10);
	table.failure.retry_in = strtod(params[3], NULL);
	if (!table_is(row, "pending scheduled", params[6]))
		return (table_count(0));
	if (for_good && row->ignores)
		return (table_count(-1));
	if (for_good)
		row->status = "failed";
	table.failure.unknown = !for_good && strcmp(params[8], "t") == 0;
	row->last_error = table.failure.error;
	row->schedule_attempts += params[1][0] == 's';
	row->outcome_unknown = table.failure.unknown;
	return (table_count(1));
}

/* What is kept without the row. */
static inline PGresult *
table_refused(struct table_row *row, const char *const *params)
{
	int n = ++row->refusals[table_stage(params[1])];
	PGresult *result = table_rows(4);

	(void)snprintf(table.failure.stage, sizeof(table.failure.stage), "%s",
	    params[1]);
	(void)snprintf(table.failure.error, sizeof(table.failure.error), "%s",
	    params[5]);
	table.failure.http_status = (int)strtol(params[4], NULL, 10);
	if (strcmp(params[7], "true") == 0)
		row->outcome_unknown = 0;
	if (n >= strtol(params[6], NULL, 10))
		(void)snprintf(row->dead, sizeof(row->dead), "%s", params[5]);
	table_set(result, 0, 0, "%d", n);
	table_set(result, 0, 1, "%s", *row->dead != '\0' ? "t" : "f");
	table_set(result, 0, 2, "%d", 2 * n);
	table_set(result, 0, 3, "%s", row->outcome_unknown ? "t" : "f");
	return (result);
}

static inline PGresult *
table_called(struct table_row *row, const char *error)
{

	row->called = 1;
	(void)snprintf(row->dead, sizeof(row->dead), "%s", error);
	return (table_count(1));
}

static inline PGresult *
table_spared(struct table_row *row, const char *const *params)
{

	if (strcmp(params[3], "t") != 0)
		row->outcome_unknown = 0;
	if (!table_is(row, "pending scheduled", params[2]))
		return (table_count(0));
	row->execution_attempts--;
	(void)snprintf(table.failure.error, sizeof(table.failure.error), "%s",
	    params[1]);
	row->last_error = table.failure.error;
	return (table_count(1));
}

static inline PGresult *
table_cleared(struct table_row *row, int n)
{

	row->execution_attempts = row->execution_attempts > n ?
	    row->execution_attempts - n : 0;
	return (table_count(1));
}

static inline PGresult *
table_begun(struct table_row *row, const char *due)
{
	PGresult *result = table_rows(2);

	if (!table_is(row, "pending scheduled", due) || !row->is_followup ||
	    strcmp(row->verdict, "call") != 0)
		return (result);
	table_set(result, 0, 1, "%s", row->ignores ? "t" : "f");
	if (row->ignores)
		return (result);
	row->execution_attempts++;
	row->outcome_unknown = 1;
	table_set(result, 0, 0, "%s", row->body != NULL ? row->body : "");
	return (result);
}

static inline PGresult *
table_executed(struct table_row *row, const char *const *params)
{

	if (row->absent || row->ignores)
		return (table_count(row->ignores ? -1 : 0));
	row->status = "executed";
	row->outcome_unknown = row->called = 0;
	row->dead[0] = '\0';
	(void)snprintf(row->task_name, sizeof(row->task_name), "%s",
	    params[1] != NULL ? params[1] : "");
	(void)snprintf(row->key, sizeof(row->key), "%s", params[3]);
	return (table_count(1));
}

/* Put a scheduled row with the task ${name} back to pending. */
static inline PGresult *
table_reset(struct table_row *row, const char *name, int anew)
{

	if (row->absent || strcmp(row->status, "scheduled") != 0 ||
	    strcmp(row->task_name, name != NULL ? name : "") != 0)
		return (table_count(0));
	if (anew)
		(void)snprintf(row->obsolete, sizeof(row->obsolete), "%s\n",
		    name);
	row->status = "pending";
	row->task_name[0] = '\0';
	row->task_in = 0;
	return (table_count(1));
}

/* What waits, and what does not any more; does history tell of any of it? */
static inline PGresult *
table_noted(const struct table_array *ids, const char *const *params)
{
	struct table_array looks;
	struct table_row *row;
	size_t i;

	table_array(&looks, params[4]);
	assert_true(looks.n == ids->n);
	for (i = 0; i < ids->n; i++) {
		row = table_row(ids->values[i]);
		row->look_in = strtod(looks.values[i], NULL) / 1000;
		row->waits = row->look_in > 0;
		row->told = strstr(params[5], "waiting") != NULL;
	}
	free(looks.text);
	return (table_count((int)ids->n));
}

static inline PGresult *
table_held(struct table_row *row, const char *const *params)
{
	static char reason[TABLE_TEXT];

	(void)snprintf(reason, sizeof(reason), "%s", params[2]);
	row->last_error = reason;
	row->waits = 1;
	return (table_reset(row, params[1], 0));
}

/* Make it ${to}, unless it is in another state than one of ${from}. */
static inline PGresult *
table_become(struct table_row *row, const char *from, const char *to)
{

	if (row->absent || row->ignores ||
	    strstr(from, row->status) == NULL)
		return (table_count(0));
	row->status = to;
	return (table_count(1));
}

/* Two rows, of which one has everything, and a number. */
static inline PGresult *
table_history(void)
{
	static const char *const values[2][7] = {
		{ "2026-11-26T00:01:00.000Z", "failed", "followup-execute",
		    "503", "31", "call +49 170 1234567",
		    "4bf92f3577b34da6a3ce929d0e0e4736" },
		{ "2026-11-26T00:00:00.000Z", "scheduled", "ann", "", "", "",
		    "" } };
	PGresult *result = table_rows(7);
	int row, column;

	for (row = 0; row < 2; row++) {
		for (column = 0; column < 7; column++)
			table_set(result, row, column, "%s",
			    values[row][column]);
	}
	return (result);
}

static inline PGresult *
table_obsolete_deleted(const char *name)
{
	char *found, *end;
	int i;

	for (i = 0; i < TABLE_ROWS; i++) {
		if ((found = strstr(table.rows[i].obsolete, name)) != NULL) {
			end = found + strcspn(found, "\n") + 1;
			memmove(found, end, strlen(end) + 1);
			return (table_count(1));
		}
	}
	return (table_count(0));
}

/* Note that a statement runs. */
static inline void
table_note(const char *statement, const struct table_array *ids)
{
	char text[TABLE_TEXT];
	size_t i, len;

	(void)snprintf(text, sizeof(text), "%s:", statement);
	for (i = 0; text[i] != '\0'; i++) {
		if (text[i] == ' ')
			text[i] = '_';
	}
	len = strlen(text);
	for (i = 0; i < ids->n && len + 1 < sizeof(text); i++)
		text[len++] = table_letter(table_row(ids->values[i]));
	text[len] = '\0';
	table_trace("%s", text);
}

/* What the test has planned for ${statement}. */
static inline enum db_outcome
table_fault(const char *statement)
{
	int i;

	for (i = 0; i < table.nfaults; i++) {
		if (table.faults[i].statement == NULL ||
		    strcmp(table.faults[i].statement, statement) != 0)
			continue;
		table.faults[i].statement = NULL;
		if (table.faults[i].happen != NULL)
			table.faults[i].happen();
		return (table.faults[i].outcome);
	}
	return (DB_OK);
}

/* The connection is gone, and all locks with it. */
static inline void
table_lose(void)
{
	struct table_row *row;
	int i, stage;

	table.lost = 1;
	for (i = 0; i < TABLE_ROWS; i++) {
		row = &table.rows[i];
		for (stage = 0; stage < 2; stage++) {
			row->dropped[stage] += row->locks[stage];
			row->locks[stage] = 0;
		}
	}
}

/* What becomes of a statement that is about the rows ${ids}. */
static inline enum db_outcome
table_outcome(const char *statement, const struct table_array *ids)
{
	enum db_outcome outcome = table_fault(statement);
	const struct table_row *row;
	size_t i;

	for (i = 0; i < ids->n && outcome == DB_OK; i++) {
		row = table_row(ids->values[i]);
		if (row->poisons != NULL && strncmp(row->poisons, statement,
		    strlen(row->poisons)) == 0)
			outcome = DB_FAILED;
		if (row->busy && strcmp(statement, "scheduled one") == 0)
			outcome = DB_LOCKED;
	}
	if (outcome == DB_LOST)
		table_lose();
	return (outcome);
}

static inline PGresult *
table_act(const char *statement, const struct table_array *ids,
    const char *const *params)
{
	struct table_row *row = table_row(ids->values[0]);
	size_t i;

	if (strncmp(statement, "read", 4) == 0)
		return (table_read(ids, params));
	if (strcmp(statement, "try lock") == 0)
		return (table_try_lock(ids, params[1]));
	if (strcmp(statement, "unlock") == 0) {
		for (i = 0; i < ids->n; i++)
			table_unlock(table_row(ids->values[i]),
			    table_stage(params[1]));
		return (table_count((int)ids->n));
	}
	if (strncmp(statement, "scheduled", 9) == 0)
		return (table_scheduled(ids, params, statement[9] == '\0'));
	if (strcmp(statement, "begun") == 0)
		return (table_begun(row, params[1]));
	if (strcmp(statement, "executed") == 0)
		return (table_executed(row, params));
	if (strcmp(statement, "failed once") == 0)
		return (table_failed(row, params, 0));
	if (strcmp(statement, "failed") == 0)
		return (table_failed(row, params, 1));
	if (strcmp(statement, "refused") == 0)
		return (table_refused(row, params));
	if (strcmp(statement, "called") == 0)
		return (table_called(row, params[2]));
	if (strcmp(statement, "mark failed") == 0)
		return (table_become(row, "pending scheduled", "failed"));
	if (strcmp(statement, "spared") == 0)
		return (table_spared(row, params));
	if (strcmp(statement, "cleared") == 0)
		return (table_cleared(row, (int)strtol(params[1], NULL, 10)));
	if (strcmp(statement, "task gone") == 0)
		return (table_reset(row, params[1], 0));
	if (strcmp(statement, "unschedule") == 0 ||
	    strcmp(statement, "replan") == 0)
		return (table_reset(row, params[1], 1));
	if (strcmp(statement, "held") == 0)
		return (table_held(row, params));
	if (strcmp(statement, "noted") == 0)
		return (table_noted(ids, params));
	if (strcmp(statement, "cancel") == 0)
		return (table_become(row, "pending scheduled failed "
		    "cancelled", "cancelled"));
	if (strcmp(statement, "history") == 0)
		return (table_history());
	if (strcmp(statement, "retry") == 0)
		return (table_become(row, "failed", "pending"));
	return (table_count(1));
}

/* A statement about a canary; for an id that is none it changes nothing. */
static inline enum db_outcome
table_canary(struct bookings_call *call)
{
	const char *statement = call->sql->name;
	const struct table_row *row = table_row(call->params[0]);
	struct table_array ids = { .n = 1,
	    .values = { (char *)(uintptr_t)row->id } };
	enum db_outcome outcome;

	if (row->is_canary)
		table_note(statement, &ids);
	outcome = table_outcome(statement, &ids);
	if (outcome != DB_OK)
		return (outcome);
	if (strcmp(statement, "canary received") != 0)
		call->result = table_count(row->is_canary);
	else {
		call->result = table_rows(2);
		if (row->is_canary) {
			table_set(call->result, 0, 0, "%" PRId64,
			    table_due(row));
			table_set(call->result, 0, 1, "{\"canary\":1}");
		}
	}
	return (outcome);
}

/* Run one statement. */
static inline enum db_outcome
table_run(struct bookings_call *call)
{
	const char *statement = call->sql->name;
	enum db_outcome outcome;
	struct table_array ids;

	call->result = NULL;
	if (table.lost)
		return (DB_LOST);
	if (strcmp(statement, "read") == 0 && *call->params[1] == 'f')
		statement = "read row";
	if (table.other != NULL && (call->result = table.other(call)) != NULL)
		return (DB_OK);
	if (strcmp(statement, "obsolete deleted") == 0) {
		table_trace("obsolete_deleted:%s",
		    table_task(call->params[0]));
		if ((outcome = table_fault(statement)) == DB_OK)
			call->result = table_obsolete_deleted(call->params[0]);
		else if (outcome == DB_LOST)
			table_lose();
		return (outcome);
	}
	if (strncmp(statement, "canary ", 7) == 0)
		return (table_canary(call));
	if (strcmp(statement, "window") == 0) {
		call->result = table_count(table.window);
		return (DB_OK);
	}
	table_array(&ids, call->params[0]);
	table_note(statement, &ids);
	outcome = table_outcome(statement, &ids);
	if (outcome == DB_OK)
		call->result = table_act(statement, &ids, call->params);
	free(ids.text);
	return (outcome);
}

/*
 * What the program calls.
 */

enum db_outcome
bookings_ready(struct bookings *b)
{

	(void)b;
	table.connects++;
	if (table.connect_fails > 0) {
		table.connect_fails--;
		table.lost = 1;
		return (DB_LOST);
	}
	table.lost = 0;
	return (DB_OK);
}

enum db_outcome
bookings_holds(struct bookings *b)
{

	(void)b;
	if (table.ends) {
		table.ends = 0;
		table_lose();
	}
	return (table.lost ? DB_LOST : DB_OK);
}

enum db_outcome
bookings_run(struct bookings *b, struct bookings_call *calls, size_t n)
{
	enum db_outcome outcome = DB_OK;
	size_t i;

	(void)b;
	for (i = 0; i < n; i++) {
		calls[i].outcome = table_run(&calls[i]);
		if (outcome == DB_OK)
			outcome = calls[i].outcome;
	}
	for (i = 0; i < n && table.lost; i++) {
		PQclear(calls[i].result);
		calls[i].result = NULL;
		outcome = calls[i].outcome = DB_LOST;
	}
	return (outcome);
}

enum db_outcome
bookings_changed(struct bookings *b, struct bookings_call *call, int *changed)
{
	enum db_outcome outcome = bookings_run(b, call, 1);

	if (outcome == DB_OK && changed != NULL)
		*changed = (int)db_int(call->result, 0, 0);
	PQclear(call->result);
	call->result = NULL;
	return (outcome);
}

char *
bookings_sql(const struct config *conf, const char *text)
{

	(void)conf;
	return (strdup(text));
}

const char *
bookings_error(const struct bookings *b)
{

	(void)b;
	return ("said no");
}

int
bookings_timed_out(const struct bookings *b)
{

	(void)b;
	return (table.timed_out);
}

enum db_outcome
bookings_ignored(struct bookings *b)
{

	(void)b;
	table_trace("ignored");
	return (DB_FAILED);
}

void
bookings_disconnect(struct bookings *b)
{

	(void)b;
	table_trace("disconnect");
	table_lose();
}

void
bookings_limit(struct bookings *b, long ms)
{

	(void)b;
	table.limited = table.limit;
	table.limit = ms;
}

#endif /* !SCRIPTED_BOOKINGS_H_ */
