#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http.h"
#include "secret.h"
#include "token_request.h"

#include "scripted_server.h"
#include "unit.h"

/* The longest answer that is taken. */
#define MAX_ANSWER	65536

#define ANSWER(head, body) \
    "HTTP/1.1 " head "\r\nConnection: close\r\n\r\n" body
#define OK(body)	ANSWER("200 OK", body)

static struct http *http;
static char why[256];

static int
setup(void **state)
{

	(void)state;
	return ((http = http_new(NULL)) != NULL ? 0 : -1);
}

static int
teardown(void **state)
{

	(void)state;
	http_free(http);
	return (0);
}

/* Ask ${s} for a token; the answer as JSON, or NULL and ${why}. */
static json_t *
perform(const struct scripted_server *s)
{
	static const char *const headers[] = { "X-Test: 1", NULL };
	char url[64];
	struct http_request request = { .method = "POST",
	    .headers = headers, .body = "a=b", .body_len = 3 };

	why[0] = '\0';
	request.url = scripted_server_url(s, "/token", url, sizeof(url));
	return (token_request_perform(http, &request, "token endpoint", why,
	    sizeof(why)));
}

/* After a failure: one line that says ${says}; nothing of an answer stays. */
static void
check_failure(const char *says, const char *name)
{

	ASSERT_ROW(strstr(why, says) != NULL, name);
	ASSERT_ROW(strstr(why, "the token endpoint") == why, name);
	ASSERT_ROW(strchr(why, '\n') == NULL, name);
	ASSERT_ROW(strstr(why, "s3cr3t") == NULL, name);
	ASSERT_ROW(http_body_len(http) == 0, name);
}

/* What may pass is tried three times in all, with the same request. */
static void
test_tried_again(void **state)
{
	static const struct {
		const char *answer;
		const char *says;
	} rows[] = {
		{ ANSWER("408 Request Timeout", "s3cr3t"), "status 408" },
		{ ANSWER("429 Too Many Requests", ""), "status 429" },
		{ ANSWER("500 Internal Server Error", ""), "status 500" },
		{ ANSWER("502 Bad Gateway", "<html>"), "status 502" },
		{ ANSWER("503 Unavailable\r\nRetry-After: 1", ""),
		    "status 503" },
		{ ANSWER("504 Gateway Timeout", ""), "status 504" },
		{ ANSWER("599 Other", "{}"), "status 599" },
		{ "", "did not answer" },
		{ "HTTP/1.1 200 OK\r\nX: ", "did not answer" },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"s3cr3t",
		    "did not answer" },
		{ "SSH-2.0-OpenSSH_9.2\r\n", "did not answer" },
	};
	struct scripted_server *s;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		s = scripted_server_start(SCRIPT(rows[i].answer,
		    rows[i].answer, rows[i].answer, (OK("{\"a\":1}"))));
		ASSERT_ROW(perform(s) == NULL, rows[i].answer);
		ASSERT_ROW(scripted_server_stop(s) == 3, rows[i].answer);
		check_failure(rows[i].says, rows[i].answer);
		assert_string_equal(s->requests[0], s->requests[1]);
		assert_string_equal(s->requests[0], s->requests[2]);
		assert_non_null(strstr(s->requests[0], "\r\nX-Test: 1\r\n"));
		assert_non_null(strstr(s->requests[0], "\r\n\r\na=b"));
		scripted_server_free(s);
	}
}

/* Once it succeeds, that is the answer. */
static void
test_passed(void **state)
{
	static const char *const scripts[][4] = {
		{ OK("{\"a\":1}"), OK("{}") },
		{ ANSWER("503 No", ""), OK("{\"a\":1}"), OK("{}") },
		{ "", OK("{\"a\":1}"), OK("{}") },
		{ ANSWER("429 No", ""), ANSWER("408 No", ""),
		    OK("{\"a\":1}") },
		{ ANSWER("500 No", "{\"a\":2}"), "", OK("{\"a\":1}") },
	};
	static const int requests[] = { 1, 2, 2, 3, 3 };
	struct scripted_server *s;
	json_t *answer;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(scripts); i++) {
		s = scripted_server_start(scripts[i]);
		answer = perform(s);
		assert_non_null(answer);
		assert_int_equal(json_integer_value(json_object_get(answer,
		    "a")), 1);
		json_decref(answer);
		assert_int_equal(http_body_len(http), 0);
		assert_int_equal(scripted_server_stop(s), requests[i]);
		scripted_server_free(s);
	}
}

/* What will not pass is not tried again; only 200 is success. */
static void
test_final(void **state)
{
	static const struct {
		const char *answer;
		const char *says;
	} rows[] = {
		{ ANSWER("400 Bad Request", "{\"error\":\"s3cr3t\"}"),
		    "status 400" },
		{ ANSWER("400 Bad Request", "{\"error\":\"invalid_grant\","
		    "\"error_description\":\"s3cr3t\"}"),
		    "status 400, invalid_grant" },
		{ ANSWER("403 Forbidden", "{\"error\":{\"code\":403,"
		    "\"message\":\"s3cr3t\",\"status\":"
		    "\"PERMISSION_DENIED\"}}"),
		    "status 403, PERMISSION_DENIED" },
		{ ANSWER("401 Unauthorized", ""), "status 401" },
		{ ANSWER("403 Forbidden", ""), "status 403" },
		{ ANSWER("404 Not Found", ""), "status 404" },
		{ ANSWER("407 Proxy Authentication Required", ""),
		    "status 407" },
		{ ANSWER("409 Conflict", ""), "status 409" },
		{ ANSWER("425 Too Early", ""), "status 425" },
		{ ANSWER("201 Created", "{\"a\":1}"), "status 201" },
		{ ANSWER("204 No Content", ""), "status 204" },
		{ ANSWER("301 Moved\r\nLocation: /other", "{\"a\":1}"),
		    "status 301" },
		{ ANSWER("307 Moved\r\nLocation: /other", "{\"a\":1}"),
		    "status 307" },
	};
	struct scripted_server *s;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		s = scripted_server_start(SCRIPT(rows[i].answer,
		    OK("{\"a\":1}")));
		ASSERT_ROW(perform(s) == NULL, rows[i].answer);
		ASSERT_ROW(scripted_server_stop(s) == 1, rows[i].answer);
		check_failure(rows[i].says, rows[i].answer);
		scripted_server_free(s);
	}
}

/* Nobody listens, and a header that must not be sent. */
static void
test_not_sent(void **state)
{
	static const char *const split[] = { "X-A: b\r\nX-Injected: 1", NULL };
	struct scripted_server *s = scripted_server_start(SCRIPT(OK("{}")));
	char url[64];
	struct http_request request = { .method = "GET", .headers = split,
	    .url = scripted_server_url(s, "/", url, sizeof(url)) };

	(void)state;
	assert_int_equal(token_request_send(http, &request, "token endpoint",
	    why, sizeof(why)), -1);
	check_failure("could not be prepared", "split header");
	assert_int_equal(scripted_server_stop(s), 0);
	assert_null(perform(s));
	check_failure("did not answer", "nobody listens");
	scripted_server_free(s);
}

/* Answers of status 200 that are no JSON object. */
static void
test_malformed(void **state)
{
	static const char *const rows[] = {
		OK(""), OK(" "), OK("<html>"), OK("s3cr3t"), OK("\"s3cr3t\""),
		OK("[]"), OK("[{\"a\":1}]"), OK("null"), OK("1"),
		OK("{\"a\":1"), OK("{\"a\":1}}"), OK("{\"a\":1} x"),
		OK("{\"a\":1,\"a\":2}"), OK("{\"b\":{\"a\":1,\"a\":2}}"),
		OK("{\"a\":\"\\u0000\"}"), OK("{\"a\":\"\xff\"}"),
		OK("{\"a\":1e999}"), OK("{'a':1}"),
		OK("\xef\xbb\xbf{\"a\":1}"),
	};
	struct scripted_server *s;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		s = scripted_server_start(SCRIPT(rows[i], OK("{}")));
		ASSERT_ROW(perform(s) == NULL, rows[i]);
		check_failure("did not answer with a JSON object", rows[i]);
		ASSERT_ROW(scripted_server_stop(s) == 1, rows[i]);
		scripted_server_free(s);
	}
}

/* An answer may be so long, and no longer. */
static void
test_long_answer(void **state)
{
	static const char head[] = OK("{\"a\":1}");
	char *text = malloc(sizeof(head) + MAX_ANSWER + 1);
	struct scripted_server *s;
	json_t *answer;
	size_t len = strlen(head) - strlen("{\"a\":1}");

	(void)state;
	assert_non_null(text);
	memset(text, ' ', sizeof(head) + MAX_ANSWER);
	memcpy(text, head, strlen(head));
	text[len + MAX_ANSWER] = '\0';
	s = scripted_server_start(SCRIPT(text));
	assert_non_null(answer = perform(s));
	json_decref(answer);
	(void)scripted_server_stop(s);
	scripted_server_free(s);

	text[len + MAX_ANSWER] = ' ';
	text[len + MAX_ANSWER + 1] = '\0';
	s = scripted_server_start(SCRIPT(text, text, text));
	assert_null(perform(s));
	check_failure("longer than 65536 bytes", "long answer");
	(void)scripted_server_stop(s);
	scripted_server_free(s);
	free(text);
}

/* A small buffer gets the beginning of the line. */
static void
test_small_why(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPT(
	    ANSWER("400 No", "")));
	char url[64], small[8] = "1234567";
	struct http_request request = { .method = "GET",
	    .url = scripted_server_url(s, "/", url, sizeof(url)) };

	(void)state;
	assert_int_equal(token_request_send(http, &request, "one", small,
	    sizeof(small)), -1);
	assert_string_equal(small, "the one");
	(void)scripted_server_stop(s);
	scripted_server_free(s);
}

static void
test_form(void **state)
{
	static const struct {
		const char *value;
		const char *encoded;
	} rows[] = {
		{ "", "" },
		{ "azAZ09-._~", "azAZ09-._~" },
		{ "a b", "a%20b" },
		{ "a+b", "a%2Bb" },
		{ "a&b=c", "a%26b%3Dc" },
		{ "100%", "100%25" },
		{ "%41", "%2541" },
		{ "urn:ietf:params", "urn%3Aietf%3Aparams" },
		{ "https://a/?b#c", "https%3A%2F%2Fa%2F%3Fb%23c" },
		{ "\xc3\xa9\xff", "%C3%A9%FF" },
		{ "a\r\nb\x01", "a%0D%0Ab%01" },
		{ "\"'<>;,@!*()", "%22%27%3C%3E%3B%2C%40%21%2A%28%29" },
	};
	struct token_form form;
	const char *text;
	char want[256];
	size_t i, len;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		token_form_begin(&form);
		token_form_add(&form, "first", rows[i].value);
		token_form_add(&form, "second", rows[i].value);
		assert_int_equal(token_form_end(&form, &text, &len), 0);
		(void)snprintf(want, sizeof(want), "first=%s&second=%s",
		    rows[i].encoded, rows[i].encoded);
		assert_string_equal(text, want);
		assert_int_equal(len, strlen(want));
		token_form_free(&form);
	}

	/* Nothing added; and given up before its end. */
	token_form_begin(&form);
	assert_int_equal(token_form_end(&form, &text, &len), 0);
	assert_int_equal(len, 0);
	token_form_free(&form);
	token_form_begin(&form);
	token_form_add(&form, "a", "b");
	token_form_free(&form);
}

static void
test_headers(void **state)
{
	static const struct {
		const char *object;
		int n;		/* -1: refused */
	} rows[] = {
		{ "{}", 0 },
		{ "{\"A\":\"b\"}", 1 },
		{ "{\"A\":\"\"}", 1 },
		{ "{\"1\":\"\",\"2\":\"\",\"3\":\"\",\"4\":\"\",\"5\":\"\","
		    "\"6\":\"\",\"7\":\"\",\"8\":\"\"}", 8 },
		{ "{\"1\":\"\",\"2\":\"\",\"3\":\"\",\"4\":\"\",\"5\":\"\","
		    "\"6\":\"\",\"7\":\"\",\"8\":\"\",\"9\":\"\"}", -1 },
		{ "[]", -1 },
		{ "[\"A: b\"]", -1 },
		{ "\"A: b\"", -1 },
		{ "null", -1 },
		{ "{\"A\":1}", -1 },
		{ "{\"A\":null}", -1 },
		{ "{\"A\":\"b\",\"C\":[\"d\"]}", -1 },
	};
	struct token_headers headers;
	json_t *object;
	size_t i;
	int rc;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		object = json_loads(rows[i].object, JSON_DECODE_ANY, NULL);
		assert_non_null(object);
		memset(&headers, 'x', sizeof(headers));
		rc = token_headers_from(&headers, object);
		ASSERT_ROW(rc == (rows[i].n < 0 ? -1 : 0), rows[i].object);
		ASSERT_ROW(rc != 0 || headers.n == (size_t)rows[i].n,
		    rows[i].object);
		ASSERT_ROW(rc != 0 || headers.list[headers.n] == NULL,
		    rows[i].object);
		token_headers_free(&headers);
		json_decref(object);
	}
	assert_int_equal(token_headers_from(&headers, NULL), 0);
	assert_null(headers.list[0]);
	token_headers_free(&headers);

	object = json_pack("{s:s, s:s}", "Metadata", "True", "X-Key", "a: b");
	assert_int_equal(token_headers_from(&headers, object), 0);
	assert_string_equal(headers.list[0], "Metadata: True");
	assert_string_equal(headers.list[1], "X-Key: a: b");
	token_headers_free(&headers);
	json_decref(object);
}

static void
test_basic(void **state)
{
	static const struct {
		const char *id;
		const char *secret;
		const char *line;
	} rows[] = {
		/* RFC 7617, section 2 and 2.1. */
		{ "Aladdin", "open sesame",
		    "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==" },
		{ "test", "123\xc2\xa3",
		    "Authorization: Basic dGVzdDoxMjPCow==" },
		{ "", "", "Authorization: Basic Og==" },
		/* Bytes for which the two alphabets differ. */
		{ "\xfb\xff", "\xff", "Authorization: Basic +/86/w==" },
	};
	char *line;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		line = token_basic_authorization(rows[i].id, rows[i].secret);
		assert_non_null(line);
		assert_string_equal(line, rows[i].line);
		secret_free(line, strlen(line));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_tried_again),
		cmocka_unit_test(test_passed),
		cmocka_unit_test(test_final),
		cmocka_unit_test(test_not_sent),
		cmocka_unit_test(test_malformed),
		cmocka_unit_test(test_long_answer),
		cmocka_unit_test(test_small_why),
		cmocka_unit_test(test_form),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_basic),
	};

	return (cmocka_run_group_tests_name("token_request", tests, setup,
	    teardown));
}
