#ifndef REFUSALS_H_
#define REFUSALS_H_

#include <stddef.h>

#include "db.h"

/*
 * Whose fault is it that the database refuses a statement?  That of the row,
 * of all rows, or not yet known: what happened to the same statement for other
 * bookings tells.  The workers of a program share what they saw.
 *
 * A refusal that looks like the row's is not when MANY bookings in a row meet
 * it; one that looks like everybody's is the row's when others have got
 * through since this booking met it last.
 */
struct refusals;

/* So many bookings in a row are not at fault themselves. */
#define REFUSALS_MANY	10

#define REFUSALS_AGE_MS	120000

/* A refusal as the database worded it. */
struct refusal {
	const char *booking;	/* the one that it is about; NULL: of none */
	enum db_outcome outcome;	/* as it looks by itself */
	const char *state;	/* SQLSTATE */
	const char *error;
};

/**
 * refusals_new():
 * Return a memory without refusals, which workers forked later share; NULL
 * when memory is short.
 */
struct refusals *refusals_new(void);

/**
 * refusals_judge(refusals, statement, refusal, now):
 * ${statement} was refused at ${now} (milliseconds of the monotonic clock).
 * Return the outcome that ${refusal} has by what is known of others: DB_FAILED,
 * DB_MANY or DB_BROKEN.
 */
enum db_outcome refusals_judge(struct refusals *, const char *,
    const struct refusal *, long);

/**
 * refusals_succeeded(refusals, statement):
 * ${statement} was not refused, for whatever booking.
 */
void refusals_succeeded(struct refusals *, const char *);

/**
 * refusals_trouble(refusals, now, buf, buflen):
 * Is there a statement that the database refuses for every booking?  If so,
 * say which and why in one sentence in ${buf}, and return non-zero.  What was
 * not met again for REFUSALS_AGE_MS is forgotten.
 */
int refusals_trouble(struct refusals *, long, char *, size_t);

/**
 * refusals_free(refusals):
 * Unmap ${refusals} from this process; NULL is fine.
 */
void refusals_free(struct refusals *);

#endif /* !REFUSALS_H_ */
