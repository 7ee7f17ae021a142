#include <sys/wait.h>

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bursts.h"

#include "unit.h"

/* Two formats of messages. */
static const char a[] = "a", b[] = "b";

static struct bursts *bursts;
static struct burst burst;

/* Add ${n} of ${kind} at ${now}, numbered from 0; return how many are shown. */
static int
add(const char *kind, int level, long now, int n)
{
	char text[2] = "?";
	int i, shown = 0;

	for (i = 0; i < n; i++) {
		*text = (char)('a' + i);
		shown += bursts_add(bursts, kind, level, now, text, 1);
	}
	return (shown);
}

static int
setup(void **state)
{

	(void)state;
	return ((bursts = bursts_new()) != NULL ? 0 : -1);
}

/* What is not shown is counted, of each kind and level apart. */
static void
test_counted(void **state)
{

	(void)state;
	assert_int_equal(add(a, 1, 1000, BURSTS_SHOWN), BURSTS_SHOWN);
	assert_int_equal(add(a, 1, 1500, 1), 0);
	assert_int_equal(add(a, 1, 2000, 3), 0);
	assert_int_equal(add(b, 1, 2000, 1), 1);
	assert_int_equal(add(a, 2, 2000, BURSTS_SHOWN + 1), BURSTS_SHOWN);

	/* The interval is not over before its end. */
	assert_int_equal(bursts_take(bursts, 1000 + BURSTS_INTERVAL_MS - 1, 0,
	    &burst), 0);
	assert_int_equal(bursts_take(bursts, 1000 + BURSTS_INTERVAL_MS, 0,
	    &burst), 1);
	assert_int_equal(burst.level, 1);
	assert_int_equal(burst.count, 4);
	assert_int_equal(burst.seconds, BURSTS_INTERVAL_MS / 1000);
	assert_int_equal(burst.len, 1);
	assert_int_equal(*burst.text, 'c');
	assert_int_equal(bursts_take(bursts, 1000 + BURSTS_INTERVAL_MS, 0,
	    &burst), 0);

	/* At the end nothing is left out; what was taken is taken. */
	assert_int_equal(bursts_take(bursts, 3001, 1, &burst), 1);
	assert_int_equal(burst.level, 2);
	assert_int_equal(burst.count, 1);
	assert_int_equal(burst.seconds, 2);
	assert_int_equal(bursts_take(bursts, 3001, 1, &burst), 0);
}

/* After each interval the first few are shown again; none is forgotten. */
static void
test_next_interval(void **state)
{
	const long end = 1000 + BURSTS_INTERVAL_MS;

	(void)state;
	assert_int_equal(add(a, 1, 1000, BURSTS_SHOWN), BURSTS_SHOWN);
	assert_int_equal(add(a, 1, end, BURSTS_SHOWN + 2), BURSTS_SHOWN);

	/* What waits to be told goes on being counted until it is. */
	assert_int_equal(add(a, 1, end + BURSTS_INTERVAL_MS, 3), 0);
	assert_int_equal(bursts_take(bursts, end + BURSTS_INTERVAL_MS + 1, 0,
	    &burst), 1);
	assert_int_equal(burst.count, 5);
	assert_int_equal(burst.seconds, BURSTS_INTERVAL_MS / 1000 + 1);
	assert_int_equal(add(a, 1, end + BURSTS_INTERVAL_MS + 2,
	    BURSTS_SHOWN + 1), BURSTS_SHOWN);
}

/* More kinds than there is room for: all are shown, until room is free. */
static void
test_many_kinds(void **state)
{
	static char kinds[1000];
	size_t i;
	int none = 0;

	(void)state;
	for (i = 0; i < sizeof(kinds); i++)
		none += add(&kinds[i], 1, 1000, BURSTS_SHOWN + 1) ==
		    BURSTS_SHOWN + 1;
	assert_in_range(none, 1, sizeof(kinds) - 100);

	/* What has not been told keeps its place; of the others it is free. */
	i = sizeof(kinds) - 1;
	assert_int_equal(add(&kinds[i], 1, 1000 + BURSTS_INTERVAL_MS,
	    BURSTS_SHOWN + 1), BURSTS_SHOWN + 1);
	while (bursts_take(bursts, 1000 + BURSTS_INTERVAL_MS, 0, &burst))
		assert_int_equal(burst.count, 1);
	assert_int_equal(add(&kinds[i], 1, 1000 + 2 * BURSTS_INTERVAL_MS,
	    BURSTS_SHOWN + 1), BURSTS_SHOWN);
}

/* A text that is too long to be kept is shown. */
static void
test_too_long(void **state)
{
	static char text[BURSTS_TEXT_LEN + 1];

	(void)state;
	assert_int_equal(add(a, 1, 1000, BURSTS_SHOWN), BURSTS_SHOWN);
	assert_int_equal(bursts_add(bursts, a, 1, 1000, text, sizeof(text)),
	    1);
	assert_int_equal(bursts_add(bursts, a, 1, 1000, text,
	    sizeof(text) - 1), 0);
}

/* Wherever a worker is killed, the others go on counting. */
static void
test_killed(void **state)
{
	static const struct timespec moment = { .tv_nsec = 100000 };
	int i;
	pid_t pid;

	(void)state;
	(void)alarm(60);
	for (i = 0; i < 50; i++) {
		if ((pid = fork()) == 0) {
			for (;;)
				(void)add(a, 1, 1000, 1);
		}
		assert_true(pid > 0);
		(void)nanosleep(&moment, NULL);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		(void)add(a, 1, 1000, BURSTS_SHOWN);
		assert_int_equal(add(a, 1, 1000, 1), 0);
		assert_int_equal(bursts_take(bursts, 1000, 1, &burst), 1);
		assert_in_range(burst.len, 0, 1);
		assert_int_equal(bursts_take(bursts, 1000, 1, &burst), 0);
	}
	(void)alarm(0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_counted, setup),
		cmocka_unit_test_setup(test_next_interval, setup),
		cmocka_unit_test_setup(test_many_kinds, setup),
		cmocka_unit_test_setup(test_too_long, setup),
		cmocka_unit_test_setup(test_killed, setup),
	};

	return (cmocka_run_group_tests_name("bursts", tests, NULL, NULL));
}
