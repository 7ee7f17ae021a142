#ifndef SCRIPTED_PEER_H_
#define SCRIPTED_PEER_H_

#include <sys/socket.h>

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "scripted_server.h"
#include "unit.h"

/*
 * A loopback HTTP server without a thread, for programs that drive their
 * requests by events: it collects what is asked, and answers each request
 * when the test says so.  Connections stay open between requests.
 *
 * peer_open();
 * ... the program sends; peer_look() until peer.nasked is 1 ...
 * ... peer.asked[0].text, peer_body(0) ...
 * peer_answer(0, "200 OK", "", "{}");
 * peer_close();
 */

#define PEER_CONNECTIONS	32
#define PEER_REQUESTS		512
#define PEER_BUFFER		16384

static struct {
	int fd;			/* -1: whoever comes is refused */
	int port;
	struct {
		int fd;			/* -1: free */
		size_t len;
		char buf[PEER_BUFFER];
	} connections[PEER_CONNECTIONS];
	struct {
		char *text;
		int connection;
	} asked[PEER_REQUESTS];
	int nasked;
} peer;

/* Begin to listen, on the same port as before if there was one. */
static inline void
peer_listen(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET,
	    .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
	    .sin_port = htons((in_port_t)peer.port) };
	int yes = 1;

	peer.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_true(peer.fd >= 0);
	assert_int_equal(setsockopt(peer.fd, SOL_SOCKET, SO_REUSEADDR, &yes,
	    sizeof(yes)), 0);
	assert_int_equal(bind(peer.fd, (struct sockaddr *)&sin, sizeof(sin)),
	    0);
	assert_int_equal(listen(peer.fd, PEER_CONNECTIONS), 0);
	assert_int_equal(fcntl(peer.fd, F_SETFL, O_NONBLOCK), 0);
}

static inline void
peer_open(void)
{
	int i;

	memset(&peer, 0, sizeof(peer));
	for (i = 0; i < PEER_CONNECTIONS; i++)
		peer.connections[i].fd = -1;
	(void)close(scripted_listen(&peer.port));
	peer_listen();
}

/* Close connection ${i}. */
static inline void
peer_hang_up(int i)
{

	(void)close(peer.connections[i].fd);
	peer.connections[i].fd = -1;
}

/* Refuse whoever comes, and close what is open. */
static inline void
peer_die(void)
{
	int i;

	(void)close(peer.fd);
	peer.fd = -1;
	for (i = 0; i < PEER_CONNECTIONS; i++) {
		if (peer.connections[i].fd >= 0)
			peer_hang_up(i);
	}
}

static inline void
peer_close(void)
{

	if (peer.fd >= 0)
		peer_die();
	while (peer.nasked > 0)
		free(peer.asked[--peer.nasked].text);
}

/* Read from connection ${i} and note the request when it is whole. */
static inline void
peer_read(int i)
{
	size_t len = peer.connections[i].len;
	char *buf = peer.connections[i].buf;
	ssize_t n;

	n = recv(peer.connections[i].fd, &buf[len], PEER_BUFFER - 1 - len,
	    MSG_DONTWAIT);
	if (n == 0)
		peer_hang_up(i);
	if (n <= 0)
		return;
	len += (size_t)n;
	buf[len] = '\0';
	peer.connections[i].len = len;
	if (!scripted_is_whole(buf, len))
		return;
	assert_true(peer.nasked < PEER_REQUESTS);
	peer.asked[peer.nasked].text = strdup(buf);
	assert_non_null(peer.asked[peer.nasked].text);
	peer.asked[peer.nasked++].connection = i;
	peer.connections[i].len = 0;
}

/* Accept and read what there is, waiting for it a millisecond at most. */
static inline void
peer_look(void)
{
	struct pollfd pfds[PEER_CONNECTIONS + 1];
	int fd, i;

	for (i = 0; i < PEER_CONNECTIONS; i++)
		pfds[i] = (struct pollfd){ .fd = peer.connections[i].fd,
		    .events = POLLIN };
	pfds[i] = (struct pollfd){ .fd = peer.fd, .events = POLLIN };
	if (poll(pfds, NITEMS(pfds), 1) <= 0)
		return;
	for (i = 0; i < PEER_CONNECTIONS; i++) {
		if (pfds[i].fd >= 0 && pfds[i].revents != 0)
			peer_read(i);
	}
	while (peer.fd >= 0 && (fd = accept(peer.fd, NULL, NULL)) >= 0) {
		for (i = 0; peer.connections[i].fd >= 0; i++)
			assert_true(i + 1 < PEER_CONNECTIONS);
		peer.connections[i].fd = fd;
		peer.connections[i].len = 0;
	}
}

/* Return the body of request ${i}. */
static inline const char *
peer_body(int i)
{

	assert_true(i < peer.nasked);
	return (strstr(peer.asked[i].text, "\r\n\r\n") + 4);
}

/*
 * Answer request ${i} with ${status} ("200 OK"), the header lines ${headers}
 * (each with its CRLF) and ${body}.
 */
static inline void
peer_answer(int i, const char *status, const char *headers, const char *body)
{
	char *text;

	assert_true(i < peer.nasked);
	assert_true(asprintf(&text, "HTTP/1.1 %s\r\nContent-Length: %zu\r\n"
	    "%s\r\n%s", status, strlen(body), headers, body) > 0);
	scripted_write(peer.connections[peer.asked[i].connection].fd, text);
	free(text);
}

/* Break off the connection of request ${i} without an answer. */
static inline void
peer_abort(int i)
{

	peer_hang_up(peer.asked[i].connection);
}

#endif /* !SCRIPTED_PEER_H_ */
