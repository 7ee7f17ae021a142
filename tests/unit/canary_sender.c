#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "canary_sender.h"
#include "config.h"
#include "notifications.h"
#include "uuid.h"

#include "captured_log.h"
#include "scripted_pq.h"
#include "unit.h"

/* What is promised, in milliseconds. */
#define INTERVAL_MS	7000L
#define REFUSED_MS	60000L

static int nobody;
#define NOTIFICATIONS	((struct notifications *)(void *)&nobody)

static const struct config conf = { .schema = "lad_dev",
    .table = "lead_bookings", .sweep_interval = (int)INTERVAL_MS / 1000 };
static struct canary_sender *s;
static long now;
static int busy, queries;
static char what;			/* of the last query: S, H */
static char id[UUID_LEN], ago[16];	/* its parameters */

int
notifications_once(struct notifications *n, const char *sql,
    const char *const *params, int nparams, long when)
{

	assert_ptr_equal(n, NOTIFICATIONS);
	assert_int_equal(when, now);
	assert_non_null(strstr(sql, "\"lad_dev\".followup_canary"));
	if (busy)
		return (-1);
	queries++;
	what = strstr(sql, "INSERT") != NULL ? 'S' : 'H';
	assert_int_equal(nparams, what == 'S' ? 1 : 2);
	(void)snprintf(id, sizeof(id), "%s", params[0]);
	(void)snprintf(ago, sizeof(ago), "%s", nparams > 1 ? params[1] : "");
	return (0);
}

static int
begin(void **state)
{

	(void)state;
	now = 1000;
	busy = queries = 0;
	captured_log_begin(LOG_DEBUG);
	return ((s = canary_sender_new(&conf)) != NULL ? 0 : -1);
}

static int
end(void **state)
{

	(void)state;
	canary_sender_free(s);
	canary_sender_free(NULL);
	captured_log_end();
	return (0);
}

/* A step at its deadline, which is in ${ms}, makes a query of the kind ${k}. */
static void
step(long ms, char k)
{
	int before = queries;

	assert_int_equal(canary_sender_deadline(s), now + ms);
	if (ms > 0) {
		now += ms - 1;
		canary_sender_step(s, NOTIFICATIONS, now);
		assert_int_equal(queries, before);
		now++;
	}
	canary_sender_step(s, NOTIFICATIONS, now);
	assert_int_equal(queries, before + 1);
	assert_int_equal(what, k);
	assert_int_equal(canary_sender_deadline(s), LONG_MAX);
}

/* The query at hand is answered: ${n} rows changed; or refused (-1). */
static void
answer(int n)
{
	char text[16];
	PGresult *result;

	(void)snprintf(text, sizeof(text), "%d", n);
	result = n >= 0 ? PQ_ROW(text) : NULL;
	assert_true(canary_sender_result(s, result, now));
	PQclear(result);
}

static void
asks_while_it_listens(void **state)
{
	char first[UUID_LEN], parsed[UUID_LEN];

	(void)state;
	assert_int_equal(canary_sender_deadline(s), LONG_MAX);
	canary_sender_step(s, NOTIFICATIONS, now);
	assert_int_equal(queries, 0);
	canary_sender_listening(s, now);
	step(0, 'S');
	assert_int_equal(uuid_parse(id, parsed), 0);
	assert_string_equal(parsed, id);
	(void)snprintf(first, sizeof(first), "%s", id);

	/* One thing at a time; and what is not sent keeps its id. */
	now += 3;
	canary_sender_step(s, NOTIFICATIONS, now);
	assert_int_equal(queries, 1);
	answer(0);
	step(INTERVAL_MS - 3, 'S');
	assert_string_equal(id, first);
	answer(1);
	step(INTERVAL_MS, 'S');
	assert_string_not_equal(id, first);
	answer(0);

	/* Somebody else's result is his. */
	assert_false(canary_sender_result(s, NULL, now));
	busy = 1;
	now += INTERVAL_MS;
	canary_sender_step(s, NOTIFICATIONS, now);
	busy = 0;
	step(5, 'S');
}

static void
notes_what_it_hears(void **state)
{

	(void)state;
	canary_sender_listening(s, now);
	step(0, 'S');

	/* The NOTIFY may come before the answer. */
	canary_sender_heard(s, "00000000-0000-4000-8000-000000000000", now);
	canary_sender_heard(s, id, now);
	now += 2;
	answer(1);
	now += 48;
	step(-50, 'H');
	assert_string_equal(ago, "0.050");
	answer(1);
	step(INTERVAL_MS - 50, 'S');
	answer(1);

	/* With the connection busy it is noted later. */
	canary_sender_heard(s, id, now);
	busy = 1;
	canary_sender_step(s, NOTIFICATIONS, now);
	busy = 0;
	step(5, 'H');
	assert_string_equal(ago, "0.005");
}

static void
refused(void **state)
{

	(void)state;
	canary_sender_listening(s, now);
	step(0, 'S');
	answer(-1);
	step(REFUSED_MS, 'S');
	answer(-1);
	assert_int_equal(logged("no canary can be sent"), 1);
	step(REFUSED_MS, 'S');
	answer(1);
	step(INTERVAL_MS, 'S');
	answer(-1);
	assert_int_equal(logged("no canary can be sent"), 2);
}

/* One that was on its way may have been sent: its id is not used again. */
static void
lost(void **state)
{
	char first[UUID_LEN];

	(void)state;
	canary_sender_listening(s, now);
	step(0, 'S');
	(void)snprintf(first, sizeof(first), "%s", id);
	canary_sender_heard(s, id, now);
	canary_sender_lost(s);
	assert_int_equal(canary_sender_deadline(s), LONG_MAX);
	canary_sender_listening(s, now + 9);
	step(9, 'S');
	assert_string_not_equal(id, first);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(asks_while_it_listens),
		TEST(notes_what_it_hears),
		TEST(refused),
		TEST(lost),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
