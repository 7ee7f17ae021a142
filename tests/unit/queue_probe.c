#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "breaker.h"
#include "config.h"
#include "google_auth.h"
#include "monotime.h"
#include "queue_probe.h"
#include "queues.h"
#include "troubles.h"

#include "captured_log.h"
#include "scripted_server.h"
#include "unit.h"

#define ANSWER(status, body)						\
	"HTTP/1.1 " status "\r\nConnection: close\r\n\r\n" body
#define RUNNING	ANSWER("200 OK", "{\"state\":\"RUNNING\"}")
#define PAUSED	ANSWER("200 OK", "{\"state\":\"PAUSED\"}")
#define AWAY	ANSWER("503 x", "{\"error\":{\"status\":\"UNAVAILABLE\"," \
		"\"message\":\"too busy\"}}")
#define NO_SUCH	ANSWER("404 x", "{\"error\":{\"status\":\"NOT_FOUND\"," \
		"\"message\":\"Queue does not exist.\"}}")
#define NOWHERE	ANSWER("400 x", "{\"error\":{\"status\":" \
		"\"INVALID_ARGUMENT\",\"message\":\"Location 'l' is not a " \
		"valid location.\"}}")
#define REFUSED	ANSWER("401 x", "{\"error\":{\"status\":" \
		"\"UNAUTHENTICATED\",\"message\":\"who is it?\"}}")

static char host[32];
static struct config conf = { .emulator_host = host, .project_id = "p",
    .location = "l", .queue = "q", .schedule_concurrency = 2 };
static const struct breaker_service service = { .name = "Cloud Tasks",
    .nothing = "booking is scheduled", .probe_ms = 30000 };
static struct breaker *breaker;
static struct queues *queues;
static struct queue_probe *probe;
static struct scripted_server *server;
static struct troubles troubles;

/* A clock that the test may put forward. */
static long ahead;

long
monotime_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (ts.tv_sec * 1000 + ts.tv_nsec / 1000000 + ahead);
}

void
monotime_pause(long ms)
{
	struct timespec ts = { .tv_sec = ms / 1000,
	    .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&ts, NULL);
}

/* Credentials for which there is ${token}, or none because of ${no_token}. */
static const char *no_token;

char *
google_auth_token(struct google_auth *auth, struct http *http, time_t now,
    time_t refused, char *why, size_t whylen)
{

	if (auth == NULL || http == NULL || now == 0)
		abort();
	(void)snprintf(why, whylen, "%s", no_token != NULL ? no_token : "");
	return (no_token != NULL || refused != 0 ? NULL : strdup("token"));
}

const char *
google_auth_quota_project(const struct google_auth *auth)
{

	(void)auth;
	return (NULL);
}

const char *
google_auth_universe(const struct google_auth *auth)
{

	(void)auth;
	return ("example.com");
}

static int
begin(void **state)
{

	(void)state;
	ahead = 0;
	no_token = NULL;
	server = NULL;
	captured_log_begin(LOG_DEBUG);
	assert_non_null(breaker = breaker_new(&service, NULL));
	assert_non_null(queues = queues_new(&conf, breaker));
	assert_non_null(probe = queue_probe_new(&conf, NULL, queues));
	return (0);
}

static int
end(void **state)
{

	(void)state;
	queue_probe_free(probe);
	queue_probe_free(NULL);
	queues_free(queues);
	breaker_free(breaker);
	captured_log_end();
	return (0);
}

/* Have ${answers} given, from now on. */
static void
script(const char *const *answers)
{

	server = scripted_server_start(answers);
	(void)snprintf(host, sizeof(host), "127.0.0.1:%d", server->port);
}

/* So many requests came. */
static void
script_ends(int n)
{

	assert_int_equal(scripted_server_stop(server), n);
	scripted_server_free(server);
}

/* Look until so many requests have come. */
static void
await_requests(int n)
{
	int attempts = 200;

	while (server->nrequests < n && --attempts > 0) {
		queue_probe_look(probe, &troubles);
		monotime_pause(50);
	}
	assert_int_equal(server->nrequests, n);
}

/* Look; is what is found ${code} alone, with ${part} in its sentence? */
static int
finds(const char *code, const char *part)
{

	troubles.n = 0;
	queue_probe_look(probe, &troubles);
	if (code == NULL)
		return (troubles.n == 0);
	return (troubles.n == 1 && strcmp(troubles.list[0].code, code) == 0 &&
	    strstr(troubles.list[0].sentence, part) != NULL);
}

/* It is, or ${code} is NULL and nothing is found; on a slow machine, soon. */
static void
expect(const char *code, const char *part)
{
	int attempts = 6;

	while (!finds(code, part)) {
		if (--attempts == 0)
			fail_msg("not \"%s\" but \"%s\"", code != NULL ? part :
			    "", troubles.list[0].sentence);
		monotime_pause(100);
	}
}

/* The queue is asked for every five seconds, and what it says is told. */
static void
states(void **state)
{

	(void)state;
	script(SCRIPT(RUNNING, PAUSED, NO_SUCH, NOWHERE, REFUSED, RUNNING));
	expect(NULL, NULL);
	expect(NULL, NULL);
	ahead += 3000;
	expect(NULL, NULL);
	assert_int_equal(server->nrequests, 1);
	assert_non_null(strstr(server->requests[0],
	    "GET /v2/projects/p/locations/l/queues/q HTTP"));
	ahead += 6000;
	expect("queue-paused", "gcloud tasks queues resume q --location=l");
	expect("queue-paused", "the queue q is paused");
	ahead += 6000;
	expect("queue-missing", "does the queue q of FOLLOWUP_QUEUE_NAME "
	    "exist");
	ahead += 6000;
	expect("queue-missing", "not a valid location.; does the queue q ");
	ahead += 6000;
	expect("credentials", "are the credentials still valid?");
	ahead += 6000;
	expect(NULL, NULL);
	script_ends(6);
}

/* Is a trouble of the kind ${code} found for the queue of request ${i}? */
static int
has(const char *code, const char *fmt, int i)
{
	const char *queue = strstr(server->requests[i], "/queues/");
	char part[256];
	size_t k;

	assert_non_null(queue);
	(void)snprintf(part, sizeof(part), fmt, queue[8]);
	for (k = 0; k < troubles.n; k++) {
		if (strcmp(troubles.list[k].code, code) == 0 &&
		    strstr(troubles.list[k].sentence, part) != NULL)
			return (1);
	}
	return (0);
}

/* Look until ${n} troubles are found. */
static void
look_for(size_t n)
{
	int attempts = 100;

	do {
		troubles.n = 0;
		queue_probe_look(probe, &troubles);
		monotime_pause(20);
	} while (troubles.n != n && --attempts > 0);
	assert_int_equal(troubles.n, n);
}

/* All queues that are in use are asked for. */
static void
others(void **state)
{
	static const char *const used[] = { "b", "c" };
	static const char *const all[] = { "b", "c", "q" };
	char queue;
	struct queues_request request;
	struct breaker_hold hold;
	int i;

	(void)state;
	for (i = 0; i < 2; i++) {
		assert_int_equal(queues_ask(queues, monotime_ms(), used[i],
		    &request, &hold), BREAKER_GO);
		queues_succeeded(queues, monotime_ms(), &request);
	}
	script(SCRIPT(RUNNING, PAUSED, NO_SUCH, AWAY, AWAY, AWAY, AWAY, AWAY,
	    AWAY));
	look_for(2);
	queue = strstr(server->requests[1], "/queues/")[8];
	for (i = 0; i < 3; i++)
		assert_int_equal(queue_probe_is_paused(probe, all[i]),
		    *all[i] == queue);
	assert_true(has("queue-paused", "the queue %c is paused", 1));
	assert_true(has("queue-missing", "does the queue %c ", 2));

	/* What all of them say is told once. */
	ahead += 6000;
	look_for(1);
	assert_true(has("cloud-tasks", "too busy", 0));
	script_ends(9);
}

/* One failure says little; and none is the breaker's business. */
static void
failures(void **state)
{
	struct breaker_hold hold;
	int i;

	(void)state;
	script(SCRIPT(AWAY, RUNNING, AWAY, AWAY, AWAY, AWAY, AWAY, AWAY));
	expect(NULL, NULL);
	for (i = 0; i < 3; i++) {
		ahead += 6000;
		expect("cloud-tasks", "too busy");
		await_requests(4 + 2 * i);
	}
	script_ends(8);
	assert_string_equal(breaker_state(breaker, monotime_ms(),
	    &hold), "closed");
	ahead += 6000;
	expect("cloud-tasks", "could not be reached");
}

static void
credentials(void **state)
{
	struct google_auth *auth = (struct google_auth *)(void *)&probe;

	(void)state;
	queue_probe_free(probe);
	script(SCRIPT(RUNNING));
	assert_non_null(probe = queue_probe_new(&conf, auth, queues));
	no_token = "invalid_grant";
	expect("credentials", "there is no access token for Google: "
	    "invalid_grant: check");
	no_token = NULL;
	ahead += 6000;
	expect(NULL, NULL);
	assert_non_null(strstr(server->requests[0], "Bearer token"));
	script_ends(1);
}

/* Nobody waits for a service that hangs; what it said last counts a while. */
static void
hanging(void **state)
{
	int fd, port;
	long begun;

	(void)state;
	script(SCRIPT(RUNNING));
	expect(NULL, NULL);
	script_ends(1);
	fd = scripted_listen(&port);
	(void)snprintf(host, sizeof(host), "127.0.0.1:%d", port);
	ahead += 5000;
	begun = monotime_ms();
	expect(NULL, NULL);
	assert_in_range(monotime_ms() - begun, 1400, 4000);
	ahead += 6000;
	begun = monotime_ms();
	expect("cloud-tasks", "has not answered for 1");
	assert_in_range(monotime_ms() - begun, 1400, 4000);
	(void)close(fd);
}

static void
hanging_from_the_start(void **state)
{
	int fd, port;

	(void)state;
	fd = scripted_listen(&port);
	(void)snprintf(host, sizeof(host), "127.0.0.1:%d", port);
	expect("cloud-tasks", "has not answered yet");
	(void)close(fd);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(states),
		TEST(others),
		TEST(failures),
		TEST(credentials),
		TEST(hanging),
		TEST(hanging_from_the_start),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
