#include <sys/stat.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "metrics.h"

#include "unit.h"

#define TRACE	"4bf92f3577b34da6a3ce929d0e0e4736"
#define OTHER_TRACE	"0123456789abcdef0123456789abcdef"

static char dir[] = "/tmp/followup-metrics.XXXXXX";
static char path[64], new[64];

static int
begin(void **state)
{

	(void)state;
	(void)unlink(path);
	return (metrics_init(dir, CONFIG_EXECUTE));
}

static int
end(void **state)
{

	(void)state;
	metrics_end();
	return (unlink(path));
}

/* The value that the file has; -1: it has none. */
static long
value(enum metric metric, int label)
{
	struct metrics_snapshot *s = metrics_read(dir, CONFIG_EXECUTE);
	long n;

	assert_non_null(s);
	if (metrics_value(s, metric, label, &n) != 0)
		n = -1;
	metrics_snapshot_free(s);
	return (n);
}

/* Run ${work} in a process that is killed then. */
static void
in_child(void (*work)(void))
{
	int status;
	pid_t pid;

	if ((pid = fork()) == 0) {
		work();
		(void)raise(SIGKILL);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(WTERMSIG(status), SIGKILL);
}

static void
count_thousand(void)
{
	int i;

	metrics_worker(1);
	metrics_busy(1);
	for (i = 0; i < 1000; i++)
		metrics_add(METRICS_CALLBACKS, METRICS_CALLBACK_DEAD, 1);
}

/* Everything has a row that Prometheus takes. */
static void
table(void **state)
{
	const struct metrics_family *f;
	size_t len;
	int m;

	(void)state;
	for (m = 0; m < METRICS_N; m++) {
		f = &metrics_families[m];
		assert_non_null(f->name);
		len = strlen(f->name);
		ASSERT_ROW(strncmp(f->name, "followup_", 9) == 0, f->name);
		ASSERT_ROW((f->type == METRICS_COUNTER) == (len > 6 &&
		    strcmp(&f->name[len - 6], "_total") == 0), f->name);
		ASSERT_ROW((f->type == METRICS_HISTOGRAM) ==
		    (f->buckets != NULL), f->name);
		ASSERT_ROW(f->programs != 0, f->name);
		if (m == 0 || strcmp(f->name, f[-1].name) != 0)
			ASSERT_ROW(f->help != NULL, f->name);
	}
}

/* Without a file nothing happens. */
static void
nothing(void **state)
{

	(void)state;
	metrics_add(METRICS_CALLBACKS, 0, 1);
	metrics_set(METRICS_WORKERS, 0, 1);
	metrics_called(1, TRACE);
	metrics_not_made(METRICS_REASON_DEAD);
	metrics_busy(1);
	metrics_schema("x");
	assert_int_equal(metrics_beat(1), -1);
	assert_false(metrics_collect_begin(100, 1));
	assert_null(metrics_read(dir, CONFIG_EXECUTE));
	assert_int_equal(metrics_init("/nowhere", CONFIG_EXECUTE), -1);
	assert_int_equal(errno, ENOENT);
}

/* What workers count outlives them, and no label's value takes another's. */
static void
workers(void **state)
{
	int i;

	(void)state;
	metrics_worker(0);
	in_child(count_thousand);
	in_child(count_thousand);
	for (i = METRICS_CALLBACK_EXECUTED; i <= METRICS_CALLBACK_REFUSED; i++)
		assert_int_equal(value(METRICS_CALLBACKS, i),
		    i == METRICS_CALLBACK_DEAD ? 2000 : 0);
	assert_int_equal(value(METRICS_WORKERS, 0), 2);
	assert_int_equal(value(METRICS_WORKERS_BUSY, 0), 1);
	metrics_worker_ended(1, 0);
	assert_int_equal(value(METRICS_WORKERS, 0), 1);
	assert_int_equal(value(METRICS_WORKERS_BUSY, 0), 0);
	assert_int_equal(value(METRICS_WORKER_EXITS, 0), 1);
	metrics_worker_ended(0, 1);
	assert_int_equal(value(METRICS_WORKER_EXITS, 0), 1);

	/* A label that is none of its list's. */
	metrics_add(METRICS_CALLBACKS, METRICS_CALLBACK_REFUSED + 1, 7);
	metrics_add(METRICS_CALLBACKS, -1, 7);
	for (i = METRICS_RULE_MISSING; i <= METRICS_RULE_SECRET; i++)
		assert_int_equal(value(METRICS_CALLBACKS_REFUSED, i), 0);
}

/* Started again: counters go on, gauges begin. */
static void
again(void **state)
{
	struct metrics_histogram h;
	struct metrics_snapshot *s;
	struct stat st;

	(void)state;
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	metrics_add(METRICS_CALL_ATTEMPTS, METRICS_ATTEMPT_STARTED, 3);
	metrics_observe(METRICS_CALL_REQUEST_DURATION, 0, 0.2);
	metrics_set(METRICS_DATABASE_CONNECTED, 0, 1);
	metrics_set_now(METRICS_KEYS_FETCHED);
	metrics_worker(3);
	assert_true(value(METRICS_KEYS_FETCHED, 0) > 1700000000000);
	assert_int_equal(metrics_init(dir, CONFIG_EXECUTE), 0);
	assert_int_equal(value(METRICS_CALL_ATTEMPTS,
	    METRICS_ATTEMPT_STARTED), 3);
	assert_int_equal(value(METRICS_DATABASE_CONNECTED, 0), 0);
	assert_int_equal(value(METRICS_KEYS_FETCHED, 0), -1);
	assert_int_equal(value(METRICS_WORKERS, 0), 0);
	s = metrics_read(dir, CONFIG_EXECUTE);
	metrics_histogram(s, METRICS_CALL_REQUEST_DURATION, 0, &h);
	assert_int_equal(h.n, 14);
	assert_int_equal(h.counts[5], 1);
	assert_true(h.sum > 0.199 && h.sum < 0.201);
	metrics_snapshot_free(s);

	/* A file of another version, or none: from the start. */
	metrics_end();
	assert_int_equal(truncate(path, 100), 0);
	assert_null(metrics_read(dir, CONFIG_EXECUTE));
	assert_int_equal(metrics_init(dir, CONFIG_EXECUTE), 0);
	assert_int_equal(value(METRICS_CALL_ATTEMPTS,
	    METRICS_ATTEMPT_STARTED), 0);
}

/* Write ${n} bytes ${c} to the file at ${offset}. */
static void
spoil(off_t offset, int c, size_t n)
{
	char bytes[64];
	int fd = open(path, O_WRONLY);

	memset(bytes, c, sizeof(bytes));
	assert_true(n <= sizeof(bytes));
	assert_int_equal(pwrite(fd, bytes, n, offset), n);
	(void)close(fd);
}

/* What others wrote, in whatever form, is no trouble of who reads it. */
static void
spoilt(void **state)
{
	struct metrics_snapshot *s;

	(void)state;
	spoil(16, 'v', 64);
	s = metrics_read(dir, CONFIG_EXECUTE);
	assert_int_equal(strspn(metrics_version(s), "v"), 31);
	assert_int_equal(strlen(metrics_version(s)), 31);
	assert_int_equal(strlen(metrics_schema_found(s)), 31);
	metrics_snapshot_free(s);

	/* Its numbers may mean something else. */
	metrics_add(METRICS_CALLBACKS, METRICS_CALLBACK_BUSY, 1);
	spoil(8, 'l', 8);
	assert_null(metrics_read(dir, CONFIG_EXECUTE));
	assert_int_equal(metrics_init(dir, CONFIG_EXECUTE), 0);
	assert_int_equal(value(METRICS_CALLBACKS, METRICS_CALLBACK_BUSY), 0);

	/* Killed before there was room, or before it had its name. */
	metrics_end();
	assert_int_equal(rename(path, new), 0);
	assert_int_equal(truncate(new, 100), 0);
	assert_null(metrics_read(dir, CONFIG_EXECUTE));
	assert_int_equal(metrics_init(dir, CONFIG_EXECUTE), 0);
	assert_int_equal(value(METRICS_CALLBACKS, METRICS_CALLBACK_BUSY), 0);
	assert_int_equal(access(new, F_OK), -1);
}

/* Wherever a worker is killed, its place and its exemplar are free again. */
static void
killed(void **state)
{
	static const struct timespec moment = { .tv_nsec = 500000 };
	struct metrics_exemplar e;
	struct metrics_snapshot *s;
	int i;
	pid_t pid;

	(void)state;
	for (i = 0; i < 50; i++) {
		if ((pid = fork()) == 0) {
			metrics_worker(1);
			for (;;)
				metrics_called(0.01, OTHER_TRACE);
		}
		assert_true(pid > 0);
		(void)nanosleep(&moment, NULL);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		metrics_worker_ended(1, 0);
		metrics_called(0.01, TRACE);
		s = metrics_read(dir, CONFIG_EXECUTE);
		assert_int_equal(metrics_exemplar(s, 0, &e), 0);
		assert_string_equal(e.trace_id, TRACE);
		metrics_snapshot_free(s);
	}
}

/* Of two that begin at the same moment, one has the file. */
static void
both_at_once(void **state)
{
	int go[2], done[2], stay[2], i, j, status, mine;
	pid_t pids[2];
	char c;

	(void)state;
	metrics_end();
	for (i = 0; i < 100; i++) {
		(void)unlink(path);
		assert_int_equal(pipe(go) | pipe(done) | pipe(stay), 0);
		for (j = 0; j < 2; j++) {
			if ((pids[j] = fork()) != 0)
				continue;
			(void)close(go[1]);
			(void)close(stay[1]);
			(void)!read(go[0], &c, 1);
			mine = metrics_init(dir, CONFIG_EXECUTE) == 0;
			metrics_add(METRICS_CALLBACKS, 0, 1);
			if (write(done[1], "x", 1) != 1 ||
			    (!mine && errno != EAGAIN))
				_exit(2);
			(void)!read(stay[0], &c, 1);
			_exit(mine);
		}
		(void)close(go[1]);
		for (j = 0; j < 2; j++)
			assert_int_equal(read(done[0], &c, 1), 1);
		assert_int_equal(value(METRICS_CALLBACKS, 0), 1);
		(void)close(stay[1]);
		for (j = 0, mine = 0; j < 2; j++) {
			(void)waitpid(pids[j], &status, 0);
			mine += WEXITSTATUS(status);
		}
		assert_int_equal(mine, 1);
		assert_int_equal(access(new, F_OK), -1);
		(void)close(go[0]);
		(void)close(done[0]);
		(void)close(done[1]);
		(void)close(stay[0]);
	}
}

static void
try_it_and_stand_by(void)
{
	int is_mine;

	metrics_end();
	is_mine = metrics_init(dir, CONFIG_EXECUTE) == 0;
	metrics_add(METRICS_CALLBACKS, METRICS_CALLBACK_BUSY, 1);
	if (is_mine || metrics_beat(1) < 0)
		_exit(1);
}

/* A second instance leaves the file to the first, until that one is gone. */
static void
second(void **state)
{
	int ready[2], stay[2];
	pid_t pid;
	char c;

	(void)state;
	in_child(try_it_and_stand_by);
	assert_int_equal(value(METRICS_CALLBACKS, METRICS_CALLBACK_BUSY), 0);

	metrics_end();
	assert_int_equal(pipe(ready), 0);
	assert_int_equal(pipe(stay), 0);
	if ((pid = fork()) == 0) {
		(void)close(stay[1]);
		if (metrics_init(dir, CONFIG_EXECUTE) != 0)
			_exit(1);
		metrics_add(METRICS_CALLBACKS, METRICS_CALLBACK_BUSY, 5);
		if (write(ready[1], "x", 1) != 1 ||
		    read(stay[0], &c, 1) != 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(read(ready[0], &c, 1), 1);
	assert_int_equal(metrics_init(dir, CONFIG_EXECUTE), -1);
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(metrics_beat(1000), 1000);
	metrics_add(METRICS_CALLBACKS, METRICS_CALLBACK_BUSY, 100);
	(void)close(stay[1]);
	(void)waitpid(pid, NULL, 0);
	assert_int_equal(metrics_beat(2000), 1000);
	metrics_add(METRICS_CALLBACKS, METRICS_CALLBACK_BUSY, 1);
	assert_int_equal(value(METRICS_CALLBACKS, METRICS_CALLBACK_BUSY), 6);
	(void)close(ready[0]);
	(void)close(ready[1]);
	(void)close(stay[0]);
}

/* It is up for ten seconds after each beat. */
static void
up(void **state)
{
	struct metrics_snapshot *s;

	(void)state;
	assert_int_equal(metrics_beat(50000), 1000);
	s = metrics_read(dir, CONFIG_EXECUTE);
	assert_true(metrics_is_up(s, 50000));
	assert_true(metrics_is_up(s, 59999));
	assert_false(metrics_is_up(s, 60000));
	assert_false(metrics_is_up(NULL, 50000));
	metrics_snapshot_free(s);
}

/* One worker in an interval asks the database. */
static void
collecting(void **state)
{
	struct metrics_snapshot *s;

	(void)state;
	assert_true(metrics_collect_begin(1000, 10000));
	assert_false(metrics_collect_begin(10999, 10000));
	assert_true(metrics_collect_begin(11000, 10000));
	assert_false(metrics_collect_begin(11000, 10000));
	metrics_collect_end(11000);
	metrics_schema("abc");
	s = metrics_read(dir, CONFIG_EXECUTE);
	assert_true(metrics_is_collected(s, 21000, 10000));
	assert_false(metrics_is_collected(s, 21001, 10000));
	assert_string_equal(metrics_schema_found(s), "abc");
	assert_string_equal(metrics_schema_found(NULL), "unknown");
	metrics_snapshot_free(s);
	metrics_collect_end(0);
	s = metrics_read(dir, CONFIG_EXECUTE);
	assert_false(metrics_is_collected(s, 11000, 10000));
	metrics_snapshot_free(s);
}

/* Calls: buckets, exemplars, and the last hour by the minute. */
static void
calls(void **state)
{
	static const double lateness[] = { -3, 0.01, 0.4, 60, 60.5, 4000 };
	static const size_t buckets[] = { 0, 0, 3, 9, 10, 14 };
	struct metrics_minute minutes[METRICS_MINUTES];
	struct metrics_exemplar e;
	struct metrics_histogram h;
	struct metrics_snapshot *s;
	unsigned long in_time = 0, late = 0, not_made = 0, all = 0;
	unsigned long steps[METRICS_STEPS] = { 0 };
	size_t i, j;

	(void)state;
	(void)metrics_beat(1);
	metrics_called(lateness[0], NULL);
	metrics_called(lateness[1], TRACE "-00f067aa0ba902b7-01");
	for (i = 2; i < NITEMS(lateness); i++)
		metrics_called(lateness[i], "no trace at all");
	for (i = METRICS_REASON_EXPIRED; i <= METRICS_REASON_GATE; i++)
		metrics_not_made((enum metrics_reason)i);
	metrics_add(METRICS_CALLBACKS, METRICS_CALLBACK_EXECUTED, 3);
	metrics_add(METRICS_CALLBACKS, METRICS_CALLBACK_RETRY, 2);
	metrics_add(METRICS_CALL_ATTEMPTS, METRICS_ATTEMPT_STARTED, 1);
	s = metrics_read(dir, CONFIG_EXECUTE);
	metrics_histogram(s, METRICS_CALL_LATENESS, 0, &h);
	for (i = 0; i < NITEMS(lateness); i++)
		assert_true(h.counts[buckets[i]] >= 1);
	assert_int_equal(metrics_exemplar(s, 0, &e), 0);
	assert_string_equal(e.trace_id, TRACE);
	assert_true(e.value > 0.009 && e.value < 0.011);
	assert_true(e.time > 1.7e9);
	for (i = 1; i <= METRICS_BUCKETS; i++)
		assert_int_equal(metrics_exemplar(s, i, &e), -1);
	metrics_snapshot_free(s);

	/* It may be another minute by now. */
	metrics_minutes(dir, time(NULL), minutes);
	for (i = 0; i < METRICS_MINUTES; i++) {
		in_time += minutes[i].in_time;
		late += minutes[i].late;
		not_made += minutes[i].not_made;
		for (j = 0; j < minutes[i].lateness.n; j++)
			all += minutes[i].lateness.counts[j];
		for (j = 0; j < METRICS_STEPS; j++)
			steps[j] += minutes[i].steps[j];
		assert_true(i < METRICS_MINUTES - 2 ?
		    minutes[i].in_time == 0 : 1);
	}
	assert_int_equal(in_time, 4);
	assert_int_equal(late, 2);
	assert_int_equal(not_made, 2);		/* expired, dead */
	assert_int_equal(all, 6);
	for (j = 0; j < METRICS_STEPS; j++)
		assert_int_equal(steps[j], j == METRICS_STEP_CALLED_BACK ? 5 :
		    j == METRICS_STEP_CALL);

	/* An hour later, when its place is used again, nothing. */
	metrics_minutes(dir, time(NULL) + 3840, minutes);
	for (i = 0; i < METRICS_MINUTES; i++)
		assert_int_equal(minutes[i].in_time + minutes[i].late, 0);
}

static void
quantiles(void **state)
{
	struct metrics_histogram h = { .n = 15 };
	double q;

	(void)state;
	assert_true(metrics_quantile(&h, METRICS_CALL_LATENESS, 0.5) < 0);
	h.counts[3] = 10;		/* from 0.1 to 0.5 */
	q = metrics_quantile(&h, METRICS_CALL_LATENESS, 0.5);
	assert_true(q > 0.299 && q < 0.301);
	h.counts[14] = 90;
	q = metrics_quantile(&h, METRICS_CALL_LATENESS, 0.99);
	assert_true(q > 3599 && q < 3601);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(table),
		cmocka_unit_test(nothing),
		cmocka_unit_test_setup_teardown(workers, begin, end),
		cmocka_unit_test_setup_teardown(again, begin, end),
		cmocka_unit_test_setup_teardown(spoilt, begin, end),
		cmocka_unit_test_setup_teardown(killed, begin, end),
		cmocka_unit_test_setup_teardown(both_at_once, begin, end),
		cmocka_unit_test_setup_teardown(second, begin, end),
		cmocka_unit_test_setup_teardown(up, begin, end),
		cmocka_unit_test_setup_teardown(collecting, begin, end),
		cmocka_unit_test_setup_teardown(calls, begin, end),
		cmocka_unit_test(quantiles),
	};
	int failed;

	if (mkdtemp(dir) == NULL)
		return (1);
	(void)snprintf(path, sizeof(path), "%s/execute.metrics", dir);
	(void)snprintf(new, sizeof(new), "%s/execute.metrics.new", dir);
	failed = cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
	(void)rmdir(dir);
	return (failed);
}
