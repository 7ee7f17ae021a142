#include <sys/socket.h>

#include <netdb.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"
#include "db.h"
#include "log.h"
#include "monotime.h"
#include "utf8.h"

#include "db_connect.h"

/* How long one server may take: where there are others, and where not. */
#define ONE_OF_MANY_MS	3000
#define ONLY_ONE_MS	5000

/* What libpq takes for a port that is not given. */
#define DEFAULT_PORT	"5432"

/* One entry of the list of hosts; NULL is left to libpq. */
struct host {
	char *name;
	char *address;
	char *port;
};

struct db_connect {
	const struct config *conf;
	const char *application_name;
	long timeout;			/* connect_timeout in ms, or 0 */
	struct host *hosts;
	size_t nhosts;

	/* The server at hand, which is the first of the next round, too. */
	size_t host;
	size_t address;			/* of those of the host */
	size_t left;			/* hosts to be tried, in this round */
	int skip;			/* begin behind it instead */
	struct addrinfo *addresses;	/* of the host at hand, if looked up */
	char numeric[NI_MAXHOST];	/* the address at hand, or empty */

	PGconn *conn;
	PostgresPollingStatusType polling;
	long deadline;
	char error[1024];
};

/* Return the value of ${keyword} in ${options}, or NULL. */
static const char *
option(const PQconninfoOption *options, const char *keyword)
{

	for (; options != NULL && options->keyword != NULL; options++) {
		if (strcmp(options->keyword, keyword) == 0)
			return (options->val != NULL &&
			    *options->val != '\0' ? options->val : NULL);
	}
	return (NULL);
}

/*
 * Return the value that libpq will take for ${keyword}: what is configured,
 * or else what the environment says.
 */
static const char *
effective(const PQconninfoOption *given, const char *single,
    const PQconninfoOption *defaults, const char *keyword)
{
	const char *value = option(given, keyword);

	if (value == NULL)
		value = single;
	return (value != NULL && *value != '\0' ? value :
	    option(defaults, keyword));
}

static size_t
count(const char *list)
{
	size_t n = 1;

	for (; *list != '\0'; list++)
		n += *list == ',';
	return (n);
}

/*
 * Return a copy of the ${n}th entry of ${list}, ${otherwise} where it is
 * empty; NULL when memory is short.
 */
static char *
entry(const char *list, size_t n, const char *otherwise)
{
	size_t len;

	while (n-- > 0)
		list = strchr(list, ',') + 1;
	if ((len = strcspn(list, ",")) == 0)
		return (strdup(otherwise));
	return (strndup(list, len));
}

/* Does ${name} stand for a socket of this machine? */
static int
is_local(const char *name)
{

	return (*name == '/' || *name == '@');
}

/*
 * Can ${names} and so on be taken apart?  Not if libpq is to say what is wrong
 * with them, or has to find out for itself where a server is.
 */
static int
can_split(const char *names, const char *addresses, const char *ports,
    size_t n)
{
	const char *p;

	if ((names != NULL && count(names) != n) ||
	    (addresses != NULL && count(addresses) != n) ||
	    (count(ports) != 1 && count(ports) != n))
		return (0);
	for (p = names; p != NULL; p = p != NULL ? p + 1 : NULL) {
		if (addresses != NULL ? is_local(p) : strcspn(p, ",") == 0)
			return (0);
		p = strchr(p, ',');
	}
	return (1);
}

/* Fill the list of hosts; 0, or -1 when memory is short. */
static int
split(struct db_connect *c, const char *names, const char *addresses,
    const char *ports)
{
	const char *first = addresses != NULL ? addresses : names;
	struct host *h;
	size_t n = first != NULL ? count(first) : 1, i;
	int apart = first != NULL && can_split(names, addresses, ports, n);

	if (!apart)
		n = 1;
	if ((c->hosts = calloc(n, sizeof(*c->hosts))) == NULL)
		return (-1);
	c->nhosts = n;
	for (i = 0; apart && i < n; i++) {
		h = &c->hosts[i];
		if (addresses != NULL && (h->address =
		    entry(addresses, i, "")) == NULL)
			return (-1);
		h->name = names != NULL ? entry(names, i,
		    h->address != NULL ? h->address : "") :
		    strdup(h->address);
		h->port = entry(ports, count(ports) == 1 ? 0 : i,
		    DEFAULT_PORT);
		if (h->name == NULL || h->port == NULL)
			return (-1);
		if (h->address != NULL && *h->address == '\0') {
			free(h->address);
			h->address = NULL;
		}
	}
	return (0);
}

/* Read which hosts there are; 0, or -1 when memory is short. */
static int
read_hosts(struct db_connect *c)
{
	const struct config *conf = c->conf;
	int is_url = conf->database_url != NULL, rc;
	PQconninfoOption *given = is_url ?
	    PQconninfoParse(conf->database_url, NULL) : NULL;
	PQconninfoOption *defaults = PQconndefaults();
	const char *names, *addresses, *ports, *timeout;

	names = effective(given, is_url ? NULL : conf->postgres_host,
	    defaults, "host");
	addresses = effective(given, NULL, defaults, "hostaddr");
	ports = effective(given, is_url ? NULL : conf->postgres_port,
	    defaults, "port");
	timeout = effective(given, NULL, defaults, "connect_timeout");
	c->timeout = timeout != NULL ? strtol(timeout, NULL, 10) * 1000 : 0;

	/* Only libpq can read what a service stands for. */
	if (option(given, "service") != NULL)
		names = addresses = NULL;
	rc = split(c, names, addresses, ports != NULL ? ports : DEFAULT_PORT);
	PQconninfoFree(given);
	PQconninfoFree(defaults);
	return (rc);
}

/**
 * db_connect_new(conf, application_name):
 * Return a handle that is not connecting; NULL when memory is short.  Both
 * arguments must outlive it.
 */
struct db_connect *
db_connect_new(const struct config *conf, const char *application_name)
{
	struct db_connect *c;

	if ((c = calloc(1, sizeof(*c))) == NULL)
		return (NULL);
	c->conf = conf;
	c->application_name = application_name;
	if (read_hosts(c) != 0) {
		db_connect_free(c);
		return (NULL);
	}
	return (c);
}

/* Add to what is wrong with the servers of this round. */
static void __attribute__((format(printf, 2, 3)))
note(struct db_connect *c, const char *fmt, ...)
{
	size_t len = strlen(c->error);
	va_list ap;

	if (len > 0 && len < sizeof(c->error) - 3) {
		memcpy(&c->error[len], "; ", 3);
		len += 2;
	}
	va_start(ap, fmt);
	(void)vsnprintf(&c->error[len], sizeof(c->error) - len, fmt, ap);
	va_end(ap);
}

static void
note_failure(struct db_connect *c)
{
	char message[512];

	note(c, "%s", db_message(c->conn, message, sizeof(message)));
}

static void
note_silence(struct db_connect *c)
{
	const struct host *h = &c->hosts[c->host];

	if (h->name == NULL)
		note(c, "the database does not answer");
	else if (*c->numeric == '\0')
		note(c, "the database at \"%s\", port %s, does not answer",
		    h->name, h->port);
	else
		note(c, "the database at \"%s\" (%s), port %s, does not "
		    "answer", h->name, c->numeric, h->port);
}

static void
forget_addresses(struct db_connect *c)
{

	if (c->addresses != NULL)
		freeaddrinfo(c->addresses);
	c->addresses = NULL;
}

/*
 * Look up the addresses of the host at hand, if it is a name.  Looking up takes
 * time, by which ${now} is put forward.  Return 0, or -1 if it has none.
 */
static int
look_up(struct db_connect *c, long *now)
{
	const struct host *h = &c->hosts[c->host];
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM,
	    .ai_flags = AI_NUMERICHOST };
	long start;
	int rc;

	if (h->name == NULL || h->address != NULL || is_local(h->name))
		return (0);
	if (getaddrinfo(h->name, NULL, &hints, &c->addresses) == 0)
		return (0);
	hints.ai_flags = 0;
	start = monotime_ms();
	rc = getaddrinfo(h->name, NULL, &hints, &c->addresses);
	*now += monotime_ms() - start;
	if (rc == 0)
		return (0);
	c->addresses = NULL;
	note(c, "the host \"%s\" has no address: %s", h->name,
	    gai_strerror(rc));
	return (-1);
}

/* Return the ${n}th of ${a}, or NULL. */
static const struct addrinfo *
address_at(const struct addrinfo *a, size_t n)
{

	while (a != NULL && n-- > 0)
		a = a->ai_next;
	return (a);
}

/* Go on to the next address or host; return 0 where the round is over. */
static int
advance(struct db_connect *c)
{

	c->address++;
	if (address_at(c->addresses, c->address) != NULL)
		return (1);
	forget_addresses(c);
	c->address = 0;
	c->host = (c->host + 1) % c->nhosts;
	if (c->left > 0)
		c->left--;
	return (c->left > 0);
}

/*
 * Notices are meant for those who run statements by hand; libpq would print
 * them among our log lines, in as many lines as they have.
 */
static void
take_notice(void *unused, const char *message)
{
	char line[256], *p;

	(void)unused;
	(void)snprintf(line, sizeof(line), "%s", message);
	for (p = line; *p != '\0'; p++) {
		if (*p == '\n' || *p == '\t')
			*p = ' ';
	}
	utf8_clean(line);
	log_debug(NULL, "the database notes: %s", line);
}

/* Have libpq begin to connect to the address at hand. */
static PGconn *
start(const struct db_connect *c)
{
	const struct config *conf = c->conf;
	const struct host *h = &c->hosts[c->host];
	int is_url = conf->database_url != NULL;
	PGconn *conn;

	/*
	 * Keepalives find a dead peer of an idle connection within about 4 s;
	 * tcp_user_timeout (milliseconds) one that leaves data unanswered.
	 * What the operator wrote into DATABASE_URL comes later and wins; but
	 * where to go now comes last.
	 */
	const char *keywords[] = { "client_encoding", "application_name",
	    "keepalives", "keepalives_idle", "keepalives_interval",
	    "keepalives_count", "tcp_user_timeout", "dbname", "user",
	    "password", "host", "hostaddr", "port", "target_session_attrs",
	    NULL };
	const char *values[] = { "UTF8", c->application_name,
	    "1", "2", "1", "3", "4000",
	    is_url ? conf->database_url : conf->postgres_db,
	    is_url ? NULL : conf->postgres_user,
	    is_url ? NULL : conf->postgres_password,
	    h->name != NULL || is_url ? h->name : conf->postgres_host,
	    *c->numeric != '\0' ? c->numeric : h->address,
	    h->name != NULL || is_url ? h->port : conf->postgres_port,
	    "read-write", NULL };

	/* Only DATABASE_URL is more than the name of a database. */
	conn = PQconnectStartParams(keywords, values, is_url);
	if (conn != NULL)
		(void)PQsetNoticeProcessor(conn, take_notice, NULL);
	return (conn);
}

/* Try the address at hand; return 0, or -1 if it is of no use. */
static int
try_address(struct db_connect *c, long now)
{
	const struct addrinfo *a;
	int alone;

	if (c->addresses == NULL && look_up(c, &now) != 0)
		return (-1);

	/* It may have fewer addresses than the last time. */
	if ((a = address_at(c->addresses, c->address)) == NULL) {
		c->address = 0;
		a = c->addresses;
	}
	*c->numeric = '\0';
	if (a != NULL)
		(void)getnameinfo(a->ai_addr, a->ai_addrlen, c->numeric,
		    sizeof(c->numeric), NULL, 0, NI_NUMERICHOST);
	if ((c->conn = start(c)) == NULL) {
		note(c, "out of memory");
		return (-1);
	}
	if (PQstatus(c->conn) == CONNECTION_BAD) {
		note_failure(c);
		return (-1);
	}
	alone = c->nhosts == 1 && address_at(c->addresses, 1) == NULL;
	c->deadline = now + (alone ? ONLY_ONE_MS : ONE_OF_MANY_MS);
	if (c->timeout > 0 && now + c->timeout < c->deadline)
		c->deadline = now + c->timeout;
	c->polling = PGRES_POLLING_WRITING;
	return (0);
}

/**
 * db_connect_cancel(c):
 * Give up the server at hand; the next round begins with it.
 */
void
db_connect_cancel(struct db_connect *c)
{

	PQfinish(c->conn);
	c->conn = NULL;
}

/* Try from the address at hand on until one may be of use. */
static enum db_connect_state
try_on(struct db_connect *c, long now)
{

	while (try_address(c, now) != 0) {
		db_connect_cancel(c);
		if (!advance(c))
			return (DB_CONNECT_FAILED);
	}
	return (DB_CONNECT_WAITING);
}

/**
 * db_connect_begin(c, now):
 * Begin a round at ${now}, and give up the one that may be under way.
 */
enum db_connect_state
db_connect_begin(struct db_connect *c, long now)
{

	db_connect_cancel(c);
	if (c->skip)
		(void)advance(c);
	c->skip = 0;
	forget_addresses(c);
	*c->error = '\0';

	/* From the middle of a host it is a way back to its first address. */
	c->left = c->nhosts + (c->address > 0);
	return (try_on(c, now));
}

/* Is the socket ready for what libpq asked for? */
static int
is_ready(const struct db_connect *c)
{
	struct pollfd pfd;
	long deadline;

	db_connect_wait(c, &pfd.fd, &pfd.events, &deadline);
	return (poll(&pfd, 1, 0) > 0);
}

/**
 * db_connect_step(c, now):
 * Do what can be done at ${now} without waiting.
 */
enum db_connect_state
db_connect_step(struct db_connect *c, long now)
{

	for (;;) {
		if (is_ready(c)) {
			c->polling = PQconnectPoll(c->conn);
			if (c->polling == PGRES_POLLING_OK)
				return (DB_CONNECT_DONE);
			if (c->polling != PGRES_POLLING_FAILED)
				continue;
			note_failure(c);
		} else if (now < c->deadline)
			return (DB_CONNECT_WAITING);
		else
			note_silence(c);
		db_connect_cancel(c);
		return (advance(c) ? try_on(c, now) : DB_CONNECT_FAILED);
	}
}

/**
 * db_connect_wait(c, fd, events, deadline):
 * Tell what db_connect_step waits for: ${fd} with the poll(2) ${events}, until
 * ${deadline} at the latest.
 */
void
db_connect_wait(const struct db_connect *c, int *fd, short *events,
    long *deadline)
{

	/* The socket may be another one after each call of libpq. */
	*fd = c->conn != NULL ? PQsocket(c->conn) : -1;
	*events = c->polling == PGRES_POLLING_READING ? POLLIN : POLLOUT;
	*deadline = c->deadline;
}

/**
 * db_connect_take(c):
 * Return the connection, after DB_CONNECT_DONE, as the caller's to finish.
 */
PGconn *
db_connect_take(struct db_connect *c)
{
	PGconn *conn = c->conn;

	c->conn = NULL;
	return (conn);
}

/**
 * db_connect_skip(c):
 * The connection that was taken is of no use: begin the next round behind it.
 */
void
db_connect_skip(struct db_connect *c)
{

	c->skip = 1;
}

/**
 * db_connect_error(c):
 * Return why the round has failed, of each server, in one line.
 */
const char *
db_connect_error(const struct db_connect *c)
{

	return (c->error);
}

/**
 * db_connect_free(c):
 * Give up what is under way and free ${c}; NULL is fine.
 */
void
db_connect_free(struct db_connect *c)
{
	size_t i;

	if (c == NULL)
		return;
	db_connect_cancel(c);
	forget_addresses(c);
	for (i = 0; i < c->nhosts; i++) {
		free(c->hosts[i].name);
		free(c->hosts[i].address);
		free(c->hosts[i].port);
	}
	free(c->hosts);
	free(c);
}
