#include <sys/stat.h>
#include <sys/wait.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "verdicts.h"

#include "unit.h"

static char dir[] = "/tmp/followup-verdicts.XXXXXX";
static char path[64];
static struct verdicts *v;

static int
begin(void **state)
{

	(void)state;
	assert_non_null(v = verdicts_new(path));
	return (0);
}

static int
end(void **state)
{

	(void)state;
	verdicts_free(v);
	verdicts_free(NULL);
	(void)unlink(path);
	return (0);
}

static void
expect(long refused, long at, const char *reason)
{
	struct verdicts_seen seen;

	assert_int_equal(verdicts_read(path, &seen), 0);
	assert_int_equal(seen.refused, refused);
	if (refused == 0)
		return;
	assert_int_equal(seen.refused_at, at);
	assert_string_equal(seen.reason, reason);
}

/* Those refused in a row count, with the last one's reason. */
static void
counting(void **state)
{

	(void)state;
	expect(0, 0, "");
	verdicts_refused(v, 100, "its key is unknown");
	verdicts_refused(v, 200, "no token");
	expect(2, 200, "no token");
	verdicts_accepted(v);
	expect(0, 0, "");
	verdicts_refused(v, 300, "it has expired");
	expect(1, 300, "it has expired");
	verdicts_accepted(NULL);
	verdicts_refused(NULL, 1, "x");
}

/* All workers write to the same file. */
static void
workers(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	assert_true((pid = fork()) >= 0);
	if (pid == 0) {
		verdicts_refused(v, 5, "by another");
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	verdicts_refused(v, 6, "by this one");
	expect(2, 6, "by this one");
}

/* What is called is looked after by another module, in the same file. */
static void
agent(void **state)
{
	struct breaker_view *view = verdicts_agent(v);
	struct verdicts_seen seen;

	(void)state;
	assert_int_equal(verdicts_read(path, &seen), 0);
	assert_int_equal(seen.agent_since, 0);
	assert_string_equal(seen.agent_reason, "");
	memset(view->reason, 'r', sizeof(view->reason));
	atomic_store(&view->open_since, 77);
	assert_int_equal(verdicts_read(path, &seen), 0);
	assert_int_equal(seen.agent_since, 77);
	assert_int_equal(strlen(seen.agent_reason), BREAKER_REASON_LEN - 1);
	assert_int_equal(seen.refused, 0);
	assert_null(verdicts_agent(NULL));
}

static void
long_reasons(void **state)
{
	char reason[2 * VERDICTS_REASON_LEN], whole[VERDICTS_REASON_LEN];

	(void)state;
	memset(reason, 'r', sizeof(reason) - 1);
	reason[sizeof(reason) - 1] = '\0';
	memset(whole, 'r', sizeof(whole) - 1);
	whole[sizeof(whole) - 1] = '\0';
	verdicts_refused(v, 1, reason);
	expect(1, 1, whole);
}

/* What is there is replaced, and belongs to the group. */
static void
files(void **state)
{
	struct verdicts_seen seen;
	struct stat st;
	FILE *f;

	(void)state;
	verdicts_refused(v, 1, "x");
	verdicts_free(v);
	assert_non_null(v = verdicts_new(path));
	expect(0, 0, "");
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);

	/* Another file, or a shorter one, is not believed. */
	assert_int_equal(unlink(path), 0);
	assert_int_equal(verdicts_read(path, &seen), -1);
	assert_non_null(f = fopen(path, "w"));
	assert_true(fprintf(f, "%*s", 64, "") == 64);
	assert_int_equal(fflush(f), 0);
	assert_int_equal(verdicts_read(path, &seen), -1);
	assert_true(fprintf(f, "%*s", 4096, "") == 4096);
	assert_int_equal(fclose(f), 0);
	assert_int_equal(verdicts_read(path, &seen), -1);
	assert_null(verdicts_new("/nonexistent/verdicts"));
}

static int
make_dir(void **state)
{

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(path, sizeof(path), "%s/verdicts", dir);
	return (0);
}

static int
remove_dir(void **state)
{

	(void)state;
	return (rmdir(dir));
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counting),
		TEST(workers),
		TEST(agent),
		TEST(long_reasons),
		TEST(files),
	};

	return (cmocka_run_group_tests(tests, make_dir, remove_dir));
}
