#ifndef SHARED_DOCUMENT_H_
#define SHARED_DOCUMENT_H_

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
struct shared_document;

/**
 * shared_document_new(size):
 * Return a shared document of at most ${size} bytes, still empty, or NULL.
 */
struct shared_document *shared_document_new(size_t);

/**
 * shared_document_generation(doc):
 * Return a number that grows with each new document; 0 means there is none.
 */
uint64_t shared_document_generation(struct shared_document *);

/**
 * shared_document_expires(doc):
 * Return when the document should be renewed; 0 if there is none.
 */
time_t shared_document_expires(struct shared_document *);

/**
 * shared_document_copy(doc, len, generation):
 * Return a copy of the document (with a NUL behind its ${len} bytes) that the
 * caller frees, and its ${generation}; NULL if there is none.
 */
char *shared_document_copy(struct shared_document *, size_t *, uint64_t *);

/* Why a document is renewed: its time has come, or it was found wanting. */
enum shared_document_reason { DOCUMENT_EXPIRED, DOCUMENT_WANTING };

/**
 * shared_document_renewal_begin(doc, reason, wait, now, interval):
 * Try to become the one that renews the document.  If another process is
 * doing so, wait for it to end if ${wait} is set.  Return 1 if the caller
 * shall renew and then call shared_document_renewal_end; 0 if not: another one
 * just did or is doing it, or the last attempt for the same ${reason}, good or
 * bad, began less than ${interval} seconds before ${now}.  The attempt is
 * stamped before it is made, so that a slow source is not asked by everybody.
 */
int shared_document_renewal_begin(struct shared_document *,
    enum shared_document_reason, int, time_t, time_t);

/**
 * shared_document_renewal_end(doc, data, len, expires):
 * Store the new document, to be renewed at ${expires}; or, with ${data} NULL,
 * keep the old one after a failure.
 */
void shared_document_renewal_end(struct shared_document *, const char *, size_t,
    time_t);

/**
 * shared_document_free(doc):
 * Unmap the document from this process; NULL is fine.
 */
void shared_document_free(struct shared_document *);

#endif /* !SHARED_DOCUMENT_H_ */
