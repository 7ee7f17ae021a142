#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <libpq-fe.h>

/*
 * inserter TABLE RATE SECONDS: insert RATE bookings a second for SECONDS, each
 * in a transaction of its own, at a pace that depends on nobody (an open
 * loop).  The column notes of a row says when it should have been sent, in
 * microseconds since 1970: one that has to wait for a free connection counts
 * from then on, or a system that holds up its clients would look quick.
 *
 * Prints how many were sent, and how many more than 5 ms late.
 */

#define CONNECTIONS	32
#define LATE_US		5000

static void
die(const char *what, const char *why)
{

	(void)fprintf(stderr, "inserter: %s: %s\n", what, why);
	exit(1);
}

static int64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_REALTIME, &ts);
	return ((int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

static PGconn *
open_connection(const char *table)
{
	PGconn *db = PQconnectdb("application_name=bench-inserter "
	    "options='-c client_min_messages=warning'");
	PGresult *result;
	char sql[512];

	if (PQstatus(db) != CONNECTION_OK)
		die("database", PQerrorMessage(db));
	(void)snprintf(sql, sizeof(sql), "INSERT INTO %s (tenant_id, lead_id, "
	    "booking_type, booking_source, scheduled_at, notes) VALUES "
	    "('11111111-1111-4111-8111-111111111111', "
	    "'b1111111-1111-4111-8111-111111111111', 'auto_followup', 'bench', "
	    "now() + interval '1 day', $1)", table);
	result = PQprepare(db, "insert", sql, 1, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		die("database", PQerrorMessage(db));
	PQclear(result);
	return (db);
}

/* Take the answer if it is there; return whether the connection is free. */
static int
is_free(PGconn *db)
{
	PGresult *result;

	if (PQconsumeInput(db) != 1)
		die("database", PQerrorMessage(db));
	while (!PQisBusy(db)) {
		if ((result = PQgetResult(db)) == NULL)
			return (1);
		if (PQresultStatus(result) != PGRES_COMMAND_OK)
			die("database", PQerrorMessage(db));
		PQclear(result);
	}
	return (0);
}

int
main(int argc, char **argv)
{
	struct pollfd pfds[CONNECTIONS];
	PGconn *dbs[CONNECTIONS];
	struct timespec wait;
	const char *values[1];
	char due_text[32];
	int64_t due = 0, left, start;
	long late = 0, n = 0, rate, total;
	int busy[CONNECTIONS] = { 0 }, i, idle, slot;

	if (argc != 4 || (rate = strtol(argv[2], NULL, 10)) < 1 ||
	    (total = rate * strtol(argv[3], NULL, 10)) < 1) {
		(void)fputs("usage: inserter TABLE RATE SECONDS\n", stderr);
		return (2);
	}
	for (i = 0; i < CONNECTIONS; i++) {
		dbs[i] = open_connection(argv[1]);
		pfds[i].fd = PQsocket(dbs[i]);
	}

	start = now_us();
	for (;;) {
		/* See which connections are free. */
		slot = -1;
		idle = 0;
		for (i = 0; i < CONNECTIONS; i++) {
			if (busy[i] && is_free(dbs[i]))
				busy[i] = 0;
			pfds[i].events = busy[i] ? POLLIN : 0;
			if (!busy[i]) {
				idle++;
				slot = i;
			}
		}
		if (n == total && idle == CONNECTIONS)
			break;

		/* Send the next one if it is due and there is a connection. */
		due = start + n * 1000000 / rate;
		left = due - now_us();
		if (n < total && slot >= 0 && left <= 0) {
			late += left < -LATE_US;
			(void)snprintf(due_text, sizeof(due_text), "%lld",
			    (long long)due);
			values[0] = due_text;
			if (PQsendQueryPrepared(dbs[slot], "insert", 1,
			    values, NULL, NULL, 0) != 1)
				die("database", PQerrorMessage(dbs[slot]));
			busy[slot] = 1;
			n++;
			continue;
		}

		/* Wait until then, or for an answer. */
		if (left < 0 || n == total || slot < 0)
			left = 1000000;
		wait.tv_sec = left / 1000000;
		wait.tv_nsec = left % 1000000 * 1000;
		if (ppoll(pfds, CONNECTIONS, &wait, NULL) < 0 &&
		    errno != EINTR)
			die("ppoll", strerror(errno));
	}
	printf("sent %ld late %ld\n", n, late);
	for (i = 0; i < CONNECTIONS; i++)
		PQfinish(dbs[i]);
	return (0);
}
