#ifndef TOKEN_REQUEST_H_
#define TOKEN_REQUEST_H_

#include <stddef.h>

#include <jansson.h>

struct http;
struct http_request;

/*
 * Requests to token endpoints, and their parts.  Everything here is a secret
 * and is wiped.
 */

/**
 * token_request_send(http, request, from, why, whylen):
 * Send ${request} (its timeout and bound are set here) to the one called
 * ${from} in messages; after 408, 429, 5xx or no answer again, three times in
 * all.  Return 0 when the answer is 200; otherwise -1 and one line in ${why}.
 */
int token_request_send(struct http *, const struct http_request *,
    const char *, char *, size_t);

/**
 * token_request_perform(http, request, from, why, whylen):
 * Likewise, and return the answer as a JSON object that the caller frees; the
 * answer's text is wiped.
 */
json_t *token_request_perform(struct http *, const struct http_request *,
    const char *, char *, size_t);

/* A form (application/x-www-form-urlencoded) in the making. */
struct token_form {
	char *text;		/* NULL when memory was short */
};

/**
 * token_form_begin(form), token_form_add(form, name, value):
 * Begin ${form}; add ${name}=${value}, percent-encoded.
 */
void token_form_begin(struct token_form *);
void token_form_add(struct token_form *, const char *, const char *);

/**
 * token_form_end(form, text, len):
 * Set ${text} and ${len} to the whole form, which lives until it is freed.
 * Return 0, or -1 when memory was short.
 */
int token_form_end(struct token_form *, const char **, size_t *);

/**
 * token_form_free(form):
 * Wipe and free ${form}.
 */
void token_form_free(struct token_form *);

/* Header lines made of a JSON object of texts. */
#define TOKEN_HEADERS_MAX	8
struct token_headers {
	const char *list[TOKEN_HEADERS_MAX + 1];
	char *lines[TOKEN_HEADERS_MAX];
	size_t n;
};

/**
 * token_headers_from(headers, object):
 * Fill ${headers} from ${object}, which may be NULL.  Return 0, or -1 if it
 * is not an object of a few texts.  To be freed either way.
 */
int token_headers_from(struct token_headers *, json_t *);

/**
 * token_headers_free(headers):
 * Wipe and free the lines.
 */
void token_headers_free(struct token_headers *);

/**
 * token_basic_authorization(id, secret):
 * Return the header line of HTTP Basic authentication (RFC 7617), to be given
 * to secret_free; NULL when memory is short.
 */
char *token_basic_authorization(const char *, const char *);

#endif /* !TOKEN_REQUEST_H_ */
