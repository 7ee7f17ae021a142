#ifndef BOOKING_STATE_INTERNAL_H_
#define BOOKING_STATE_INTERNAL_H_

#include "booking_state.h"
#include "bookings.h"
#include "history.h"

/*
 * What the statements of booking_state.c and booking_waits.c share; nobody else
 * includes this file.
 */

/* Room for a number as text. */
#define BOOKING_NUMBER_LEN	32

/* A time of struct booking in SQL's form; in two parts, which are exact. */
#define TIME(us)							\
	"'epoch'::timestamptz + " us " / 1000000 * interval '1 s' "	\
	"+ " us " % 1000000 * interval '1 microsecond'"

/*
 * ${text} as the ${column} of b takes it: cut to the length that its type, or
 * that of its domain, has.
 */
#define FIT(text, column)						\
    "left(" text ", coalesce((SELECT nullif(greatest(l.atttypmod, "	\
    "y.typtypmod), -1) - 4 FROM pg_catalog.pg_type r "			\
    "JOIN pg_catalog.pg_attribute l ON l.attrelid = r.typrelid "	\
    "JOIN pg_catalog.pg_type y ON y.oid = l.atttypid "			\
    "WHERE r.oid = pg_catalog.pg_typeof(NULL::{T}) "			\
    "AND l.attname = '" column "'), 2147483647))"

/* A row of history for the booking $1, if there is a row in ${from}. */
#define TELL_WHAT(what, facts, from)					\
    "told AS (" HISTORY_INSERT(what, "$1::uuid", facts, from) ")"
#define TELL(facts, from)	TELL_WHAT(HISTORY_AS_TOLD, facts, from)

/* The number of rows changed where the one there is was not. */
#define IGNORED	"-1"

/* An array of numbers as text. */
struct booking_numbers {
	const char *values[BOOKING_BATCH];
	char texts[BOOKING_BATCH][BOOKING_NUMBER_LEN];
};

/**
 * booking_state_number(numbers, i, value):
 * Set the element ${i} of ${numbers} to ${value}.
 */
void booking_state_number(struct booking_numbers *, size_t, int64_t);

/**
 * booking_state_lists(bookings, call, lists, nlists, n):
 * Run ${call}, whose parameters are ${nlists} ${lists} of ${n} texts; DB_LOST
 * when memory is short.
 */
enum db_outcome booking_state_lists(struct bookings *, struct bookings_call *,
    const char *const *const *, int, size_t);

/**
 * booking_state_facts(booking, row):
 * Return what history says of ${booking}, ${row} with its tenant and trace, in
 * the form of history_facts.
 */
char *booking_state_facts(const struct booking *, struct history_row);

/**
 * booking_state_told(bookings, call, place, booking, row, changed):
 * Run ${call}, whose parameter ${place} (from 0) becomes what history says of
 * ${booking}, ${row}, and whose one value says how many rows it changed:
 * ${changed}, which may be NULL.  Where that is IGNORED the outcome is that of
 * a refusal; DB_LOST when memory is short.
 */
enum db_outcome booking_state_told(struct bookings *, struct bookings_call *,
    int, const struct booking *, struct history_row, int *);

#endif /* !BOOKING_STATE_INTERNAL_H_ */
