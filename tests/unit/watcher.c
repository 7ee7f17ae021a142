#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>

#include "booking.h"
#include "bookings.h"
#include "config.h"
#include "event_delivery.h"
#include "event_outbox.h"
#include "events.h"
#include "log.h"
#include "secret.h"
#include "status.h"
#include "watcher.h"

#include "unit.h"

/*
 * The watcher between a status, an outbox and a receiver that are scripted
 * here.  It is left, as if it were killed, when it has looked often enough.
 */

static struct config conf = { .schema = "s", .table = "t",
    .events_url = "https://example.com" };
static struct watcher *watcher;
static jmp_buf killed;
static int looks;

static const char *document;
static enum db_outcome database;
static int waiting;			/* events in the outbox */
static long age;			/* theirs */
static struct event_answer answer;
static char sent[2048];			/* types and outcomes, in order */
static char ids[8][48];
static size_t nids;

int
secret_curl_init(void)
{

	return (0);
}

struct db *
db_new(const struct config *c, const char *name)
{

	(void)name;
	assert_ptr_equal(c, &conf);
	return ((struct db *)(void *)&conf);
}

struct bookings *
bookings_new(const struct config *c, struct db *db)
{

	assert_true(c == &conf && db != NULL);
	return ((struct bookings *)(void *)&conf);
}

const char *
booking_time(int64_t us, int digits, char buf[BOOKING_TIME_LEN])
{

	assert_true(us > 0 && digits == 3);
	(void)snprintf(buf, BOOKING_TIME_LEN, "2026-11-26T13:00:00.000Z");
	return (buf);
}

enum db_outcome
bookings_ready(struct bookings *b)
{

	(void)b;
	return (database);
}

json_t *
status_look(struct status *s, struct bookings *b, const char *tenant)
{

	(void)s;
	(void)b;
	assert_null(tenant);
	return (json_loads(document, 0, NULL));
}

struct events *
events_new(const char *host)
{

	assert_true(*host != '\0');
	return ((struct events *)(void *)&conf);
}

json_t *
events_see(struct events *e, const json_t *seen, const char **complete)
{

	assert_true(e != NULL && json_is_object(seen));
	*complete = "{}";
	return (json_array());
}

void
events_told(struct events *e, const json_t *told)
{

	assert_true(e != NULL && json_is_array(told));
}

enum db_outcome
event_outbox_seen(struct bookings *b, const json_t *seen,
    const char *complete, json_t **told)
{

	assert_true(b != NULL && json_is_array(seen) && complete != NULL);
	*told = json_array();
	return (DB_OK);
}

enum db_outcome
event_outbox_next(struct bookings *b, struct event *event, PGresult **result)
{

	(void)b;
	*result = waiting > 0 ? PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK) :
	    NULL;
	*event = (struct event){ .id = "ID", .webhook_id = "evt_x",
	    .type = "x", .data = "{}", .attempt = 2, .age = age };
	return (DB_OK);
}

enum db_outcome
event_outbox_told(struct bookings *b, const char *id,
    enum event_outcome outcome, const char *error, long wait)
{

	(void)b;
	assert_string_equal(id, "ID");
	assert_true((error == NULL) == (outcome == EVENT_DELIVERED));
	assert_int_equal(wait, answer.wait);
	(void)strncat(sent, outcome == EVENT_DELIVERED ? "+" :
	    outcome == EVENT_RETRY ? "?" : "-", 2);
	waiting -= outcome != EVENT_RETRY;
	return (DB_OK);
}

enum db_outcome
event_outbox_forget(struct bookings *b)
{

	(void)b;
	return (DB_OK);
}

struct event_delivery *
event_delivery_new(const struct config *c)
{

	assert_ptr_equal(c, &conf);
	return ((struct event_delivery *)(void *)&conf);
}

void
event_delivery_send(struct event_delivery *d, const struct event *event,
    struct event_answer *a)
{

	(void)d;
	(void)snprintf(&sent[strlen(sent)], sizeof(sent) - strlen(sent),
	    "%s%s", *sent != '\0' ? " " : "", event->type);
	if (nids < NITEMS(ids))
		(void)snprintf(ids[nids++], sizeof(ids[0]), "%s",
		    event->webhook_id);
	*a = answer;
}

/* The time between two looks. */
int
clock_nanosleep(clockid_t clock, int flags, const struct timespec *request,
    struct timespec *left)
{

	(void)clock;
	(void)flags;
	(void)request;
	(void)left;
	if (--looks == 0)
		longjmp(killed, 1);
	return (0);
}

/* A process that looks ${n} times. */
static void
run(int n)
{

	looks = n;
	if (setjmp(killed) == 0)
		watcher_run(watcher);
}

static int
begin(void **state)
{

	(void)state;
	log_init(NULL, LOG_ERROR + 1, 0);
	document = "{\"state\":\"ok\",\"sentence\":\"WELL.\"}";
	database = DB_OK;
	waiting = 0;
	age = 10;
	answer = (struct event_answer){ .outcome = EVENT_DELIVERED };
	*sent = '\0';
	nids = 0;
	assert_non_null(watcher = watcher_new(&conf, NULL));
	return (0);
}

static int
end(void **state)
{

	(void)state;
	watcher_free(watcher);
	return (0);
}

/* All that wait are delivered at one look, up to a bound. */
static void
test_delivered(void **state)
{

	(void)state;
	waiting = 22;
	run(1);
	assert_int_equal(waiting, 2);
	run(1);
	assert_int_equal(waiting, 0);
}

/* One that fails ends the look; after a day it is given up. */
static void
test_given_up(void **state)
{

	(void)state;
	waiting = 2;
	answer.outcome = EVENT_RETRY;
	age = 86400;
	run(1);
	assert_string_equal(sent, "x?");
	age = 86401;
	run(1);
	assert_string_equal(sent, "x? x-");
}

/* Who asked to be left alone is, and after a 410 for good. */
static void
test_left_alone(void **state)
{

	(void)state;
	waiting = 2;
	answer = (struct event_answer){ .outcome = EVENT_RETRY, .wait = 300 };
	run(3);
	assert_string_equal(sent, "x?");
	(void)end(state);

	(void)begin(state);
	waiting = 2;
	answer = (struct event_answer){ .outcome = EVENT_RETRY,
	    .is_gone = 1 };
	run(3);
	run(3);
	assert_string_equal(sent, "x?");
}

/* It is told once, over the death of the process, and so is its end. */
static void
test_database(void **state)
{

	(void)state;
	document = "{\"state\":\"stopped\",\"code\":\"database\","
	    "\"sentence\":\"AWAY.\"}";
	database = DB_LOST;
	run(1);
	assert_string_equal(sent, "");
	run(3);
	assert_string_equal(sent, "followup.database.lost");
	run(3);
	assert_string_equal(sent, "followup.database.lost");
	database = DB_OK;
	document = "{\"state\":\"ok\",\"sentence\":\"WELL.\"}";
	run(3);
	assert_string_equal(sent, "followup.database.lost "
	    "followup.database.back");
	assert_string_not_equal(ids[0], ids[1]);
	assert_int_equal(strlen(ids[0]), 36);
}

/* The end waits for the beginning, which goes out under one id. */
static void
test_database_later(void **state)
{

	(void)state;
	document = "{\"state\":\"stopped\",\"sentence\":\"AWAY.\"}";
	database = DB_LOST;
	answer.outcome = EVENT_RETRY;
	run(4);
	database = DB_OK;
	run(2);
	assert_string_equal(sent, "followup.database.lost");
}

/* An outbox that cannot be written is no reason while people are called. */
static void
test_not_stopped(void **state)
{

	(void)state;
	database = DB_LOST;
	run(5);
	assert_string_equal(sent, "");
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_delivered),
		TEST(test_given_up),
		TEST(test_left_alone),
		TEST(test_database),
		TEST(test_database_later),
		TEST(test_not_stopped),
	};

	return (cmocka_run_group_tests_name("watcher", tests, NULL, NULL));
}
