#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "voice_agent.h"
#include "webhook_signature.h"

#include "scripted_server.h"
#include "unit.h"

#define KEY	"whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
#define TRACE	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#define BODY	"{\"a\":1,\"phoneNumber\":\"+49 (170) 123-45 67\"}"

static struct config conf;
static char url[64];
static struct scripted_server *server;
static struct voice_agent_error error;
static struct voice_agent_call call;

static int
begin(void **state)
{

	(void)state;
	conf = (struct config){ .call_url = url, .call_timeout = 5 };
	call = (struct voice_agent_call){ .body = BODY,
	    .idempotency_key = "the key",
	    .message_id = "the-id", .tenant_id = "t1" };
	memset(&error, 0xa5, sizeof(error));
	return (0);
}

/* Start a call and have it answered like that. */
static enum voice_agent_outcome
start(const char *text)
{
	struct voice_agent *agent = voice_agent_new(&conf);
	enum voice_agent_outcome outcome;

	assert_non_null(agent);
	if (server != NULL)
		scripted_server_free(server);
	server = scripted_server_start(SCRIPT(text));
	(void)scripted_server_url(server, "/calls", url, sizeof(url));
	outcome = voice_agent_start(agent, &call, &error);
	(void)scripted_server_stop(server);
	voice_agent_free(agent);
	return (outcome);
}

/* The request has this header. */
static int
has(const char *header)
{

	return (strstr(server->requests[0], header) != NULL);
}

#define ANSWER(status, body)	"HTTP/1.1 " status "\r\n" \
	"Content-Length: " body

static void
request(void **state)
{

	(void)state;
	call.traceparent = TRACE;
	assert_int_equal(start(ANSWER("202 Accepted", "0\r\n\r\n")),
	    VOICE_AGENT_STARTED);
	assert_int_equal(strncmp(server->requests[0],
	    "POST /calls HTTP/1.1\r\n", 22), 0);
	assert_true(has("\r\nContent-Type: application/json\r\n"));
	assert_true(has("\r\nIdempotency-Key: the key\r\n"));
	assert_true(has("\r\nX-Tenant-Id: t1\r\n"));
	assert_true(has("\r\n\r\n" BODY));
	assert_false(has("\r\nAuthorization:"));
	assert_false(has("\r\nwebhook-"));

	/* A span of its own in the callback's trace. */
	assert_true(has("\r\ntraceparent: "
	    "00-0af7651916cd43dd8448eb211c80319c-"));
	assert_false(has("b7ad6b7169203331"));
	assert_true(has("-01\r\n"));

	call.tenant_id = NULL;
	conf.call_token = "the token";
	(void)start(ANSWER("200 OK", "0\r\n\r\n"));
	assert_true(has("\r\nAuthorization: Bearer the token\r\n"));
	assert_false(has("X-Tenant-Id"));
}

/* What is no traceparent begins a trace of its own. */
static void
traces(void **state)
{
	static const char *const wrong[] = { NULL, "", TRACE "-" };
	const char *sent;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(wrong); i++) {
		call.traceparent = wrong[i];
		(void)start(ANSWER("200 OK", "0\r\n\r\n"));
		sent = strstr(server->requests[0], "\r\ntraceparent: 00-");
		ASSERT_ROW(sent != NULL && sent[70] == '\r', wrong[i]);
		ASSERT_ROW(!has("0af7651916cd43dd"), wrong[i]);
	}
}

static void
signature(void **state)
{
	char timestamp[32], wanted[WEBHOOK_SIGNATURE_LEN];
	struct webhook_key key;
	const char *p;

	(void)state;
	conf.call_secret = KEY;
	assert_int_equal(start(ANSWER("200 OK", "0\r\n\r\n")),
	    VOICE_AGENT_STARTED);
	assert_true(has("\r\nwebhook-id: the-id\r\n"));
	assert_non_null(p = strstr(server->requests[0],
	    "\r\nwebhook-timestamp: "));
	(void)snprintf(timestamp, sizeof(timestamp), "%.10s", p + 21);
	assert_int_equal(webhook_key_parse(KEY, &key), 0);
	assert_int_equal(webhook_sign(&key, "the-id", timestamp, call.body,
	    strlen(call.body), wanted), 0);
	assert_true(has(wanted));

	assert_null(voice_agent_check(&conf));
	conf.call_secret = "whsec_short";
	assert_non_null(strstr(voice_agent_check(&conf),
	    "FOLLOWUP_CALL_SECRET"));
	conf.call_secret = NULL;
	assert_null(voice_agent_check(&conf));
}

/* A token, a tenant and a key of any length are sent whole. */
static void
nothing_is_cut_off(void **state)
{
	static char token[4001], tenant[1001], key[1101];
	char *line;

	(void)state;
	memset(token, 't', sizeof(token) - 1);
	memset(tenant, 'n', sizeof(tenant) - 1);
	memset(key, 'k', sizeof(key) - 1);
	conf.call_token = token;
	call.tenant_id = tenant;
	call.idempotency_key = key;
	assert_int_equal(start(ANSWER("200 OK", "0\r\n\r\n")),
	    VOICE_AGENT_STARTED);
	assert_true(asprintf(&line, "\r\nAuthorization: Bearer %s\r\n",
	    token) > 0);
	assert_true(has(line));
	free(line);
	assert_true(asprintf(&line, "\r\nX-Tenant-Id: %s\r\n", tenant) > 0);
	assert_true(has(line));
	free(line);
	assert_true(asprintf(&line, "\r\nIdempotency-Key: %s\r\n", key) > 0);
	assert_true(has(line));
	free(line);
}

/* What each status says; the first row that has it counts. */
static enum voice_agent_outcome
outcome_of(int status)
{
	static const struct {
		int from, to;
		enum voice_agent_outcome outcome;
	} rows[] = {
		{ 100, 199, VOICE_AGENT_UNKNOWN },
		{ 200, 299, VOICE_AGENT_STARTED },
		{ 401, 401, VOICE_AGENT_DENIED },
		{ 403, 403, VOICE_AGENT_DENIED },
		{ 408, 408, VOICE_AGENT_UNKNOWN },
		{ 409, 409, VOICE_AGENT_RUNNING },
		{ 425, 425, VOICE_AGENT_NOT_STARTED },
		{ 429, 429, VOICE_AGENT_NOT_STARTED },
		{ 499, 499, VOICE_AGENT_UNKNOWN },
		{ 503, 503, VOICE_AGENT_NOT_STARTED },
		{ 300, 499, VOICE_AGENT_REFUSED },
		{ 500, 599, VOICE_AGENT_UNKNOWN },
	};
	size_t i;

	for (i = 0; status < rows[i].from || status > rows[i].to; i++)
		assert_true(i + 1 < NITEMS(rows));
	return (rows[i].outcome);
}

static void
statuses(void **state)
{
	enum voice_agent_outcome outcome;
	char text[80];
	int status;

	(void)state;
	for (status = 100; status <= 599; status++) {
		(void)snprintf(text, sizeof(text), "HTTP/1.1 %d x\r\n"
		    "Content-Length: 0\r\n\r\n", status);
		outcome = start(text);
		ASSERT_ROW(outcome == outcome_of(status), text);
		if (outcome == VOICE_AGENT_STARTED)
			continue;
		ASSERT_ROW(error.http_status == (status < 200 ? 0 : status),
		    text);
		ASSERT_ROW(error.retry_after == -1, text);
		ASSERT_ROW((strstr(error.text, "redirects are not followed")
		    != NULL) == (status >= 300 && status <= 399), text);
	}
}

/* Answers that are cut off, too long, or none: what was sent may have begun. */
static void
broken_answers(void **state)
{
	static char long_200[20000], long_500[20000];
	static const struct {
		const char *answer;
		enum voice_agent_outcome outcome;
	} rows[] = {
		{ ANSWER("200 OK", "99\r\n\r\nhalf"), VOICE_AGENT_STARTED },
		{ "HTTP/1.1 200 OK\r\nX-Cut", VOICE_AGENT_STARTED },
		{ "HTTP/1.1 204 No Content\r\n\r\n", VOICE_AGENT_STARTED },
		{ "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz",
		    VOICE_AGENT_STARTED },
		{ "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n"
		    "\r\nHTTP/1.1 202 x\r\n\r\n", VOICE_AGENT_STARTED },
		{ "HTTP/1.1 100 Continue\r\n\r\n", VOICE_AGENT_UNKNOWN },
		{ "HTTP/1.1 20", VOICE_AGENT_UNKNOWN },
		{ "HTTP/1.1 abc\r\n\r\n", VOICE_AGENT_UNKNOWN },
		{ "HTTP/9.9 200 OK\r\n\r\n", VOICE_AGENT_UNKNOWN },
		{ "200 OK", VOICE_AGENT_UNKNOWN },
		{ "", VOICE_AGENT_UNKNOWN },
		{ ANSWER("502 x", "99\r\n\r\nhalf"), VOICE_AGENT_UNKNOWN },
		{ ANSWER("503 x", "99\r\n\r\nhalf"),
		    VOICE_AGENT_NOT_STARTED },
		{ long_200, VOICE_AGENT_STARTED },
		{ long_500, VOICE_AGENT_UNKNOWN },
	};
	size_t i;

	(void)state;
	(void)snprintf(long_200, sizeof(long_200), "%s%09900d",
	    ANSWER("200 x", "9900\r\n\r\n"), 0);
	(void)snprintf(long_500, sizeof(long_500), "%s%09900d",
	    ANSWER("500 x", "9900\r\n\r\n"), 0);
	for (i = 0; i < NITEMS(rows); i++)
		ASSERT_ROW(start(rows[i].answer) == rows[i].outcome,
		    rows[i].answer);

	/* Of a long answer the beginning is quoted. */
	assert_non_null(strstr(error.text, "answered 500: 0000"));
	assert_int_equal(start("HTTP/1.1 503 x\r\nRetry-After: 21\r\n"
	    "Content-Length: 0\r\n\r\n"), VOICE_AGENT_NOT_STARTED);
	assert_int_equal(error.retry_after, 21);
}

static void
errors_in_words(void **state)
{

	(void)state;
	(void)start(ANSWER("400 x", "36\r\n\r\n\"cannot call\t0170/1234567 "
	    "today\177\n\"  "));
	assert_string_equal(error.text, "the voice agent answered 400: "
	    "\"cannot call ************ today  \"  ");

	/* In a body of the deployment's own making, all that looks like one. */
	call.body = "{\"to\":[\"0170 1234567\"],\"c\":{\"n\":"
	    "441632960961},\"id\":12345678901234567890,"
	    "\"day\":\"2026-11-23\"}";
	(void)start(ANSWER("400 x", "42\r\n\r\n491701234567 or 01632 960961 "
	    "on 2026-11-23"));
	assert_string_equal(error.text, "the voice agent answered 400: "
	    "************ or ************ on 2026-11-23");
	call.body = "no JSON";
	(void)start(ANSWER("400 x", "2\r\n\r\nno"));
	assert_string_equal(error.text, "the voice agent answered 400: no");
}

/* An agent that does not like our token or key may quote them. */
static void
secrets_in_words(void **state)
{

	(void)state;
	conf.call_token = "to/ken+1";
	conf.call_secret = KEY;
	(void)start(ANSWER("401 x", "67\r\n\r\nexpected key " KEY
	    ", to\\/ken\\u002b1"));
	assert_string_equal(error.text, "the voice agent answered 401: "
	    "expected key whsec_********************************, "
	    "**************");
	(void)start(ANSWER("500 x", "42\r\n\r\nkey MDEyMzQ1Njc4OTAxMjM0NTY3"
	    "ODkwMTIz, 1234"));
	assert_string_equal(error.text, "the voice agent answered 500: "
	    "key ********************************, 1234");
}

/* Without an answer nobody knows, unless nothing was sent. */
static void
no_answer(void **state)
{
	struct voice_agent *agent = voice_agent_new(&conf);

	(void)state;
	assert_int_equal(start(""), VOICE_AGENT_UNKNOWN);
	assert_int_equal(error.http_status, 0);
	assert_int_equal(error.retry_after, -1);
	assert_non_null(strstr(error.text,
	    "the voice agent did not answer: "));

	assert_false(error.no_connection || error.not_asked);

	/* The server of that test is gone. */
	assert_int_equal(voice_agent_start(agent, &call, &error),
	    VOICE_AGENT_NOT_STARTED);
	assert_true(error.no_connection && !error.not_asked);
	call.tenant_id = "two\r\nlines";
	assert_int_equal(voice_agent_start(agent, &call, &error),
	    VOICE_AGENT_REFUSED);
	assert_true(!error.no_connection && error.not_asked);
	assert_non_null(strstr(error.text, "tenant_id"));
	voice_agent_free(agent);
	voice_agent_free(NULL);
}

static int
forget(void **state)
{

	(void)state;
	scripted_server_free(server);
	return (0);
}

#define TEST(name)	cmocka_unit_test_setup(name, begin)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(request),
		TEST(traces),
		TEST(signature),
		TEST(nothing_is_cut_off),
		TEST(statuses),
		TEST(broken_answers),
		TEST(errors_in_words),
		TEST(secrets_in_words),
		TEST(no_answer),
	};

	return (cmocka_run_group_tests(tests, NULL, forget));
}
