#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "failure.h"

/*
 * In the order of enum failure_status.  Where several statuses share an HTTP
 * status, the first one of the table is what that HTTP status stands for.
 */
static const struct {
	const char *name;
	int http;
	int code;
} statuses[] = {
	{ "INVALID_ARGUMENT", 400, 3 },
	{ "FAILED_PRECONDITION", 400, 9 },
	{ "UNAUTHENTICATED", 401, 16 },
	{ "PERMISSION_DENIED", 403, 7 },
	{ "NOT_FOUND", 404, 5 },
	{ "ABORTED", 409, 10 },
	{ "ALREADY_EXISTS", 409, 6 },
	{ "RESOURCE_EXHAUSTED", 429, 8 },
	{ "CANCELLED", 499, 1 },
	{ "INTERNAL", 500, 13 },
	{ "UNIMPLEMENTED", 501, 12 },
	{ "UNAVAILABLE", 503, 14 },
	{ "DEADLINE_EXCEEDED", 504, 4 },
	{ "UNKNOWN", 500, 2 },
};

static int
add_detail(struct failure *failure, json_t *detail)
{

	if (failure->details == NULL)
		failure->details = json_array();
	json_array_append_new(failure->details, detail);

	return (-1);
}

/**
 * failure_set(failure, status, fmt, ...):
 * Fill in ${failure}, which must be zeroed or cleared, and return -1 for the
 * caller to return in its turn.
 */
int
failure_set(struct failure *failure, enum failure_status status,
    const char *fmt, ...)
{
	json_t *probe;
	va_list ap;
	char *p;

	failure->status = status;
	va_start(ap, fmt);
	(void)vsnprintf(failure->message, sizeof(failure->message), fmt, ap);
	va_end(ap);

	/* What was cut within a character could not be written as JSON. */
	if ((probe = json_string(failure->message)) == NULL) {
		for (p = failure->message; *p != '\0'; p++) {
			if ((unsigned char)*p >= 0x80)
				*p = '?';
		}
	}
	json_decref(probe);

	return (-1);
}

/**
 * failure_field(failure, field):
 * Add the detail which says that the ${field} of the request is at fault.
 */
int
failure_field(struct failure *failure, const char *field)
{

	return (add_detail(failure,
	    json_pack("{s:s, s:[{s:s, s:s}]}", "@type",
	    "type.googleapis.com/google.rpc.BadRequest", "fieldViolations",
	    "field", field, "description", failure->message)));
}

/**
 * failure_help(failure, description, url):
 * Add the detail which points to a page of the documentation.
 */
int
failure_help(struct failure *failure, const char *description, const char *url)
{

	return (add_detail(failure,
	    json_pack("{s:s, s:[{s:s, s:s}]}", "@type",
	    "type.googleapis.com/google.rpc.Help", "links", "description",
	    description, "url", url)));
}

/**
 * failure_clear(failure):
 * Release what ${failure} holds and zero it.
 */
void
failure_clear(struct failure *failure)
{

	json_decref(failure->details);
	memset(failure, 0, sizeof(*failure));
}

/**
 * failure_http(failure):
 * Return the HTTP status that goes with ${failure}.
 */
int
failure_http(const struct failure *failure)
{

	return (statuses[failure->status].http);
}

/**
 * failure_json(failure):
 * Return the body, a reference the caller drops, or NULL when memory is
 * short.
 */
json_t *
failure_json(const struct failure *failure)
{

	return (json_pack("{s:{s:i, s:s, s:s, s:O*}}", "error", "code",
	    failure_http(failure), "message", failure->message, "status",
	    failure_name(failure->status), "details", failure->details));
}

/**
 * failure_of_http(http):
 * Return the status which stands for the HTTP status ${http}.
 */
enum failure_status
failure_of_http(int http)
{
	size_t i;

	for (i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
		if (statuses[i].http == http)
			return ((enum failure_status)i);
	}

	return (FAILURE_UNKNOWN);
}

/**
 * failure_code(status):
 * Return the number google.rpc.Code gives to ${status}.
 */
int
failure_code(enum failure_status status)
{

	return (statuses[status].code);
}

/**
 * failure_name(status):
 * Return the name google.rpc.Code gives to ${status}.
 */
const char *
failure_name(enum failure_status status)
{

	return (statuses[status].name);
}
