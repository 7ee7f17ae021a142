#ifndef HTTPD_H_
#define HTTPD_H_

#include <stddef.h>

#include <jansson.h>

/*
 * The HTTP server of the stand-ins (cloud-tasks-emulator, voice-agent):
 * keep-alive, one thread a connection, so that an answer may be held back
 * for as long as a test wants without holding up the others.
 */

struct httpd;
struct httpd_request;

/**
 * httpd_start(address, maxbody, handler, cookie, why, whylen):
 * Listen on ${address}, "host:port" or "[host]:port" where port 0 is the
 * kernel's choice, and call ${handler}(${cookie}, request) for each request
 * that has arrived in full; several threads may do so at once.  The handler
 * answers with exactly one of httpd_reply, httpd_reply_json and httpd_reset.
 * A body of more than ${maxbody} bytes is not kept: httpd_body says so.
 * Return NULL and a sentence at ${why} (${whylen} bytes) on failure.
 */
struct httpd *httpd_start(const char *, size_t,
    void (*)(void *, struct httpd_request *), void *, char *, size_t);

/**
 * httpd_address(httpd):
 * Return the address that is listened on, with the real port; it lives as
 * long as ${httpd}.
 */
const char *httpd_address(const struct httpd *);

/**
 * httpd_stop(httpd):
 * Cut every delay short, answer what has arrived, close, and free ${httpd};
 * NULL is fine.
 */
void httpd_stop(struct httpd *);

/**
 * httpd_method(request), httpd_path(request):
 * Return the method, and the decoded path without the query string.
 */
const char *httpd_method(const struct httpd_request *);
const char *httpd_path(const struct httpd_request *);

/**
 * httpd_query(request, name):
 * Return the decoded value of the query parameter ${name}, or NULL.
 */
const char *httpd_query(const struct httpd_request *, const char *);

/**
 * httpd_queries(request):
 * Return an object of all query parameters, a reference the caller drops.
 */
json_t *httpd_queries(const struct httpd_request *);

/**
 * httpd_header(request, name):
 * Return the value of the header ${name}, or NULL.
 */
const char *httpd_header(const struct httpd_request *, const char *);

/**
 * httpd_headers(request):
 * Return an object of all headers, with lower-case names and those that came
 * more than once joined by ", ", a reference the caller drops.  Bytes that
 * are not UTF-8 are left out, the header with them.
 */
json_t *httpd_headers(const struct httpd_request *);

/**
 * httpd_body(request, len):
 * Return the body with a NUL behind its ${len} bytes, or NULL if it was
 * longer than allowed.
 */
const char *httpd_body(const struct httpd_request *, size_t *);

/**
 * httpd_delay(request, milliseconds):
 * Wait so long, or until httpd_stop is called.
 */
void httpd_delay(const struct httpd_request *, long);

/**
 * httpd_set_header(request, name, value):
 * Put a header into the answer that will be given.  Both are copied.
 */
void httpd_set_header(struct httpd_request *, const char *, const char *);

/**
 * httpd_reply(request, status, type, body, len):
 * Answer with ${len} bytes of ${body}, which are copied, as ${type}.
 */
void httpd_reply(struct httpd_request *, int, const char *, const void *,
    size_t);

/**
 * httpd_reply_json(request, status, json, flags):
 * Answer with ${json}, whose reference is taken, as json_dumps with ${flags}
 * writes it; NULL answers 500.
 */
void httpd_reply_json(struct httpd_request *, int, json_t *, size_t);

/**
 * httpd_reset(request):
 * Reset the connection instead of answering.
 */
void httpd_reset(struct httpd_request *);

#endif /* !HTTPD_H_ */
