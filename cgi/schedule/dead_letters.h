#ifndef DEAD_LETTERS_H_
#define DEAD_LETTERS_H_

#include <jansson.h>

#include "db.h"

struct bookings;

/*
 * Dead letters: bookings that were given up, as the local API shows them, and
 * what brings them back.
 */

/**
 * dead_letters_list(bookings, before_time, before_id, limit, letters):
 * Set ${letters} to an array of up to ${limit} (a number as text) dead
 * letters, newest first, from behind the place that ${before_time} (RFC 3339)
 * and ${before_id} name (NULL: from the start).  The caller drops the
 * reference.
 */
enum db_outcome dead_letters_list(struct bookings *, const char *,
    const char *, const char *, json_t **);

/**
 * dead_letters_retry(bookings, stage, since, until, retried):
 * Put all failed bookings back to pending whose dead letter is of ${stage}
 * ("schedule", "execute", NULL for any) and died from ${since} to before
 * ${until} (RFC 3339, NULL for no bound); ${retried} is set to their number.
 */
enum db_outcome dead_letters_retry(struct bookings *, const char *,
    const char *, const char *, int *);

/* The statements above, for the rehearsal; NULL ends the list. */
struct bookings_sql;
extern const struct bookings_sql *const dead_letters_statements[];

#endif /* !DEAD_LETTERS_H_ */
