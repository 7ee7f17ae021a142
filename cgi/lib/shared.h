#ifndef SHARED_H_
#define SHARED_H_

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/*
 * A document that all workers of a program share, such as a set of keys or
 * an access token: fetched by one of them at a time, seen by all, and whole
 * even if one of them is killed while it stores the next.  It lives in
 * anonymous memory mapped before the workers are forked, and is left out of
 * core dumps.
 */
struct shared;

/**
 * shared_new(size):
 * Return a shared document of at most ${size} bytes, still empty, or NULL.
 */
struct shared *shared_new(size_t);

/**
 * shared_generation(shared):
 * Return a number that grows with each new document; 0 means there is none.
 */
uint64_t shared_generation(struct shared *);

/**
 * shared_expires(shared):
 * Return when the document should be renewed; 0 if there is none.
 */
time_t shared_expires(struct shared *);

/**
 * shared_copy(shared, len, generation):
 * Return a copy of the document (with a NUL behind its ${len} bytes) that the
 * caller frees, and its ${generation}; NULL if there is none.
 */
char *shared_copy(struct shared *, size_t *, uint64_t *);

/* Why a document is renewed: its time has come, or it was found wanting. */
enum shared_reason { SHARED_EXPIRED, SHARED_WANTING };

/**
 * shared_renewal_begin(shared, reason, wait, now, interval):
 * Try to become the one that renews the document.  If another process is
 * doing so, wait for it to end if ${wait} is set.  Return 1 if the caller
 * shall renew and then call shared_renewal_end; 0 if not: another one just
 * did or is doing it, or the last attempt for the same ${reason}, good or
 * bad, began less than ${interval} seconds before ${now}.  The attempt is
 * stamped before it is made, so that a slow source is not asked by everybody.
 */
int shared_renewal_begin(struct shared *, enum shared_reason, int, time_t,
    time_t);

/**
 * shared_renewal_end(shared, data, len, expires):
 * Store the new document, to be renewed at ${expires}; or, with ${data} NULL,
 * keep the old one after a failure.
 */
void shared_renewal_end(struct shared *, const char *, size_t, time_t);

/**
 * shared_free(shared):
 * Unmap the document from this process; NULL is fine.
 */
void shared_free(struct shared *);

/**
 * shared_mutex_init(mutex):
 * Make ${mutex}, in memory that processes share, a robust one: a process that
 * is killed while it holds it does not lock out the others.  Return 0 or -1.
 */
int shared_mutex_init(pthread_mutex_t *);

/**
 * shared_mutex_lock(mutex):
 * Lock ${mutex}, taking it over from a holder that died.
 */
void shared_mutex_lock(pthread_mutex_t *);

#endif /* !SHARED_H_ */
