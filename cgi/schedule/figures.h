#ifndef FIGURES_H_
#define FIGURES_H_

#include <jansson.h>

#include "db.h"

struct bookings;
struct config;

/*
 * The figures of the database: how many bookings wait, since when and for
 * what.  Only rows that are still to be called are read, through the index of
 * the sweep, so that years of past bookings cost nothing.
 */

/* How old the figures may become before they are read again, in ms. */
#define FIGURES_MS	10000

/**
 * figures_collect(conf, bookings, now):
 * Set the metrics of what the database knows, unless some worker has done so
 * within the FIGURES_MS before ${now} (monotime_ms).  If the database does not
 * answer, they are no longer shown.
 */
void figures_collect(const struct config *, struct bookings *, long);

/**
 * figures_by_tenant(bookings, limit, tenants):
 * Set ${tenants} to an array of the up to ${limit} (a number as text) tenants
 * with most bookings that are overdue, dead or open, in this order.  The caller
 * drops the reference.
 */
enum db_outcome figures_by_tenant(struct bookings *, const char *, json_t **);

/* The statements, for the rehearsal of sql/part-rehearsal.sql. */
struct bookings_sql;
extern const struct bookings_sql *const figures_statements[];

#endif /* !FIGURES_H_ */
