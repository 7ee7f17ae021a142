#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "config.h"
#include "forwarder.h"
#include "notifications.h"
#include "sweep.h"

#include "captured_log.h"
#include "scripted_pq.h"
#include "unit.h"

/* What sweep.h promises, and what is behind it, in milliseconds. */
#define NOTIFIED_MS	5L
#define WATCH_MS	200L
#define SHARE		20L
#define OWED_MS		1000L
#define INTERVAL_MS	7000L
#define OVERDUE_MS	60000L
#define NO_ROOM_MS	20L
#define BUSY_MS		5L

/* The sweep's neighbours, which it only hands on. */
static int nobody;
#define NOTIFICATIONS	((struct notifications *)(void *)&nobody)
#define FORWARDER	((struct forwarder *)(void *)&nobody)

static struct config conf;
static struct sweep *s;
static long now;

/* What the sweep sees of its neighbours, and what they saw of it. */
static enum forwarder_added added;	/* what becomes of bookings */
static int room, filled, busy, remembers;
static int forgets;			/* what was refused */
static long forgets_since;
static int handed;			/* bookings */
static char last_id[64], last_tenant[64];
static int queries;
#define NO_ID	"00000000-0000-0000-0000-000000000000"

static char params[5][64];		/* of the last; "-": NULL */

enum forwarder_added
forwarder_add(struct forwarder *f, const char *id, const char *tenant_id,
    const char *payload, long when)
{

	assert_ptr_equal(f, FORWARDER);
	assert_null(payload);
	assert_int_equal(when, now);
	assert_int_equal(remembers, 1);
	(void)snprintf(last_id, sizeof(last_id), "%s", id);
	(void)snprintf(last_tenant, sizeof(last_tenant), "%s",
	    tenant_id != NULL ? tenant_id : "-");
	handed++;
	return (added);
}

int
forwarder_has_room(const struct forwarder *f)
{

	(void)f;
	return (room);
}

int
forwarder_is_filled(const struct forwarder *f)
{

	(void)f;
	return (filled);
}

int
forwarder_has_forgotten(const struct forwarder *f, long since)
{

	assert_ptr_equal(f, FORWARDER);
	forgets_since = since;
	return (forgets);
}

void
forwarder_remember(struct forwarder *f, int remember, long when)
{

	assert_ptr_equal(f, FORWARDER);
	assert_int_equal(when, now);
	remembers = remember;
}

int
notifications_query(struct notifications *n, const char *sql,
    const char *const *values, int nvalues, long when)
{
	int i;

	(void)n;
	assert_non_null(strstr(sql, "\"lad_dev\".\"lead_bookings\""));
	assert_int_equal(nvalues, 5);
	assert_int_equal(when, now);
	if (busy)
		return (-1);
	for (i = 0; i < 5; i++)
		(void)snprintf(params[i], sizeof(params[i]), "%s",
		    values[i] != NULL ? values[i] : "-");
	queries++;
	return (0);
}

static int
begin(void **state)
{

	(void)state;
	captured_log_begin(LOG_DEBUG);
	memset(&conf, 0, sizeof(conf));
	conf.schema = "lad_dev";
	conf.table = "lead_bookings";
	conf.sweep_interval = (int)INTERVAL_MS / 1000;
	conf.sweep_window = 86400;
	conf.overdue_grace = 300;
	now = 1000000;
	added = FORWARDER_NEW;
	room = 1;
	filled = busy = remembers = handed = queries = forgets = 0;
	return ((s = sweep_new(&conf)) != NULL ? 0 : -1);
}

static int
end(void **state)
{

	(void)state;
	sweep_free(s);
	captured_log_end();
	return (0);
}

static void
step(void)
{

	sweep_step(s, NOTIFICATIONS, FORWARDER, now);
}

/* The table is read ${ms} from now, not sooner. */
static void
reads_after(long ms)
{
	int before = queries;

	assert_int_equal(sweep_deadline(s), now + ms);
	if (ms > 0) {
		now += ms - 1;
		step();
		assert_int_equal(queries, before);
		now++;
	}
	step();
	assert_int_equal(queries, before + 1);
	assert_int_equal(remembers, 1);

	/* Until the answer is there nothing is asked. */
	assert_int_equal(sweep_deadline(s), LONG_MAX);
	step();
	assert_int_equal(queries, before + 1);
}

/* Hand over what the server sends, ${ms} after it was asked. */
static void
answer(PGresult *result, long ms)
{

	now += ms;
	sweep_result(s, result, FORWARDER, now);
	PQclear(result);
	assert_int_equal(remembers, 0);
}

/*
 * A page of ${n} bookings, which begins with one that belongs to none, and
 * ends with the place "last ${n}" and the id "id ${n}".
 */
static PGresult *
page(int n)
{
	static const char *values[4 * (FORWARDER_PAGE + 1)];
	static char place[32], id[32];
	size_t i;

	(void)snprintf(place, sizeof(place), "last %d", n);
	(void)snprintf(id, sizeof(id), "id %d", n);
	for (i = 0; i <= (size_t)n; i++) {
		values[4 * i] = id;
		values[4 * i + 1] = "tenant";
		values[4 * i + 2] = i > 0 ? place : NULL;
		values[4 * i + 3] = i > 0 ? "pending" : "overdue";
	}
	return (pq_rows(4, n + 1, values));
}

static PGresult *
nothing(void)
{

	return (pq_rows(4, 0, NULL));
}

static PGresult *
one(void)
{

	return (PQ_ROW("id", "tenant", "place", "pending"));
}

static void
test_requested(void **state)
{

	(void)state;
	assert_int_equal(sweep_deadline(s), LONG_MAX);
	step();
	assert_int_equal(queries, 0);
	sweep_request(s, now + 100);
	sweep_request(s, now + 200);
	assert_int_equal(sweep_deadline(s), now + 100);
	sweep_request(s, now + 50);
	reads_after(50);
	assert_string_equal(params[0], "86400");
	assert_string_equal(params[1], "-infinity");
	assert_string_equal(params[2], NO_ID);
	assert_string_equal(params[3], "1000");
	answer(one(), 0);
	assert_int_equal(handed, 1);
	assert_string_equal(last_id, "id");
	assert_string_equal(last_tenant, "tenant");
	assert_int_equal(logged("sweep: 1 booking, 1 of them new"), 1);
}

/* Every interval in any case. */
static void
test_interval(void **state)
{
	int i;

	(void)state;
	sweep_request(s, now);
	reads_after(0);
	for (i = 0; i < 3; i++) {
		answer(nothing(), 0);
		reads_after(INTERVAL_MS);
	}
	assert_int_equal(logged("sweep:"), 0);

	/* Even if the server is so slow that its share is used up. */
	answer(nothing(), 9000);
	reads_after(INTERVAL_MS);
}

/* Overdue bookings are looked for once a minute, or once a shorter grace. */
static void
test_overdue(void **state)
{
	long i;

	sweep_request(s, now);
	reads_after(0);
	assert_string_equal(params[4], "300");
	for (i = INTERVAL_MS; i < OVERDUE_MS; i += INTERVAL_MS) {
		answer(nothing(), 0);
		reads_after(INTERVAL_MS);
		assert_string_equal(params[4], "-");
	}
	answer(nothing(), 0);
	reads_after(INTERVAL_MS);
	assert_string_equal(params[4], "300");
	answer(nothing(), 0);
	reads_after(INTERVAL_MS);
	assert_string_equal(params[4], "-");

	(void)end(state);
	assert_int_equal(begin(state), 0);
	sweep_free(s);
	conf.overdue_grace = 7;
	assert_non_null(s = sweep_new(&conf));
	sweep_request(s, now);
	reads_after(0);
	assert_string_equal(params[4], "7");
	answer(nothing(), 0);
	reads_after(INTERVAL_MS);
	assert_string_equal(params[4], "7");
}

/* What finds something is followed by another one, at distances that double. */
static void
test_doubling(void **state)
{
	long pause;

	(void)state;
	sweep_request(s, now);
	reads_after(0);
	for (pause = NOTIFIED_MS; pause < INTERVAL_MS; pause *= 2) {
		answer(one(), 0);
		reads_after(pause);
	}
	answer(one(), 0);
	reads_after(INTERVAL_MS);
	answer(one(), 0);
	reads_after(INTERVAL_MS);

	/* Nothing was found: the row has ended. */
	answer(nothing(), 0);
	reads_after(INTERVAL_MS);
	answer(one(), 0);
	reads_after(NOTIFIED_MS);

	/* Those that are known already are nothing new. */
	added = FORWARDER_KNOWN;
	answer(one(), 0);
	reads_after(INTERVAL_MS);

	/* Those that did not fit, or were settled just now, are. */
	added = FORWARDER_FULL;
	answer(one(), 0);
	reads_after(NOTIFIED_MS);
	added = FORWARDER_SETTLED;
	answer(one(), 0);
	reads_after(2 * NOTIFIED_MS);
}

/*
 * After a notification the table is read within milliseconds, and again for
 * whoever commits a little later.
 */
static void
test_notified(void **state)
{
	long pause, begun;

	(void)state;
	sweep_request(s, now);
	reads_after(0);
	answer(nothing(), 0);
	now += 1000;
	begun = now;
	sweep_notified(s, now);
	reads_after(NOTIFIED_MS);
	for (pause = NOTIFIED_MS; now < begun + WATCH_MS; pause *= 2) {
		answer(nothing(), 0);
		reads_after(pause);
	}
	assert_int_equal(queries, 8);
	answer(nothing(), 0);
	reads_after(INTERVAL_MS);

	/* The next notification begins from the start. */
	answer(nothing(), 0);
	sweep_notified(s, now);
	reads_after(NOTIFIED_MS);
}

/* A notification during a sweep asks for another one. */
static void
test_notified_meanwhile(void **state)
{

	(void)state;
	sweep_request(s, now);
	reads_after(0);
	sweep_notified(s, now);
	assert_int_equal(sweep_deadline(s), LONG_MAX);
	now += WATCH_MS + 1;
	answer(nothing(), 0);
	now += SHARE * (WATCH_MS + 1);
	step();
	assert_int_equal(queries, 2);

	/* So does any other reason. */
	sweep_request(s, now);
	answer(nothing(), 0);
	assert_int_equal(sweep_deadline(s), now + 2 * NOTIFIED_MS);
}

/* Begin a sweep when as many pauses are owed as may be. */
static void
begin_in_debt(void)
{

	added = FORWARDER_KNOWN;
	sweep_notified(s, now);
	reads_after(NOTIFIED_MS);
	answer(one(), OWED_MS / SHARE + 10);
	sweep_notified(s, now);
	reads_after(10 * SHARE);
	sweep_notified(s, now);
}

/* A burst is found at once, though the sweeps before it found nothing. */
static void
test_owed(void **state)
{
	int i, n = (int)(OWED_MS / SHARE / 10);

	(void)state;
	added = FORWARDER_KNOWN;

	/* A quiet time is no credit for more. */
	sweep_request(s, now);
	reads_after(0);
	answer(nothing(), 0);
	reads_after(INTERVAL_MS);
	answer(nothing(), 0);
	for (i = 0; i <= n; i++) {
		sweep_notified(s, now);
		reads_after(NOTIFIED_MS);
		answer(one(), 10);
	}

	/* Then the share is used up, but for the pauses that were made. */
	sweep_notified(s, now);
	reads_after(10 * SHARE - n * NOTIFIED_MS);
}

/*
 * It may take 5 % of one core, the pause being 20 times what a sweep took, and
 * more for what it finds.
 */
static void
test_share(void **state)
{
	int i;

	(void)state;
	begin_in_debt();
	for (i = 0; i < 3; i++) {
		answer(one(), 10);
		assert_int_equal(sweep_deadline(s), now + 10 * SHARE);

		/* However often it is notified. */
		now += 50;
		sweep_notified(s, now);
		now += 50;
		sweep_request(s, now);
		reads_after(10 * SHARE - 100);
	}

	/* All pages of a sweep count, the pauses between them do not. */
	sweep_notified(s, now);
	answer(page(FORWARDER_PAGE), 10);
	now += 30;
	step();
	answer(page(FORWARDER_PAGE), 10);
	step();
	answer(one(), 10);
	reads_after(30 * SHARE);

	/* What is found makes up for it. */
	added = FORWARDER_NEW;
	answer(one(), 10);
	reads_after(10 * SHARE / 2);
	sweep_notified(s, now);
	answer(page(8), 10);
	reads_after(10 * SHARE / 10);
	sweep_notified(s, now);
	answer(page(SHARE - 1), 10);
	reads_after(10);

	/* Those that are full of new bookings delay the next ones little. */
	answer(page(FORWARDER_PAGE), 10);
	step();
	answer(page(FORWARDER_PAGE), 10);
	step();
	answer(one(), 10);
	reads_after(20 + 10 * SHARE / 2);

	/* A quick one is no reason to rest. */
	answer(one(), 0);
	sweep_notified(s, now);
	reads_after(NOTIFIED_MS);
}

static void
test_pages(void **state)
{

	(void)state;
	sweep_request(s, now);
	reads_after(0);
	answer(page(FORWARDER_PAGE), 0);
	assert_int_equal(handed, FORWARDER_PAGE + 1);
	sweep_notified(s, now);
	reads_after(0);
	assert_string_equal(params[1], "last 1000");
	assert_string_equal(params[2], "id 1000");
	assert_string_equal(params[4], "-");

	/* Rows that belong to no page do not fill one. */
	answer(page(FORWARDER_PAGE - 1), 0);
	reads_after(NOTIFIED_MS);
	assert_string_equal(params[1], "-infinity");
	assert_string_equal(params[2], NO_ID);
	answer(page(1), 0);
	reads_after(2 * NOTIFIED_MS);
	assert_string_equal(params[1], "-infinity");
}

/* What an ended pause held is found soon, though a page at a time. */
static void
test_many_of_a_pause(void **state)
{
	long start = now;
	int i;

	(void)state;
	sweep_request(s, now);
	for (i = 0; i < 30; i++) {
		now = sweep_deadline(s);
		step();
		answer(page(FORWARDER_PAGE - 1), 0);
	}
	assert_int_equal(queries, 30);
	assert_true(now < start + 4 * INTERVAL_MS);

	/* The same few that are found again and again are no such ones. */
	start = now;
	for (i = 0; i < 30; i++) {
		now = sweep_deadline(s);
		step();
		answer(one(), 0);
	}
	assert_true(now > start + 10 * INTERVAL_MS);
}

/*
 * More bookings are refused than the forwarder remembers: to find those again
 * brings no sweep closer, nor does a notification.
 */
static void
test_many_refused(void **state)
{
	long ended;

	(void)state;
	sweep_request(s, now);
	reads_after(0);
	answer(page(FORWARDER_PAGE - 1), 0);
	ended = now;
	reads_after(NOTIFIED_MS);
	forgets = 1;
	answer(page(FORWARDER_PAGE - 1), 0);
	assert_int_equal(forgets_since, ended);
	sweep_notified(s, now);
	reads_after(INTERVAL_MS);
	sweep_notified(s, now);
	answer(page(FORWARDER_PAGE - 1), 0);
	reads_after(INTERVAL_MS);

	/* They are remembered, or were scheduled: as before. */
	forgets = 0;
	sweep_notified(s, now);
	answer(page(1), 0);
	reads_after(NOTIFIED_MS);
}

/* While much waits no sweep is begun; one that was goes on from its place. */
static void
test_rests_while_filled(void **state)
{

	(void)state;
	filled = 1;
	sweep_request(s, now);
	step();
	assert_int_equal(queries, 0);
	assert_int_equal(sweep_deadline(s), now + NO_ROOM_MS);
	filled = 0;
	reads_after(NO_ROOM_MS);
	answer(page(FORWARDER_PAGE), 0);
	filled = 1;
	reads_after(0);
	assert_string_equal(params[1], "last 1000");
	answer(page(FORWARDER_PAGE), 0);

	/* A page needs room. */
	room = 0;
	step();
	assert_int_equal(queries, 2);
	assert_int_equal(sweep_deadline(s), now + NO_ROOM_MS);
	room = 1;
	reads_after(NO_ROOM_MS);
	assert_string_equal(params[1], "last 1000");
}

static void
test_busy(void **state)
{

	(void)state;
	busy = 1;
	sweep_request(s, now);
	step();
	assert_int_equal(sweep_deadline(s), now + BUSY_MS);
	assert_int_equal(remembers, 0);
	busy = 0;
	reads_after(BUSY_MS);

	/* The overdue ones have not been missed. */
	assert_string_equal(params[4], "300");
}

static void
test_refused(void **state)
{
	int i;

	(void)state;
	sweep_request(s, now);
	reads_after(0);
	answer(page(FORWARDER_PAGE), 0);
	sweep_notified(s, now);
	reads_after(0);
	answer(pq_refused(), 0);
	assert_int_equal(logged("ERROR the table could not be read"), 1);
	assert_int_equal(handed, FORWARDER_PAGE + 1);

	/* Nobody is in a hurry, and it begins from the start. */
	sweep_notified(s, now);
	reads_after(INTERVAL_MS);
	assert_string_equal(params[1], "-infinity");
	answer(NULL, 0);
	assert_int_equal(logged("ERROR the table could not be read"), 2);
	sweep_notified(s, now);
	reads_after(2 * INTERVAL_MS);
	for (i = 4; i < 20; i *= 2) {
		answer(pq_refused(), 0);
		sweep_notified(s, now);
		reads_after(i * INTERVAL_MS < 60000 ? i * INTERVAL_MS : 60000);
	}

	/* It works again: everything as before. */
	answer(nothing(), 0);
	assert_int_equal(logged("the table can be read again"), 1);
	reads_after(INTERVAL_MS);
	answer(pq_refused(), 0);
	reads_after(INTERVAL_MS);
}

/* A connection that is lost takes the sweep along; the next begins anew. */
static void
test_lost(void **state)
{

	(void)state;
	sweep_request(s, now);
	reads_after(0);
	answer(page(FORWARDER_PAGE), 10);
	reads_after(0);
	sweep_notified(s, now);
	sweep_lost(s, FORWARDER, now);
	assert_int_equal(remembers, 0);
	assert_int_equal(sweep_deadline(s), LONG_MAX);
	step();
	assert_int_equal(queries, 2);
	now += 1000;
	sweep_request(s, now);
	reads_after(0);
	assert_string_equal(params[1], "-infinity");
	answer(nothing(), 0);
	reads_after(INTERVAL_MS);

	/* After LISTEN the table is read, whatever was used up before. */
	answer(nothing(), 100);
	sweep_lost(s, FORWARDER, now);
	sweep_request(s, now);
	reads_after(0);
}

int
main(void)
{
#define T(name)	cmocka_unit_test_setup_teardown(test_##name, begin, end)
	const struct CMUnitTest tests[] = {
		T(requested),
		T(interval),
		T(overdue),
		T(doubling),
		T(notified),
		T(notified_meanwhile),
		T(owed),
		T(share),
		T(pages),
		T(many_of_a_pause),
		T(many_refused),
		T(rests_while_filled),
		T(busy),
		T(refused),
		T(lost),
	};
#undef T

	return (cmocka_run_group_tests_name("sweep", tests, NULL, NULL));
}
