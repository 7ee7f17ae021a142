#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/*
 * task-api: what a benchmark calls in the place of Cloud Tasks' REST API.
 * It remembers the names of the tasks that were created, says 409 to a name
 * that it knows, and never calls anybody.  It costs some ten microseconds a
 * request, so that it is the schedulers that are measured.  One thread, plain
 * HTTP/1.1 on 127.0.0.1, on a port that it prints; connections are kept, and
 * requests may be pipelined.
 *
 *   POST   .../tasks          200 with the task, or 409 ALREADY_EXISTS
 *   GET    .../tasks/NAME     200, or 404 NOT_FOUND
 *   DELETE .../tasks/NAME     200, or 404; the name stays taken, as Google's
 *   GET    /stats             "creates N repeats N others N tasks N"
 *   POST   /reset?latency=MS  forgets everything; from now on every answer to
 *                             the API takes MS milliseconds
 *
 * A body must have a Content-Length, and be JSON without blanks in which the
 * first "name" is the task's.
 */

#define MAX_EVENTS	256
#define MAX_REQUEST	65536		/* head and body, in bytes */
#define MAX_NAME	512
#define MIN_SLOTS	(1u << 16)

/* What the names are kept in: open addressing, at most half full. */
struct name {
	uint64_t hash;
	char *text;			/* NULL: the slot is free */
	int deleted;
};

struct answer {
	STAILQ_ENTRY(answer) entry;
	struct connection *connection;
	int64_t due;			/* in microseconds */
	size_t len;
	char text[];
};

struct connection {
	LIST_ENTRY(connection) entry;	/* in open or ended */
	int fd;				/* -1: closed */
	size_t waiting;			/* answers that are not due yet */
	char *in, *out;
	size_t in_len, in_size;
	size_t out_len, out_size;
	int blocked;			/* epoll tells when it can be written */
};

static struct {
	int epoll, timer;
	struct name *names;
	size_t slots, used, tasks;
	uint64_t creates, repeats, others;
	int64_t latency;		/* in microseconds */
	STAILQ_HEAD(, answer) answers;	/* all wait equally long: by time */
	LIST_HEAD(, connection) open, ended;
} api;

static void
die(const char *what)
{

	perror(what);
	exit(1);
}

static void *
must(void *memory)
{

	if (memory == NULL)
		die("task-api: malloc");
	return (memory);
}

static int64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

/*
 * The names
 */

/* FNV-1a. */
static uint64_t
hash_of(const char *text, size_t len)
{
	uint64_t hash = 14695981039346656037u;

	while (len-- > 0)
		hash = (hash ^ (unsigned char)*text++) * 1099511628211u;
	return (hash);
}

/* The slot of a name, or the free one where it belongs. */
static struct name *
find(const char *text, size_t len)
{
	uint64_t hash = hash_of(text, len);
	size_t i = hash & (api.slots - 1);
	struct name *n;

	for (;; i = (i + 1) & (api.slots - 1)) {
		n = &api.names[i];
		if (n->text == NULL) {
			n->hash = hash;
			return (n);
		}
		if (n->hash == hash && strncmp(n->text, text, len) == 0 &&
		    n->text[len] == '\0')
			return (n);
	}
}

static void
forget(void)
{
	size_t i;

	for (i = 0; i < api.slots; i++)
		free(api.names[i].text);
	free(api.names);
	api.slots = MIN_SLOTS;
	api.names = must(calloc(api.slots, sizeof(struct name)));
	api.used = api.tasks = 0;
	api.creates = api.repeats = api.others = 0;
}

static void
grow(void)
{
	struct name *old = api.names;
	size_t i, j, slots = api.slots;

	api.slots *= 2;
	api.names = must(calloc(api.slots, sizeof(struct name)));
	for (i = 0; i < slots; i++) {
		if (old[i].text == NULL)
			continue;
		j = old[i].hash & (api.slots - 1);
		while (api.names[j].text != NULL)
			j = (j + 1) & (api.slots - 1);
		api.names[j] = old[i];
	}
	free(old);
}

/* Take a name; return 0, or -1 if it is taken. */
static int
take(const char *text, size_t len)
{
	struct name *n = find(text, len);

	if (n->text != NULL)
		return (-1);
	n->text = must(strndup(text, len));
	n->deleted = 0;
	api.tasks++;
	if (++api.used * 2 > api.slots)
		grow();
	return (0);
}

/*
 * Connections
 */

static void
watch(struct connection *c, int operation)
{
	struct epoll_event event = {
		.events = EPOLLIN | (c->blocked ? EPOLLOUT : 0),
		.data.ptr = c
	};

	if (epoll_ctl(api.epoll, operation, c->fd, &event) != 0)
		die("task-api: epoll_ctl");
}

/* Close it.  Its memory is freed when no event or answer can name it. */
static void
end(struct connection *c)
{

	if (c->fd < 0)
		return;
	(void)close(c->fd);
	c->fd = -1;
	LIST_REMOVE(c, entry);
	LIST_INSERT_HEAD(&api.ended, c, entry);
}

static void
free_ended(void)
{
	struct connection *c, *next;

	for (c = LIST_FIRST(&api.ended); c != NULL; c = next) {
		next = LIST_NEXT(c, entry);
		if (c->waiting > 0)
			continue;
		LIST_REMOVE(c, entry);
		free(c->in);
		free(c->out);
		free(c);
	}
}

static void
reserve(char **buffer, size_t *size, size_t wanted)
{

	if (wanted <= *size)
		return;
	while (*size < wanted)
		*size = *size == 0 ? 4096 : *size * 2;
	*buffer = must(realloc(*buffer, *size));
}

/* Send what there is to send, now or when the peer reads again. */
static void
flush_out(struct connection *c)
{
	ssize_t n = 0;
	int blocked;

	if (c->fd < 0 || c->out_len == 0)
		return;
	n = send(c->fd, c->out, c->out_len, MSG_NOSIGNAL);
	if (n < 0 && errno != EAGAIN && errno != EINTR) {
		end(c);
		return;
	}
	if (n > 0) {
		c->out_len -= (size_t)n;
		memmove(c->out, &c->out[n], c->out_len);
	}
	blocked = c->out_len > 0;
	if (blocked != c->blocked) {
		c->blocked = blocked;
		watch(c, EPOLL_CTL_MOD);
	}
}

static void
put(struct connection *c, const char *text, size_t len)
{

	reserve(&c->out, &c->out_size, c->out_len + len);
	memcpy(&c->out[c->out_len], text, len);
	c->out_len += len;
}

static void
set_timer(void)
{
	struct itimerspec when = { .it_value.tv_nsec = 0 };
	const struct answer *first = STAILQ_FIRST(&api.answers);

	when.it_value.tv_sec = first->due / 1000000;
	when.it_value.tv_nsec = first->due % 1000000 * 1000;
	if (timerfd_settime(api.timer, TFD_TIMER_ABSTIME, &when, NULL) != 0)
		die("task-api: timerfd_settime");
}

/* Answer a request to the API, in its time. */
static void
respond(struct connection *c, const char *status, const char *body, size_t len)
{
	char head[160];
	struct answer *a;
	int n, was_empty;

	n = snprintf(head, sizeof(head), "HTTP/1.1 %s\r\n"
	    "Content-Type: application/json; charset=UTF-8\r\n"
	    "Content-Length: %zu\r\n\r\n", status, len);
	if (api.latency == 0) {
		put(c, head, (size_t)n);
		put(c, body, len);
		return;
	}
	a = must(malloc(sizeof(*a) + (size_t)n + len));
	a->connection = c;
	a->due = now_us() + api.latency;
	a->len = (size_t)n + len;
	memcpy(a->text, head, (size_t)n);
	memcpy(&a->text[n], body, len);
	c->waiting++;
	was_empty = STAILQ_EMPTY(&api.answers);
	STAILQ_INSERT_TAIL(&api.answers, a, entry);
	if (was_empty)
		set_timer();
}

/* Send the answers whose time has come. */
static void
send_due(void)
{
	int64_t now = now_us();
	struct connection *c;
	struct answer *a;

	while ((a = STAILQ_FIRST(&api.answers)) != NULL && a->due <= now) {
		STAILQ_REMOVE_HEAD(&api.answers, entry);
		c = a->connection;
		c->waiting--;
		if (c->fd >= 0) {
			put(c, a->text, a->len);
			flush_out(c);
		}
		free(a);
	}
	if (a != NULL)
		set_timer();
}

/*
 * Requests
 */

static void
fail(struct connection *c, const char *line, int code, const char *status)
{
	char body[256];
	int len;

	len = snprintf(body, sizeof(body), "{\"error\":{\"code\":%d,"
	    "\"message\":\"%s\",\"status\":\"%s\"}}", code, status, status);
	respond(c, line, body, (size_t)len);
}

/* POST .../tasks: the name is the only member that is looked at. */
static void
create(struct connection *c, const char *body, size_t len)
{
	static const char member[] = "\"name\":\"";
	const char *name, *quote;
	char text[MAX_NAME * 2];
	size_t name_len;
	int n;

	name = memmem(body, len, member, strlen(member));
	if (name == NULL) {
		api.others++;
		fail(c, "400 Bad Request", 400, "INVALID_ARGUMENT");
		return;
	}
	name += strlen(member);
	quote = memchr(name, '"', len - (size_t)(name - body));
	if (quote == NULL || (name_len = (size_t)(quote - name)) > MAX_NAME) {
		api.others++;
		fail(c, "400 Bad Request", 400, "INVALID_ARGUMENT");
		return;
	}
	if (take(name, name_len) != 0) {
		api.repeats++;
		fail(c, "409 Conflict", 409, "ALREADY_EXISTS");
		return;
	}
	api.creates++;
	n = snprintf(text, sizeof(text), "{\"name\":\"%.*s\","
	    "\"createTime\":\"2026-01-01T00:00:00Z\",\"dispatchDeadline\":"
	    "\"120s\",\"view\":\"BASIC\"}", (int)name_len, name);
	respond(c, "200 OK", text, (size_t)n);
}

/* GET or DELETE .../tasks/NAME. */
static void
by_name(struct connection *c, const char *name, size_t len, int delete)
{
	struct name *n = find(name, len);
	char text[MAX_NAME * 2];
	int text_len;

	api.others++;
	if (n->text == NULL || n->deleted) {
		fail(c, "404 Not Found", 404, "NOT_FOUND");
		return;
	}
	if (delete) {
		n->deleted = 1;
		api.tasks--;
		respond(c, "200 OK", "{}", 2);
		return;
	}
	text_len = snprintf(text, sizeof(text), "{\"name\":\"%.*s\"}",
	    (int)(len < MAX_NAME ? len : MAX_NAME), name);
	respond(c, "200 OK", text, (size_t)text_len);
}

/* /stats and /reset, which are not a part of the API and answer at once. */
static void
control(struct connection *c, const char *target)
{
	static const char reset[] = "/reset?latency=";
	char body[128], head[128];
	int len, n;

	if (strncmp(target, reset, strlen(reset)) == 0) {
		api.latency = strtol(&target[strlen(reset)], NULL, 10) * 1000;
		forget();
	}
	len = snprintf(body, sizeof(body), "creates %" PRIu64 " repeats %"
	    PRIu64 " others %" PRIu64 " tasks %zu\n", api.creates,
	    api.repeats, api.others, api.tasks);
	n = snprintf(head, sizeof(head), "HTTP/1.1 200 OK\r\n"
	    "Content-Length: %d\r\n\r\n", len);
	put(c, head, (size_t)n);
	put(c, body, (size_t)len);
}

/* Answer one whole request; "METHOD TARGET ..." is its first line. */
static void
dispatch(struct connection *c, const char *request, const char *body,
    size_t body_len)
{
	const char *target = strchr(request, ' ') + 1, *tasks;
	size_t len = strcspn(target, " ?\r");

	if (strncmp(target, "/stats", 6) == 0 ||
	    strncmp(target, "/reset", 6) == 0) {
		control(c, target);
		return;
	}
	tasks = memmem(target, len, "/tasks", 6);
	if (tasks == NULL || strncmp(target, "/v2/", 4) != 0) {
		api.others++;
		fail(c, "404 Not Found", 404, "NOT_FOUND");
	} else if (request[0] == 'P' && &tasks[6] == &target[len])
		create(c, body, body_len);
	else
		by_name(c, &target[4], len - 4, request[0] == 'D');
}

/*
 * Find a whole request in the first ${len} bytes of ${in}, which ends in a NUL
 * behind them.  Return its length, 0 if there is more to come, or -1 if it is
 * none that we understand; point ${body} at its body.
 */
static ssize_t
parse(char *in, size_t len, char **body, size_t *body_len)
{
	char *head_end, *value;

	*body_len = 0;
	if ((head_end = memmem(in, len, "\r\n\r\n", 4)) == NULL)
		return (len < MAX_REQUEST ? 0 : -1);
	*body = head_end + 4;
	*head_end = '\0';
	if (strchr(in, ' ') == NULL)
		return (-1);
	if ((value = strcasestr(in, "\r\nContent-Length:")) != NULL)
		*body_len = strtoul(&value[17], NULL, 10);
	else if (strcasestr(in, "\r\nTransfer-Encoding:") != NULL)
		return (-1);
	*head_end = '\r';
	if (*body_len > MAX_REQUEST)
		return (-1);
	if ((size_t)(*body - in) + *body_len > len)
		return (0);
	return ((*body - in) + (ssize_t)*body_len);
}

/* Read what has come and answer each request that is whole. */
static void
serve(struct connection *c)
{
	size_t body_len, done = 0;
	ssize_t n;
	char *body;

	reserve(&c->in, &c->in_size, c->in_len + 16384);
	n = recv(c->fd, &c->in[c->in_len], c->in_size - c->in_len - 1, 0);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		end(c);
		return;
	}
	if (n < 0)
		return;
	c->in_len += (size_t)n;
	c->in[c->in_len] = '\0';
	while ((n = parse(&c->in[done], c->in_len - done, &body,
	    &body_len)) > 0) {
		dispatch(c, &c->in[done], body, body_len);
		done += (size_t)n;
	}
	if (n < 0) {
		end(c);
		return;
	}
	c->in_len -= done;
	memmove(c->in, &c->in[done], c->in_len);
	flush_out(c);
}

static void
accept_all(int listener)
{
	struct connection *c;
	int fd, on = 1;

	while ((fd = accept4(listener, NULL, NULL,
	    SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
		(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on,
		    sizeof(on));
		c = must(calloc(1, sizeof(*c)));
		c->fd = fd;
		LIST_INSERT_HEAD(&api.open, c, entry);
		watch(c, EPOLL_CTL_ADD);
	}
}

/* Listen on a port that is free, and print it. */
static int
open_listener(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t len = sizeof(address);
	int fd;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 ||
	    listen(fd, SOMAXCONN) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &len) != 0)
		die("task-api: listen");
	printf("port %d\n", ntohs(address.sin_port));
	(void)fflush(stdout);
	return (fd);
}

int
main(void)
{
	struct epoll_event events[MAX_EVENTS], event = { .events = EPOLLIN };
	uint64_t expirations;
	void *who;
	int i, listener, n;

	STAILQ_INIT(&api.answers);
	forget();
	listener = open_listener();
	api.epoll = epoll_create1(EPOLL_CLOEXEC);
	api.timer = timerfd_create(CLOCK_MONOTONIC,
	    TFD_NONBLOCK | TFD_CLOEXEC);
	event.data.ptr = &listener;
	if (epoll_ctl(api.epoll, EPOLL_CTL_ADD, listener, &event) != 0)
		die("task-api: epoll_ctl");
	event.data.ptr = &api.timer;
	if (epoll_ctl(api.epoll, EPOLL_CTL_ADD, api.timer, &event) != 0)
		die("task-api: epoll_ctl");

	for (;;) {
		n = epoll_wait(api.epoll, events, MAX_EVENTS, -1);
		for (i = 0; i < n; i++) {
			who = events[i].data.ptr;
			if (who == &listener)
				accept_all(listener);
			else if (who == &api.timer) {
				(void)!read(api.timer, &expirations,
				    sizeof(expirations));
				send_due();
			} else {
				if (((struct connection *)who)->fd >= 0 &&
				    events[i].events & EPOLLOUT)
					flush_out(who);
				if (((struct connection *)who)->fd >= 0 &&
				    events[i].events & ~(uint32_t)EPOLLOUT)
					serve(who);
			}
		}
		free_ended();
	}
}
