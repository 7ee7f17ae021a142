#include <sys/random.h>

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "canary.h"
#include "config.h"
#include "db.h"
#include "log.h"
#include "notifications.h"
#include "uuid.h"

#include "canary_sender.h"

/* With the connection busy, look again after so many milliseconds. */
#define BUSY_MS		5

/* A database that refuses is asked again after so many. */
#define REFUSED_MS	60000

struct canary_sender {
	char *send_sql;
	char *heard_sql;
	long interval;			/* ms between questions */
	long due;			/* when to ask next */
	char id[UUID_LEN];		/* of the next one, or the last sent */
	int is_used;			/* of the last one sent */
	enum { NOTHING, SENDING, NOTING } asked;	/* what is on its way */
	long heard_at;			/* when its NOTIFY came */
	long note_at;			/* when to note that, or LONG_MAX */
	int is_refused;			/* the last query was */
	char ago[24];			/* seconds */
};

/**
 * canary_sender_new(conf):
 * Return a sender, which begins with canary_sender_listening; NULL when memory
 * is short.
 */
struct canary_sender *
canary_sender_new(const struct config *conf)
{
	struct canary_sender *s;

	if ((s = calloc(1, sizeof(*s))) == NULL)
		return (NULL);
	s->interval = conf->sweep_interval * 1000L;
	s->due = s->note_at = LONG_MAX;
	s->is_used = 1;
	if ((s->send_sql = canary_send_sql(conf)) == NULL ||
	    (s->heard_sql = canary_heard_sql(conf)) == NULL) {
		canary_sender_free(s);
		return (NULL);
	}
	return (s);
}

/**
 * canary_sender_listening(sender, now):
 * Begin to send: the connection has been listening since ${now}.
 */
void
canary_sender_listening(struct canary_sender *s, long now)
{

	if (s->due == LONG_MAX)
		s->due = now;
}

/*
 * Make up an id, before the canary is sent: its NOTIFY may come before the
 * answer to the statement that sent it.  Return -1 if that cannot be done now.
 */
static int
make_id(char id[UUID_LEN])
{
	unsigned char r[16];

	if (getrandom(r, sizeof(r), GRND_NONBLOCK) != (ssize_t)sizeof(r))
		return (-1);
	r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
	r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
	(void)snprintf(id, UUID_LEN, "%02x%02x%02x%02x-%02x%02x-%02x%02x-"
	    "%02x%02x-%02x%02x%02x%02x%02x%02x", r[0], r[1], r[2], r[3], r[4],
	    r[5], r[6], r[7], r[8], r[9], r[10], r[11], r[12], r[13], r[14],
	    r[15]);
	return (0);
}

/**
 * canary_sender_heard(sender, id, now):
 * Note that a notification for ${id}, which may be the canary's, was heard.
 */
void
canary_sender_heard(struct canary_sender *s, const char *id, long now)
{

	if (strcmp(id, s->id) == 0)
		s->heard_at = s->note_at = now;
}

/**
 * canary_sender_step(sender, notifications, now):
 * Send the query that is due, if the connection is free.
 */
void
canary_sender_step(struct canary_sender *s, struct notifications *n, long now)
{
	const char *params[] = { s->id, s->ago };

	if (s->asked != NOTHING)
		return;
	if (now >= s->note_at) {
		(void)snprintf(s->ago, sizeof(s->ago), "%.3f",
		    (double)(now - s->heard_at) / 1000);
		s->note_at = now + BUSY_MS;
		if (notifications_once(n, s->heard_sql, params, 2, now) == 0) {
			s->asked = NOTING;
			s->note_at = LONG_MAX;
		}
		return;
	}
	if (now < s->due)
		return;
	if (s->is_used && make_id(s->id) != 0) {
		s->due = now + s->interval;
		return;
	}
	s->is_used = 0;
	s->due = now + BUSY_MS;
	if (notifications_once(n, s->send_sql, params, 1, now) == 0) {
		s->asked = SENDING;
		s->due = now + s->interval;
	}
}

/**
 * canary_sender_result(sender, result, now):
 * Take ${result} (NULL: refused) if this module sent the query that it answers.
 * Return non-zero iff it did.
 */
int
canary_sender_result(struct canary_sender *s, const PGresult *result, long now)
{
	int is_refused = PQresultStatus(result) != PGRES_TUPLES_OK;

	if (s->asked == NOTHING)
		return (0);
	if (is_refused && !s->is_refused)
		log_error(NULL, "no canary can be sent: %s; is the trigger "
		    "installed in this version, and are the grants complete? "
		    "(followup-trigger verify)", db_refusal(result));
	if (is_refused)
		s->due = now + REFUSED_MS;
	else if (s->asked == SENDING)
		s->is_used = db_int(result, 0, 0) > 0;
	s->is_refused = is_refused;
	s->asked = NOTHING;
	return (1);
}

/**
 * canary_sender_lost(sender):
 * The connection was lost, and with it any query that had no answer.
 */
void
canary_sender_lost(struct canary_sender *s)
{

	/* It may have been sent. */
	s->is_used = 1;
	s->asked = NOTHING;
	s->due = s->note_at = LONG_MAX;
}

/**
 * canary_sender_deadline(sender):
 * Return when canary_sender_step should be called at the latest.
 */
long
canary_sender_deadline(const struct canary_sender *s)
{

	if (s->asked != NOTHING)
		return (LONG_MAX);
	return (s->note_at < s->due ? s->note_at : s->due);
}

/**
 * canary_sender_free(sender):
 * Free ${sender}; NULL is fine.
 */
void
canary_sender_free(struct canary_sender *s)
{

	if (s == NULL)
		return;
	free(s->send_sql);
	free(s->heard_sql);
	free(s);
}
