#ifndef SCHEDULE_H_
#define SCHEDULE_H_

#include "cloud_tasks.h"

struct bookings;
struct config;
struct db;

/*
 * A booking becomes a task.  The row is read, the task created, the row
 * written if it is still as it was read; no transaction is open meanwhile,
 * but a lock of the session keeps other workers off the same booking.
 *
 * If the process dies behind any line, the next attempt finds either a row
 * that is still pending, and perhaps the task already there under the same
 * name, which is then taken as it is; or a row that is scheduled.
 */
struct schedule;

/* What came of it. */
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
	char schedule_time[32];			/* likewise, ISO 8601 UTC */
	int already_exists;			/* likewise: it was there */
	long retry_after;			/* of SCHEDULE_LATER, seconds */
	int everybody;				/* likewise: not only this one */
};

/**
 * schedule_new(conf, db, bookings, tasks):
 * Return a scheduler over these, which must outlive it; NULL when memory is
 * short.
 */
struct schedule *schedule_new(const struct config *, struct db *,
    struct bookings *, struct cloud_tasks *);

/**
 * schedule_booking(schedule, id, result):
 * Do for booking ${id} (a UUID in lower case) whatever is to do now: delete
 * its obsolete tasks, and create its task if it needs one.
 */
void schedule_booking(struct schedule *, const char *,
    struct schedule_result *);

/**
 * schedule_delete_obsolete(schedule, id, result):
 * Delete the obsolete tasks of booking ${id} only.  Return how many were
 * deleted, or -1 with ${result} set to SCHEDULE_LATER.
 */
int schedule_delete_obsolete(struct schedule *, const char *,
    struct schedule_result *);

/**
 * schedule_free(schedule):
 * Free ${schedule}; NULL is fine.
 */
void schedule_free(struct schedule *);

#endif /* !SCHEDULE_H_ */
