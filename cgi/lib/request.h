#ifndef REQUEST_H_
#define REQUEST_H_

#include <stddef.h>

#include <fcgiapp.h>
#include <jansson.h>

/*
 * A FastCGI request and its answer, which is JSON, or a text such as a page.
 * Errors are problem documents (RFC 9457).
 */

/* The longest body that is accepted, as in the nginx files. */
#define REQUEST_MAX_BODY	65536

struct request {
	FCGX_Request *fcgx;
	const char *method;		/* never NULL */
	const char *path;		/* normalized by nginx; never NULL */
	const char *query;		/* without '?'; never NULL */
	const char *content_type;	/* never NULL */
	const char *id;			/* of the request, for the log */
	int answered;			/* the status once answered, or 0 */
};

/**
 * request_init(request, fcgx):
 * Look at what ${fcgx} accepted.
 */
void request_init(struct request *, FCGX_Request *);

/**
 * request_param(request, name):
 * Return the FastCGI parameter ${name}, such as "HTTP_AUTHORIZATION", or
 * NULL.
 */
const char *request_param(const struct request *, const char *);

/**
 * request_bearer(request):
 * Return the token of "Authorization: Bearer token", or NULL.
 */
const char *request_bearer(const struct request *);

/**
 * request_operator(request, by):
 * Set ${by} to the header X-Operator, which says who asks, or to NULL.  Return
 * 0; or -1, when the request has been answered, because it is no printable
 * ASCII text of at most 64 bytes.
 */
int request_operator(struct request *, const char **);

/**
 * request_is_operator(text):
 * Return non-zero iff ${text} can be the name of an operator: printable ASCII,
 * at most 64 bytes.
 */
int request_is_operator(const char *);

/**
 * request_is_own(request):
 * Return non-zero iff ${request} does not come from a page of another site.  A
 * browser says from which page a request comes; other programs do not.
 */
int request_is_own(const struct request *);

/**
 * request_json(request):
 * Read the body and parse it as a JSON object of unique names, as the content
 * type must say.  Return a reference that the caller drops; or NULL, when
 * the request has been answered with what is wrong with it.
 */
json_t *request_json(struct request *);

/**
 * request_parse_json(buf, len, why, whylen):
 * Parse ${len} bytes as a JSON object of unique names.  Return a reference
 * that the caller drops, or NULL and one line in ${why}.
 */
json_t *request_parse_json(const char *, size_t, char *, size_t);

/**
 * request_check_texts(request, json, names):
 * Each member of ${json} that ${names} (NULL at the end) names must be a text
 * or null, if it is there.  Return 0; or -1, when the request has been
 * answered.
 */
int request_check_texts(struct request *, const json_t *,
    const char *const *);

/**
 * request_check_names(request, json, names):
 * Each member of ${json} must be one of ${names} (NULL at the end), so that
 * one which is misspelt is not passed over.  Return 0; or -1, when the request
 * has been answered.
 */
int request_check_names(struct request *, const json_t *,
    const char *const *);

/**
 * request_form(request):
 * Read the body as the fields of a form (form.h), as the content type must
 * say.  Return an object of texts that the caller drops; or NULL, when the
 * request has been answered with what is wrong with it.
 */
json_t *request_form(struct request *);

/**
 * request_is_form(request):
 * Return non-zero iff the content type says that the body is a form's.
 */
int request_is_form(const struct request *);

/**
 * request_reply(request, status, body):
 * Answer with ${status} and ${body}, whose reference is taken over.
 */
void request_reply(struct request *, int, json_t *);

/**
 * request_reply_text(request, status, type, header, text):
 * Answer with ${status} and ${text}, which is of the content type ${type}, and
 * with ${header}, a whole further header line, several with "\r\n" between
 * them, or NULL.
 */
void request_reply_text(struct request *, int, const char *, const char *,
    const char *);

/*
 * What can be wrong.  Each kind has a stable type, urn:followup-scheduler:
 * and its name, a status and a title.
 */
enum request_problem {
	PROBLEM_NOT_JSON,		/* 400 */
	PROBLEM_INVALID,		/* 400 */
	PROBLEM_NOT_A_UUID,		/* 400 */
	PROBLEM_UNAUTHORIZED,		/* 401 */
	PROBLEM_NOT_FOUND,		/* 404 */
	PROBLEM_NO_SUCH_BOOKING,	/* 404 */
	PROBLEM_METHOD_NOT_ALLOWED,	/* 405 */
	PROBLEM_CONFLICT,		/* 409 */
	PROBLEM_TOO_LARGE,		/* 413 */
	PROBLEM_MEDIA_TYPE,		/* 415 */
	PROBLEM_INTERNAL,		/* 500 */
	PROBLEM_NOT_STARTED,		/* 500: this call, just now */
	PROBLEM_UNAVAILABLE,		/* 503: this booking, just now */
	PROBLEM_OUT_OF_SERVICE,		/* 503: all bookings alike */
};

/**
 * request_problem_document(problem, detail):
 * Return the document of ${problem} with ${detail}, which is UTF-8, as a new
 * reference; NULL when memory is short.
 */
json_t *request_problem_document(enum request_problem, const char *);

/**
 * request_problem(request, problem, header, detail, ...):
 * Answer with ${problem}; ${header} is a whole further header line such as
 * "Allow: POST", or NULL, and ${detail}, a format, says what to do.
 */
void request_problem(struct request *, enum request_problem, const char *,
    const char *, ...) __attribute__((format(printf, 4, 5)));

/**
 * request_unavailable(request, problem, seconds, detail, ...):
 * Answer with ${problem}, which is one that passes (status 500 or 503), and
 * Retry-After: ${seconds}.
 */
void request_unavailable(struct request *, enum request_problem, long,
    const char *, ...) __attribute__((format(printf, 4, 5)));

/**
 * request_unavailable_document(request, seconds, document):
 * Answer with status 503, ${document}, a problem document whose reference is
 * taken over, and Retry-After: ${seconds}.
 */
void request_unavailable_document(struct request *, long, json_t *);

#endif /* !REQUEST_H_ */
