#ifndef LOG_H_
#define LOG_H_

/*
 * Log lines on stderr.  Each is written by one write(2), alone or with others
 * (log_hold), so that the lines of several processes never mix.  In text:
 *
 * 2026-11-23T11:00:00.123Z INFO [FollowUpScheduler] message booking_id=...
 *
 * or, with LOG_FORMAT=json, one object a line as Google Cloud Logging reads
 * it: {"severity":"INFO","time":"...","message":"[...] message",
 * "booking_id":"..."}.
 *
 * Where stderr is the journal (JOURNAL_STREAM names it), a line begins with its
 * priority, "<4>" for a warning, as sd-daemon(3) says, and the text has no time
 * of its own.
 *
 * Warnings and errors of which more than a few come at once, that is calls with
 * the same format, are not all written: the first 10 in 10 seconds are, then
 * one line that says how many more there were, and repeats the last:
 *
 * ... WARNING [FollowUpExecution] and 4213 more like it in 10 s, the last:
 * attempt 1 of 8 to start the call failed: ... booking_id=...
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
 * log_summarise_bursts():
 * From now on count and summarise what comes in bursts, as said above.  To be
 * called before the workers are forked, so that they count together.
 */
void log_summarise_bursts(void);

/**
 * log_tick():
 * Write the summaries that are due; to be called about every second by a
 * process that lives as long as the program.
 */
void log_tick(void);

/**
 * log_finish():
 * Write what has not been summarised yet, before the program ends.
 */
void log_finish(void);

/**
 * log_priority(level):
 * Return the prefix of a line of ${level} on stderr, for lines that another
 * module writes; it is empty unless stderr is the journal.
 */
const char *log_priority(enum log_level);

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
 * log_hold():
 * Keep the lines that follow, to write several at once: for the many bookings
 * of a batch, between which nothing is waited for that could take long.  They
 * are written when a warning or an error is, when a pipe would not take more
 * in one piece, and by log_release.
 */
void log_hold(void);

/**
 * log_release():
 * Write what is kept, and keep nothing from now on.
 */
void log_release(void);

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
