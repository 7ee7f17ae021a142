#include <sys/stat.h>

#include <errno.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bursts.h"
#include "metrics.h"
#include "monotime.h"
#include "phone_number.h"
#include "trace.h"
#include "utf8.h"

#include "log.h"

/* A pipe takes up to this many bytes (PIPE_BUF) in one piece. */
#define LINE_MAX_LEN	4096

/*
 * The room for the message and for the ids, so that both fit behind the prefix
 * of the line: an id is a UUID, a task's full name has a few hundred bytes.
 */
#define MESSAGE_MAX_LEN		2240
#define ID_MAX_LEN		72
#define TASK_NAME_MAX_LEN	1000
#define TRACE_NAME_MAX_LEN	120

static const char *component = NULL;
static enum log_level lowest = LOG_INFO;
static int as_json = 0;
static struct bursts *bursts = NULL;
static const char *project = NULL;

/* Whole lines that are kept to be written together. */
static char held[LINE_MAX_LEN];
static size_t held_len = 0;
static int holding = 0;

static const struct {
	const char *name;	/* as configured */
	const char *severity;	/* as Google Cloud Logging names it */
	const char *priority;	/* as the journal reads it: sd-daemon(3) */
} levels[] = {
	[LOG_DEBUG] = { "debug", "DEBUG", "<7>" },
	[LOG_INFO] = { "info", "INFO", "<6>" },
	[LOG_WARNING] = { "warning", "WARNING", "<4>" },
	[LOG_ERROR] = { "error", "ERROR", "<3>" },
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

/*
 * Append the ids of ${trace}.  Google Cloud Logging shows the lines of a trace
 * together by the two names of its own (LogEntry, "trace" and "spanId").
 */
static void
put_trace(struct line *l, const struct trace *trace)
{
	char name[TRACE_NAME_MAX_LEN];

	if (trace_id(trace) == NULL)
		return;
	put_about(l, "trace_id", trace->id, ID_MAX_LEN);
	if (!as_json || project == NULL)
		return;
	(void)snprintf(name, sizeof(name), "projects/%.64s/traces/%s",
	    project, trace->id);
	put_about(l, "logging.googleapis.com/trace", name, sizeof(name));
	put_about(l, "logging.googleapis.com/spanId", trace->span,
	    ID_MAX_LEN);
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

/*
 * Return whether stderr goes to the journal.  JOURNAL_STREAM names the file, so
 * that a program whose stderr was redirected can tell: systemd.exec(5).
 */
static int
to_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	char this[64];
	struct stat st;

	if (stream == NULL || fstat(STDERR_FILENO, &st) != 0)
		return (0);
	(void)snprintf(this, sizeof(this), "%ju:%ju", (uintmax_t)st.st_dev,
	    (uintmax_t)st.st_ino);
	return (strcmp(stream, this) == 0);
}

/* What stands before the message. */
static void
put_head(struct line *l, enum log_level level)
{

	int journal = to_journal();

	if (journal)
		puts_line(l, levels[level].priority);
	if (as_json) {
		puts_line(l, "{\"severity\":\"");
		puts_line(l, levels[level].severity);
		puts_line(l, "\",\"time\":\"");
		put_time(l);
		puts_line(l, "\",\"message\":\"");
	} else {
		/* The journal has the time already. */
		if (!journal) {
			put_time(l);
			puts_line(l, " ");
		}
		puts_line(l, levels[level].severity);
		puts_line(l, " ");
	}
	if (component != NULL) {
		puts_line(l, "[");
		puts_line(l, component);
		puts_line(l, "] ");
	}
}

/* The message and all that follows it. */
static void
put_rest(struct line *l, const struct log_about *about, const char *message)
{
	static const struct log_about nothing;

	if (about == NULL)
		about = &nothing;
	put_escaped(l, message, MESSAGE_MAX_LEN);
	if (as_json)
		puts_line(l, "\"");
	put_about(l, "booking_id", about->booking_id, ID_MAX_LEN);
	put_about(l, "tenant_id", about->tenant_id, ID_MAX_LEN);
	put_about(l, "task_name", about->task_name, TASK_NAME_MAX_LEN);
	put_about(l, "request_id", about->request_id, ID_MAX_LEN);
	if (about->trace != NULL)
		put_trace(l, about->trace);

	if (as_json)
		l->buf[l->len++] = '}';
	l->buf[l->len++] = '\n';
}

static void
write_all(const char *s, size_t len)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = write(STDERR_FILENO, &s[done], len - done);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			break;
		done += (size_t)n;
	}
}

static void
write_held(void)
{

	write_all(held, held_len);
	held_len = 0;
}

/* Write a line, or keep it: ${lead} and ${rest}, which put_rest made. */
static void
write_line(enum log_level level, const char *lead, const char *rest,
    size_t len)
{
	struct line l;

	l.len = 0;
	put_head(&l, level);
	puts_line(&l, lead);
	put(&l, rest, len);
	if (held_len + l.len > sizeof(held))
		write_held();
	memcpy(&held[held_len], l.buf, l.len);
	held_len += l.len;
	if (!holding || level >= LOG_WARNING)
		write_held();
}

/*
 * Write how many messages were left out, for each kind whose interval is over.
 */
static void
summarise(int all)
{
	struct burst burst;
	char lead[96];

	while (bursts != NULL &&
	    bursts_take(bursts, monotime_ms(), all, &burst)) {
		(void)snprintf(lead, sizeof(lead),
		    "and %ld more like it in %ld s, the last: ", burst.count,
		    burst.seconds);
		write_line((enum log_level)burst.level, lead, burst.text,
		    burst.len);
	}
}

static void
vlog(enum log_level level, const struct log_about *about, const char *fmt,
    va_list ap)
{
	char message[MESSAGE_MAX_LEN];
	struct line rest;
	int saved = errno;

	if (level < lowest)
		return;
	rest.len = 0;
	metrics_add(METRICS_LOG_MESSAGES, (int)level, 1);
	(void)vsnprintf(message, sizeof(message), fmt, ap);
	phone_number_hide(message, NULL);
	put_rest(&rest, about, message);
	if (level < LOG_WARNING || bursts == NULL)
		write_line(level, "", rest.buf, rest.len);
	else {
		summarise(0);
		if (bursts_add(bursts, fmt, (int)level, monotime_ms(),
		    rest.buf, rest.len))
			write_line(level, "", rest.buf, rest.len);
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
 * log_summarise_bursts():
 * From now on count and summarise what comes in bursts, as said above.  To be
 * called before the workers are forked, so that they count together.
 */
void
log_summarise_bursts(void)
{

	bursts = bursts_new();
}

/**
 * log_tick():
 * Write the summaries that are due; to be called about every second by a
 * process that lives as long as the program.
 */
void
log_tick(void)
{

	summarise(0);
}

/**
 * log_finish():
 * Write what has not been summarised yet, before the program ends.
 */
void
log_finish(void)
{

	summarise(1);
	log_release();
}

/**
 * log_hold():
 * Keep the lines that follow, to write several at once: for the many bookings
 * of a batch, between which nothing is waited for that could take long.  They
 * are written when a warning or an error is, when a pipe would not take more
 * in one piece, and by log_release.
 */
void
log_hold(void)
{

	holding = 1;
}

/**
 * log_release():
 * Write what is kept, and keep nothing from now on.
 */
void
log_release(void)
{

	holding = 0;
	write_held();
}

/**
 * log_priority(level):
 * Return the prefix of a line of ${level} on stderr, for lines that another
 * module writes; it is empty unless stderr is the journal.
 */
const char *
log_priority(enum log_level level)
{

	return (to_journal() ? levels[level].priority : "");
}

/**
 * log_project(project):
 * Name the Google Cloud project whose traces JSON lines refer to; it must
 * stay.  Without one, and in text, a line has the trace_id alone.
 */
void
log_project(const char *name)
{

	project = name;
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
