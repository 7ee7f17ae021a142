#ifndef DISPATCH_REQUEST_H_
#define DISPATCH_REQUEST_H_

#include <curl/curl.h>

#include "dispatch.h"
#include "oidc.h"

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

struct dispatch_request;

/**
 * dispatch_request_new(dispatch, oidc):
 * Return the request for ${dispatch}, which must outlive it, with a token of
 * ${oidc} if it asks for one; or NULL.
 */
struct dispatch_request *dispatch_request_new(const struct dispatch *,
    const struct oidc *);

/**
 * dispatch_request_handle(request):
 * Return the transfer; its CURLOPT_PRIVATE is free for the caller.
 */
CURL *dispatch_request_handle(const struct dispatch_request *);

/**
 * dispatch_request_outcome(request, result, outcome):
 * Say in ${outcome} how the transfer went that ended with ${result}.  The
 * text lives as long as ${request}.
 */
void dispatch_request_outcome(struct dispatch_request *, CURLcode,
    struct outcome *);

/**
 * dispatch_request_free(request):
 * Free ${request}, which must be in no multi handle; NULL is fine.
 */
void dispatch_request_free(struct dispatch_request *);

#endif /* !DISPATCH_REQUEST_H_ */
