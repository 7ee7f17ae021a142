#include <sys/mman.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "shared_mutex.h"

#include "shared_document.h"

struct shared_document {
	pthread_mutex_t content;	/* held for a copy */
	pthread_mutex_t renewal;	/* held during a fetch */
	time_t attempted[2];		/* by reason */
	_Atomic unsigned long attempts;	/* so many, for whatever reason */
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

static size_t
mapped(size_t size)
{

	return (sizeof(struct shared_document) + 2 * size);
}

/* Where the document of ${generation} is. */
static char *
place(struct shared_document *doc, uint64_t generation)
{

	return (&doc->data[generation % 2 * doc->size]);
}

/**
 * shared_document_new(size):
 * Return a shared document of at most ${size} bytes, still empty, or NULL.
 */
struct shared_document *
shared_document_new(size_t size)
{
	struct shared_document *doc;

	doc = mmap(NULL, mapped(size), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (doc == MAP_FAILED)
		return (NULL);
	(void)madvise(doc, mapped(size), MADV_DONTDUMP);
	doc->size = size;

	if (shared_mutex_init(&doc->content) != 0 ||
	    shared_mutex_init(&doc->renewal) != 0) {
		(void)munmap(doc, mapped(size));
		return (NULL);
	}
	return (doc);
}

/**
 * shared_document_generation(doc):
 * Return a number that grows with each new document; 0 means there is none.
 */
uint64_t
shared_document_generation(struct shared_document *doc)
{
	uint64_t generation;

	shared_mutex_lock(&doc->content);
	generation = doc->generation;
	(void)pthread_mutex_unlock(&doc->content);
	return (generation);
}

/**
 * shared_document_expires(doc):
 * Return when the document should be renewed; 0 if there is none.
 */
time_t
shared_document_expires(struct shared_document *doc)
{
	time_t expires;

	shared_mutex_lock(&doc->content);
	expires = doc->expires[doc->generation % 2];
	(void)pthread_mutex_unlock(&doc->content);
	return (expires);
}

/**
 * shared_document_copy(doc, len, generation):
 * Return a copy of the document (with a NUL behind its ${len} bytes) that the
 * caller frees, and its ${generation}; NULL if there is none.
 */
char *
shared_document_copy(struct shared_document *doc, size_t *len,
    uint64_t *generation)
{
	char *copy = NULL;

	shared_mutex_lock(&doc->content);
	*generation = doc->generation;
	*len = doc->len[*generation % 2];
	if (*generation > 0 && (copy = malloc(*len + 1)) != NULL) {
		memcpy(copy, place(doc, *generation), *len);
		copy[*len] = '\0';
	}
	(void)pthread_mutex_unlock(&doc->content);
	return (copy);
}

/**
 * shared_document_renewal_begin(doc, reason, wait, now, interval):
 * Try to become the one that renews the document.  If another process is
 * doing so, wait for it to end if ${wait} is set.  Return 1 if the caller
 * shall renew and then call shared_document_renewal_end; 0 if not: another one
 * just did or is doing it, or the last attempt for the same ${reason}, good or
 * bad, began less than ${interval} seconds before ${now}.  The attempt is
 * stamped before it is made, so that a slow source is not asked by everybody.
 */
int
shared_document_renewal_begin(struct shared_document *doc,
    enum shared_document_reason reason, int wait, time_t now, time_t interval)
{
	time_t *attempted = &doc->attempted[reason];
	uint64_t before = shared_document_generation(doc);
	unsigned long attempts = atomic_load(&doc->attempts);

	if (shared_mutex_trylock(&doc->renewal) != 0) {
		if (!wait)
			return (0);
		shared_mutex_lock(&doc->renewal);
	}

	/* After a wait for the lock the work may be done, or tried in vain. */
	if (shared_document_generation(doc) != before ||
	    atomic_load(&doc->attempts) != attempts ||
	    (*attempted != 0 && now >= *attempted &&
	    now - *attempted < interval)) {
		(void)pthread_mutex_unlock(&doc->renewal);
		return (0);
	}
	*attempted = now;
	atomic_fetch_add(&doc->attempts, 1);
	return (1);
}

/**
 * shared_document_renewal_end(doc, data, len, expires):
 * Store the new document, to be renewed at ${expires}; or, with ${data} NULL,
 * keep the old one after a failure.
 */
void
shared_document_renewal_end(struct shared_document *doc, const char *data,
    size_t len, time_t expires)
{
	uint64_t next = doc->generation + 1;

	if (data != NULL && len <= doc->size) {
		shared_mutex_lock(&doc->content);
		memcpy(place(doc, next), data, len);
		doc->len[next % 2] = len;
		doc->expires[next % 2] = expires;
		doc->generation = next;
		OPENSSL_cleanse(place(doc, next - 1), doc->size);
		(void)pthread_mutex_unlock(&doc->content);
	}
	(void)pthread_mutex_unlock(&doc->renewal);
}

/**
 * shared_document_free(doc):
 * Unmap the document from this process; NULL is fine.
 */
void
shared_document_free(struct shared_document *doc)
{

	if (doc != NULL)
		(void)munmap(doc, mapped(doc->size));
}
