#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "form.h"
#include "log.h"
#include "utf8.h"

#include "request.h"

static const struct {
	int status;
	const char *name;	/* the end of the type */
	const char *title;
} problems[] = {
	[PROBLEM_NOT_JSON] = { 400, "not-json",
	    "The body is not a JSON object" },
	[PROBLEM_INVALID] = { 400, "invalid", "A value is missing or wrong" },
	[PROBLEM_NOT_A_UUID] = { 400, "not-a-uuid",
	    "The booking id is not a UUID" },
	[PROBLEM_UNAUTHORIZED] = { 401, "unauthorized",
	    "The caller is not known" },
	[PROBLEM_NOT_FOUND] = { 404, "not-found", "There is no such resource" },
	[PROBLEM_NO_SUCH_BOOKING] = { 404, "no-such-booking",
	    "There is no such booking" },
	[PROBLEM_METHOD_NOT_ALLOWED] = { 405, "method-not-allowed",
	    "The method is not allowed here" },
	[PROBLEM_CONFLICT] = { 409, "conflict",
	    "The booking is not in a state for this" },
	[PROBLEM_TOO_LARGE] = { 413, "too-large", "The body is too large" },
	[PROBLEM_MEDIA_TYPE] = { 415, "media-type", "The body must be JSON" },
	[PROBLEM_INTERNAL] = { 500, "internal", "Something is wrong here" },
	[PROBLEM_NOT_STARTED] = { 500, "not-started",
	    "This call could not be started" },
	[PROBLEM_UNAVAILABLE] = { 503, "unavailable", "Try again later" },
	[PROBLEM_OUT_OF_SERVICE] = { 503, "out-of-service",
	    "Nothing can be done for any booking now" },
};

static const char *
param_or_empty(FCGX_Request *fcgx, const char *name)
{
	const char *value = FCGX_GetParam(name, fcgx->envp);

	return (value != NULL ? value : "");
}

/**
 * request_init(request, fcgx):
 * Look at what ${fcgx} accepted.
 */
void
request_init(struct request *request, FCGX_Request *fcgx)
{

	request->fcgx = fcgx;
	request->method = param_or_empty(fcgx, "REQUEST_METHOD");
	request->path = param_or_empty(fcgx, "DOCUMENT_URI");
	request->query = param_or_empty(fcgx, "QUERY_STRING");
	request->content_type = param_or_empty(fcgx, "CONTENT_TYPE");
	request->id = FCGX_GetParam("REQUEST_ID", fcgx->envp);
	request->answered = 0;
}

/**
 * request_param(request, name):
 * Return the FastCGI parameter ${name}, such as "HTTP_AUTHORIZATION", or
 * NULL.
 */
const char *
request_param(const struct request *request, const char *name)
{

	return (FCGX_GetParam(name, request->fcgx->envp));
}

/**
 * request_bearer(request):
 * Return the token of "Authorization: Bearer token", or NULL.
 */
const char *
request_bearer(const struct request *request)
{
	const char *value = request_param(request, "HTTP_AUTHORIZATION");

	if (value == NULL || strncasecmp(value, "Bearer ", 7) != 0)
		return (NULL);
	for (value += 7; *value == ' '; value++)
		continue;
	return (*value != '\0' ? value : NULL);
}

/**
 * request_operator(request, by):
 * Set ${by} to the header X-Operator, which says who asks, or to NULL.  Return
 * 0; or -1, when the request has been answered, because it is no printable
 * ASCII text of at most 64 bytes.
 */
int
request_operator(struct request *request, const char **by)
{
	const char *value = request_param(request, "HTTP_X_OPERATOR");

	*by = value != NULL && *value != '\0' ? value : NULL;
	if (*by == NULL || request_is_operator(*by))
		return (0);
	request_problem(request, PROBLEM_INVALID, NULL, "X-Operator must be "
	    "printable ASCII, of at most 64 bytes");
	return (-1);
}

/**
 * request_is_operator(text):
 * Return non-zero iff ${text} can be the name of an operator: printable ASCII,
 * at most 64 bytes.
 */
int
request_is_operator(const char *text)
{
	const char *p;

	for (p = text; *p != '\0'; p++) {
		if (*p < ' ' || *p > '~' || p - text >= 64)
			return (0);
	}
	return (1);
}

/**
 * request_is_own(request):
 * Return non-zero iff ${request} does not come from a page of another site.  A
 * browser says from which page a request comes; other programs do not.
 */
int
request_is_own(const struct request *request)
{
	const char *site = request_param(request, "HTTP_SEC_FETCH_SITE");
	const char *origin = request_param(request, "HTTP_ORIGIN");
	const char *host = request_param(request, "HTTP_HOST");

	if (site != NULL)
		return (strcmp(site, "same-origin") == 0 ||
		    strcmp(site, "none") == 0);

	/* A browser from before 2023. */
	if (origin == NULL)
		return (1);
	origin = strstr(origin, "://");
	return (origin != NULL && host != NULL &&
	    strcmp(origin + 3, host) == 0);
}

/* Is ${type} the one that is wanted, with or without parameters? */
static int
is_type(const char *type, const char *want)
{
	size_t len = strlen(want);

	if (strncasecmp(type, want, len) != 0)
		return (0);
	while (type[len] == ' ' || type[len] == '\t')
		len++;
	return (type[len] == '\0' || type[len] == ';');
}

/* Return the length that was announced, -1 for none, -2 for nonsense. */
static long
content_length(const struct request *request)
{
	const char *s = request_param(request, "CONTENT_LENGTH");
	long n = 0;

	/* For a request without a body nginx sends it, empty. */
	if (s == NULL || *s == '\0')
		return (-1);
	for (; *s >= '0' && *s <= '9'; s++) {
		n = n * 10 + (*s - '0');
		if (n > REQUEST_MAX_BODY)
			n = REQUEST_MAX_BODY + 1;
	}
	return (*s == '\0' ? n : -2);
}

/* Read the whole body, or answer and return NULL. */
static char *
read_body(struct request *request, size_t *len)
{
	long want = content_length(request);
	char *body;
	int n;

	if (want == -2) {
		request_problem(request, PROBLEM_INVALID, NULL,
		    "Content-Length is not a number");
		return (NULL);
	}
	if (want > REQUEST_MAX_BODY) {
		request_problem(request, PROBLEM_TOO_LARGE, NULL,
		    "the body may have at most %d bytes", REQUEST_MAX_BODY);
		return (NULL);
	}
	if (want <= 0) {
		request_problem(request, PROBLEM_NOT_JSON, NULL,
		    "the request has no body");
		return (NULL);
	}

	if ((body = malloc((size_t)want)) == NULL) {
		request_unavailable(request, PROBLEM_UNAVAILABLE, 1,
		    "out of memory");
		return (NULL);
	}
	n = FCGX_GetStr(body, (int)want, request->fcgx->in);
	if (n != want || FCGX_GetError(request->fcgx->in) != 0) {
		free(body);
		request_problem(request, PROBLEM_INVALID, NULL,
		    "the body ended before its Content-Length");
		return (NULL);
	}
	*len = (size_t)want;
	return (body);
}

/**
 * request_json(request):
 * Read the body and parse it as a JSON object of unique names, as the content
 * type must say.  Return a reference that the caller drops; or NULL, when
 * the request has been answered with what is wrong with it.
 */
json_t *
request_json(struct request *request)
{
	char *body, why[256];
	json_t *json;
	size_t len;

	if (!is_type(request->content_type, "application/json")) {
		request_problem(request, PROBLEM_MEDIA_TYPE, NULL,
		    "send the body with Content-Type: application/json");
		return (NULL);
	}
	if ((body = read_body(request, &len)) == NULL)
		return (NULL);
	json = request_parse_json(body, len, why, sizeof(why));
	free(body);
	if (json == NULL)
		request_problem(request, PROBLEM_NOT_JSON, NULL, "%s", why);
	return (json);
}

/**
 * request_parse_json(buf, len, why, whylen):
 * Parse ${len} bytes as a JSON object of unique names.  Return a reference
 * that the caller drops, or NULL and one line in ${why}.
 */
json_t *
request_parse_json(const char *buf, size_t len, char *why, size_t whylen)
{
	json_error_t error;
	json_t *json;

	json = json_loadb(buf, len, JSON_REJECT_DUPLICATES, &error);
	if (json == NULL) {
		(void)snprintf(why, whylen, "line %d, column %d: %s",
		    error.line, error.column, error.text);
		return (NULL);
	}
	if (!json_is_object(json)) {
		json_decref(json);
		(void)snprintf(why, whylen, "the body is JSON, but not an "
		    "object {...}");
		return (NULL);
	}
	return (json);
}

/**
 * request_is_form(request):
 * Return non-zero iff the content type says that the body is a form's.
 */
int
request_is_form(const struct request *request)
{

	return (is_type(request->content_type,
	    "application/x-www-form-urlencoded"));
}

/**
 * request_form(request):
 * Read the body as the fields of a form (form.h), as the content type must
 * say.  Return an object of texts that the caller drops; or NULL, when the
 * request has been answered with what is wrong with it.
 */
json_t *
request_form(struct request *request)
{
	json_t *fields;
	char *body;
	size_t len;

	if (!request_is_form(request)) {
		request_problem(request, PROBLEM_MEDIA_TYPE, NULL, "send the "
		    "body with Content-Type: "
		    "application/x-www-form-urlencoded");
		return (NULL);
	}
	if ((body = read_body(request, &len)) == NULL)
		return (NULL);
	fields = form_parse(body, len);
	free(body);
	if (fields == NULL)
		request_problem(request, PROBLEM_INVALID, NULL, "the body is "
		    "not what a form sends");
	return (fields);
}

/**
 * request_check_texts(request, json, names):
 * Each member of ${json} that ${names} (NULL at the end) names must be a text
 * or null, if it is there.  Return 0; or -1, when the request has been
 * answered.
 */
int
request_check_texts(struct request *request, const json_t *json,
    const char *const *names)
{
	const json_t *value;

	for (; *names != NULL; names++) {
		value = json_object_get(json, *names);
		if (value == NULL || json_is_null(value) ||
		    json_is_string(value))
			continue;
		request_problem(request, PROBLEM_INVALID, NULL,
		    "%s must be a string or null", *names);
		return (-1);
	}
	return (0);
}

/**
 * request_check_names(request, json, names):
 * Each member of ${json} must be one of ${names} (NULL at the end), so that
 * one which is misspelt is not passed over.  Return 0; or -1, when the request
 * has been answered.
 */
int
request_check_names(struct request *request, const json_t *json,
    const char *const *names)
{
	const char *const *known;
	const char *name;
	void *i;

	for (i = json_object_iter((json_t *)(uintptr_t)json); i != NULL;
	    i = json_object_iter_next((json_t *)(uintptr_t)json, i)) {
		name = json_object_iter_key(i);
		for (known = names; *known != NULL; known++) {
			if (strcmp(*known, name) == 0)
				break;
		}
		if (*known != NULL)
			continue;
		request_problem(request, PROBLEM_INVALID, NULL,
		    "\"%.60s\" is not known here", name);
		return (-1);
	}
	return (0);
}

/* The reason phrase of ${status} (RFC 9110, section 15). */
static const char *
phrase(int status)
{
	static const struct {
		int status;
		const char *phrase;
	} phrases[] = {
		{ 200, "OK" }, { 202, "Accepted" }, { 400, "Bad Request" },
		{ 401, "Unauthorized" }, { 403, "Forbidden" },
		{ 404, "Not Found" },
		{ 405, "Method Not Allowed" }, { 409, "Conflict" },
		{ 413, "Content Too Large" },
		{ 415, "Unsupported Media Type" },
		{ 500, "Internal Server Error" },
		{ 503, "Service Unavailable" },
	};
	size_t i;

	for (i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
		if (phrases[i].status == status)
			return (phrases[i].phrase);
	}
	return ("Unknown");
}

/**
 * request_reply_text(request, status, type, header, text):
 * Answer with ${status} and ${text}, which is of the content type ${type}, and
 * with ${header}, a whole further header line, several with "\r\n" between
 * them, or NULL.
 */
void
request_reply_text(struct request *request, int status, const char *type,
    const char *header, const char *text)
{
	FCGX_Stream *out = request->fcgx->out;

	/* A client that is gone cannot be helped. */
	request->answered = status;
	(void)FCGX_FPrintF(out, "Status: %d %s\r\nContent-Type: %s\r\n"
	    "Cache-Control: no-store\r\n", status, phrase(status), type);
	if (header != NULL) {
		(void)FCGX_PutS(header, out);
		(void)FCGX_PutS("\r\n", out);
	}
	(void)FCGX_PutS("\r\n", out);
	if (strcmp(request->method, "HEAD") != 0) {
		(void)FCGX_PutS(text, out);
		(void)FCGX_PutS("\n", out);
	}
}

/* Write an answer that is JSON. */
static void
answer(struct request *request, int status, const char *type,
    const char *header, json_t *body)
{
	char *text = body != NULL ? json_dumps(body, JSON_COMPACT) : NULL;

	json_decref(body);
	if (text == NULL) {
		log_error(NULL, "an answer could not be written as JSON");
		request->answered = status;
		(void)FCGX_PutS("Status: 500 Internal Server Error\r\n\r\n",
		    request->fcgx->out);
		return;
	}
	request_reply_text(request, status, type, header, text);
	free(text);
}

/**
 * request_reply(request, status, body):
 * Answer with ${status} and ${body}, whose reference is taken over.
 */
void
request_reply(struct request *request, int status, json_t *body)
{

	answer(request, status, "application/json", NULL, body);
}

/**
 * request_problem_document(problem, detail):
 * Return the document of ${problem} with ${detail}, which is UTF-8, as a new
 * reference; NULL when memory is short.
 */
json_t *
request_problem_document(enum request_problem problem, const char *detail)
{
	char type[64];

	(void)snprintf(type, sizeof(type), "urn:followup-scheduler:%s",
	    problems[problem].name);
	return (json_pack("{s:s, s:s, s:i, s:s}", "type", type,
	    "title", problems[problem].title,
	    "status", problems[problem].status, "detail", detail));
}

static void vproblem(struct request *, enum request_problem, const char *,
    const char *, va_list) __attribute__((format(printf, 4, 0)));

static void
vproblem(struct request *request, enum request_problem problem,
    const char *header, const char *fmt, va_list ap)
{
	char detail[512];

	(void)vsnprintf(detail, sizeof(detail), fmt, ap);

	/* What a detail quotes need not be UTF-8; the answer must be. */
	utf8_clean(detail);
	answer(request, problems[problem].status, "application/problem+json",
	    header, request_problem_document(problem, detail));
}

/**
 * request_problem(request, problem, header, detail, ...):
 * Answer with ${problem}; ${header} is a whole further header line such as
 * "Allow: POST", or NULL, and ${detail}, a format, says what to do.
 */
void
request_problem(struct request *request, enum request_problem problem,
    const char *header, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vproblem(request, problem, header, fmt, ap);
	va_end(ap);
}

#define RETRY_AFTER_LEN	48

/* Write the header line Retry-After: ${seconds}; 0 would be no wait at all. */
static const char *
retry_after(long seconds, char line[RETRY_AFTER_LEN])
{

	(void)snprintf(line, RETRY_AFTER_LEN, "Retry-After: %ld",
	    seconds > 0 ? seconds : 1);
	return (line);
}

/**
 * request_unavailable(request, problem, seconds, detail, ...):
 * Answer with ${problem}, which is one that passes (status 500 or 503), and
 * Retry-After: ${seconds}.
 */
void
request_unavailable(struct request *request, enum request_problem problem,
    long seconds, const char *fmt, ...)
{
	char line[RETRY_AFTER_LEN];
	va_list ap;

	va_start(ap, fmt);
	vproblem(request, problem, retry_after(seconds, line), fmt, ap);
	va_end(ap);
}

/**
 * request_unavailable_document(request, seconds, document):
 * Answer with status 503, ${document}, a problem document whose reference is
 * taken over, and Retry-After: ${seconds}.
 */
void
request_unavailable_document(struct request *request, long seconds,
    json_t *document)
{
	char line[RETRY_AFTER_LEN];

	answer(request, 503, "application/problem+json",
	    retry_after(seconds, line), document);
}
