#ifndef CALLS_H_
#define CALLS_H_

#include <stddef.h>

#include <jansson.h>

/*
 * The calls that were asked for, in the order in which they were.  Each is
 * an object, in the file one a line:
 *
 * {"callId":"call-1","time":"2026-11-23T11:00:00.123Z","method":"POST",
 *  "path":"/calls","headers":{...},"body":"...","idempotencyKey":"...",
 *  "duplicate":false,"status":200,"started":true}
 *
 * "duplicate" says whether the key was seen before; "status" is what was
 * answered, null where the connection was reset; "started" says whether the
 * call began (2xx, also where the answer was lost).  A call with the key of
 * one that began gets the callId of that one.
 */

struct calls;

/**
 * calls_open(path, why, whylen):
 * Return the calls in the file ${path}, which is made if it is not there; or
 * none, in memory only, where ${path} is NULL.  Return NULL and a sentence at
 * ${why} (${whylen} bytes) on failure.
 */
struct calls *calls_open(const char *, char *, size_t);

/**
 * calls_free(calls):
 * Free ${calls}, not the file; NULL is fine.
 */
void calls_free(struct calls *);

/**
 * calls_add(calls, call):
 * Fill in callId, time and duplicate of ${call}, whose reference is taken,
 * and keep it.  Return it, a reference the caller drops, or NULL if it could
 * not be kept.
 */
json_t *calls_add(struct calls *, json_t *);

/**
 * calls_list(calls, booking):
 * Return an array of the calls whose body is JSON with the bookingId
 * ${booking}, or of all if that is NULL; a reference the caller drops.
 */
json_t *calls_list(struct calls *, const char *);

/**
 * calls_clear(calls):
 * Forget all calls, also in the file.  Return 0 or -1.
 */
int calls_clear(struct calls *);

#endif /* !CALLS_H_ */
