#include <sys/wait.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "config.h"
#include "queues.h"

#include "captured_log.h"
#include "unit.h"

#define MINUTE	60000L

static const struct config conf = { .queue = "q" };
static const struct breaker_service service = { .name = "Cloud Tasks",
    .nothing = "booking is scheduled", .probe_ms = 30000 };
static const struct breaker_failure missing = { .enough = 1,
    .is_everybody = 1, .retry_after = -1, .reason = "no such queue" };
static const struct breaker_failure away = { .enough = BREAKER_SEVERAL,
    .is_everybody = 1, .retry_after = -1, .reason = "away" };
static struct breaker *breaker;
static struct queues *queues;
static struct breaker_hold hold;
static struct queues_request request;
static long now;

static int
begin(void **state)
{

	(void)state;
	captured_log_begin(LOG_DEBUG);
	now = 1000000;
	assert_non_null(breaker = breaker_new(&service, NULL));
	assert_non_null(queues = queues_new(&conf, breaker));
	return (0);
}

static int
end(void **state)
{

	(void)state;
	queues_free(queues);
	queues_free(NULL);
	breaker_free(breaker);
	captured_log_end();
	return (0);
}

static void
ask(const char *name, enum breaker_answer answer)
{

	assert_int_equal(queues_ask(queues, now, name, &request, &hold),
	    answer);
}

static void
fails(const char *name, const struct breaker_failure *failure, int is_queue)
{

	ask(name, BREAKER_GO);
	(void)queues_failed(queues, now, &request, failure, is_queue);
}

static void
works(const char *name)
{

	ask(name, BREAKER_GO);
	queues_succeeded(queues, now, &request);
}

/* The queues that are in use, each with a blank. */
static const char *
in_use(void)
{
	static char names[QUEUES_IN_USE][QUEUES_NAME_LEN];
	static char text[QUEUES_IN_USE * (QUEUES_NAME_LEN + 1)];
	size_t i, len = 0, n = queues_in_use(queues, now, names);

	for (i = 0; i < n; i++) {
		(void)snprintf(&text[len], sizeof(text) - len, "%s ",
		    names[i]);
		len += strlen(&text[len]);
	}
	return (text);
}

static const char *
state_of(char label[QUEUES_LABEL_LEN])
{

	return (queues_state(queues, now, &hold, label));
}

/* Be one that makes queues known and asks about one, until it is killed. */
static void
ask_for_ever(int i)
{
	char name[QUEUES_NAME_LEN];
	int n;

	for (n = 0;; n++) {
		(void)snprintf(name, sizeof(name), "queue-%d-%d", i, n);
		if (queues_ask(queues, now, n < 5 ? name : "q", &request,
		    &hold) != BREAKER_REFUSED)
			queues_succeeded(queues, now, &request);
	}
}

/* Wherever a worker is killed, the table is whole and open to the others. */
static void
killed(void **state)
{
	static const struct timespec moment = { .tv_nsec = 500000 };
	char names[QUEUES_IN_USE][QUEUES_NAME_LEN];
	size_t i, j, n;
	pid_t pid;

	(void)state;
	(void)alarm(60);
	for (i = 0; i < 50; i++) {
		if ((pid = fork()) == 0)
			ask_for_ever((int)i);
		assert_true(pid > 0);
		(void)nanosleep(&moment, NULL);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, NULL, 0), pid);
		works("q");
		works("another");
		n = queues_in_use(queues, now, names);
		for (j = 0; j < n; j++)
			assert_true(queues_is_name(names[j]));
	}
	(void)alarm(0);
}

/* What is wrong with one queue stops that one alone. */
static void
one_is_in_trouble(void **state)
{
	char label[QUEUES_LABEL_LEN];

	(void)state;
	works("q");
	fails("b", &missing, 1);
	assert_int_equal(request.only_its_queue, 1);
	assert_int_equal(logged("breaker open, no booking of that queue is "
	    "scheduled or loses an attempt until the queue b answers: no "
	    "such queue"), 1);
	ask("b", BREAKER_REFUSED);
	assert_int_equal(request.only_its_queue, 1);
	assert_string_equal(hold.reason, "no such queue");
	works("q");
	works("c");
	assert_string_equal(state_of(label), "open");
	assert_string_equal(label, "the queue b");

	/* One of its bookings finds out that it is there. */
	now += MINUTE;
	ask("b", BREAKER_PROBE);
	queues_succeeded(queues, now, &request);
	works("b");
	assert_string_equal(state_of(label), "closed");
}

/* The configured one, too; alone it is everybody's. */
static void
the_configured_one(void **state)
{
	char label[QUEUES_LABEL_LEN];

	(void)state;
	fails("q", &missing, 1);
	assert_int_equal(request.only_its_queue, 0);
	assert_string_equal(state_of(label), "open");
	assert_string_equal(label, "Cloud Tasks");
	works("b");
	ask("q", BREAKER_REFUSED);
	assert_int_equal(request.only_its_queue, 1);
}

/* An outage of the service is told by the bookings of all queues together. */
static void
the_service_is_away(void **state)
{
	static const char *const names[BREAKER_SEVERAL] = { "q", "b", "c",
	    "b", "d" };
	char label[QUEUES_LABEL_LEN];
	int i;

	(void)state;
	for (i = 0; i < BREAKER_SEVERAL; i++)
		fails(names[i], &away, 0);
	assert_int_equal(request.only_its_queue, 0);
	ask("e", BREAKER_REFUSED);
	assert_int_equal(request.only_its_queue, 0);
	assert_string_equal(state_of(label), "open");
	assert_string_equal(label, "Cloud Tasks");

	/* A queue that refuses the probe shows that the service is back. */
	now += MINUTE;
	ask("b", BREAKER_PROBE);
	(void)queues_failed(queues, now, &request, &missing, 1);
	works("q");
	ask("b", BREAKER_REFUSED);
}

/* Neither breaker's probe is lost where the other refuses, or nothing is
 * learnt. */
static void
probes_are_given_back(void **state)
{
	int i;

	(void)state;
	fails("b", &missing, 1);
	now += MINUTE;
	for (i = 0; i < 3; i++) {
		ask("b", BREAKER_PROBE);
		queues_answered(queues, now, &request);
	}
	ask("b", BREAKER_PROBE);
	(void)queues_failed(queues, now, &request, &away, 0);
	ask("b", BREAKER_PROBE);
	(void)queues_failed(queues, now, &request, &missing, 1);
	for (i = 0; i < BREAKER_SEVERAL; i++)
		fails("q", &away, 0);
	now += 16000;
	ask("b", BREAKER_PROBE);
	(void)queues_failed(queues, now, &request, &missing, 1);
	for (i = 0; i < BREAKER_SEVERAL; i++)
		fails("q", &away, 0);
	now += 600;
	ask("b", BREAKER_REFUSED);
	ask("q", BREAKER_PROBE);
}

static void
which_are_in_use(void **state)
{
	char label[QUEUES_LABEL_LEN];

	(void)state;
	assert_string_equal(in_use(), "q ");
	works("b");
	fails("c", &missing, 1);
	assert_string_equal(in_use(), "q b c ");

	/* One that is missing is in somebody's way while that one asks. */
	now += MINUTE;
	assert_string_equal(state_of(label), "half-open");
	assert_string_equal(label, "the queue c");
	now += 2 * MINUTE;
	assert_string_equal(state_of(label), "closed");
	assert_string_equal(in_use(), "q b c ");
	now += 8 * MINUTE;
	assert_string_equal(in_use(), "q b ");
	assert_string_equal(state_of(label), "closed");
	ask("c", BREAKER_PROBE);
	assert_string_equal(in_use(), "q b c ");
	now += 50 * MINUTE;
	assert_string_equal(in_use(), "q ");

	/* One that is gone is not asked for long. */
	works("b");
	fails("b", &missing, 1);
	now += 11 * MINUTE;
	assert_string_equal(in_use(), "q ");
}

/* There is no end to the names that a function can give. */
static void
too_many(void **state)
{
	char name[16];
	int i;

	(void)state;
	for (i = 0; i < QUEUES_MAX + 10; i++) {
		(void)snprintf(name, sizeof(name), "t-%d", i);
		works(name);
	}
	fails(name, &missing, 1);
	works("t-0");
	works("q");
}

static void
names(void **state)
{
	char name[QUEUES_NAME_LEN + 1];

	(void)state;
	assert_true(queues_is_name("Tenant-1"));
	assert_false(queues_is_name(""));
	assert_false(queues_is_name("a/b"));
	assert_false(queues_is_name("a_b"));
	assert_false(queues_is_name("a\n"));
	assert_false(queues_is_name("\xc3\xa4"));
	memset(name, 'x', sizeof(name));
	name[QUEUES_NAME_LEN] = '\0';
	assert_false(queues_is_name(name));
	name[QUEUES_NAME_LEN - 1] = '\0';
	assert_true(queues_is_name(name));
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(killed),
		TEST(one_is_in_trouble),
		TEST(the_configured_one),
		TEST(the_service_is_away),
		TEST(probes_are_given_back),
		TEST(which_are_in_use),
		TEST(too_many),
		TEST(names),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
