#ifndef SCRIPTED_SERVER_H_
#define SCRIPTED_SERVER_H_

#include <sys/socket.h>

#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "unit.h"

/*
 * A loopback HTTP server for one test: it gives the scripted answers in their
 * order, one a connection, and remembers what it was asked.
 *
 * struct scripted_server *s = scripted_server_start(SCRIPT(
 *     "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
 * ... scripted_server_url(s, "/path", url, sizeof(url)) ...
 * assert_int_equal(scripted_server_stop(s), 1);	(connections)
 * ... s->requests[0] ...
 * scripted_server_free(s);
 */

#define SCRIPTED_MAX	16
#define SCRIPTED_TIMEOUT_MS	10000

struct scripted_server {
	int fd;
	int port;
	pthread_t thread;
	const char *answers[SCRIPTED_MAX];
	int nanswers;
	char requests[SCRIPTED_MAX][8192];	/* whole, each a string */
	atomic_int nrequests;
};

/* Are the ${len} bytes a whole request: header, and body as announced? */
static inline int
scripted_is_whole(const char *request, size_t len)
{
	const char *body = strstr(request, "\r\n\r\n"), *p;

	if (body == NULL)
		return (0);
	p = strcasestr(request, "\r\nContent-Length:");
	if (p == NULL || p > body)
		return (1);
	return (len - (size_t)(body + 4 - request) >=
	    strtoul(p + 17, NULL, 10));
}

/* Read one request; the peer may also leave before it is whole. */
static inline void
scripted_read(int fd, char *buf, size_t size)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	ssize_t n;

	buf[0] = '\0';
	while (len + 1 < size && !scripted_is_whole(buf, len)) {
		if (poll(&pfd, 1, SCRIPTED_TIMEOUT_MS) != 1 ||
		    (n = recv(fd, &buf[len], size - 1 - len, 0)) <= 0)
			break;
		len += (size_t)n;
		buf[len] = '\0';
	}
}

static inline void
scripted_write(int fd, const char *answer)
{
	size_t len = strlen(answer);
	ssize_t n;

	while (len > 0) {
		if ((n = send(fd, answer, len, MSG_NOSIGNAL)) <= 0)
			break;
		answer += n;
		len -= (size_t)n;
	}
}

/* Accept until the script is at its end or the listening socket is shut. */
static inline void *
scripted_serve(void *cookie)
{
	struct scripted_server *s = cookie;
	int fd, i;

	for (i = 0; i < s->nanswers; i++) {
		if ((fd = accept(s->fd, NULL, NULL)) < 0)
			break;
		scripted_read(fd, s->requests[i], sizeof(s->requests[i]));
		s->nrequests = i + 1;
		scripted_write(fd, s->answers[i]);
		(void)shutdown(fd, SHUT_WR);
		(void)close(fd);
	}

	/* Who comes later is refused, rather than left to wait. */
	(void)shutdown(s->fd, SHUT_RDWR);
	return (NULL);
}

/**
 * scripted_listen(port):
 * Return a socket that listens on a free loopback ${port}.
 */
static inline int
scripted_listen(int *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(sin);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&sin, len), 0);
	assert_int_equal(listen(fd, SCRIPTED_MAX), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&sin, &len), 0);
	*port = ntohs(sin.sin_port);
	return (fd);
}

/* The answers of a script, in their order. */
#define SCRIPT(...)	((const char *const []){ __VA_ARGS__, NULL })

/**
 * scripted_server_start(answers):
 * Listen on a free loopback port and give these answers, up to a NULL; they
 * must live until the server is stopped.
 */
static inline struct scripted_server *
scripted_server_start(const char *const *answers)
{
	struct scripted_server *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	for (; *answers != NULL; answers++) {
		assert_true(s->nanswers < SCRIPTED_MAX);
		s->answers[s->nanswers++] = *answers;
	}
	s->fd = scripted_listen(&s->port);
	assert_int_equal(pthread_create(&s->thread, NULL, scripted_serve, s),
	    0);
	return (s);
}

/**
 * scripted_server_url(server, path, url, len):
 * Write the URL of ${path} to ${url} (${len} bytes) and return it.
 */
static inline const char *
scripted_server_url(const struct scripted_server *s, const char *path,
    char *url, size_t len)
{

	(void)snprintf(url, len, "http://127.0.0.1:%d%s", s->port, path);
	return (url);
}

/**
 * scripted_server_stop(server):
 * Stop listening.  Return how many requests there were.
 */
static inline int
scripted_server_stop(struct scripted_server *s)
{

	(void)shutdown(s->fd, SHUT_RDWR);
	(void)pthread_join(s->thread, NULL);
	(void)close(s->fd);
	return (s->nrequests);
}

/**
 * scripted_server_free(server):
 * Forget a server that was stopped.
 */
static inline void
scripted_server_free(struct scripted_server *s)
{

	free(s);
}

#endif /* !SCRIPTED_SERVER_H_ */
