#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "event_delivery.h"
#include "webhook_signature.h"

#include "scripted_server.h"
#include "unit.h"

#define SECRET	"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

static char url[128];
static struct config conf = { .events_url = url, .events_secret = SECRET };
static const struct event event = { .webhook_id = "evt_1", .type =
    "followup.x.y", .timestamp = "2026-11-26T13:00:00.000Z",
    .data = "{\"sentence\": \"S.\"}", .attempt = 1 };
static const char body[] = "{\"type\":\"followup.x.y\",\"timestamp\":"
    "\"2026-11-26T13:00:00.000Z\",\"data\":{\"sentence\":\"S.\"}}";

static void
test_check(void **state)
{
	static const struct {
		const char *url, *secret, *why;
	} rows[] = {
		{ NULL, NULL, NULL },
		{ "https://example.com", SECRET, NULL },
		{ "https://example.com", NULL, "SECRET is not set" },
		{ NULL, "whsec_hush", "must be whsec_" },
		{ "https://example.com", "hush", "must be whsec_" },
	};
	struct config c = { 0 };
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		c.events_url = rows[i].url;
		c.events_secret = rows[i].secret;
		why = event_delivery_check(&c);
		if (rows[i].why == NULL) {
			assert_null(why);
			continue;
		}
		assert_non_null(why);
		ASSERT_ROW(strstr(why, rows[i].why) != NULL, why);
		ASSERT_ROW(strstr(why, "hush") == NULL, why);
	}
}

/* The value of the header ${name} in ${request}. */
static void
header(const char *request, const char *name, char *value, size_t len)
{
	const char *p = strstr(request, name);

	assert_non_null(p);
	p += strlen(name) + 2;
	(void)snprintf(value, len, "%.*s", (int)strcspn(p, "\r"), p);
}

static void
test_signed(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPT(
	    "HTTP/1.1 204 No Content\r\n\r\n"));
	struct event_delivery *d;
	struct event_answer answer;
	struct webhook_key key;
	char id[64], at[64], signature[64], want[WEBHOOK_SIGNATURE_LEN];
	const char *sent;

	(void)state;
	(void)scripted_server_url(s, "/events", url, sizeof(url));
	assert_non_null(d = event_delivery_new(&conf));
	event_delivery_send(d, &event, &answer);
	assert_int_equal(answer.outcome, EVENT_DELIVERED);
	assert_int_equal(scripted_server_stop(s), 1);

	sent = s->requests[0];
	assert_int_equal(strncmp(sent, "POST /events ", 13), 0);
	assert_string_equal(strstr(sent, "\r\n\r\n") + 4, body);
	header(sent, "webhook-id", id, sizeof(id));
	header(sent, "webhook-timestamp", at, sizeof(at));
	header(sent, "webhook-signature", signature, sizeof(signature));
	assert_string_equal(id, "evt_1");
	assert_int_equal(webhook_key_parse(SECRET, &key), 0);
	assert_int_equal(webhook_sign(&key, id, at, body, strlen(body), want),
	    0);
	assert_string_equal(signature, want);
	event_delivery_free(d);
	scripted_server_free(s);
}

static void
test_answers(void **state)
{
	static const struct {
		const char *answer;
		enum event_outcome outcome;
		int is_gone;
		long wait;
		const char *error;
	} rows[] = {
		{ "200 OK\r\nContent-Length: 2\r\n\r\nok", EVENT_DELIVERED,
		    0, 0, "" },
		{ "302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
		    EVENT_RETRY, 0, 0, "it answered 302" },
		{ "404 Not Found\r\nContent-Length: 0\r\n\r\n", EVENT_RETRY, 0,
		    0, "it answered 404" },
		{ "410 Gone\r\nContent-Length: 0\r\n\r\n", EVENT_RETRY, 1, 0,
		    "it answered 410" },
		{ "503 Wait\r\nRetry-After: 120\r\nContent-Length: 0\r\n\r\n",
		    EVENT_RETRY, 0, 120, "it answered 503" },
	};
	struct scripted_server *s;
	struct event_delivery *d;
	struct event_answer answer;
	char text[256];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(text, sizeof(text), "HTTP/1.1 %s",
		    rows[i].answer);
		s = scripted_server_start(SCRIPT(text));
		(void)scripted_server_url(s, "/secret-path", url, sizeof(url));
		assert_non_null(d = event_delivery_new(&conf));
		event_delivery_send(d, &event, &answer);
		assert_int_equal(scripted_server_stop(s), 1);
		ASSERT_ROW(answer.outcome == rows[i].outcome, text);
		ASSERT_ROW(answer.is_gone == rows[i].is_gone, text);
		ASSERT_ROW(answer.wait == rows[i].wait, text);
		assert_string_equal(answer.error, rows[i].error);

		/* Nobody is there any more. */
		event_delivery_send(d, &event, &answer);
		ASSERT_ROW(answer.outcome == EVENT_RETRY, text);
		ASSERT_ROW(*answer.error != '\0' &&
		    strstr(answer.error, "secret-path") == NULL, answer.error);
		event_delivery_free(d);
		scripted_server_free(s);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_signed),
		cmocka_unit_test(test_answers),
	};

	return (cmocka_run_group_tests_name("event_delivery", tests, NULL,
	    NULL));
}
