#include <sys/wait.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "breaker.h"
#include "cloud_tasks.h"
#include "config.h"
#include "google_auth.h"
#include "monotime.h"
#include "queues.h"

#include "captured_log.h"
#include "scripted_peer.h"
#include "unit.h"

#define SLOTS		4
#define FEW_SLOTS	32	/* where answers are quick */
#define SLOW_MS		20
#define PATIENCE_MS	5000	/* a peer on this machine has so long */
#define QUEUE		"projects/p-1/locations/l/queues/q"
#define TASK		QUEUE "/tasks/followup-1"
#define MADE		"{\"name\":\"" TASK "\"}"
#define TASK_OF_B	"projects/p-1/locations/l/queues/b/tasks/followup-1"
#define SECRET		"s3cr3t-s3cr3t-s3cr3t"

static struct config conf;
static struct cloud_tasks *tasks;
static struct cloud_tasks_call calls[2 * FEW_SLOTS];
static char endpoint[64];
static const char *url;			/* what the tasks call */

/* The breakers, instead of the product's: what they say, and are told. */
static enum breaker_answer breaker_says;
static long breaker_wait;
static int only_its_queue;
static char told[256];

static void __attribute__((format(printf, 1, 2)))
tell(const char *fmt, ...)
{
	size_t len = strlen(told);
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(&told[len], sizeof(told) - len, fmt, ap);
	va_end(ap);
}

int
queues_is_name(const char *name)
{

	return (*name != '\0');
}

/* What is told of another queue than q names it. */
enum breaker_answer
queues_ask(struct queues *q, long now, const char *name,
    struct queues_request *request, struct breaker_hold *hold)
{

	(void)q;
	(void)now;
	tell(strcmp(name, "q") == 0 ? "ask " : "ask:%s ", name);
	hold->wait = breaker_wait;
	(void)snprintf(hold->reason, BREAKER_REASON_LEN, "it was down");
	request->only_its_queue = only_its_queue;
	return (request->own.answer = breaker_says);
}

static void
tell_end(const struct queues_request *request, const char *what)
{

	assert_int_equal(request->own.answer, breaker_says);
	tell("%s ", what);
}

void
queues_succeeded(struct queues *q, long now, struct queues_request *request)
{

	(void)q;
	(void)now;
	tell_end(request, "ok");
}

void
queues_answered(struct queues *q, long now, struct queues_request *request)
{

	(void)q;
	(void)now;
	tell_end(request, "answered");
}

enum breaker_blame
queues_failed(struct queues *q, long now, struct queues_request *request,
    const struct breaker_failure *failure, int is_queue)
{
	int at_once = failure->enough == 1;

	(void)q;
	(void)now;
	assert_int_equal(request->own.answer, breaker_says);
	assert_string_not_equal(failure->reason, "");
	assert_true(failure->is_everybody && !failure->slow_down);
	assert_true(at_once || failure->enough == BREAKER_SEVERAL);
	request->only_its_queue = is_queue && only_its_queue;
	tell("%s%s%ld ", is_queue ? "queue-" : "", at_once ? "blocked" :
	    "failed", failure->retry_after);
	return (at_once || breaker_says == BREAKER_PROBE ? BREAKER_COMMON :
	    BREAKER_ITS_OWN);
}

static void
expect_told(const char *text)
{

	assert_string_equal(told, text);
	told[0] = '\0';
}

/* Credentials, likewise. */
static struct google_auth *auth;
static int tokens;			/* that were asked for */
static time_t token_asked;		/* when the last one was */
static int fresh;			/* the last one was to be new */
static int token_fails;
static const char *quota;

char *
google_auth_token(struct google_auth *a, struct http *http, time_t t,
    time_t refused, char *why, size_t len)
{
	char *token;

	assert_true(a == auth && http != NULL && t > 0);
	assert_true(refused == 0 || refused == token_asked);
	token_asked = t;
	fresh = refused != 0;
	tokens++;
	if (token_fails) {
		(void)snprintf(why, len, "no token today");
		return (NULL);
	}
	assert_true(asprintf(&token, "token-%d", tokens) > 0);
	return (token);
}

const char *
google_auth_quota_project(const struct google_auth *a)
{

	assert_ptr_equal(a, auth);
	return (quota);
}

const char *
google_auth_universe(const struct google_auth *a)
{

	assert_ptr_equal(a, auth);
	return ("example.org");
}

static void
make(void)
{

	assert_non_null(tasks = cloud_tasks_new(&conf, auth, NULL));
}

static int
begin(void **state)
{

	(void)state;
	captured_log_begin(LOG_DEBUG);
	peer_open();
	(void)snprintf(endpoint, sizeof(endpoint), "http://127.0.0.1:%d//",
	    peer.port);
	conf = (struct config){ .cloud_tasks_endpoint = endpoint,
	    .project_id = "p-1", .location = "l", .queue = "q",
	    .execution_audience = "the audience",
	    .service_account = "tasks@p", .schedule_concurrency = SLOTS };
	breaker_says = BREAKER_GO;
	only_its_queue = 0;
	told[0] = '\0';
	auth = NULL;
	quota = NULL;
	tokens = fresh = token_fails = 0;
	url = "https://x/1/execute-followup";
	memset(calls, 0, sizeof(calls));
	make();
	return (0);
}

static int
end(void **state)
{

	(void)state;
	cloud_tasks_free(tasks);
	peer_close();
	captured_log_end();
	return (0);
}

/* The trace of the tasks, or NULL. */
static const char *traceparent;

/* Begin call ${i} about the task ${name}. */
static void
begin_call(int i, enum cloud_tasks_method method, const char *name)
{

	calls[i] = (struct cloud_tasks_call){ .method = method, .name = name,
	    .schedule_time = "2026-11-26T00:00:00.000000Z",
	    .url = url, .body = "{\"a\":1}",
	    .traceparent = traceparent };
	cloud_tasks_begin(tasks, &calls[i]);
}

/* Wait until the peer has been asked ${n} times. */
static void
asked(int n)
{
	long until = monotime_ms() + PATIENCE_MS;

	while (peer.nasked < n) {
		assert_true(monotime_ms() < until);
		assert_null(cloud_tasks_next(tasks, 0));
		peer_look();
	}
	assert_int_equal(peer.nasked, n);
}

/* Call ${i} is the next one that is answered. */
static void
answered(int i)
{
	long until = monotime_ms() + PATIENCE_MS;
	struct cloud_tasks_call *call;

	while ((call = cloud_tasks_next(tasks, 20)) == NULL) {
		assert_true(monotime_ms() < until);
		peer_look();
	}
	assert_ptr_equal(call, &calls[i]);
}

/* Make call 0, and let it have this answer. */
static void
exchange(enum cloud_tasks_method method, const char *status,
    const char *headers, const char *body)
{
	int n = peer.nasked;

	begin_call(0, method, TASK);
	asked(n + 1);
	peer_answer(n, status, headers, body);
	answered(0);
	assert_int_equal(cloud_tasks_in_flight(tasks), 0);
}

#define ERROR(status)	"{\"error\":{\"code\":1,\"message\":\"as it said\"," \
			"\"status\":\"" status "\"}}"
#define NO_LOCATION	"{\"error\":{\"code\":400,\"status\":" \
			"\"INVALID_ARGUMENT\",\"message\":" \
			"\"Location 'l' is not a valid location.\"}}"
#define HTML		"<html>front end</html>"
#define BY_NUMBER	"{\"name\":\"projects/4711/locations/l/queues/q/" \
			"tasks/followup-1\"}"

/*
 * What is sent.
 */

static void
expect_request(int i, const char *line)
{

	assert_true(i < peer.nasked);
	if (strncmp(peer.asked[i].text, line, strlen(line)) != 0)
		fail_msg("asked %.120s", peer.asked[i].text);
}

static int
has_header(int i, const char *line)
{

	return (strstr(peer.asked[i].text, line) != NULL);
}

static void
requests(void **state)
{

	(void)state;
	exchange(CLOUD_TASKS_CREATE, "200 OK", "", MADE);
	exchange(CLOUD_TASKS_GET, "200 OK", "", MADE);
	exchange(CLOUD_TASKS_DELETE, "200 OK", "", "{}");
	exchange(CLOUD_TASKS_QUEUE, "200 OK", "", "{}");
	expect_request(0, "POST /v2/" QUEUE "/tasks HTTP/1.1\r\n");
	expect_request(1, "GET /v2/" TASK " HTTP/1.1\r\n");
	expect_request(2, "DELETE /v2/" TASK " HTTP/1.1\r\n");
	expect_request(3, "GET /v2/" QUEUE " HTTP/1.1\r\n");
	assert_true(has_header(0, "\r\nContent-Type: application/json\r\n"));
	assert_false(has_header(0, "\r\nAuthorization:"));
	assert_false(has_header(1, "\r\nContent-Type:"));

	/* One connection serves them all. */
	assert_int_equal(peer.asked[3].connection, peer.asked[0].connection);
}

/* The task that request ${i} creates. */
static json_t *
task_of(int i)
{
	json_t *root = json_loads(peer_body(i), JSON_REJECT_DUPLICATES, NULL);
	json_t *task = json_incref(json_object_get(root, "task"));

	assert_non_null(task);
	assert_int_equal(json_object_size(root), 1);
	json_decref(root);
	return (task);
}

static void
expect_task(int i, json_t *headers, json_t *token)
{
	json_t *task = task_of(i), *wanted;

	wanted = json_pack("{ss ss ss s{ss ss so ss}}", "name", TASK,
	    "scheduleTime", "2026-11-26T00:00:00.000000Z",
	    "dispatchDeadline", "120s", "httpRequest", "httpMethod", "POST",
	    "url", url, "headers", headers,
	    "body", "eyJhIjoxfQ==");
	if (token != NULL)
		(void)json_object_set_new(json_object_get(wanted,
		    "httpRequest"), "oidcToken", token);
	assert_true(json_equal(task, wanted));
	json_decref(task);
	json_decref(wanted);
}

static void
task_with_a_token(void **state)
{

	(void)state;
	exchange(CLOUD_TASKS_CREATE, "200 OK", "", MADE);
	expect_task(0, json_pack("{ss}", "Content-Type", "application/json"),
	    json_pack("{ss ss}", "serviceAccountEmail", "tasks@p", "audience",
	    "the audience"));
}

/* What JSON escapes stays what it is. */
static void
task_with_an_odd_url(void **state)
{

	(void)state;
	url = "https://x/\"\\\xc3\xa4/execute-followup";
	exchange(CLOUD_TASKS_CREATE, "200 OK", "", MADE);
	expect_task(0, json_pack("{ss}", "Content-Type", "application/json"),
	    json_pack("{ss ss}", "serviceAccountEmail", "tasks@p", "audience",
	    "the audience"));
}

static void
task_with_a_trace(void **state)
{

	(void)state;
	traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
	exchange(CLOUD_TASKS_CREATE, "200 OK", "", MADE);
	expect_task(0, json_pack("{ss ss}", "Content-Type",
	    "application/json", "traceparent", traceparent),
	    json_pack("{ss ss}", "serviceAccountEmail", "tasks@p", "audience",
	    "the audience"));
	traceparent = NULL;
}

static void
task_with_a_secret(void **state)
{

	(void)state;
	conf.cloud_tasks_secret = SECRET;
	exchange(CLOUD_TASKS_CREATE, "200 OK", "", MADE);
	expect_task(0, json_pack("{ss ss}", "Content-Type",
	    "application/json", "X-CloudTasks-Secret", SECRET),
	    json_pack("{ss ss}", "serviceAccountEmail", "tasks@p", "audience",
	    "the audience"));

	/* Where no token is, the secret is the bearer too. */
	conf.service_account = NULL;
	cloud_tasks_free(tasks);
	make();
	exchange(CLOUD_TASKS_CREATE, "200 OK", "", MADE);
	expect_task(1, json_pack("{ss ss ss}", "Content-Type",
	    "application/json", "X-CloudTasks-Secret", SECRET,
	    "Authorization", "Bearer " SECRET), NULL);

	/* What JSON escapes stays what it is. */
	conf.cloud_tasks_secret = "\"\\" SECRET;
	exchange(CLOUD_TASKS_CREATE, "200 OK", "", MADE);
	expect_task(2, json_pack("{ss ss ss}", "Content-Type",
	    "application/json", "X-CloudTasks-Secret", "\"\\" SECRET,
	    "Authorization", "Bearer \"\\" SECRET), NULL);
}

static void
credentials(void **state)
{

	(void)state;
	cloud_tasks_free(tasks);
	auth = (struct google_auth *)(void *)&conf;
	make();
	exchange(CLOUD_TASKS_GET, "200 OK", "", MADE);
	assert_true(has_header(0, "\r\nAuthorization: Bearer token-1\r\n"));
	assert_false(has_header(0, "x-goog-user-project"));
	quota = "payer";
	exchange(CLOUD_TASKS_CREATE, "200 OK", "", MADE);
	assert_true(has_header(1, "\r\nAuthorization: Bearer token-2\r\n"));
	assert_true(has_header(1, "\r\nx-goog-user-project: payer\r\n"));
	assert_int_equal(fresh, 0);
}

static void
names(void **state)
{
	char name[CLOUD_TASKS_NAME_LEN];

	(void)state;
	cloud_tasks_name(tasks, NULL, "followup-1", name);
	assert_string_equal(name, TASK);
	cloud_tasks_name(tasks, "", "followup-1", name);
	assert_string_equal(name, TASK);
	cloud_tasks_name(tasks, "b", "followup-1", name);
	assert_string_equal(name, TASK_OF_B);

	assert_true(cloud_tasks_is_in(tasks, NULL, TASK));
	assert_true(cloud_tasks_is_in(tasks, "b", TASK_OF_B));
	assert_false(cloud_tasks_is_in(tasks, NULL, TASK_OF_B));
	assert_false(cloud_tasks_is_in(tasks, "b", TASK));
	assert_false(cloud_tasks_is_in(tasks, "q", "projects/p-1/locations/"
	    "other/queues/q/tasks/followup-1"));
}

/* Where the API is, as the requests' Host header tells. */
static void
emulator_wins(void **state)
{
	char host[32];

	(void)state;
	cloud_tasks_free(tasks);
	(void)snprintf(host, sizeof(host), "127.0.0.1:%d", peer.port);
	conf.emulator_host = host;
	conf.cloud_tasks_endpoint = "https://nowhere.invalid";
	make();
	exchange(CLOUD_TASKS_GET, "200 OK", "", MADE);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_OK);
}

/* Without either it is Google's, of the credentials' universe. */
static void
google_by_default(void **state)
{

	(void)state;
	cloud_tasks_free(tasks);
	conf.cloud_tasks_endpoint = NULL;
	conf.proxy = endpoint + 7;
	auth = (struct google_auth *)(void *)&conf;
	make();
	begin_call(0, CLOUD_TASKS_GET, TASK);
	asked(1);
	expect_request(0, "CONNECT cloudtasks.example.org:443 ");
	peer_answer(0, "403 Forbidden", "", "");
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_TRANSIENT);
}

/*
 * What is answered.
 */

static void
outcomes(void **state)
{
	static const struct {
		const char *name;
		const char *status;
		const char *body;
		const char *told;
		enum cloud_tasks_method method;
		enum cloud_tasks_outcome outcome;
	} rows[] = {
		{ "created", "200 OK", MADE, "ask ok ", CLOUD_TASKS_CREATE,
		    CLOUD_TASKS_OK },
		{ "created, with blanks", "200 OK", "{\n  \"name\" : \"" TASK
		    "\",\n  \"view\": \"BASIC\"\n}\n", "ask ok ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_OK },
		{ "created, the name last", "200 OK", "{\"view\":\"BASIC\","
		    "\"name\":\"" TASK "\"}", "ask ok ", CLOUD_TASKS_CREATE,
		    CLOUD_TASKS_OK },
		{ "created, by the project's number", "200 OK", BY_NUMBER,
		    "ask ok ", CLOUD_TASKS_CREATE, CLOUD_TASKS_OK },
		{ "got, by the project's number", "200 OK", BY_NUMBER,
		    "ask ok ", CLOUD_TASKS_GET, CLOUD_TASKS_OK },
		{ "created nothing", "200 OK", "{}", "ask failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "created something else", "200 OK", "{\"name\":\"" TASK
		    "-2\"}", "ask failed-1 ", CLOUD_TASKS_CREATE,
		    CLOUD_TASKS_TRANSIENT },
		{ "created what it ends with", "200 OK", "{\"name\":"
		    "\"/tasks/followup-1\"}", "ask failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "an error that names the task", "200 OK", "{\"error\":{"
		    "\"message\":\"" TASK "\"}}", "ask failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "the task and an error", "200 OK", "{\"name\":\"" TASK
		    "\",\"error\":{\"status\":\"INTERNAL\"}}",
		    "ask failed-1 ", CLOUD_TASKS_CREATE,
		    CLOUD_TASKS_TRANSIENT },
		{ "its name is no text", "200 OK", "{\"name\":[\"" TASK
		    "\"]}", "ask failed-1 ", CLOUD_TASKS_CREATE,
		    CLOUD_TASKS_TRANSIENT },
		{ "got nothing", "200 OK", "{}", "ask failed-1 ",
		    CLOUD_TASKS_GET, CLOUD_TASKS_TRANSIENT },
		{ "got something else", "200 OK", "{\"name\":\"x\"}",
		    "ask failed-1 ", CLOUD_TASKS_GET, CLOUD_TASKS_TRANSIENT },
		{ "deleted", "200 OK", "{}", "ask ok ", CLOUD_TASKS_DELETE,
		    CLOUD_TASKS_OK },
		{ "deleted, with an error", "200 OK", ERROR("INTERNAL"),
		    "ask failed-1 ", CLOUD_TASKS_DELETE,
		    CLOUD_TASKS_TRANSIENT },
		{ "200 of a front end", "200 OK", HTML, "ask failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "200, no object", "200 OK", "[]", "ask failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "200, nothing", "200 OK", "", "ask failed-1 ",
		    CLOUD_TASKS_DELETE, CLOUD_TASKS_TRANSIENT },
		{ "204", "204 No Content", "{}", "ask failed-1 ",
		    CLOUD_TASKS_DELETE, CLOUD_TASKS_TRANSIENT },
		{ "redirect", "302 Found", "{}", "ask failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "wrong request", "400 Bad Request", ERROR("INVALID_ARGUMENT"),
		    "ask ok ", CLOUD_TASKS_CREATE, CLOUD_TASKS_REFUSED },
		{ "400 of a front end", "400 Bad Request", HTML,
		    "ask failed-1 ", CLOUD_TASKS_CREATE,
		    CLOUD_TASKS_TRANSIENT },
		{ "400, an error without a status", "400 Bad Request",
		    "{\"error\":{\"message\":\"x\"}}", "ask failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "no credentials", "401 Unauthorized",
		    ERROR("UNAUTHENTICATED"), "ask blocked-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_BLOCKED },
		{ "no role", "403 Forbidden", ERROR("PERMISSION_DENIED"),
		    "ask queue-blocked-1 ", CLOUD_TASKS_CREATE,
		    CLOUD_TASKS_BLOCKED },
		{ "403 of a front end", "403 Forbidden", HTML,
		    "ask queue-blocked-1 ", CLOUD_TASKS_CREATE,
		    CLOUD_TASKS_BLOCKED },
		{ "no role to look", "403 Forbidden",
		    ERROR("PERMISSION_DENIED"), "ask answered ",
		    CLOUD_TASKS_GET, CLOUD_TASKS_TRANSIENT },
		{ "no role to delete", "403 Forbidden",
		    ERROR("PERMISSION_DENIED"), "ask answered ",
		    CLOUD_TASKS_DELETE, CLOUD_TASKS_REFUSED },
		{ "wrong task", "400 Bad Request", ERROR("INVALID_ARGUMENT"),
		    "ask ok ", CLOUD_TASKS_CREATE, CLOUD_TASKS_REFUSED },
		{ "queue not ready", "400 Bad Request",
		    ERROR("FAILED_PRECONDITION"), "ask queue-blocked-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_BLOCKED },
		{ "no such location", "400 Bad Request", NO_LOCATION,
		    "ask queue-blocked-1 ", CLOUD_TASKS_CREATE,
		    CLOUD_TASKS_BLOCKED },
		{ "no queue", "404 Not Found", ERROR("NOT_FOUND"),
		    "ask queue-blocked-1 ", CLOUD_TASKS_CREATE,
		    CLOUD_TASKS_BLOCKED },
		{ "no such task to get", "404 Not Found", ERROR("NOT_FOUND"),
		    "ask ok ", CLOUD_TASKS_GET, CLOUD_TASKS_GONE },
		{ "no such task to delete", "404 Not Found", ERROR("NOT_FOUND"),
		    "ask ok ", CLOUD_TASKS_DELETE, CLOUD_TASKS_GONE },
		{ "no such task, without a status", "404 Not Found",
		    "{\"error\":{\"code\":404}}", "ask ok ", CLOUD_TASKS_GET,
		    CLOUD_TASKS_GONE },
		{ "404 of a front end, to get", "404 Not Found", HTML,
		    "ask failed-1 ", CLOUD_TASKS_GET, CLOUD_TASKS_TRANSIENT },
		{ "404 of a front end, to delete", "404 Not Found", HTML,
		    "ask failed-1 ", CLOUD_TASKS_DELETE,
		    CLOUD_TASKS_TRANSIENT },
		{ "404 of a front end, to create", "404 Not Found", HTML,
		    "ask queue-blocked-1 ", CLOUD_TASKS_CREATE,
		    CLOUD_TASKS_BLOCKED },
		{ "timeout", "408 Request Timeout", ERROR("X"), "ask failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "name taken", "409 Conflict", ERROR("ALREADY_EXISTS"),
		    "ask ok ", CLOUD_TASKS_CREATE, CLOUD_TASKS_EXISTS },
		{ "aborted", "409 Conflict", ERROR("ABORTED"), "ask failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "409 of a front end", "409 Conflict", HTML, "ask failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "too many", "429 Too Many Requests",
		    ERROR("RESOURCE_EXHAUSTED"), "ask queue-failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "cancelled", "499 x", ERROR("CANCELLED"), "ask failed-1 ",
		    CLOUD_TASKS_CREATE, CLOUD_TASKS_TRANSIENT },
		{ "internal", "500 x", ERROR("INTERNAL"), "ask failed-1 ",
		    CLOUD_TASKS_GET, CLOUD_TASKS_TRANSIENT },
		{ "away", "503 x", ERROR("UNAVAILABLE"), "ask failed-1 ",
		    CLOUD_TASKS_DELETE, CLOUD_TASKS_TRANSIENT },
		{ "queue", "200 OK", "{}", "", CLOUD_TASKS_QUEUE,
		    CLOUD_TASKS_OK },
		{ "queue without the role", "403 Forbidden",
		    ERROR("PERMISSION_DENIED"), "", CLOUD_TASKS_QUEUE,
		    CLOUD_TASKS_BLOCKED },
		{ "no such queue", "404 Not Found", ERROR("NOT_FOUND"), "",
		    CLOUD_TASKS_QUEUE, CLOUD_TASKS_BLOCKED },
		{ "queue that is not ready", "400 Bad Request",
		    ERROR("FAILED_PRECONDITION"), "", CLOUD_TASKS_QUEUE,
		    CLOUD_TASKS_BLOCKED },
		{ "queue in no location", "400 Bad Request", NO_LOCATION, "",
		    CLOUD_TASKS_QUEUE, CLOUD_TASKS_BLOCKED },
		{ "queue, away", "503 x", HTML, "", CLOUD_TASKS_QUEUE,
		    CLOUD_TASKS_TRANSIENT },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		exchange(rows[i].method, rows[i].status, "", rows[i].body);
		ASSERT_ROW(calls[0].outcome == rows[i].outcome,
		    rows[i].name);
		ASSERT_ROW(strcmp(told, rows[i].told) == 0, rows[i].name);
		ASSERT_ROW(calls[0].outcome == CLOUD_TASKS_OK ||
		    calls[0].error.http_status ==
		    strtol(rows[i].status, NULL, 10), rows[i].name);
		told[0] = '\0';
	}
}

/* A task of a former queue is nobody else's trouble. */
static void
former_queue(void **state)
{
	static const char *const names[] = { TASK_OF_B,
	    "projects/p-1/locations/old/queues/q/tasks/followup-1" };
	static const struct {
		const char *status;
		const char *body;
		enum cloud_tasks_outcome outcomes[2];	/* get, delete */
	} rows[] = {
		{ "200 OK", MADE, { CLOUD_TASKS_OK, CLOUD_TASKS_OK } },
		{ "401 x", ERROR("UNAUTHENTICATED"), { CLOUD_TASKS_TRANSIENT,
		    CLOUD_TASKS_TRANSIENT } },
		{ "403 x", ERROR("PERMISSION_DENIED"), { CLOUD_TASKS_REFUSED,
		    CLOUD_TASKS_REFUSED } },
		{ "404 x", ERROR("NOT_FOUND"), { CLOUD_TASKS_GONE,
		    CLOUD_TASKS_GONE } },
		{ "503 x", HTML, { CLOUD_TASKS_TRANSIENT,
		    CLOUD_TASKS_TRANSIENT } },
	};
	int i, k;

	(void)state;
	for (i = 0; i < (int)NITEMS(rows); i++) {
		for (k = 0; k < 4; k++) {
			calls[0] = (struct cloud_tasks_call){
			    .name = names[k % 2], .is_former = k % 2 == 0,
			    .method = k < 2 ? CLOUD_TASKS_GET :
			    CLOUD_TASKS_DELETE };
			cloud_tasks_begin(tasks, &calls[0]);
			asked(4 * i + k + 1);
			peer_answer(4 * i + k, rows[i].status, "",
			    rows[i].body);
			answered(0);
			ASSERT_ROW(calls[0].outcome == rows[i].outcomes[k / 2],
			    rows[i].status);
			expect_told("");
		}
	}
}

/* What one queue has is told of that one. */
static void
another_queue(void **state)
{

	(void)state;
	only_its_queue = 1;
	begin_call(0, CLOUD_TASKS_CREATE, TASK_OF_B);
	asked(1);
	expect_request(0, "POST /v2/projects/p-1/locations/l/queues/b/tasks "
	    "HTTP/1.1\r\n");
	assert_non_null(strstr(peer_body(0), "\"name\":\"" TASK_OF_B "\""));
	peer_answer(0, "404 x", "", ERROR("NOT_FOUND"));
	answered(0);
	expect_told("ask:b queue-blocked-1 ");
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_BLOCKED);
	assert_int_equal(calls[0].error.only_its_queue, 1);
	assert_non_null(strstr(calls[0].error.text, "; does the queue b that "
	    "followup_queue names exist in GCP_LOCATION"));

	begin_call(0, CLOUD_TASKS_QUEUE, TASK_OF_B);
	asked(2);
	expect_request(1, "GET /v2/projects/p-1/locations/l/queues/b "
	    "HTTP/1.1\r\n");
	peer_answer(1, "403 x", "", ERROR("PERMISSION_DENIED"));
	answered(0);
	assert_int_equal(calls[0].error.only_its_queue, 0);
	assert_non_null(strstr(calls[0].error.text, "on the queue b and "
	    "roles/iam.serviceAccountUser on GCP_CLOUD_TASKS_SERVICE_"));
	expect_told("");

	/* The service is everybody's; a breaker may be the queue's. */
	begin_call(1, CLOUD_TASKS_CREATE, TASK_OF_B);
	asked(3);
	peer_answer(2, "500 x", "", HTML);
	answered(1);
	expect_told("ask:b failed-1 ");
	assert_int_equal(calls[1].error.only_its_queue, 0);
	breaker_says = BREAKER_REFUSED;
	begin_call(1, CLOUD_TASKS_CREATE, TASK_OF_B);
	answered(1);
	assert_int_equal(calls[1].outcome, CLOUD_TASKS_OPEN);
	assert_int_equal(calls[1].error.only_its_queue, 1);
}

static void
with_credentials(void)
{

	cloud_tasks_free(tasks);
	auth = (struct google_auth *)(void *)&conf;
	make();
}

/* Of any length, like everything that is configured. */
static void
long_endpoint(void **state)
{
	static char path[1201];
	char *line;

	(void)state;
	memset(path, 'p', sizeof(path) - 1);
	assert_true(asprintf(&line, "%s%s", endpoint, path) > 0);
	conf.cloud_tasks_endpoint = line;
	with_credentials();
	quota = path;
	exchange(CLOUD_TASKS_GET, "200 OK", "", MADE);
	free(line);
	assert_true(asprintf(&line, "GET //%s/v2/" TASK " HTTP/1.1\r\n",
	    path) > 0);
	expect_request(0, line);
	free(line);
	assert_true(asprintf(&line, "\r\nx-goog-user-project: %s\r\n",
	    path) > 0);
	assert_true(has_header(0, line));
	free(line);
}

/* What an operator reads. */
static void
errors_in_words(void **state)
{

	(void)state;
	exchange(CLOUD_TASKS_CREATE, "400 x", "", ERROR("INVALID_ARGUMENT"));
	assert_string_equal(calls[0].error.text,
	    "Cloud Tasks answered 400 INVALID_ARGUMENT: as it said");
	exchange(CLOUD_TASKS_CREATE, "502 x", "", HTML);
	assert_string_equal(calls[0].error.text, "Cloud Tasks answered 502 "
	    "no status: the answer was not in the API's format");
	exchange(CLOUD_TASKS_CREATE, "401 x", "", ERROR("UNAUTHENTICATED"));
	assert_non_null(strstr(calls[0].error.text,
	    "as it said; are the credentials still valid?"));
	exchange(CLOUD_TASKS_CREATE, "403 x", "", ERROR("PERMISSION_DENIED"));
	assert_non_null(strstr(calls[0].error.text,
	    "as it said; is the API enabled, and does the service account"));
	exchange(CLOUD_TASKS_DELETE, "403 x", "", ERROR("PERMISSION_DENIED"));
	assert_non_null(strstr(calls[0].error.text, ".taskDeleter"));
	exchange(CLOUD_TASKS_CREATE, "404 x", "", ERROR("NOT_FOUND"));
	assert_non_null(strstr(calls[0].error.text,
	    "as it said; does the queue q of FOLLOWUP_QUEUE_NAME exist in "));
}

/* Tasks hold the secret, and an answer may quote the task. */
static void
secret_is_hidden(void **state)
{

	(void)state;
	conf.cloud_tasks_secret = SECRET;
	exchange(CLOUD_TASKS_CREATE, "400 x", "", "{\"error\":{\"status\":"
	    "\"INVALID_ARGUMENT\",\"message\":\"bad header " SECRET "!\"}}");
	assert_null(strstr(calls[0].error.text, SECRET));
	assert_non_null(strstr(calls[0].error.text, "bad header "));
	exchange(CLOUD_TASKS_CREATE, "400 x", "", "{\"error\":{\"status\":\""
	    SECRET "\",\"message\":\"no\"}}");
	assert_null(strstr(calls[0].error.text, SECRET));
	exchange(CLOUD_TASKS_GET, "200 OK", "", "{\"name\":\"" TASK "\","
	    "\"lastAttempt\":{\"responseStatus\":{\"message\":\"not " SECRET
	    "\"}}}");
	assert_null(strstr(calls[0].info.last, SECRET));
	assert_non_null(strstr(calls[0].info.last, "not ***"));
}

static void
retry_after(void **state)
{

	(void)state;
	exchange(CLOUD_TASKS_CREATE, "429 x", "Retry-After: 17\r\n",
	    ERROR("RESOURCE_EXHAUSTED"));
	assert_int_equal(calls[0].error.retry_after, 17);
	expect_told("ask queue-failed17 ");
	exchange(CLOUD_TASKS_CREATE, "503 x", "", HTML);
	assert_int_equal(calls[0].error.retry_after, -1);
}

static void
info_of_a_task(void **state)
{

	(void)state;
	exchange(CLOUD_TASKS_GET, "200 OK", "", "{\"name\":\"" TASK "\","
	    "\"dispatchCount\":7,\"lastAttempt\":{\"responseStatus\":"
	    "{\"code\":14,\"message\":\"UNAVAILABLE\"}}}");
	assert_int_equal(calls[0].info.dispatches, 7);
	assert_string_equal(calls[0].info.last, "UNAVAILABLE");
	assert_int_equal(calls[0].info.is_paused, 0);
	exchange(CLOUD_TASKS_GET, "200 OK", "", MADE);
	assert_int_equal(calls[0].info.dispatches, 0);
	assert_string_equal(calls[0].info.last, "");
	exchange(CLOUD_TASKS_QUEUE, "200 OK", "", "{\"state\":\"RUNNING\"}");
	assert_int_equal(calls[0].info.is_paused, 0);
	exchange(CLOUD_TASKS_QUEUE, "200 OK", "", "{\"state\":\"PAUSED\"}");
	assert_int_equal(calls[0].info.is_paused, 1);
}

/* An answer that is cut off, and none at all. */
static void
no_answer(void **state)
{

	(void)state;
	begin_call(0, CLOUD_TASKS_CREATE, TASK);
	asked(1);
	scripted_write(peer.connections[peer.asked[0].connection].fd,
	    "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{}");
	peer_abort(0);
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_TRANSIENT);
	assert_int_equal(calls[0].error.http_status, 0);
	expect_told("ask failed-1 ");

	begin_call(0, CLOUD_TASKS_CREATE, TASK);
	asked(2);
	peer_abort(1);
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_TRANSIENT);
	assert_int_equal(calls[0].error.retry_after, -1);
	assert_non_null(strstr(calls[0].error.text,
	    "Cloud Tasks could not be reached: "));

	peer_die();
	begin_call(0, CLOUD_TASKS_CREATE, TASK);
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_TRANSIENT);
	assert_int_equal(cloud_tasks_has_room(tasks), 1);
	expect_told("ask failed-1 ask failed-1 ");
}

/*
 * Tokens that are refused.
 */

static void
token_is_renewed_once(void **state)
{

	(void)state;
	with_credentials();
	begin_call(0, CLOUD_TASKS_CREATE, TASK);
	asked(1);
	assert_int_equal(fresh, 0);
	peer_answer(0, "401 x", "", ERROR("UNAUTHENTICATED"));
	asked(2);
	assert_int_equal(fresh, 1);
	assert_true(has_header(1, "\r\nAuthorization: Bearer token-2\r\n"));
	assert_string_equal(peer_body(0), peer_body(1));
	peer_answer(1, "200 OK", "", MADE);
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_OK);
	expect_told("ask ok ");

	/* The next call may have its token renewed again. */
	begin_call(0, CLOUD_TASKS_GET, TASK);
	asked(3);
	assert_int_equal(fresh, 0);
	peer_answer(2, "401 x", "", "");
	asked(4);
	peer_answer(3, "401 x", "", ERROR("UNAUTHENTICATED"));
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_BLOCKED);
	expect_told("ask blocked-1 ");
}

static void
no_token(void **state)
{

	(void)state;
	with_credentials();
	token_fails = 1;
	begin_call(0, CLOUD_TASKS_CREATE, TASK);
	answered(0);
	assert_int_equal(peer.nasked, 0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_TRANSIENT);
	assert_string_equal(calls[0].error.text,
	    "Cloud Tasks could not be reached: no token today");
	expect_told("ask failed-1 ");

	/* Nor another one, after a refusal. */
	token_fails = 0;
	begin_call(0, CLOUD_TASKS_CREATE, TASK);
	asked(1);
	token_fails = 1;
	peer_answer(0, "401 x", "", "");
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_TRANSIENT);
	expect_told("ask failed-1 ");
}

/* What would end a header is not sent. */
static void
request_that_cannot_be_prepared(void **state)
{

	(void)state;
	with_credentials();
	quota = "a\r\nb";
	begin_call(0, CLOUD_TASKS_GET, TASK);
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_TRANSIENT);
	assert_non_null(strstr(calls[0].error.text, "could not be prepared"));
}

/* A body that is not UTF-8 is no reason to stop either. */
static void
task_that_cannot_be_written(void **state)
{

	(void)state;
	calls[0] = (struct cloud_tasks_call){ .method = CLOUD_TASKS_CREATE,
	    .name = TASK, .schedule_time = "t", .url = "\xff", .body = "" };
	cloud_tasks_begin(tasks, &calls[0]);
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_TRANSIENT);
	assert_int_equal(peer.nasked, 0);
}

/*
 * The breaker.
 */

static void
breaker_open(void **state)
{

	(void)state;
	breaker_says = BREAKER_REFUSED;
	breaker_wait = 2500;
	begin_call(0, CLOUD_TASKS_CREATE, TASK);
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_OPEN);
	assert_int_equal(calls[0].error.retry_after, 3);
	assert_string_equal(calls[0].error.text, "breaker open: it was down");
	expect_told("ask ");

	/* The queue is asked for all the same. */
	exchange(CLOUD_TASKS_QUEUE, "200 OK", "", "{}");
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_OK);
	assert_int_equal(peer.nasked, 1);
}

/* That the service is still away is no failure of the one who probed. */
static void
probe_fails(void **state)
{

	(void)state;
	breaker_says = BREAKER_PROBE;
	exchange(CLOUD_TASKS_CREATE, "503 x", "", HTML);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_OPEN);
	assert_int_equal(calls[0].error.retry_after, 1);
	expect_told("ask failed-1 ");
	exchange(CLOUD_TASKS_CREATE, "503 x", "Retry-After: 30\r\n", HTML);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_OPEN);
	assert_int_equal(calls[0].error.retry_after, 30);
	exchange(CLOUD_TASKS_CREATE, "503 x", "Retry-After: 3600\r\n", HTML);
	assert_int_equal(calls[0].error.retry_after, BREAKER_ASKED_MAX);

	/* That this request is wrong is. */
	told[0] = '\0';
	exchange(CLOUD_TASKS_CREATE, "400 x", "", ERROR("INVALID_ARGUMENT"));
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_REFUSED);
	expect_told("ask ok ");
}

/* While others are in flight, one probe goes out and the rest does not. */
static void
breaker_opens_in_flight(void **state)
{

	(void)state;
	begin_call(0, CLOUD_TASKS_CREATE, TASK);
	begin_call(1, CLOUD_TASKS_CREATE, TASK "1");
	asked(2);
	breaker_says = BREAKER_REFUSED;
	begin_call(2, CLOUD_TASKS_CREATE, TASK "2");
	answered(2);
	assert_int_equal(calls[2].outcome, CLOUD_TASKS_OPEN);
	expect_told("ask ask ask ");
	breaker_says = BREAKER_GO;
	peer_answer(1, "503 x", "", HTML);
	answered(1);
	assert_int_equal(calls[1].outcome, CLOUD_TASKS_TRANSIENT);
	expect_told("failed-1 ");
	peer_answer(0, "200 OK", "", MADE);
	answered(0);
	expect_told("ok ");
}

/*
 * Names that others may have written.
 */

static void
foreign_names(void **state)
{
	static const char *const rows[] = {
		"", "x", "projects/", "projects/p-1", "projects/p-12/tasks/x",
		"projects/other/locations/l/queues/q/tasks/x",
		"projects/p-2/locations/l/queues/q/tasks/x",
		"projects/p-1/locations/l/queues/q", TASK "?a=b", TASK "#",
		TASK " HTTP/1.1", TASK "\r\nX: y", TASK "%2e",
		"projects/p-1/../../tasks/x", "/projects/p-1/tasks/x",
	};
	char name[CLOUD_TASKS_NAME_LEN + 1];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		begin_call(0, CLOUD_TASKS_DELETE, rows[i]);
		answered(0);
		ASSERT_ROW(calls[0].outcome == CLOUD_TASKS_REFUSED, rows[i]);
		ASSERT_ROW(strstr(calls[0].error.text, "is not the name of a "
		    "task of this project") != NULL, rows[i]);
	}

	/* One byte too long, and just not. */
	memset(name, 'x', sizeof(name));
	memcpy(name, TASK, strlen(TASK));
	name[CLOUD_TASKS_NAME_LEN] = '\0';
	begin_call(0, CLOUD_TASKS_DELETE, name);
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_REFUSED);
	expect_told("");
	assert_int_equal(peer.nasked, 0);
	name[CLOUD_TASKS_NAME_LEN - 1] = '\0';
	begin_call(0, CLOUD_TASKS_DELETE, name);
	asked(1);
	peer_answer(0, "404 x", "", ERROR("NOT_FOUND"));
	answered(0);
	assert_int_equal(calls[0].outcome, CLOUD_TASKS_GONE);
}

/*
 * Many at once.
 */

static void
answered_in_any_order(void **state)
{
	static const int order[SLOTS] = { 2, 0, 3, 1 };
	static const char *const tasks_of[SLOTS] = { TASK "0", TASK "1",
	    TASK "2", TASK "3" };
	int i, j, of[SLOTS];

	(void)state;
	for (i = 0; i < SLOTS; i++) {
		assert_int_equal(cloud_tasks_has_room(tasks), 1);
		begin_call(i, CLOUD_TASKS_GET, tasks_of[i]);
	}
	assert_int_equal(cloud_tasks_has_room(tasks), 0);
	assert_int_equal(cloud_tasks_in_flight(tasks), SLOTS);
	asked(SLOTS);
	for (i = 0; i < SLOTS; i++) {
		for (j = 0; j < SLOTS; j++) {
			if (strstr(peer.asked[j].text, tasks_of[i]) != NULL)
				of[i] = j;
		}
	}
	for (i = 0; i < SLOTS; i++) {
		char body[128];

		(void)snprintf(body, sizeof(body), "{\"name\":\"%s\","
		    "\"dispatchCount\":%d}", tasks_of[order[i]], order[i]);
		peer_answer(of[order[i]], "200 OK", "", body);
		answered(order[i]);
		assert_int_equal(calls[order[i]].info.dispatches, order[i]);
		assert_int_equal(cloud_tasks_in_flight(tasks), SLOTS - 1 - i);
	}
	assert_null(cloud_tasks_next(tasks, 0));
}

/*
 * Whoever takes an answer may go on with the next call, so a place is free
 * only when its answer has been taken.
 */
static void
room_is_free_when_the_answer_is_taken(void **state)
{
	long until = monotime_ms() + PATIENCE_MS;
	int i;

	(void)state;
	for (i = 0; i < SLOTS; i++)
		begin_call(i, CLOUD_TASKS_GET, TASK);
	asked(SLOTS);
	for (i = 0; i < SLOTS; i++)
		peer_answer(i, "200 OK", "", MADE);

	/* All are read at once, sooner or later; one of them is taken. */
	while (cloud_tasks_next(tasks, 20) == NULL)
		assert_true(monotime_ms() < until);
	assert_int_equal(cloud_tasks_in_flight(tasks), SLOTS - 1);
	assert_int_equal(cloud_tasks_has_room(tasks), 1);
	begin_call(SLOTS, CLOUD_TASKS_GET, TASK);
	assert_int_equal(cloud_tasks_has_room(tasks), 0);
	for (i = 0; i < SLOTS - 1; i++) {
		while (cloud_tasks_next(tasks, 20) == NULL)
			assert_true(monotime_ms() < until);
	}
	assert_int_equal(cloud_tasks_in_flight(tasks), 1);
	asked(SLOTS + 1);
	peer_answer(SLOTS, "200 OK", "", MADE);
	answered(SLOTS);
}

/* Begin calls while there is room, from ${i} on; return how many. */
static int
fill_room(int i)
{
	int n = 0;

	for (; cloud_tasks_has_room(tasks); n++)
		begin_call(i + n, CLOUD_TASKS_GET, TASK);
	return (n);
}

/* A client that may have ${n} calls in flight. */
static void
make_with_slots(int n)
{

	cloud_tasks_free(tasks);
	conf.schedule_concurrency = n;
	make();
}

/* The calls in flight are as many as configured once answers are slow. */
static void
more_at_once_where_answers_are_slow(void **state)
{

	(void)state;
	make_with_slots(FEW_SLOTS + 3);
	assert_int_equal(fill_room(0), FEW_SLOTS);
	asked(FEW_SLOTS);
	assert_null(cloud_tasks_next(tasks, SLOW_MS));
	breaker_says = BREAKER_REFUSED;
	assert_int_equal(fill_room(FEW_SLOTS), 3);
}

/* It was slow, too, if its answer is there when it has been waited for. */
static void
slow_answer_after_a_wait(void **state)
{
	struct timespec pause = { .tv_nsec = (SLOW_MS + 10) * 1000000L };
	pid_t child;

	(void)state;
	make_with_slots(FEW_SLOTS + 3);
	(void)fill_room(0);
	asked(FEW_SLOTS);
	if ((child = fork()) == 0) {
		(void)nanosleep(&pause, NULL);
		peer_answer(0, "200 OK", "", MADE);
		_exit(0);
	}
	assert_true(child > 0);
	assert_non_null(cloud_tasks_next(tasks, PATIENCE_MS));
	assert_int_equal(waitpid(child, NULL, 0), child);
	breaker_says = BREAKER_REFUSED;
	assert_int_equal(fill_room(FEW_SLOTS), 4);
}

/*
 * Few are enough where answers are quick, and where few calls wait for a slow
 * one.  A busy machine may be slow itself, but not each time.
 */
static void
few_at_once_where_answers_are_quick(void **state)
{
	int i, first, tries = 0, n;

	(void)state;
	do {
		assert_true(tries++ < 12);
		make_with_slots(FEW_SLOTS + 3);
		first = peer.nasked;
		begin_call(0, CLOUD_TASKS_GET, TASK);
		asked(first + 1);
		assert_null(cloud_tasks_next(tasks, SLOW_MS));
		for (i = 1; i < FEW_SLOTS; i++)
			begin_call(i, CLOUD_TASKS_GET, TASK);
		asked(first + FEW_SLOTS);
		peer_answer(first + FEW_SLOTS - 1, "200 OK", "", MADE);
		while (cloud_tasks_next(tasks, 1) == NULL)
			continue;
		breaker_says = BREAKER_REFUSED;
		n = fill_room(FEW_SLOTS);
		breaker_says = BREAKER_GO;
	} while (n > 1);
	assert_int_equal(n, 1);
}

/* Refusals without a request count as answers, too. */
static void
refusals_are_returned_in_order(void **state)
{

	(void)state;
	breaker_says = BREAKER_REFUSED;
	begin_call(0, CLOUD_TASKS_GET, TASK);
	begin_call(1, CLOUD_TASKS_GET, "nonsense");
	begin_call(2, CLOUD_TASKS_GET, TASK);
	assert_int_equal(cloud_tasks_in_flight(tasks), 3);
	answered(0);
	answered(1);
	answered(2);
	assert_int_equal(cloud_tasks_in_flight(tasks), 0);
	assert_null(cloud_tasks_next(tasks, 1000));
}

/* It waits as long as it was told, and no longer. */
static void
waiting(void **state)
{
	long start;

	(void)state;
	begin_call(0, CLOUD_TASKS_GET, TASK);
	asked(1);
	start = monotime_ms();
	assert_null(cloud_tasks_next(tasks, 30));
	assert_in_range(monotime_ms() - start, 30, PATIENCE_MS);
	peer_answer(0, "200 OK", "", MADE);
	answered(0);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(requests),
		TEST(task_with_a_token),
		TEST(task_with_a_trace),
		TEST(task_with_an_odd_url),
		TEST(task_with_a_secret),
		TEST(credentials),
		TEST(names),
		TEST(emulator_wins),
		TEST(google_by_default),
		TEST(outcomes),
		TEST(errors_in_words),
		TEST(secret_is_hidden),
		TEST(retry_after),
		TEST(former_queue),
		TEST(another_queue),
		TEST(long_endpoint),
		TEST(info_of_a_task),
		TEST(no_answer),
		TEST(token_is_renewed_once),
		TEST(no_token),
		TEST(request_that_cannot_be_prepared),
		TEST(task_that_cannot_be_written),
		TEST(breaker_open),
		TEST(probe_fails),
		TEST(breaker_opens_in_flight),
		TEST(foreign_names),
		TEST(answered_in_any_order),
		TEST(room_is_free_when_the_answer_is_taken),
		TEST(more_at_once_where_answers_are_slow),
		TEST(slow_answer_after_a_wait),
		TEST(few_at_once_where_answers_are_quick),
		TEST(refusals_are_returned_in_order),
		TEST(waiting),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
