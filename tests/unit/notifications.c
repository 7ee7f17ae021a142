#include <sys/types.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "bookings.h"
#include "config.h"
#include "notifications.h"

#include "captured_log.h"
#include "scripted_pq.h"
#include "unit.h"

/* What notifications.h and DESIGN promise, in milliseconds. */
#define CONNECT_MS	5000
#define ANSWER_MS	4000
#define QUERY_MS	9500
#define HEARTBEAT_MS	3000
#define STANDBY_MS	2000
#define PLAN_MS		60000
#define BACKOFF_MS	200

#define PID		"4711"
#define HEARTBEAT	"SELECT current_setting('transaction_read_only')"
#define LOST		"no database connection: "

static struct config conf = { .schema = "lad_dev",
    .table = "lead_bookings" };
static struct notifications *n;
static struct notifications_data data;
static long now;

/* Instead of the library's: without the jitter. */
long
backoff_ms(int attempt, long base, long cap)
{
	long wait = base << (attempt - 1);

	return (wait < cap ? wait : cap);
}

static int
begin(void **state)
{

	(void)state;
	pq_begin();
	captured_log_begin(LOG_DEBUG);
	now = 1000000;
	return ((n = notifications_new(&conf)) != NULL ? 0 : -1);
}

static int
end(void **state)
{

	(void)state;
	notifications_free(n);
	captured_log_end();
	pq_end();
	return (0);
}

static enum notifications_event
next(void)
{

	return (notifications_next(n, now, &data));
}

/* Nothing happens now. */
static void
quiet(void)
{

	assert_int_equal(next(), NOTIFICATIONS_NONE);
}

/* How long the program may sleep. */
static long
sleeps(void)
{
	long deadline;
	short events;
	int fd;

	notifications_wait(n, &fd, &events, &deadline);
	return (deadline - now);
}

/* The program is told to wake up when its time is over, not sooner. */
static void
sleep_for(long ms)
{

	assert_int_equal(sleeps(), ms);
	now += ms - 1;
	quiet();
	pq_expect_nothing();
	now++;
}

/*
 * The states, each with what leads there from the one before.
 */

static void
to_connecting(void)
{

	quiet();
	assert_int_equal(pq.open, 1);
}

static void
to_setting_up(void)
{

	to_connecting();
	pq_poll(PGRES_POLLING_OK);
	quiet();
	pq_expect("SET followup.daemon = 'on'");
}

static void
to_electing(void)
{

	to_setting_up();
	pq_reply(PQ_ROW(PID));
	quiet();
	pq_expect("pg_try_advisory_lock");
	assert_int_equal(pq.nparams, 1);
	assert_int_equal(strtol(pq.params[0], NULL, 10), bookings_key(&conf));
}

static void
to_standby(void)
{

	to_electing();
	pq_reply(PQ_ROW("f", "17"));
	quiet();
	pq_expect_nothing();
}

static void
to_subscribing(void)
{

	to_electing();
	pq_reply(PQ_ROW("t", PID));
	quiet();
	pq_expect("LISTEN booking_followup_created");
}

static void
to_idle(void)
{

	to_subscribing();
	pq_reply(pq_command());
	assert_int_equal(next(), NOTIFICATIONS_LISTENING);
	quiet();
}

static const char *const params[] = { "86400", NULL, "x" };

static void
query(void)
{

	assert_int_equal(notifications_query(n, "SELECT sweep", params, 3,
	    now), 0);
}

static void
to_clearing(void)
{

	to_idle();
	query();
	pq_expect("DEALLOCATE ALL");
}

static void
to_preparing(void)
{

	to_clearing();
	pq_reply(pq_command());
	quiet();
	pq_expect("PREPARE SELECT sweep");
}

static void
to_querying(void)
{

	to_preparing();
	pq_reply(pq_command());
	quiet();
	pq_expect("EXECUTE ");
	assert_int_equal(pq.nparams, 3);
	assert_string_equal(pq.params[0], "86400");
	assert_null(pq.params[1]);
	assert_string_equal(pq.params[2], "x");
}

static void
to_beating(void)
{

	to_idle();
	now += HEARTBEAT_MS;
	quiet();
	pq_expect(HEARTBEAT);
}

static const struct {
	const char *name;
	void (*reach)(void);
	long patience;		/* with a server that says nothing; or 0 */
	int refusable;		/* a refusal means that it cannot go on */
} states[] = {
	{ "connecting", to_connecting, CONNECT_MS, 0 },
	{ "setting up", to_setting_up, ANSWER_MS, 1 },
	{ "electing", to_electing, ANSWER_MS, 1 },
	{ "standby", to_standby, 0, 0 },
	{ "subscribing", to_subscribing, ANSWER_MS, 0 },
	{ "idle", to_idle, 0, 0 },
	{ "clearing", to_clearing, ANSWER_MS, 0 },
	{ "preparing", to_preparing, ANSWER_MS, 0 },
	{ "querying", to_querying, QUERY_MS, 0 },
	{ "beating", to_beating, ANSWER_MS, 0 },
};

/* The connection is given up and another one begun, later and from anew. */
static void
lost(const char *name)
{
	int connections = pq.connections;

	ASSERT_ROW(next() == NOTIFICATIONS_LOST, name);
	ASSERT_ROW(pq.open == 0, name);
	ASSERT_ROW(logged(LOST) == 1, name);
	ASSERT_ROW(notifications_query(n, "x", NULL, 0, now) == -1, name);
	ASSERT_ROW(sleeps() == BACKOFF_MS, name);
	now += BACKOFF_MS - 1;
	ASSERT_ROW(next() == NOTIFICATIONS_NONE, name);
	ASSERT_ROW(pq.open == 0, name);
	now++;
	pq.sent[0] = '\0';
	pq.flush = 0;
	to_idle();
	ASSERT_ROW(pq.connections == connections + 1, name);
}

static void
test_begins(void **state)
{
	short events;
	long deadline;
	int fd;

	(void)state;

	/* Nothing is open, and there is nothing to wait for. */
	notifications_wait(n, &fd, &events, &deadline);
	assert_int_equal(fd, -1);
	assert_true(deadline <= now);
	assert_int_equal(notifications_query(n, "x", NULL, 0, now), -1);

	to_idle();
	assert_int_equal(logged("Started listening for booking follow-up "
	    "notifications"), 1);
	assert_int_equal(logged("ERROR"), 0);
	assert_non_null(strstr(pq.keywords,
	    "application_name=followup-listener "));
	assert_non_null(strstr(pq.keywords, "target_session_attrs="));
	sleep_for(HEARTBEAT_MS);
}

/* Connecting takes several steps, each when the socket is ready for it. */
static void
test_connects_step_by_step(void **state)
{
	short events;
	long deadline;
	int fd;

	(void)state;
	to_connecting();
	notifications_wait(n, &fd, &events, &deadline);
	assert_int_equal(events, POLLOUT);
	assert_int_equal(deadline, now + CONNECT_MS);

	/* The socket is writable: libpq goes on, and wants to read. */
	pq_poll(PGRES_POLLING_READING);
	quiet();
	notifications_wait(n, &fd, &events, &deadline);
	assert_int_equal(fd, pq.fds[0]);
	assert_int_equal(events, POLLIN);

	/* There is nothing to be read yet: PQconnectPoll is not called. */
	now += 1000;
	quiet();
	assert_int_equal(pq.polled, 1);
	pq_readable(1);
	pq_poll(PGRES_POLLING_WRITING);
	pq_poll(PGRES_POLLING_OK);
	quiet();
	assert_int_equal(pq.polled, 3);
	pq_expect("SET followup.daemon = 'on'");
}

static void
test_connection_fails(void **state)
{
	static const long pauses[] = { 200, 400, 800, 1600, 3200, 5000, 5000 };
	size_t i;

	(void)state;

	/* No memory, no such host, refused, and an odd one. */
	pq.start_fails = 1;
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	assert_int_equal(logged(LOST "out of memory"), 1);
	sleep_for(pauses[0]);
	pq.start_fails = 2;
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	assert_int_equal(logged(LOST "no such host; trying again in 0.4 s"),
	    1);
	assert_int_equal(pq.open, 0);
	sleep_for(pauses[1]);
	pq.start_fails = 0;
	for (i = 2; i < NITEMS(pauses); i++) {
		to_connecting();
		pq_poll(PGRES_POLLING_FAILED);
		assert_int_equal(next(), NOTIFICATIONS_LOST);
		assert_int_equal(pq.open, 0);
		sleep_for(pauses[i]);
	}
	to_connecting();
	pq.nonblocking_fails = 1;
	pq_poll(PGRES_POLLING_OK);
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	pq.nonblocking_fails = 0;
	sleep_for(5000);

	/* A connection that worked ends the row of failures. */
	to_idle();
	pq_break("gone");
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	sleep_for(BACKOFF_MS);
}

/* In every state: the connection breaks; what is written cannot be. */
static void
test_breaks_in_every_state(void **state)
{
	size_t i;

	for (i = 1; i < NITEMS(states); i++) {
		states[i].reach();
		pq_break("server closed the connection\n");
		lost(states[i].name);
		assert_int_equal(logged(LOST "server closed the connection; "
		    "trying again in 0.2 s"), 1);
		(void)end(state);
		assert_int_equal(begin(state), 0);

		states[i].reach();
		pq.flush = -1;
		lost(states[i].name);
		(void)end(state);
		assert_int_equal(begin(state), 0);
	}
}

/* In every state that waits for the server: it says nothing any more. */
static void
test_silence_in_every_state(void **state)
{
	size_t i;

	for (i = 0; i < NITEMS(states); i++) {
		if (states[i].patience == 0)
			continue;
		states[i].reach();

		/* Nor does it help that it becomes readable for nothing. */
		if (states[i].reach == to_connecting)
			pq_poll(PGRES_POLLING_READING);
		quiet();
		ASSERT_ROW(sleeps() == states[i].patience, states[i].name);
		now += states[i].patience - 1;
		ASSERT_ROW(next() == NOTIFICATIONS_NONE, states[i].name);
		now++;
		lost(states[i].name);
		assert_int_equal(logged(i == 0 ?
		    LOST "the database does not answer" :
		    LOST "the server does not answer"), 1);
		(void)end(state);
		assert_int_equal(begin(state), 0);
	}
}

/* A notification that goes on coming is no heartbeat. */
static void
test_notifications_are_no_answer(void **state)
{
	int i;

	(void)state;
	to_beating();
	for (i = 0; i < ANSWER_MS / 100; i++) {
		pq_notify("x");
		assert_int_equal(next(), NOTIFICATIONS_NOTIFY);
		quiet();
		now += 100;
	}
	lost("notified");
}

/* In every state that cannot go on after it: the server refuses. */
static void
test_refused_in_every_state(void **state)
{
	size_t i;

	for (i = 0; i < NITEMS(states); i++) {
		if (!states[i].refusable)
			continue;
		states[i].reach();
		pq_reply(pq_refused());
		lost(states[i].name);
		(void)end(state);
		assert_int_equal(begin(state), 0);
	}
}

/* In every state that sends something: it cannot be sent. */
static void
test_sending_fails(void **state)
{
	size_t i;

	for (i = 0; i < NITEMS(states); i++) {
		if (states[i].patience == 0 || states[i].reach == to_querying ||
		    states[i].reach == to_beating)
			continue;
		states[i].reach();
		pq.send_fails = 1;
		if (states[i].reach == to_connecting)
			pq_poll(PGRES_POLLING_OK);
		else if (states[i].reach == to_setting_up)
			pq_reply(PQ_ROW(PID));
		else if (states[i].reach == to_electing)
			pq_reply(PQ_ROW("t", PID));
		else
			pq_reply(pq_command());
		if (states[i].reach == to_subscribing) {
			/* The next thing to be sent is the heartbeat. */
			assert_int_equal(next(), NOTIFICATIONS_LISTENING);
			now += HEARTBEAT_MS;
		}
		ASSERT_ROW(next() == NOTIFICATIONS_LOST, states[i].name);
		ASSERT_ROW(pq.open == 0, states[i].name);
		(void)end(state);
		assert_int_equal(begin(state), 0);
	}

	/* The caller's statement: the loss is reported by the next call. */
	to_idle();
	pq.send_fails = 1;
	assert_int_equal(notifications_query(n, "x", NULL, 0, now), -1);
	pq.send_fails = 0;
	lost("query");
	assert_int_equal(logged(LOST), 1);
}

/* One that is not the caller's own does not disturb that. */
static void
test_once(void **state)
{

	(void)state;
	assert_int_equal(notifications_once(n, "x", params, 1, now), -1);
	to_querying();
	assert_int_equal(notifications_once(n, "x", params, 1, now), -1);
	pq_reply(PQ_ROW("815"));
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	assert_int_equal(notifications_once(n, "SELECT canary", params, 1,
	    now), 0);
	pq_expect("SELECT canary");
	pq_reply(PQ_ROW("1"));
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	quiet();
	query();
	pq_expect("EXECUTE ");
	pq_reply(PQ_ROW("815"));
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	pq.send_fails = 1;
	assert_int_equal(notifications_once(n, "x", NULL, 0, now), -1);
	pq.send_fails = 0;
	lost("once");
}

static void
test_pooler(void **state)
{
	int i;

	(void)state;
	to_setting_up();
	pq_reply(PQ_ROW("815"));
	for (i = 0; i < 3; i++)
		assert_int_equal(next(), NOTIFICATIONS_FATAL);
	assert_int_equal(logged("connection pooler"), 1);
	pq_expect_nothing();
}

/* The session's settings are several statements: the last result counts. */
static void
test_last_result_counts(void **state)
{

	(void)state;
	to_setting_up();
	pq_reply_part(pq_command());
	quiet();
	pq_expect_nothing();
	pq_reply_part(pq_command());
	pq_reply(PQ_ROW(PID));
	quiet();
	pq_expect("pg_try_advisory_lock");
}

static void
test_heartbeat(void **state)
{
	int i;

	(void)state;
	to_idle();
	for (i = 0; i < 3; i++) {
		sleep_for(HEARTBEAT_MS);
		quiet();
		pq_expect(HEARTBEAT);
		assert_int_equal(sleeps(), ANSWER_MS);

		/* Meanwhile the connection is busy. */
		assert_int_equal(notifications_query(n, "x", NULL, 0, now),
		    -1);
		now += 10;
		pq_reply(PQ_ROW("off"));
		quiet();
	}
	assert_int_equal(logged(LOST), 0);
	assert_int_equal(pq.connections, 1);
}

/* The primary of the past answers, but takes no writes: it is left. */
static void
test_read_only(void **state)
{

	(void)state;
	to_beating();
	pq_reply(PQ_ROW("on"));
	lost("heartbeat");
	assert_int_equal(logged(LOST "the server has become read-only"), 1);
	(void)end(state);
	assert_int_equal(begin(state), 0);

	/* So it is by one that stands by, or that goes on without the lock. */
	to_standby();
	sleep_for(STANDBY_MS);
	quiet();
	pq_reply(PQ_ROW("f", "17", "on"));
	lost("standby");
	(void)end(state);
	assert_int_equal(begin(state), 0);

	/* Sweeps, however many, do not keep the heartbeat from being sent. */
	to_querying();
	now += HEARTBEAT_MS - 1;
	pq_reply(PQ_ROW("1"));
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	query();
	pq_reply(PQ_ROW("1"));
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	pq.sent[0] = '\0';
	sleep_for(1);
	quiet();
	pq_expect(HEARTBEAT);
}

/* Without LISTEN there is the sweep; LISTEN is asked for again, ever later. */
static void
test_listen_refused(void **state)
{
	static const long pauses[] = { 5000, 10000, 20000 };
	long asked;
	size_t i;

	(void)state;
	to_subscribing();
	pq_reply(pq_refusal("55000", "cannot execute LISTEN here"));
	assert_int_equal(next(), NOTIFICATIONS_LISTENING);
	quiet();
	query();
	pq_expect("DEALLOCATE");
	pq_reply(pq_command());
	quiet();
	pq_reply(pq_command());
	quiet();
	pq_reply(PQ_ROW("found"));
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	pq.sent[0] = '\0';
	asked = now;
	for (i = 0; i < NITEMS(pauses); i++) {
		while (now < asked + pauses[i]) {
			sleep_for(HEARTBEAT_MS);
			quiet();
			if (strstr(pq.sent, "LISTEN") != NULL)
				break;
			pq_expect(HEARTBEAT);
			pq_reply(PQ_ROW("off"));
			quiet();
		}
		pq_expect("LISTEN");
		assert_in_range(now - asked, pauses[i],
		    pauses[i] + HEARTBEAT_MS);
		asked = now;
		pq_reply(pq_refused());
		quiet();
	}
	assert_int_equal(logged("ERROR the server refuses LISTEN: cannot "
	    "execute LISTEN here; bookings are found by the sweep alone"), 1);
	assert_int_equal(logged(LOST), 0);

	/* A new session asks at once, and says nothing new. */
	pq_break("gone");
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	now += BACKOFF_MS;
	to_subscribing();
	pq_reply(pq_refused());
	assert_int_equal(next(), NOTIFICATIONS_LISTENING);
	assert_int_equal(logged("refuses LISTEN"), 1);

	/* Granted at last: what was not heard is read from the table. */
	now += 80000;
	quiet();
	pq_expect("LISTEN");
	pq_reply(pq_command());
	assert_int_equal(next(), NOTIFICATIONS_LISTENING);
	assert_int_equal(logged("Started listening"), 1);
	sleep_for(HEARTBEAT_MS);
	quiet();
	pq_expect(HEARTBEAT);
}

/* A server that hangs, at any stage, gives way to the next one. */
static void
test_several_hosts(void **state)
{

	(void)state;
	notifications_free(n);
	conf.database_url = "postgresql://192.0.2.1,192.0.2.2/d";
	n = notifications_new(&conf);
	conf.database_url = NULL;
	assert_non_null(n);
	to_connecting();
	assert_non_null(strstr(pq.keywords, "hostaddr=192.0.2.1 "));
	pq_poll(PGRES_POLLING_READING);
	quiet();
	assert_int_equal(sleeps(), 3000);
	now += 3000;
	quiet();
	assert_non_null(strstr(pq.keywords, "hostaddr=192.0.2.2 "));
	assert_int_equal(logged(LOST), 0);
	pq_poll(PGRES_POLLING_OK);
	quiet();
	pq_expect("SET followup.daemon");

	/* It lets us in and then closes the connection: the first one again. */
	pq_break("gone");
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	now += BACKOFF_MS;
	to_idle();
	assert_non_null(strstr(pq.keywords, "hostaddr=192.0.2.1 "));

	/* One that worked is the first to be tried, unless it hangs by now. */
	pq_break("gone");
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	now += BACKOFF_MS;
	to_idle();
	assert_non_null(strstr(pq.keywords, "hostaddr=192.0.2.1 "));
	now += HEARTBEAT_MS;
	quiet();
	pq_expect(HEARTBEAT);
	now += ANSWER_MS;
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	now += BACKOFF_MS;
	to_connecting();
	assert_non_null(strstr(pq.keywords, "hostaddr=192.0.2.2 "));
}

/* Another listener is active: this one stands by, then takes over. */
static void
test_standby(void **state)
{
	int i;

	(void)state;
	to_electing();
	for (i = 0; i < 3; i++) {
		pq_reply(PQ_ROW("f", "17"));
		quiet();
		assert_int_equal(notifications_query(n, "x", NULL, 0, now),
		    -1);
		sleep_for(STANDBY_MS);
		quiet();
		pq_expect("pg_try_advisory_lock");
		assert_int_equal(logged("another listener is active; "
		    "standing by"), 1);
		assert_int_equal(logged("Started listening"), 0);
	}

	/* The other one is gone. */
	pq_reply(PQ_ROW("t", PID));
	quiet();
	pq_expect("LISTEN");
	pq_reply(pq_command());
	assert_int_equal(next(), NOTIFICATIONS_LISTENING);

	/* Standing by once more is announced once more. */
	pq_break("gone");
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	now += BACKOFF_MS;
	to_standby();
	assert_int_equal(logged("another listener is active"), 2);
}

/* A standby whose connection worked is no row of failures. */
static void
test_standby_is_success(void **state)
{
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		to_standby();
		pq_break("gone");
		assert_int_equal(next(), NOTIFICATIONS_LOST);
		sleep_for(BACKOFF_MS);
	}
}

/* Become the leader as process 100, and lose that connection. */
static void
lead_and_lose(void)
{

	pq.pid = 100;
	to_setting_up();
	pq_reply(PQ_ROW("100"));
	quiet();
	pq_reply(PQ_ROW("t", "100"));
	quiet();
	pq_reply(pq_command());
	assert_int_equal(next(), NOTIFICATIONS_LISTENING);
	pq_break("frozen");
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	now += BACKOFF_MS;
	pq.pid = 101;
	pq.sent[0] = '\0';
	to_setting_up();
	pq_reply(PQ_ROW("101"));
	quiet();
	pq_expect("pg_try_advisory_lock");
}

/* Only an earlier session of ours has the lock: go on without it. */
static void
test_own_ghost(void **state)
{

	(void)state;
	lead_and_lose();
	pq_reply(PQ_ROW("f", "100"));
	quiet();
	pq_expect("LISTEN");
	pq_reply(pq_command());
	assert_int_equal(next(), NOTIFICATIONS_LISTENING);

	/* The heartbeat asks for the lock until this session has it. */
	now += HEARTBEAT_MS;
	quiet();
	pq_expect("pg_try_advisory_lock");
	pq_reply(PQ_ROW("f", "100"));
	quiet();

	/* An answer to the sweep gives no lock: it is asked for at once. */
	query();
	pq_expect("DEALLOCATE");
	pq_reply(pq_command());
	quiet();
	pq_reply(pq_command());
	quiet();
	pq_reply(PQ_ROW("x"));
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	pq.sent[0] = '\0';
	quiet();
	pq_expect("pg_try_advisory_lock");
	pq_reply(PQ_ROW("t", "101"));
	quiet();
	now += HEARTBEAT_MS;
	quiet();
	pq_expect(HEARTBEAT);
	assert_int_equal(logged("standing by"), 0);
}

/* The ghost is gone, and another listener was faster: it leads. */
static void
test_another_took_over(void **state)
{

	(void)state;
	lead_and_lose();
	pq_reply(PQ_ROW("f", "100"));
	quiet();
	pq_reply(pq_command());
	assert_int_equal(next(), NOTIFICATIONS_LISTENING);
	now += HEARTBEAT_MS;
	quiet();
	pq_reply(PQ_ROW("f", "555"));
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	assert_int_equal(logged(LOST "another listener took over"), 1);

	/* From now on the first session is nobody's ghost any more. */
	now += BACKOFF_MS;
	to_setting_up();
	pq_reply(PQ_ROW("101"));
	quiet();
	pq.sent[0] = '\0';
	pq_reply(PQ_ROW("f", "100"));
	quiet();
	pq_expect_nothing();
	assert_int_equal(logged("standing by"), 1);
}

/* Nobody has the lock, and yet it was not given: that is no leader. */
static void
test_nobody_leads(void **state)
{

	(void)state;
	to_electing();
	pq_reply(PQ_ROW("f", NULL));
	quiet();
	pq_expect_nothing();
	assert_int_equal(sleeps(), STANDBY_MS);
}

static void
test_notified(void **state)
{
	int i;

	(void)state;
	to_idle();
	pq_notify("one");
	pq_notify("two");
	pq_notify("three");
	assert_int_equal(next(), NOTIFICATIONS_NOTIFY);
	assert_string_equal(data.payload, "one");

	/* What has been read goes first, even if the connection has died. */
	pq_break("gone");
	assert_int_equal(next(), NOTIFICATIONS_NOTIFY);
	assert_string_equal(data.payload, "two");
	assert_int_equal(next(), NOTIFICATIONS_NOTIFY);
	assert_string_equal(data.payload, "three");
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	for (i = 0; i < 3; i++)
		quiet();
}

/*
 * A notification that libpq reads together with an answer leaves the socket
 * quiet: it must be taken before the program sleeps.
 */
static void
test_drained_before_sleep(void **state)
{
	size_t i;

	(void)state;
	for (i = 6; i < NITEMS(states); i++) {
		states[i].reach();
		pq_notify("behind an answer");
		pq_reply(states[i].reach == to_beating ||
		    states[i].reach == to_querying ? PQ_ROW("1") :
		    pq_command());
		if (states[i].reach == to_querying)
			ASSERT_ROW(next() == NOTIFICATIONS_RESULT,
			    states[i].name);
		ASSERT_ROW(next() == NOTIFICATIONS_NOTIFY, states[i].name);
		assert_string_equal(data.payload, "behind an answer");
		(void)end(state);
		assert_int_equal(begin(state), 0);
	}
}

/* While the answer to LISTEN is awaited too. */
static void
test_notified_before_listening(void **state)
{

	(void)state;
	to_subscribing();
	pq_notify("early");
	assert_int_equal(next(), NOTIFICATIONS_NOTIFY);
	pq_reply(pq_command());
	assert_int_equal(next(), NOTIFICATIONS_LISTENING);
}

static void
test_query(void **state)
{

	(void)state;
	to_querying();
	assert_int_equal(sleeps(), QUERY_MS);
	assert_int_equal(notifications_query(n, "x", NULL, 0, now), -1);
	now += 5;
	pq_reply(PQ_ROW("found"));
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	assert_string_equal(PQgetvalue(data.result, 0, 0), "found");
	quiet();

	/* It is no heartbeat: a read-only server answers it, too. */
	sleep_for(HEARTBEAT_MS - 5);
	quiet();
	pq_expect(HEARTBEAT);
	pq_reply(PQ_ROW("1"));
	quiet();

	/* The second time it is prepared already. */
	query();
	pq_expect("EXECUTE ");
	pq_reply(PQ_ROW("again"));
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	assert_string_equal(PQgetvalue(data.result, 0, 0), "again");
	quiet();
}

/* A plan that is too old is made anew. */
static void
test_plan_grows_old(void **state)
{

	(void)state;
	to_querying();
	pq_reply(PQ_ROW("1"));
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	now += PLAN_MS - 1;
	query();
	pq_expect("EXECUTE ");
	pq_reply(PQ_ROW("1"));
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	now++;
	query();
	pq_expect("DEALLOCATE ALL");
	pq_reply(pq_command());
	quiet();
	pq_expect("PREPARE SELECT sweep");
	pq_reply(pq_command());
	quiet();
	pq_expect("EXECUTE ");
}

/* A refusal is the caller's result, and the connection stays. */
static void
test_query_refused(void **state)
{

	(void)state;
	to_preparing();
	pq_reply(pq_refused());
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	assert_int_equal(PQresultStatus(data.result), PGRES_FATAL_ERROR);
	quiet();

	/* The next one begins from anew. */
	query();
	pq_expect("DEALLOCATE ALL");
	pq_reply(pq_command());
	quiet();
	pq_expect("PREPARE ");
	pq_reply(pq_command());
	quiet();
	pq_expect("EXECUTE ");
	pq_reply(pq_refused());
	assert_int_equal(next(), NOTIFICATIONS_RESULT);
	assert_int_equal(PQresultStatus(data.result), PGRES_FATAL_ERROR);
	quiet();
	query();
	pq_expect("DEALLOCATE ALL");
	assert_int_equal(pq.connections, 1);
	assert_int_equal(logged(LOST), 0);
}

/* A new session has no statement of the one before. */
static void
test_query_in_new_session(void **state)
{

	(void)state;
	to_querying();
	pq_break("gone");
	assert_int_equal(next(), NOTIFICATIONS_LOST);
	now += BACKOFF_MS;
	pq.sent[0] = '\0';
	to_idle();
	query();
	pq_expect("DEALLOCATE ALL");
}

/* What could not be sent at once is sent when the socket takes it. */
static void
test_waits_to_write(void **state)
{
	long deadline;
	short events;
	int fd;

	(void)state;
	to_querying();
	notifications_wait(n, &fd, &events, &deadline);
	assert_int_equal(events, POLLIN);
	pq.flush = 1;
	notifications_wait(n, &fd, &events, &deadline);
	assert_int_equal(events, POLLIN | POLLOUT);
}

int
main(void)
{
#define T(name)	cmocka_unit_test_setup_teardown(test_##name, begin, end)
	const struct CMUnitTest tests[] = {
		T(begins),
		T(connects_step_by_step),
		T(connection_fails),
		T(breaks_in_every_state),
		T(silence_in_every_state),
		T(notifications_are_no_answer),
		T(refused_in_every_state),
		T(sending_fails),
		T(once),
		T(pooler),
		T(last_result_counts),
		T(heartbeat),
		T(read_only),
		T(listen_refused),
		T(several_hosts),
		T(standby),
		T(standby_is_success),
		T(own_ghost),
		T(another_took_over),
		T(nobody_leads),
		T(notified),
		T(drained_before_sleep),
		T(notified_before_listening),
		T(query),
		T(plan_grows_old),
		T(query_refused),
		T(query_in_new_session),
		T(waits_to_write),
	};
#undef T

	return (cmocka_run_group_tests_name("notifications", tests, NULL,
	    NULL));
}
