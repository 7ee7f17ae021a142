#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "backoff.h"
#include "base64.h"
#include "http.h"
#include "monotime.h"
#include "secret.h"

#include "token_request.h"

#define ATTEMPTS	3
#define BACKOFF_BASE_MS	200
#define BACKOFF_CAP_MS	1000
#define TIMEOUT_MS	5000
#define MAX_ANSWER	65536

static int
is_transient(long status)
{

	return (status == 0 || status == 408 || status == 429 ||
	    status >= 500);
}

/*
 * Put the code of an error answer into ${code}: OAuth's "error" (RFC 6749,
 * 5.2), or Google's status.  Of both only the letters are believed: whatever
 * else there is might quote a secret.
 */
static void
read_code(const struct http *http, char *code, size_t len)
{
	json_t *root = json_loadb(http_body(http), http_body_len(http),
	    JSON_REJECT_DUPLICATES, NULL);
	const json_t *error = json_object_get(root, "error");
	const char *text = json_string_value(json_is_object(error) ?
	    json_object_get(error, "status") : error);

	*code = '\0';
	if (text != NULL && strlen(text) < len - 2 && text[strspn(text,
	    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")] == '\0')
		(void)snprintf(code, len, ", %s", text);
	json_decref(root);
}

/**
 * token_request_send(http, request, from, why, whylen):
 * Send ${request} (its timeout and bound are set here) to the one called
 * ${from} in messages; after 408, 429, 5xx or no answer again, three times in
 * all.  Return 0 when the answer is 200; otherwise -1 and one line in ${why}.
 */
int
token_request_send(struct http *http, const struct http_request *request,
    const char *from, char *why, size_t whylen)
{
	struct http_request r = *request;
	char code[40];
	int attempt;

	r.timeout_ms = TIMEOUT_MS;
	r.max_response = MAX_ANSWER;
	for (attempt = 1; attempt <= ATTEMPTS; attempt++) {
		if (attempt > 1)
			monotime_pause(backoff_ms(attempt - 1,
			    BACKOFF_BASE_MS, BACKOFF_CAP_MS));
		if (http_prepare(http, &r) != 0)
			break;
		(void)http_perform(http);
		if (http_status(http) == 200)
			return (0);
		if (!is_transient(http_status(http)))
			break;
	}
	read_code(http, code, sizeof(code));
	if (http_status(http) == 0)
		(void)snprintf(why, whylen, "the %s did not answer: %s", from,
		    http_error(http));
	else
		(void)snprintf(why, whylen, "the %s gave no token: status "
		    "%ld%s", from, http_status(http), code);
	http_wipe(http);
	return (-1);
}

/**
 * token_request_perform(http, request, from, why, whylen):
 * Likewise, and return the answer as a JSON object that the caller frees; the
 * answer's text is wiped.
 */
json_t *
token_request_perform(struct http *http, const struct http_request *request,
    const char *from, char *why, size_t whylen)
{
	json_t *answer;

	if (token_request_send(http, request, from, why, whylen) != 0)
		return (NULL);
	answer = json_loadb(http_body(http), http_body_len(http),
	    JSON_REJECT_DUPLICATES, NULL);
	http_wipe(http);
	if (!json_is_object(answer)) {
		json_decref(answer);
		(void)snprintf(why, whylen, "the %s did not answer with a "
		    "JSON object", from);
		return (NULL);
	}
	return (answer);
}

/**
 * token_form_begin(form), token_form_add(form, name, value):
 * Begin ${form}; add ${name}=${value}, percent-encoded.
 */
void
token_form_begin(struct token_form *form)
{

	form->text = secret_concat(SECRET_TEXTS(""));
}

void
token_form_add(struct token_form *form, const char *name, const char *value)
{
	char *encoded, *text = NULL;

	if (form->text == NULL)
		return;
	if ((encoded = curl_easy_escape(NULL, value, 0)) != NULL) {
		text = secret_concat(SECRET_TEXTS(form->text,
		    *form->text != '\0' ? "&" : "", name, "=", encoded));
		curl_free(encoded);
	}
	token_form_free(form);
	form->text = text;
}

/**
 * token_form_end(form, text, len):
 * Set ${text} and ${len} to the whole form, which lives until it is freed.
 * Return 0, or -1 when memory was short.
 */
int
token_form_end(struct token_form *form, const char **text, size_t *len)
{

	if (form->text == NULL)
		return (-1);
	*text = form->text;
	*len = strlen(form->text);
	return (0);
}

/**
 * token_form_free(form):
 * Wipe and free ${form}.
 */
void
token_form_free(struct token_form *form)
{

	if (form->text != NULL)
		secret_free(form->text, strlen(form->text));
	form->text = NULL;
}

/**
 * token_headers_from(headers, object):
 * Fill ${headers} from ${object}, which may be NULL.  Return 0, or -1 if it
 * is not an object of a few texts.  To be freed either way.
 */
int
token_headers_from(struct token_headers *headers, json_t *object)
{
	const char *name;
	json_t *value;

	memset(headers, 0, sizeof(*headers));
	if (object != NULL && !json_is_object(object))
		return (-1);
	json_object_foreach(object, name, value) {
		if (!json_is_string(value) || headers->n == TOKEN_HEADERS_MAX)
			return (-1);
		headers->lines[headers->n] = secret_concat(SECRET_TEXTS(name,
		    ": ", json_string_value(value)));
		if (headers->lines[headers->n] == NULL)
			return (-1);
		headers->list[headers->n] = headers->lines[headers->n];
		headers->n++;
	}
	return (0);
}

/**
 * token_headers_free(headers):
 * Wipe and free the lines.
 */
void
token_headers_free(struct token_headers *headers)
{
	size_t i;

	for (i = 0; i < headers->n; i++)
		secret_free(headers->lines[i], strlen(headers->lines[i]));
}

/**
 * token_basic_authorization(id, secret):
 * Return the header line of HTTP Basic authentication (RFC 7617), to be given
 * to secret_free; NULL when memory is short.
 */
char *
token_basic_authorization(const char *id, const char *secret)
{
	char *pair, *encoded, *line;

	pair = secret_concat(SECRET_TEXTS(id, ":", secret));
	if (pair == NULL)
		return (NULL);
	encoded = base64_encode(pair, strlen(pair));
	secret_free(pair, strlen(pair));
	if (encoded == NULL)
		return (NULL);
	line = secret_concat(SECRET_TEXTS("Authorization: Basic ", encoded));
	secret_free(encoded, strlen(encoded));
	return (line);
}
