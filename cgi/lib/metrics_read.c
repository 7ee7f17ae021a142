#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "metrics_file.h"

/* A program that has not lived for so long is down, in ms. */
#define UP_MS		10000

struct metrics_snapshot {
	struct metrics_file file;
};

static const enum config_program programs[] = {
	CONFIG_LISTENER, CONFIG_SCHEDULE, CONFIG_EXECUTE,
};

#define NPROGRAMS	(sizeof(programs) / sizeof(programs[0]))

/**
 * metrics_read(dir, program):
 * Read the file of ${program} in ${dir}.  Return a snapshot to be freed with
 * metrics_snapshot_free; NULL if the file is missing or cannot be read.
 */
struct metrics_snapshot *
metrics_read(const char *dir, enum config_program program)
{
	struct metrics_snapshot *s;
	char path[PATH_MAX];

	if (metrics_file_path(dir, program, "", path) != 0 ||
	    (s = malloc(sizeof(*s))) == NULL)
		return (NULL);
	if (metrics_file_read(path, &s->file, 0) == 0 &&
	    s->file.layout == metrics_file_layout()) {
		/* Another user wrote it. */
		s->file.version[VERSION_LEN - 1] = '\0';
		s->file.schema[VERSION_LEN - 1] = '\0';
		return (s);
	}
	free(s);
	return (NULL);
}

/**
 * metrics_snapshot_free(snapshot):
 * Free ${snapshot}; NULL is fine.
 */
void
metrics_snapshot_free(struct metrics_snapshot *s)
{

	free(s);
}

/**
 * metrics_is_up(snapshot, now):
 * Return non-zero iff the program was alive within the ten seconds before
 * ${now} (monotime_ms).  ${snapshot}, here and in the next function, is NULL
 * for a program without numbers, which is not up.
 */
int
metrics_is_up(const struct metrics_snapshot *s, long now)
{
	long beat = s != NULL ? atomic_load(&s->file.beat) : 0;

	return (beat != 0 && now - beat < UP_MS);
}

/**
 * metrics_is_collected(snapshot, now, age):
 * Return non-zero iff the figures of the database are no older than ${age}
 * milliseconds at ${now}.
 */
int
metrics_is_collected(const struct metrics_snapshot *s, long now, long age)
{
	long at = s != NULL ? atomic_load(&s->file.collected_at) : 0;

	return (at != 0 && now - at <= age);
}

/**
 * metrics_version(snapshot), metrics_schema_found(snapshot):
 * Return the version of the program; and that of the database's objects, or
 * "unknown".
 */
const char *
metrics_version(const struct metrics_snapshot *s)
{

	return (s->file.version);
}

const char *
metrics_schema_found(const struct metrics_snapshot *s)
{

	return (s == NULL || s->file.schema[0] == '\0' ? "unknown" :
	    s->file.schema);
}

/* How many workers are at ${state}, or beyond. */
static long
count_workers(const struct metrics_snapshot *s, unsigned char state)
{
	long n = 0;
	int i;

	for (i = 0; i < WORKERS; i++) {
		if (atomic_load(&s->file.workers[i]) >= state)
			n++;
	}
	return (n);
}

/**
 * metrics_value(snapshot, metric, label, value):
 * Set ${value} to that of a counter, gauge or state (label 0).  Return 0, or
 * -1 if it has none.
 */
int
metrics_value(const struct metrics_snapshot *s, enum metric metric, int label,
    long *value)
{
	int cell = metrics_file_place(metric, label);

	*value = 0;
	if (s == NULL || cell < 0)
		return (-1);
	*value = atomic_load(&s->file.cells[cell]);

	/* The listener sets its own; others have processes. */
	if (metric == METRICS_WORKERS)
		*value += count_workers(s, IDLE);
	else if (metric == METRICS_WORKERS_BUSY)
		*value += count_workers(s, BUSY);
	return (*value == METRICS_UNSET ? -1 : 0);
}

/**
 * metrics_histogram(snapshot, metric, label, histogram):
 * Read a histogram.
 */
void
metrics_histogram(const struct metrics_snapshot *s, enum metric metric,
    int label, struct metrics_histogram *h)
{
	int cell = metrics_file_place(metric, label);
	size_t i;

	memset(h, 0, sizeof(*h));
	h->n = metrics_file_buckets(&metrics_families[metric]);
	if (s == NULL || cell < 0)
		return;
	for (i = 0; i < h->n; i++)
		h->counts[i] = (unsigned long)atomic_load(
		    &s->file.cells[cell + (int)i]);
	h->sum = (double)atomic_load(&s->file.cells[cell + (int)h->n]) / 1e6;
}

/**
 * metrics_exemplar(snapshot, bucket, exemplar):
 * Read the last exemplar in ${bucket} of followup_call_lateness_seconds.
 * Return 0, or -1 if the bucket has no exemplar.
 */
int
metrics_exemplar(const struct metrics_snapshot *s, size_t bucket,
    struct metrics_exemplar *exemplar)
{
	const struct exemplar *e;
	long at;

	if (s == NULL || bucket >= METRICS_BUCKETS)
		return (-1);
	e = &s->file.exemplars[bucket];
	at = atomic_load(&e->time);
	if (at == 0 || atomic_load(&e->writer) != 0)
		return (-1);
	(void)snprintf(exemplar->trace_id, sizeof(exemplar->trace_id),
	    "%016llx%016llx", (unsigned long long)atomic_load(&e->id[0]),
	    (unsigned long long)atomic_load(&e->id[1]));
	exemplar->value = (double)atomic_load(&e->value) / 1e6;
	exemplar->time = (double)at / 1e3;
	return (0);
}

/* Add what ${s} has of the minute ${start} to ${sum}. */
static void
add_minute(const struct metrics_snapshot *s, long start,
    struct metrics_minute *sum)
{
	const struct minute *minute = &s->file.minutes[start % RING];
	size_t i;

	if (atomic_load(&minute->start) != start)
		return;
	sum->in_time += atomic_load(&minute->in_time);
	sum->late += atomic_load(&minute->late);
	sum->not_made += atomic_load(&minute->not_made);
	for (i = 0; i < METRICS_STEPS; i++)
		sum->steps[i] += atomic_load(&minute->steps[i]);
	for (i = 0; i < sum->lateness.n; i++)
		sum->lateness.counts[i] += atomic_load(&minute->lateness[i]);
}

/**
 * metrics_minutes(dir, now, minutes):
 * Fill in ${minutes}, METRICS_MINUTES of them, the oldest first and that of
 * ${now} last, from the files in ${dir}.
 */
void
metrics_minutes(const char *dir, time_t now, struct metrics_minute *minutes)
{
	struct metrics_snapshot *s;
	long first = now / 60 - METRICS_MINUTES + 1, i;
	size_t p;

	memset(minutes, 0, METRICS_MINUTES * sizeof(*minutes));
	for (i = 0; i < METRICS_MINUTES; i++) {
		minutes[i].start = (first + i) * 60;
		minutes[i].lateness.n = metrics_file_buckets(
		    &metrics_families[METRICS_CALL_LATENESS]);
	}
	for (p = 0; p < NPROGRAMS; p++) {
		if ((s = metrics_read(dir, programs[p])) == NULL)
			continue;
		for (i = 0; i < METRICS_MINUTES; i++)
			add_minute(s, first + i, &minutes[i]);
		metrics_snapshot_free(s);
	}
}

/**
 * metrics_quantile(histogram, metric, q):
 * Return the quantile ${q} (0.99: 99 % are not above it) of ${histogram}, which
 * is one of ${metric}, in seconds, as Prometheus estimates it; -1 if nothing
 * was observed.  What is above all buckets counts as the end of the last one.
 */
double
metrics_quantile(const struct metrics_histogram *h, enum metric metric,
    double q)
{
	const double *ends = metrics_families[metric].buckets;
	double all = 0, rank, below = 0, begin_at = 0;
	size_t i;

	for (i = 0; i < h->n; i++)
		all += (double)h->counts[i];
	if (all <= 0)
		return (-1);
	rank = q * all;
	for (i = 0; i < h->n - 1; i++) {
		if (h->counts[i] > 0 && below + (double)h->counts[i] >= rank)
			return (begin_at + (ends[i] - begin_at) *
			    (rank - below) / (double)h->counts[i]);
		below += (double)h->counts[i];
		begin_at = ends[i];
	}
	return (begin_at);
}
