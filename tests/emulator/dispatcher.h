#ifndef DISPATCHER_H_
#define DISPATCHER_H_

#include <stddef.h>

#include "oidc.h"
#include "store.h"

/*
 * The thread that sends the tasks of a store when they are due.
 */

struct dispatcher;

/**
 * dispatcher_start(store, oidc, why, whylen):
 * Begin to dispatch what is due in ${store}, with tokens from ${oidc}.  Both
 * must outlive the dispatcher.  Return NULL and a sentence at ${why}
 * (${whylen} bytes) on failure.
 */
struct dispatcher *dispatcher_start(struct store *, const struct oidc *,
    char *, size_t);

/**
 * dispatcher_stop(dispatcher):
 * Abandon the dispatches that are under way, end the thread and free
 * ${dispatcher}; NULL is fine.
 */
void dispatcher_stop(struct dispatcher *);

#endif /* !DISPATCHER_H_ */
