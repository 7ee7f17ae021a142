#ifndef CALLBACK_H_
#define CALLBACK_H_

#include <curl/curl.h>

#include "oidc.h"
#include "schedule.h"

/*
 * One dispatch as the HTTP request that Cloud Tasks makes of it:
 *
 * POST /bookings/.../execute-followup HTTP/1.1
 * User-Agent: Google-Cloud-Tasks
 * X-CloudTasks-QueueName: follow-up-voag-calls
 * X-CloudTasks-TaskName: followup-...
 * X-CloudTasks-TaskRetryCount: 1
 * X-CloudTasks-TaskExecutionCount: 0
 * X-CloudTasks-TaskETA: 1795435200.123456
 * X-CloudTasks-TaskPreviousResponse: 503
 * X-CloudTasks-TaskRetryReason:
 * Authorization: Bearer ...
 *
 * and the task's own headers.
 */

struct callback;

/**
 * callback_new(dispatch, oidc):
 * Return the request for ${dispatch}, which must outlive it, with a token of
 * ${oidc} if it asks for one; or NULL.
 */
struct callback *callback_new(const struct dispatch *, const struct oidc *);

/**
 * callback_handle(callback):
 * Return the transfer; its CURLOPT_PRIVATE is free for the caller.
 */
CURL *callback_handle(const struct callback *);

/**
 * callback_outcome(callback, result, outcome):
 * Say in ${outcome} how the transfer went that ended with ${result}.  The
 * text lives as long as ${callback}.
 */
void callback_outcome(struct callback *, CURLcode, struct outcome *);

/**
 * callback_free(callback):
 * Free ${callback}, which must be in no multi handle; NULL is fine.
 */
void callback_free(struct callback *);

#endif /* !CALLBACK_H_ */
