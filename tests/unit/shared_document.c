#include <sys/mman.h>
#include <sys/wait.h>

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "shared_document.h"

#include "unit.h"

#define PATIENCE_MS	10000

/*
 * Another process: it runs a function, reports by a byte over a pipe, and
 * waits for a byte over another before it goes on.
 */
struct other {
	pid_t pid;
	int report;
	int order;
};

/* In the other process: what it reports to and waits on. */
static int report_fd, order_fd;

static void
report(char c)
{

	if (write(report_fd, &c, 1) != 1)
		_exit(10);
}

static void
await_order(void)
{
	char c;

	if (read(order_fd, &c, 1) != 1)
		_exit(11);
}

static void
other_start(struct other *o, struct shared_document *shared,
    void (*run)(struct shared_document *))
{
	int up[2], down[2];

	assert_int_equal(pipe(up), 0);
	assert_int_equal(pipe(down), 0);
	if ((o->pid = fork()) == 0) {
		(void)close(up[0]);
		(void)close(down[1]);
		report_fd = up[1];
		order_fd = down[0];
		run(shared);
		_exit(0);
	}
	assert_true(o->pid > 0);
	(void)close(up[1]);
	(void)close(down[0]);
	o->report = up[0];
	o->order = down[1];
}

/* What the other process reports, or 0 if it says nothing in ${ms}. */
static char
other_report(struct other *o, int ms)
{
	struct pollfd pfd = { .fd = o->report, .events = POLLIN };
	char c = 0;

	if (poll(&pfd, 1, ms) == 1 && read(o->report, &c, 1) != 1)
		c = 0;
	return (c);
}

static void
other_order(struct other *o)
{

	assert_int_equal(write(o->order, "x", 1), 1);
}

/* Wait for its end; it must have ended well, or been killed by ${sig}. */
static void
other_end(struct other *o, int sig)
{
	int status;

	assert_int_equal(waitpid(o->pid, &status, 0), o->pid);
	(void)close(o->report);
	(void)close(o->order);
	if (sig != 0)
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == sig);
	else
		assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* The document must be ${want}, of this generation. */
static void
check_document(struct shared_document *shared, const char *want,
    uint64_t generation)
{
	uint64_t got = 0;
	size_t len = 0;
	char *text = shared_document_copy(shared, &len, &got);

	if (want == NULL) {
		assert_null(text);
		return;
	}
	assert_non_null(text);
	assert_string_equal(text, want);
	assert_int_equal(len, strlen(want));
	assert_int_equal(got, generation);
	assert_int_equal(shared_document_generation(shared), generation);
	free(text);
}

static void
test_document(void **state)
{
	struct shared_document *shared = shared_document_new(8);

	(void)state;
	assert_non_null(shared);
	assert_int_equal(shared_document_generation(shared), 0);
	assert_int_equal(shared_document_expires(shared), 0);
	check_document(shared, NULL, 0);

	assert_int_equal(shared_document_renewal_begin(shared, DOCUMENT_EXPIRED,
	    1, 100, 5), 1);
	shared_document_renewal_end(shared, "first", 5, 1000);
	check_document(shared, "first", 1);
	assert_int_equal(shared_document_expires(shared), 1000);

	/* A failure leaves everything as it was. */
	assert_int_equal(shared_document_renewal_begin(shared, DOCUMENT_EXPIRED,
	    1, 200, 5), 1);
	shared_document_renewal_end(shared, NULL, 0, 0);
	check_document(shared, "first", 1);
	assert_int_equal(shared_document_expires(shared), 1000);

	/* As long as there is room, and no longer. */
	assert_int_equal(shared_document_renewal_begin(shared, DOCUMENT_EXPIRED,
	    1, 300, 5), 1);
	shared_document_renewal_end(shared, "12345678", 8, 2000);
	check_document(shared, "12345678", 2);
	assert_int_equal(shared_document_renewal_begin(shared, DOCUMENT_EXPIRED,
	    1, 400, 5), 1);
	shared_document_renewal_end(shared, "123456789", 9, 3000);
	check_document(shared, "12345678", 2);
	assert_int_equal(shared_document_expires(shared), 2000);

	/* A shorter one leaves nothing of the longer one. */
	assert_int_equal(shared_document_renewal_begin(shared, DOCUMENT_EXPIRED,
	    1, 500, 5), 1);
	shared_document_renewal_end(shared, "", 0, 4000);
	check_document(shared, "", 3);
	shared_document_free(shared);
	shared_document_free(NULL);
}

/* The interval is kept for each reason by itself, whatever came of it. */
static void
test_intervals(void **state)
{
	static const struct {
		const char *name;
		time_t now, interval;
		enum shared_document_reason reason;
		int want;
	} rows[] = {
		{ "first", 1000, 60, DOCUMENT_EXPIRED, 1 },
		{ "at once", 1000, 60, DOCUMENT_EXPIRED, 0 },
		{ "just before", 1059, 60, DOCUMENT_EXPIRED, 0 },
		{ "the other reason", 1059, 60, DOCUMENT_WANTING, 1 },
		{ "the other reason again", 1060, 60, DOCUMENT_WANTING, 0 },
		{ "in time", 1060, 60, DOCUMENT_EXPIRED, 1 },
		{ "stamped anew", 1119, 60, DOCUMENT_EXPIRED, 0 },
		{ "no interval", 1119, 0, DOCUMENT_EXPIRED, 1 },
		{ "the other in time", 1119, 60, DOCUMENT_WANTING, 1 },
		{ "the clock was set back", 500, 60, DOCUMENT_EXPIRED, 1 },
	};
	struct shared_document *shared = shared_document_new(8);
	size_t i;
	int got;

	(void)state;
	assert_non_null(shared);
	for (i = 0; i < NITEMS(rows); i++) {
		got = shared_document_renewal_begin(shared, rows[i].reason, 0,
		    rows[i].now, rows[i].interval);
		ASSERT_ROW(got == rows[i].want, rows[i].name);
		/* Every other one fails. */
		if (got)
			shared_document_renewal_end(shared, i % 2 ? "x" : NULL,
			    i % 2, 9999);
	}
	shared_document_free(shared);
}

/* Begin, report, and end when told to. */
static void
renew_when_told(struct shared_document *shared)
{

	if (!shared_document_renewal_begin(shared, DOCUMENT_EXPIRED, 1, 100, 5))
		_exit(1);
	report('b');
	await_order();
	shared_document_renewal_end(shared, "theirs", 6, 1000);
	report('e');
}

/* Wait for the one who renews; then there is nothing left to do. */
static void
wait_for_renewal(struct shared_document *shared)
{

	report('w');
	if (shared_document_renewal_begin(shared, DOCUMENT_WANTING, 1, 100, 5))
		_exit(1);
	report(shared_document_generation(shared) == 1 ? 'd' : 'n');
}

static void
test_one_at_a_time(void **state)
{
	struct shared_document *shared = shared_document_new(64);
	struct other renewer, waiter;

	(void)state;
	assert_non_null(shared);
	other_start(&renewer, shared, renew_when_told);
	assert_int_equal(other_report(&renewer, PATIENCE_MS), 'b');

	/* Meanwhile nobody else renews, for whatever reason. */
	assert_int_equal(shared_document_renewal_begin(shared, DOCUMENT_EXPIRED,
	    0, 500, 5), 0);
	assert_int_equal(shared_document_renewal_begin(shared, DOCUMENT_WANTING,
	    0, 500, 5), 0);
	/* The document can be looked at all the same. */
	check_document(shared, NULL, 0);

	/* Who waits is woken by the end, and finds the work done. */
	other_start(&waiter, shared, wait_for_renewal);
	assert_int_equal(other_report(&waiter, PATIENCE_MS), 'w');
	assert_int_equal(other_report(&waiter, 100), 0);
	other_order(&renewer);
	assert_int_equal(other_report(&renewer, PATIENCE_MS), 'e');
	assert_int_equal(other_report(&waiter, PATIENCE_MS), 'd');
	other_end(&renewer, 0);
	other_end(&waiter, 0);
	check_document(shared, "theirs", 1);
	shared_document_free(shared);
}

/* Fail, and begin again before whoever waits is awake. */
static void
renew_twice_in_vain(struct shared_document *shared)
{

	if (!shared_document_renewal_begin(shared, DOCUMENT_EXPIRED, 1, 100, 5))
		_exit(1);
	report('b');
	await_order();
	shared_document_renewal_end(shared, NULL, 0, 0);
	if (!shared_document_renewal_begin(shared, DOCUMENT_EXPIRED, 1, 105, 5))
		_exit(1);
	report('b');
	await_order();
	shared_document_renewal_end(shared, NULL, 0, 0);
}

/* Wait since before the last attempt: that one need not be made again. */
static void
wait_for_long(struct shared_document *shared)
{

	report('w');
	if (shared_document_renewal_begin(shared, DOCUMENT_EXPIRED, 1, 103, 5))
		_exit(1);
}

/* A slow source that fails is not asked by each of those who wait in turn. */
static void
test_slow_failures(void **state)
{
	struct shared_document *shared = shared_document_new(64);
	struct other renewer, waiter;

	(void)state;
	assert_non_null(shared);
	other_start(&renewer, shared, renew_twice_in_vain);
	assert_int_equal(other_report(&renewer, PATIENCE_MS), 'b');
	other_start(&waiter, shared, wait_for_long);
	assert_int_equal(other_report(&waiter, PATIENCE_MS), 'w');
	assert_int_equal(other_report(&waiter, 100), 0);
	other_order(&renewer);
	assert_int_equal(other_report(&renewer, PATIENCE_MS), 'b');
	other_order(&renewer);
	other_end(&renewer, 0);
	other_end(&waiter, 0);
	shared_document_free(shared);
}

/* Wait for the one who renews, and take over what it left undone. */
static void
take_over(struct shared_document *shared)
{

	report('w');
	if (!shared_document_renewal_begin(shared, DOCUMENT_WANTING, 1, 100, 5))
		_exit(1);
	shared_document_renewal_end(shared, "mine", 4, 1000);
	report('d');
}

static void
test_killed_renewer(void **state)
{
	struct shared_document *shared = shared_document_new(64);
	struct other renewer, heir;

	(void)state;
	assert_non_null(shared);

	/* Killed while nobody waits: the next one takes over. */
	other_start(&renewer, shared, renew_when_told);
	assert_int_equal(other_report(&renewer, PATIENCE_MS), 'b');
	assert_int_equal(kill(renewer.pid, SIGKILL), 0);
	other_end(&renewer, SIGKILL);
	check_document(shared, NULL, 0);
	/* Its attempt was stamped, and counts. */
	assert_int_equal(shared_document_renewal_begin(shared, DOCUMENT_EXPIRED,
	    0, 104, 5), 0);
	assert_int_equal(shared_document_renewal_begin(shared, DOCUMENT_EXPIRED,
	    0, 105, 5), 1);
	shared_document_renewal_end(shared, NULL, 0, 0);

	/* Killed while another waits: that one takes over. */
	other_start(&renewer, shared, renew_when_told);
	assert_int_equal(other_report(&renewer, PATIENCE_MS), 'b');
	other_start(&heir, shared, take_over);
	assert_int_equal(other_report(&heir, PATIENCE_MS), 'w');
	assert_int_equal(kill(renewer.pid, SIGKILL), 0);
	other_end(&renewer, SIGKILL);
	assert_int_equal(other_report(&heir, PATIENCE_MS), 'd');
	other_end(&heir, 0);
	check_document(shared, "mine", 1);
	shared_document_free(shared);
}

/* Write one document after the other, each of one letter all through. */
static void
write_many(struct shared_document *shared)
{
	char text[4096];
	int i;

	for (i = 0; i < 2000; i++) {
		memset(text, 'a' + i % 26, sizeof(text));
		if (shared_document_renewal_begin(shared, DOCUMENT_EXPIRED, 1,
		    1, 0))
			shared_document_renewal_end(shared, text, sizeof(text),
			    1);
	}
	report('e');
}

/* A copy is never half of one document and half of another. */
static void
test_whole_copies(void **state)
{
	struct shared_document *shared = shared_document_new(4096);
	struct other writers[2];
	uint64_t generation, last = 0;
	size_t len, i;
	char *text;

	(void)state;
	assert_non_null(shared);
	other_start(&writers[0], shared, write_many);
	other_start(&writers[1], shared, write_many);
	for (i = 0; i < 2000; i++) {
		if ((text = shared_document_copy(shared, &len, &generation)) ==
		    NULL)
			continue;
		assert_int_equal(len, 4096);
		assert_true(generation >= last);
		last = generation;
		assert_memory_equal(text, text + 1, len - 1);
		free(text);
	}
	for (i = 0; i < 2; i++) {
		assert_int_equal(other_report(&writers[i], PATIENCE_MS), 'e');
		other_end(&writers[i], 0);
	}
	assert_in_range(shared_document_generation(shared), 2000, 4000);
	shared_document_free(shared);
}

/* Killed while it stores: the last document stays, and can be renewed. */
static void
test_killed_writer(void **state)
{
	struct shared_document *shared = shared_document_new(8192);
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	char *torn;
	int status;
	pid_t pid;

	(void)state;
	assert_non_null(shared);
	assert_int_equal(shared_document_renewal_begin(shared, DOCUMENT_EXPIRED,
	    1, 100, 5), 1);
	shared_document_renewal_end(shared, "first", 5, 1000);

	/* What it stores ends where its memory does, and so does it. */
	torn = mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE |
	    MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(torn, MAP_FAILED);
	memset(torn, 'x', page);
	assert_int_equal(mprotect(&torn[page], page, PROT_NONE), 0);
	if ((pid = fork()) == 0) {
		(void)signal(SIGSEGV, SIG_DFL);
		if (shared_document_renewal_begin(shared, DOCUMENT_EXPIRED, 1,
		    200, 5))
			shared_document_renewal_end(shared, &torn[page - 64],
			    128, 2000);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
	assert_int_equal(munmap(torn, 2 * page), 0);

	check_document(shared, "first", 1);
	assert_int_equal(shared_document_expires(shared), 1000);
	assert_int_equal(shared_document_renewal_begin(shared, DOCUMENT_EXPIRED,
	    1, 300, 5), 1);
	shared_document_renewal_end(shared, "second", 6, 3000);
	check_document(shared, "second", 2);
	assert_int_equal(shared_document_expires(shared), 3000);
	shared_document_free(shared);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_document),
		cmocka_unit_test(test_intervals),
		cmocka_unit_test(test_one_at_a_time),
		cmocka_unit_test(test_slow_failures),
		cmocka_unit_test(test_killed_renewer),
		cmocka_unit_test(test_killed_writer),
		cmocka_unit_test(test_whole_copies),
	};

	return (cmocka_run_group_tests_name("shared_document", tests, NULL,
	    NULL));
}
