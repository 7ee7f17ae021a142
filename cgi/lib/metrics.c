#include <sys/mman.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monotime.h"
#include "version.h"

#include "metrics_file.h"

/* Between beats, in milliseconds. */
#define BEAT_MS		1000

static struct metrics_file *ours;	/* of this program, or NULL */
static int ours_fd = -1;		/* has its lock while it is open */
static const char *awaited;		/* where another one has the file */
static enum config_program awaited_program;
static int worker = -1;			/* the place of this one */

/* Whoever was writing ${e} died: what it holds is half of two. */
static void
free_exemplar(struct exemplar *e, long writer)
{

	if (writer == 0 || atomic_load(&e->writer) != writer)
		return;
	atomic_store(&e->time, 0);
	atomic_store(&e->writer, 0);
}

/* Begin ${file}: counters go on from those at ${path}, gauges start anew. */
static void
begin(struct metrics_file *file, const char *path)
{
	const struct metrics_family *family;
	int m, i, n, cell;

	if (metrics_file_read(path, file, 1) != 0 ||
	    file->layout != metrics_file_layout()) {
		memset(file, 0, sizeof(*file));
		file->magic = MAGIC;
		file->layout = metrics_file_layout();
	}
	(void)snprintf(file->version, sizeof(file->version), "%s",
	    FOLLOWUP_VERSION);
	atomic_store(&file->beat, 0);
	atomic_store(&file->collect_at, 0);
	atomic_store(&file->collected_at, 0);
	for (i = 0; i < WORKERS; i++)
		atomic_store(&file->workers[i], ABSENT);
	for (i = 0; i < METRICS_BUCKETS; i++)
		free_exemplar(&file->exemplars[i],
		    atomic_load(&file->exemplars[i].writer));
	for (m = 0; m < METRICS_N; m++) {
		family = &metrics_families[m];
		if (family->type != METRICS_GAUGE &&
		    family->type != METRICS_STATE)
			continue;
		n = family->type == METRICS_STATE ? 1 :
		    metrics_combinations(family);
		for (i = 0; i < n; i++) {
			cell = metrics_file_place((enum metric)m, i);
			if (cell >= 0)
				atomic_store(&file->cells[cell],
				    family->unset ? METRICS_UNSET : 0);
		}
	}
}

/* Milliseconds since 1970. */
static long
wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return (t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

/**
 * metrics_init(dir, program):
 * Make the file of ${program} in ${dir}, before the workers are forked.
 * Return 0; or -1, with errno set, if that fails: then nothing is counted.
 * EAGAIN says that another instance of the program keeps the file, as the
 * active listener does while this one stands by: metrics_beat takes the file
 * over when that instance has ended.  ${dir} must be valid until metrics_end.
 */
int
metrics_init(const char *dir, enum config_program program)
{
	char path[PATH_MAX], new[PATH_MAX];
	struct metrics_file *file;
	void *map = MAP_FAILED;
	int fd, saved;

	metrics_end();
	if (metrics_file_path(dir, program, "", path) != 0 ||
	    metrics_file_path(dir, program, ".new", new) != 0)
		return (-1);
	errno = EAGAIN;
	if (metrics_file_is_kept(path) ||
	    (fd = metrics_file_open_new(new, path)) < 0) {
		awaited = errno == EAGAIN ? dir : NULL;
		awaited_program = program;
		return (-1);
	}
	if ((file = malloc(sizeof(*file))) != NULL)
		begin(file, path);

	/* Written before it is mapped, so that there is room for all of it. */
	if (file != NULL &&
	    write(fd, file, sizeof(*file)) == (ssize_t)sizeof(*file) &&
	    rename(new, path) == 0)
		map = mmap(NULL, sizeof(*file), PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	saved = errno;
	free(file);
	if (map == MAP_FAILED) {
		(void)close(fd);
		errno = saved;
		return (-1);
	}
	ours = map;
	ours_fd = fd;
	metrics_set_now(METRICS_START);
	(void)metrics_beat(monotime_ms());
	return (0);
}

/**
 * metrics_end():
 * Stop counting; the file stays where it is.
 */
void
metrics_end(void)
{

	if (ours != NULL)
		(void)munmap(ours, sizeof(*ours));
	if (ours_fd >= 0)
		(void)close(ours_fd);
	ours = NULL;
	ours_fd = worker = -1;
	awaited = NULL;
}

/*
 * Counting.
 */

/* The minute of now, or NULL where nobody has emptied it. */
static struct minute *
this_minute(void)
{
	long now = time(NULL) / 60;
	struct minute *minute = &ours->minutes[now % RING];

	return (atomic_load(&minute->start) == now ? minute : NULL);
}

/* The step that ${metric} counts, or -1. */
static int
step_of(enum metric metric, int label)
{

	switch (metric) {
	case METRICS_NOTIFICATIONS:
		return (METRICS_STEP_NOTIFIED);
	case METRICS_POSTS:
		return (METRICS_STEP_POSTED);
	case METRICS_SCHEDULES:
		return (METRICS_STEP_SCHEDULED);
	case METRICS_TASK_REQUESTS:
		return (label < METRICS_TASK_LABEL(METRICS_TASK_GET, 0) ?
		    METRICS_STEP_TASK : -1);
	case METRICS_CALLBACKS:
		return (METRICS_STEP_CALLED_BACK);
	case METRICS_CALL_ATTEMPTS:
		return (METRICS_STEP_CALL);
	default:
		return (-1);
	}
}

/**
 * metrics_add(metric, label, n):
 * Add ${n} to a counter.
 */
void
metrics_add(enum metric metric, int label, long n)
{
	int cell = metrics_file_place(metric, label);
	int step = step_of(metric, label);
	struct minute *minute;

	if (ours == NULL || cell < 0)
		return;
	atomic_fetch_add_explicit(&ours->cells[cell], n,
	    memory_order_relaxed);
	if (step >= 0 && (minute = this_minute()) != NULL)
		atomic_fetch_add(&minute->steps[step], (unsigned long)n);
}

/**
 * metrics_set(metric, label, value):
 * Set a gauge, or a breaker's state (label 0) to an enum metrics_breaker.
 */
void
metrics_set(enum metric metric, int label, long value)
{
	int cell = metrics_file_place(metric, label);

	if (ours != NULL && cell >= 0)
		atomic_store_explicit(&ours->cells[cell], value,
		    memory_order_relaxed);
}

/**
 * metrics_set_now(metric):
 * Set a gauge that is a point in time to the present.
 */
void
metrics_set_now(enum metric metric)
{

	metrics_set(metric, 0, wall_ms());
}

/* The bucket of ${seconds}. */
static size_t
bucket_of(const struct metrics_family *family, double seconds)
{
	size_t i;

	for (i = 0; family->buckets[i] > 0 && seconds > family->buckets[i];
	    i++)
		;
	return (i);
}

/**
 * metrics_observe(metric, label, seconds):
 * Add an observation to a histogram; a negative one counts as 0.
 */
void
metrics_observe(enum metric metric, int label, double seconds)
{
	const struct metrics_family *family = &metrics_families[metric];
	int cell = metrics_file_place(metric, label), sum;

	if (ours == NULL || cell < 0)
		return;
	sum = cell + (int)metrics_file_buckets(family);
	if (!(seconds > 0))
		seconds = 0;
	atomic_fetch_add_explicit(&ours->cells[cell + (int)bucket_of(family,
	    seconds)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&ours->cells[sum], (long)(seconds * 1e6),
	    memory_order_relaxed);
}

/* Read 32 hexadecimal digits; return 0, or -1 if ${text} has fewer. */
static int
read_id(const char *text, uint64_t id[2])
{
	char half[17];
	size_t i;

	if (text == NULL || strspn(text, "0123456789abcdef") < 32)
		return (-1);
	for (i = 0; i < 2; i++) {
		(void)snprintf(half, sizeof(half), "%.16s", &text[16 * i]);
		id[i] = strtoull(half, NULL, 16);
	}
	return (0);
}

/* Keep an exemplar, unless another worker is just writing that one. */
static void
keep_exemplar(struct exemplar *e, double seconds, const char *trace_id)
{
	long nobody = 0;
	uint64_t id[2];

	if (read_id(trace_id, id) != 0 ||
	    !atomic_compare_exchange_strong(&e->writer, &nobody, worker + 2))
		return;
	atomic_store(&e->id[0], id[0]);
	atomic_store(&e->id[1], id[1]);
	atomic_store(&e->value, (long)(seconds * 1e6));
	atomic_store(&e->time, wall_ms());
	atomic_store(&e->writer, 0);
}

/**
 * metrics_called(lateness, trace_id):
 * A call was accepted, ${lateness} seconds after it was due.  The first 32
 * characters of ${trace_id} become the exemplar if they are hexadecimal digits;
 * it may be NULL.
 */
void
metrics_called(double lateness, const char *trace_id)
{
	struct minute *minute;
	size_t bucket;

	if (!(lateness > 0))
		lateness = 0;
	metrics_observe(METRICS_CALL_LATENESS, 0, lateness);
	if (ours == NULL)
		return;
	bucket = bucket_of(&metrics_families[METRICS_CALL_LATENESS], lateness);
	keep_exemplar(&ours->exemplars[bucket], lateness, trace_id);
	if ((minute = this_minute()) == NULL)
		return;
	atomic_fetch_add(lateness > METRICS_IN_TIME ? &minute->late :
	    &minute->in_time, 1);
	atomic_fetch_add(&minute->lateness[bucket], 1);
}

/**
 * metrics_not_made(reason):
 * Count a call that will not be made, or not at that time.  For the last hour
 * only one counts that somebody waits for in vain: not what was cancelled, and
 * not what is called at another time.
 */
void
metrics_not_made(enum metrics_reason reason)
{
	struct minute *minute;

	metrics_add(METRICS_CALLS_NOT_MADE, (int)reason, 1);
	if (reason != METRICS_REASON_EXPIRED && reason != METRICS_REASON_DEAD)
		return;
	if (ours != NULL && (minute = this_minute()) != NULL)
		atomic_fetch_add(&minute->not_made, 1);
}

/**
 * metrics_schema(schema):
 * Note the version of what is installed in the database.
 */
void
metrics_schema(const char *schema)
{

	if (ours != NULL && strncmp(ours->schema, schema,
	    sizeof(ours->schema) - 1) != 0)
		(void)snprintf(ours->schema, sizeof(ours->schema), "%s",
		    schema);
}

/**
 * metrics_collect_begin(now, interval):
 * Return non-zero iff the caller is to read the figures of the database: no
 * worker has begun to in the ${interval} milliseconds before ${now}.
 */
int
metrics_collect_begin(long now, long interval)
{
	long last;

	if (ours == NULL)
		return (0);
	last = atomic_load(&ours->collect_at);
	return ((last == 0 || now - last >= interval) &&
	    atomic_compare_exchange_strong(&ours->collect_at, &last, now));
}

/**
 * metrics_collect_end(now):
 * Record that the gauges hold the database's figures as of ${now}; 0 hides
 * them.
 */
void
metrics_collect_end(long now)
{

	if (ours != NULL)
		atomic_store(&ours->collected_at, now);
}

/* Empty the minute ${start}, which nobody writes yet. */
static void
empty_minute(long start)
{
	struct minute *minute = &ours->minutes[start % RING];
	size_t i;

	if (atomic_load(&minute->start) == start)
		return;
	atomic_store(&minute->start, 0);
	atomic_store(&minute->in_time, 0);
	atomic_store(&minute->late, 0);
	atomic_store(&minute->not_made, 0);
	for (i = 0; i < METRICS_STEPS; i++)
		atomic_store(&minute->steps[i], 0);
	for (i = 0; i < METRICS_BUCKETS; i++)
		atomic_store(&minute->lateness[i], 0);
	atomic_store(&minute->start, start);
}

/**
 * metrics_beat(now):
 * The program is alive at ${now} (monotime_ms); one process of it calls this
 * at least once a second.  Return the milliseconds until the next call, or -1
 * if there is nothing to call it for.
 */
long
metrics_beat(long now)
{
	long minute = time(NULL) / 60;

	if (ours == NULL && awaited != NULL)
		return (metrics_init(awaited, awaited_program) == 0 ||
		    awaited != NULL ? BEAT_MS : -1);
	if (ours == NULL)
		return (-1);
	empty_minute(minute);
	empty_minute(minute + 1);
	atomic_store(&ours->beat, now);
	return (BEAT_MS);
}

/* What the worker in place ${i} does. */
static void
set_worker(int i, unsigned char state)
{

	if (ours != NULL && i >= 0 && i < WORKERS)
		atomic_store(&ours->workers[i], state);
}

/**
 * metrics_worker(i):
 * This process is the worker in place ${i}, counted from 0.
 */
void
metrics_worker(int i)
{

	worker = i;
	set_worker(i, IDLE);
}

/**
 * metrics_busy(busy):
 * This worker begins a request (1), or waits for the next one (0).
 */
void
metrics_busy(int busy)
{

	set_worker(worker, busy ? BUSY : IDLE);
}

/**
 * metrics_worker_ended(i, expected):
 * The worker in place ${i} has ended: count that unless it was ${expected}.
 */
void
metrics_worker_ended(int i, int expected)
{
	size_t bucket;

	set_worker(i, ABSENT);
	for (bucket = 0; ours != NULL && bucket < METRICS_BUCKETS; bucket++)
		free_exemplar(&ours->exemplars[bucket], i + 2);
	if (!expected)
		metrics_add(METRICS_WORKER_EXITS, 0, 1);
}
