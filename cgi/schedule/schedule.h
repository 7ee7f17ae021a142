#ifndef SCHEDULE_H_
#define SCHEDULE_H_

#include <stddef.h>

#include "cloud_tasks.h"
#include "trace.h"

struct bookings;
struct config;

/*
 * Bookings become tasks, a batch at a time; one booking is a batch of one.
 *
 * The rows are locked and read, their tasks created as many at once as
 * cloud_tasks.h allows, and those that are done are written together, each
 * if its row is still as it was read.  No transaction is open meanwhile, but
 * locks of the session keep other workers off the same bookings.  What could
 * not be begun within half a minute is left for later.
 *
 * Where the gate has a booking wait, its task is for the end of that; if no
 * end is known, or only one beyond the horizon, it stays pending.  Both are
 * looked at again: soon after a pause or a setting changed, and now and then.
 * A task that would come more than a minute too late by then is replaced; one
 * that would come too early stays, because followup-execute asks the gate.
 *
 * If the process dies behind any line, the next attempt finds either a row
 * that is still pending, and perhaps the task already there under the same
 * name, which is then taken as it is; or a row that is scheduled.
 */

/* What it works with; all must outlive it. */
struct schedule {
	const struct config *conf;
	struct bookings *bookings;
	struct cloud_tasks *tasks;
};

/* The most bookings of a batch. */
#define SCHEDULE_BATCH	100

/* What came of one booking. */
enum schedule_outcome {
	SCHEDULE_DONE,		/* it is scheduled (or was executed already) */
	SCHEDULE_NOTHING,	/* there is nothing to schedule: reason */
	SCHEDULE_GIVEN_UP,	/* it is a dead letter now: reason */
	SCHEDULE_NO_BOOKING,	/* there is no such row */
	SCHEDULE_LATER,		/* try again after retry_after: reason */
};

struct schedule_result {
	enum schedule_outcome outcome;
	char reason[640];			/* one line */
	char task_name[CLOUD_TASKS_NAME_LEN];	/* of SCHEDULE_DONE */
	char schedule_time[40];			/* likewise, ISO 8601 UTC */
	int already_exists;			/* likewise: it was there */
	struct trace trace;			/* likewise, if known */
	int deferred;		/* of SCHEDULE_NOTHING: not yet */
	int deleted;			/* obsolete tasks that were deleted */
	int everybody;		/* of SCHEDULE_LATER: not only this one */
	long retry_after;			/* likewise, seconds */
};

/**
 * schedule_bookings(schedule, ids, n, results):
 * Do for each of the ${n} (up to SCHEDULE_BATCH) bookings with the ids ${ids}
 * (UUIDs in lower case, all different) whatever is to do now: delete its
 * obsolete tasks, and create its task if it needs one.  What came of it is in
 * ${results}, in the same order.
 */
void schedule_bookings(const struct schedule *, const char *const *, size_t,
    struct schedule_result *);

#endif /* !SCHEDULE_H_ */
