#include <sys/epoll.h>
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * hostile PORT PATH SOURCES SECONDS KIND=N...: be so many bad clients of each
 * kind to the HTTP server at 127.0.0.1:${PORT}, for ${SECONDS}, from
 * ${SOURCES} addresses 127.0.1.1, 127.0.1.2, ...  A connection that the server
 * ends is opened again after a pause.  At the end they fall silent and wait for
 * the server to end the last of them, at most LINGER_MS.  Print what came of
 * them:
 *
 *   end KIND HOW N		HOW: the status of the answer, or "closed"
 *   most KIND N		connections that were open at a time
 *   longest KIND MS		that one was open, until they fell silent
 *   left KIND N		that the server has not ended
 *
 * Those that send HTTP post to ${PATH}.
 */

/* A drip, and the pause before a connection is opened again. */
#define DRIP_MS		1000
#define PAUSE_MS	250

/* Between two looks at who has something to do. */
#define TICK_MS		20

/* Connections that are opened in a tick, so that the queue is not the limit. */
#define OPEN_A_TICK	100

#define LINGER_MS	90000
#define STATUSES	600
#define MAX_EVENTS	256

enum kind {
	KIND_SILENT,		/* sends nothing */
	KIND_SLOW_HEADER,	/* the header, a byte at a time */
	KIND_SLOW_BODY,		/* a body that was announced, likewise */
	KIND_SLOW_REFUSED,	/* likewise, of a request refused long ago */
	KIND_DEAF,		/* many requests, and reads no answer */
	KIND_HEADERS,		/* a header of thousands of lines */
	KIND_GARBAGE,		/* no HTTP at all */
	NKINDS
};

static const char *const names[NKINDS] = { "silent", "slow-header",
    "slow-body", "slow-refused", "deaf", "headers", "garbage" };

struct client {
	enum kind kind;
	int fd;			/* or -1 */
	int status;		/* of the answer, or 0 */
	size_t sent;		/* of the text */
	int64_t opened;		/* when, in ms */
	int64_t due;		/* when it has something to do */
};

struct result {
	uint64_t ends[STATUSES];	/* 0: closed without an answer */
	long open, most;
	int64_t longest;
};

struct siege {
	struct sockaddr_in server;
	uint32_t sources, next_source;
	struct client *clients;
	size_t n;
	int epoll;
	int over;
	char *texts[NKINDS];	/* what they send */
	size_t lens[NKINDS];
	size_t at_once[NKINDS];	/* so much is sent without a pause */
	struct result results[NKINDS];
};

static int64_t
now_ms(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000);
}

/* Append ${n} times ${s} to the text of ${kind}; return 0 or -1. */
static int
add(struct siege *s, enum kind kind, const char *text, size_t n)
{
	size_t len = strlen(text), have = s->lens[kind];
	char *p;

	if ((p = realloc(s->texts[kind], have + n * len + 1)) == NULL)
		return (-1);
	s->texts[kind] = p;
	for (p += have; n > 0; n--, p += len)
		memcpy(p, text, len + 1);
	s->lens[kind] = (size_t)(p - s->texts[kind]);
	return (0);
}

/* Write what each kind sends. */
static int
make_texts(struct siege *s, const char *path)
{
	char head[512], refused[512], whole[768];

	(void)snprintf(head, sizeof(head), "POST %.200s HTTP/1.1\r\n"
	    "Host: localhost\r\nContent-Type: application/json\r\n", path);
	(void)snprintf(refused, sizeof(refused), "POST /no/such HTTP/1.1\r\n"
	    "Host: localhost\r\nContent-Length: 60000\r\n\r\n");
	(void)snprintf(whole, sizeof(whole), "%sContent-Length: 2\r\n\r\n{}",
	    head);
	if (add(s, KIND_SLOW_HEADER, head, 1) != 0 ||
	    add(s, KIND_SLOW_HEADER, "X-Slow: header\r\n", 100) != 0 ||
	    add(s, KIND_SLOW_BODY, head, 1) != 0 ||
	    add(s, KIND_SLOW_BODY, "Content-Length: 60000\r\n\r\n", 1) != 0)
		return (-1);
	s->at_once[KIND_SLOW_BODY] = s->lens[KIND_SLOW_BODY];
	if (add(s, KIND_SLOW_BODY, " ", 59000) != 0 ||
	    add(s, KIND_SLOW_REFUSED, refused, 1) != 0)
		return (-1);
	s->at_once[KIND_SLOW_REFUSED] = s->lens[KIND_SLOW_REFUSED];
	if (add(s, KIND_SLOW_REFUSED, " ", 59000) != 0 ||
	    add(s, KIND_DEAF, whole, 20000) != 0 ||
	    add(s, KIND_HEADERS, head, 1) != 0 ||
	    add(s, KIND_HEADERS, "X-Many: headers\r\n", 20000) != 0 ||
	    add(s, KIND_GARBAGE, "\001\002 \377garbage\r\n", 2000) != 0)
		return (-1);
	s->at_once[KIND_DEAF] = s->lens[KIND_DEAF];
	s->at_once[KIND_HEADERS] = s->lens[KIND_HEADERS];
	s->at_once[KIND_GARBAGE] = s->lens[KIND_GARBAGE];
	return (0);
}

static void
note_age(struct siege *s, const struct client *c, int64_t now)
{

	if (now - c->opened > s->results[c->kind].longest)
		s->results[c->kind].longest = now - c->opened;
}

static void
end(struct siege *s, struct client *c, int64_t now)
{

	(void)close(c->fd);
	c->fd = -1;
	c->due = now + PAUSE_MS;
	s->results[c->kind].ends[c->status]++;
	s->results[c->kind].open--;
	if (!s->over)
		note_age(s, c, now);
}

/* Send what is due; the server may not want it any more. */
static void
drip(struct siege *s, struct client *c, int64_t now)
{
	size_t left = s->lens[c->kind] - c->sent, want = 1;
	ssize_t n;

	if (c->sent < s->at_once[c->kind])
		want = s->at_once[c->kind] - c->sent;
	if (want > left)
		want = left;
	n = want == 0 ? 0 : send(c->fd, &s->texts[c->kind][c->sent], want,
	    MSG_NOSIGNAL);
	if (n > 0)
		c->sent += (size_t)n;
	c->due = now + (c->sent == 0 || c->sent < s->at_once[c->kind] ?
	    TICK_MS : DRIP_MS);
}

/* Open a connection; if that fails, it is tried again after a pause. */
static void
open_client(struct siege *s, struct client *c, int64_t now)
{
	struct sockaddr_in from = { .sin_family = AF_INET };
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP,
	    .data.ptr = c };
	struct result *r = &s->results[c->kind];
	int one = 1, small = 4096;

	c->due = now + PAUSE_MS;
	c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	if (c->fd < 0)
		return;
	if (c->kind == KIND_DEAF) {
		event.events = 0;
		(void)setsockopt(c->fd, SOL_SOCKET, SO_RCVBUF, &small,
		    sizeof(small));
	}
	from.sin_addr.s_addr = htonl(0x7f000101 +
	    s->next_source++ % s->sources);
	(void)setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one,
	    sizeof(one));
	if (bind(c->fd, (struct sockaddr *)&from, sizeof(from)) != 0 ||
	    (connect(c->fd, (struct sockaddr *)&s->server,
	    sizeof(s->server)) != 0 && errno != EINPROGRESS) ||
	    epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) {
		(void)close(c->fd);
		c->fd = -1;
		return;
	}
	c->status = 0;
	c->sent = 0;
	c->opened = now;
	if (++r->open > r->most)
		r->most = r->open;
	drip(s, c, now);
}

/* The status of the answer that begins so; 0 if it is none. */
static int
status_of(const char *answer)
{
	const char *blank = strchr(answer, ' ');
	long status;

	if (strncmp(answer, "HTTP/", 5) != 0 || blank == NULL)
		return (0);
	status = strtol(blank, NULL, 10);
	return (status > 0 && status < STATUSES ? (int)status : 0);
}

/* Something has come, or the connection is closed. */
static void
hear(struct siege *s, struct client *c, uint32_t events, int64_t now)
{
	char buf[4096];
	ssize_t n;

	if (c->fd < 0)
		return;
	do {
		n = recv(c->fd, buf, sizeof(buf) - 1, 0);
		if (n <= 0)
			break;
		buf[n] = '\0';
		if (c->status == 0)
			c->status = status_of(buf);
	} while (1);
	if (n == 0 || errno != EAGAIN || (events & (EPOLLERR | EPOLLHUP)))
		end(s, c, now);
}

static long
count_open(const struct siege *s)
{
	long n = 0;
	int i;

	for (i = 0; i < NKINDS; i++)
		n += s->results[i].open;
	return (n);
}

/* It is over: send no more, and read what there is. */
static void
fall_silent(struct siege *s, int64_t now)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP };
	struct client *c;

	s->over = 1;
	for (c = s->clients; c < &s->clients[s->n]; c++) {
		if (c->fd < 0)
			continue;
		note_age(s, c, now);
		event.data.ptr = c;
		(void)epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &event);
	}
}

static void
run(struct siege *s, int64_t seconds)
{
	struct epoll_event events[MAX_EVENTS];
	int64_t start = now_ms(), now = start, ticked = 0;
	int n, i, opened;
	size_t j;

	while (!s->over || (count_open(s) > 0 &&
	    now < start + seconds * 1000 + LINGER_MS)) {
		n = epoll_wait(s->epoll, events, MAX_EVENTS, TICK_MS);
		now = now_ms();
		for (i = 0; i < n; i++)
			hear(s, events[i].data.ptr, events[i].events, now);
		if (!s->over && now >= start + seconds * 1000)
			fall_silent(s, now);
		if (s->over || now < ticked + TICK_MS)
			continue;
		ticked = now;
		for (j = 0, opened = 0; j < s->n; j++) {
			if (s->clients[j].due > now)
				continue;
			if (s->clients[j].fd >= 0)
				drip(s, &s->clients[j], now);
			else if (opened++ < OPEN_A_TICK)
				open_client(s, &s->clients[j], now);
		}
	}
}

static void
print_results(const struct siege *s)
{
	const struct result *r;
	int i, status;

	for (i = 0; i < NKINDS; i++) {
		r = &s->results[i];
		if (r->most == 0)
			continue;
		for (status = 0; status < STATUSES; status++) {
			if (r->ends[status] == 0)
				continue;
			printf("end %s ", names[i]);
			printf(status == 0 ? "closed" : "%d", status);
			printf(" %" PRIu64 "\n", r->ends[status]);
		}
		printf("most %s %ld\nlongest %s %" PRId64 "\nleft %s %ld\n",
		    names[i], r->most, names[i], r->longest, names[i],
		    r->open);
	}
}

/* Add the clients of "KIND=N"; return 0 or -1. */
static int
add_clients(struct siege *s, const char *arg)
{
	size_t len = strcspn(arg, "=");
	struct client *more;
	int kind;
	long n;

	for (kind = 0; kind < NKINDS; kind++) {
		if (strlen(names[kind]) == len &&
		    strncmp(names[kind], arg, len) == 0)
			break;
	}
	if (kind == NKINDS || arg[len] == '\0' ||
	    (n = strtol(&arg[len + 1], NULL, 10)) <= 0 || n > 100000)
		return (-1);
	more = realloc(s->clients, (s->n + (size_t)n) * sizeof(*more));
	if (more == NULL)
		return (-1);
	s->clients = more;
	for (; n > 0; n--)
		s->clients[s->n++] = (struct client){ .kind = (enum kind)kind,
		    .fd = -1 };
	return (0);
}

int
main(int argc, char **argv)
{
	static struct siege s;
	long port, sources, seconds;
	int i, usage = 0;

	if (argc < 6 || (port = strtol(argv[1], NULL, 10)) <= 0 ||
	    port > 65535 || (sources = strtol(argv[3], NULL, 10)) <= 0 ||
	    sources > 250 || (seconds = strtol(argv[4], NULL, 10)) <= 0 ||
	    seconds > 86400)
		usage = 1;
	for (i = 5; i < argc && !usage; i++)
		usage = add_clients(&s, argv[i]) != 0;
	if (usage) {
		(void)fputs("usage: hostile PORT PATH SOURCES SECONDS "
		    "KIND=N...\n", stderr);
		return (2);
	}
	s.server.sin_family = AF_INET;
	s.server.sin_port = htons((uint16_t)port);
	s.server.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	s.sources = (uint32_t)sources;
	if ((s.epoll = epoll_create1(EPOLL_CLOEXEC)) < 0 ||
	    make_texts(&s, argv[2]) != 0) {
		(void)fprintf(stderr, "hostile: %s\n", strerror(errno));
		return (1);
	}

	run(&s, seconds);
	print_results(&s);

	for (i = 0; i < NKINDS; i++)
		free(s.texts[i]);
	free(s.clients);
	return (0);
}
