#ifndef SCRIPTED_PQ_H_
#define SCRIPTED_PQ_H_

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <libpq-fe.h>

#include "unit.h"

/*
 * A libpq without a server, for programs that drive one connection at a time
 * by events: a test that includes this file defines the functions of libpq
 * that talk to a server, so that the linker takes these.  The test plays the
 * server, one call after the other:
 *
 * pq_begin();
 * ... the program connects ...
 * pq_poll(PGRES_POLLING_OK);		the connection comes about
 * ... the program sends something ...
 * pq_expect("LISTEN");			what was sent, or part of it
 * pq_reply(pq_command());		its answer is there to be read
 * pq_notify("{}");			a notification is there to be read
 * pq_break("server closed");		the connection is dead
 * pq_end();
 *
 * A program that waits for what it has sent needs its answers beforehand:
 *
 * pq.planned = 1;			connecting succeeds by itself
 * pq_plan(PQ_ROW(PID));		to the first query or statement
 * pq_plan(pq_refusal("22003", "too big"));	to the one behind it
 *
 * What has no plan succeeds.  In a pipeline a refusal aborts what is behind it
 * up to the next sync, as PostgreSQL does.
 *
 * Results are libpq's own.  What libpq forbids, such as a second query before
 * the end of the first, fails the test.
 */

#define PQ_MAX		64
#define PQ_PID		4711

static struct {
	int open;		/* connections that were not finished */
	int connections;	/* that were begun */
	int fds[2];		/* socket of the connection, and its peer */
	int bad;		/* status of the connection */
	const char *error;
	PostgresPollingStatusType polls[PQ_MAX];
	int npolls;
	int polled;

	char sent[8192];	/* what was sent last */
	const char *params[PQ_MAX];
	char texts[PQ_MAX][512];
	int nparams;
	int queries;		/* that were sent */
	int awaiting;		/* an answer that has not been taken whole */
	int complete;		/* the answer is there to its end */
	PGresult *results[PQ_MAX];
	int nresults;
	char *notifications[PQ_MAX];
	int nnotifications;	/* at the socket */
	int nread;		/* of those, read by libpq */

	int planned;		/* answers come from the plan */
	PGresult *plan[PQ_MAX];
	int nplan;
	int pipeline;		/* mode is on */
	int aborted;		/* up to the next sync */
	int syncs;
	int prepares;		/* statements that were prepared */

	/* The errors of results: libpq lets nobody set them. */
	struct {
		const PGresult *result;
		const char *state;
		const char *message;
		const char *origin;	/* the function that raised it */
		const char *context;
		const char *constraint;
		const char *column;
	} refusals[PQ_MAX];
	int nrefusals;

	/* After so many more results the server is silent, or lost; -1: no. */
	int silent_after;
	int lost_after;
	int lost_with_result;	/* libpq tells the loss by a result */
	PostgresPollingStatusType polling;	/* how connecting goes on */
	int pipeline_fails;

	/* To be set by the test: what fails, and what remains to be sent. */
	int start_fails;	/* PQconnectStartParams: 1 NULL, 2 bad */
	int send_fails;		/* so many-th call that sends */
	int nonblocking_fails;
	int flush;		/* what PQflush returns */
	int pid;
	const char *read_only;	/* default_transaction_read_only */
	const char *addresses[PQ_MAX];	/* of every name of a host */
	int naddresses;
	const char *encoding;	/* of the database */
	PQnoticeProcessor notice;	/* as the program set it */
	char keywords[1024];	/* "name=value " of the connection */
} pq;

/* Make the socket readable, or not, as there is something to be read. */
static inline void
pq_readable(int readable)
{
	char buf[64];

	if (pq.fds[1] < 0)
		return;
	while (recv(pq.fds[0], buf, sizeof(buf), MSG_DONTWAIT) > 0)
		;
	if (readable)
		assert_int_equal(send(pq.fds[1], "x", 1, 0), 1);
}

static inline void
pq_begin(void)
{

	memset(&pq, 0, sizeof(pq));
	pq.fds[0] = pq.fds[1] = -1;
	pq.pid = PQ_PID;
	pq.error = "";
	pq.silent_after = pq.lost_after = -1;
	pq.polling = PGRES_POLLING_OK;
	pq.addresses[pq.naddresses++] = "192.0.2.1";

	/* Nobody's own settings reach the program. */
	(void)unsetenv("PGHOST");
	(void)unsetenv("PGHOSTADDR");
	(void)unsetenv("PGPORT");
	(void)unsetenv("PGSERVICE");
	(void)unsetenv("PGCONNECT_TIMEOUT");
}

/* Nothing may be left open. */
static inline void
pq_end(void)
{

	assert_int_equal(pq.open, 0);
	assert_int_equal(pq.nplan, 0);
}

/* The next step of connecting, and one more, ... has this outcome. */
static inline void
pq_poll(PostgresPollingStatusType status)
{

	assert_true(pq.npolls < PQ_MAX);
	pq.polls[pq.npolls++] = status;
}

/* Something was sent since the last time, and ${text} is part of it. */
static inline void
pq_expect(const char *text)
{

	if (strstr(pq.sent, text) == NULL || *pq.sent == '\0')
		fail_msg("sent \"%s\", not \"%s\"", pq.sent, text);
	pq.sent[0] = '\0';
}

/* Nothing was sent since the last pq_expect. */
static inline void
pq_expect_nothing(void)
{

	assert_string_equal(pq.sent, "");
}

/* A result of the query at hand is there, and more follow. */
static inline void
pq_reply_part(PGresult *result)
{

	assert_true(pq.awaiting && !pq.complete && pq.nresults < PQ_MAX);
	pq.results[pq.nresults++] = result;
	pq_readable(1);
}

/* The last result of the query at hand is there. */
static inline void
pq_reply(PGresult *result)
{

	pq_reply_part(result);
	pq.complete = 1;
}

static inline void
pq_notify(const char *payload)
{

	assert_true(pq.nnotifications < PQ_MAX);
	pq.notifications[pq.nnotifications] = strdup(payload);
	assert_non_null(pq.notifications[pq.nnotifications]);
	pq.nnotifications++;
	pq_readable(1);
}

/* The connection breaks, for the reason ${error}. */
static inline void
pq_break(const char *error)
{

	pq.bad = 1;
	pq.error = error;
	pq_readable(1);
}

/* Take the first of ${n} results away. */
static inline void
pq_shift(PGresult **results, int *n)
{
	int i;

	--*n;
	for (i = 0; i < *n; i++)
		results[i] = results[i + 1];
}

/* Results to reply with. */
static inline PGresult *
pq_command(void)
{

	return (PQmakeEmptyPGresult(NULL, PGRES_COMMAND_OK));
}

/* A refusal with this SQLSTATE (or NULL) and message. */
static inline PGresult *
pq_refusal(const char *state, const char *message)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR);

	assert_true(result != NULL && pq.nrefusals < PQ_MAX);
	memset(&pq.refusals[pq.nrefusals], 0, sizeof(pq.refusals[0]));
	pq.refusals[pq.nrefusals].result = result;
	pq.refusals[pq.nrefusals].state = state;
	pq.refusals[pq.nrefusals++].message = message;
	return (result);
}

/* What is sent next, or behind what was planned before, gets ${result}. */
static inline void
pq_plan(PGresult *result)
{

	assert_true(pq.planned && pq.nplan < PQ_MAX);
	pq.plan[pq.nplan++] = result;
}

static inline PGresult *
pq_refused(void)
{

	return (PQmakeEmptyPGresult(NULL, PGRES_FATAL_ERROR));
}

/* Rows of ${columns} texts each, one after the other; NULL is SQL's NULL. */
static inline PGresult *
pq_rows(int columns, int rows, const char *const *values)
{
	PGresult *result = PQmakeEmptyPGresult(NULL, PGRES_TUPLES_OK);
	PGresAttDesc attributes[PQ_MAX] = { { .name = NULL } };
	char name[] = "column";
	const char *value;
	int i;

	assert_true(result != NULL && columns <= PQ_MAX);
	for (i = 0; i < columns; i++)
		attributes[i].name = name;
	assert_int_equal(PQsetResultAttrs(result, columns, attributes), 1);
	for (i = 0; i < rows * columns; i++) {
		/* libpq only reads it. */
		value = values[i];
		assert_int_equal(PQsetvalue(result, i / columns, i % columns,
		    (char *)(uintptr_t)value,
		    value != NULL ? (int)strlen(value) : -1), 1);
	}
	return (result);
}

/* One row of the texts that follow. */
#define PQ_ROW(...)	pq_rows(					\
	    (int)NITEMS(((const char *const []){ __VA_ARGS__ })), 1,	\
	    ((const char *const []){ __VA_ARGS__ }))

/*
 * What the program calls.
 */

static inline void
pq_check(const PGconn *conn)
{

	assert_ptr_equal(conn, (const PGconn *)(const void *)&pq);
	assert_int_equal(pq.open, 1);
}

/* The look-up of names; an address stands for itself. */
int
getaddrinfo(const char *name, const char *service,
    const struct addrinfo *hints, struct addrinfo **list)
{
	struct sockaddr_in *address;
	struct in_addr numeric;
	int i, is_numeric = inet_pton(AF_INET, name, &numeric) == 1;

	assert_null(service);
	assert_int_equal(hints->ai_socktype, SOCK_STREAM);
	*list = NULL;
	if ((hints->ai_flags & AI_NUMERICHOST) && !is_numeric)
		return (EAI_NONAME);
	for (i = is_numeric ? 1 : pq.naddresses; i > 0; i--) {
		struct addrinfo *a = calloc(1, sizeof(*a) + sizeof(*address));

		assert_non_null(a);
		address = (struct sockaddr_in *)(void *)(a + 1);
		address->sin_family = AF_INET;
		assert_int_equal(inet_pton(AF_INET, is_numeric ? name :
		    pq.addresses[i - 1], &address->sin_addr), 1);
		a->ai_addr = (struct sockaddr *)(void *)address;
		a->ai_addrlen = sizeof(*address);
		a->ai_next = *list;
		*list = a;
	}
	return (*list != NULL ? 0 : EAI_NONAME);
}

void
freeaddrinfo(struct addrinfo *list)
{
	struct addrinfo *next;

	for (; list != NULL; list = next) {
		next = list->ai_next;
		free(list);
	}
}

PGconn *
PQconnectStartParams(const char *const *keywords, const char *const *values,
    int expand)
{
	size_t len = 0;
	int i;

	(void)expand;
	assert_int_equal(pq.open, 0);
	if (pq.start_fails == 1)
		return (NULL);
	for (i = 0; keywords[i] != NULL; i++) {
		if (values[i] != NULL)
			len += (size_t)snprintf(&pq.keywords[len],
			    sizeof(pq.keywords) - len, "%s=%s ", keywords[i],
			    values[i]);
	}
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pq.fds), 0);
	pq.open = 1;
	pq.connections++;
	pq.npolls = pq.polled = 0;
	pq.flush = 0;
	pq.pipeline = pq.aborted = 0;
	pq.sent[0] = '\0';
	pq.bad = pq.start_fails == 2;
	pq.error = pq.bad ? "no such host\n" : "";
	return ((PGconn *)(void *)&pq);
}

PostgresPollingStatusType
PQconnectPoll(PGconn *conn)
{

	pq_check(conn);
	if (pq.planned)
		return (pq.polling);

	/* Called too early, a real one would block or go wrong. */
	if (pq.polled >= pq.npolls)
		fail_msg("PQconnectPoll was called once too often");
	return (pq.polls[pq.polled++]);
}

void
PQfinish(PGconn *conn)
{

	if (conn == NULL)
		return;
	pq_check(conn);
	while (pq.nresults > 0)
		PQclear(pq.results[--pq.nresults]);
	while (pq.nnotifications > 0)
		free(pq.notifications[--pq.nnotifications]);
	pq.nread = 0;
	pq.awaiting = pq.complete = 0;
	(void)close(pq.fds[0]);
	(void)close(pq.fds[1]);
	pq.fds[0] = pq.fds[1] = -1;
	pq.open = 0;
}

ConnStatusType
PQstatus(const PGconn *conn)
{

	pq_check(conn);
	return (pq.bad ? CONNECTION_BAD : CONNECTION_OK);
}

int
PQsocket(const PGconn *conn)
{

	pq_check(conn);
	return (pq.fds[0]);
}

int
PQbackendPID(const PGconn *conn)
{

	pq_check(conn);
	return (pq.pid);
}

char *
PQerrorMessage(const PGconn *conn)
{
	static char message[256];

	pq_check(conn);
	(void)snprintf(message, sizeof(message), "%s", pq.error);
	return (message);
}

int
PQsetnonblocking(PGconn *conn, int arg)
{

	pq_check(conn);
	assert_int_equal(arg, 1);
	return (pq.nonblocking_fails ? -1 : 0);
}

int
PQflush(PGconn *conn)
{

	pq_check(conn);
	return (pq.flush);
}

int
PQconsumeInput(PGconn *conn)
{

	pq_check(conn);
	pq_readable(0);
	if (pq.lost_after == 0)
		pq.bad = 1;
	if (pq.bad)
		return (0);
	pq.nread = pq.nnotifications;
	return (1);
}

int
PQisBusy(PGconn *conn)
{

	pq_check(conn);
	if (pq.silent_after == 0 ||
	    (pq.lost_after == 0 && !pq.lost_with_result))
		return (1);
	return (pq.awaiting && !pq.complete && pq.nresults == 0);
}

PGresult *
PQgetResult(PGconn *conn)
{
	PGresult *result;

	pq_check(conn);
	if (PQisBusy(conn))
		fail_msg("PQgetResult would block");
	if (pq.lost_after == 0) {
		pq.bad = 1;
		return (pq_refusal(NULL, pq.error));
	}
	pq.silent_after -= pq.silent_after > 0;
	pq.lost_after -= pq.lost_after > 0;
	if (pq.nresults == 0) {
		/* In a pipeline the last thing to come is a sync. */
		if (pq.pipeline)
			fail_msg("PQgetResult has nothing left to return");
		pq.awaiting = pq.complete = 0;
		return (NULL);
	}
	result = pq.results[0];
	pq_shift(pq.results, &pq.nresults);
	return (result);
}

PGnotify *
PQnotifies(PGconn *conn)
{
	PGnotify *notify;
	char *text;
	size_t len;
	int i;

	pq_check(conn);
	if (pq.nread == 0)
		return (NULL);
	text = pq.notifications[0];
	pq.nread--;
	pq.nnotifications--;
	for (i = 0; i < pq.nnotifications; i++)
		pq.notifications[i] = pq.notifications[i + 1];

	/* In one piece, as PQfreemem frees it. */
	len = strlen(text) + 1;
	assert_non_null(notify = calloc(1, sizeof(*notify) + len));
	notify->extra = (char *)(notify + 1);
	memcpy(notify->extra, text, len);
	free(text);
	return (notify);
}

/* Queue a result, or the NULL that ends those of a statement. */
static inline void
pq_push(PGresult *result)
{

	assert_true(pq.nresults < PQ_MAX);
	pq.results[pq.nresults++] = result;
}

/* Queue what is planned for what was just sent. */
static inline void
pq_answer(int is_preparation)
{
	PGresult *result;

	if (pq.aborted)
		result = PQmakeEmptyPGresult(NULL, PGRES_PIPELINE_ABORTED);
	else if (pq.nplan > 0) {
		result = pq.plan[0];
		pq_shift(pq.plan, &pq.nplan);
	} else
		result = is_preparation ? pq_command() : PQ_ROW("1");
	pq.aborted |= pq.pipeline &&
	    PQresultStatus(result) == PGRES_FATAL_ERROR;
	pq_push(result);
	if (pq.pipeline)
		pq_push(NULL);
	pq.complete = 1;
}

/* Something is sent: ${kind} and ${text}. */
static inline int
pq_send(PGconn *conn, const char *kind, const char *text)
{
	size_t len;

	pq_check(conn);
	if (pq.awaiting && !pq.pipeline)
		fail_msg("\"%s\" was sent while the connection was busy",
		    text);
	if (pq.bad || (pq.send_fails > 0 && --pq.send_fails == 0))
		return (0);
	if (!pq.pipeline)
		pq.sent[0] = '\0';
	len = strlen(pq.sent);
	(void)snprintf(&pq.sent[len], sizeof(pq.sent) - len, "%s%s%s",
	    len > 0 ? "; " : "", kind, text);
	pq.awaiting = 1;
	pq.queries++;
	if (pq.planned)
		pq_answer(strcmp(kind, "PREPARE ") == 0);
	return (1);
}

static inline void
pq_take_params(int n, const char *const *values)
{
	int i;

	assert_true(n <= PQ_MAX);
	pq.nparams = n;
	for (i = 0; i < n; i++) {
		(void)snprintf(pq.texts[i], sizeof(pq.texts[i]), "%s",
		    values[i] != NULL ? values[i] : "");
		pq.params[i] = values[i] != NULL ? pq.texts[i] : NULL;
	}
}

int
PQsendQuery(PGconn *conn, const char *sql)
{

	return (pq_send(conn, "", sql));
}

int
PQsendQueryParams(PGconn *conn, const char *sql, int n, const Oid *types,
    const char *const *values, const int *lengths, const int *formats,
    int format)
{

	(void)types;
	(void)lengths;
	(void)formats;
	assert_int_equal(format, 0);
	pq_take_params(n, values);
	return (pq_send(conn, "", sql));
}

int
PQsendPrepare(PGconn *conn, const char *name, const char *sql, int n,
    const Oid *types)
{

	(void)name;
	(void)n;
	(void)types;
	pq.prepares++;
	return (pq_send(conn, "PREPARE ", sql));
}

int
PQsendQueryPrepared(PGconn *conn, const char *name, int n,
    const char *const *values, const int *lengths, const int *formats,
    int format)
{

	(void)lengths;
	(void)formats;
	assert_int_equal(format, 0);
	pq_take_params(n, values);
	return (pq_send(conn, "EXECUTE ", name));
}

int
PQenterPipelineMode(PGconn *conn)
{

	pq_check(conn);
	assert_false(pq.awaiting);
	pq.pipeline = 1;
	return (pq.pipeline_fails ? 0 : 1);
}

int
PQpipelineSync(PGconn *conn)
{

	pq_check(conn);
	assert_true(pq.pipeline);
	if (pq.bad || (pq.send_fails > 0 && --pq.send_fails == 0))
		return (0);
	pq_push(PQmakeEmptyPGresult(NULL, PGRES_PIPELINE_SYNC));
	pq.awaiting = pq.complete = 1;
	pq.aborted = 0;
	pq.syncs++;
	return (1);
}

const char *
PQparameterStatus(const PGconn *conn, const char *name)
{

	pq_check(conn);
	return (strcmp(name, "server_encoding") == 0 ? pq.encoding :
	    pq.read_only);
}

PQnoticeProcessor
PQsetNoticeProcessor(PGconn *conn, PQnoticeProcessor processor, void *cookie)
{

	pq_check(conn);
	assert_null(cookie);
	pq.notice = processor;
	return (NULL);
}

char *
PQresultErrorField(const PGresult *result, int field)
{
	const char *text = NULL;
	int i;

	/* The address of a result that was freed may be another's now. */
	for (i = 0; i < pq.nrefusals; i++) {
		if (pq.refusals[i].result != result)
			continue;
		text = field == PG_DIAG_SQLSTATE ? pq.refusals[i].state :
		    field == PG_DIAG_MESSAGE_PRIMARY ?
		    pq.refusals[i].message :
		    field == PG_DIAG_SOURCE_FUNCTION ?
		    pq.refusals[i].origin :
		    field == PG_DIAG_CONTEXT ? pq.refusals[i].context :
		    field == PG_DIAG_CONSTRAINT_NAME ?
		    pq.refusals[i].constraint :
		    field == PG_DIAG_COLUMN_NAME ? pq.refusals[i].column :
		    NULL;
	}
	return ((char *)(uintptr_t)text);
}

#endif /* !SCRIPTED_PQ_H_ */
