#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bookings.h"
#include "config.h"
#include "db.h"
#include "forwarder.h"
#include "log.h"
#include "metrics.h"
#include "notifications.h"
#include "plural.h"
#include "uuid.h"

#include "sweep.h"

/* After a notification the table is read this much later, in milliseconds. */
#define NOTIFIED_MS	5

/*
 * A transaction whose notification was skipped because of another one's may
 * commit this much later than that one.
 */
#define WATCH_MS	200

/*
 * The pause after a sweep is so many times what it took: 5 % of one core.  To
 * find bookings of which we did not know is no looking about but what we are
 * here for, and saves the hints that would have told us.  So the pause is
 * divided by their number, and is at least as long as what the sweep took.
 */
#define SHARE		20

/*
 * Up to so many milliseconds of pauses may be postponed, lest a few sweeps that
 * found nothing delay the one that finds a burst.
 */
#define OWED_MS		1000

/* With no room for a page, or the connection busy, look again after. */
#define NO_ROOM_MS	20
#define BUSY_MS		5

/* A sweep that is refused again and again is tried this often at the least. */
#define REFUSED_CAP_MS	60000

/* Scheduled bookings that are overdue are looked at this often, or sooner. */
#define OVERDUE_MS	60000

struct sweep {
	char *sql;
	char window[16];
	char page[16];
	char grace[16];
	long interval;		/* ms */
	long overdue_interval;	/* ms */
	long next_overdue;	/* when to look at those next */
	long due;		/* when the next page is asked for */
	int asked;		/* a page is on its way */
	long asked_at;
	long took;		/* the pages of this sweep so far */
	long rest;		/* the pause that they ask for */
	int found;		/* new bookings in this sweep */
	int requested;		/* asked for again during this sweep */
	long again;		/* next pause, if another sweep is to follow */
	long watch_until;	/* go on until then, whatever is found */
	long owed;		/* pauses that were not made */
	long ended;		/* when the last sweep did */
	long rest_until;	/* the share of a core is used up */
	int refused;		/* sweeps in a row */
	int paging;		/* place and id are where to go on */
	char place[64];
	char id[UUID_LEN];
};

/**
 * sweep_new(conf):
 * Return a sweep that is not due; NULL when memory is short.
 */
struct sweep *
sweep_new(const struct config *conf)
{
	struct sweep *s;

	if ((s = calloc(1, sizeof(*s))) == NULL ||
	    (s->sql = bookings_sweep_sql(conf)) == NULL) {
		free(s);
		return (NULL);
	}
	(void)snprintf(s->window, sizeof(s->window), "%d",
	    conf->sweep_window);
	(void)snprintf(s->page, sizeof(s->page), "%d", FORWARDER_PAGE);
	(void)snprintf(s->grace, sizeof(s->grace), "%d",
	    conf->overdue_grace);
	s->interval = conf->sweep_interval * 1000L;
	s->overdue_interval = conf->overdue_grace * 1000L < OVERDUE_MS ?
	    conf->overdue_grace * 1000L : OVERDUE_MS;
	s->due = LONG_MAX;
	s->again = NOTIFIED_MS;
	return (s);
}

/**
 * sweep_request(sweep, when):
 * Have the table read at ${when}, if not sooner, or when the sweep before is
 * far enough away.
 */
void
sweep_request(struct sweep *s, long when)
{

	if (when < s->rest_until)
		when = s->rest_until;
	if (s->asked || s->paging)
		s->requested = 1;
	else if (when < s->due)
		s->due = when;
}

/**
 * sweep_notified(sweep, now):
 * A notification came at ${now}: others may have been skipped.
 */
void
sweep_notified(struct sweep *s, long now)
{

	s->again = NOTIFIED_MS;
	s->watch_until = now + WATCH_MS;
	sweep_request(s, now + NOTIFIED_MS);
}

/**
 * sweep_step(sweep, notifications, forwarder, now):
 * Send the query for the next page, if it is time and there is room.
 */
void
sweep_step(struct sweep *s, struct notifications *n, struct forwarder *f,
    long now)
{
	int overdue = now >= s->next_overdue;
	static const char *const start[] = { BOOKINGS_SWEEP_START };
	const char *params[] = { s->window, s->paging ? s->place : start[0],
	    s->paging ? s->id : start[1], s->page, overdue ? s->grace : NULL };

	if (s->asked || now < s->due)
		return;

	/* While much waits, start nothing that finds the same once more. */
	if (!forwarder_has_room(f) ||
	    (!s->paging && forwarder_is_filled(f))) {
		s->due = now + NO_ROOM_MS;
		return;
	}

	/* Busy with a heartbeat, which is a matter of milliseconds. */
	if (notifications_query(n, s->sql, params, 5, now) != 0) {
		s->due = now + BUSY_MS;
		return;
	}
	forwarder_remember(f, 1, now);
	if (!s->paging) {
		/* The time since the last sweep was a pause. */
		s->owed -= now - s->ended;
		if (s->owed < 0)
			s->owed = 0;
	}
	s->asked = 1;
	s->asked_at = now;
	s->due = LONG_MAX;
	if (overdue)
		s->next_overdue = now + s->overdue_interval;
}

/* A sweep has ended: plan the next one. */
static void
plan_next(struct sweep *s, const struct forwarder *f, long now)
{
	long pause = s->interval;
	int forgotten = forwarder_has_forgotten(f, s->ended);

	/*
	 * Double the pause each time, so that rows which come back again and
	 * again do not keep us busy.  More new ones than a page holds are not
	 * such rows, but the bookings of a pause that was ended.
	 */
	if (s->found > 0 || s->requested || now < s->watch_until) {
		if (s->again < s->interval) {
			pause = s->again;
			s->again *= 2;
		} else if (s->found >= FORWARDER_PAGE)
			pause = s->again = NOTIFIED_MS;
	} else
		s->again = NOTIFIED_MS;

	/* The interval holds even where one sweep takes most of it. */
	s->owed += s->rest;
	if (s->owed > s->interval + OWED_MS)
		s->owed = s->interval + OWED_MS;
	s->ended = now;
	s->rest_until = now + s->owed - OWED_MS;

	/* What was refused and forgotten is found each time, and is not new. */
	if (forgotten && s->rest_until < now + s->interval)
		s->rest_until = now + s->interval;
	s->due = now + pause;
	if (s->due < s->rest_until)
		s->due = s->rest_until;
	s->paging = 0;
	s->took = 0;
	s->rest = 0;
	s->found = 0;
	s->requested = 0;
}

/* Count a booking that nothing has announced, of ${kind}. */
static void
count(const char *kind)
{
	static const char *const kinds[] = { "pending", "overdue",
	    "obsolete" };
	int i;

	for (i = 0; i < 3; i++) {
		if (strcmp(kind, kinds[i]) == 0)
			metrics_add(METRICS_SWEEP_FOUND, i, 1);
	}
}

/* Hand the bookings in ${result} over; return how many belong to the page. */
static int
take_page(struct sweep *s, const PGresult *result, struct forwarder *f,
    long now)
{
	const char *id, *place;
	enum forwarder_added added;
	int row, rows = PQntuples(result), paged = 0;

	for (row = 0; row < rows; row++) {
		id = PQgetvalue(result, row, 0);
		place = PQgetvalue(result, row, 2);
		if (*place != '\0') {
			paged++;
			(void)snprintf(s->place, sizeof(s->place), "%s",
			    place);
			(void)snprintf(s->id, sizeof(s->id), "%s", id);
		}

		/*
		 * What was settled since, or does not fit, is not new, but
		 * may have to be found by another sweep soon.
		 */
		added = forwarder_add(f, id, PQgetvalue(result, row, 1), NULL,
		    now);
		if (added != FORWARDER_KNOWN)
			s->found++;
		if (added == FORWARDER_NEW)
			count(PQgetvalue(result, row, 3));
	}
	if (rows > 0)
		log_debug(NULL, "sweep: %d %s, %d of them new", rows,
		    plural(rows, "booking", "bookings"), s->found);
	return (paged);
}

/* Return the pause that a page asks for: it took ${took}, ${found} were new. */
static long
pause_after(long took, int found)
{

	return (found >= SHARE ? took : SHARE * took / (found + 1));
}

/*
 * A sweep was refused.  Whatever the reason is, it may pass; but nothing that
 * is notified meanwhile brings the next one closer.
 */
static void
plan_after_refusal(struct sweep *s, const struct forwarder *f, long now)
{
	long pause = s->interval;
	int i;

	for (i = 0; i < s->refused && pause < REFUSED_CAP_MS; i++)
		pause *= 2;
	if (pause > REFUSED_CAP_MS)
		pause = s->interval > REFUSED_CAP_MS ? s->interval :
		    REFUSED_CAP_MS;
	s->refused++;
	s->found = 0;
	s->requested = 0;
	s->watch_until = now;
	plan_next(s, f, now);
	s->rest_until = s->due = now + pause;
}

/**
 * sweep_result(sweep, result, forwarder, now):
 * Hand the bookings of a page to ${forwarder}; a NULL ${result} was refused.
 */
void
sweep_result(struct sweep *s, const PGresult *result, struct forwarder *f,
    long now)
{

	long took = now - s->asked_at;
	int found = s->found, is_full;

	s->asked = 0;
	s->took += took;
	if (PQresultStatus(result) != PGRES_TUPLES_OK) {
		plan_after_refusal(s, f, now);
		log_error(NULL, "the table could not be read: %s; is the "
		    "trigger installed, and are the grants complete? "
		    "(followup-trigger verify) Trying again in %.1f s",
		    db_refusal(result), (double)(s->due - now) / 1000);
	} else {
		if (s->refused > 0)
			log_info(NULL, "the table can be read again");
		s->refused = 0;

		/* A full page is followed by another one. */
		is_full = take_page(s, result, f, now) == FORWARDER_PAGE;
		s->rest += pause_after(took, s->found - found);
		if (is_full) {
			s->paging = 1;
			s->due = now;
		} else {
			metrics_add(METRICS_SWEEPS, 0, 1);
			metrics_set_now(METRICS_LAST_SWEEP);
			metrics_observe(METRICS_SWEEP_DURATION, 0,
			    (double)s->took / 1000);
			plan_next(s, f, now);
		}
	}
	forwarder_remember(f, 0, now);
}

/**
 * sweep_lost(sweep, forwarder, now):
 * The connection is gone, and a page that was asked for with it.
 */
void
sweep_lost(struct sweep *s, struct forwarder *f, long now)
{

	forwarder_remember(f, 0, now);
	s->asked = 0;
	s->paging = 0;
	s->took = 0;
	s->rest = 0;
	s->found = 0;
	s->requested = 0;
	s->owed = 0;
	s->rest_until = 0;
	s->due = LONG_MAX;
}

/**
 * sweep_deadline(sweep):
 * Return when sweep_step should be called at the latest.
 */
long
sweep_deadline(const struct sweep *s)
{

	return (s->due);
}

/**
 * sweep_free(sweep):
 * Free ${sweep}; NULL is fine.
 */
void
sweep_free(struct sweep *s)
{

	if (s == NULL)
		return;
	free(s->sql);
	free(s);
}
