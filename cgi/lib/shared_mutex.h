#ifndef SHARED_MUTEX_H_
#define SHARED_MUTEX_H_

#include <pthread.h>

/*
 * Mutexes in memory that the workers of a program share, which outlive the
 * death of the one that holds them.  pthread_mutex_unlock unlocks them.
 */

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

/**
 * shared_mutex_trylock(mutex):
 * Likewise, without waiting: return 0, or -1 if another one holds it.
 */
int shared_mutex_trylock(pthread_mutex_t *);

#endif /* !SHARED_MUTEX_H_ */
