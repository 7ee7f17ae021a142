#include <errno.h>
#include <pthread.h>

#include "shared_mutex.h"

/**
 * shared_mutex_init(mutex):
 * Make ${mutex}, in memory that processes share, a robust one: a process that
 * is killed while it holds it does not lock out the others.  Return 0 or -1.
 */
int
shared_mutex_init(pthread_mutex_t *mutex)
{
	pthread_mutexattr_t attr;
	int rc = -1;

	if (pthread_mutexattr_init(&attr) != 0)
		return (-1);
	if (pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED) == 0 &&
	    pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST) == 0 &&
	    pthread_mutex_init(mutex, &attr) == 0)
		rc = 0;
	(void)pthread_mutexattr_destroy(&attr);
	return (rc);
}

/**
 * shared_mutex_lock(mutex):
 * Lock ${mutex}, taking it over from a holder that died.
 */
void
shared_mutex_lock(pthread_mutex_t *mutex)
{

	if (pthread_mutex_lock(mutex) == EOWNERDEAD)
		(void)pthread_mutex_consistent(mutex);
}

/**
 * shared_mutex_trylock(mutex):
 * Likewise, without waiting: return 0, or -1 if another one holds it.
 */
int
shared_mutex_trylock(pthread_mutex_t *mutex)
{
	int rc = pthread_mutex_trylock(mutex);

	if (rc == EOWNERDEAD)
		rc = pthread_mutex_consistent(mutex);
	return (rc == 0 ? 0 : -1);
}
