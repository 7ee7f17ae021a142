#ifndef BOOKING_SQL_H_
#define BOOKING_SQL_H_

/*
 * The statements of booking.c and bookings.c, as templates: {S} is the schema
 * and {T} the bookings table, both quoted, {H} the horizon.  Private to them.
 */

enum booking_sql {
	SQL_LOCK,
	SQL_TRY_LOCK,
	SQL_UNLOCK,
	SQL_READ,
	SQL_SCHEDULED,
	SQL_EXECUTION_BEGUN,
	SQL_EXECUTED,
	SQL_NAME_EXECUTED,
	SQL_FAILED_ONCE,
	SQL_FAILED,
	SQL_UNSCHEDULE,
	SQL_TASK_GONE,
	SQL_CANCEL,
	SQL_FORGET_FAILURES,
	SQL_RETRY,
	SQL_RETRY_ALL,
	SQL_OBSOLETE_TASKS,
	SQL_OBSOLETE_DELETED,
	SQL_OBSOLETE_LATER,
	SQL_CALL_REQUEST,
	SQL_DEAD_LETTERS,
	SQL_CHECK,
	SQL_SWEEP,
	SQL_COUNT,
};

extern const char *const booking_sql[SQL_COUNT];

#endif /* !BOOKING_SQL_H_ */
