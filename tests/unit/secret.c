#include <sys/time.h>

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

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

/* The ${len} bytes of ${text} must have been overwritten. */
static void
check_wiped(const json_t *text, size_t len)
{
	const char *s = json_string_value(text);
	size_t i;

	assert_non_null(s);
	for (i = 0; i < len; i++)
		assert_int_equal(s[i], 0);
}

/* Texts are wiped wherever they are; what else there is stays as it was. */
static void
test_json(void **state)
{
	json_t *text = json_string("top secret"), *deep, *root;

	(void)state;
	secret_wipe_json(text);
	check_wiped(text, 10);
	json_decref(text);

	text = json_string("token");
	deep = json_string("key");
	assert_non_null(text);
	assert_non_null(deep);
	root = json_pack("{s:O, s:[i, {s:[O]}, n], s:i, s:b, s:s}",
	    "a", text, "b", 7, "c", deep, "d", 42, "e", 1, "f", "");
	assert_non_null(root);
	secret_wipe_json(root);
	check_wiped(text, 5);
	check_wiped(deep, 3);
	assert_int_equal(json_object_size(root), 5);
	assert_int_equal(json_integer_value(json_object_get(root, "d")), 42);
	assert_true(json_is_true(json_object_get(root, "e")));

	/* Freed with the object, but for the references held here. */
	secret_free_json(root);
	assert_int_equal(text->refcount, 1);
	assert_int_equal(deep->refcount, 1);
	json_decref(text);
	json_decref(deep);
}

static void
test_nothing(void **state)
{
	json_t *number = json_integer(1);

	(void)state;
	secret_free(NULL, 0);
	secret_free(NULL, 10);
	secret_free(malloc(1), 0);
	secret_wipe_json(NULL);
	secret_wipe_json(number);
	assert_int_equal(json_integer_value(number), 1);
	secret_free_json(number);
	secret_free_json(NULL);
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
		cmocka_unit_test(test_concat),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_no_file),
		cmocka_unit_test(test_interrupted),
		cmocka_unit_test(test_json),
		cmocka_unit_test(test_nothing),
	};

	return (cmocka_run_group_tests_name("secret", tests, NULL, NULL));
}
