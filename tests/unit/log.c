#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <regex.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "json_text.h"
#include "log.h"
#include "trace.h"
#include "utf8.h"

#include "unit.h"

#define TIME	"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}" \
    "\\.[0-9]{3}Z"

#define TRACEPARENT							\
	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

/* The longest line, which a pipe takes in one piece. */
#define LINE_MAX_LEN	4096

/*
 * What the code under test writes to stderr, taken from a pipe which holds
 * more than one line of any length.
 */
struct capture {
	int saved;
	int fd[2];
	char text[16384];
};

static void
capture_begin(struct capture *c)
{

	assert_int_equal(pipe(c->fd), 0);
	assert_int_equal(fcntl(c->fd[0], F_SETFL, O_NONBLOCK), 0);
	c->saved = dup(STDERR_FILENO);
	assert_true(c->saved >= 0);
	assert_true(dup2(c->fd[1], STDERR_FILENO) >= 0);
}

/* Return the text; each line of it must have come in one write. */
static const char *
capture_end(struct capture *c)
{
	size_t len = 0;
	ssize_t n;

	assert_true(dup2(c->saved, STDERR_FILENO) >= 0);
	(void)close(c->saved);
	(void)close(c->fd[1]);
	while ((n = read(c->fd[0], &c->text[len], sizeof(c->text) - 1 - len)) >
	    0)
		len += (size_t)n;
	(void)close(c->fd[0]);
	c->text[len] = '\0';
	return (c->text);
}

static int
matches(const char *text, const char *pattern)
{
	regex_t re;
	int rc;

	assert_int_equal(regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB), 0);
	rc = regexec(&re, text, 0, NULL, 0);
	regfree(&re);
	return (rc == 0);
}

/* Log ${message} and ${about} as JSON; return the object of the one line. */
static json_t *
logged(struct capture *c, const struct log_about *about, const char *message)
{
	const char *text, *newline;
	json_t *line;

	log_init("Unit", LOG_DEBUG, 1);
	capture_begin(c);
	log_info(about, "%s", message);
	text = capture_end(c);

	newline = strchr(text, '\n');
	assert_non_null(newline);
	assert_int_equal(newline[1], '\0');
	assert_in_range(strlen(text), 1, LINE_MAX_LEN);
	line = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	if (line == NULL)
		fail_msg("not JSON: %s", text);
	return (line);
}

/* As Google Cloud Logging reads it, where the project is known. */
static void
test_json_trace(void **state)
{
	struct log_about about = { .booking_id = "0a1b" };
	struct trace trace;
	struct capture c;
	json_t *line;

	(void)state;
	(void)trace_parse(TRACEPARENT, &trace);
	about.trace = &trace;
	line = logged(&c, &about, "x");
	assert_string_equal(json_string_value(json_object_get(line,
	    "trace_id")), "0af7651916cd43dd8448eb211c80319c");
	assert_null(json_object_get(line, "logging.googleapis.com/trace"));
	json_decref(line);

	log_project("p-1");
	line = logged(&c, &about, "x");
	assert_string_equal(json_string_value(json_object_get(line,
	    "logging.googleapis.com/trace")),
	    "projects/p-1/traces/0af7651916cd43dd8448eb211c80319c");
	assert_string_equal(json_string_value(json_object_get(line,
	    "logging.googleapis.com/spanId")), "b7ad6b7169203331");
	json_decref(line);
	log_project(NULL);
}

static void
test_before_init(void **state)
{
	struct capture c;

	(void)state;
	capture_begin(&c);
	log_debug(NULL, "hidden");
	log_info(NULL, "shown %d", 42);
	assert_true(matches(capture_end(&c), "^" TIME " INFO shown 42\n$"));
}

static void
test_text(void **state)
{
	struct log_about about = {
		.booking_id = "0a1b", .tenant_id = "t-1",
		.task_name = "projects/p/tasks/x", .request_id = "r-9",
	};
	struct trace trace;
	const struct log_about some = { .tenant_id = "t-1" };
	struct capture c;

	(void)state;
	log_init("BookingListener", LOG_DEBUG, 0);
	capture_begin(&c);
	log_warning(&about, "hello %s", "world");
	assert_true(matches(capture_end(&c), "^" TIME " WARNING "
	    "\\[BookingListener\\] hello world booking_id=0a1b tenant_id=t-1 "
	    "task_name=projects/p/tasks/x request_id=r-9\n$"));

	/* With a trace, of which there may be none. */
	(void)trace_parse(TRACEPARENT, &trace);
	about.trace = &trace;
	capture_begin(&c);
	log_info(&about, "traced");
	assert_true(matches(capture_end(&c), "request_id=r-9 "
	    "trace_id=0af7651916cd43dd8448eb211c80319c\n$"));
	(void)trace_parse("x", &trace);
	capture_begin(&c);
	log_info(&about, "not traced");
	assert_true(matches(capture_end(&c), "request_id=r-9\n$"));

	capture_begin(&c);
	log_error(&some, "alone, not +49 170 1234567");
	assert_true(matches(capture_end(&c), "^" TIME " ERROR "
	    "\\[BookingListener\\] alone, not \\*{15} tenant_id=t-1\n$"));
}

static void
test_levels(void **state)
{
	static const char *const want[] = {
	    "DEBUG a\nINFO b\nWARNING c\nERROR d\n",
	    "INFO b\nWARNING c\nERROR d\n", "WARNING c\nERROR d\n",
	    "ERROR d\n" };
	enum log_level level;
	struct capture c;
	char kept[256], *p;
	const char *line;

	(void)state;
	for (level = LOG_DEBUG; level <= LOG_ERROR; level++) {
		log_init(NULL, level, 0);
		capture_begin(&c);
		log_debug(NULL, "a");
		log_info(NULL, "b");
		log_warning(NULL, "c");
		log_error(NULL, "d");

		/* What is left of the lines without their times. */
		p = kept;
		*p = '\0';
		for (line = capture_end(&c); *line != '\0';
		    line = strchr(line, '\n') + 1)
			p += snprintf(p, 32, "%.*s\n",
			    (int)strcspn(strchr(line, ' ') + 1, "\n"),
			    strchr(line, ' ') + 1);
		assert_string_equal(kept, want[level]);
	}
}

static void
test_level_parse(void **state)
{
	static const char *const bad[] = { "", "INFO", "warn", "err",
	    "info ", " info", "2", "trace" };
	enum log_level level;
	size_t i;

	(void)state;
	assert_int_equal(log_level_parse("debug", &level), 0);
	assert_int_equal(level, LOG_DEBUG);
	assert_int_equal(log_level_parse("info", &level), 0);
	assert_int_equal(level, LOG_INFO);
	assert_int_equal(log_level_parse("warning", &level), 0);
	assert_int_equal(level, LOG_WARNING);
	assert_int_equal(log_level_parse("error", &level), 0);
	assert_int_equal(level, LOG_ERROR);
	for (i = 0; i < NITEMS(bad); i++)
		ASSERT_ROW(log_level_parse(bad[i], &level) == -1, bad[i]);
}

static void
test_json(void **state)
{
	const struct log_about about = { .booking_id = "0a1b",
	    .tenant_id = "t-1", .task_name = "x", .request_id = "r-9" };
	struct capture c;
	json_t *line = logged(&c, &about, "hello");

	(void)state;
	assert_int_equal(json_object_size(line), 7);
	assert_string_equal(json_text(line, "severity"), "INFO");
	assert_true(matches(json_text(line, "time"), "^" TIME "$"));
	assert_string_equal(json_text(line, "message"), "[Unit] hello");
	assert_string_equal(json_text(line, "booking_id"), "0a1b");
	assert_string_equal(json_text(line, "tenant_id"), "t-1");
	assert_string_equal(json_text(line, "task_name"), "x");
	assert_string_equal(json_text(line, "request_id"), "r-9");
	json_decref(line);

	/* What is not known is not there. */
	line = logged(&c, NULL, "hello");
	assert_int_equal(json_object_size(line), 3);
	json_decref(line);
}

/* Hostile text, as it stands in a text line and as JSON readers get it. */
static const struct {
	const char *message;
	const char *text;
	const char *json;
} escapes[] = {
	{ "plain", "plain", "plain" },
	{ "", "", "" },
	{ "a\nb", "a\\x0ab", "a\nb" },
	{ "a\r\n2026-11-23T11:00:00.000Z ERROR forged",
	    "a\\x0d\\x0a2026-11-23T11:00:00.000Z ERROR forged",
	    "a\r\n2026-11-23T11:00:00.000Z ERROR forged" },
	{ "\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f", "\x1b[2J\x07\x7f" },
	{ "say \"hi\"", "say \"hi\"", "say \"hi\"" },
	{ "back\\slash", "back\\slash", "back\\slash" },
	{ "\",\"severity\":\"ERROR", "\",\"severity\":\"ERROR",
	    "\",\"severity\":\"ERROR" },
	{ "Zo\xc3\xab \xe2\x82\xac \xf0\x9f\x98\x80",
	    "Zo\xc3\xab \xe2\x82\xac \xf0\x9f\x98\x80",
	    "Zo\xc3\xab \xe2\x82\xac \xf0\x9f\x98\x80" },
	{ "lone \xc3", "lone \\xc3", "lone \\xc3" },
	{ "\xff\xfe", "\\xff\\xfe", "\\xff\\xfe" },
	{ "\xed\xa0\x80", "\\xed\\xa0\\x80", "\\xed\\xa0\\x80" },
	{ "%s%n%d", "%s%n%d", "%s%n%d" },
};

static void
test_escapes(void **state)
{
	struct log_about about = { 0 };
	struct capture c;
	const char *text;
	char want[256];
	json_t *line;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(escapes); i++) {
		/* As a message and as an id alike. */
		about.booking_id = escapes[i].message;
		log_init(NULL, LOG_INFO, 0);
		capture_begin(&c);
		log_info(&about, "%s", escapes[i].message);
		text = capture_end(&c);
		(void)snprintf(want, sizeof(want), " INFO %s booking_id=%s\n",
		    escapes[i].text, escapes[i].text);
		assert_non_null(strchr(text, ' '));
		assert_string_equal(strchr(text, ' '), want);

		line = logged(&c, &about, escapes[i].message);
		(void)snprintf(want, sizeof(want), "[Unit] %s",
		    escapes[i].json);
		assert_string_equal(json_text(line, "message"), want);
		assert_string_equal(json_text(line, "booking_id"),
		    escapes[i].json);
		json_decref(line);
	}
}

/* What a long text may be made of. */
static const char *const units[] = { "x", "\"", "\\", "\n", "\x01", "\xff",
    "\xc3\xab", "\xe2\x82\xac", "\xf0\x9f\x98\x80" };

/* However long and whatever it is made of, a line is one line of 4096. */
static void
test_long_messages(void **state)
{
	struct log_about about = {
		.booking_id = "0a1b2c3d-4e5f-6789-abcd-ef0123456789",
		.tenant_id = "1a1b2c3d-4e5f-6789-abcd-ef0123456789",
		.request_id = "r-9",
	};
	char message[20001];
	struct trace trace;
	struct capture c;
	const char *text;
	json_t *line;
	size_t i, len, n;

	(void)state;
	log_project("p-1");
	assert_int_equal(trace_parse(TRACEPARENT, &trace), 0);
	about.trace = &trace;
	for (i = 0; i < NITEMS(units); i++) {
		n = strlen(units[i]);
		for (len = 0; len + n < sizeof(message); len += n)
			memcpy(&message[len], units[i], n);
		message[len] = '\0';

		/* The ids behind a message that was cut are still there. */
		line = logged(&c, &about, message);
		assert_in_range(strlen(json_text(line, "message")), 350, 4096);
		assert_string_equal(json_text(line, "booking_id"),
		    about.booking_id);
		assert_string_equal(json_text(line, "tenant_id"),
		    about.tenant_id);
		assert_string_equal(json_text(line, "request_id"), "r-9");
		assert_string_equal(json_text(line,
		    "logging.googleapis.com/spanId"), trace.span);
		json_decref(line);

		log_init("Unit", LOG_INFO, 0);
		capture_begin(&c);
		log_info(&about, "%s", message);
		text = capture_end(&c);
		assert_in_range(strlen(text), 400, LINE_MAX_LEN);
		assert_ptr_equal(strchr(text, '\n'), &text[strlen(text) - 1]);
		assert_true(utf8_valid(text, strlen(text)));
		assert_non_null(strstr(text, " request_id=r-9 trace_id="));
	}
	log_project(NULL);
}

/* Shifted byte by byte, a cut never falls inside a character or escape. */
static void
test_cut_places(void **state)
{
	char message[4000];
	struct capture c;
	size_t pad, len;

	(void)state;
	for (pad = 0; pad < 8; pad++) {
		memset(message, 'x', 2500 + pad);
		for (len = 2500 + pad; len + 4 < sizeof(message); len += 4)
			memcpy(&message[len], "\xf0\x9f\x98\x80", 4);
		message[len] = '\0';
		json_decref(logged(&c, NULL, message));
	}
}

/*
 * An id that is longer than any real one is cut at a character or an escape,
 * wherever that falls; the ids around it stay whole.
 */
static void
test_long_ids(void **state)
{
	struct log_about about = { .booking_id = "0a1b" };
	char id[5001];
	struct capture c;
	json_t *line;
	size_t i, n, pad, len;

	(void)state;
	about.request_id = "9f8e";
	about.tenant_id = id;
	for (i = 0; i < NITEMS(units); i++) {
		n = strlen(units[i]);
		for (pad = 0; pad < 8; pad++) {
			memset(id, 'x', pad);
			for (len = pad; len + n < sizeof(id); len += n)
				memcpy(&id[len], units[i], n);
			id[len] = '\0';
			line = logged(&c, &about, "hello");
			assert_string_equal(json_text(line, "booking_id"),
			    "0a1b");
			assert_string_equal(json_text(line, "request_id"),
			    "9f8e");
			assert_in_range(strlen(json_text(line, "tenant_id")),
			    8, 72);
			json_decref(line);
		}
	}
}

/*
 * In the journal, which is a socket that JOURNAL_STREAM names, each line has
 * its priority, and no time but the journal's; in a file that has taken its
 * place nothing is different.
 */
static void
test_journal(void **state)
{
	static const char want[] = "<7>DEBUG a\n<6>INFO b\n<4>WARNING c\n"
	    "<3>ERROR d\n<4>{\"severity\":\"WARNING\",\"time\":\"";
	char stream[64], got[1024];
	int journal[2], saved;
	struct capture c;
	struct stat st;
	ssize_t n;

	(void)state;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, journal), 0);
	assert_int_equal(fstat(journal[1], &st), 0);
	(void)snprintf(stream, sizeof(stream), "%ju:%ju",
	    (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
	assert_int_equal(setenv("JOURNAL_STREAM", stream, 1), 0);

	assert_true((saved = dup(STDERR_FILENO)) >= 0);
	assert_true(dup2(journal[1], STDERR_FILENO) >= 0);
	log_init(NULL, LOG_DEBUG, 0);
	log_debug(NULL, "a");
	log_info(NULL, "b");
	log_warning(NULL, "c");
	log_error(NULL, "d");
	log_init(NULL, LOG_DEBUG, 1);
	log_warning(NULL, "e");
	(void)snprintf(got, sizeof(got), "%s", log_priority(LOG_ERROR));
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	(void)close(saved);
	assert_string_equal(got, "<3>");
	n = recv(journal[0], got, sizeof(got) - 1, MSG_DONTWAIT);
	assert_true(n > (ssize_t)strlen(want));
	got[strlen(want)] = '\0';
	assert_string_equal(got, want);
	(void)close(journal[0]);
	(void)close(journal[1]);

	log_init(NULL, LOG_DEBUG, 0);
	capture_begin(&c);
	log_warning(NULL, "c%s", log_priority(LOG_WARNING));
	assert_true(matches(capture_end(&c), "^" TIME " WARNING c\n$"));
	assert_int_equal(unsetenv("JOURNAL_STREAM"), 0);
}

/* Nothing has been written since ${c} began. */
static int
is_silent(const struct capture *c)
{
	struct pollfd pfd = { .fd = c->fd[0], .events = POLLIN };

	return (poll(&pfd, 1, 0) == 0);
}

static void
test_held(void **state)
{
	static const char filler[] = "0123456789012345678901234567890123456789"
	    "0123456789012345678901234567890123456789";
	struct capture c;
	const char *text;
	int i, lines = 0;

	(void)state;
	log_init(NULL, LOG_INFO, 0);
	capture_begin(&c);
	log_hold();
	log_info(NULL, "a");
	log_info(NULL, "b");
	assert_true(is_silent(&c));
	log_warning(NULL, "c");
	assert_false(is_silent(&c));
	log_info(NULL, "d");
	log_release();
	log_info(NULL, "e");
	assert_true(matches(capture_end(&c), "^" TIME " INFO a\n" TIME
	    " INFO b\n" TIME " WARNING c\n" TIME " INFO d\n" TIME
	    " INFO e\n$"));

	/* A hundred lines, each of them whole. */
	capture_begin(&c);
	log_hold();
	for (i = 0; i < 100; i++)
		log_info(NULL, "%s", filler);
	assert_false(is_silent(&c));
	log_release();
	text = capture_end(&c);
	for (; *text != '\0'; text = strchr(text, '\n') + 1) {
		assert_non_null(strstr(text, filler));
		lines++;
	}
	assert_int_equal(lines, 100);
}

/* How many lines of ${text} have ${part} in them? */
static int
count(const char *text, const char *part)
{
	int n = 0;

	while ((text = strstr(text, part)) != NULL) {
		text = strchr(text, '\n');
		n++;
	}
	return (n);
}

/* A worker logs ${n} like failures of booking ${id}, and dies by a signal. */
static void
fail_often(int n, const char *id)
{
	const struct log_about about = { .booking_id = id };
	pid_t pid = fork();
	int i, status;

	if (pid == 0) {
		for (i = 0; i < n; i++)
			log_warning(&about, "it failed: %d \"%s\"", i, id);
		(void)kill(getpid(), SIGKILL);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status));
}

/* Of all the workers' like warnings ten are written, and one that sums up. */
static void
test_bursts(void **state)
{
	struct log_about about = { .booking_id = "b-9" };
	static struct capture c;
	const char *text, *sum;
	int i, json;

	(void)state;
	log_summarise_bursts();
	for (json = 0; json <= 1; json++) {
		log_init("Unit", LOG_INFO, json);
		capture_begin(&c);
		fail_often(8, "b-1");
		fail_often(20, "b-2");
		fail_often(1, "b-3");

		/* Others are other kinds, and information is never left out. */
		log_error(NULL, "something else");
		for (i = 0; i < 30; i++)
			log_info(&about, "executed");
		log_tick();
		log_finish();
		log_finish();
		text = capture_end(&c);

		assert_int_equal(count(text, "it failed"), 11);
		assert_int_equal(count(text, "something else"), 1);
		assert_int_equal(count(text, "executed"), 30);
		assert_non_null(sum = strstr(text, "and 19 more like it in "
		    "1 s, the last: it failed: 0 "));
		assert_int_equal(count(sum, "b-3"), 1);
		assert_int_equal(count(text, "[Unit] and"), 1);
	}

	/* Nothing is left of them. */
	capture_begin(&c);
	log_finish();
	log_init("Unit", LOG_ERROR, 1);
	for (i = 0; i < 30; i++)
		log_warning(NULL, "not asked for");
	log_finish();
	assert_string_equal(capture_end(&c), "");
}

/* The longest line fits behind what sums up a burst: it is one line of JSON. */
static void
test_long_bursts(void **state)
{
	static char message[5000], name[2000];
	struct trace trace;
	const struct log_about about = { .booking_id = message,
	    .tenant_id = message, .task_name = name, .request_id = message,
	    .trace = &trace };
	static struct capture c;
	const char *text, *line;
	json_t *object;
	int i;

	(void)state;
	memset(message, '"', sizeof(message) - 1);
	memset(name, 'x', sizeof(name) - 1);
	(void)trace_parse(TRACEPARENT, &trace);
	log_init("FollowUpExecution", LOG_INFO, 1);
	log_project(name);
	for (i = 0; i < 12; i++) {
		capture_begin(&c);
		log_error(&about, "%s", message);
		(void)capture_end(&c);
	}
	capture_begin(&c);
	log_finish();
	text = capture_end(&c);
	assert_non_null(line = strchr(text, '\n'));
	assert_int_equal(line[1], '\0');
	assert_in_range(strlen(text), 3000, LINE_MAX_LEN);
	assert_non_null(object = json_loads(text, JSON_REJECT_DUPLICATES,
	    NULL));
	assert_int_equal(json_object_size(object), 10);
	assert_non_null(strstr(json_text(object, "message"),
	    "[FollowUpExecution] and 2 more like it in 1 s, the last: \""));
	json_decref(object);
	log_project(NULL);
}

static void
test_errno(void **state)
{
	struct capture c;

	(void)state;
	log_init(NULL, LOG_INFO, 0);
	capture_begin(&c);
	errno = ENOENT;
	log_info(NULL, "one");
	assert_int_equal(errno, ENOENT);
	log_debug(NULL, "not shown");
	assert_int_equal(errno, ENOENT);
	(void)capture_end(&c);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_before_init),
		cmocka_unit_test(test_text),
		cmocka_unit_test(test_json_trace),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_level_parse),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_escapes),
		cmocka_unit_test(test_long_messages),
		cmocka_unit_test(test_cut_places),
		cmocka_unit_test(test_long_ids),
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_journal),
		cmocka_unit_test(test_held),
		cmocka_unit_test(test_bursts),
		cmocka_unit_test(test_long_bursts),
	};

	return (cmocka_run_group_tests_name("log", tests, NULL, NULL));
}
