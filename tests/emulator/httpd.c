#include <sys/socket.h>

#include <ctype.h>
#include <errno.h>
#include <netdb.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include <microhttpd.h>

#include "httpd.h"
#include "json_text.h"

/* A silent connection is closed after so many seconds. */
#define IDLE_SECONDS	120

/* What one connection may use for request line and headers, in bytes. */
#define HEAD_BYTES	(256 * 1024)

#define MAX_CONNECTIONS	2000

struct httpd {
	struct MHD_Daemon *mhd;
	char address[NI_MAXHOST + NI_MAXSERV + 4];
	size_t maxbody;
	void (*handler)(void *, struct httpd_request *);
	void *cookie;
	pthread_mutex_t lock;	/* of stopping */
	pthread_cond_t stop;
	int stopping;
};

struct httpd_request {
	struct httpd *httpd;
	struct MHD_Connection *connection;
	char *method;
	char *path;
	char *body;
	size_t len;
	size_t discarded;	/* bytes beyond maxbody */
	json_t *headers;	/* of the answer */
	struct MHD_Response *response;
	unsigned int status;
};

static void
request_free(struct httpd_request *request)
{

	if (request == NULL)
		return;
	if (request->response != NULL)
		MHD_destroy_response(request->response);
	json_decref(request->headers);
	free(request->body);
	free(request->path);
	free(request->method);
	free(request);
}

static struct httpd_request *
request_new(struct httpd *httpd, struct MHD_Connection *connection,
    const char *path, const char *method)
{
	struct httpd_request *request;

	if ((request = calloc(1, sizeof(*request))) == NULL)
		return (NULL);
	request->httpd = httpd;
	request->connection = connection;
	request->method = strdup(method);
	request->path = strdup(path);
	request->body = calloc(1, 1);
	request->headers = json_object();
	if (request->method == NULL || request->path == NULL ||
	    request->body == NULL || request->headers == NULL) {
		request_free(request);
		return (NULL);
	}

	return (request);
}

/*
 * Keep a piece of the body.  What comes after the limit is only counted;
 * somebody who does not stop at all is hung up on.
 */
static enum MHD_Result
receive(struct httpd_request *request, const char *data, size_t len)
{
	char *body;

	if (request->discarded > 0 ||
	    len > request->httpd->maxbody - request->len) {
		request->discarded += len;
		return (request->discarded > 8 * request->httpd->maxbody ?
		    MHD_NO : MHD_YES);
	}
	if ((body = realloc(request->body, request->len + len + 1)) == NULL)
		return (MHD_NO);
	request->body = body;
	memcpy(body + request->len, data, len);
	request->len += len;
	body[request->len] = '\0';

	return (MHD_YES);
}

/*
 * libmicrohttpd calls this once when the headers are there, then for each
 * piece of the body, then once more without a piece.
 */
static enum MHD_Result
answer(void *cookie, struct MHD_Connection *connection, const char *path,
    const char *method, const char *version, const char *data, size_t *len,
    void **state)
{
	struct httpd *httpd = cookie;
	struct httpd_request *request = *state;
	const char *name;
	json_t *value;

	(void)version;
	if (request == NULL) {
		*state = request_new(httpd, connection, path, method);
		return (*state != NULL ? MHD_YES : MHD_NO);
	}
	if (*len > 0) {
		size_t n = *len;

		*len = 0;
		return (receive(request, data, n));
	}

	httpd->handler(httpd->cookie, request);

	/* A connection that was reset gets no answer. */
	if (request->response == NULL)
		return (MHD_NO);
	json_object_foreach(request->headers, name, value)
		MHD_add_response_header(request->response, name,
		    json_string_value(value));

	return (MHD_queue_response(connection, request->status,
	    request->response));
}

static void
completed(void *cookie, struct MHD_Connection *connection, void **state,
    enum MHD_RequestTerminationCode why)
{

	(void)cookie;
	(void)connection;
	(void)why;
	request_free(*state);
	*state = NULL;
}

/*
 * Open the listening socket, so that the port is known whatever chose it.
 */
static int
listen_on(const char *address, char *why, size_t whylen)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_PASSIVE };
	struct addrinfo *found, *ai;
	char host[NI_MAXHOST];
	const char *colon, *from = address;
	size_t len;
	int fd = -1, on = 1, rc;

	if ((colon = strrchr(address, ':')) == NULL || colon[1] == '\0') {
		(void)snprintf(why, whylen, "%s is not HOST:PORT", address);
		return (-1);
	}
	len = (size_t)(colon - address);
	if (len >= 2 && from[0] == '[' && from[len - 1] == ']') {
		from++;
		len -= 2;
	}
	(void)snprintf(host, sizeof(host), "%.*s", (int)len, from);

	rc = getaddrinfo(host[0] != '\0' ? host : NULL, colon + 1, &hints,
	    &found);
	if (rc != 0) {
		(void)snprintf(why, whylen, "cannot listen on %s: %s", address,
		    gai_strerror(rc));
		return (-1);
	}
	for (ai = found; ai != NULL && fd == -1; ai = ai->ai_next) {
		fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC, 0);
		if (fd == -1)
			continue;
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
		if (bind(fd, ai->ai_addr, ai->ai_addrlen) == -1 ||
		    listen(fd, SOMAXCONN) == -1) {
			rc = errno;
			close(fd);
			fd = -1;
			errno = rc;
		}
	}
	if (fd == -1)
		(void)snprintf(why, whylen, "cannot listen on %s: %s", address,
		    strerror(errno));
	freeaddrinfo(found);

	return (fd);
}

static void
name_address(struct httpd *httpd, int fd)
{
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	char host[NI_MAXHOST], port[NI_MAXSERV];

	getsockname(fd, (struct sockaddr *)&ss, &len);
	getnameinfo((struct sockaddr *)&ss, len, host, sizeof(host), port,
	    sizeof(port), NI_NUMERICHOST | NI_NUMERICSERV);
	(void)snprintf(httpd->address, sizeof(httpd->address),
	    strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
}

/**
 * httpd_start(address, maxbody, handler, cookie, why, whylen):
 * Listen on ${address}, "host:port" or "[host]:port" where port 0 is the
 * kernel's choice, and call ${handler}(${cookie}, request) for each request
 * that has arrived in full; several threads may do so at once.  The handler
 * answers with exactly one of httpd_reply, httpd_reply_json and httpd_reset.
 * A body of more than ${maxbody} bytes is not kept: httpd_body says so.
 * Return NULL and a sentence at ${why} (${whylen} bytes) on failure.
 */
struct httpd *
httpd_start(const char *address, size_t maxbody,
    void (*handler)(void *, struct httpd_request *), void *cookie, char *why,
    size_t whylen)
{
	struct httpd *httpd;
	pthread_condattr_t attr;
	int fd;

	if ((fd = listen_on(address, why, whylen)) == -1)
		goto err0;
	if ((httpd = calloc(1, sizeof(*httpd))) == NULL) {
		(void)snprintf(why, whylen, "out of memory");
		goto err1;
	}
	httpd->maxbody = maxbody;
	httpd->handler = handler;
	httpd->cookie = cookie;
	name_address(httpd, fd);
	pthread_mutex_init(&httpd->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	pthread_cond_init(&httpd->stop, &attr);
	pthread_condattr_destroy(&attr);

	httpd->mhd = MHD_start_daemon(MHD_USE_INTERNAL_POLLING_THREAD |
	    MHD_USE_THREAD_PER_CONNECTION | MHD_USE_POLL | MHD_USE_ITC, 0,
	    NULL, NULL, answer, httpd,
	    MHD_OPTION_LISTEN_SOCKET, fd,
	    MHD_OPTION_NOTIFY_COMPLETED, completed, NULL,
	    MHD_OPTION_CONNECTION_LIMIT, (unsigned int)MAX_CONNECTIONS,
	    MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)IDLE_SECONDS,
	    MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_BYTES,
	    MHD_OPTION_END);
	if (httpd->mhd == NULL) {
		(void)snprintf(why, whylen, "cannot serve on %s: %s", address,
		    strerror(errno));
		goto err2;
	}

	/* Success! */
	return (httpd);

err2:
	pthread_cond_destroy(&httpd->stop);
	pthread_mutex_destroy(&httpd->lock);
	free(httpd);
err1:
	close(fd);
err0:
	/* Failure! */
	return (NULL);
}

/**
 * httpd_address(httpd):
 * Return the address that is listened on, with the real port; it lives as
 * long as ${httpd}.
 */
const char *
httpd_address(const struct httpd *httpd)
{

	return (httpd->address);
}

/**
 * httpd_stop(httpd):
 * Cut every delay short, answer what has arrived, close, and free ${httpd};
 * NULL is fine.
 */
void
httpd_stop(struct httpd *httpd)
{

	if (httpd == NULL)
		return;
	pthread_mutex_lock(&httpd->lock);
	httpd->stopping = 1;
	pthread_cond_broadcast(&httpd->stop);
	pthread_mutex_unlock(&httpd->lock);
	MHD_stop_daemon(httpd->mhd);
	pthread_cond_destroy(&httpd->stop);
	pthread_mutex_destroy(&httpd->lock);
	free(httpd);
}

/**
 * httpd_method(request), httpd_path(request):
 * Return the method, and the decoded path without the query string.
 */
const char *
httpd_method(const struct httpd_request *request)
{

	return (request->method);
}

const char *
httpd_path(const struct httpd_request *request)
{

	return (request->path);
}

/**
 * httpd_query(request, name):
 * Return the decoded value of the query parameter ${name}, or NULL.
 */
const char *
httpd_query(const struct httpd_request *request, const char *name)
{

	return (MHD_lookup_connection_value(request->connection,
	    MHD_GET_ARGUMENT_KIND, name));
}

static enum MHD_Result
collect_query(void *cookie, enum MHD_ValueKind kind, const char *name,
    const char *value)
{

	(void)kind;
	json_object_set_new(cookie, name, json_string(value != NULL ? value :
	    ""));

	return (MHD_YES);
}

/**
 * httpd_queries(request):
 * Return an object of all query parameters, a reference the caller drops.
 */
json_t *
httpd_queries(const struct httpd_request *request)
{
	json_t *queries = json_object();

	MHD_get_connection_values(request->connection, MHD_GET_ARGUMENT_KIND,
	    collect_query, queries);

	return (queries);
}

/**
 * httpd_header(request, name):
 * Return the value of the header ${name}, or NULL.
 */
const char *
httpd_header(const struct httpd_request *request, const char *name)
{

	return (MHD_lookup_connection_value(request->connection,
	    MHD_HEADER_KIND, name));
}

static enum MHD_Result
collect_header(void *cookie, enum MHD_ValueKind kind, const char *name,
    const char *value)
{
	json_t *headers = cookie;
	const char *before;
	char *lower, *p;

	(void)kind;
	if ((lower = strdup(name)) == NULL)
		return (MHD_NO);
	for (p = lower; *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	if (value == NULL)
		value = "";
	before = json_text(headers, lower);
	json_object_set_new(headers, lower, before == NULL ?
	    json_string(value) : json_sprintf("%s, %s", before, value));
	free(lower);

	return (MHD_YES);
}

/**
 * httpd_headers(request):
 * Return an object of all headers, with lower-case names and those that came
 * more than once joined by ", ", a reference the caller drops.  Bytes that
 * are not UTF-8 are left out, the header with them.
 */
json_t *
httpd_headers(const struct httpd_request *request)
{
	json_t *headers = json_object();

	MHD_get_connection_values(request->connection, MHD_HEADER_KIND,
	    collect_header, headers);

	return (headers);
}

/**
 * httpd_body(request, len):
 * Return the body with a NUL behind its ${len} bytes, or NULL if it was
 * longer than allowed.
 */
const char *
httpd_body(const struct httpd_request *request, size_t *len)
{

	*len = request->len;
	return (request->discarded == 0 ? request->body : NULL);
}

/**
 * httpd_delay(request, milliseconds):
 * Wait so long, or until httpd_stop is called.
 */
void
httpd_delay(const struct httpd_request *request, long milliseconds)
{
	struct httpd *httpd = request->httpd;
	struct timespec until;

	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += milliseconds / 1000;
	until.tv_nsec += milliseconds % 1000 * 1000000;
	if (until.tv_nsec >= 1000000000) {
		until.tv_sec++;
		until.tv_nsec -= 1000000000;
	}
	pthread_mutex_lock(&httpd->lock);
	while (!httpd->stopping && pthread_cond_timedwait(&httpd->stop,
	    &httpd->lock, &until) == 0)
		continue;
	pthread_mutex_unlock(&httpd->lock);
}

/**
 * httpd_set_header(request, name, value):
 * Put a header into the answer that will be given.  Both are copied.
 */
void
httpd_set_header(struct httpd_request *request, const char *name,
    const char *value)
{

	json_object_set_new(request->headers, name, json_string(value));
}

/**
 * httpd_reply(request, status, type, body, len):
 * Answer with ${len} bytes of ${body}, which are copied, as ${type}.
 */
void
httpd_reply(struct httpd_request *request, int status, const char *type,
    const void *body, size_t len)
{
	union {
		const void *in;
		void *out;
	} data = { .in = body };
	const char *name;
	json_t *value;
	int typed = 0;

	/* MHD copies the bytes, yet it wants a pointer without const. */
	request->response = MHD_create_response_from_buffer(len, data.out,
	    MHD_RESPMEM_MUST_COPY);
	request->status = (unsigned int)status;

	/* A type that was set before wins. */
	json_object_foreach(request->headers, name, value)
		typed |= strcasecmp(name, "Content-Type") == 0;
	if (!typed)
		httpd_set_header(request, "Content-Type", type);
}

/**
 * httpd_reply_json(request, status, json, flags):
 * Answer with ${json}, whose reference is taken, as json_dumps with ${flags}
 * writes it; NULL answers 500.
 */
void
httpd_reply_json(struct httpd_request *request, int status, json_t *json,
    size_t flags)
{
	static const char broken[] = "{\"error\":{\"code\":500,"
	    "\"message\":\"out of memory\",\"status\":\"INTERNAL\"}}";
	char *text;

	text = json != NULL ? json_dumps(json, flags) : NULL;
	json_decref(json);
	if (text != NULL)
		httpd_reply(request, status, "application/json; charset=UTF-8",
		    text, strlen(text));
	else
		httpd_reply(request, 500, "application/json; charset=UTF-8",
		    broken, strlen(broken));
	free(text);
}

/**
 * httpd_reset(request):
 * Reset the connection instead of answering.
 */
void
httpd_reset(struct httpd_request *request)
{
	const union MHD_ConnectionInfo *info;
	struct sockaddr nobody = { .sa_family = AF_UNSPEC };

	/* Dissolving the association makes the kernel send a RST at once. */
	info = MHD_get_connection_info(request->connection,
	    MHD_CONNECTION_INFO_CONNECTION_FD);
	if (info != NULL)
		(void)connect(info->connect_fd, &nobody, sizeof(nobody));
}
