#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <libpq-fe.h>
#include <openssl/evp.h>

/*
 * floor THREADS TABLE CHANNEL TASKS-URL CALLBACK-URL: what an engineer would
 * write in an afternoon, in C: the yardstick of the benchmarks.  One connection
 * listens; each thread has a connection and an HTTP client of its own and does
 * for one booking at a time what has to be done: SELECT it, POST the task,
 * UPDATE it.  Statements are prepared and connections kept.  It schedules each
 * pending booking once and does nothing about any failure: it ends.
 *
 * The database is the one that libpq's variables name.  A payload on CHANNEL
 * is a booking's id.
 */

#define MAX_THREADS	256
#define ID_LEN		36

/*
 * Said as "= 'pending'" PostgreSQL would look for the row in the index of what
 * is pending, which was small when the statistics were made, and read all of
 * a burst for each booking of it.
 */
#define UNTOUCHED	"AND task_status NOT IN ('scheduled', 'executed', " \
			"'cancelled', 'failed')"

struct queue {
	pthread_mutex_t lock;
	pthread_cond_t filled;
	char (*ids)[ID_LEN + 1];	/* a ring */
	size_t size, first, n;
};

static struct queue queue = { .lock = PTHREAD_MUTEX_INITIALIZER,
    .filled = PTHREAD_COND_INITIALIZER };
static const char *table, *tasks_url, *callback_url;

static void
die(const char *what, const char *why)
{

	(void)fprintf(stderr, "floor: %s: %s\n", what, why);
	exit(1);
}

/*
 * The queue of what is to be scheduled
 */

static void
queue_put(const char *id)
{
	char (*ids)[ID_LEN + 1];
	size_t i, size;

	(void)pthread_mutex_lock(&queue.lock);
	if (queue.n == queue.size) {
		size = queue.size == 0 ? 1024 : 2 * queue.size;
		if ((ids = calloc(size, sizeof(*ids))) == NULL)
			die("queue", "out of memory");
		for (i = 0; i < queue.n; i++)
			memcpy(ids[i], queue.ids[(queue.first + i) %
			    queue.size], sizeof(*ids));
		free(queue.ids);
		queue.ids = ids;
		queue.size = size;
		queue.first = 0;
	}
	(void)snprintf(queue.ids[(queue.first + queue.n) % queue.size],
	    ID_LEN + 1, "%s", id);
	queue.n++;
	(void)pthread_cond_signal(&queue.filled);
	(void)pthread_mutex_unlock(&queue.lock);
}

static void
queue_take(char id[ID_LEN + 1])
{

	(void)pthread_mutex_lock(&queue.lock);
	while (queue.n == 0)
		(void)pthread_cond_wait(&queue.filled, &queue.lock);
	memcpy(id, queue.ids[queue.first], ID_LEN + 1);
	queue.first = (queue.first + 1) % queue.size;
	queue.n--;
	(void)pthread_mutex_unlock(&queue.lock);
}

/*
 * A booking
 */

static PGconn *
connect_database(void)
{
	PGconn *db = PQconnectdb("application_name=bench-floor");

	if (PQstatus(db) != CONNECTION_OK)
		die("database", PQerrorMessage(db));
	return (db);
}

static void
check(PGconn *db, PGresult *result, ExecStatusType wanted)
{

	if (PQresultStatus(result) != wanted)
		die("database", PQerrorMessage(db));
}

static void
prepare(PGconn *db, const char *name, const char *format)
{
	char sql[1024];
	PGresult *result;

	(void)snprintf(sql, sizeof(sql), format, table);
	result = PQprepare(db, name, sql, 0, NULL);
	check(db, result, PGRES_COMMAND_OK);
	PQclear(result);
}

static size_t
discard(char *data, size_t size, size_t n, void *cookie)
{

	(void)data;
	(void)cookie;
	return (size * n);
}

static CURL *
open_client(void)
{
	struct curl_slist *headers = curl_slist_append(NULL,
	    "Content-Type: application/json");
	CURL *curl = curl_easy_init();

	if (curl == NULL || headers == NULL)
		die("curl", "out of memory");
	curl_easy_setopt(curl, CURLOPT_URL, tasks_url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_PROXY, "");
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, 10000L);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, discard);
	return (curl);
}

/* Create the task with the full ${name}; one that exists is as good. */
static void
post_task(CURL *curl, const char *id, const char *name, const char *time,
    const char *payload)
{
	unsigned char encoded[2048];
	char body[4096];
	long status = 0;
	CURLcode rc;

	(void)EVP_EncodeBlock(encoded, (const unsigned char *)payload,
	    (int)strlen(payload));
	(void)snprintf(body, sizeof(body), "{\"task\":{\"name\":\"%s\","
	    "\"scheduleTime\":\"%s\",\"dispatchDeadline\":\"120s\","
	    "\"httpRequest\":{\"httpMethod\":\"POST\","
	    "\"url\":\"%s/%s/execute-followup\","
	    "\"headers\":{\"Content-Type\":\"application/json\"},"
	    "\"body\":\"%s\",\"oidcToken\":{\"serviceAccountEmail\":"
	    "\"followup@demo-project.iam.gserviceaccount.com\","
	    "\"audience\":\"%s\"}}}}", name, time, callback_url, id,
	    (const char *)encoded, callback_url);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
	if ((rc = curl_easy_perform(curl)) != CURLE_OK)
		die("task", curl_easy_strerror(rc));
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	if (status != 200 && status != 409)
		die("task", "refused");
}

static void
schedule(PGconn *db, CURL *curl, const char *id)
{
	const char *values[4] = { id };
	const char *tenant, *time, *epoch;
	char payload[1024], name[512], key[256];
	PGresult *row, *result;

	row = PQexecPrepared(db, "read", 1, values, NULL, NULL, 0);
	check(db, row, PGRES_TUPLES_OK);
	if (PQntuples(row) == 1) {
		tenant = PQgetvalue(row, 0, 0);
		time = PQgetvalue(row, 0, 3);
		epoch = PQgetvalue(row, 0, 4);
		(void)snprintf(key, sizeof(key), "followup:%s:%s:%s", tenant,
		    id, time);
		(void)snprintf(name, sizeof(name), "%s/followup-%s-%s",
		    strstr(tasks_url, "projects/"), id, epoch);
		(void)snprintf(payload, sizeof(payload), "{\"tenantId\":\"%s\","
		    "\"bookingId\":\"%s\",\"leadId\":\"%s\","
		    "\"assignedUserId\":\"%s\",\"idempotencyKey\":\"%s\","
		    "\"scheduledAt\":\"%s\"}", tenant, id, PQgetvalue(row, 0,
		    1), PQgetvalue(row, 0, 2), key, time);
		post_task(curl, id, name, time, payload);

		values[1] = name;
		values[2] = time;
		values[3] = key;
		result = PQexecPrepared(db, "write", 4, values, NULL, NULL, 0);
		check(db, result, PGRES_COMMAND_OK);
		PQclear(result);
	}
	PQclear(row);
}

static void *
work(void *cookie)
{
	PGconn *db = connect_database();
	CURL *curl = open_client();
	char id[ID_LEN + 1];

	(void)cookie;
	prepare(db, "read", "SELECT tenant_id, lead_id, assigned_user_id, "
	    "to_char(scheduled_at AT TIME ZONE 'UTC', "
	    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"'), "
	    "floor(extract(epoch FROM scheduled_at)) FROM %s WHERE id = $1 "
	    UNTOUCHED);
	prepare(db, "write", "UPDATE %s SET task_status = 'scheduled', "
	    "task_name = $2, task_scheduled_at = $3, idempotency_key = $4 "
	    "WHERE id = $1 " UNTOUCHED);
	for (;;) {
		queue_take(id);
		schedule(db, curl, id);
	}
	return (NULL);
}

/* Queue what is pending, and then whatever is notified. */
static void
listen_for_bookings(const char *channel)
{
	struct pollfd pfd = { .events = POLLIN };
	PGconn *db = connect_database();
	PGresult *result;
	PGnotify *notify;
	char sql[1024];
	int i;

	(void)snprintf(sql, sizeof(sql), "LISTEN %s", channel);
	result = PQexec(db, sql);
	check(db, result, PGRES_COMMAND_OK);
	PQclear(result);
	(void)snprintf(sql, sizeof(sql),
	    "SELECT id FROM %s WHERE task_status = 'pending'", table);
	result = PQexec(db, sql);
	check(db, result, PGRES_TUPLES_OK);
	for (i = 0; i < PQntuples(result); i++)
		queue_put(PQgetvalue(result, i, 0));
	PQclear(result);
	(void)puts("listening");
	(void)fflush(stdout);

	pfd.fd = PQsocket(db);
	for (;;) {
		while ((notify = PQnotifies(db)) != NULL) {
			queue_put(notify->extra);
			PQfreemem(notify);
		}
		if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
			die("poll", strerror(errno));
		if (PQconsumeInput(db) != 1)
			die("database", PQerrorMessage(db));
	}
}

int
main(int argc, char **argv)
{
	pthread_t thread;
	long i, threads;

	if (argc != 6 || (threads = strtol(argv[1], NULL, 10)) < 1 ||
	    threads > MAX_THREADS ||
	    strstr(argv[4], "projects/") == NULL) {
		(void)fputs("usage: floor THREADS TABLE CHANNEL TASKS-URL "
		    "CALLBACK-URL\n", stderr);
		return (2);
	}
	table = argv[2];
	tasks_url = argv[4];
	callback_url = argv[5];
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		die("curl", "cannot be initialised");
	for (i = 0; i < threads; i++) {
		if (pthread_create(&thread, NULL, work, NULL) != 0)
			die("pthread_create", "failed");
	}
	listen_for_bookings(argv[3]);
	return (0);
}
