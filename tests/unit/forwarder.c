#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>

#include "backoff.h"
#include "config.h"
#include "forwarder.h"
#include "metrics.h"
#include "monotime.h"

#include "captured_log.h"
#include "scripted_peer.h"
#include "unit.h"

/* What forwarder.h promises, and what is behind it, in numbers. */
#define SLOTS		4
#define BATCH		100
#define BOUND		10000
#define SETTLED		4000
#define RETRY_MS	200
#define RETRY_CAP_MS	30000
#define PROBE_MS	100
#define PROBE_CAP_MS	2000
#define MOST_MS		300000L
#define AWAY_MS		60000L

/* How long a peer on this machine may take, in real milliseconds. */
#define PATIENCE_MS	5000

#define TENANT	"7d9f0e11-5c2b-4a86-8e1d-0f3b6c5a4d21"
#define DONE	"{\"success\":true,\"scheduled\":true,\"taskName\":\"t\"}"
#define OURS	"{\"type\":\"urn:followup-scheduler:unavailable\"," \
		"\"status\":503,\"detail\":\"only this one\"}"
#define NOBODY	"{\"type\":\"urn:followup-scheduler:no-such-booking\"," \
		"\"status\":404,\"detail\":\"no such row\"}"
#define ALL	"{\"type\":\"urn:followup-scheduler:out-of-service\"," \
		"\"status\":503,\"detail\":\"none of them\"}"

static struct config conf;
static char url[64];
static struct forwarder *f;
static long now;
static long waited;		/* timeout of the last curl_multi_poll */
static int backoffs;		/* how often backoff_ms was called */
static int last_attempt;

/* Instead of the library's: without the jitter. */
long
backoff_ms(int attempt, long base, long cap)
{
	long wait = base;

	backoffs++;
	last_attempt = attempt;
	assert_true((base == RETRY_MS && cap == RETRY_CAP_MS) ||
	    (base == PROBE_MS && cap == PROBE_CAP_MS));
	while (--attempt > 0 && wait < cap)
		wait *= 2;
	return (wait < cap ? wait : cap);
}

/* Instead of libcurl's: nobody sleeps in a time that is made up. */
CURLMcode
curl_multi_poll(CURLM *multi, struct curl_waitfd *extra, unsigned int n,
    int timeout, int *ret)
{

	(void)multi;
	(void)extra;
	(void)n;
	(void)ret;
	waited = timeout;
	return (CURLM_OK);
}

static int
begin(void **state)
{

	(void)state;
	captured_log_begin(LOG_DEBUG);
	peer_open();
	(void)snprintf(url, sizeof(url), "http://127.0.0.1:%d/webhook",
	    peer.port);
	memset(&conf, 0, sizeof(conf));
	conf.webhook_url = url;
	conf.listener_inflight = SLOTS;
	now = 1000000;
	backoffs = last_attempt = 0;
	return ((f = forwarder_new(&conf)) != NULL ? 0 : -1);
}

static int
end(void **state)
{

	(void)state;
	forwarder_free(f);
	peer_close();
	captured_log_end();
	return (0);
}

/* Begin anew, within a test. */
static void
again(void **state)
{

	(void)end(state);
	assert_int_equal(begin(state), 0);
}

static const char *
id(int i)
{
	static char ids[4][37];
	static int next;
	char *text = ids[next++ % 4];

	(void)snprintf(text, 37, "00000000-0000-4000-8000-%012d", i);
	return (text);
}

/* The sweep found booking ${i}. */
static enum forwarder_added
found(int i)
{

	return (forwarder_add(f, id(i), TENANT, NULL, now));
}

/* Bookings ${from} to below ${to} were found. */
static void
found_many(int from, int to)
{

	for (; from < to; from++)
		assert_int_equal(found(from), FORWARDER_NEW);
}

static enum forwarder_added
notified(int i, const char *payload)
{

	return (forwarder_add(f, id(i), NULL, payload, now));
}

/* Let requests through until there were ${n} in all. */
static void
asked(int n)
{
	long give_up = monotime_ms() + PATIENCE_MS;

	for (;;) {
		forwarder_step(f, now);
		peer_look();
		if (peer.nasked == n)
			return;
		if (peer.nasked > n || monotime_ms() > give_up)
			fail_msg("%d requests came instead of %d",
			    peer.nasked, n);
	}
}

/* Let answers through until ${n} bookings are in flight. */
static void
in_flight(int n)
{
	long give_up = monotime_ms() + PATIENCE_MS;

	for (;;) {
		forwarder_step(f, now);
		if (forwarder_in_flight(f) == n)
			return;
		if (monotime_ms() > give_up)
			fail_msg("%d bookings are in flight instead of %d",
			    forwarder_in_flight(f), n);
		peer_look();
	}
}

/* Nothing goes out at ${ms} from now, but ${n} bookings a moment later. */
static void
starts_after(long ms, int n)
{

	forwarder_step(f, now);
	assert_int_equal(forwarder_in_flight(f), 0);
	forwarder_wait(f, NULL, 0, now, now + 2 * MOST_MS);
	assert_int_equal(waited, ms);
	now += ms - 1;
	forwarder_step(f, now);
	assert_int_equal(forwarder_in_flight(f), 0);
	now++;
	forwarder_step(f, now);
	assert_int_equal(forwarder_in_flight(f), n);
}

/* How many bookings request ${i} has; those are ${from} and so on. */
static int
batch_of(int i, int from)
{
	json_t *body = json_loads(peer_body(i), JSON_REJECT_DUPLICATES, NULL);
	const json_t *ids = json_object_get(body, "booking_ids");
	size_t n;

	assert_non_null(body);
	assert_int_equal(json_object_size(body), 1);
	for (n = 0; n < json_array_size(ids); n++)
		assert_string_equal(json_string_value(json_array_get(ids, n)),
		    id(from + (int)n));
	json_decref(body);
	return ((int)n);
}

/* Request ${i} is about booking ${booking} alone, by its id. */
static void
is_single(int i, int booking)
{
	char body[128];

	(void)snprintf(body, sizeof(body), "{\"booking_id\":\"%s\"}",
	    id(booking));
	assert_string_equal(peer_body(i), body);
}

/*
 * Answer request ${i}, a batch of bookings from ${from} on, with the members
 * in ${results}, up to a NULL; each gets its bookingId.
 */
static void
answer_batch(int i, int from, const char *const *results)
{
	char body[32768];
	size_t len;

	len = (size_t)snprintf(body, sizeof(body),
	    "{\"success\":true,\"results\":[");
	for (; *results != NULL; results++) {
		len += (size_t)snprintf(&body[len], sizeof(body) - len,
		    "{\"bookingId\":\"%s\",%s%s", id(from++), *results,
		    results[1] != NULL ? "," : "");
		assert_true(len < sizeof(body) - 3);
	}
	(void)snprintf(&body[len], sizeof(body) - len, "]}");
	peer_answer(i, "200 OK", "", body);
}

#define RESULTS(...)	((const char *const []){ __VA_ARGS__, NULL })
#define R_DONE								\
	"\"success\":true,\"scheduled\":true,\"taskName\":\"t\"}"

/* Answer request ${i}, a batch of ${n} from ${from} on: all are scheduled. */
static void
all_done(int i, int from, int n)
{
	const char *results[BATCH + 1];
	int k;

	for (k = 0; k < n; k++)
		results[k] = R_DONE;
	results[n] = NULL;
	answer_batch(i, from, results);
}

static void
done(int i)
{

	peer_answer(i, "200 OK", "", DONE);
}

/* A notification goes at once, alone, as it is. */
static void
test_posted_at_once(void **state)
{

	(void)state;
	assert_int_equal(notified(1, "{\"any\": \"payload\"}"),
	    FORWARDER_NEW);
	assert_int_equal(forwarder_in_flight(f), 1);
	assert_int_equal(notified(2, "{}"), FORWARDER_NEW);
	assert_int_equal(forwarder_in_flight(f), 2);
	asked(2);
	assert_string_equal(peer_body(0), "{\"any\": \"payload\"}");
	assert_non_null(strstr(peer.asked[0].text, "POST /webhook HTTP/1.1"));
	assert_non_null(strstr(peer.asked[0].text,
	    "Content-Type: application/json"));
	assert_null(strstr(peer.asked[0].text, "Authorization"));
	assert_non_null(strstr(peer.asked[0].text,
	    "\r\nPrefer: return=minimal\r\n"));
	done(0);
	done(1);
	in_flight(0);
	assert_int_equal(logged("INFO Successfully scheduled Cloud Task"), 2);

	/* It is over, and has been forgotten. */
	assert_int_equal(notified(1, "{}"), FORWARDER_NEW);
	asked(3);
}

/*
 * Anybody can send a notification that is refused, about any booking: that is
 * no verdict on the booking, which is posted by its id.
 */
static void
test_refused_notification(void **state)
{
	static const char *const refusals[] = { "400 Bad Request",
	    "404 Not Found", "413 Too Large", "422 No" };
	size_t i;

	for (i = 0; i < NITEMS(refusals); i++) {
		conf.sweep_interval = 5;
		assert_int_equal(notified(1, "{\"forged\":1}"),
		    FORWARDER_NEW);
		asked(1);
		assert_int_equal(notified(1, "{\"forged\":1}"),
		    FORWARDER_KNOWN);
		peer_answer(0, refusals[i], "", "{\"detail\":\"no\"}");
		asked(2);
		is_single(1, 1);
		ASSERT_ROW(logged("to what the notification says: no; the "
		    "booking is posted by its id") == 1, refusals[i]);
		ASSERT_ROW(logged("final") == 0, refusals[i]);
		done(1);
		in_flight(0);
		ASSERT_ROW(logged("Successfully scheduled") == 1, refusals[i]);
		ASSERT_ROW(peer.nasked == 2, refusals[i]);
		again(state);
	}

	/* What is answered to our own words is one, until the next hint. */
	conf.sweep_interval = 5;
	assert_int_equal(notified(1, "{\"forged\":1}"), FORWARDER_NEW);
	asked(1);
	peer_answer(0, "400 Bad Request", "", "");
	asked(2);
	peer_answer(1, "400 Bad Request", "", "");
	in_flight(0);
	assert_int_equal(logged("answered 400, which is final"), 1);
	assert_int_equal(found(1), FORWARDER_KNOWN);
}

static void
test_token(void **state)
{

	forwarder_free(f);
	conf.webhook_token = "sesame";
	conf.listener_inflight = 1;
	assert_non_null(f = forwarder_new(&conf));
	found_many(1, 3);
	asked(1);
	assert_non_null(strstr(peer.asked[0].text,
	    "\r\nAuthorization: Bearer sesame\r\n"));

	/* Whoever quotes it in an answer is not quoted with it. */
	answer_batch(0, 1, RESULTS("\"status\":400,\"detail\":"
	    "\"not \\u0073esame\"}", "\"success\":true,\"scheduled\":false,"
	    "\"reason\":\"sesame\"}"));
	in_flight(0);
	assert_int_equal(logged("is final: not ******"), 1);
	assert_int_equal(logged("nothing to schedule: ******"), 1);

	/* One that cannot be sent holds everything up, but loses nothing. */
	again(state);
	forwarder_free(f);
	conf.webhook_token = "two\nlines";
	assert_non_null(f = forwarder_new(&conf));
	found_many(1, 6);
	starts_after(RETRY_CAP_MS, 0);
	assert_int_equal(notified(9, "{}"), FORWARDER_NEW);
	assert_int_equal(found(1), FORWARDER_KNOWN);
	assert_int_equal(forwarder_in_flight(f), 0);
}

/* What has to wait goes by its id, and all connections get their share. */
static void
test_batches(void **state)
{
	int i;

	(void)state;
	found_many(0, 10);
	asked(SLOTS);
	assert_int_equal(forwarder_in_flight(f), 10);
	assert_int_equal(batch_of(0, 0), 3);
	assert_int_equal(batch_of(1, 3), 3);
	assert_int_equal(batch_of(2, 6), 2);
	assert_int_equal(batch_of(3, 8), 2);

	/* A payload is of no use once there is no connection for it. */
	for (i = 10; i < 15; i++)
		assert_int_equal(notified(i, "{\"dropped\":1}"),
		    FORWARDER_NEW);
	assert_int_equal(forwarder_in_flight(f), 10);
	all_done(1, 3, 3);
	asked(SLOTS + 1);
	assert_int_equal(batch_of(4, 10), 5);
	assert_int_equal(logged("Successfully scheduled"), 3);

	/* What waits alone has the form for one. */
	found_many(15, 16);
	all_done(0, 0, 3);
	asked(SLOTS + 2);
	is_single(5, 15);
	done(5);
	in_flight(9);
	assert_int_equal(logged("Successfully scheduled"), 7);
	assert_int_equal(logged("WARNING"), 0);
}

static void
test_largest_batch(void **state)
{
	int i;

	(void)state;
	found_many(0, 1000);
	asked(SLOTS);
	for (i = 0; i < SLOTS; i++)
		assert_int_equal(batch_of(i, i * BATCH), BATCH);
	assert_int_equal(forwarder_in_flight(f), SLOTS * BATCH);
	for (i = 0; i < 10; i++) {
		asked(i < 6 ? i + SLOTS : 10);
		assert_int_equal(batch_of(i, i * BATCH), BATCH);
		all_done(i, i * BATCH, BATCH);
	}
	in_flight(0);
	assert_int_equal(logged("Successfully scheduled"), 1000);
}

/* What a single answer means. */
static void
test_single_answers(void **state)
{
	static const struct {
		const char *status;
		const char *headers;
		const char *body;
		const char *says;
		long again_after;	/* 0: it is over */
	} rows[] = {
		{ "200 OK", "", DONE,
		    "INFO Successfully scheduled Cloud Task booking_id="
		    "00000000-0000-4000-8000-000000000001 tenant_id=" TENANT
		    " task_name=t", 0 },
		{ "200 OK", "", "{\"success\":true,\"scheduled\":false,"
		    "\"reason\":\"executed\"}",
		    "INFO nothing to schedule: executed booking_id=0", 0 },
		{ "200 OK", "", "{\"success\":true}",
		    "INFO nothing to schedule: no reason given", 0 },
		{ "200 OK", "", "{\"success\":false,\"reason\":\"dead\"}",
		    "ERROR given up: dead booking_id=", 0 },
		{ "404 Not Found", "", NOBODY,
		    "answered 404, which is final: no such row", 0 },
		{ "400 Bad Request", "", "",
		    "answered 400, which is final: no detail given", 0 },
		{ "409 Conflict", "", "", "answered 409, which is final", 0 },
		/* Answers that make no sense are no success. */
		{ "200 OK", "", "", "makes no sense", RETRY_MS },
		{ "200 OK", "", "{}", "makes no sense", RETRY_MS },
		{ "200 OK", "", "[]", "makes no sense", RETRY_MS },
		{ "200 OK", "", "{\"success\":1}", "makes no sense",
		    RETRY_MS },
		{ "200 OK", "", "{\"success\":true,\"bookingId\":"
		    "\"00000000-0000-4000-8000-000000000002\"}",
		    "makes no sense", RETRY_MS },
		/* Only this booking has to wait. */
		{ "503 No", "", OURS, "WARNING attempt 1: the webhook "
		    "answered 503: only this one; next in 0.2 s", RETRY_MS },
		{ "429 No", "", "", "answered 429", RETRY_MS },
		{ "503 No", "Retry-After: 7\r\n", OURS, "next in 7.0 s",
		    7000 },
		{ "429 No", "Retry-After: 7\r\n", "", "next in 7.0 s", 7000 },
		{ "503 No", "Retry-After: 0\r\n", OURS, "next in 0.2 s",
		    RETRY_MS },
		{ "503 No", "Retry-After: x\r\n", OURS, "next in 0.2 s",
		    RETRY_MS },
		{ "503 No", "Retry-After: 99999\r\n", OURS,
		    "next in 300.0 s", MOST_MS },
		/* All of them do. */
		{ "503 No", "", ALL, "the webhook does not work: none of them;"
		    " 1 booking waits until it does", PROBE_MS },
		{ "503 No", "Retry-After: 7\r\n", ALL, "does not work", 7000 },
		{ "503 No", "Retry-After: 3600\r\n", ALL, "does not work",
		    AWAY_MS },
		{ "500 No", "", "", "does not work: no detail given",
		    PROBE_MS },
		{ "502 No", "", "<html>", "does not work", PROBE_MS },
		{ "408 No", "", "", "does not work", PROBE_MS },
		/* Whatever is posted is refused. */
		{ "401 Unauthorized", "", "{\"detail\":\"send the token\"}",
		    "ERROR the webhook does not work: it refuses whatever is "
		    "posted (401): send the token; 1 booking waits until it "
		    "does (", PROBE_MS },
		{ "401 Unauthorized", "", "", "; let FOLLOWUP_WEBHOOK_TOKEN "
		    "be the same for followup-listener and "
		    "followup-schedule)", PROBE_MS },
		{ "404 Not Found", "", "<html>", "(404): no detail given; 1 "
		    "booking waits", PROBE_MS },
		{ "404 Not Found", "", "{\"type\":\"urn:followup-scheduler:"
		    "not-found\"}", "; let FOLLOWUP_WEBHOOK_URL and "
		    "FOLLOWUP_WEBHOOK_SOCKET name the webhook)", PROBE_MS },
		{ "403 Forbidden", "", "", "posted (403)", PROBE_MS },
		{ "405 No", "Allow: GET\r\n", "", "posted (405)", PROBE_MS },
		{ "413 Too Large", "", "", "posted (413)", PROBE_MS },
		{ "415 No", "", "", "posted (415)", PROBE_MS },
		{ "302 Found", "Location: /\r\n", "", "posted (302)",
		    PROBE_MS },
		{ "204 No Content", "", "", "posted (204)", PROBE_MS },
	};
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		found_many(1, 2);
		asked(1);
		peer_answer(0, rows[i].status, rows[i].headers, rows[i].body);
		in_flight(0);
		ASSERT_ROW(logged(rows[i].says) == 1, rows[i].says);
		ASSERT_ROW(logged("Z ") == 1, rows[i].says);
		if (rows[i].again_after > 0) {
			ASSERT_ROW(found(1) == FORWARDER_KNOWN ||
			    rows[i].again_after == PROBE_MS, rows[i].says);
			/* The sweep may shorten what was asked for. */
			if (rows[i].again_after > RETRY_MS &&
			    logged("next in") == 1)
				starts_after(RETRY_MS, 1);
			else
				starts_after(rows[i].again_after, 1);
		} else
			ASSERT_ROW(found(1) == FORWARDER_NEW, rows[i].says);
		again(state);
	}
}

/* Retry-After holds where nothing says that the booking has changed. */
static void
test_retry_after_is_kept(void **state)
{
	static const struct {
		const char *header;
		long wait;
	} rows[] = {
		{ "Retry-After: 7\r\n", 7000 },
		{ "Retry-After: 3600\r\n", MOST_MS },
		{ "Retry-After: 99999\r\n", MOST_MS },
		{ "", RETRY_MS },
	};
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		found_many(1, 2);
		asked(1);
		peer_answer(0, "503 No", rows[i].header, OURS);
		in_flight(0);
		starts_after(rows[i].wait, 1);
		again(state);
	}
}

/* What one result of a batch means; the other one is as it should be. */
static void
test_results(void **state)
{
	static const struct {
		const char *result;
		const char *says;
		long again_after;	/* 0: it is over */
	} rows[] = {
		{ R_DONE, "Successfully scheduled Cloud Task booking_id="
		    "00000000-0000-4000-8000-000000000000", 0 },
		{ "\"status\":200,\"success\":true,\"reason\":\"late\"}",
		    "INFO nothing to schedule: late", 0 },
		{ "\"success\":false,\"reason\":\"dead\"}",
		    "ERROR given up: dead", 0 },
		{ "\"status\":404,\"detail\":\"no such row\"}",
		    "answered 404, which is final: no such row", 0 },
		{ "\"status\":400}", "which is final: no detail given", 0 },
		{ "\"x\":1}", "makes no sense", RETRY_MS },
		{ "\"success\":null}", "makes no sense", RETRY_MS },
		{ "\"success\":true,\"status\":\"404\"}", "makes no sense",
		    RETRY_MS },
		{ "\"success\":true,\"status\":404.0}", "makes no sense",
		    RETRY_MS },
		{ "\"success\":true,\"status\":0}", "makes no sense",
		    RETRY_MS },
		{ "\"success\":true,\"status\":600}", "makes no sense",
		    RETRY_MS },
		{ "\"success\":true,\"status\":4294967496}", "makes no sense",
		    RETRY_MS },
		{ "\"status\":503,\"type\":\"urn:followup-scheduler:"
		    "unavailable\",\"detail\":\"busy\"}",
		    "attempt 1: the webhook answered 503: busy; next in 0.2 s",
		    RETRY_MS },
		{ "\"status\":500}", "answered 500", RETRY_MS },
		{ "\"status\":429,\"retryAfter\":7}", "next in 7.0 s", 7000 },
		{ "\"status\":503,\"retryAfter\":7}", "next in 7.0 s", 7000 },
		{ "\"status\":503,\"retryAfter\":7.9}", "next in 7.0 s",
		    7000 },
		{ "\"status\":503,\"retryAfter\":1e300}", "next in 300.0 s",
		    MOST_MS },
		{ "\"status\":503,\"retryAfter\":-5}", "next in 0.2 s",
		    RETRY_MS },
		{ "\"status\":503,\"retryAfter\":\"7\"}", "next in 0.2 s",
		    RETRY_MS },
		{ "\"status\":503,\"retryAfter\":null}", "next in 0.2 s",
		    RETRY_MS },
		{ "\"status\":503,\"type\":\"urn:followup-scheduler:"
		    "out-of-service\",\"detail\":\"breaker\"}",
		    "the webhook does not work: breaker; 1 booking waits",
		    PROBE_MS },
		{ "\"status\":503,\"type\":\"urn:followup-scheduler:"
		    "out-of-service\",\"retryAfter\":9}",
		    "does not work: no detail given", 9000 },
		/* The type says it only together with a status. */
		{ "\"success\":true,\"type\":\"urn:followup-scheduler:"
		    "out-of-service\"}", "nothing to schedule: no reason", 0 },
	};
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		forwarder_free(f);
		conf.listener_inflight = 1;
		assert_non_null(f = forwarder_new(&conf));
		found_many(0, 2);
		asked(1);
		assert_int_equal(batch_of(0, 0), 2);
		answer_batch(0, 0, RESULTS(rows[i].result,
		    "\"success\":true,\"reason\":\"other\"}"));
		in_flight(0);
		ASSERT_ROW(logged(rows[i].says) == 1, rows[i].result);
		ASSERT_ROW(logged("nothing to schedule: other booking_id="
		    "00000000-0000-4000-8000-000000000001 tenant_id=" TENANT)
		    == 1, rows[i].result);
		ASSERT_ROW(logged("Z ") == 2, rows[i].result);
		if (rows[i].again_after > 0)
			starts_after(rows[i].again_after, 1);
		ASSERT_ROW(found(0) == (rows[i].again_after > 0 ?
		    FORWARDER_KNOWN : FORWARDER_NEW), rows[i].result);
		ASSERT_ROW(found(1) == FORWARDER_NEW, rows[i].result);
		again(state);
	}
}

#define ID0	"\"00000000-0000-4000-8000-000000000000\""
#define ID1	"\"00000000-0000-4000-8000-000000000001\""
#define ID2	"\"00000000-0000-4000-8000-000000000002\""
#define RESULT(id)	"{\"bookingId\":" id ",\"success\":true}"

/* Answers whose results do not fit the three bookings that were asked for. */
static void
test_results_that_do_not_fit(void **state)
{
	static const struct {
		const char *body;
		int again;		/* how many are tried again */
	} rows[] = {
		{ "{\"success\":true,\"results\":[" RESULT(ID0) ","
		    RESULT(ID1) "," RESULT(ID2) "]}", 0 },
		{ "", 3 },
		{ "[]", 3 },
		{ "{\"success\":true}", 3 },
		{ "{\"success\":true,\"results\":null}", 3 },
		{ "{\"success\":true,\"results\":{}}", 3 },
		{ "{\"success\":true,\"results\":[]}", 3 },
		/* Too few or too many: none can be trusted. */
		{ "{\"results\":[" RESULT(ID0) "," RESULT(ID1) "]}", 3 },
		{ "{\"results\":[" RESULT(ID0) "," RESULT(ID1) ","
		    RESULT(ID2) "," RESULT(ID2) "]}", 3 },
		/* One twice, one that nobody knows, no objects. */
		{ "{\"results\":[" RESULT(ID0) "," RESULT(ID0) ","
		    RESULT(ID2) "]}", 1 },
		{ "{\"results\":[" RESULT(ID0) "," RESULT("\"x\"") ","
		    RESULT(ID2) "]}", 1 },
		{ "{\"results\":[" RESULT(ID1) "," RESULT(ID0) ","
		    RESULT(ID2) "]}", 2 },
		{ "{\"results\":[null," RESULT(ID1) "," RESULT(ID2) "]}", 1 },
		{ "{\"results\":[{\"success\":true}," RESULT(ID1) ",1]}", 2 },
		{ "{\"results\":[" RESULT("1") "," RESULT("null") ",[]]}",
		    3 },
	};
	size_t i;
	int k, n;

	for (i = 0; i < NITEMS(rows); i++) {
		forwarder_free(f);
		conf.listener_inflight = 1;
		assert_non_null(f = forwarder_new(&conf));
		found_many(0, 3);
		asked(1);
		peer_answer(0, "200 OK", "", rows[i].body);
		in_flight(0);
		ASSERT_ROW(logged("nothing to schedule") == 3 - rows[i].again,
		    rows[i].body);
		ASSERT_ROW(logged("makes no sense") == rows[i].again,
		    rows[i].body);
		if (rows[i].again > 0)
			starts_after(RETRY_MS, rows[i].again);
		for (k = n = 0; k < 3; k++)
			n += found(k) == FORWARDER_KNOWN;
		ASSERT_ROW(n == rows[i].again, rows[i].body);
		again(state);
	}
}

/* A batch that is refused as a whole says nothing about one booking. */
static void
test_refused_batch(void **state)
{
	int i;

	(void)state;
	forwarder_free(f);
	conf.listener_inflight = 1;
	assert_non_null(f = forwarder_new(&conf));
	found_many(0, 3);
	asked(1);
	found_many(3, 6);
	assert_int_equal(notified(1, "{}"), FORWARDER_KNOWN);
	peer_answer(0, "400 Bad Request", "", "{\"detail\":\"booking_id?\"}");
	in_flight(3);
	assert_int_equal(logged("WARNING the webhook answered 400 to 3 "
	    "bookings at once: booking_id?; they are posted one by one"), 1);
	assert_int_equal(logged("final"), 0);

	/* Those that came meanwhile are a batch; those that failed are not. */
	asked(2);
	assert_int_equal(batch_of(1, 3), 3);
	all_done(1, 3, 3);
	for (i = 0; i < 3; i++) {
		asked(3 + i);
		is_single(2 + i, i);
		if (i == 1)
			peer_answer(2 + i, "400 Bad Request", "", "");
		else
			done(2 + i);
		if (i == 0)
			found_many(6, 9);
	}
	asked(6);
	assert_int_equal(batch_of(5, 6), 3);
	all_done(5, 6, 3);
	in_flight(0);
	assert_int_equal(logged("Successfully scheduled"), 8);
	assert_int_equal(logged("answered 400, which is final"), 1);
	assert_int_equal(peer.nasked, 6);
}

/* A batch ends where one that goes alone begins. */
static void
test_batch_ends_at_single(void **state)
{

	(void)state;
	forwarder_free(f);
	conf.listener_inflight = 1;
	assert_non_null(f = forwarder_new(&conf));
	found_many(0, 2);
	asked(1);
	found_many(2, 4);
	peer_answer(0, "413 Too Large", "", "");
	in_flight(2);
	asked(2);
	assert_int_equal(batch_of(1, 2), 2);
}

/* Later, for all of a batch: each waits by itself. */
static void
test_batch_later(void **state)
{

	(void)state;
	forwarder_free(f);
	conf.listener_inflight = 1;
	assert_non_null(f = forwarder_new(&conf));
	found_many(0, 3);
	asked(1);
	peer_answer(0, "429 No", "Retry-After: 3\r\n", "");
	in_flight(0);
	assert_int_equal(logged("next in 3.0 s"), 3);
	starts_after(3000, 3);
}

/* Attempts double the pause up to a bound; a new announcement ends that. */
static void
test_backoff(void **state)
{
	static const long pauses[] = { 200, 400, 800, 1600, 3200, 6400, 12800,
	    25600, 30000, 30000 };
	int i;

	(void)state;
	found_many(1, 2);
	for (i = 0; i < (int)NITEMS(pauses); i++) {
		asked(i + 1);
		peer_answer(i, "503 No", "", OURS);
		in_flight(0);
		assert_int_equal(last_attempt, i + 1);
		starts_after(pauses[i], 1);
	}
	asked(i + 1);
	peer_answer(i, "503 No", "", OURS);
	in_flight(0);
	assert_int_equal(notified(1, "{\"new\":1}"), FORWARDER_KNOWN);
	assert_int_equal(forwarder_in_flight(f), 1);
	asked(i + 2);
	assert_string_equal(peer_body(i + 1), "{\"new\":1}");
	peer_answer(i + 1, "503 No", "", OURS);
	in_flight(0);
	assert_int_equal(last_attempt, 1);
	starts_after(RETRY_MS, 1);
}

/* Pauses end together at the next multiple of 20 ms, in one batch. */
static void
test_pauses_end_together(void **state)
{

	(void)state;
	now += 7;
	found_many(1, 2);
	asked(1);
	peer_answer(0, "503 No", "", OURS);
	in_flight(0);
	now += 6;
	found_many(2, 3);
	asked(2);
	peer_answer(1, "503 No", "", OURS);
	in_flight(0);
	starts_after(207, 2);
}

/* The earliest of several pauses counts, and then the next. */
static void
test_earliest_pause(void **state)
{

	(void)state;
	found_many(1, 4);
	asked(3);
	peer_answer(0, "503 No", "Retry-After: 9\r\n", OURS);
	peer_answer(1, "503 No", "Retry-After: 3\r\n", OURS);
	peer_answer(2, "503 No", "Retry-After: 6\r\n", OURS);
	in_flight(0);
	starts_after(3000, 1);
	asked(4);
	is_single(3, 2);
	done(3);
	in_flight(0);
	starts_after(3000, 1);
	asked(5);
	is_single(4, 3);
	done(4);
	in_flight(0);
	starts_after(3000, 1);
}

/*
 * The sweep passes over those that the service asked to wait for.  One that it
 * finds has changed: what was asked for is void, our own backoff is not.
 */
static void
test_found_while_postponed(void **state)
{

	(void)state;
	found_many(1, 2);
	asked(1);
	peer_answer(0, "503 No", "Retry-After: 9\r\n", OURS);
	in_flight(0);
	assert_int_equal(found(1), FORWARDER_KNOWN);
	assert_int_equal(found(1), FORWARDER_KNOWN);
	starts_after(RETRY_MS, 1);
}

static void
test_announced_in_flight(void **state)
{
	static const struct {
		const char *status;
		const char *body;
	} rows[] = {
		{ "200 OK", DONE },
		{ "404 Not Found", "" },
		{ "503 No", OURS },
		{ "200 OK", "" },
	};
	size_t i;

	for (i = 0; i < NITEMS(rows); i++) {
		assert_int_equal(notified(1, "{}"), FORWARDER_NEW);
		asked(1);

		/* Never twice in flight, and the sweep announces nothing. */
		assert_int_equal(found(1), FORWARDER_KNOWN);
		assert_int_equal(notified(1, "{}"), FORWARDER_KNOWN);
		assert_int_equal(notified(1, "{}"), FORWARDER_KNOWN);
		forwarder_step(f, now);
		assert_int_equal(forwarder_in_flight(f), 1);
		peer_answer(0, rows[i].status, "", rows[i].body);

		/* Once more, at once, and once only. */
		asked(2);
		is_single(1, 1);
		done(1);
		in_flight(0);
		assert_int_equal(notified(1, "{}"), FORWARDER_NEW);
		again(state);
	}

	/* The sweep alone is no reason to post it again. */
	found_many(1, 2);
	asked(1);
	assert_int_equal(found(1), FORWARDER_KNOWN);
	done(0);
	in_flight(0);
	assert_int_equal(found(1), FORWARDER_NEW);
}

/* In a batch it is the same; and while it waits it is posted once. */
static void
test_announced_in_batch(void **state)
{

	(void)state;
	forwarder_free(f);
	conf.listener_inflight = 1;
	assert_non_null(f = forwarder_new(&conf));
	found_many(0, 3);
	asked(1);
	assert_int_equal(notified(1, "{}"), FORWARDER_KNOWN);
	assert_int_equal(notified(7, "{}"), FORWARDER_NEW);
	assert_int_equal(notified(7, "{}"), FORWARDER_KNOWN);
	all_done(0, 0, 3);
	asked(2);
	assert_string_equal(peer_body(1), "{\"booking_ids\":["
	    "\"00000000-0000-4000-8000-000000000007\","
	    "\"00000000-0000-4000-8000-000000000001\"]}");
}

/* The webhook is dead: one booking at a time probes, and not too often. */
static void
test_dead_webhook(void **state)
{
	static const long pauses[] = { 100, 200, 400, 800, 1600, 2000, 2000 };
	size_t i;

	(void)state;
	peer_die();
	found_many(0, 20);
	in_flight(0);
	assert_int_equal(logged("ERROR the webhook does not work: "), 1);
	assert_int_equal(logged("20 bookings wait until it does"), 1);

	/* All that were in flight failed together, which is one failure. */
	assert_int_equal(backoffs, 1);
	for (i = 0; i < NITEMS(pauses); i++) {
		/* A notification now is no reason to try at once. */
		assert_int_equal(notified(100 + (int)i, "{}"), FORWARDER_NEW);
		forwarder_wait(f, NULL, 0, now, now + MOST_MS);
		assert_int_equal(waited, pauses[i]);
		now += pauses[i] - 1;
		forwarder_step(f, now);
		assert_int_equal(backoffs, (int)i + 1);
		now++;
		in_flight(0);
		while (backoffs < (int)i + 2)
			in_flight(0);
		assert_int_equal(last_attempt, (int)i + 2);
	}

	/* It is back: the probe is a single booking, and then all go on. */
	peer_listen();
	now += PROBE_CAP_MS;
	forwarder_step(f, now);
	assert_int_equal(forwarder_in_flight(f), 1);
	asked(1);
	forwarder_step(f, now + MOST_MS);
	assert_int_equal(forwarder_in_flight(f), 1);
	assert_null(strstr(peer_body(0), "booking_ids"));
	done(0);
	asked(1 + SLOTS);
	assert_int_equal(forwarder_in_flight(f), 26);
	assert_int_equal(logged("the webhook does not work"), 1);
	assert_int_equal(logged("INFO the webhook works again; 27 bookings "
	    "are posted now"), 1);
	assert_int_equal(logged("attempt"), 0);
}

/*
 * The webhook wants another token: nothing is settled by that, and one booking
 * at a time probes.
 */
static void
test_refuses_all(void **state)
{
	int i;

	(void)state;
	conf.sweep_interval = 5;
	found_many(0, 3 * SLOTS);
	asked(SLOTS);
	for (i = 0; i < SLOTS; i++)
		peer_answer(i, "401 Unauthorized", "", "");
	in_flight(0);
	for (i = 0; i < 5; i++) {
		now += PROBE_CAP_MS;
		asked(SLOTS + 1 + i);
		assert_int_equal(forwarder_in_flight(f), 1);
		peer_answer(SLOTS + i, "401 Unauthorized", "", "");
		in_flight(0);
	}
	assert_int_equal(logged("ERROR"), 1);
	assert_int_equal(logged("final"), 0);
	assert_int_equal(logged("one by one"), 0);
	assert_int_equal(found(0), FORWARDER_KNOWN);

	/* That it is away is no news; that it refuses all then is. */
	now += PROBE_CAP_MS;
	asked(SLOTS + 6);
	peer_answer(SLOTS + 5, "502 No", "", "");
	in_flight(0);
	assert_int_equal(logged("ERROR"), 1);
	now += PROBE_CAP_MS;
	asked(SLOTS + 7);
	peer_answer(SLOTS + 6, "404 Not Found", "", "");
	in_flight(0);
	assert_int_equal(logged("ERROR"), 2);

	now += PROBE_CAP_MS;
	asked(SLOTS + 8);
	done(SLOTS + 7);
	asked(SLOTS + 8 + SLOTS);
	assert_int_equal(logged("INFO the webhook works again"), 1);
	assert_int_equal(forwarder_in_flight(f), 3 * SLOTS - 1);
}

/* The status by which all is refused, as other programs read it in ${dir}. */
static long
refusal(const char *dir)
{
	struct metrics_snapshot *s = metrics_read(dir, CONFIG_LISTENER);
	long status = -1;

	assert_non_null(s);
	assert_int_equal(metrics_value(s, METRICS_POSTS_REFUSAL, 0, &status),
	    0);
	metrics_snapshot_free(s);
	return (status);
}

/* What /readyz reads. */
static void
test_refusal_is_told(void **state)
{
	static const struct {
		const char *status;
		const char *body;
		long told;
	} rows[] = {
		{ "401 Unauthorized", "", 401 },
		{ "502 No", "", 0 },
		{ "404 Not Found", "", 404 },
		{ "200 OK", DONE, 0 },
		{ "404 Not Found", NOBODY, 0 },
	};
	char dir[] = "/tmp/followup-forwarder.XXXXXX", path[64];
	int i;

	(void)state;
	assert_non_null(mkdtemp(dir));
	assert_int_equal(metrics_init(dir, CONFIG_LISTENER), 0);
	for (i = 0; i < (int)NITEMS(rows); i++) {
		(void)found(1);
		now += PROBE_CAP_MS;
		asked(i + 1);
		peer_answer(i, rows[i].status, "", rows[i].body);
		in_flight(0);
		ASSERT_ROW(refusal(dir) == rows[i].told, rows[i].status);
	}
	metrics_end();
	(void)snprintf(path, sizeof(path), "%s/listener.metrics", dir);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(dir), 0);
}

/* Each probe is another booking: one that breaks it stops nobody. */
static void
test_probes_take_turns(void **state)
{
	int i;

	(void)state;
	found_many(0, 3);
	asked(3);
	for (i = 0; i < 3; i++)
		peer_abort(i);
	in_flight(0);
	for (i = 0; i < 6; i++) {
		now += PROBE_CAP_MS;
		asked(4 + i);
		assert_int_equal(forwarder_in_flight(f), 1);
		peer_abort(3 + i);
		in_flight(0);
	}
	for (i = 0; i < 6; i++)
		assert_int_equal(strcmp(peer_body(3 + i),
		    peer_body(3 + (i + 3) % 6)), 0);
	assert_int_not_equal(strcmp(peer_body(3), peer_body(4)), 0);
	assert_int_not_equal(strcmp(peer_body(4), peer_body(5)), 0);
}

/*
 * What was in flight before the webhook failed proves nothing when it is
 * answered, and does not keep the probe from being sent.
 */
static void
test_only_the_probe_counts(void **state)
{

	(void)state;
	found_many(0, 4);
	asked(SLOTS);
	found_many(4, 6);
	peer_answer(0, "503 No", "Retry-After: 5\r\n", ALL);
	in_flight(3);
	assert_int_equal(logged("does not work"), 1);

	/* These were sent before: a success and another failure. */
	done(1);
	in_flight(2);
	peer_answer(2, "503 No", "Retry-After: 9\r\n", ALL);
	in_flight(1);
	assert_int_equal(backoffs, 1);
	assert_int_equal(logged("works again"), 0);

	/* The longest of what was asked for counts; one is still hanging. */
	forwarder_wait(f, NULL, 0, now, now + MOST_MS);
	assert_int_equal(waited, 9000);
	now += 8999;
	forwarder_step(f, now);
	assert_int_equal(forwarder_in_flight(f), 1);
	now++;
	asked(SLOTS + 1);
	is_single(SLOTS, 4);
	assert_int_equal(forwarder_in_flight(f), 2);
	done(SLOTS);
	asked(SLOTS + 4);
	assert_int_equal(logged("works again"), 1);
}

/* An answer without bounds is none. */
static void
test_answer_too_long(void **state)
{

	(void)state;
	found_many(1, 2);
	asked(1);
	scripted_write(peer.connections[peer.asked[0].connection].fd,
	    "HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\n");
	in_flight(0);
	assert_int_equal(logged("does not work: the answer is longer"), 1);
	starts_after(PROBE_MS, 1);
}

static void
test_stopped(void **state)
{

	(void)state;
	found_many(0, 9);
	asked(SLOTS);
	found_many(9, 12);
	forwarder_stop(f);
	all_done(0, 0, 3);
	in_flight(6);
	assert_int_equal(notified(20, "{}"), FORWARDER_NEW);
	forwarder_step(f, now);
	assert_int_equal(forwarder_in_flight(f), 6);
	forwarder_wait(f, NULL, 0, now, now + 5000);
	assert_int_equal(waited, 5000);
	forwarder_wait(f, NULL, 0, now, now - 5000);
	assert_int_equal(waited, 0);
}

/* Memory is bounded, and what does not fit is said so. */
static void
test_bounds(void **state)
{
	int i;

	forwarder_stop(f);
	found_many(0, BATCH);
	assert_false(forwarder_is_filled(f));
	found_many(BATCH, BATCH + 1);
	assert_true(forwarder_is_filled(f));

	/* The sweep reads little ahead of what is posted. */
	found_many(BATCH + 1, 3 * FORWARDER_PAGE - 1);
	assert_true(forwarder_has_room(f));
	found_many(3 * FORWARDER_PAGE - 1, 3 * FORWARDER_PAGE);
	assert_false(forwarder_has_room(f));
	found_many(3 * FORWARDER_PAGE, BOUND);
	assert_int_equal(found(BOUND), FORWARDER_FULL);
	assert_int_equal(notified(BOUND, "{}"), FORWARDER_FULL);
	assert_int_equal(notified(0, "{}"), FORWARDER_KNOWN);

	/*
	 * What is postponed takes room, too, but is in nobody's way: here it
	 * cannot be sent.
	 */
	again(state);
	forwarder_free(f);
	conf.webhook_token = "two\nlines";
	assert_non_null(f = forwarder_new(&conf));
	for (i = 0; i < BOUND; i += FORWARDER_PAGE) {
		assert_true(forwarder_has_room(f));
		found_many(i, i + FORWARDER_PAGE);
		forwarder_step(f, now);
	}
	assert_false(forwarder_is_filled(f));
	assert_true(forwarder_has_room(f));
	assert_int_equal(found(0), FORWARDER_KNOWN);
	assert_false(forwarder_has_forgotten(f, now - 1));
	assert_int_equal(found(BOUND), FORWARDER_NEW);
	assert_true(forwarder_has_forgotten(f, now - 1));
	assert_int_equal(found(1), FORWARDER_KNOWN);
	assert_int_equal(notified(0, "{}"), FORWARDER_NEW);
	assert_int_equal(found(1), FORWARDER_NEW);
}

/*
 * A page of the sweep that was asked for before a booking was settled may
 * still have it.
 */
static void
test_settled_while_sweeping(void **state)
{

	(void)state;
	found_many(1, 5);
	asked(4);
	done(0);
	in_flight(3);
	forwarder_remember(f, 1, now);
	done(1);
	done(2);
	in_flight(1);
	assert_int_equal(found(1), FORWARDER_NEW);
	assert_int_equal(found(2), FORWARDER_SETTLED);
	assert_int_equal(found(2), FORWARDER_SETTLED);

	/* An announcement is news, whatever was settled. */
	assert_int_equal(notified(3, "{}"), FORWARDER_NEW);
	assert_int_equal(found(3), FORWARDER_KNOWN);
	asked(6);

	/* The page is there: all is as before. */
	forwarder_remember(f, 0, now);
	assert_int_equal(found(2), FORWARDER_NEW);
	done(3);
	in_flight(3);
	assert_int_equal(found(4), FORWARDER_NEW);
}

/* Nor does that take more memory than a bound. */
static void
test_settled_is_bounded(void **state)
{
	int i, n = SETTLED + 2 * BATCH;

	(void)state;
	forwarder_free(f);
	conf.listener_inflight = 1;
	assert_non_null(f = forwarder_new(&conf));
	forwarder_remember(f, 1, now);
	found_many(0, n);
	for (i = 0; i < n / BATCH; i++) {
		asked(i + 1);
		all_done(i, i * BATCH, BATCH);
	}
	in_flight(0);
	assert_int_equal(found(SETTLED - 1), FORWARDER_SETTLED);
	assert_int_equal(found(SETTLED), FORWARDER_NEW);
}

/* Refusals are remembered up to the same bound; the sweep is told of more. */
static void
test_refused_beyond_bound(void **state)
{
	const char *results[BATCH + 1];
	int i;

	(void)state;
	conf.sweep_interval = 5;
	forwarder_free(f);
	conf.listener_inflight = 1;
	assert_non_null(f = forwarder_new(&conf));
	for (i = 0; i < BATCH; i++)
		results[i] = "\"status\":404}";
	results[BATCH] = NULL;
	found_many(0, SETTLED + 2 * BATCH);
	for (i = 0; i <= SETTLED / BATCH; i++) {
		asked(i + 1);
		assert_false(forwarder_has_forgotten(f, now - 1));
		answer_batch(i, i * BATCH, results);
	}
	asked(i + 1);
	assert_true(forwarder_has_forgotten(f, now - 1));
	assert_false(forwarder_has_forgotten(f, now));
	assert_int_equal(found(SETTLED - 1), FORWARDER_KNOWN);
	assert_int_equal(found(SETTLED), FORWARDER_NEW);

	/* What was scheduled is no refusal. */
	now++;
	all_done(i, i * BATCH, BATCH);
	asked(i + 2);
	assert_false(forwarder_has_forgotten(f, now - 1));
}

/*
 * A booking that is refused is found again by every sweep: it is posted once
 * an interval, unless somebody says that it has changed.
 */
static void
test_refused(void **state)
{

	(void)state;
	conf.sweep_interval = 5;
	found_many(1, 3);
	asked(2);
	peer_answer(0, "404 Not Found", "", NOBODY);
	done(1);
	in_flight(0);
	forwarder_remember(f, 1, now);
	assert_int_equal(found(1), FORWARDER_KNOWN);
	assert_int_equal(found(2), FORWARDER_NEW);
	forwarder_remember(f, 0, now);
	now += 4999;
	forwarder_remember(f, 0, now);
	assert_int_equal(found(1), FORWARDER_KNOWN);
	now++;
	assert_int_equal(found(1), FORWARDER_SETTLED);
	forwarder_remember(f, 0, now);
	assert_int_equal(found(1), FORWARDER_NEW);
	asked(4);
	peer_answer(2, "200 OK", "", DONE);
	peer_answer(3, "404 Not Found", "", NOBODY);
	in_flight(0);
	assert_int_equal(found(1), FORWARDER_KNOWN);
	assert_int_equal(notified(1, "{}"), FORWARDER_NEW);
	assert_int_equal(forwarder_in_flight(f), 1);
}

int
main(void)
{
#define T(name)	cmocka_unit_test_setup_teardown(test_##name, begin, end)
	const struct CMUnitTest tests[] = {
		T(posted_at_once),
		T(refused_notification),
		T(token),
		T(batches),
		T(largest_batch),
		T(single_answers),
		T(retry_after_is_kept),
		T(results),
		T(results_that_do_not_fit),
		T(refused_batch),
		T(batch_ends_at_single),
		T(batch_later),
		T(backoff),
		T(pauses_end_together),
		T(earliest_pause),
		T(found_while_postponed),
		T(announced_in_flight),
		T(announced_in_batch),
		T(dead_webhook),
		T(refuses_all),
		T(refusal_is_told),
		T(probes_take_turns),
		T(only_the_probe_counts),
		T(answer_too_long),
		T(stopped),
		T(bounds),
		T(settled_while_sweeping),
		T(settled_is_bounded),
		T(refused_beyond_bound),
		T(refused),
	};
#undef T

	return (cmocka_run_group_tests_name("forwarder", tests, NULL, NULL));
}
