#ifndef VALIDATE_H_
#define VALIDATE_H_

#include <stdint.h>

#include <jansson.h>

#include "failure.h"
#include "resource.h"

/*
 * What the service demands of tasks and queues beyond the types of their
 * fields, in its own words where they are known.
 */

/**
 * validate_task(body, queue, now, horizon, view, failure):
 * Read the body of tasks:create for the queue named ${queue}, at the time
 * ${now}, with tasks allowed up to ${horizon} ahead.  Return the task, which
 * the caller owns, in no list and perhaps without a name, and how it wants to
 * be answered at ${view}; or NULL and the ${failure}.
 */
struct task *validate_task(const json_t *, const char *, int64_t, int64_t,
    enum resource_view *, struct failure *);

/**
 * validate_view(text, view, failure):
 * Read a responseView, NULL for none, into ${view}.  Return 0 or -1.
 */
int validate_view(const char *, enum resource_view *, struct failure *);

/**
 * validate_run(body, view, failure):
 * Read the body of tasks:run, which may set the ${view}.  Return 0 or -1.
 */
int validate_run(const json_t *, enum resource_view *, struct failure *);

/**
 * validate_nothing(body, failure):
 * Read a body that must be {}.  Return 0 or -1.
 */
int validate_nothing(const json_t *, struct failure *);

/**
 * validate_queue(body, mask, config, name, failure):
 * Read a Queue and change in ${config} what it sets: with an update ${mask}
 * what that lists, absent fields going back to the default; without one
 * (NULL) what is there.  Set ${name} to its name, a string the caller frees,
 * or to NULL where it has none.  Return 0, or -1 and the ${failure}, and then
 * ${config} is undefined.
 */
int validate_queue(const json_t *, const char *, struct queue_config *,
    char **, struct failure *);

#endif /* !VALIDATE_H_ */
