#ifndef AS_DAEMON_H_
#define AS_DAEMON_H_

#include "booking_state.h"
#include "booking_waits.h"
#include "bookings.h"
#include "config.h"

#include "server.h"

/*
 * A daemon, and a booking as it has read it; beside what server.h has.
 */

#define ID	"00000000-0000-4000-8000-00000000000b"
#define TENANT	"11111111-1111-4111-8111-111111111111"

static struct config conf = { .schema = SCHEMA, .table = "lead_bookings",
    .postgres_db = DATABASE };
static struct db *db;
static struct bookings *b;
static struct booking booking;
static PGresult *rows;			/* ${booking}'s */
static const struct booking_answer took = { .http_status = 202, .ms = 31 };

/* Begin the daemon; its session begins with bookings_ready. */
static inline void
begin_daemon(void)
{

	assert_non_null(db = db_new(&conf, "test"));
	assert_non_null(b = bookings_new(&conf, db));
}

/* Forget what was read into ${booking}. */
static inline void
forget_booking(void)
{

	PQclear(rows);
	rows = NULL;
}

static inline void
end_daemon(void)
{

	forget_booking();
	bookings_free(b);
	db_free(db);
}

/* Read the booking into ${booking}. */
static inline void
read_booking(void)
{
	const char *ids[] = { ID };

	forget_booking();
	assert_int_equal(booking_read(b, ids, 1, &booking, &rows), DB_OK);
}

/*
 * Return how many bookings the sweep finds that are due in the next ${window}
 * seconds, or were in the last, and overdue by ${grace}.
 */
static inline int
sweep(const char *window, const char *grace)
{
	const char *const params[] = { window, BOOKINGS_SWEEP_START, "100",
	    grace };
	char *sql = bookings_sweep_sql(&conf);
	PGresult *result;
	int n;

	assert_non_null(sql);
	result = PQexecParams(app, sql, 5, NULL, params, NULL, NULL, 0);
	free(sql);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s", PQerrorMessage(app));
	n = PQntuples(result);
	PQclear(result);
	return (n);
}

#endif /* !AS_DAEMON_H_ */
