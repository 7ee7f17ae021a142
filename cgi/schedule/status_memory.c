#include <stdint.h>
#include <stdlib.h>

#include "booking.h"
#include "metrics.h"

#include "status_memory.h"

/* The number of minutes that a rate covers. */
#define RATE_MINUTES	5

/* A quantile as JSON: null where nothing was observed. */
static json_t *
quantile(const struct metrics_histogram *histogram, enum metric metric,
    double q)
{
	double seconds = metrics_quantile(histogram, metric, q);

	return (seconds < 0 ? json_null() : json_real(seconds));
}

/* Add ${more} to ${all}. */
static void
add(struct metrics_histogram *all, const struct metrics_histogram *more)
{
	size_t i;

	all->n = more->n;
	for (i = 0; i < more->n; i++)
		all->counts[i] += more->counts[i];
}

/* The outcomes of the calls that were due in ${minutes}. */
static json_t *
last_hour(const struct metrics_minute *minutes)
{
	struct metrics_histogram lateness = { .n = 0 };
	json_int_t in_time = 0, late = 0, not_made = 0;
	json_t *list = json_array();
	size_t i;

	for (i = 0; i < METRICS_MINUTES; i++) {
		in_time += (json_int_t)minutes[i].in_time;
		late += (json_int_t)minutes[i].late;
		not_made += (json_int_t)minutes[i].not_made;
		add(&lateness, &minutes[i].lateness);
		(void)json_array_append_new(list, json_pack("[I, I, I]",
		    (json_int_t)minutes[i].in_time,
		    (json_int_t)minutes[i].late,
		    (json_int_t)minutes[i].not_made));
	}
	return (json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}",
	    "inTime", in_time, "late", late, "notMade", not_made,
	    "p50Seconds", quantile(&lateness, METRICS_CALL_LATENESS, 0.5),
	    "p99Seconds", quantile(&lateness, METRICS_CALL_LATENESS, 0.99),
	    "minutes", list));
}

/*
 * How often ${step} was done in a minute, of the last RATE_MINUTES and of what
 * has passed of the one at ${now}.
 */
static double
rate(const struct metrics_minute *minutes, enum metrics_step step, time_t now)
{
	unsigned long n = 0;
	size_t i;

	for (i = METRICS_MINUTES - 1 - RATE_MINUTES; i < METRICS_MINUTES; i++)
		n += minutes[i].steps[step];
	return ((double)n / (RATE_MINUTES + (double)(now % 60) / 60));
}

/* Add to ${part} how often, and how long, by a histogram of ${snapshot}. */
static void
measure(json_t *part, const struct metrics_snapshot *snapshot,
    enum metric metric, int label)
{
	struct metrics_histogram histogram = { .n = 0 };
	json_int_t count = 0;
	size_t i;

	if (snapshot == NULL)
		return;
	metrics_histogram(snapshot, metric, label, &histogram);
	for (i = 0; i < histogram.n; i++)
		count += (json_int_t)histogram.counts[i];
	(void)json_object_set_new(part, "count", json_integer(count));
	(void)json_object_set_new(part, "p99Seconds", quantile(&histogram,
	    metric, 0.99));
}

/* Add to ${part} as ${name} the time that a gauge of ${snapshot} has. */
static void
add_time(json_t *part, const char *name,
    const struct metrics_snapshot *snapshot, enum metric metric)
{
	char at[BOOKING_TIME_LEN];
	long ms;

	if (snapshot != NULL && metrics_value(snapshot, metric, 0, &ms) == 0 &&
	    ms > 0)
		(void)json_object_set_new(part, name, json_string(
		    booking_time((int64_t)ms * 1000, 3, at)));
}

/* The parts on the way of a booking, each with its rate. */
static json_t *
chain(const char *dir, const struct metrics_minute *minutes, time_t now)
{
	static const char *const names[METRICS_STEPS] = {
		[METRICS_STEP_NOTIFIED] = "notify",
		[METRICS_STEP_POSTED] = "listener",
		[METRICS_STEP_SCHEDULED] = "schedule",
		[METRICS_STEP_TASK] = "task",
		[METRICS_STEP_CALLED_BACK] = "callback",
		[METRICS_STEP_CALL] = "call" };
	struct metrics_snapshot *listener, *schedule, *execute;
	json_t *parts[METRICS_STEPS], *all = json_object();
	long leader;
	int i;

	for (i = 0; i < METRICS_STEPS; i++) {
		parts[i] = json_pack("{s:f}", "perMinute", rate(minutes,
		    (enum metrics_step)i, now));
		(void)json_object_set_new(all, names[i], parts[i]);
	}
	listener = metrics_read(dir, CONFIG_LISTENER);
	schedule = metrics_read(dir, CONFIG_SCHEDULE);
	execute = metrics_read(dir, CONFIG_EXECUTE);
	if (listener != NULL && metrics_value(listener, METRICS_LEADER, 0,
	    &leader) == 0)
		(void)json_object_set_new(parts[METRICS_STEP_POSTED],
		    "isLeader", json_boolean(leader));
	measure(parts[METRICS_STEP_SCHEDULED], schedule,
	    METRICS_SCHEDULING_DURATION, 0);
	measure(parts[METRICS_STEP_TASK], schedule,
	    METRICS_TASK_REQUEST_DURATION, METRICS_TASK_CREATE);
	measure(parts[METRICS_STEP_CALL], execute,
	    METRICS_CALL_REQUEST_DURATION, 0);
	add_time(parts[METRICS_STEP_TASK], "tokenExpiresAt", schedule,
	    METRICS_CREDENTIALS_EXPIRY);
	add_time(parts[METRICS_STEP_CALLED_BACK], "keysFetchedAt", execute,
	    METRICS_KEYS_FETCHED);
	metrics_snapshot_free(listener);
	metrics_snapshot_free(schedule);
	metrics_snapshot_free(execute);
	return (all);
}

/**
 * status_memory(dir, now):
 * Return an object, for the caller to drop, of what the files in ${dir} say at
 * ${now}.
 */
json_t *
status_memory(const char *dir, time_t now)
{
	struct metrics_minute *minutes;
	json_t *memory;

	if ((minutes = calloc(METRICS_MINUTES, sizeof(*minutes))) == NULL)
		return (NULL);
	metrics_minutes(dir, now, minutes);
	memory = json_pack("{s:o, s:o}", "lastHour", last_hour(minutes),
	    "chain", chain(dir, minutes, now));
	free(minutes);
	return (memory);
}
