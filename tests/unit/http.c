#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "http.h"
#include "version.h"

#include "scripted_server.h"
#include "unit.h"

#define OK	"HTTP/1.1 200 OK\r\nConnection: close\r\n"

static struct http *http;

static int
setup(void **state)
{

	(void)state;
	http = http_new(NULL);
	return (http != NULL ? 0 : -1);
}

static int
teardown(void **state)
{

	(void)state;
	http_free(http);
	http_free(NULL);
	return (0);
}

/* Perform ${request} at ${path} of the server. */
static int
perform(struct scripted_server *s, const char *path,
    struct http_request request)
{
	char url[128];
	int rc;

	request.url = scripted_server_url(s, path, url, sizeof(url));
	if (request.method == NULL)
		request.method = "GET";
	if (request.timeout_ms == 0)
		request.timeout_ms = 5000;
	if (request.max_response == 0)
		request.max_response = 64;
	assert_int_equal(http_prepare(http, &request), 0);
	rc = http_perform(http);
	return (rc);
}

/* Likewise, of a server that gives this one answer. */
static int
ask(const char *answer, struct http_request request)
{
	struct scripted_server *s = scripted_server_start(SCRIPT(answer));
	int rc = perform(s, "/", request);

	(void)scripted_server_stop(s);
	scripted_server_free(s);
	return (rc);
}

static const struct http_request plain;

static void
test_get(void **state)
{
	const char *headers[] = { "X-One: 1", "X-Two: zwei", NULL };
	struct http_request request = { .headers = headers };
	struct scripted_server *s = scripted_server_start(SCRIPT(
	    OK "Content-Length: 2\r\n\r\nhi"));

	(void)state;
	assert_int_equal(perform(s, "/path?q=1", request), 0);
	assert_int_equal(http_status(http), 200);
	assert_string_equal(http_body(http), "hi");
	assert_int_equal(http_body_len(http), 2);

	assert_int_equal(scripted_server_stop(s), 1);
	assert_memory_equal(s->requests[0], "GET /path?q=1 HTTP/1.1\r\n", 24);
	assert_non_null(strstr(s->requests[0], "\r\nX-One: 1\r\n"));
	assert_non_null(strstr(s->requests[0], "\r\nX-Two: zwei\r\n"));
	assert_non_null(strstr(s->requests[0],
	    "\r\nUser-Agent: followup-scheduler/" FOLLOWUP_VERSION "\r\n"));
	scripted_server_free(s);
}

/* One handle, one method after the other: nothing of the last one stays. */
static void
test_methods(void **state)
{
	static const char empty[] = OK "Content-Length: 0\r\n\r\n";
	struct scripted_server *s = scripted_server_start(SCRIPT(
	    empty, empty, empty, empty));
	struct http_request post = { .method = "POST", .body = "a\0b",
	    .body_len = 3 };
	struct http_request nothing = { .method = "POST", .body = "",
	    .body_len = 0 };
	struct http_request delete = { .method = "DELETE" };

	(void)state;
	assert_int_equal(perform(s, "/", post), 0);
	assert_int_equal(perform(s, "/", plain), 0);
	assert_int_equal(perform(s, "/", delete), 0);
	assert_int_equal(perform(s, "/", nothing), 0);
	assert_int_equal(scripted_server_stop(s), 4);
	assert_memory_equal(s->requests[0], "POST / ", 7);
	assert_non_null(strstr(s->requests[0], "Content-Length: 3\r\n"));
	assert_null(strstr(s->requests[0], "Expect"));
	assert_memory_equal(s->requests[1], "GET / ", 6);
	assert_null(strstr(s->requests[1], "Content-Length"));
	assert_memory_equal(s->requests[2], "DELETE / ", 9);
	assert_memory_equal(s->requests[3], "POST / ", 7);
	assert_non_null(strstr(s->requests[3], "Content-Length: 0\r\n"));
	scripted_server_free(s);
}

/* Any status is an answer, once the body is there as announced. */
static const struct {
	const char *name;
	const char *answer;
	long status;		/* 0: none came whole */
	const char *body;	/* or part of the error */
} answers[] = {
	{ "no body", OK "Content-Length: 0\r\n\r\n", 200, "" },
	{ "no content", "HTTP/1.1 204 No Content\r\n\r\n", 204, "" },
	{ "to the end of the connection", OK "\r\nhi", 200, "hi" },
	{ "chunked", OK "Transfer-Encoding: chunked\r\n\r\n"
	    "2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n", 200, "hi!" },
	{ "client's error", "HTTP/1.1 404 Not Found\r\nContent-Length: 2"
	    "\r\n\r\nno", 404, "no" },
	{ "server's error", "HTTP/1.1 503 Unavailable\r\nContent-Length: 2"
	    "\r\n\r\nno", 503, "no" },
	{ "continue first", "HTTP/1.1 100 Continue\r\n\r\n" OK
	    "Content-Length: 2\r\n\r\nhi", 200, "hi" },
	{ "exactly what is accepted", OK "Content-Length: 64\r\n\r\n"
	    "0123456789abcdef0123456789abcdef0123456789abcdef"
	    "0123456789abcdef", 200, "0123456789abcdef0123456789abcdef"
	    "0123456789abcdef0123456789abcdef" },

	{ "nothing", "", 0, "" },
	{ "cut in its headers", "HTTP/1.1 200 OK\r\nContent-Le", 0,
	    "within its headers" },
	{ "not HTTP", "SSH-2.0-example\r\n", 0, "" },
	{ "truncated body", OK "Content-Length: 10\r\n\r\nhi", 0, "" },
	{ "truncated chunk", OK "Transfer-Encoding: chunked\r\n\r\n"
	    "a\r\nhi", 0, "" },
	{ "no last chunk", OK "Transfer-Encoding: chunked\r\n\r\n"
	    "2\r\nhi\r\n", 0, "" },
	{ "announced too long", OK "Content-Length: 65\r\n\r\n", 0,
	    "the answer is longer than 64 bytes" },
	{ "announced far too long", OK "Content-Length: 99999999999\r\n\r\n",
	    0, "the answer is longer than 64 bytes" },
	{ "too long, not announced", OK "\r\n"
	    "0123456789abcdef0123456789abcdef0123456789abcdef"
	    "0123456789abcdef0", 0, "the answer is longer than 64 bytes" },
	{ "too long in chunks", OK "Transfer-Encoding: chunked\r\n\r\n"
	    "21\r\n0123456789abcdef0123456789abcdef0\r\n"
	    "21\r\n0123456789abcdef0123456789abcdef0\r\n0\r\n\r\n", 0,
	    "the answer is longer than 64 bytes" },
};

static void
test_answers(void **state)
{
	size_t i;
	int rc;

	(void)state;
	for (i = 0; i < NITEMS(answers); i++) {
		rc = ask(answers[i].answer, plain);
		ASSERT_ROW(http_status(http) == answers[i].status,
		    answers[i].name);
		if (answers[i].status != 0) {
			ASSERT_ROW(rc == 0, answers[i].name);
			ASSERT_ROW(strcmp(http_body(http),
			    answers[i].body) == 0, answers[i].name);
			ASSERT_ROW(http_body_len(http) ==
			    strlen(answers[i].body), answers[i].name);
		} else {
			ASSERT_ROW(rc == -1, answers[i].name);
			ASSERT_ROW(http_error(http)[0] != '\0',
			    answers[i].name);
			ASSERT_ROW(strstr(http_error(http),
			    answers[i].body) != NULL, answers[i].name);
		}
	}
}

/* Where only the status counts, it counts once it is there. */
static void
test_status_only(void **state)
{
	static const struct {
		const char *answer;
		long status;
	} rows[] = {
		{ OK "Content-Length: 2\r\n\r\nhi", 200 },
		{ OK "Content-Length: 10\r\n\r\nhi", 200 },
		{ OK "Content-Length: 99999\r\n\r\n", 200 },
		{ OK "Transfer-Encoding: chunked\r\n\r\na\r\nhi", 200 },
		{ OK "\r\n0123456789abcdef0123456789abcdef0123456789abcdef"
		    "0123456789abcdef0123456789abcdef", 200 },
		{ "HTTP/1.1 500 Error\r\nContent-Length: 10\r\n\r\n", 500 },
		{ "", 0 },
		{ "HTTP/1.1 100 Continue\r\n\r\n", 0 },
		{ "garbage", 0 },
	};
	struct http_request request = { .status_only = 1 };
	size_t i;
	int rc;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		rc = ask(rows[i].answer, request);
		ASSERT_ROW(http_status(http) == rows[i].status,
		    rows[i].answer);
		ASSERT_ROW(rc == (rows[i].status != 0 ? 0 : -1),
		    rows[i].answer);
	}

	/* Nothing of it stays for the next request. */
	assert_int_equal(ask(OK "Content-Length: 10\r\n\r\nhi", plain), -1);
	assert_int_equal(http_status(http), 0);
}

/* A redirect is an answer; nobody goes where it points. */
static void
test_redirect(void **state)
{
	struct scripted_server *target = scripted_server_start(SCRIPT(
	    OK "Content-Length: 0\r\n\r\n"));
	char url[64], answer[256];

	(void)state;
	(void)snprintf(answer, sizeof(answer), "HTTP/1.1 307 Temporary "
	    "Redirect\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n",
	    scripted_server_url(target, "/", url, sizeof(url)));
	assert_int_equal(ask(answer, plain), 0);
	assert_int_equal(http_status(http), 307);
	assert_string_equal(http_header(http, "Location"), url);
	assert_int_equal(scripted_server_stop(target), 0);
	scripted_server_free(target);
}

/* A header with a control character is refused before anything is sent. */
static void
test_header_injection(void **state)
{
	static const char *const bad[] = { "X: a\r\nY: b", "X: a\nY: b",
	    "X: a\r", "X: \x01", "X: \x7f", "X: a\tb", "\r\nX: a" };
	struct http_request request = { .method = "GET",
	    .url = "http://127.0.0.1:1/", .timeout_ms = 1000,
	    .max_response = 64 };
	const char *headers[3] = { "X-Good: 1", NULL, NULL };
	size_t i;

	(void)state;
	request.headers = headers;
	for (i = 0; i < NITEMS(bad); i++) {
		headers[1] = bad[i];
		ASSERT_ROW(http_prepare(http, &request) == -1, bad[i]);
		ASSERT_ROW(http_error(http)[0] != '\0', bad[i]);
	}
	headers[1] = "X: Zo\xc3\xab";
	assert_int_equal(http_prepare(http, &request), 0);
}

/* No file, no other protocol. */
static void
test_protocols(void **state)
{
	static const char *const bad[] = { "file:///etc/hostname",
	    "ftp://127.0.0.1:1/", "gopher://127.0.0.1:1/",
	    "dict://127.0.0.1:1/", "telnet://127.0.0.1:1/" };
	struct http_request request = { .method = "GET", .timeout_ms = 1000,
	    .max_response = 64 };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(bad); i++) {
		request.url = bad[i];
		assert_int_equal(http_prepare(http, &request), 0);
		ASSERT_ROW(http_perform(http) == -1, bad[i]);
		ASSERT_ROW(http_status(http) == 0, bad[i]);
		ASSERT_ROW(strcasestr(http_error(http), "protocol") != NULL,
		    bad[i]);
	}
}

/* A proxy in the environment would see the tokens. */
static void
test_no_proxy(void **state)
{

	(void)state;
	(void)setenv("http_proxy", "http://127.0.0.1:1", 1);
	(void)setenv("all_proxy", "http://127.0.0.1:1", 1);
	assert_int_equal(ask(OK "Content-Length: 2\r\n\r\nhi", plain), 0);
	(void)unsetenv("http_proxy");
	(void)unsetenv("all_proxy");
}

/* Nobody listens, or nobody answers in time. */
static void
test_no_answer(void **state)
{
	struct http_request hurry = { .timeout_ms = 50 };
	struct scripted_server *s = scripted_server_start(SCRIPT(NULL));

	(void)state;
	(void)pthread_join(s->thread, NULL);
	assert_int_equal(perform(s, "/", plain), -1);
	assert_int_equal(http_status(http), 0);
	assert_string_not_equal(http_error(http), "");
	(void)close(s->fd);

	/* A socket whose connections nobody accepts. */
	s->fd = scripted_listen(&s->port);
	assert_int_equal(perform(s, "/", hurry), -1);
	assert_int_equal(http_status(http), 0);
	assert_non_null(strcasestr(http_error(http), "timed out"));
	(void)close(s->fd);
	scripted_server_free(s);
}

static void
test_headers(void **state)
{

	(void)state;
	assert_int_equal(ask(OK "X-A: 1\r\nx-a: 2\r\nX-A: 3\r\nX-B: \t b c \r\n"
	    "Content-Length: 0\r\n\r\n", plain), 0);
	assert_string_equal(http_header(http, "X-A"), "3");
	assert_string_equal(http_header(http, "x-A"), "3");
	assert_string_equal(http_header(http, "X-B"), "b c");
	assert_null(http_header(http, "X-C"));
	assert_null(http_header(http, "X"));
}

/* The time ${ahead} seconds from now, as HTTP writes it. */
static const char *
http_date(int ahead, char *text, size_t len)
{
	time_t when = time(NULL) + ahead;
	struct tm tm;

	assert_non_null(gmtime_r(&when, &tm));
	assert_true(strftime(text, len, "%a, %d %b %Y %T GMT", &tm) > 0);
	return (text);
}

static void
test_retry_after(void **state)
{
	char ahead[32], past[32], answer[256];
	const struct {
		const char *first, *last;	/* NULL: no such header */
		long want, less;		/* a date comes nearer */
	} rows[] = {
		{ NULL, NULL, -1, 0 },
		{ NULL, "120", 120, 0 },
		{ NULL, "  7  ", 7, 0 },
		{ NULL, "0", 0, 0 },
		{ NULL, "300", 300, 0 },
		{ NULL, "301", 300, 0 },
		{ NULL, "99999999999", 300, 0 },
		{ NULL, "9223372036854775808", 300, 0 },
		{ NULL, "99999999999999999999999  ", 300, 0 },
		{ NULL, "00000000000000000000000005", 5, 0 },
		{ NULL, "99999999999999999999999s", 0, 0 },
		{ NULL, http_date(90, ahead, sizeof(ahead)), 90, 10 },
		{ NULL, http_date(-90, past, sizeof(past)), 0, 0 },
		{ NULL, "Sun, 06 Nov 2089 08:49:37 GMT", 300, 0 },
		{ NULL, "soon", 0, 0 },
		{ NULL, "-5", 0, 0 },
		{ NULL, "", 0, 0 },
		{ "5", "9", 9, 0 },
		{ "9", "5", 5, 0 },
	};
	size_t i;
	long got;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(answer, sizeof(answer), "HTTP/1.1 503 No\r\n"
		    "%s%s\r\n%s%s\r\nContent-Length: 0\r\n\r\n",
		    rows[i].first != NULL ? "Retry-After: " : "X: ",
		    rows[i].first != NULL ? rows[i].first : "y",
		    rows[i].last != NULL ? "retry-after: " : "X-Retry-After: ",
		    rows[i].last != NULL ? rows[i].last : "120");
		assert_int_equal(ask(answer, plain), 0);
		got = http_retry_after(http);
		ASSERT_ROW(got <= rows[i].want && got >= rows[i].want -
		    rows[i].less, rows[i].last != NULL ? rows[i].last :
		    "none");
	}

	/* The next answer is not held to what the last one asked for. */
	assert_int_equal(ask("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
	    plain), 0);
	assert_int_equal(http_retry_after(http), -1);
}

/* Who does not like our token may say so: it is not quoted then. */
static void
test_credentials_hidden(void **state)
{
	static const struct {
		const char *header;
		const char *status;
		const char *body;
	} rows[] = {
		{ "Authorization: Bearer se.cret-1", "401 No",
		    "no *********: *********" },
		{ "authorization: Bearer se.cret-1", "500 No",
		    "no *********: *********" },
		{ "Authorization: Basic se.cret-1", "302 No",
		    "no *********: *********" },
		{ "Authorization: Bearer se.cret-10", "401 No",
		    "no se.cret-1: se.cret-1" },
		{ "Authorization: Bearer", "401 No",
		    "no se.cret-1: se.cret-1" },
		{ "X-Authorization: Bearer se.cret-1", "401 No",
		    "no se.cret-1: se.cret-1" },
		{ "Authorization: Bearer se.cret-1", "200 OK",
		    "no se.cret-1: se.cret-1" },
	};
	const char *headers[] = { "X-First: 1", NULL, "X-Last: 1", NULL };
	struct http_request request = { .headers = headers };
	char answer[256];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		headers[1] = rows[i].header;
		(void)snprintf(answer, sizeof(answer), "HTTP/1.1 %s\r\n"
		    "Connection: close\r\n\r\nno se.cret-1: se.cret-1",
		    rows[i].status);
		assert_int_equal(ask(answer, request), 0);
		ASSERT_ROW(strcmp(http_body(http), rows[i].body) == 0,
		    rows[i].header);
	}
}

/* Nor is it in the spelling of JSON or of URLs. */
static void
test_credentials_spelled(void **state)
{
	static const char *const headers[] = {
	    "Authorization: Bearer canary/slash+tok==", NULL };
	const struct http_request request = { .headers = headers,
	    .max_response = 256 };

	(void)state;
	assert_int_equal(ask("HTTP/1.1 401 No\r\nConnection: close\r\n\r\n"
	    "{\"no\":\"canary\\/slash+tok==\"} canary%2Fslash%2Btok%3D%3D "
	    "canary/slash+tok\\u003d\\u003d", request), 0);
	assert_string_equal(http_body(http), "{\"no\":\"*******************"
	    "\"} ************************** ****************************");
}

/* A body that was wiped is gone, from memory too. */
static void
test_wipe(void **state)
{
	const char *body;

	(void)state;
	assert_int_equal(ask(OK "Content-Length: 6\r\n\r\nsecret", plain), 0);
	body = http_body(http);
	assert_string_equal(body, "secret");
	http_wipe(http);
	assert_memory_equal(body, "\0\0\0\0\0\0", 6);
	assert_string_equal(http_body(http), "");
	assert_int_equal(http_body_len(http), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_get),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_status_only),
		cmocka_unit_test(test_redirect),
		cmocka_unit_test(test_header_injection),
		cmocka_unit_test(test_protocols),
		cmocka_unit_test(test_no_proxy),
		cmocka_unit_test(test_no_answer),
		cmocka_unit_test(test_headers),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_credentials_hidden),
		cmocka_unit_test(test_credentials_spelled),
		cmocka_unit_test(test_wipe),
	};

	return (cmocka_run_group_tests_name("http", tests, setup, teardown));
}
