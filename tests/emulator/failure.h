#ifndef FAILURE_H_
#define FAILURE_H_

#include <jansson.h>

/*
 * Why a request failed, and the body with which Google's front end says so:
 *
 * {"error":{"code":404,"message":"...","status":"NOT_FOUND","details":[]}}
 */

enum failure_status {
	FAILURE_INVALID_ARGUMENT,
	FAILURE_FAILED_PRECONDITION,
	FAILURE_UNAUTHENTICATED,
	FAILURE_PERMISSION_DENIED,
	FAILURE_NOT_FOUND,
	FAILURE_ABORTED,
	FAILURE_ALREADY_EXISTS,
	FAILURE_RESOURCE_EXHAUSTED,
	FAILURE_CANCELLED,
	FAILURE_INTERNAL,
	FAILURE_UNIMPLEMENTED,
	FAILURE_UNAVAILABLE,
	FAILURE_DEADLINE_EXCEEDED,
	FAILURE_UNKNOWN
};

struct failure {
	enum failure_status status;
	char message[2048];
	json_t *details;	/* an array, or NULL for none */
};

/**
 * failure_set(failure, status, fmt, ...):
 * Fill in ${failure}, which must be zeroed or cleared, and return -1 for the
 * caller to return in its turn.
 */
int failure_set(struct failure *, enum failure_status, const char *, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * failure_field(failure, field):
 * Add the detail which says that the ${field} of the request is at fault.
 */
int failure_field(struct failure *, const char *);

/**
 * failure_help(failure, description, url):
 * Add the detail which points to a page of the documentation.
 */
int failure_help(struct failure *, const char *, const char *);

/**
 * failure_clear(failure):
 * Release what ${failure} holds and zero it.
 */
void failure_clear(struct failure *);

/**
 * failure_http(failure):
 * Return the HTTP status that goes with ${failure}.
 */
int failure_http(const struct failure *);

/**
 * failure_json(failure):
 * Return the body, a reference the caller drops, or NULL when memory is
 * short.
 */
json_t *failure_json(const struct failure *);

/**
 * failure_of_http(http):
 * Return the status which stands for the HTTP status ${http}.
 */
enum failure_status failure_of_http(int);

/**
 * failure_code(status):
 * Return the number google.rpc.Code gives to ${status}.
 */
int failure_code(enum failure_status);

/**
 * failure_name(status):
 * Return the name google.rpc.Code gives to ${status}.
 */
const char *failure_name(enum failure_status);

#endif /* !FAILURE_H_ */
