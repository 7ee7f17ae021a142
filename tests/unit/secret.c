#include <sys/time.h>

#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/crypto.h>

#include "secret.h"

#include "unit.h"

/* A pipe with ${len} bytes of ${text} in it; its end is in sight. */
static int
pipe_with(const char *text, size_t len)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	assert_int_equal(write(fds[1], text, len), (ssize_t)len);
	assert_int_equal(close(fds[1]), 0);
	return (fds[0]);
}

static void
test_bounds(void **state)
{
	static const struct {
		const char *name;
		const char *text;
		size_t len, max;
		int good;
	} rows[] = {
		{ "some", "secret", 6, 100, 1 },
		{ "as long as may be", "secret", 6, 6, 1 },
		{ "one byte too long", "secret", 6, 5, 0 },
		{ "much too long", "secret", 6, 1, 0 },
		{ "empty", "", 0, 6, 1 },
		{ "empty, nothing allowed", "", 0, 0, 1 },
		{ "nothing allowed", "s", 1, 0, 0 },
		{ "zeros in it", "a\0b\0", 4, 4, 1 },
		{ "any bytes", "\xff\r\n\x01", 4, 4, 1 },
	};
	char *got;
	size_t i, len;
	int fd;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		fd = pipe_with(rows[i].text, rows[i].len);
		got = secret_read(fd, rows[i].max, &len);
		(void)close(fd);
		ASSERT_ROW((got != NULL) == rows[i].good, rows[i].name);
		if (got == NULL)
			continue;
		ASSERT_ROW(len == rows[i].len, rows[i].name);
		ASSERT_ROW(memcmp(got, rows[i].text, len) == 0, rows[i].name);
		secret_free(got, len);
	}
}

/* A file without an end is not read for ever, and a folder not at all. */
static void
test_no_file(void **state)
{
	size_t len;
	int fd;

	(void)state;
	assert_true((fd = open("/dev/zero", O_RDONLY | O_CLOEXEC)) >= 0);
	assert_null(secret_read(fd, 65536, &len));
	assert_int_equal(close(fd), 0);
	assert_true((fd = open("/", O_RDONLY | O_CLOEXEC)) >= 0);
	assert_null(secret_read(fd, 65536, &len));
	assert_int_equal(close(fd), 0);
	assert_null(secret_read(-1, 65536, &len));
}

/* The pipe that the alarm writes to, and how often it has rung. */
static volatile sig_atomic_t rung;
static int alarm_fd;

/* Let the read be interrupted twice, then give it one byte after another. */
static void
ring(int sig)
{

	(void)sig;
	rung++;
	if (rung > 2 && rung <= 5)
		(void)!write(alarm_fd, &"key"[rung - 3], 1);
	if (rung == 6)
		(void)close(alarm_fd);
}

/* Signals do not cut a secret short, nor does a slow source. */
static void
test_interrupted(void **state)
{
	struct sigaction action = { .sa_handler = ring }, before;
	struct itimerval often = { .it_interval.tv_usec = 2000,
	    .it_value.tv_usec = 2000 }, never = { 0 };
	int fds[2];
	size_t len;
	char *got;

	(void)state;
	assert_int_equal(pipe(fds), 0);
	alarm_fd = fds[1];
	assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
	assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
	got = secret_read(fds[0], 100, &len);
	assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
	assert_int_equal(sigaction(SIGALRM, &before, NULL), 0);
	(void)close(fds[0]);
	assert_non_null(got);
	assert_int_equal(len, 3);
	assert_memory_equal(got, "key", 3);
	assert_true(rung >= 6);
	secret_free(got, len);
}

/* Put the secret into ${text}; the program's own text does not hold it. */
static void
make_secret(char *text)
{
	static const char shifted[] = "uPl4o.R:xK2nB8zWq5vTe7yHc3mGs6jDf";
	size_t i;

	for (i = 0; i < sizeof(shifted) - 1; i++)
		text[i] = (char)(shifted[i] - 1);
	text[i] = '\0';
}

/*
 * How often the secret is in the heap; -1 where no heap is to be found.  Its
 * end counts: free(3) itself writes over the first 16 bytes of a block.
 */
static int
count_copies(void)
{
	char line[256], secret[64], *dash;
	const char *p, *end;
	int n = -1;
	FILE *maps;

	make_secret(secret);
	assert_non_null(maps = fopen("/proc/self/maps", "re"));
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (strstr(line, "[heap]") == NULL)
			continue;
		p = (const char *)(uintptr_t)strtoul(line, &dash, 16);
		end = (const char *)(uintptr_t)strtoul(dash + 1, NULL, 16);
		for (n = 0; (p = memmem(p, (size_t)(end - p), &secret[16],
		    strlen(&secret[16]))) != NULL; p++)
			n++;
	}
	(void)fclose(maps);
	return (n);
}

/* Neither Jansson nor OpenSSL nor libcurl leaves a copy in what it frees. */
static void
test_libraries(void **state)
{
	char secret[64], text[128], *kept;
	json_t *root;

	(void)state;
	if (count_copies() < 0)
		skip();
	make_secret(secret);
	(void)snprintf(text, sizeof(text), "{\"token\":\"%s\"}", secret);
	assert_non_null(root = json_loads(text, 0, NULL));
	assert_non_null(kept = OPENSSL_strdup(text));
	assert_int_equal(count_copies(), 2);
	json_decref(root);

	/* A text that grows moves, and leaves nothing where it was. */
	assert_non_null(kept = OPENSSL_realloc(kept, 100000));
	assert_int_equal(count_copies(), 1);
	OPENSSL_free(kept);
	assert_int_equal(count_copies(), 0);

	assert_non_null(kept = curl_easy_escape(NULL, text, 0));
	assert_int_equal(count_copies(), 1);
	curl_free(kept);
	assert_int_equal(count_copies(), 0);
}

static void
test_nothing(void **state)
{

	(void)state;
	secret_free(NULL, 0);
	secret_free(NULL, 10);
	secret_free(malloc(1), 0);
}

/* Every occurrence goes, and nothing else. */
static void
test_hide(void **state)
{
	char text[] = "token abc, again abcabc, not ab";
	char none[] = "nothing here";

	(void)state;
	secret_hide(text, "abc");
	assert_string_equal(text, "token ***, again ******, not ab");
	secret_hide(none, "");
	secret_hide(none, "abc");
	assert_string_equal(none, "nothing here");
}

/* Nothing of a secret is left, whatever way a peer writes it in. */
static void
test_hide_spellings(void **state)
{
	static const struct {
		const char *secret;
		const char *text;
	} rows[] = {
		{ "canary/slash+tok==", "canary/slash+tok==" },
		{ "canary/slash+tok==", "canary\\/slash+tok==" },
		{ "canary/slash+tok==", "canary\\\\\\/slash+tok==" },
		{ "canary/slash+tok==", "canary%2Fslash%2Btok%3D%3D" },
		{ "canary/slash+tok==", "canary%2fslash+tok%3d=" },
		{ "canary/slash+tok==", "canary/slash+tok\\u003d\\u003D" },
		{ "canary/slash+tok==", "canary/slash\\\\u002btok==" },
		{ "canary/slash+tok==", "canary&#47;slash&#x2b;tok==" },
		{ "canary/slash+tok==",
		    "canary&sol;slash&plus;tok&equals;&equals;" },
		{ "canary/slash+tok==", "\\u0063anary/slash+tok==" },
		{ "a<b>\"&'", "a&lt;b&gt;&quot;&amp;&apos;" },
		{ "a<b>\"&'", "a\\u003cb\\u003e\\\"\\u0026\\u0027" },
		{ "two words", "two words" }, { "two words", "two+words" },
		{ "two words", "two%20words" },
		{ "a\\b\"c", "a\\b\"c" }, { "a\\b\"c", "a\\\\b\\\"c" },
		{ "a\\b\"c", "a\\\\\\\\b\\\\\\\"c" },
		{ "a\\b\"c", "a%5Cb%22c" }, { "a\\b\"c", "a\\u005cb\"c" },
		{ "a\\\\u0041", "a\\\\\\\\u0041" },
		{ "a%41/b", "a%41\\/b" }, { "a%41/b", "a%2541%2Fb" },
		{ "a%25b", "a%25b" }, { "a&amp;b", "a&amp;b" },
		{ "caf\u00e9", "caf\\u00e9" }, { "caf\u00e9", "caf%C3%A9" },
		{ "key\U0001d7ce", "key\\ud835\\udfce" },
		{ "key\xff", "key%FF" },
	};
	char text[128], want[128];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(text, sizeof(text), "no:\\n%s!%s", rows[i].text,
		    rows[i].text);
		(void)snprintf(want, sizeof(want), "%s", text);
		memset(&want[5], '*', strlen(rows[i].text));
		memset(&want[strlen(rows[i].text) + 6], '*',
		    strlen(rows[i].text));
		secret_hide(text, rows[i].secret);
		ASSERT_ROW(strcmp(text, want) == 0, text);
	}
}

/* What begins like it, or only looks like it, is left. */
static void
test_hide_others(void **state)
{
	static const char *const texts[] = { "a\\/", "a%2", "a%2Fc", "a\\",
	    "a\\\\", "a%5C", "a\\u002", "A/b", "%", "&", "\\", "\\u", "" };
	char text[32];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(texts); i++) {
		(void)snprintf(text, sizeof(text), "%s", texts[i]);
		secret_hide(text, "a/b");
		assert_string_equal(text, texts[i]);
		secret_hide(text, "");
		assert_string_equal(text, texts[i]);
	}
}

/* A peer that means to keep us busy does not. */
static void
test_hide_soon(void **state)
{
	static const char *const pieces[] = { "\\", "\\\\n", "%5C", "a\\", "&#",
	    "a%5C", "&#0", "%" };
	static char text[1 << 18];
	size_t i, len;
	time_t begun = time(NULL);

	(void)state;
	for (i = 0; i < NITEMS(pieces); i++) {
		for (len = 0; len + 8 < sizeof(text); len += strlen(pieces[i]))
			memcpy(&text[len], pieces[i], strlen(pieces[i]));
		text[len] = '\0';
		secret_hide(text, "aaa/b");
	}
	assert_true(time(NULL) - begun < 30);
}

static void
test_concat(void **state)
{
	char *text;

	(void)state;
	text = secret_concat(SECRET_TEXTS("id", ":", "", "secret"));
	assert_string_equal(text, "id:secret");
	secret_free(text, strlen(text));
	text = secret_concat(SECRET_TEXTS(""));
	assert_string_equal(text, "");
	secret_free(text, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_hide),
		cmocka_unit_test(test_hide_spellings),
		cmocka_unit_test(test_hide_others),
		cmocka_unit_test(test_hide_soon),
		cmocka_unit_test(test_concat),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_libraries),
		cmocka_unit_test(test_nothing),
	};

	secret_wipe_allocations();
	if (secret_curl_init() != 0)
		return (1);
	return (cmocka_run_group_tests_name("secret", tests, NULL, NULL));
}
