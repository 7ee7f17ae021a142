#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/crypto.h>

#include "secret.h"
#include "url.h"
#include "version.h"

#include "http.h"

/* The longest pause that a peer can ask for, in seconds. */
#define MAX_RETRY_AFTER	300

/* A number of more digits is larger than that. */
#define RETRY_AFTER_DIGITS	9

struct http {
	CURL *easy;
	const char *proxy;
	CURLU *url;		/* of the last request */
	char *url_text;		/* what ${url} was parsed from, or NULL */
	struct curl_slist *headers;
	char *body;
	size_t body_len;
	size_t body_size;	/* allocated */
	size_t max_response;
	int too_large;
	int headers_end;	/* the empty line behind them has come */
	int status_only;
	long status;
	char error[CURL_ERROR_SIZE];
};

/* Collect the body up to its bound; refusing bytes ends the transfer. */
static size_t
collect(char *data, size_t one, size_t len, void *cookie)
{
	struct http *http = cookie;
	size_t size;
	char *body;

	(void)one;
	if (len > http->max_response - http->body_len) {
		http->too_large = 1;
		if (!http->status_only)
			return (0);

		/* The beginning is enough where the status is what counts. */
		len = http->max_response - http->body_len;
	}
	if (http->body_len + len + 1 > http->body_size) {
		size = (http->body_len + len + 1) * 2;
		if ((body = malloc(size)) == NULL)
			return (0);
		if (http->body != NULL) {
			memcpy(body, http->body, http->body_len);
			OPENSSL_cleanse(http->body, http->body_size);
			free(http->body);
		}
		http->body = body;
		http->body_size = size;
	}
	memcpy(&http->body[http->body_len], data, len);
	http->body_len += len;
	http->body[http->body_len] = '\0';
	return (len);
}

/* Watch for the end of the headers: an answer cut off before it is none. */
static size_t
watch_headers(char *line, size_t one, size_t len, void *cookie)
{
	struct http *http = cookie;

	(void)one;
	http->headers_end = len > 0 && (line[0] == '\r' || line[0] == '\n');
	return (len);
}

/* Set what is the same for every request. */
static int
set_defaults(struct http *http)
{
	CURL *e = http->easy;

#define SET(option, value)						\
	if (curl_easy_setopt(e, option, value) != CURLE_OK)		\
		return (-1)
	SET(CURLOPT_NOSIGNAL, 1L);
	SET(CURLOPT_PROTOCOLS_STR, "http,https");
	SET(CURLOPT_REDIR_PROTOCOLS_STR, "https");
	SET(CURLOPT_FOLLOWLOCATION, 0L);
	SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
	SET(CURLOPT_SSL_VERIFYPEER, 1L);
	SET(CURLOPT_SSL_VERIFYHOST, 2L);
	SET(CURLOPT_NOPROXY, "");
	SET(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	SET(CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
	SET(CURLOPT_CONNECTTIMEOUT_MS, 5000L);
	SET(CURLOPT_TCP_KEEPALIVE, 1L);
	SET(CURLOPT_MAXAGE_CONN, 55L);
	SET(CURLOPT_USERAGENT, "followup-scheduler/" FOLLOWUP_VERSION);
	SET(CURLOPT_ERRORBUFFER, http->error);

	/* The least that will do: messages are short, and handles many. */
	SET(CURLOPT_BUFFERSIZE, 2048L);
	SET(CURLOPT_UPLOAD_BUFFERSIZE, 16384L);
	SET(CURLOPT_WRITEFUNCTION, collect);
	SET(CURLOPT_WRITEDATA, http);
	SET(CURLOPT_HEADERFUNCTION, watch_headers);
	SET(CURLOPT_HEADERDATA, http);
#undef SET
	return (0);
}

/* A control character would end the header and begin another one. */
static int
is_clean(const char *header)
{

	for (; *header != '\0'; header++) {
		if ((unsigned char)*header < ' ' || *header == 0x7f)
			return (0);
	}
	return (1);
}

/* Tokens are among them; secret_curl_init makes libcurl wipe them. */
static void
drop_headers(struct http *http)
{

	(void)curl_easy_setopt(http->easy, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(http->headers);
	http->headers = NULL;
}

/*
 * The answer to a token may be what is wrong with it, token included, and is
 * quoted in errors: hide what we sent as the credentials of a scheme.
 */
static void
hide_credentials(struct http *http)
{
	static const char name[] = "Authorization: ";
	const struct curl_slist *h;
	const char *blank;

	for (h = http->headers; h != NULL && http->body_len > 0; h = h->next) {
		if (strncasecmp(h->data, name, sizeof(name) - 1) == 0 &&
		    (blank = strchr(h->data + sizeof(name) - 1, ' ')) != NULL)
			secret_hide(http->body, blank + 1);
	}
}

static int
set_headers(struct http *http, const char *const *headers)
{
	struct curl_slist *next;

	drop_headers(http);

	/* No 100-continue: it costs a round trip and nobody here needs it. */
	if ((http->headers = curl_slist_append(NULL, "Expect:")) == NULL)
		return (-1);
	for (; headers != NULL && *headers != NULL; headers++) {
		if (!is_clean(*headers))
			return (-1);
		if ((next = curl_slist_append(http->headers, *headers)) ==
		    NULL)
			return (-1);
		http->headers = next;
	}
	return (0);
}

/*
 * Parse ${url}, unless it is that of the request before, as it is with an API.
 * curl itself would parse it for each request, and put it together again
 * (measured: a sixth of its work on a short request).
 */
static int
set_url(struct http *http, const char *url)
{
	CURLUcode rc;

	if (http->url_text != NULL && strcmp(http->url_text, url) == 0)
		return (0);
	free(http->url_text);
	http->url_text = NULL;
	if ((rc = curl_url_set(http->url, CURLUPART_URL, url, 0)) !=
	    CURLUE_OK) {
		(void)snprintf(http->error, sizeof(http->error), "%s",
		    curl_url_strerror(rc));
		return (-1);
	}
	if (curl_easy_setopt(http->easy, CURLOPT_CURLU, http->url) != CURLE_OK)
		return (-1);
	http->url_text = strdup(url);
	return (0);
}

/**
 * http_new(proxy):
 * Return a new handle, or NULL.  https to other machines goes through the HTTP
 * proxy ${proxy} (host:port), which must live as long; NULL: directly.
 */
struct http *
http_new(const char *proxy)
{
	struct http *http;

	if ((http = calloc(1, sizeof(*http))) == NULL)
		return (NULL);
	if ((http->easy = curl_easy_init()) == NULL ||
	    (http->url = curl_url()) == NULL)
		goto err;
	http->proxy = proxy;
	if (set_defaults(http) != 0)
		goto err;
	return (http);

err:
	http_free(http);
	return (NULL);
}

/**
 * http_prepare(http, request):
 * Make ready to perform ${request}; what it points to, except the headers,
 * must live until the exchange is done.  A header that holds a control
 * character is refused.  Return 0 or -1.
 */
int
http_prepare(struct http *http, const struct http_request *request)
{
	CURL *e = http->easy;
	int has_body = request->body != NULL;
	int has_proxy = http->proxy != NULL && url_is_https(request->url) &&
	    !url_is_loopback(request->url);

	/* Forget the answer before. */
	http->body_len = 0;
	http->too_large = 0;
	http->headers_end = 0;
	http->status = 0;
	http->max_response = request->max_response;
	http->status_only = request->status_only;
	(void)snprintf(http->error, sizeof(http->error),
	    "the request could not be prepared");

	if (set_headers(http, request->headers) != 0 ||
	    set_url(http, request->url) != 0)
		return (-1);

#define SET(option, value)						\
	if (curl_easy_setopt(e, option, value) != CURLE_OK)		\
		return (-1)
	SET(CURLOPT_PROXY, has_proxy ? http->proxy : "");
	SET(CURLOPT_UNIX_SOCKET_PATH, request->unix_socket);

	/*
	 * A peer that speaks HTTP/2 gets its requests over one connection:
	 * those that begin together wait for the first to find out.
	 */
	SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
	SET(CURLOPT_PIPEWAIT, (long)url_is_https(request->url));
	SET(CURLOPT_HTTPHEADER, http->headers);
	SET(CURLOPT_TIMEOUT_MS, request->timeout_ms);
	SET(CURLOPT_FRESH_CONNECT, (long)request->fresh);
	SET(CURLOPT_FORBID_REUSE, (long)request->fresh);
	SET(CURLOPT_MAXFILESIZE_LARGE, request->status_only ? (curl_off_t)0 :
	    (curl_off_t)request->max_response);

	/* The kind of transfer first, since it resets the method. */
	if (has_body) {
		SET(CURLOPT_POST, 1L);
		SET(CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
		SET(CURLOPT_POSTFIELDS, request->body);
	} else
		SET(CURLOPT_HTTPGET, 1L);
	SET(CURLOPT_CUSTOMREQUEST, request->method);
#undef SET
	http->error[0] = '\0';
	return (0);
}

/**
 * http_perform(http):
 * Do what was prepared.  Return 0 if an answer came, whatever its status, or
 * -1 if none came whole: see http_error.
 */
int
http_perform(struct http *http)
{

	return (http_done(http, curl_easy_perform(http->easy)));
}

/**
 * http_easy(http):
 * Return the handle for a multi handle; its CURLOPT_PRIVATE is the caller's.
 */
CURL *
http_easy(struct http *http)
{

	return (http->easy);
}

/* What to do about a certificate that was not accepted. */
static void
explain_certificate(struct http *http, CURLcode result)
{
	size_t len = strlen(http->error);
	const char *hint = "";

	if (result == CURLE_PEER_FAILED_VERIFICATION)
		hint = "; fix the peer's certificate, or trust its CA "
		    "with update-ca-certificates";
	else if (result == CURLE_SSL_CACERT_BADFILE)
		hint = "; install ca-certificates";
	(void)snprintf(&http->error[len], sizeof(http->error) - len, "%s",
	    hint);
}

/**
 * http_done(http, result):
 * Take note of the ${result} a multi handle gave.  Return as http_perform.
 */
int
http_done(struct http *http, CURLcode result)
{

	(void)curl_easy_getinfo(http->easy, CURLINFO_RESPONSE_CODE,
	    &http->status);

	/* What is no success is what gets quoted. */
	if (http->status < 200 || http->status > 299)
		hide_credentials(http);
	drop_headers(http);

	if (((result == CURLE_OK && http->headers_end) ||
	    http->status_only) && http->status >= 200)
		return (0);

	http->status = 0;
	if (http->too_large || result == CURLE_FILESIZE_EXCEEDED)
		(void)snprintf(http->error, sizeof(http->error),
		    "the answer is longer than %zu bytes", http->max_response);
	else if (result == CURLE_OK)
		(void)snprintf(http->error, sizeof(http->error),
		    "the answer ended within its headers");
	else if (http->error[0] == '\0')
		(void)snprintf(http->error, sizeof(http->error), "%s",
		    curl_easy_strerror(result));
	explain_certificate(http, result);
	return (-1);
}

/**
 * http_status(http), http_body(http), http_body_len(http):
 * Return the answer's status (0 if none came), body (never NULL, with a NUL
 * behind it), and the body's length.  They live until the next prepare.
 */
long
http_status(const struct http *http)
{

	return (http->status);
}

const char *
http_body(const struct http *http)
{

	return (http->body_len > 0 ? http->body : "");
}

size_t
http_body_len(const struct http *http)
{

	return (http->body_len);
}

/**
 * http_header(http, name):
 * Return the value of the answer's last header ${name}, or NULL.  It lives
 * until the next call or prepare.
 */
const char *
http_header(const struct http *http, const char *name)
{
	struct curl_header *h;
	size_t count;

	if (curl_easy_header(http->easy, name, 0, CURLH_HEADER, -1, &h) !=
	    CURLHE_OK)
		return (NULL);
	count = h->amount;
	if (count > 1 && curl_easy_header(http->easy, name, count - 1,
	    CURLH_HEADER, -1, &h) != CURLHE_OK)
		return (NULL);

	/* For an empty one curl gives the end of its line. */
	return (*h->value == '\r' ? "" : h->value);
}

/**
 * http_seconds(http):
 * Return how long the last request took.
 */
double
http_seconds(const struct http *http)
{
	curl_off_t us = 0;

	(void)curl_easy_getinfo(http->easy, CURLINFO_TOTAL_TIME_T, &us);
	return ((double)us / 1e6);
}

/**
 * http_error(http):
 * Return what went wrong, in words, when no answer came whole.
 */
const char *
http_error(const struct http *http)
{

	return (http->error);
}

/**
 * http_was_sent(http):
 * Return non-zero iff some of the request went out, so that the peer may have
 * acted on it even though no answer came.  What a proxy was asked, and TLS'
 * own handshake, are not of the request.
 */
int
http_was_sent(const struct http *http)
{
	curl_off_t ready = 0;
	long bytes = 0;

	/* The bytes are also those for a proxy, before the way is ready. */
	if (curl_easy_getinfo(http->easy, CURLINFO_PRETRANSFER_TIME_T,
	    &ready) != CURLE_OK ||
	    curl_easy_getinfo(http->easy, CURLINFO_REQUEST_SIZE, &bytes) !=
	    CURLE_OK)
		return (1);
	return (ready > 0 && bytes > 0);
}

/**
 * http_retry_after(http):
 * Return the seconds that the answer's last Retry-After asks to wait (RFC 9110,
 * 10.2.3: a number or a date), at most five minutes; 0 if the date has passed
 * or the value is neither; -1 if there is no such header.
 */
long
http_retry_after(const struct http *http)
{
	const char *value = http_header(http, "Retry-After");
	curl_off_t wait;

	if (value == NULL)
		return (-1);

	/* curl reports a number that overflows like a header that is absent. */
	value += strspn(value, "0");
	if (strlen(value) > RETRY_AFTER_DIGITS &&
	    value[strspn(value, "0123456789")] == '\0')
		return (MAX_RETRY_AFTER);
	if (curl_easy_getinfo(http->easy, CURLINFO_RETRY_AFTER, &wait) !=
	    CURLE_OK)
		return (-1);
	if (wait < 0)
		return (0);
	return (wait < MAX_RETRY_AFTER ? (long)wait : MAX_RETRY_AFTER);
}

/**
 * http_wipe(http):
 * Overwrite the answer's body, which held a secret.
 */
void
http_wipe(struct http *http)
{

	if (http->body != NULL)
		OPENSSL_cleanse(http->body, http->body_size);
	http->body_len = 0;
}

/**
 * http_free(http):
 * Free ${http} and close its connection; NULL is fine.
 */
void
http_free(struct http *http)
{

	if (http == NULL)
		return;
	http_wipe(http);
	drop_headers(http);
	curl_easy_cleanup(http->easy);
	curl_url_cleanup(http->url);
	free(http->url_text);
	free(http->body);
	free(http);
}
