#include <stdlib.h>

#include "metrics.h"

#include "status_memory.h"

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

static json_t *
last_hour(const char *dir, time_t now)
{
	struct metrics_minute *minutes;
	struct metrics_histogram lateness = { .n = 0 };
	json_int_t in_time = 0, late = 0, not_made = 0;
	json_t *list = json_array();
	size_t i;

	if ((minutes = calloc(METRICS_MINUTES, sizeof(*minutes))) == NULL) {
		json_decref(list);
		return (NULL);
	}
	metrics_minutes(dir, now, minutes);
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
	free(minutes);
	return (json_pack("{s:I, s:I, s:I, s:o, s:o, s:o}",
	    "inTime", in_time, "late", late, "notMade", not_made,
	    "p50Seconds", quantile(&lateness, METRICS_CALL_LATENESS, 0.5),
	    "p99Seconds", quantile(&lateness, METRICS_CALL_LATENESS, 0.99),
	    "minutes", list));
}

/* How often, and how long, by ${metric} of ${program}. */
static json_t *
measured(const char *dir, enum config_program program, enum metric metric,
    int label)
{
	struct metrics_snapshot *snapshot = metrics_read(dir, program);
	struct metrics_histogram histogram = { .n = 0 };
	json_int_t count = 0;
	size_t i;

	if (snapshot == NULL)
		return (json_null());
	metrics_histogram(snapshot, metric, label, &histogram);
	metrics_snapshot_free(snapshot);
	for (i = 0; i < histogram.n; i++)
		count += (json_int_t)histogram.counts[i];
	return (json_pack("{s:I, s:o}", "count", count, "p99Seconds",
	    quantile(&histogram, metric, 0.99)));
}

/**
 * status_memory(dir, now):
 * Return an object, for the caller to drop, of what the files in ${dir} say at
 * ${now}.
 */
json_t *
status_memory(const char *dir, time_t now)
{

	return (json_pack("{s:o?, s:{s:o, s:o, s:o}}",
	    "lastHour", last_hour(dir, now), "chain",
	    "schedule", measured(dir, CONFIG_SCHEDULE,
	    METRICS_SCHEDULING_DURATION, 0),
	    "task", measured(dir, CONFIG_SCHEDULE,
	    METRICS_TASK_REQUEST_DURATION, METRICS_TASK_CREATE),
	    "call", measured(dir, CONFIG_EXECUTE,
	    METRICS_CALL_REQUEST_DURATION, 0)));
}
