#include <sys/wait.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "breaker.h"
#include "log.h"
#include "monotime.h"
#include "utf8.h"

#include "captured_log.h"
#include "unit.h"

/* What breaker.h promises, in numbers. */
#define LONG_MS		60000L		/* longer than any pause */
#define THRESHOLD	BREAKER_SEVERAL
#define PAUSE_BASE_MS	500
#define PAUSE_CAP_MS	15000
#define PROBE_MS	INT64_C(30000)

/* Any time will do; this one is not near 0. */
#define START	1000000

static const struct breaker_service service = { .name = "the service",
    .nothing = "thing happens", .probe_ms = PROBE_MS };
static struct breaker *b;
static struct breaker_view view;
static long wait_ms;
static char reason[BREAKER_REASON_LEN];

/* Whose request the next one is; all of one booking, or of nobody known. */
static struct breaker_request who;

/* What the request that fails had been answered; see test_bystander. */
static enum breaker_answer answered;

/* Before each test: a new breaker; only errors are logged. */
static int
begin(void **state)
{

	(void)state;
	log_init(NULL, LOG_ERROR, 0);
	answered = BREAKER_PROBE;
	memset(&who, 0, sizeof(who));
	memset(&view, 0, sizeof(view));
	return ((b = breaker_new(&service, &view)) != NULL ? 0 : -1);
}

static int
end(void **state)
{

	(void)state;
	breaker_free(b);
	return (0);
}

/* Whose fault the last failure was. */
static enum breaker_blame blame;

/* Tell ${b} of ${failure}.  Return how many lines were logged of it. */
static int
failed_so(long now, struct breaker_failure failure)
{
	char line[1024];
	FILE *f = tmpfile();
	int saved = dup(STDERR_FILENO), n = 0;

	assert_non_null(f);
	assert_true(saved >= 0);
	assert_true(dup2(fileno(f), STDERR_FILENO) >= 0);
	who.answer = answered;
	blame = breaker_failed(b, now, &who, &failure);
	assert_true(dup2(saved, STDERR_FILENO) >= 0);
	(void)close(saved);
	rewind(f);
	while (fgets(line, sizeof(line), f) != NULL) {
		assert_non_null(strstr(line, "breaker open"));
		n++;
	}
	(void)fclose(f);
	return (n);
}

static int
failed(long now, int at_once, long retry_after, const char *why)
{

	return (failed_so(now, (struct breaker_failure){ .reason = why,
	    .enough = at_once ? 1 : BREAKER_SEVERAL, .is_everybody = 1,
	    .retry_after = retry_after }));
}

static void
succeeded(long now)
{

	breaker_succeeded(b, now, &who);
}

/* Ask ${b}, with what it may set wiped before. */
static enum breaker_answer
ask(long now)
{

	struct breaker_hold hold = { .wait = -1 };
	struct breaker_request request = who;

	(void)breaker_ask(b, now, &request, &hold);
	wait_ms = hold.wait;
	(void)snprintf(reason, sizeof(reason), "%s", hold.reason);
	return (request.answer);
}

/* Open ${b} at ${now}.  Return when it is worth asking again. */
static long
open_at(long now, long retry_after)
{

	assert_int_equal(failed(now, 1, retry_after, "down"), 1);
	assert_int_equal(ask(now), BREAKER_REFUSED);
	assert_true(wait_ms > 0);
	return (now + wait_ms);
}

static void
check_state(long now, const char *want)
{

	struct breaker_hold hold = { .wait = -1 };

	assert_string_equal(breaker_state(b, now, &hold), want);
	wait_ms = hold.wait;
	assert_int_equal(view.open_since != 0, strcmp(want, "closed") != 0);
}

/* So many failures in a row open it, and no others. */
static void
test_threshold(void **state)
{
	int i, round;

	(void)state;
	for (round = 0; round < 3; round++) {
		for (i = 1; i < THRESHOLD; i++) {
			assert_int_equal(failed(START + i, 0, -1, "503"), 0);
			assert_int_equal(ask(START + i), BREAKER_GO);
			check_state(START + i, "closed");
		}
		/* One success, and counting begins anew. */
		succeeded(START);
	}
	for (i = 1; i < THRESHOLD; i++)
		assert_int_equal(failed(START, 0, -1, "early"), 0);
	assert_int_equal(failed(START, 0, -1, "the fifth"), 1);
	assert_int_equal(ask(START), BREAKER_REFUSED);
	assert_string_equal(reason, "the fifth");
	check_state(START, "open");

	/* More of them, from requests that were on their way, is no news. */
	assert_int_equal(failed(START, 0, -1, "late"), 0);
	assert_int_equal(failed(START, 1, -1, "late"), 0);
}

static void
test_at_once(void **state)
{
	long next;

	(void)state;
	next = open_at(START, -1);
	assert_string_equal(reason, "down");
	check_state(START, "open");
	assert_int_equal(wait_ms, next - START);

	/* Closed again, it takes as many failures as ever. */
	succeeded(START);
	check_state(START, "closed");
	assert_int_equal(failed(START, 0, -1, "503"), 0);
	assert_int_equal(ask(START), BREAKER_GO);
}

/* Open: refused until the pause is over, then one probe. */
static void
test_probe(void **state)
{
	long next = open_at(START, -1);

	(void)state;
	assert_int_equal(ask(next - 1), BREAKER_REFUSED);
	assert_int_equal(wait_ms, 1);
	check_state(next - 1, "open");
	check_state(next, "half-open");
	assert_int_equal(wait_ms, 0);

	assert_int_equal(ask(next), BREAKER_PROBE);
	assert_string_equal(reason, "down");
	check_state(next, "half-open");
	assert_int_equal(ask(next), BREAKER_REFUSED);
	assert_true(wait_ms > 0 && wait_ms <= PAUSE_BASE_MS);
	assert_int_equal(ask(next + PROBE_MS - 1), BREAKER_REFUSED);

	/* It succeeded: everybody may go. */
	succeeded(START);
	assert_int_equal(ask(next), BREAKER_GO);
	assert_int_equal(ask(next), BREAKER_GO);
	assert_int_equal(wait_ms, -1);
	assert_string_equal(reason, "");
}

static void
test_probe_failed(void **state)
{
	long next = open_at(START, -1), later;

	(void)state;
	assert_int_equal(ask(next), BREAKER_PROBE);
	assert_int_equal(failed(next + 20, 0, -1, "still down"), 0);
	assert_int_equal(ask(next + 20), BREAKER_REFUSED);
	assert_string_equal(reason, "still down");
	check_state(next + 20, "open");

	/* The pause counts from the failure, and the next one may try. */
	later = next + 20 + wait_ms;
	assert_in_range(wait_ms, PAUSE_BASE_MS, 2 * PAUSE_BASE_MS);
	assert_int_equal(ask(later - 1), BREAKER_REFUSED);
	assert_int_equal(ask(later), BREAKER_PROBE);
}

/* What fails while it is open, without being the probe, moves nothing. */
static void
test_late_failures(void **state)
{
	long next = open_at(START, -1);
	int i;

	(void)state;
	answered = BREAKER_GO;
	for (i = 0; i < 20; i++)
		assert_int_equal(failed(START + i, i % 2, 600, "late"), 0);
	answered = BREAKER_PROBE;
	assert_int_equal(ask(START), BREAKER_REFUSED);
	assert_int_equal(wait_ms, next - START);
	assert_string_equal(reason, "late");
	assert_int_equal(ask(next), BREAKER_PROBE);
}

/* The pause doubles up to its cap, and keeps to half of that or more. */
static void
test_backoff(void **state)
{
	long now, top, low[2] = { PAUSE_CAP_MS, PAUSE_CAP_MS };
	long high[2] = { 0, 0 };
	int round, probes;

	(void)state;
	for (round = 0; round < 100; round++) {
		now = open_at(START, -1) - wait_ms;
		for (probes = 0; probes < 9; probes++) {
			top = (long)PAUSE_BASE_MS << probes;
			if (top > PAUSE_CAP_MS)
				top = PAUSE_CAP_MS;
			assert_in_range(wait_ms, top / 2, top);
			if (probes % 8 == 0) {
				low[probes / 8] = wait_ms < low[probes / 8] ?
				    wait_ms : low[probes / 8];
				high[probes / 8] = wait_ms > high[probes / 8] ?
				    wait_ms : high[probes / 8];
			}
			now += wait_ms;
			assert_int_equal(ask(now), BREAKER_PROBE);
			assert_int_equal(failed(now, 0, -1, "down"), 0);
			assert_int_equal(ask(now), BREAKER_REFUSED);
		}
		/* A success forgets how long it was. */
		succeeded(START);
	}

	/* The jitter uses the room it has: 100 draws miss a fifth rarely. */
	assert_true(low[0] < 300 && high[0] > 450);
	assert_true(low[1] < 9000 && high[1] > 13500);
}

/* Retry-After makes a pause longer, never shorter. */
static void
test_retry_after(void **state)
{
	static const struct {
		long seconds;
		long low, high;
	} rows[] = {
		{ -1, PAUSE_BASE_MS / 2, PAUSE_BASE_MS },
		{ 0, PAUSE_BASE_MS / 2, PAUSE_BASE_MS },
		{ 1, 1000, 1000 },
		{ 60, 60000, 60000 },
		{ 61, 60000, 60000 },
		{ 3600, 60000, 60000 },
	};
	long now;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)open_at(START, rows[i].seconds);
		assert_in_range(wait_ms, rows[i].low, rows[i].high);
		succeeded(START);
	}

	/* Also after a probe; and not beyond the pause it was given for. */
	now = open_at(START, -1);
	assert_int_equal(ask(now), BREAKER_PROBE);
	assert_int_equal(failed(now, 0, 50, "busy"), 0);
	assert_int_equal(ask(now), BREAKER_REFUSED);
	assert_int_equal(wait_ms, 50000);
	now += 50000;
	assert_int_equal(ask(now), BREAKER_PROBE);
	assert_int_equal(failed(now, 0, -1, "busy"), 0);
	assert_int_equal(ask(now), BREAKER_REFUSED);
	assert_in_range(wait_ms, 2 * PAUSE_BASE_MS, 4 * PAUSE_BASE_MS);
}

/* A reason of any length and any bytes is kept as text that is whole. */
static void
test_reason(void **state)
{
	char longest[2 * BREAKER_REASON_LEN];
	size_t i;

	(void)state;
	for (i = 0; i + 2 < sizeof(longest); i += 2)
		memcpy(&longest[i], "\xc3\xa9", 3);
	memmove(longest + 1, longest, sizeof(longest) - 2);
	longest[0] = 'x';
	longest[sizeof(longest) - 1] = '\0';
	(void)failed(START, 1, -1, longest);
	(void)ask(START);
	assert_int_equal(strlen(reason), BREAKER_REASON_LEN - 1);
	assert_true(utf8_valid(reason, strlen(reason)));
	assert_memory_equal(reason, longest, BREAKER_REASON_LEN - 2);

	(void)failed(START, 0, -1, "bad \xff byte");
	(void)ask(START);
	assert_string_equal(reason, "bad ? byte");
}

/* A worker that asks once, at ${now}, when ${gate} is shut. */
static pid_t
asking_worker(int gate, int other_end_of_gate, long now)
{
	pid_t pid = fork();
	char c;

	if (pid == 0) {
		(void)close(other_end_of_gate);
		(void)!read(gate, &c, 1);
		_exit((int)ask(now));
	}
	assert_true(pid > 0);
	return (pid);
}

static int
exit_status(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return (WEXITSTATUS(status));
}

/*
 * A request that was on its way before the breaker opened, and fails while a
 * probe is out, says nothing about the probe.
 */
static void
test_bystander(void **state)
{
	long next = open_at(START, -1);

	(void)state;
	assert_int_equal(ask(next), BREAKER_PROBE);
	answered = BREAKER_GO;
	assert_int_equal(failed(next, 0, -1, "late"), 0);
	answered = BREAKER_PROBE;
	assert_int_equal(ask(next + 600), BREAKER_REFUSED);
	assert_int_equal(ask(next + 20000), BREAKER_REFUSED);
}

/* Of many workers that ask at the same time, exactly one is the probe. */
static void
test_one_probe(void **state)
{
	pid_t pids[8];
	long next = open_at(START, -1);
	int gate[2], round, probes;
	size_t i;

	(void)state;
	for (round = 0; round < 20; round++) {
		assert_int_equal(pipe(gate), 0);
		for (i = 0; i < NITEMS(pids); i++)
			pids[i] = asking_worker(gate[0], gate[1], next);
		(void)close(gate[0]);
		(void)close(gate[1]);
		for (i = 0, probes = 0; i < NITEMS(pids); i++) {
			switch (exit_status(pids[i])) {
			case BREAKER_PROBE:
				probes++;
				break;
			case BREAKER_REFUSED:
				break;
			default:
				fail_msg("a worker went through");
			}
		}
		assert_int_equal(probes, 1);
		assert_int_equal(failed(next, 0, -1, "down"), 0);
		(void)ask(next);
		next += wait_ms;
	}

	/* What one worker learns, all know. */
	if ((pids[0] = fork()) == 0) {
		succeeded(START);
		_exit(0);
	}
	assert_int_equal(exit_status(pids[0]), 0);
	assert_int_equal(ask(next), BREAKER_GO);
}

/* A worker that is killed while it probes holds up the others for a while. */
static void
test_killed_probe(void **state)
{
	long next = open_at(START, -1);
	int status;
	pid_t pid;

	(void)state;
	if ((pid = fork()) == 0) {
		if (ask(next) == BREAKER_PROBE)
			(void)raise(SIGKILL);
		_exit(1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);

	assert_int_equal(ask(next + 1), BREAKER_REFUSED);
	assert_int_equal(ask(next + PROBE_MS - 1), BREAKER_REFUSED);
	check_state(next + PROBE_MS - 1, "half-open");
	assert_int_equal(ask(next + PROBE_MS), BREAKER_PROBE);

	/* The one that took over holds it as long again. */
	assert_int_equal(ask(next + PROBE_MS), BREAKER_REFUSED);
	assert_int_equal(ask(next + 2 * PROBE_MS - 1), BREAKER_REFUSED);
	assert_int_equal(ask(next + 2 * PROBE_MS), BREAKER_PROBE);
	succeeded(START);
	assert_int_equal(ask(next), BREAKER_GO);
}

/* Wherever a worker is killed, the breaker is not locked for the others. */
static void
test_killed_anywhere(void **state)
{
	long until, now;
	int i, status;
	pid_t pid;

	(void)state;
	/* A lock that is never given back ends the test, not the night. */
	(void)alarm(60);
	for (i = 0; i < 50; i++) {
		if ((pid = fork()) == 0) {
			for (now = START;; now++) {
				succeeded(now);
				(void)ask(now);
			}
		}
		assert_true(pid > 0);
		/* Contend with it for a moment that differs each time. */
		until = monotime_ms() + 1 + i % 5;
		while (monotime_ms() < until)
			assert_int_equal(ask(START), BREAKER_GO);
		assert_int_equal(kill(pid, SIGKILL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_int_equal(ask(START), BREAKER_GO);
		check_state(START, "closed");
	}
	(void)alarm(0);
	breaker_free(NULL);
}

/*
 * Whose requests fail.
 */

static void
by(const char *id, const char *tenant)
{

	who.id = id;
	who.tenant = tenant;
	answered = BREAKER_GO;
}

/* A failure, of which it takes ${enough}; return whose fault it is. */
static enum breaker_blame
fails(long now, int enough)
{

	(void)failed_so(now, (struct breaker_failure){ .reason = "503",
	    .enough = enough, .retry_after = -1 });
	return (blame);
}

/* Let bookings 1 to ${n} of ${tenant} fail at ${now}. */
static enum breaker_blame
several(int n, long now, const char *tenant)
{
	static char id[2];	/* by() keeps it */

	id[0] = '0';
	while (n-- > 0) {
		id[0]++;
		by(id, tenant);
		(void)fails(now, BREAKER_SEVERAL);
	}
	return (blame);
}

/* One booking that fails again and again opens nothing. */
static void
test_one_booking(void **state)
{
	int i;

	(void)state;
	by("a", "t1");
	for (i = 0; i < 50; i++)
		assert_int_equal(fails(START + i, BREAKER_SEVERAL),
		    BREAKER_ITS_OWN);
	assert_int_equal(fails(START, 2), BREAKER_ITS_OWN);

	/* With another one between, neither is to blame. */
	by("b", "t2");
	assert_int_equal(fails(START, BREAKER_SEVERAL), BREAKER_ITS_OWN);
	by("a", "t1");
	assert_int_equal(fails(START, BREAKER_SEVERAL), BREAKER_ITS_OWN);
	assert_int_equal(fails(START, 2), BREAKER_COMMON);
	check_state(START, "open");
	assert_int_equal(fails(START, BREAKER_SEVERAL), BREAKER_COMMON);

	/* It alone opens what is open to anybody's failure. */
	succeeded(START + 1);
	assert_int_equal(fails(START + 1, 1), BREAKER_OPENED);
}

/* One that opens it again within a day is told from the others that do. */
static void
test_opened_again(void **state)
{
	long now = START;
	int i;

	(void)state;
	by("a", "t1");
	assert_int_equal(fails(now, 1), BREAKER_OPENED);
	succeeded(++now);
	by("b", "t1");
	assert_int_equal(fails(now, 1), BREAKER_OPENED);
	succeeded(++now);
	for (i = 0; i < 3; i++) {
		by("a", "t1");
		assert_int_equal(fails(now, 1), BREAKER_OPENED_AGAIN);
		succeeded(++now);
	}
	assert_int_equal(fails(now + 86400000, 1), BREAKER_OPENED);
	now += 86400001;

	/* Who is not known is another one each time. */
	for (i = 0; i < 2; i++) {
		succeeded(now);
		by(NULL, "t1");
		assert_int_equal(fails(now, 1), BREAKER_OPENED);
	}
}

/* A success in between, or a day, and they are not in a row. */
static void
test_in_a_row(void **state)
{

	(void)state;
	assert_int_equal(several(4, START, "t1"), BREAKER_ITS_OWN);
	by("x", "t2");
	succeeded(START);
	by("5", "t1");
	assert_int_equal(fails(START, BREAKER_SEVERAL), BREAKER_ITS_OWN);
	assert_int_equal(several(3, START, "t1"), BREAKER_ITS_OWN);
	by("4", "t1");
	assert_int_equal(fails(START + 86400001, BREAKER_SEVERAL),
	    BREAKER_ITS_OWN);
	assert_int_equal(several(3, START + 172800001, "t1"), BREAKER_ITS_OWN);
	by("5", "t1");
	assert_int_equal(fails(START + 172800001, BREAKER_SEVERAL),
	    BREAKER_COMMON);
}

/* A tenant that fails while others get through fails for itself. */
static void
test_one_tenant(void **state)
{

	(void)state;
	by("x", "t2");
	succeeded(START);
	by("x", "t1");
	succeeded(START);
	assert_int_equal(several(9, START + 119999, "t1"), BREAKER_ITS_OWN);
	assert_int_equal(fails(START + 119999, 2), BREAKER_ITS_OWN);
	check_state(START + 119999, "closed");

	/* Until that is long ago, or others fail as well. */
	by("9", "t1");
	assert_int_equal(fails(START + 120000, BREAKER_SEVERAL),
	    BREAKER_COMMON);
	by("x", "t2");
	succeeded(START + 120000);
	assert_int_equal(several(9, START + 120000, "t1"), BREAKER_ITS_OWN);
	by("x", "t2");
	assert_int_equal(fails(START + 120000, BREAKER_SEVERAL),
	    BREAKER_COMMON);
	by("y", "t3");
	assert_int_equal(ask(START + 120000), BREAKER_REFUSED);

	/* What opens it to anybody's failure, it does for everybody. */
	succeeded(START + 200000);
	by("x", "t1");
	(void)failed(START + 200000, 1, -1, "no connection");
	assert_int_equal(blame, BREAKER_OPENED);
}

/* There may be only one tenant: others are not kept from finding out. */
static void
test_only_tenant(void **state)
{

	(void)state;
	by("x", "t1");
	succeeded(START);
	assert_int_equal(several(5, START, "t1"), BREAKER_COMMON);
	check_state(START, "open");
	assert_int_equal(ask(START), BREAKER_REFUSED);
	by("o", "t2");
	assert_int_equal(ask(START), BREAKER_GO);

	/* They fail as well: then it is open to nobody. */
	assert_int_equal(several(3, START, "t2"), BREAKER_ITS_OWN);
	assert_int_equal(several(4, START, "t2"), BREAKER_COMMON);
	by("o", "t3");
	assert_int_equal(ask(START), BREAKER_REFUSED);

	/* They get through: it was the tenant's own trouble. */
	succeeded(START);
	assert_int_equal(several(5, START, "t1"), BREAKER_ITS_OWN);
	check_state(START, "closed");
}

/*
 * A booking that would be given up needs one other that fails: for whose tenant
 * it is open, unless that is long ago.
 */
static void
test_last_attempt(void **state)
{

	(void)state;
	assert_int_equal(several(5, START, "t1"), BREAKER_COMMON);
	by("o", "t2");
	assert_int_equal(fails(START + 87000000, 2), BREAKER_ITS_OWN);
	by("p", "t1");
	answered = BREAKER_PROBE;
	assert_int_equal(fails(START + 87050000, BREAKER_SEVERAL),
	    BREAKER_COMMON);
	by("o", "t2");
	assert_int_equal(fails(START + 87060000, 2), BREAKER_COMMON);
	check_state(START + 87060000, "open");
}

/* The booking ${id} may probe at ${now}, and that fails. */
static void
probe_of(const char *id, long now)
{

	by(id, "t");
	assert_int_equal(ask(now), BREAKER_PROBE);
	answered = BREAKER_PROBE;
	assert_int_equal(fails(now, BREAKER_SEVERAL), BREAKER_COMMON);
	answered = BREAKER_GO;
}

static void
refused(const char *id, long now)
{

	by(id, "t");
	assert_int_equal(ask(now), BREAKER_REFUSED);
}

/* A booking that always fails, and asks first, does not keep it open. */
static void
test_gives_way(void **state)
{
	static const char *const ids[] = { "1", "2", "3", "4", "5" };
	long now = open_at(START, -1);
	int i;

	(void)state;
	probe_of("broken", now);
	refused("well", now);

	/* It gives way, but once: the other one may not come again. */
	refused("broken", now + LONG_MS);
	assert_int_equal(wait_ms, 0);
	probe_of("broken", now + LONG_MS);
	refused("broken", now + 2 * LONG_MS);
	by("well", "t");
	assert_int_equal(ask(now + 2 * LONG_MS), BREAKER_PROBE);
	succeeded(now + 2 * LONG_MS);
	check_state(now + 2 * LONG_MS, "closed");

	/* Where nobody else waits it goes on. */
	now = open_at(now + 3 * LONG_MS, -1);
	for (i = 0; i < 3; i++)
		probe_of("broken", now + i * LONG_MS);

	/* The booking that probed longest ago goes first. */
	probe_of("a", now + 3 * LONG_MS);
	probe_of("b", now + 4 * LONG_MS);
	refused("a", now + 4 * LONG_MS);
	refused("b", now + 5 * LONG_MS);
	probe_of("a", now + 5 * LONG_MS);
	probe_of("b", now + 6 * LONG_MS);

	/* Only the last few are remembered, and none without an id. */
	now += 7 * LONG_MS;
	for (i = 0; i < 5; i++)
		probe_of(ids[i], now + i * LONG_MS);
	refused("well", now + 4 * LONG_MS);
	for (i = 0; i < 5; i++)
		refused(ids[i], now + 5 * LONG_MS);
	probe_of("b", now + 5 * LONG_MS);
	probe_of(NULL, now + 6 * LONG_MS);
	refused(NULL, now + 6 * LONG_MS);
	probe_of(NULL, now + 7 * LONG_MS);
}

/* Of two tenants, both, whichever comes first. */
static void
test_mixed(void **state)
{

	(void)state;
	assert_int_equal(several(4, START, "t1"), BREAKER_ITS_OWN);
	by("o", "t2");
	assert_int_equal(fails(START, BREAKER_SEVERAL), BREAKER_COMMON);
	by("p", "t3");
	assert_int_equal(ask(START), BREAKER_REFUSED);
}

/*
 * It is asked to slow down.
 */

static void
slow_down(long now, long retry_after)
{

	(void)failed_so(now, (struct breaker_failure){ .reason = "429",
	    .enough = 1, .is_everybody = 1, .slow_down = 1,
	    .retry_after = retry_after });
}

static void
test_slow_down(void **state)
{
	static const long seconds[] = { 1, 2, 4, 8, 16, 32, 60, 60 };
	long now = START;
	size_t i;

	(void)state;
	by("a", "t1");
	slow_down(START, 3);
	assert_int_equal(blame, BREAKER_OPENED);
	by("b", "t2");
	assert_int_equal(ask(START), BREAKER_REFUSED);
	assert_int_equal(wait_ms, 3000);

	/* What was on its way ends no pause, and can make it longer. */
	who.answer = BREAKER_GO;
	succeeded(START + 100);
	assert_int_equal(ask(START + 2999), BREAKER_REFUSED);
	slow_down(START + 200, 1);
	assert_int_equal(blame, BREAKER_COMMON);
	assert_int_equal(ask(START + 2999), BREAKER_REFUSED);
	slow_down(START + 1000, 3);
	assert_int_equal(ask(START + 3999), BREAKER_REFUSED);

	/* Then one at a time, until that succeeds. */
	assert_int_equal(ask(START + 4000), BREAKER_PROBE);
	assert_int_equal(ask(START + 4000), BREAKER_REFUSED);
	who.answer = BREAKER_PROBE;
	succeeded(START + 4000);
	assert_int_equal(ask(START + 4000), BREAKER_GO);

	/* Bounded; without a time a second, then twice as much each time. */
	slow_down(now, 3600);
	assert_int_equal(ask(now), BREAKER_REFUSED);
	assert_int_equal(wait_ms, 60000);
	now += 60000;
	succeeded(now);
	for (i = 0; i < NITEMS(seconds); i++) {
		answered = i == 0 ? BREAKER_GO : BREAKER_PROBE;
		slow_down(now, -1);
		assert_int_equal(ask(now), BREAKER_REFUSED);
		assert_int_equal(wait_ms, seconds[i] * 1000);
		now += wait_ms;
		assert_int_equal(ask(now), BREAKER_PROBE);
	}
}

/* Only one of a tenant gets through at first, and all slow down. */
static void
test_slow_down_while_open(void **state)
{

	(void)state;
	assert_int_equal(several(5, START, "t1"), BREAKER_COMMON);
	by("x", "t2");
	assert_int_equal(ask(START), BREAKER_GO);
	by("6", "t1");
	slow_down(START, 20);
	by("x", "t2");
	assert_int_equal(ask(START + 19999), BREAKER_REFUSED);
	assert_int_equal(ask(START + 20000), BREAKER_PROBE);
}

/* A probe that is not sent after all leaves its place to the next one. */
static void
test_unused(void **state)
{
	long next = open_at(START, -1);
	struct breaker_request request = who;
	struct breaker_hold hold;

	(void)state;
	assert_int_equal(breaker_ask(b, next, &request, &hold),
	    BREAKER_PROBE);
	who.answer = BREAKER_GO;
	breaker_unused(b, &who);
	assert_int_equal(ask(next), BREAKER_REFUSED);
	breaker_unused(b, &request);
	assert_int_equal(ask(next), BREAKER_PROBE);
}

/*
 * Whose failures opened it did no wrong; each of them is told until it has its
 * attempts back.
 */
static void
test_cleared(void **state)
{
	static const char *const ids[] = { "a", "b", "a", "c", "a", NULL };
	struct breaker_cleared list[BREAKER_SEVERAL], old;
	size_t i;

	(void)state;
	by("old", "t1");
	failed(START, 0, -1, "503");
	succeeded(START);
	for (i = 0; i < NITEMS(ids); i++) {
		by(ids[i], "t1");
		failed(START, 0, -1, "503");
		assert_int_equal(blame, BREAKER_ITS_OWN);
	}
	assert_int_equal(breaker_cleared(b, START, list), 0);

	/* The one that opens it is told so, and loses nothing by that. */
	by("b", "t1");
	assert_int_equal(failed(START, 1, -1, "no connection"), 1);
	assert_int_equal(blame, BREAKER_COMMON);
	assert_int_equal(breaker_cleared(b, START, list), 3);
	assert_string_equal(list[0].id, "a");
	assert_int_equal(list[0].failures, 3);
	assert_string_equal(list[1].id, "b");
	assert_int_equal(list[1].failures, 1);
	assert_string_equal(list[2].id, "c");
	assert_int_equal(list[2].failures, 1);

	/* Whoever took them may have died; what is done is done. */
	assert_int_equal(breaker_cleared(b, START + 29999, list), 0);
	breaker_gave_back(b, &list[0]);
	old = list[1];
	assert_int_equal(breaker_cleared(b, START + 30000, list), 2);
	assert_int_equal(breaker_cleared(b, START + 30000, list), 0);
	breaker_gave_back(b, &list[0]);
	breaker_gave_back(b, &list[1]);
	assert_int_equal(breaker_cleared(b, START + 60000, list), 0);

	/* Nobody who fails while it is open was to blame at any time. */
	by("d", "t1");
	failed(START, 1, -1, "still");
	assert_int_equal(breaker_cleared(b, START, list), 0);

	/* Whoever is late does not take the next opening's. */
	succeeded(START + 60000);
	by("b", "t1");
	failed(START + 60000, 0, -1, "503");
	by("c", "t1");
	failed(START + 60000, 1, -1, "no connection");
	breaker_gave_back(b, &old);
	assert_int_equal(breaker_cleared(b, START + 60000, list), 1);
	assert_string_equal(list[0].id, "b");
}

/* Each change is told once. */
static void
test_log(void **state)
{
	long next;

	(void)state;
	captured_log_begin(LOG_INFO);
	by("a", "t1");
	breaker_failed(b, START, &who, &(struct breaker_failure){
	    .enough = 1, .retry_after = -1, .reason = "it said 503" });
	breaker_failed(b, START, &who, &(struct breaker_failure){
	    .enough = 1, .retry_after = -1, .reason = "late" });
	assert_int_equal(logged("breaker open, no thing happens until "
	    "the service answers: it said 503"), 1);
	next = START + 500;
	assert_int_equal(ask(next), BREAKER_PROBE);
	who.answer = BREAKER_PROBE;
	breaker_failed(b, next, &who, &(struct breaker_failure){
	    .retry_after = -1, .reason = "still" });
	next += 2000;
	assert_int_equal(ask(next), BREAKER_PROBE);
	assert_int_equal(logged("breaker half-open"), 1);
	succeeded(next);
	succeeded(next);
	assert_int_equal(logged("the service answers again: breaker closed"),
	    1);
	assert_int_equal(logged("breaker"), 3);
	captured_log_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_threshold, begin, end),
		cmocka_unit_test_setup_teardown(test_at_once, begin, end),
		cmocka_unit_test_setup_teardown(test_probe, begin, end),
		cmocka_unit_test_setup_teardown(test_probe_failed, begin, end),
		cmocka_unit_test_setup_teardown(test_late_failures, begin,
		    end),
		cmocka_unit_test_setup_teardown(test_backoff, begin, end),
		cmocka_unit_test_setup_teardown(test_retry_after, begin, end),
		cmocka_unit_test_setup_teardown(test_one_booking, begin, end),
		cmocka_unit_test_setup_teardown(test_opened_again, begin, end),
		cmocka_unit_test_setup_teardown(test_in_a_row, begin, end),
		cmocka_unit_test_setup_teardown(test_one_tenant, begin, end),
		cmocka_unit_test_setup_teardown(test_only_tenant, begin, end),
		cmocka_unit_test_setup_teardown(test_last_attempt, begin, end),
		cmocka_unit_test_setup_teardown(test_mixed, begin, end),
		cmocka_unit_test_setup_teardown(test_slow_down, begin, end),
		cmocka_unit_test_setup_teardown(test_slow_down_while_open,
		    begin, end),
		cmocka_unit_test_setup_teardown(test_unused, begin, end),
		cmocka_unit_test_setup_teardown(test_cleared, begin, end),
		cmocka_unit_test_setup_teardown(test_gives_way, begin, end),
		cmocka_unit_test_setup_teardown(test_log, begin, end),
		cmocka_unit_test_setup_teardown(test_reason, begin, end),
		cmocka_unit_test_setup_teardown(test_bystander, begin, end),
		cmocka_unit_test_setup_teardown(test_one_probe, begin, end),
		cmocka_unit_test_setup_teardown(test_killed_probe, begin, end),
		cmocka_unit_test_setup_teardown(test_killed_anywhere, begin,
		    end),
	};

	return (cmocka_run_group_tests_name("breaker", tests, NULL, NULL));
}
