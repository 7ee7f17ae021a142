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
#define NUMBER	"+491701234567"

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
	call = (struct voice_agent_call){ .body = "{\"a\":1}",
	    .phone_number = NUMBER, .idempotency_key = "the key",
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
	assert_true(has("\r\n\r\n{\"a\":1}"));
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
	static const char *const wrong[] = { "", "x",
	    "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
	    "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333x-01",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
	    /* NOLINTNEXTLINE(bugprone-suspicious-missing-comma) */
	    TRACE "-" };
	const char *sent;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(wrong); i++) {
		call.traceparent = wrong[i];
		(void)start(ANSWER("200 OK", "0\r\n\r\n"));
		sent = strstr(server->requests[0], "\r\ntraceparent: 00-");
		ASSERT_ROW(sent != NULL && sent[70] == '\r', wrong[i]);
		ASSERT_ROW(!has("0af7651916cd43dd") && !has("0AF765") &&
		    !has("-00000000000000000000000000000000"), wrong[i]);
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

static void
outcomes(void **state)
{
	static const struct {
		const char *answer;
		enum voice_agent_outcome outcome;
		long status;
	} all[] = {
		{ ANSWER("200 OK", "0\r\n\r\n"), VOICE_AGENT_STARTED, 0 },
		{ ANSWER("299 x", "0\r\n\r\n"), VOICE_AGENT_STARTED, 0 },
		{ ANSWER("301 x", "0\r\n\r\n"), VOICE_AGENT_REFUSED, 301 },
		{ ANSWER("400 x", "0\r\n\r\n"), VOICE_AGENT_REFUSED, 400 },
		{ ANSWER("404 x", "0\r\n\r\n"), VOICE_AGENT_REFUSED, 404 },
		{ ANSWER("408 x", "0\r\n\r\n"), VOICE_AGENT_TRANSIENT, 408 },
		{ ANSWER("425 x", "0\r\n\r\n"), VOICE_AGENT_TRANSIENT, 425 },
		{ ANSWER("429 x", "0\r\n\r\n"), VOICE_AGENT_TRANSIENT, 429 },
		{ ANSWER("500 x", "0\r\n\r\n"), VOICE_AGENT_TRANSIENT, 500 },
		{ ANSWER("503 x", "0\r\n\r\n"), VOICE_AGENT_TRANSIENT, 503 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(all); i++) {
		ASSERT_ROW(start(all[i].answer) == all[i].outcome,
		    all[i].answer);
		if (all[i].status == 0)
			continue;
		ASSERT_ROW(error.http_status == all[i].status, all[i].answer);
		ASSERT_ROW(error.unknown == 0, all[i].answer);
		ASSERT_ROW(error.retry_after == -1, all[i].answer);
	}

	/* An answer counts from its status on, even if it is cut off. */
	assert_int_equal(start(ANSWER("200 OK", "99\r\n\r\nhalf")),
	    VOICE_AGENT_STARTED);
	assert_int_equal(start("HTTP/1.1 503 x\r\nRetry-After: 21\r\n"
	    "Content-Length: 0\r\n\r\n"), VOICE_AGENT_TRANSIENT);
	assert_int_equal(error.retry_after, 21);
}

static void
errors_in_words(void **state)
{

	(void)state;
	(void)start(ANSWER("400 x", "33\r\n\r\n\"cannot call\t" NUMBER
	    " today\n\""));
	assert_non_null(strstr(error.text,
	    "the voice agent answered 400: \"cannot call "));
	assert_non_null(strstr(error.text, " today"));
	assert_null(strstr(error.text, &NUMBER[1]));
	assert_null(strpbrk(error.text, "\t\n"));
	call.phone_number = NULL;
	(void)start(ANSWER("400 x", "2\r\n\r\nno"));
	assert_string_equal(error.text, "the voice agent answered 400: no");
}

/* Without an answer nobody knows, unless nothing was sent. */
static void
no_answer(void **state)
{
	struct voice_agent *agent = voice_agent_new(&conf);

	(void)state;
	assert_int_equal(start(""), VOICE_AGENT_TRANSIENT);
	assert_int_equal(error.unknown, 1);
	assert_int_equal(error.http_status, 0);
	assert_int_equal(error.retry_after, -1);
	assert_non_null(strstr(error.text,
	    "the voice agent did not answer: "));

	/* The server of that test is gone. */
	assert_int_equal(voice_agent_start(agent, &call, &error),
	    VOICE_AGENT_TRANSIENT);
	assert_int_equal(error.unknown, 0);
	call.tenant_id = "two\r\nlines";
	assert_int_equal(voice_agent_start(agent, &call, &error),
	    VOICE_AGENT_TRANSIENT);
	assert_int_equal(error.unknown, 0);
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
		TEST(outcomes),
		TEST(errors_in_words),
		TEST(no_answer),
	};

	return (cmocka_run_group_tests(tests, NULL, forget));
}
