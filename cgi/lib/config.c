#include <sys/un.h>

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "conninfo.h"
#include "log.h"
#include "url.h"
#include "utf8.h"

#include "config.h"

#define ALL	(CONFIG_LISTENER | CONFIG_SCHEDULE | CONFIG_EXECUTE)
#define CGI	(CONFIG_SCHEDULE | CONFIG_EXECUTE)

/* Cloud Tasks takes URLs of 2083 bytes; ours has an id and a word behind it. */
#define BASE_URL_MAX	1900

/*
 * What the kernel takes of a socket's path, and what the longest name that is
 * put behind FOLLOWUP_RUNTIME_DIR leaves of it.
 */
#define SOCKET_MAX	(sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)
#define RUNTIME_DIR_MAX	(SOCKET_MAX - strlen("/schedule.sock.new"))

#define DEFAULT_WEBHOOK_URL	"http://localhost/webhooks/booking-followup"

/* What a value has to look like. */
enum type {
	TEXT,		/* anything without control characters */
	PASSWORD,	/* likewise, and never printed */
	SECRET,		/* likewise, without blanks at its ends */
	CONNINFO,	/* likewise, and libpq can read it */
	PORT,		/* 1 to 65535 */
	NAME,		/* an SQL identifier: 1 to 63 bytes */
	PROJECT,	/* a project id, goes into resource names */
	LOCATION,	/* likewise, letters, digits and hyphens */
	QUEUE,		/* likewise, [A-Za-z0-9-]{1,100} */
	EMAIL,		/* something@something */
	BASE_URL,	/* http or https, a path is put behind it */
	SAFE_URL,	/* https, or http to a loopback address */
	SAFE_BASE_URL,	/* likewise, a path is put behind it */
	HOSTPORT,	/* host:port, or [IPv6 address]:port */
	HOST,		/* likewise, with or without the port */
	COUNT,		/* a whole number from min to max */
	DURATION,	/* seconds, or a number with s, m, h or d */
	PATH,		/* absolute */
	LEVEL,		/* debug, info, warning, error */
	FORMAT,		/* text, json */
	POLICY,		/* retry, dead-letter */
};

static const struct variable {
	const char *name;
	enum type type;
	size_t offset;		/* in struct config */
	unsigned int programs;	/* who reads it */
	unsigned int required;	/* who cannot do without it */
	const char *fallback;	/* the default, or NULL */
	int min, max;		/* of COUNT and DURATION */
	const char *help;
} variables[] = {
#define V(name, type, member, programs, required, fallback, min, max, help) \
	{ name, type, offsetof(struct config, member), programs, required, \
	    fallback, min, max, help }
	V("DATABASE_URL", CONNINFO, database_url, ALL, 0, NULL, 0, 0,
	    "database as a postgresql:// URL or libpq connection string; "
	    "or POSTGRES_*; or libpq's own PG* variables"),
	V("POSTGRES_HOST", TEXT, postgres_host, ALL, 0, NULL, 0, 0,
	    "database host, or directory of its unix socket"),
	V("POSTGRES_PORT", PORT, postgres_port, ALL, 0, NULL, 0, 0,
	    "database port"),
	V("POSTGRES_DB", TEXT, postgres_db, ALL, 0, NULL, 0, 0,
	    "database name"),
	V("POSTGRES_USER", TEXT, postgres_user, ALL, 0, NULL, 0, 0,
	    "database role"),
	V("POSTGRES_PASSWORD", PASSWORD, postgres_password, ALL, 0, NULL, 0, 0,
	    "password of the role"),
	V("POSTGRES_SCHEMA", NAME, schema, ALL, 0, "lad_dev", 0, 0,
	    "schema of the bookings table"),
	V("FOLLOWUP_TABLE", NAME, table, ALL, 0, "lead_bookings", 0, 0,
	    "name of the bookings table"),
	V("GCP_PROJECT_ID", PROJECT, project_id, ALL, CONFIG_SCHEDULE, NULL,
	    0, 0, "Google Cloud project of the queue, and of traces in the "
	    "log"),
	V("GCP_LOCATION", LOCATION, location, CONFIG_SCHEDULE, 0,
	    "us-central1", 0, 0, "location of the queue"),
	V("FOLLOWUP_QUEUE_NAME", QUEUE, queue, CONFIG_SCHEDULE, 0,
	    "follow-up-voag-calls", 0, 0, "name of the queue"),
	V("GCP_CLOUD_TASKS_SERVICE_ACCOUNT", EMAIL, service_account, CGI, 0,
	    NULL, 0, 0, "e-mail of the service account that signs callbacks"),
	V("FOLLOWUP_EXECUTION_ENDPOINT", BASE_URL, execution_endpoint, CGI,
	    CGI, NULL, 0, 0, "base URL of the callbacks: a task "
	    "calls URL/{booking_id}/execute-followup; https (http only with "
	    "the emulator)"),
	V("FOLLOWUP_EXECUTION_AUDIENCE", TEXT, execution_audience, CGI, 0,
	    NULL, 0, 0, "audience of the callback tokens; default: "
	    "FOLLOWUP_EXECUTION_ENDPOINT"),
	V("CLOUD_TASKS_SECRET", SECRET, cloud_tasks_secret, CGI, 0, NULL,
	    0, 0, "shared secret of the callbacks, instead of signed tokens"),
	V("CLOUD_TASKS_ENDPOINT", SAFE_BASE_URL, cloud_tasks_endpoint,
	    CONFIG_SCHEDULE, 0, NULL, 0, 0, "base URL of the Cloud Tasks API, "
	    "if not Google's; called with credentials"),
	V("CLOUD_TASKS_EMULATOR_HOST", HOSTPORT, emulator_host,
	    CONFIG_SCHEDULE, 0, NULL, 0, 0, "host:port of an emulator: plain "
	    "HTTP, no credentials"),
	V("GOOGLE_APPLICATION_CREDENTIALS", PATH, application_credentials,
	    CONFIG_SCHEDULE, 0, NULL, 0, 0, "credentials file; default: the "
	    "gcloud file of the user, then the metadata server"),
	V("CLOUDSDK_CONFIG", PATH, cloudsdk_config, CONFIG_SCHEDULE, 0, NULL,
	    0, 0, "gcloud's configuration folder; default: ~/.config/gcloud"),
	V("GCE_METADATA_HOST", HOST, metadata_host, CONFIG_SCHEDULE, 0,
	    "metadata.google.internal", 0, 0, "host of the metadata server"),
	V("GOOGLE_CLOUD_QUOTA_PROJECT", PROJECT, quota_project,
	    CONFIG_SCHEDULE, 0, NULL, 0, 0, "project whose quota the API "
	    "calls use"),
	V("OIDC_JWKS_URL", SAFE_URL, oidc_jwks_url, CONFIG_EXECUTE, 0,
	    "https://www.googleapis.com/oauth2/v3/certs", 0, 0,
	    "URL of the public keys of callback tokens"),
	V("OIDC_ISSUER", TEXT, oidc_issuer, CONFIG_EXECUTE, 0,
	    "https://accounts.google.com", 0, 0,
	    "issuer of the callback tokens"),
	V("FOLLOWUP_CALL_URL", SAFE_URL, call_url, CONFIG_EXECUTE,
	    CONFIG_EXECUTE, NULL, 0, 0,
	    "URL that starts a follow-up call (POST)"),
	V("FOLLOWUP_CALL_TOKEN", SECRET, call_token, CONFIG_EXECUTE, 0, NULL,
	    0, 0, "bearer token of that request"),
	V("FOLLOWUP_CALL_SECRET", SECRET, call_secret, CONFIG_EXECUTE, 0,
	    NULL, 0, 0, "key that signs that request (whsec_...), as Standard "
	    "Webhooks"),
	V("FOLLOWUP_CALL_TIMEOUT", DURATION, call_timeout, CONFIG_EXECUTE, 0,
	    "30s", 1, 50, "how long that request may take"),
	V("FOLLOWUP_WEBHOOK_URL", SAFE_URL, webhook_url, CONFIG_LISTENER, 0,
	    DEFAULT_WEBHOOK_URL, 0, 0, "URL that the listener posts to"),
	V("FOLLOWUP_WEBHOOK_SOCKET", PATH, webhook_socket, CONFIG_LISTENER, 0,
	    NULL, 0, 0, "unix socket it posts through; default: local.sock in "
	    "FOLLOWUP_RUNTIME_DIR, or none if FOLLOWUP_WEBHOOK_URL is changed"),
	V("FOLLOWUP_WEBHOOK_TOKEN", SECRET, webhook_token,
	    CONFIG_LISTENER | CONFIG_SCHEDULE, 0, NULL, 0, 0,
	    "bearer token asked of every call of the local API"),
	V("FOLLOWUP_EVENTS_URL", SAFE_URL, events_url, CONFIG_SCHEDULE, 0,
	    NULL, 0, 0, "where events are posted as they happen, such as a "
	    "breaker that opens; unset: nowhere"),
	V("FOLLOWUP_EVENTS_SECRET", SECRET, events_secret, CONFIG_SCHEDULE, 0,
	    NULL, 0, 0, "key that signs those requests (whsec_...), as "
	    "Standard Webhooks"),
	V("FOLLOWUP_SCHEDULE_WORKERS", COUNT, schedule_workers,
	    CONFIG_SCHEDULE, 0, "5", 1, 512,
	    "processes that create tasks, each with a database connection; "
	    "one more than FOLLOWUP_LISTENER_INFLIGHT leaves one to other "
	    "requests"),
	V("FOLLOWUP_SCHEDULE_CONCURRENCY", COUNT, schedule_concurrency,
	    CONFIG_SCHEDULE, 0, "100", 1, 1000,
	    "the most tasks that each of them creates at once"),
	V("FOLLOWUP_EXECUTE_WORKERS", COUNT, execute_workers, CONFIG_EXECUTE,
	    0, "8", 1, 512, "processes that start calls"),
	V("FOLLOWUP_LISTENER_INFLIGHT", COUNT, listener_inflight,
	    CONFIG_LISTENER, 0, "4", 1, 512,
	    "requests to followup-schedule that are in flight at once"),
	V("FOLLOWUP_MAX_SCHEDULE_ATTEMPTS", COUNT, max_schedule_attempts,
	    CONFIG_SCHEDULE, 0, "10", 1, 1000,
	    "attempts to create a task before the booking becomes a dead "
	    "letter"),
	V("FOLLOWUP_MAX_EXECUTION_ATTEMPTS", COUNT, max_execution_attempts,
	    CONFIG_EXECUTE, 0, "8", 1, 1000,
	    "attempts to start a call before the booking becomes a dead "
	    "letter"),
	V("FOLLOWUP_SWEEP_INTERVAL", DURATION, sweep_interval,
	    CONFIG_LISTENER, 0, "5s", 1, 3600,
	    "how often to scan the table for bookings that no notification "
	    "announced"),
	V("FOLLOWUP_SWEEP_WINDOW", DURATION, sweep_window,
	    CONFIG_LISTENER | CONFIG_SCHEDULE, 0, "24h", 1, 31622400,
	    "how far back an overdue booking is still picked up"),
	V("FOLLOWUP_OVERDUE_GRACE", DURATION, overdue_grace,
	    CONFIG_LISTENER | CONFIG_SCHEDULE, 0, "5m", 1, 86400,
	    "how long after the due time a scheduled booking's task is looked "
	    "up"),
	V("FOLLOWUP_UNKNOWN_OUTCOME", POLICY, unknown_outcome, CONFIG_EXECUTE,
	    0, "retry", 0, 0, "when it is not known whether a call was "
	    "started: retry (with the same idempotency key) or dead-letter"),
	V("FOLLOWUP_PROXY", HOSTPORT, proxy, CGI, 0, NULL, 0, 0,
	    "host:port of the HTTP proxy for https to other machines; "
	    "http_proxy and the like are ignored"),
	V("FOLLOWUP_RUNTIME_DIR", PATH, runtime_dir, ALL, 0,
	    "/run/followup-scheduler", 0, 0, "sockets and counters"),
	V("LOG_LEVEL", LEVEL, log_level, ALL, 0, "info", 0, 0,
	    "debug, info, warning or error"),
	V("LOG_FORMAT", FORMAT, log_format, ALL, 0, "text", 0, 0,
	    "text or json (one object a line, as Google Cloud Logging reads)"),
#undef V
};

#define NVARIABLES	(sizeof(variables) / sizeof(variables[0]))

/* Where the answer of a check goes. */
struct complaint {
	char *buf;
	size_t len;
};

static int complain(struct complaint *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

static int
complain(struct complaint *c, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(c->buf, c->len, fmt, ap);
	va_end(ap);
	return (-1);
}

static int
only_chars(const char *s, const char *more)
{

	for (; *s != '\0'; s++) {
		if (!isalnum((unsigned char)*s) && strchr(more, *s) == NULL)
			return (0);
	}
	return (1);
}

/*
 * Return the end of the dotted name that ${s} begins with, of letters, digits
 * and ${more}; its labels begin with a letter or a digit.  It is ${s} if there
 * is no such name.
 */
static const char *
name_end(const char *s, const char *more)
{

	while (isalnum((unsigned char)*s)) {
		while (isalnum((unsigned char)*s) ||
		    (*s != '\0' && strchr(more, *s) != NULL))
			s++;
		if (*s != '.' || !isalnum((unsigned char)s[1]))
			break;
		s++;
	}
	return (s);
}

/*
 * Return the end of the host that ${s} begins with: a name, an address, or an
 * IPv6 address in brackets.  It is ${s} if there is none.
 */
static const char *
host_end(const char *s)
{
	char address[INET6_ADDRSTRLEN];
	struct in6_addr in6;
	const char *end;
	size_t len;

	if (*s == '[') {
		len = strcspn(s + 1, "]");
		(void)snprintf(address, sizeof(address), "%.*s", (int)len,
		    s + 1);
		return (s[len + 1] == ']' && len < sizeof(address) &&
		    inet_pton(AF_INET6, address, &in6) == 1 ? &s[len + 2] : s);
	}

	/* A name may end with the dot of the root. */
	end = name_end(s, "_-");
	return (end > s && *end == '.' ? end + 1 : end);
}

/* A domain and a colon may stand before the id, as in example.com:project. */
static int
is_project(const char *s)
{
	const char *end = name_end(s, "-");

	if (strlen(s) > 128)
		return (0);
	if (end > s && *end == ':') {
		s = end + 1;
		end = name_end(s, "-");
	}
	return (end > s && *end == '\0' && end[-1] != '-');
}

static int
is_location(const char *s)
{
	size_t len = strlen(s);

	return (only_chars(s, "-") && len <= 128 && *s != '-' &&
	    s[len - 1] != '-');
}

/* Parse a whole number without sign from min to max; ${end} is behind it. */
static int
parse_number(const char *s, const char **end, long *n)
{
	char *e;

	if (!isdigit((unsigned char)*s))
		return (-1);
	errno = 0;
	*n = strtol(s, &e, 10);
	*end = e;
	return (errno != 0 || *n > INT_MAX ? -1 : 0);
}

static int
is_port(const char *s)
{
	const char *end;
	long n;

	return (parse_number(s, &end, &n) == 0 && *end == '\0' && n >= 1 &&
	    n <= 65535);
}

static int
parse_count(const struct variable *v, const char *s, int *out,
    struct complaint *c)
{
	const char *end;
	long n;

	if (parse_number(s, &end, &n) != 0 || *end != '\0' ||
	    n < v->min || n > v->max)
		return (complain(c, "%s must be a whole number from %d to %d, "
		    "not \"%.60s\"", v->name, v->min, v->max, s));
	*out = (int)n;
	return (0);
}

static int
parse_duration(const struct variable *v, const char *s, int *out,
    struct complaint *c)
{
	static const struct {
		const char *suffix;
		long seconds;
	} units[] = {
		{ "", 1 }, { "s", 1 }, { "m", 60 }, { "h", 3600 },
		{ "d", 86400 },
	};
	const char *end;
	size_t i;
	long n;

	if (parse_number(s, &end, &n) == 0) {
		/* `30 s` is as good as `30s`. */
		while (*end == ' ')
			end++;
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
			if (strcmp(end, units[i].suffix) != 0)
				continue;
			n *= units[i].seconds;
			if (n < v->min || n > v->max)
				break;
			*out = (int)n;
			return (0);
		}
	}
	return (complain(c, "%s must be a time from %d s to %d s, such as "
	    "\"30s\", \"5m\" or \"24h\", not \"%.60s\"", v->name, v->min,
	    v->max, s));
}

/* Is the value put into JSON, or compared with what comes out of it? */
static int
is_for_json(const struct variable *v)
{

	switch (v->offset) {
	case offsetof(struct config, execution_endpoint):
	case offsetof(struct config, execution_audience):
	case offsetof(struct config, cloud_tasks_secret):
	case offsetof(struct config, oidc_issuer):
		return (1);
	default:
		return (0);
	}
}

/* Say what is wrong with the text ${s}, or return 0. */
static int
check_text(const struct variable *v, const char *s, struct complaint *c)
{
	enum log_level level;
	const char *p, *why, *end;

	for (p = s; *p != '\0'; p++) {
		if (iscntrl((unsigned char)*p))
			return (complain(c, "%s must not contain control "
			    "characters", v->name));
	}
	if (is_for_json(v) && !utf8_valid(s, strlen(s)))
		return (complain(c, "%s must be UTF-8", v->name));

	switch (v->type) {
	case SECRET:
		/* HTTP, which carries it, drops the blanks around a value. */
		if (*s == ' ' || s[strlen(s) - 1] == ' ')
			return (complain(c, "%s must not begin or end with a "
			    "blank", v->name));
		break;
	case CONNINFO:
		return (conninfo_check(v->name, s, c->buf, c->len));
	case PORT:
		if (!is_port(s))
			return (complain(c, "%s must be a port from 1 to "
			    "65535, not \"%.60s\"", v->name, s));
		break;
	case NAME:
		if (strlen(s) > 63 || !utf8_valid(s, strlen(s)))
			return (complain(c, "%s must be an SQL identifier of "
			    "at most 63 bytes of UTF-8", v->name));
		break;
	case PROJECT:
		if (!is_project(s))
			return (complain(c, "%s must be a project id of "
			    "letters, digits and hyphens, such as my-project "
			    "or example.com:my-project, not \"%.60s\"",
			    v->name, s));
		break;
	case LOCATION:
		if (!is_location(s))
			return (complain(c, "%s must be a location of "
			    "letters, digits and hyphens, such as "
			    "us-central1, not \"%.60s\"", v->name, s));
		break;
	case QUEUE:
		if (!only_chars(s, "-") || strlen(s) > 100)
			return (complain(c, "%s must consist of at most 100 "
			    "letters, digits and hyphens, not \"%.60s\"",
			    v->name, s));
		break;
	case EMAIL:
		p = strchr(s, '@');
		if (!only_chars(s, "@._%+-") || p == NULL || p == s ||
		    p[1] == '\0' || strchr(p + 1, '@') != NULL ||
		    strlen(s) > 254)
			return (complain(c, "%s must be an e-mail address, "
			    "not \"%.60s\"", v->name, s));
		break;
	case BASE_URL:
	case SAFE_URL:
	case SAFE_BASE_URL:
		/* Before an @ there may be a password. */
		if ((why = url_check(s)) != NULL && strchr(s, '@') != NULL)
			return (complain(c, "%s must be a URL: this one %s",
			    v->name, why));
		if (why != NULL)
			return (complain(c, "%s must be a URL: \"%.120s\" %s",
			    v->name, s, why));
		if (v->type == BASE_URL && strlen(s) > BASE_URL_MAX)
			return (complain(c, "%s must be a URL of at most %d "
			    "bytes", v->name, BASE_URL_MAX));
		if (v->type != SAFE_URL && strchr(s, '?') != NULL)
			return (complain(c, "%s must be a URL without a query "
			    "(?...), not \"%.120s\"", v->name, s));
		if (v->type != BASE_URL && !url_is_safe(s))
			return (complain(c, "%s must begin with https:// "
			    "(plain http only to a loopback address), not "
			    "\"%.120s\"", v->name, s));
		break;
	case HOSTPORT:
	case HOST:
		end = host_end(s);
		if (end == s || (*end == ':' ? !is_port(end + 1) :
		    *end != '\0' || v->type == HOSTPORT))
			return (complain(c, "%s must be %s, not \"%.60s\"",
			    v->name, v->type == HOSTPORT ? "host:port" :
			    "a host, or host:port", s));
		break;
	case PATH:
		if (*s != '/')
			return (complain(c, "%s must be an absolute path, not "
			    "\"%.120s\"", v->name, s));
		if (strlen(s) >= PATH_MAX)
			return (complain(c, "%s must be a path of at most %d "
			    "bytes", v->name, PATH_MAX - 1));
		break;
	case LEVEL:
		if (log_level_parse(s, &level) != 0)
			return (complain(c, "%s must be debug, info, warning "
			    "or error, not \"%.60s\"", v->name, s));
		break;
	case FORMAT:
		if (strcmp(s, "text") != 0 && strcmp(s, "json") != 0)
			return (complain(c, "%s must be text or json, not "
			    "\"%.60s\"", v->name, s));
		break;
	case POLICY:
		if (strcmp(s, "retry") != 0 && strcmp(s, "dead-letter") != 0)
			return (complain(c, "%s must be retry or dead-letter, "
			    "not \"%.60s\"", v->name, s));
		break;
	default:
		break;
	}
	return (0);
}

static int
load_variable(const struct variable *v, enum config_program program,
    struct config *conf, struct complaint *c)
{
	void *member = (char *)conf + v->offset;
	const char *s;
	char *url;

	if ((s = getenv(v->name)) == NULL || *s == '\0')
		s = v->fallback;
	if (s == NULL) {
		if (v->required & program)
			return (complain(c, "%s is not set: %s", v->name,
			    v->help));
		return (0);
	}

	if (v->type == COUNT)
		return (parse_count(v, s, member, c));
	if (v->type == DURATION)
		return (parse_duration(v, s, member, c));
	if (check_text(v, s, c) != 0)
		return (-1);

	/* A base URL goes without the slash at its end. */
	if (v->type == BASE_URL && s[strlen(s) - 1] == '/') {
		if ((url = strdup(s)) == NULL)
			return (complain(c, "out of memory"));
		while (*url != '\0' && url[strlen(url) - 1] == '/')
			url[strlen(url) - 1] = '\0';
		s = url;
	}
	*(const char **)member = s;
	return (0);
}

/* What one variable asks of another. */
static int
check_together(enum config_program program, struct config *conf,
    struct complaint *c)
{
	const char *endpoint = conf->execution_endpoint;
	static char socket_path[SOCKET_MAX + 1];
	int standin;

	/* Somebody must be able to prove that it is our queue that calls. */
	if ((program & CGI) && conf->service_account == NULL &&
	    conf->cloud_tasks_secret == NULL)
		return (complain(c, "neither GCP_CLOUD_TASKS_SERVICE_ACCOUNT "
		    "(the e-mail that signs the callbacks) nor "
		    "CLOUD_TASKS_SECRET is set: anybody could start calls"));
	if (conf->execution_audience == NULL)
		conf->execution_audience = conf->execution_endpoint;

	/*
	 * Cloud Tasks sends tokens over https only.  Plain http is for the
	 * emulator, or for another stand-in on this machine.
	 */
	if (program == CONFIG_SCHEDULE && !url_is_https(endpoint)) {
		standin = conf->cloud_tasks_endpoint != NULL &&
		    !url_is_https(conf->cloud_tasks_endpoint) &&
		    url_is_loopback(endpoint);
		if (conf->emulator_host == NULL && !standin)
			return (complain(c, "FOLLOWUP_EXECUTION_ENDPOINT must "
			    "begin with https:// (http only with "
			    "CLOUD_TASKS_EMULATOR_HOST), not \"%.120s\"",
			    endpoint));
	}

	if (conf->emulator_host != NULL && conf->cloud_tasks_endpoint != NULL)
		return (complain(c, "CLOUD_TASKS_ENDPOINT and "
		    "CLOUD_TASKS_EMULATOR_HOST are both set: unset one"));

	if (strlen(conf->runtime_dir) > RUNTIME_DIR_MAX)
		return (complain(c, "FOLLOWUP_RUNTIME_DIR must be a path of "
		    "at most %zu bytes, because sockets are in it",
		    RUNTIME_DIR_MAX));
	if (conf->webhook_socket != NULL &&
	    strlen(conf->webhook_socket) > SOCKET_MAX)
		return (complain(c, "FOLLOWUP_WEBHOOK_SOCKET must be a path "
		    "of at most %zu bytes, as sockets have", SOCKET_MAX));

	/* The default URL is that of the local server, behind its socket. */
	if (program == CONFIG_LISTENER && conf->webhook_socket == NULL &&
	    strcmp(conf->webhook_url, DEFAULT_WEBHOOK_URL) == 0) {
		(void)snprintf(socket_path, sizeof(socket_path),
		    "%s/local.sock", conf->runtime_dir);
		conf->webhook_socket = socket_path;
	}

	return (0);
}

/**
 * config_load(program, conf, why, whylen):
 * Read and check what ${program} reads and fill in ${conf}.  Return 0; or -1
 * with one line in ${why} (${whylen} bytes) that names the variable and says
 * what it should be.
 */
int
config_load(enum config_program program, struct config *conf, char *why,
    size_t whylen)
{
	struct complaint c = { .buf = why, .len = whylen };
	static const struct config empty;
	size_t i;

	*conf = empty;
	for (i = 0; i < NVARIABLES; i++) {
		if ((variables[i].programs & program) &&
		    load_variable(&variables[i], program, conf, &c) != 0)
			return (-1);
	}
	return (check_together(program, conf, &c));
}

/**
 * config_print_help(f, programs):
 * Print a table of the variables that any of ${programs} reads to ${f}.
 */
void
config_print_help(FILE *f, unsigned int programs)
{
	const struct variable *v;

	for (v = variables; v < &variables[NVARIABLES]; v++) {
		if ((v->programs & programs) == 0)
			continue;
		(void)fprintf(f, "  %s%s%s%s\n      %s\n", v->name,
		    v->fallback != NULL ? " [" : "",
		    v->fallback != NULL ? v->fallback : "",
		    v->fallback != NULL ? "]" :
		    (v->required & programs) ? " (required)" : "", v->help);
	}
}

/**
 * config_print_example(f):
 * Print all variables with help and defaults to ${f}, commented out, as they
 * stand in .env.example.
 */
void
config_print_example(FILE *f)
{
	static const struct {
		unsigned int program;
		const char *name;
	} names[] = {
		{ CONFIG_LISTENER, "listener" },
		{ CONFIG_SCHEDULE, "schedule" },
		{ CONFIG_EXECUTE, "execute" },
	};
	const struct variable *v;
	size_t i;

	(void)fprintf(f, "# followup-scheduler: every variable, what it is "
	    "for, who reads it, its default.\n# systemd reads these "
	    "lines as they are (EnvironmentFile=).\n");
	for (v = variables; v < &variables[NVARIABLES]; v++) {
		(void)fprintf(f, "\n# %s\n# Read by:", v->help);
		for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (v->programs & names[i].program)
				(void)fprintf(f, " %s%s", names[i].name,
				    (v->required & names[i].program) ?
				    " (required)" : "");
		}
		(void)fprintf(f, "\n#%s=%s\n", v->name,
		    v->fallback != NULL ? v->fallback : "");
	}
}
