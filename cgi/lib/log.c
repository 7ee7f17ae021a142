#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "metrics.h"
#include "phone_number.h"
#include "utf8.h"

#include "log.h"

/* A pipe takes up to this many bytes (PIPE_BUF) in one piece. */
#define LINE_MAX_LEN	4096

/*
 * What a message and the ids may take of it, so that all fit together: an id
 * is a UUID, a task's full name has a few hundred bytes.
 */
#define MESSAGE_MAX_LEN		2560
#define ID_MAX_LEN		72
#define TASK_NAME_MAX_LEN	1000

static const char *component = NULL;
static enum log_level lowest = LOG_INFO;
static int as_json = 0;

static const struct {
	const char *name;	/* as configured */
	const char *severity;	/* as Google Cloud Logging names it */
} levels[] = {
	[LOG_DEBUG] = { "debug", "DEBUG" },
	[LOG_INFO] = { "info", "INFO" },
	[LOG_WARNING] = { "warning", "WARNING" },
	[LOG_ERROR] = { "error", "ERROR" },
};

/* A line in the making; what does not fit is left out. */
struct line {
	char buf[LINE_MAX_LEN];
	size_t len;
};

static void
put(struct line *l, const char *s, size_t n)
{

	/* Leave room for the end of the line: `"}` and a newline. */
	if (n > sizeof(l->buf) - 3 - l->len)
		n = sizeof(l->buf) - 3 - l->len;
	memcpy(&l->buf[l->len], s, n);
	l->len += n;
}

static void
puts_line(struct line *l, const char *s)
{

	put(l, s, strlen(s));
}

/* How many of the first ${max} bytes of ${s} go into a line as they are? */
static size_t
plain(const char *s, size_t max)
{
	size_t n;

	for (n = 0; n < max && s[n] >= ' ' && s[n] < 0x7f; n++) {
		if (as_json && (s[n] == '"' || s[n] == '\\'))
			break;
	}
	return (n);
}

/*
 * Append ${s}, up to the ${end}th byte of the line, so that it can neither end
 * the line nor leave a JSON string.
 */
static void
put_escaped(struct line *l, const char *s, size_t end)
{
	char esc[8];
	size_t n;

	/* No character takes more than six bytes; none goes in by halves. */
	while (*s != '\0' && l->len + 6 < end) {
		if ((n = plain(s, end - 6 - l->len)) > 0) {
			put(l, s, n);
			s += n;
			continue;
		}
		n = utf8_len(s, strnlen(s, 4));
		if (n == 0) {
			/* Not UTF-8: show the byte. */
			(void)snprintf(esc, sizeof(esc),
			    as_json ? "\\\\x%02x" : "\\x%02x",
			    (unsigned int)(unsigned char)*s);
			puts_line(l, esc);
			n = 1;
		} else if ((unsigned char)*s < 0x20 || *s == 0x7f) {
			(void)snprintf(esc, sizeof(esc),
			    as_json ? "\\u%04x" : "\\x%02x",
			    (unsigned int)(unsigned char)*s);
			puts_line(l, esc);
		} else if (as_json && (*s == '"' || *s == '\\')) {
			puts_line(l, "\\");
			put(l, s, 1);
		} else {
			put(l, s, n);
		}
		s += n;
	}
}

/* Append an id, of which at most ${max} bytes are shown. */
static void
put_about(struct line *l, const char *name, const char *value, size_t max)
{

	if (value == NULL)
		return;
	puts_line(l, as_json ? ",\"" : " ");
	puts_line(l, name);
	puts_line(l, as_json ? "\":\"" : "=");
	put_escaped(l, value, l->len + max);
	if (as_json)
		puts_line(l, "\"");
}

static void
put_time(struct line *l)
{
	struct timespec now;
	struct tm tm;
	char date[32], ms[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	(void)strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
	(void)snprintf(ms, sizeof(ms), ".%03ldZ", now.tv_nsec / 1000000);
	puts_line(l, date);
	puts_line(l, ms);
}

static void
write_line(enum log_level level, const struct log_about *about,
    const char *message)
{
	static const struct log_about nothing;
	struct line l;
	size_t done = 0;
	ssize_t n;

	if (about == NULL)
		about = &nothing;
	l.len = 0;

	if (as_json) {
		puts_line(&l, "{\"severity\":\"");
		puts_line(&l, levels[level].severity);
		puts_line(&l, "\",\"time\":\"");
		put_time(&l);
		puts_line(&l, "\",\"message\":\"");
	} else {
		put_time(&l);
		puts_line(&l, " ");
		puts_line(&l, levels[level].severity);
		puts_line(&l, " ");
	}
	if (component != NULL) {
		puts_line(&l, "[");
		puts_line(&l, component);
		puts_line(&l, "] ");
	}

	put_escaped(&l, message, MESSAGE_MAX_LEN);
	if (as_json)
		puts_line(&l, "\"");
	put_about(&l, "booking_id", about->booking_id, ID_MAX_LEN);
	put_about(&l, "tenant_id", about->tenant_id, ID_MAX_LEN);
	put_about(&l, "task_name", about->task_name, TASK_NAME_MAX_LEN);
	put_about(&l, "request_id", about->request_id, ID_MAX_LEN);

	if (as_json)
		l.buf[l.len++] = '}';
	l.buf[l.len++] = '\n';

	while (done < l.len) {
		n = write(STDERR_FILENO, &l.buf[done], l.len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
}

static void
vlog(enum log_level level, const struct log_about *about, const char *fmt,
    va_list ap)
{
	char message[MESSAGE_MAX_LEN];
	int saved = errno;

	if (level >= lowest) {
		(void)vsnprintf(message, sizeof(message), fmt, ap);
		phone_number_hide(message, NULL);
		write_line(level, about, message);
		metrics_add(METRICS_LOG_MESSAGES, (int)level, 1);
	}
	errno = saved;
}

/**
 * log_init(component, level, json):
 * Set the ${component}, which stands in brackets before every message, the
 * lowest ${level} that is written, and the format.  Before the first call
 * everything from LOG_INFO up is written as text without a component.
 */
void
log_init(const char *name, enum log_level level, int json)
{

	component = name;
	lowest = level;
	as_json = json;
}

/**
 * log_level_parse(name, level):
 * Set ${level} to what ${name} ("debug", "info", "warning", "error") says;
 * return 0, or -1 for another name.
 */
int
log_level_parse(const char *name, enum log_level *level)
{
	size_t i;

	for (i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
		if (strcmp(name, levels[i].name) == 0) {
			*level = (enum log_level)i;
			return (0);
		}
	}
	return (-1);
}

/**
 * log_debug(about, fmt, ...), log_info, log_warning, log_error:
 * Write one line.  ${about} may be NULL.  errno is left as it was.
 */
#define DEFINE_LOG(name, level)						\
void									\
name(const struct log_about *about, const char *fmt, ...)		\
{									\
	va_list ap;							\
									\
	va_start(ap, fmt);						\
	vlog(level, about, fmt, ap);					\
	va_end(ap);							\
}

DEFINE_LOG(log_debug, LOG_DEBUG)
DEFINE_LOG(log_info, LOG_INFO)
DEFINE_LOG(log_warning, LOG_WARNING)
DEFINE_LOG(log_error, LOG_ERROR)
