#ifndef BOOKING_WAITS_H_
#define BOOKING_WAITS_H_

#include "booking.h"

struct bookings;

/*
 * Bookings that the gate has wait: what becomes of one whose task is of no use
 * therefore, and followup_waits, which says when each is looked at again, so
 * that a sweep need not read all of them.  booking_scheduled notes those that
 * get a task for the end of their wait.
 *
 * What booking_state.h says of its functions holds for these.
 */

/**
 * booking_held(bookings, booking, reason, changed):
 * Put a scheduled ${booking}, whose task has fired although the gate makes it
 * wait for ${reason}, back to pending, for the next sweep to look at.  The
 * attempts at its call still count.
 */
enum db_outcome booking_held(struct bookings *, const struct booking *,
    const char *, int *);

/**
 * booking_replan(bookings, booking, changed):
 * Put a scheduled ${booking} whose task would come too late back to pending;
 * its task is obsolete.  The attempts that were made at its call still count.
 */
enum db_outcome booking_replan(struct bookings *, const struct booking *,
    int *);

/* What is known of a booking that waits, when it was looked at. */
struct booking_wait {
	const struct booking *booking;
	double look_in;		/* seconds until the next look; 0: it needs
				   none, or does not wait any more */
	const char *reason;	/* for history: it is left to wait; or NULL */
};

/**
 * booking_noted(bookings, waits, n):
 * Keep up to BOOKING_BATCH ${waits} in followup_waits, unless somebody has
 * looked at the booking since it was read.  History tells of those with a
 * reason; since they are looked at again and again, no row is added to it
 * where the last one says the same.
 */
enum db_outcome booking_noted(struct bookings *, const struct booking_wait *,
    size_t);

/* The one that followup-schedule needs at once. */
struct bookings_sql;
extern const struct bookings_sql *const booking_waits_schedule[];

/* All of them, for the rehearsal of sql/part-rehearsal.sql. */
extern const struct bookings_sql *const booking_waits_statements[];

#endif /* !BOOKING_WAITS_H_ */
