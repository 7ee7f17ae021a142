#ifndef DB_CONNECT_H_
#define DB_CONNECT_H_

#include <libpq-fe.h>

struct config;

/*
 * Connecting to the database, by events and with a deadline for each server.
 *
 * The configuration may name several hosts (postgresql://a,b/db), and a name
 * may have several addresses, of which one server at a time takes writes.
 * libpq goes to the next one only when the first refuses, and PQconnectPoll
 * waits for one that hangs without end.  So each address is tried by itself:
 * what hangs, refuses, or is read-only (a standby, or a primary of the past)
 * is left for the next one.  A round ends when all have been tried; the next
 * begins where the last one ended, which is where it worked.
 *
 * Hosts that a service file names by service= in DATABASE_URL are left to
 * libpq, with one deadline for all of them.
 *
 * Nothing here blocks but the look-up of names, as in libpq.  Times are
 * milliseconds of the monotonic clock.
 */
struct db_connect;

enum db_connect_state {
	DB_CONNECT_WAITING,	/* see db_connect_wait */
	DB_CONNECT_DONE,	/* see db_connect_take */
	DB_CONNECT_FAILED,	/* this round has; see db_connect_error */
};

/**
 * db_connect_new(conf, application_name):
 * Return a handle that is not connecting; NULL when memory is short.  Both
 * arguments must outlive it.
 */
struct db_connect *db_connect_new(const struct config *, const char *);

/**
 * db_connect_begin(c, now):
 * Begin a round at ${now}, and give up the one that may be under way.
 */
enum db_connect_state db_connect_begin(struct db_connect *, long);

/**
 * db_connect_step(c, now):
 * Do what can be done at ${now} without waiting.
 */
enum db_connect_state db_connect_step(struct db_connect *, long);

/**
 * db_connect_wait(c, fd, events, deadline):
 * Tell what db_connect_step waits for: ${fd} with the poll(2) ${events}, until
 * ${deadline} at the latest.
 */
void db_connect_wait(const struct db_connect *, int *, short *, long *);

/**
 * db_connect_take(c):
 * Return the connection, after DB_CONNECT_DONE, as the caller's to finish.
 */
PGconn *db_connect_take(struct db_connect *);

/**
 * db_connect_cancel(c):
 * Give up the server at hand; the next round begins with it.
 */
void db_connect_cancel(struct db_connect *);

/**
 * db_connect_skip(c):
 * The connection that was taken is of no use: begin the next round behind it.
 */
void db_connect_skip(struct db_connect *);

/**
 * db_connect_error(c):
 * Return why the round has failed, of each server, in one line.
 */
const char *db_connect_error(const struct db_connect *);

/**
 * db_connect_free(c):
 * Give up what is under way and free ${c}; NULL is fine.
 */
void db_connect_free(struct db_connect *);

#endif /* !DB_CONNECT_H_ */
