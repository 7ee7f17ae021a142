#ifndef TIME_LIMIT_H_
#define TIME_LIMIT_H_

#include "db.h"

struct bookings;
struct bookings_call;
struct bookings_sql;

/*
 * A shorter limit for the statements behind pages and metrics.  The worker
 * that runs them serves bookings too, which must not wait for long.
 */
#define TIME_LIMIT	"1s"

/**
 * time_limit_run(bookings, call):
 * Run ${call} as bookings_run does, but let it take TIME_LIMIT at most: one
 * that takes longer is DB_LOCKED.  On DB_OK the caller clears its result.
 */
enum db_outcome time_limit_run(struct bookings *, struct bookings_call *);

/* The statements, for the rehearsal of sql/part-rehearsal.sql. */
extern const struct bookings_sql *const time_limit_statements[];

#endif /* !TIME_LIMIT_H_ */
