#ifndef DEAD_LETTERS_H_
#define DEAD_LETTERS_H_

#include <stdint.h>

#include <jansson.h>

#include "db.h"
#include "uuid.h"

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
 * dead_letters_causes(bookings, causes):
 * Set ${causes} to an array of up to 100 groups of dead letters that died of
 * the same, the largest first.  The caller drops the reference.
 */
enum db_outcome dead_letters_causes(struct bookings *, json_t **);

/**
 * dead_letters_narrow(bookings, filter):
 * Where the "error" of ${filter} is the whole cause of letters that it names,
 * as of a group of dead_letters_causes, have it name those alone, by "cause".
 */
enum db_outcome dead_letters_narrow(struct bookings *, json_t *);

/**
 * dead_letters_preview(bookings, filter, late, counts):
 * Set ${counts} to an object that says what a retry of the dead letters that
 * ${filter} names would come to now.  The caller drops the reference.
 */
enum db_outcome dead_letters_preview(struct bookings *, const char *, int,
    json_t **);

/* A retry of many, step by step. */
struct dead_letters_retry {
	int late;			/* called however late they are */
	const char *by;			/* who asks; NULL: the session's role */
	const char *per_minute;		/* a number, or NULL: all at once */
	int64_t retried;		/* so far */
	int more;			/* set: there may be others */
	char until[40];			/* set: the turn of the last one */
	char after[40];			/* set: where the step ended, */
	char after_id[UUID_LEN];	/* and behind which booking */
	char as_of[40];			/* set: when the first one began */
};

/**
 * dead_letters_retry(bookings, filter, retry):
 * Retry a step of the dead letters that ${filter}, a JSON object as
 * followup_letters takes it, names; see struct dead_letters_retry.
 */
enum db_outcome dead_letters_retry(struct bookings *, const char *,
    struct dead_letters_retry *);

/* The statements above, for the rehearsal; NULL ends the list. */
struct bookings_sql;
extern const struct bookings_sql *const dead_letters_statements[];

#endif /* !DEAD_LETTERS_H_ */
