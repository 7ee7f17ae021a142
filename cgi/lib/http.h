#ifndef HTTP_H_
#define HTTP_H_

#include <stddef.h>

#include <curl/curl.h>

/*
 * Outgoing HTTP over libcurl, with every default set that a program with
 * secrets wants: http and https only, TLS verified, no redirects, no proxy
 * from the environment, no signals, times and sizes bounded.  A proxy that is
 * configured gets https only: it learns where to, and sees nothing of it.
 * An answer that is no success (2xx) does not repeat the credentials of an
 * Authorization header, in whatever spelling: asterisks stand there.
 *
 * One struct http is one request at a time over a connection that is kept
 * alive.  Use it alone (http_perform), or hand http_easy to a multi handle
 * after http_prepare and call http_done when it is finished.
 */
struct http;

struct http_request {
	const char *method;		/* "GET", "POST", "DELETE" */
	const char *url;
	const char *unix_socket;	/* connect through it, or NULL */
	const char *const *headers;	/* "Name: value", NULL ends; or NULL */
	const char *body;		/* must live until done; or NULL */
	size_t body_len;
	long timeout_ms;		/* for everything; > 0 */
	size_t max_response;		/* bytes of body that are accepted */
	int fresh;			/* over a connection of its own, so
					   that curl never sends it twice */
	int status_only;		/* an answer counts from its status on,
					   even if the body is cut off */
};

/**
 * http_new(proxy):
 * Return a new handle, or NULL.  https to other machines goes through the HTTP
 * proxy ${proxy} (host:port), which must live as long; NULL: directly.
 */
struct http *http_new(const char *);

/**
 * http_prepare(http, request):
 * Make ready to perform ${request}; what it points to, except the headers,
 * must live until the exchange is done.  A header that holds a control
 * character is refused.  Return 0 or -1.
 */
int http_prepare(struct http *, const struct http_request *);

/**
 * http_perform(http):
 * Do what was prepared.  Return 0 if an answer came, whatever its status, or
 * -1 if none came whole: see http_error.
 */
int http_perform(struct http *);

/**
 * http_easy(http):
 * Return the handle for a multi handle; its CURLOPT_PRIVATE is the caller's.
 */
CURL *http_easy(struct http *);

/**
 * http_done(http, result):
 * Take note of the ${result} a multi handle gave.  Return as http_perform.
 */
int http_done(struct http *, CURLcode);

/**
 * http_status(http), http_body(http), http_body_len(http):
 * Return the answer's status (0 if none came), body (never NULL, with a NUL
 * behind it), and the body's length.  They live until the next prepare.
 */
long http_status(const struct http *);
const char *http_body(const struct http *);
size_t http_body_len(const struct http *);

/**
 * http_header(http, name):
 * Return the value of the answer's last header ${name}, or NULL.  It lives
 * until the next call or prepare.
 */
const char *http_header(const struct http *, const char *);

/**
 * http_seconds(http):
 * Return how long the last request took.
 */
double http_seconds(const struct http *);

/**
 * http_error(http):
 * Return what went wrong, in words, when no answer came whole.
 */
const char *http_error(const struct http *);

/**
 * http_was_sent(http):
 * Return non-zero iff some of the request went out, so that the peer may have
 * acted on it even though no answer came.  What a proxy was asked, and TLS'
 * own handshake, are not of the request.
 */
int http_was_sent(const struct http *);

/**
 * http_retry_after(http):
 * Return the seconds that the answer's last Retry-After asks to wait (RFC 9110,
 * 10.2.3: a number or a date), at most five minutes; 0 if the date has passed
 * or the value is neither; -1 if there is no such header.
 */
long http_retry_after(const struct http *);

/**
 * http_wipe(http):
 * Overwrite the answer's body, which held a secret.
 */
void http_wipe(struct http *);

/**
 * http_free(http):
 * Free ${http} and close its connection; NULL is fine.
 */
void http_free(struct http *);

#endif /* !HTTP_H_ */
