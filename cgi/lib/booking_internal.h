#ifndef BOOKING_INTERNAL_H_
#define BOOKING_INTERNAL_H_

#include "booking.h"
#include "booking_sql.h"

/*
 * What booking.c, which is about one booking, and bookings.c, which is about
 * the table as a whole, know of each other.  Nobody else includes this.
 */

struct bookings {
	struct db *db;
	const char *schema;		/* as configured */
	char *quoted_schema;
	char *quoted_table;		/* with its schema */
	char names[SQL_COUNT][8];
	struct db_statement statements[SQL_COUNT];
};

/**
 * bookings_query(bookings, sql, params, nparams, result):
 * Run the statement ${sql} as db_query does, and log what the database
 * refused.
 */
enum db_outcome bookings_query(struct bookings *, enum booking_sql,
    const char *const *, int, PGresult **);

/**
 * bookings_query_changed(bookings, sql, params, nparams, changed):
 * Run a statement whose one value says how many rows it changed.
 */
enum db_outcome bookings_query_changed(struct bookings *, enum booking_sql,
    const char *const *, int, int *);

/**
 * bookings_query_void(bookings, sql, params, nparams):
 * Run a statement whose result nobody needs.
 */
enum db_outcome bookings_query_void(struct bookings *, enum booking_sql,
    const char *const *, int);

#endif /* !BOOKING_INTERNAL_H_ */
