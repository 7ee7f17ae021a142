#ifndef LOG_H_
#define LOG_H_

/*
 * Log lines on stderr, one write(2) each so that the lines of several
 * processes never mix.  In text:
 *
 * 2026-11-23T11:00:00.123Z INFO [FollowUpScheduler] message booking_id=...
 *
 * or, with LOG_FORMAT=json, one object a line as Google Cloud Logging reads
 * it: {"severity":"INFO","time":"...","message":"[...] message",
 * "booking_id":"..."}.
 *
 * Control characters, and bytes that are not UTF-8, are escaped: whatever a
 * message quotes cannot forge a line.  A phone number with a plus sign does
 * not get into the log, whoever quotes it (see phone_number.h).
 */

struct trace;

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/*
 * What a line is about.  Any member may be NULL; those that are set follow
 * the message as name=value.
 */
struct log_about {
	const char *booking_id;
	const char *tenant_id;
	const char *task_name;
	const char *request_id;
	const struct trace *trace;
};

/**
 * log_init(component, level, json):
 * Set the ${component}, which stands in brackets before every message, the
 * lowest ${level} that is written, and the format.  Before the first call
 * everything from LOG_INFO up is written as text without a component.
 */
void log_init(const char *, enum log_level, int);

/**
 * log_project(project):
 * Name the Google Cloud project whose traces JSON lines refer to; it must
 * stay.  Without one, and in text, a line has the trace_id alone.
 */
void log_project(const char *);

/**
 * log_level_parse(name, level):
 * Set ${level} to what ${name} ("debug", "info", "warning", "error") says;
 * return 0, or -1 for another name.
 */
int log_level_parse(const char *, enum log_level *);

/**
 * log_debug(about, fmt, ...), log_info, log_warning, log_error:
 * Write one line.  ${about} may be NULL.  errno is left as it was.
 */
void log_debug(const struct log_about *, const char *, ...)
    __attribute__((format(printf, 2, 3)));
void log_info(const struct log_about *, const char *, ...)
    __attribute__((format(printf, 2, 3)));
void log_warning(const struct log_about *, const char *, ...)
    __attribute__((format(printf, 2, 3)));
void log_error(const struct log_about *, const char *, ...)
    __attribute__((format(printf, 2, 3)));

#endif /* !LOG_H_ */
