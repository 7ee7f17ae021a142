#include <sys/mman.h>

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "shared.h"

struct shared {
	pthread_mutex_t content;	/* held for a copy */
	pthread_mutex_t renewal;	/* held during a fetch */
	time_t attempted[2];		/* by reason */
	size_t size;
	uint64_t generation;

	/*
	 * Two documents, so that a process that is killed while it writes the
	 * next one leaves the last one whole: the generation says which.
	 */
	time_t expires[2];
	size_t len[2];
	char data[];
};

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

static size_t
mapped(size_t size)
{

	return (sizeof(struct shared) + 2 * size);
}

/* Where the document of ${generation} is. */
static char *
place(struct shared *shared, uint64_t generation)
{

	return (&shared->data[generation % 2 * shared->size]);
}

static int
try_lock(pthread_mutex_t *mutex)
{
	int rc = pthread_mutex_trylock(mutex);

	if (rc == EOWNERDEAD) {
		(void)pthread_mutex_consistent(mutex);
		rc = 0;
	}
	return (rc == 0);
}

/**
 * shared_new(size):
 * Return a shared document of at most ${size} bytes, still empty, or NULL.
 */
struct shared *
shared_new(size_t size)
{
	struct shared *shared;

	shared = mmap(NULL, mapped(size), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED)
		return (NULL);
	(void)madvise(shared, mapped(size), MADV_DONTDUMP);
	shared->size = size;

	if (shared_mutex_init(&shared->content) != 0 ||
	    shared_mutex_init(&shared->renewal) != 0) {
		(void)munmap(shared, mapped(size));
		return (NULL);
	}
	return (shared);
}

/**
 * shared_generation(shared):
 * Return a number that grows with each new document; 0 means there is none.
 */
uint64_t
shared_generation(struct shared *shared)
{
	uint64_t generation;

	shared_mutex_lock(&shared->content);
	generation = shared->generation;
	(void)pthread_mutex_unlock(&shared->content);
	return (generation);
}

/**
 * shared_expires(shared):
 * Return when the document should be renewed; 0 if there is none.
 */
time_t
shared_expires(struct shared *shared)
{
	time_t expires;

	shared_mutex_lock(&shared->content);
	expires = shared->expires[shared->generation % 2];
	(void)pthread_mutex_unlock(&shared->content);
	return (expires);
}

/**
 * shared_copy(shared, len, generation):
 * Return a copy of the document (with a NUL behind its ${len} bytes) that the
 * caller frees, and its ${generation}; NULL if there is none.
 */
char *
shared_copy(struct shared *shared, size_t *len, uint64_t *generation)
{
	char *copy = NULL;

	shared_mutex_lock(&shared->content);
	*generation = shared->generation;
	*len = shared->len[*generation % 2];
	if (*generation > 0 && (copy = malloc(*len + 1)) != NULL) {
		memcpy(copy, place(shared, *generation), *len);
		copy[*len] = '\0';
	}
	(void)pthread_mutex_unlock(&shared->content);
	return (copy);
}

/**
 * shared_renewal_begin(shared, reason, wait, now, interval):
 * Try to become the one that renews the document.  If another process is
 * doing so, wait for it to end if ${wait} is set.  Return 1 if the caller
 * shall renew and then call shared_renewal_end; 0 if not: another one just
 * did or is doing it, or the last attempt for the same ${reason}, good or
 * bad, began less than ${interval} seconds before ${now}.  The attempt is
 * stamped before it is made, so that a slow source is not asked by everybody.
 */
int
shared_renewal_begin(struct shared *shared, enum shared_reason reason,
    int wait, time_t now, time_t interval)
{
	time_t *attempted = &shared->attempted[reason];
	uint64_t before = shared_generation(shared);

	if (!try_lock(&shared->renewal)) {
		if (!wait)
			return (0);
		shared_mutex_lock(&shared->renewal);
	}

	/* Who waited for the lock may find that the work is done. */
	if (shared_generation(shared) != before ||
	    (*attempted != 0 && now >= *attempted &&
	    now - *attempted < interval)) {
		(void)pthread_mutex_unlock(&shared->renewal);
		return (0);
	}
	*attempted = now;
	return (1);
}

/**
 * shared_renewal_end(shared, data, len, expires):
 * Store the new document, to be renewed at ${expires}; or, with ${data} NULL,
 * keep the old one after a failure.
 */
void
shared_renewal_end(struct shared *shared, const char *data, size_t len,
    time_t expires)
{

	uint64_t next = shared->generation + 1;

	if (data != NULL && len <= shared->size) {
		shared_mutex_lock(&shared->content);
		memcpy(place(shared, next), data, len);
		shared->len[next % 2] = len;
		shared->expires[next % 2] = expires;
		shared->generation = next;
		OPENSSL_cleanse(place(shared, next - 1), shared->size);
		(void)pthread_mutex_unlock(&shared->content);
	}
	(void)pthread_mutex_unlock(&shared->renewal);
}

/**
 * shared_free(shared):
 * Unmap the document from this process; NULL is fine.
 */
void
shared_free(struct shared *shared)
{

	if (shared != NULL)
		(void)munmap(shared, mapped(shared->size));
}
