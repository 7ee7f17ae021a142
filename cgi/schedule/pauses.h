#ifndef PAUSES_H_
#define PAUSES_H_

#include <jansson.h>

#include "db.h"

struct bookings;

/*
 * Pauses: whose calls wait, and until when.  The statements call the same
 * functions of the database as followup-trigger.  A scope is "all" or
 * "tenant:" and the id of a tenant.
 */

/**
 * pauses_list(bookings, pauses):
 * Set ${pauses} to an array of the pauses in force, that of everything first.
 * The caller drops the reference.
 */
enum db_outcome pauses_list(struct bookings *, json_t **);

/**
 * pauses_begin(bookings, scope, reason, until, by, wrong):
 * Pause the calls of ${scope} for ${reason} until ${until} (RFC 3339; NULL: no
 * end), on behalf of ${by} (NULL: the role of the session).  ${wrong} is set
 * to what is wrong with that, for the caller to free, or to NULL.
 */
enum db_outcome pauses_begin(struct bookings *, const char *, const char *,
    const char *, const char *, char **);

/**
 * pauses_end(bookings, scope, by, ended):
 * End the pause of ${scope}, on behalf of ${by} (NULL: the role of the
 * session); a tenant is called also while everything is paused.  ${ended} is
 * 0 if there was no such pause.
 */
enum db_outcome pauses_end(struct bookings *, const char *, const char *,
    int *);

/* The statements above, for the rehearsal; NULL ends the list. */
struct bookings_sql;
extern const struct bookings_sql *const pauses_statements[];

#endif /* !PAUSES_H_ */
