#include <sys/socket.h>
#include <sys/un.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "queues.h"
#include "config.h"
#include "metrics.h"
#include "monotime.h"
#include "queue_probe.h"
#include "readiness.h"
#include "verdicts.h"

#include "captured_log.h"
#include "scripted_bookings.h"
#include "unit.h"

static char dir[] = "/tmp/followup-readiness.XXXXXX";
static char sock[64], verdicts_path[64], metrics_path[64];
static struct config conf = { .runtime_dir = dir, .queue = "q" };
static struct readiness *r;
static const struct breaker_service service = { .name = "Cloud Tasks",
    .nothing = "booking is scheduled", .probe_ms = 30000 };
static struct breaker *breaker;
static struct queues *queues;
static const struct breaker_request request = { .answer = BREAKER_GO };
static const struct breaker_failure no_role = { .enough = 1,
    .is_everybody = 1, .retry_after = 30, .reason = "no role" };
static struct verdicts *verdicts;
static struct readiness_report report;
static int listening;			/* the socket of followup-execute */
static long now;

/* The clock, the queue, and the rest of bookings.c, as the test wants them. */
static const char *queue_trouble, *check_trouble;
static int has_overdue, overdue_asked;

long
monotime_ms(void)
{

	return (now);
}

void
monotime_pause(long ms)
{

	now += ms;
}

struct queue_probe *
queue_probe_new(const struct config *c, struct google_auth *auth,
    struct queues *q)
{

	assert_true(c == &conf && auth == NULL && q == queues);
	return ((struct queue_probe *)(void *)&queue_trouble);
}

int
queue_probe_is_paused(struct queue_probe *probe, const char *queue)
{

	assert_non_null(probe);
	return (strcmp(queue, "tenant-1") == 0);
}

void
queue_probe_look(struct queue_probe *probe, struct troubles *troubles)
{

	assert_non_null(probe);
	if (queue_trouble != NULL)
		troubles_add(troubles, "queue", "%s", queue_trouble);
}

void
queue_probe_free(struct queue_probe *probe)
{

	assert_non_null(probe);
}

/* What the database refuses for every booking. */
static const char *trouble = "";

int
bookings_trouble(struct bookings *b, char *text, size_t len)
{

	assert_non_null(b);
	(void)snprintf(text, len, "%s", trouble);
	return (*trouble != '\0');
}

/* How the canary is: where it is stuck, or NULL. */
static const char *canary_trouble;

static PGresult *
canary_state(const struct bookings_call *call)
{
	PGresult *result;

	if (strcmp(call->sql->name, "canary") != 0)
		return (NULL);
	result = table_rows(7);
	table_set(result, 0, 0, "1");
	table_set(result, 0, 1, "%d", canary_trouble != NULL);
	table_set(result, 0, 6, "%s", canary_trouble != NULL ?
	    canary_trouble : "it came back");
	return (result);
}

enum db_outcome
bookings_check(struct bookings *b, struct troubles *troubles)
{

	assert_non_null(b);
	if (check_trouble != NULL)
		troubles_add(troubles, "check", "%s", check_trouble);
	return (DB_OK);
}

enum db_outcome
bookings_overdue(struct bookings *b, int *overdue)
{

	assert_non_null(b);
	overdue_asked++;
	*overdue = has_overdue;
	return (DB_OK);
}

/* Begin to listen where followup-execute does. */
static void
listen_there(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s", sock);
	listening = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0);
	assert_true(listening >= 0);
	(void)unlink(sock);
	assert_int_equal(bind(listening, (struct sockaddr *)&addr,
	    sizeof(addr)), 0);
	assert_int_equal(listen(listening, 8), 0);
}

/* Do as a worker that finds no request; return how many connections came. */
static int
serve(void)
{
	int fd, n = 0;
	char c;

	while ((fd = accept(listening, NULL, NULL)) >= 0) {
		assert_int_equal(recv(fd, &c, 1, 0), 0);
		(void)close(fd);
		n++;
	}
	return (n);
}

static int
begin(void **state)
{

	(void)state;
	captured_log_begin(LOG_DEBUG);
	table_begin();
	now = 1000000;
	queue_trouble = check_trouble = NULL;
	has_overdue = overdue_asked = 0;
	canary_trouble = NULL;
	table.other = canary_state;
	listen_there();
	assert_non_null(verdicts = verdicts_new(verdicts_path));
	assert_non_null(breaker = breaker_new(&service, NULL));
	assert_non_null(queues = queues_new(&conf, breaker));
	assert_non_null(r = readiness_new(&conf, NULL, queues));
	return (0);
}

static int
end(void **state)
{

	(void)state;
	readiness_free(r);
	readiness_free(NULL);
	queues_free(queues);
	breaker_free(breaker);
	verdicts_free(verdicts);
	(void)close(listening);
	(void)unlink(sock);
	(void)unlink(verdicts_path);
	table_end();
	captured_log_end();
	return (0);
}

/* Look; the codes of what is wrong are ${codes}. */
static void
expect(const char *codes)
{
	char found[512] = "";
	size_t i, len = 0;

	readiness_look(r, (struct bookings *)(void *)&table, &report);
	for (i = 0; i < report.troubles.n; i++)
		len += (size_t)snprintf(&found[len], sizeof(found) - len,
		    "%s%s", i > 0 ? " " : "", report.troubles.list[i].code);
	assert_string_equal(found, codes);
}

/* The sentence ${i} has ${part} in it. */
static void
expect_part(size_t i, const char *part)
{
	const char *sentence = report.troubles.list[i].sentence;

	assert_true(i < report.troubles.n);
	if (strstr(sentence, part) == NULL)
		fail_msg("\"%s\" has no \"%s\"", sentence, part);
}

/* Everything is looked at, whatever is wrong before it. */
static void
all_at_once(void **state)
{

	(void)state;
	expect("");
	trouble = "every write is refused";
	expect("refused");
	expect_part(0, "every write is refused");
	trouble = "";
	assert_string_equal(report.breaker, "closed");
	check_trouble = "a sentence";
	queue_trouble = "another";
	canary_trouble = "it is stuck";
	(void)close(listening);
	breaker_failed(breaker, now, &request, &no_role);
	expect("check execute canary_stale queue breaker");
	expect_part(0, "a sentence");
	expect_part(1, "systemctl status followup-execute");
	expect_part(2, "it is stuck");
	expect_part(3, "another");
	expect_part(4, "the breaker of Cloud Tasks is open: no role");
	assert_string_equal(report.breaker, "open");
	assert_int_equal(report.retry_after, 10);
}

/* The breaker knows when it lets something through. */
static void
breaker_alone(void **state)
{

	(void)state;
	breaker_failed(breaker, now, &request, &no_role);
	expect("breaker");
	assert_in_range(report.retry_after, 25, 60);
}

/* That of one queue is told as that. */
static void
breaker_of_a_queue(void **state)
{
	struct queues_request asked;
	struct breaker_hold hold;

	(void)state;
	(void)queues_ask(queues, now, "tenant-1", &asked, &hold);
	(void)queues_failed(queues, now, &asked, &no_role, 1);
	expect("breaker");
	expect_part(0, "the breaker of the queue tenant-1 is open: no role");
	assert_true(readiness_is_paused(r, "tenant-1"));
	assert_false(readiness_is_paused(r, "q"));
}

static void
no_database(void **state)
{

	(void)state;
	check_trouble = "never seen";
	table.connect_fails = 1;
	verdicts_refused(verdicts, now, "no token");
	expect("database");
	expect_part(0, "the database is not available: said no: see");
	assert_int_equal(report.retry_after, 1);
	assert_int_equal(overdue_asked, 0);

	/* What can be looked at without it is. */
	table.connect_fails = 1;
	queue_trouble = "paused";
	(void)close(listening);
	expect("database execute queue");
}

/* A worker need only be there, not be free at every moment. */
static void
execute(void **state)
{

	(void)state;
	expect("");
	assert_int_equal(serve(), 1);
	expect("");

	/* It is not asked again before it has answered. */
	now += 59000;
	expect("");
	assert_int_equal(serve(), 1);
	expect("");
	now += 61000;
	expect("execute");
	expect_part(0, "no worker of followup-execute has been free for 61 s");
	assert_int_equal(serve(), 1);
	expect("");

	/* It dies with our connection waiting, and comes back. */
	(void)close(listening);
	expect("execute");
	(void)unlink(sock);
	expect("execute");
	expect_part(0, "No such file or directory");
	listen_there();
	expect("");
	assert_int_equal(serve(), 1);
}

/* Anybody can be refused: it must last, be news, and keep bookings waiting. */
static void
refused(void **state)
{

	(void)state;
	verdicts_refused(verdicts, now, "its issuer is wrong");
	verdicts_refused(verdicts, now, "its audience is wrong");
	expect("");
	assert_int_equal(overdue_asked, 1);
	has_overdue = 1;
	now += 4000;
	expect("");
	assert_int_equal(overdue_asked, 1);
	now += 2000;
	expect("callbacks");
	expect_part(0, "the last 2 callbacks");
	expect_part(0, "its audience is wrong");
	now += 600000;
	(void)serve();
	expect("");
	verdicts_refused(verdicts, now, "x");
	expect("callbacks");
	verdicts_accepted(verdicts);
	expect("");

	/* A program without the file says nothing. */
	verdicts_refused(verdicts, now, "x");
	assert_int_equal(unlink(verdicts_path), 0);
	expect("");
}

/* The listener of this machine says what the webhook answers. */
static void
webhook(void **state)
{

	(void)state;
	assert_int_equal(metrics_init(dir, CONFIG_LISTENER), 0);
	(void)metrics_beat(now);
	expect("");
	metrics_set(METRICS_POSTS_REFUSAL, 0, 401);
	expect("webhook");
	expect_part(0, "answers 401 to whatever followup-listener posts");
	expect_part(0, "FOLLOWUP_WEBHOOK_TOKEN");

	/* It can be told without the database; not once the listener ended. */
	table.connect_fails = 1;
	expect("database webhook");
	now += 11000;
	(void)serve();
	expect("");
	(void)metrics_beat(now);
	expect("webhook");
	metrics_set(METRICS_POSTS_REFUSAL, 0, 0);
	expect("");
	metrics_end();
	assert_int_equal(unlink(metrics_path), 0);
}

/* What followup-execute says of the voice agent, while bookings wait for it. */
static void
voice_agent(void **state)
{
	struct breaker_view *view = verdicts_agent(verdicts);

	(void)state;
	(void)strcpy(view->reason, "it answered 503");
	expect("");
	assert_int_equal(overdue_asked, 0);
	atomic_store(&view->open_since, now - 42000);
	expect("");
	has_overdue = 1;
	now += 6000;
	expect("voice-agent");
	expect_part(0, "has taken no call for 48 s");
	expect_part(0, "it answered 503");
	atomic_store(&view->open_since, 0);
	expect("");
}

static int
make_dir(void **state)
{

	(void)state;
	assert_non_null(mkdtemp(dir));
	(void)snprintf(sock, sizeof(sock), "%s/execute.sock", dir);
	(void)snprintf(verdicts_path, sizeof(verdicts_path),
	    "%s/execute.verdicts", dir);
	(void)snprintf(metrics_path, sizeof(metrics_path),
	    "%s/listener.metrics", dir);
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
		TEST(all_at_once),
		TEST(breaker_alone),
		TEST(breaker_of_a_queue),
		TEST(no_database),
		TEST(execute),
		TEST(refused),
		TEST(webhook),
		TEST(voice_agent),
	};

	return (cmocka_run_group_tests(tests, make_dir, remove_dir));
}
