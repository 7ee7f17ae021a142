#ifndef METRICS_H_
#define METRICS_H_

#include <limits.h>
#include <stddef.h>
#include <time.h>

#include "config.h"

/*
 * What the programs count and measure for Prometheus and for the status page.
 * Each program keeps its numbers in a file of its own, PROGRAM.metrics in
 * FOLLOWUP_RUNTIME_DIR (mode 0640), which all of its workers map and add to
 * without locks; another program of this machine reads the file and holds up
 * nobody.  Counters go on when a worker or the program is started again: a
 * new file begins with what the old one had counted.
 *
 * Before metrics_init has been called these functions do nothing, so that a
 * caller need not ask.
 *
 * A metric has a row in the table of metrics_table.c: its name, type, labels,
 * all values of its labels, help, and the programs that keep it.  To add one:
 * a line in enum metric, a row there, and the README's table.  The "label" of
 * the functions below is the place of a label's value in its list, as the
 * enums name it; 0 where a metric has no label.
 *
 * Gauges of time are milliseconds here and seconds on the outside.
 */
enum metric {
	/* Of every program. */
	METRICS_BUILD_INFO,
	METRICS_UP,
	METRICS_START,
	METRICS_WORKERS,
	METRICS_WORKERS_BUSY,
	METRICS_WORKER_EXITS,
	METRICS_LOG_MESSAGES,		/* by enum log_level */
	METRICS_DATABASE_CONNECTED,

	/* The listener. */
	METRICS_LEADER,
	METRICS_LISTENING,
	METRICS_NOTIFICATIONS,
	METRICS_POSTS,			/* by enum metrics_post */
	METRICS_POSTS_INFLIGHT,
	METRICS_POSTS_WAITING,
	METRICS_POSTS_REFUSAL,
	METRICS_SWEEPS,
	METRICS_LAST_SWEEP,
	METRICS_SWEEP_DURATION,
	METRICS_SWEEP_FOUND,		/* by enum metrics_found */

	/* Scheduling. */
	METRICS_SCHEDULES,		/* by enum metrics_schedule */
	METRICS_SCHEDULING_DURATION,
	METRICS_TASK_REQUESTS,		/* by METRICS_TASK_LABEL */
	METRICS_TASK_REQUEST_DURATION,	/* by enum metrics_task_method */
	METRICS_BREAKER_TASKS,		/* the place of its state */
	METRICS_BREAKER_AGENT,
	METRICS_BREAKER_TASKS_OPENED,
	METRICS_BREAKER_AGENT_OPENED,
	METRICS_CREDENTIALS_EXPIRY,
	METRICS_EVENTS,			/* by enum metrics_event */

	/* Executing. */
	METRICS_CALLBACKS,		/* by enum metrics_callback */
	METRICS_CALLBACKS_REFUSED,	/* by enum metrics_rule */
	METRICS_KEYS_FETCHED,
	METRICS_CALL_ATTEMPTS,		/* by enum metrics_attempt */
	METRICS_CALL_REQUEST_DURATION,
	METRICS_CALL_LATENESS,		/* by metrics_called */
	METRICS_CALLS_NOT_MADE,		/* by metrics_not_made */

	/* What the database knows. */
	METRICS_OPEN_BOOKINGS,		/* by enum metrics_open */
	METRICS_OVERDUE_BOOKINGS,	/* likewise, pending and scheduled */
	METRICS_OLDEST_OVERDUE,		/* likewise */
	METRICS_NEXT_DUE,
	METRICS_DUE_NEXT_HOUR,
	METRICS_OBSOLETE_TASKS,
	METRICS_PAUSED,			/* by enum metrics_paused */
	METRICS_TRIGGERS_ENABLED,
	METRICS_CANARY_SUCCESS,
	METRICS_CANARY_DURATION,	/* by enum metrics_canary */
	METRICS_COLLECT_DURATION,
	METRICS_COLLECT_ERRORS,
	METRICS_N
};

/* The values of the labels, in the order of their lists. */
enum metrics_post { METRICS_POST_SCHEDULED, METRICS_POST_NOTHING,
	METRICS_POST_RETRY, METRICS_POST_REFUSED };
enum metrics_found { METRICS_FOUND_PENDING, METRICS_FOUND_OVERDUE,
	METRICS_FOUND_OBSOLETE };
enum metrics_schedule { METRICS_SCHEDULE_SCHEDULED, METRICS_SCHEDULE_ADOPTED,
	METRICS_SCHEDULE_NOTHING, METRICS_SCHEDULE_DEFERRED,
	METRICS_SCHEDULE_RETRY, METRICS_SCHEDULE_DEAD };
enum metrics_task_method { METRICS_TASK_CREATE, METRICS_TASK_GET,
	METRICS_TASK_DELETE };
enum metrics_task_code { METRICS_TASK_2XX, METRICS_TASK_404, METRICS_TASK_409,
	METRICS_TASK_429, METRICS_TASK_4XX, METRICS_TASK_5XX,
	METRICS_TASK_NONE, METRICS_TASK_CODES };
#define METRICS_TASK_LABEL(method, code)				\
	((int)(method) * METRICS_TASK_CODES + (int)(code))
enum metrics_event { METRICS_EVENT_DELIVERED, METRICS_EVENT_RETRY,
	METRICS_EVENT_GIVEN_UP };
enum metrics_breaker { METRICS_BREAKER_CLOSED, METRICS_BREAKER_HALF_OPEN,
	METRICS_BREAKER_OPEN };
enum metrics_callback { METRICS_CALLBACK_EXECUTED, METRICS_CALLBACK_ALREADY,
	METRICS_CALLBACK_SKIPPED, METRICS_CALLBACK_DEFERRED,
	METRICS_CALLBACK_EXPIRED, METRICS_CALLBACK_BUSY,
	METRICS_CALLBACK_RETRY, METRICS_CALLBACK_DEAD,
	METRICS_CALLBACK_REFUSED };
enum metrics_rule { METRICS_RULE_MISSING, METRICS_RULE_MALFORMED,
	METRICS_RULE_ALGORITHM, METRICS_RULE_KEY, METRICS_RULE_SIGNATURE,
	METRICS_RULE_ISSUER, METRICS_RULE_AUDIENCE, METRICS_RULE_EMAIL,
	METRICS_RULE_TIME, METRICS_RULE_BODY, METRICS_RULE_SECRET };
enum metrics_attempt { METRICS_ATTEMPT_STARTED, METRICS_ATTEMPT_REPLAYED,
	METRICS_ATTEMPT_REFUSED, METRICS_ATTEMPT_UNAVAILABLE,
	METRICS_ATTEMPT_LIMITED, METRICS_ATTEMPT_UNKNOWN };
enum metrics_reason { METRICS_REASON_EXPIRED, METRICS_REASON_CANCELLED,
	METRICS_REASON_SUPERSEDED, METRICS_REASON_DEAD, METRICS_REASON_GATE };
enum metrics_open { METRICS_OPEN_PENDING, METRICS_OPEN_SCHEDULED,
	METRICS_OPEN_FAILED };
enum metrics_paused { METRICS_PAUSED_ALL, METRICS_PAUSED_TENANTS };
enum metrics_canary { METRICS_CANARY_NOTIFIED, METRICS_CANARY_CREATED,
	METRICS_CANARY_CALLED_BACK };

/*
 * Counting.
 */

/* A gauge that has no value (any more): it is not shown. */
#define METRICS_UNSET	LONG_MIN

/**
 * metrics_init(dir, program):
 * Make the file of ${program} in ${dir}, before the workers are forked.
 * Return 0; or -1, with errno set, if that fails: then nothing is counted.
 * EAGAIN says that another instance of the program keeps the file, as the
 * active listener does while this one stands by: metrics_beat takes the file
 * over when that instance has ended.  ${dir} must be valid until metrics_end.
 */
int metrics_init(const char *, enum config_program);

/**
 * metrics_add(metric, label, n):
 * Add ${n} to a counter.
 */
void metrics_add(enum metric, int, long);

/**
 * metrics_set(metric, label, value):
 * Set a gauge, or a breaker's state (label 0) to an enum metrics_breaker.
 */
void metrics_set(enum metric, int, long);

/**
 * metrics_set_now(metric):
 * Set a gauge that is a point in time to the present.
 */
void metrics_set_now(enum metric);

/**
 * metrics_observe(metric, label, seconds):
 * Add an observation to a histogram; a negative one counts as 0.
 */
void metrics_observe(enum metric, int, double);

/**
 * metrics_called(lateness, trace_id):
 * A call was accepted, ${lateness} seconds after it was due.  The first 32
 * characters of ${trace_id} become the exemplar if they are hexadecimal digits;
 * it may be NULL.
 */
void metrics_called(double, const char *);

/**
 * metrics_not_made(reason):
 * Count a call that will not be made, or not at that time.  For the last hour
 * only one counts that somebody waits for in vain: not what was cancelled, and
 * not what is called at another time.
 */
void metrics_not_made(enum metrics_reason);

/**
 * metrics_schema(schema):
 * Note the version of what is installed in the database.
 */
void metrics_schema(const char *);

/**
 * metrics_collect_begin(now, interval):
 * Return non-zero iff the caller is to read the figures of the database: no
 * worker has begun to in the ${interval} milliseconds before ${now}.
 */
int metrics_collect_begin(long, long);

/**
 * metrics_collect_end(now):
 * Record that the gauges hold the database's figures as of ${now}; 0 hides
 * them.
 */
void metrics_collect_end(long);

/**
 * metrics_beat(now):
 * The program is alive at ${now} (monotime_ms); one process of it calls this
 * at least once a second.  Return the milliseconds until the next call, or -1
 * if there is nothing to call it for.
 */
long metrics_beat(long);

/**
 * metrics_worker(i):
 * This process is the worker in place ${i}, counted from 0.
 */
void metrics_worker(int);

/**
 * metrics_busy(busy):
 * This worker begins a request (1), or waits for the next one (0).
 */
void metrics_busy(int);

/**
 * metrics_worker_ended(i, expected):
 * The worker in place ${i} has ended: count that unless it was ${expected}.
 */
void metrics_worker_ended(int, int);

/**
 * metrics_end():
 * Stop counting; the file stays where it is.
 */
void metrics_end(void);

/*
 * Reading, from any program that may read the files.
 */

/* Types as Prometheus has them; a state set is shown as gauges of 0 and 1. */
enum metrics_type { METRICS_COUNTER, METRICS_GAUGE, METRICS_HISTOGRAM,
	METRICS_STATE };

/* The most labels of a metric, beside that of the program. */
#define METRICS_LABELS	2

struct metrics_label {
	const char *name;
	const char *const *values;	/* NULL at the end */
};

struct metrics_family {
	const char *name;
	const char *help;
	enum metrics_type type;
	unsigned int programs;		/* those that keep it, CONFIG_... */
	int each;			/* each has its own: label "program" */
	int is_time;			/* milliseconds inside */
	int unset;			/* until it is set */
	int from_database;		/* see metrics_is_collected */
	const char *constant;		/* a label and value of all; or NULL */
	struct metrics_label labels[METRICS_LABELS];
	const double *buckets;		/* of a histogram, 0 at the end */
};

/* The whole table, METRICS_N rows. */
extern const struct metrics_family metrics_families[];

/**
 * metrics_combinations(family):
 * Return how many combinations of values the labels of ${family} have.
 */
int metrics_combinations(const struct metrics_family *);

/* The numbers of a program at one moment. */
struct metrics_snapshot;

/**
 * metrics_program(program):
 * Return the short name of ${program}: "listener".
 */
const char *metrics_program(enum config_program);

/**
 * metrics_read(dir, program):
 * Read the file of ${program} in ${dir}.  Return a snapshot to be freed with
 * metrics_snapshot_free; NULL if the file is missing or cannot be read.
 */
struct metrics_snapshot *metrics_read(const char *, enum config_program);

/**
 * metrics_snapshot_free(snapshot):
 * Free ${snapshot}; NULL is fine.
 */
void metrics_snapshot_free(struct metrics_snapshot *);

/**
 * metrics_is_up(snapshot, now):
 * Return non-zero iff the program was alive within the ten seconds before
 * ${now} (monotime_ms).  ${snapshot}, here and in the next function, is NULL
 * for a program without numbers, which is not up.
 */
int metrics_is_up(const struct metrics_snapshot *, long);

/**
 * metrics_is_collected(snapshot, now, age):
 * Return non-zero iff the figures of the database are no older than ${age}
 * milliseconds at ${now}.
 */
int metrics_is_collected(const struct metrics_snapshot *, long, long);

/**
 * metrics_version(snapshot), metrics_schema_found(snapshot):
 * Return the version of the program; and that of the database's objects, or
 * "unknown".
 */
const char *metrics_version(const struct metrics_snapshot *);
const char *metrics_schema_found(const struct metrics_snapshot *);

/**
 * metrics_value(snapshot, metric, label, value):
 * Set ${value} to that of a counter, gauge or state (label 0).  Return 0, or
 * -1 if it has none.
 */
int metrics_value(const struct metrics_snapshot *, enum metric, int, long *);

/* The most buckets of a histogram, with that of everything above. */
#define METRICS_BUCKETS	16

struct metrics_histogram {
	unsigned long counts[METRICS_BUCKETS];	/* of each bucket alone */
	size_t n;				/* buckets */
	double sum;				/* seconds */
};

/**
 * metrics_histogram(snapshot, metric, label, histogram):
 * Read a histogram.
 */
void metrics_histogram(const struct metrics_snapshot *, enum metric, int,
    struct metrics_histogram *);

struct metrics_exemplar {
	char trace_id[33];
	double value;			/* seconds */
	double time;			/* since 1970 */
};

/**
 * metrics_exemplar(snapshot, bucket, exemplar):
 * Read the last exemplar in ${bucket} of followup_call_lateness_seconds.
 * Return 0, or -1 if the bucket has no exemplar.
 */
int metrics_exemplar(const struct metrics_snapshot *, size_t,
    struct metrics_exemplar *);

/*
 * The last hour by the minute, of all programs together, for the page.
 */
#define METRICS_MINUTES	60

/* A call is late from here on, in seconds. */
#define METRICS_IN_TIME	60

/* The steps of a booking's way that are counted by the minute, too. */
enum metrics_step { METRICS_STEP_NOTIFIED, METRICS_STEP_POSTED,
	METRICS_STEP_SCHEDULED, METRICS_STEP_TASK, METRICS_STEP_CALLED_BACK,
	METRICS_STEP_CALL, METRICS_STEPS };

struct metrics_minute {
	time_t start;
	unsigned long in_time;		/* called */
	unsigned long late;		/* called, too */
	unsigned long not_made;
	unsigned long steps[METRICS_STEPS];
	struct metrics_histogram lateness;	/* its sum is 0 */
};

/**
 * metrics_minutes(dir, now, minutes):
 * Fill in ${minutes}, METRICS_MINUTES of them, the oldest first and that of
 * ${now} last, from the files in ${dir}.
 */
void metrics_minutes(const char *, time_t, struct metrics_minute *);

/**
 * metrics_quantile(histogram, metric, q):
 * Return the quantile ${q} (0.99: 99 % are not above it) of ${histogram}, which
 * is one of ${metric}, in seconds, as Prometheus estimates it; -1 if nothing
 * was observed.  What is above all buckets counts as the end of the last one.
 */
double metrics_quantile(const struct metrics_histogram *, enum metric, double);

#endif /* !METRICS_H_ */
