#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backoff.h"
#include "bookings.h"
#include "config.h"
#include "db.h"
#include "db_connect.h"
#include "log.h"
#include "metrics.h"

#include "notifications.h"

#define CHANNEL		"booking_followup_created"

/* The heartbeat, and what makes us leave a server that answers. */
#define HEARTBEAT_SQL	"SELECT current_setting('transaction_read_only')"
#define READ_ONLY	"the server has become read-only"

/* Deadlines and pauses, in milliseconds. */
#define ANSWER_MS	4000	/* for a short query to be answered */
#define QUERY_MS	9500	/* for the caller's statement */
#define HEARTBEAT_MS	3000	/* of silence, then the server is asked */
#define STANDBY_MS	2000	/* between attempts to become active */
#define PLAN_MS		60000	/* after which a plan is made anew */
#define BACKOFF_BASE_MS	200
#define BACKOFF_CAP_MS	5000
#define LISTEN_BASE_MS	5000	/* until a refused LISTEN is sent again */
#define LISTEN_CAP_MS	300000

/* The name of the caller's statement, and the most parameters it has. */
#define STATEMENT	"caller"
#define MAX_PARAMS	8

/*
 * What comes before it is prepared.  One plan for all parameters takes 0.15 ms
 * where planning each time takes 2 ms.
 */
#define CLEAR_SQL	"SET plan_cache_mode = force_generic_plan; "	\
			"DEALLOCATE ALL"

/* What the connection is at. */
enum state {
	DISCONNECTED,	/* until wake */
	CONNECTING,
	SETTING_UP,	/* the session's settings */
	ELECTING,	/* the lock of the active listener */
	STANDBY,	/* another one has it; until wake */
	SUBSCRIBING,	/* LISTEN */
	CLEARING,	/* room for the caller's statement */
	PREPARING,	/* the caller's statement */
	QUERYING,	/* likewise, executed */
	BEATING,	/* heartbeat */
	IDLE,		/* listening; until wake */
};

struct notifications {
	const struct config *conf;
	struct db_connect *connect;
	char key[16];		/* of the table's lock */
	PGconn *conn;
	enum state state;
	long wake;		/* when to act, or to lose patience */
	long beat_at;		/* when the next heartbeat is due */
	int failures;		/* connections in a row that failed */
	int announced;		/* standing by has been logged */
	int leading;		/* this session has the lock */
	int leader;		/* process id of ours that had it last, or 0 */
	int ready;		/* this session has been reported as such */
	int refusals;		/* of LISTEN, in a row */
	long listen_at;		/* when to send it again */
	int fatal;
	int lost;		/* to be reported yet */
	PGnotify *notify;	/* the one last given out */
	PGresult *result;	/* of the query at hand */
	int prepared;		/* this session has the caller's statement */
	long stale_at;		/* when its plan is too old */
	const char *sql;	/* the caller's statement, while it is due */
	const char *params[MAX_PARAMS];
	int nparams;
};

/**
 * notifications_new(conf):
 * Return a connection that is not made yet; NULL when memory is short.
 */
struct notifications *
notifications_new(const struct config *conf)
{
	struct notifications *n;

	if ((n = calloc(1, sizeof(*n))) == NULL)
		return (NULL);
	n->conf = conf;
	(void)snprintf(n->key, sizeof(n->key), "%" PRId32, bookings_key(conf));
	n->state = DISCONNECTED;
	if ((n->connect = db_connect_new(conf, "followup-listener")) == NULL) {
		notifications_free(n);
		return (NULL);
	}
	return (n);
}

/* Forget the connection, say why, and plan the next one. */
static enum notifications_event
lose(struct notifications *n, long now, const char *reason)
{
	char message[256];
	long wait;

	if (reason == NULL)
		reason = db_message(n->conn, message, sizeof(message));
	n->failures++;
	wait = backoff_ms(n->failures, BACKOFF_BASE_MS, BACKOFF_CAP_MS);
	log_error(NULL, "no database connection: %s; trying again in %.1f s",
	    reason, (double)wait / 1000);

	PQclear(n->result);
	n->result = NULL;
	/* One that is of no use for us: another server may do better. */
	if (n->conn != NULL && !n->ready)
		db_connect_skip(n->connect);
	PQfinish(n->conn);
	n->conn = NULL;
	n->ready = 0;
	n->leading = 0;
	n->prepared = 0;
	n->state = DISCONNECTED;
	n->wake = now + wait;
	return (NOTIFICATIONS_LOST);
}

/* Send a query of ours, and await its answer in ${state}. */
static enum notifications_event
ask(struct notifications *n, enum state state, const char *sql,
    const char *param, long now)
{
	int sent;

	sent = param == NULL ? PQsendQuery(n->conn, sql) :
	    PQsendQueryParams(n->conn, sql, 1, NULL, &param, NULL, NULL, 0);
	if (sent != 1)
		return (lose(n, now, NULL));
	n->state = state;
	n->wake = now + ANSWER_MS;
	return (NOTIFICATIONS_NONE);
}

/* Prepare the caller's statement, once in a session. */
static enum notifications_event
prepare(struct notifications *n, long now)
{

	if (PQsendPrepare(n->conn, STATEMENT, n->sql, 0, NULL) != 1)
		return (lose(n, now, NULL));
	n->state = PREPARING;
	n->wake = now + ANSWER_MS;
	return (NOTIFICATIONS_NONE);
}

/* Execute it. */
static enum notifications_event
execute(struct notifications *n, long now)
{

	if (PQsendQueryPrepared(n->conn, STATEMENT, n->nparams, n->params,
	    NULL, NULL, 0) != 1)
		return (lose(n, now, NULL));
	n->state = QUERYING;
	n->wake = now + QUERY_MS;
	return (NOTIFICATIONS_NONE);
}

/* The caller's statement has ended: hand its result over. */
static enum notifications_event
end_query(struct notifications *n, long now)
{

	/* A plan that was refused may be out of date: prepare it anew. */
	if (PQresultStatus(n->result) != PGRES_TUPLES_OK)
		n->prepared = 0;

	/* This answer is no heartbeat: the server may have become read-only. */
	n->state = IDLE;
	n->wake = n->leading ? n->beat_at : now;
	return (NOTIFICATIONS_RESULT);
}

/* Go on as the attempt to connect has come to ${state}. */
static enum notifications_event
connected(struct notifications *n, enum db_connect_state state, long now)
{

	n->state = CONNECTING;
	if (state == DB_CONNECT_WAITING)
		return (NOTIFICATIONS_NONE);
	if (state == DB_CONNECT_FAILED)
		return (lose(n, now, db_connect_error(n->connect)));
	n->conn = db_connect_take(n->connect);
	if (PQsetnonblocking(n->conn, 1) != 0)
		return (lose(n, now, NULL));
	return (ask(n, SETTING_UP, db_session_sql(), NULL, now));
}

/*
 * Does the answer at hand, in its last column, say that the server is
 * read-only?  Then another one is the primary by now.
 */
static int
is_read_only(const struct notifications *n)
{

	return (PQntuples(n->result) == 1 && strcmp(PQgetvalue(n->result, 0,
	    PQnfields(n->result) - 1), "on") == 0);
}

/*
 * May this session be the active listener?  If it has the lock; or if nobody
 * else has but an earlier session of ours, which the server has not noticed
 * to be dead, or which has frozen with its server process.
 */
static int
may_lead(struct notifications *n)
{

	if (*PQgetvalue(n->result, 0, 0) == 't') {
		n->leading = 1;
		n->leader = PQbackendPID(n->conn);
		return (1);
	}
	return (n->leader != 0 && db_int(n->result, 0, 1) == n->leader);
}

/*
 * LISTEN was answered.  Where it is refused, bookings are found by the sweep
 * alone: it is no reason to leave them all.
 */
static enum notifications_event
subscribed(struct notifications *n, long now)
{
	int is_new = !n->ready;

	n->ready = 1;
	n->announced = 0;
	n->failures = 0;
	n->state = IDLE;
	n->wake = n->beat_at = now + HEARTBEAT_MS;
	if (PQresultStatus(n->result) == PGRES_COMMAND_OK) {
		log_info(NULL, "Started listening for booking follow-up "
		    "notifications");
		n->refusals = 0;
		return (NOTIFICATIONS_LISTENING);
	}
	if (n->refusals++ == 0)
		log_error(NULL, "the server refuses LISTEN: %s; bookings are "
		    "found by the sweep alone until it does not",
		    db_refusal(n->result));
	n->listen_at = now + backoff_ms(n->refusals, LISTEN_BASE_MS,
	    LISTEN_CAP_MS);
	return (is_new ? NOTIFICATIONS_LISTENING : NOTIFICATIONS_NONE);
}

/* The answer to the query at hand is there: what it means for the state. */
static enum notifications_event
act_on_result(struct notifications *n, long now)
{
	const char *why;

	switch (n->state) {
	case SETTING_UP:
		if ((why = db_session_check(n->conn, n->result)) != NULL) {
			log_error(NULL, "%s", why);
			n->fatal = PQresultStatus(n->result) ==
			    PGRES_TUPLES_OK;
			return (n->fatal ? NOTIFICATIONS_FATAL :
			    lose(n, now, why));
		}
		return (ask(n, ELECTING, bookings_leader_sql(), n->key,
		    now));
	case ELECTING:
		if (PQresultStatus(n->result) != PGRES_TUPLES_OK)
			return (lose(n, now, NULL));
		if (is_read_only(n))
			return (lose(n, now, READ_ONLY));
		if (may_lead(n))
			return (ask(n, SUBSCRIBING, "LISTEN " CHANNEL, NULL,
			    now));
		if (!n->announced)
			log_info(NULL, "another listener is active; standing "
			    "by to take over");
		n->announced = 1;
		n->failures = 0;
		n->state = STANDBY;
		n->wake = now + STANDBY_MS;
		return (NOTIFICATIONS_NONE);
	case SUBSCRIBING:
		return (subscribed(n, now));
	case CLEARING:
		if (PQresultStatus(n->result) != PGRES_COMMAND_OK)
			return (end_query(n, now));
		return (prepare(n, now));
	case PREPARING:
		if (PQresultStatus(n->result) != PGRES_COMMAND_OK)
			return (end_query(n, now));
		n->prepared = 1;
		n->stale_at = now + PLAN_MS;
		return (execute(n, now));
	case QUERYING:
		return (end_query(n, now));
	default:
		if (is_read_only(n))
			return (lose(n, now, READ_ONLY));

		/* Another one has the lock by now: let it. */
		if (!n->leading && !may_lead(n)) {
			n->leader = 0;
			return (lose(n, now, "another listener took over"));
		}
		n->state = IDLE;
		n->wake = n->beat_at = now + HEARTBEAT_MS;
		return (NOTIFICATIONS_NONE);
	}
}

/* Take what has come of the query at hand; act when it is complete. */
static enum notifications_event
take_result(struct notifications *n, long now)
{
	enum notifications_event event;
	PGresult *result;

	while (!PQisBusy(n->conn)) {
		if ((result = PQgetResult(n->conn)) == NULL) {
			event = act_on_result(n, now);
			if (event != NOTIFICATIONS_RESULT) {
				PQclear(n->result);
				n->result = NULL;
			}
			return (event);
		}

		/* Of several statements the last result counts. */
		PQclear(n->result);
		n->result = result;
	}
	return (NOTIFICATIONS_NONE);
}

static int
is_awaiting(const struct notifications *n)
{

	return (n->state != DISCONNECTED && n->state != CONNECTING &&
	    n->state != STANDBY && n->state != IDLE);
}

/* What is to do because time has passed. */
static enum notifications_event
act_on_time(struct notifications *n, long now)
{

	switch (n->state) {
	case DISCONNECTED:
		return (connected(n, db_connect_begin(n->connect, now), now));
	case STANDBY:
		return (ask(n, ELECTING, bookings_leader_sql(), n->key,
		    now));
	case IDLE:
		if (n->refusals > 0 && now >= n->listen_at)
			return (ask(n, SUBSCRIBING, "LISTEN " CHANNEL, NULL,
			    now));

		/* A leader without the lock goes on asking for it. */
		return (n->leading ?
		    ask(n, BEATING, HEARTBEAT_SQL, NULL, now) :
		    ask(n, BEATING, bookings_leader_sql(), n->key, now));
	default:
		/* One that hangs would cost its deadline once more. */
		db_connect_skip(n->connect);
		return (lose(n, now, "the server does not answer"));
	}
}

/**
 * notifications_next(n, now, data):
 * Do what can be done at ${now} without waiting, and return the next event;
 * to be called until there is none.
 */
enum notifications_event
notifications_next(struct notifications *n, long now,
    struct notifications_data *data)
{
	enum notifications_event event;

	/* What was given out last time is not needed any more. */
	PQfreemem(n->notify);
	n->notify = NULL;
	if (!is_awaiting(n)) {
		PQclear(n->result);
		n->result = NULL;
	}
	if (n->fatal)
		return (NOTIFICATIONS_FATAL);
	if (n->lost) {
		n->lost = 0;
		return (NOTIFICATIONS_LOST);
	}

	if (n->state == CONNECTING)
		return (connected(n, db_connect_step(n->connect, now), now));
	if (n->conn != NULL) {
		/*
		 * What has been read goes first: libpq would pile up in
		 * memory what comes in faster than it is taken.
		 */
		if ((n->notify = PQnotifies(n->conn)) != NULL) {
			data->payload = n->notify->extra;
			return (NOTIFICATIONS_NOTIFY);
		}

		/* Read what is there; a dead connection shows here. */
		if (PQconsumeInput(n->conn) == 0 || PQflush(n->conn) < 0)
			return (lose(n, now, NULL));
		if (is_awaiting(n)) {
			event = take_result(n, now);
			if (event != NOTIFICATIONS_NONE) {
				data->result = n->result;
				return (event);
			}
		}
		if (n->conn != NULL &&
		    (n->notify = PQnotifies(n->conn)) != NULL) {
			data->payload = n->notify->extra;
			return (NOTIFICATIONS_NOTIFY);
		}
	}

	if (now >= n->wake)
		return (act_on_time(n, now));
	return (NOTIFICATIONS_NONE);
}

/**
 * notifications_query(n, sql, params, nparams, now):
 * Execute ${sql}, always the same statement, which is prepared in each session
 * and again when its plan has become old; its end is NOTIFICATIONS_RESULT.
 * The statement, and the ${nparams} (at most 8) texts of ${params}, must live
 * until then.  Return 0, or -1 if the connection is busy or not listening.
 */
int
notifications_query(struct notifications *n, const char *sql,
    const char *const *params, int nparams, long now)
{
	int i;

	if (n->state != IDLE)
		return (-1);
	n->sql = sql;
	n->nparams = nparams;
	for (i = 0; i < nparams; i++)
		n->params[i] = params[i];

	/* A plan is for the tables as they were: they may have grown since. */
	n->lost = (n->prepared && now < n->stale_at ? execute(n, now) :
	    ask(n, CLEARING, CLEAR_SQL, NULL, now)) == NOTIFICATIONS_LOST;
	return (n->lost ? -1 : 0);
}

/**
 * notifications_once(n, sql, params, nparams, now):
 * Execute ${sql} likewise, which may be another statement each time and is not
 * prepared; ${sql} and ${params} need not live on.
 */
int
notifications_once(struct notifications *n, const char *sql,
    const char *const *params, int nparams, long now)
{

	if (n->state != IDLE)
		return (-1);
	if (PQsendQueryParams(n->conn, sql, nparams, NULL, params, NULL, NULL,
	    0) != 1) {
		n->lost = lose(n, now, NULL) == NOTIFICATIONS_LOST;
		return (-1);
	}
	n->state = QUERYING;
	n->wake = now + QUERY_MS;
	return (0);
}

/**
 * notifications_measure(n):
 * Set the metrics of the connection's state.
 */
void
notifications_measure(const struct notifications *n)
{

	metrics_set(METRICS_DATABASE_CONNECTED, 0, n->conn != NULL);
	metrics_set(METRICS_LEADER, 0, n->ready);
	metrics_set(METRICS_LISTENING, 0, n->ready && n->refusals == 0);
}

/**
 * notifications_wait(n, fd, events, deadline):
 * Tell what to wait for: ${fd} (-1 for nothing) with the poll(2) ${events},
 * until ${deadline} at the latest.
 */
void
notifications_wait(const struct notifications *n, int *fd, short *events,
    long *deadline)
{

	if (n->state == CONNECTING) {
		db_connect_wait(n->connect, fd, events, deadline);
		return;
	}

	/* The socket may be another one after each call of libpq. */
	*fd = n->conn != NULL ? PQsocket(n->conn) : -1;
	*events = n->conn != NULL && PQflush(n->conn) == 1 ?
	    POLLIN | POLLOUT : POLLIN;
	*deadline = n->wake;
}

/**
 * notifications_free(n):
 * Close the connection and free ${n}; NULL is fine.
 */
void
notifications_free(struct notifications *n)
{

	if (n == NULL)
		return;
	PQfreemem(n->notify);
	PQclear(n->result);
	PQfinish(n->conn);
	db_connect_free(n->connect);
	free(n);
}
