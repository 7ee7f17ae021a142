#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "monotime.h"
#include "version.h"

#include "metrics.h"

/* Tells a file of ours from others. */
#define MAGIC		0x4d657431L

/* A program that has not lived for so long is down; between beats, in ms. */
#define UP_MS		10000
#define BEAT_MS		1000

/* Room for the numbers of all metrics, for workers, and for versions. */
#define CELLS		512
#define WORKERS		512
#define VERSION_LEN	32

/* Minutes in the file: the next one has to be empty when it begins. */
#define RING		64

/* What a worker does. */
enum { ABSENT, IDLE, BUSY };

/*
 * The last exemplar of a bucket.  A writer makes ${turn} odd while it writes,
 * so that readers and other writers leave it alone.
 */
struct exemplar {
	_Atomic unsigned long turn;
	_Atomic uint64_t id[2];
	_Atomic long value;		/* us */
	_Atomic long time;		/* ms since 1970; 0: none */
};

struct minute {
	_Atomic long start;		/* in minutes since 1970 */
	_Atomic unsigned long in_time;
	_Atomic unsigned long late;
	_Atomic unsigned long not_made;
	_Atomic unsigned long steps[METRICS_STEPS];
	_Atomic unsigned long lateness[METRICS_BUCKETS];
};

struct file {
	long magic;
	uint64_t layout;		/* of the table; see layout() */
	char version[VERSION_LEN];
	char schema[VERSION_LEN];	/* its last byte is never written */
	_Atomic long beat;		/* monotonic ms; 0: not yet */
	_Atomic long collect_at;	/* begun, likewise */
	_Atomic long collected_at;	/* with success */
	_Atomic long cells[CELLS];
	_Atomic unsigned char workers[WORKERS];
	struct exemplar exemplars[METRICS_BUCKETS];
	struct minute minutes[RING];
};

struct metrics_snapshot {
	struct file file;
};

static struct file *ours;		/* of this program, or NULL */
static int ours_fd = -1;		/* has its lock while it is open */
static const char *awaited;		/* where another one has the file */
static enum config_program awaited_program;
static int worker = -1;			/* the place of this one */
static int places[METRICS_N];		/* of each metric's first cell */
static int ncells;			/* in use; 0: not counted yet */

static const struct {
	enum config_program program;
	const char *name;
} programs[] = {
	{ CONFIG_LISTENER, "listener" },
	{ CONFIG_SCHEDULE, "schedule" },
	{ CONFIG_EXECUTE, "execute" },
};

#define NPROGRAMS	(sizeof(programs) / sizeof(programs[0]))

/**
 * metrics_program(program):
 * Return the short name of ${program}: "listener".
 */
const char *
metrics_program(enum config_program program)
{
	size_t i;

	for (i = 0; i < NPROGRAMS - 1; i++) {
		if (programs[i].program == program)
			break;
	}
	return (programs[i].name);
}

/*
 * Where things are.
 */

/**
 * metrics_combinations(family):
 * Return how many combinations of values the labels of ${family} have.
 */
int
metrics_combinations(const struct metrics_family *family)
{
	const char *const *value;
	int i, n, all = 1;

	for (i = 0; i < METRICS_LABELS && family->labels[i].name != NULL;
	    i++) {
		for (n = 0, value = family->labels[i].values; *value != NULL;
		    value++)
			n++;
		all *= n;
	}
	return (all);
}

/* How many buckets a histogram has, with that of everything above. */
static size_t
nbuckets(const struct metrics_family *family)
{
	size_t n;

	for (n = 0; family->buckets[n] > 0; n++)
		;
	return (n + 1);
}

/* The cells that one combination of labels takes. */
static int
width(const struct metrics_family *family)
{

	/* The sum stands behind the buckets, in microseconds. */
	return (family->type == METRICS_HISTOGRAM ?
	    (int)nbuckets(family) + 1 : 1);
}

/* Give each metric its place. */
static void
lay_out(void)
{
	const struct metrics_family *family;
	int m;

	for (m = 0; m < METRICS_N; m++) {
		family = &metrics_families[m];
		places[m] = ncells;
		ncells += family->type == METRICS_STATE ? 1 :
		    metrics_combinations(family) * width(family);
	}
}

/* Return the first cell of ${metric} for ${label}; -1: it has none. */
static int
place(enum metric metric, int label)
{
	const struct metrics_family *family = &metrics_families[metric];
	int limit = family->type == METRICS_STATE ? 1 :
	    metrics_combinations(family);

	if (ncells == 0)
		lay_out();
	if (label < 0 || label >= limit || ncells > CELLS)
		return (-1);
	return (places[metric] + label * width(family));
}

/* A number that differs between tables that differ (FNV-1a). */
static uint64_t
layout(void)
{
	uint64_t hash = UINT64_C(14695981039346656037);
	const char *p;
	int m;

	(void)place(0, 0);
	for (m = 0; m < METRICS_N; m++) {
		for (p = metrics_families[m].name; *p != '\0'; p++)
			hash = (hash ^ (unsigned char)*p) *
			    UINT64_C(1099511628211);
		hash = (hash ^ (uint64_t)places[m]) *
		    UINT64_C(1099511628211);
	}
	return ((hash ^ sizeof(struct file)) * UINT64_C(1099511628211));
}

/*
 * The file.
 */

/* Write its path; -1 if it is too long. */
static int
file_path(const char *dir, enum config_program program, const char *suffix,
    char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/%s.metrics%s", dir,
	    metrics_program(program), suffix);

	if (n >= 0 && n < PATH_MAX)
		return (0);
	errno = ENAMETOOLONG;
	return (-1);
}

/*
 * Read the file at ${path} into ${file}; -1 if it is not one of ours.  With
 * ${own} it must belong to our user.
 */
static int
read_file(const char *path, struct file *file, int own)
{
	struct stat st;
	ssize_t n = -1;
	int fd;

	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return (-1);
	if (!own || (fstat(fd, &st) == 0 && st.st_uid == geteuid()))
		n = read(fd, file, sizeof(*file));
	(void)close(fd);
	return (n == (ssize_t)sizeof(*file) && file->magic == MAGIC ? 0 : -1);
}

/*
 * Lock ${fd} for this process and none of its children.  -1: another process
 * has done so.
 */
static int
lock(int fd)
{
	struct flock all = { .l_type = F_WRLCK, .l_whence = SEEK_SET };

	if (fcntl(fd, F_SETLK, &all) == 0)
		return (0);
	if (errno == EACCES)
		errno = EAGAIN;
	return (-1);
}

/* Does another process keep the file ${path}? */
static int
is_kept(const char *path)
{
	int fd, kept;

	fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return (0);
	kept = lock(fd) != 0 && errno == EAGAIN;
	(void)close(fd);
	return (kept);
}

/* Begin ${file}: counters go on from those at ${path}, gauges start anew. */
static void
begin(struct file *file, const char *path)
{
	const struct metrics_family *family;
	int m, i, n;

	if (read_file(path, file, 1) != 0 || file->layout != layout()) {
		memset(file, 0, sizeof(*file));
		file->magic = MAGIC;
		file->layout = layout();
	}
	(void)snprintf(file->version, sizeof(file->version), "%s",
	    FOLLOWUP_VERSION);
	atomic_store(&file->beat, 0);
	atomic_store(&file->collect_at, 0);
	atomic_store(&file->collected_at, 0);
	for (i = 0; i < WORKERS; i++)
		atomic_store(&file->workers[i], ABSENT);
	for (i = 0; i < METRICS_BUCKETS; i++)
		atomic_fetch_and(&file->exemplars[i].turn, ~1UL);
	for (m = 0; m < METRICS_N; m++) {
		family = &metrics_families[m];
		if (family->type != METRICS_GAUGE &&
		    family->type != METRICS_STATE)
			continue;
		n = family->type == METRICS_STATE ? 1 :
		    metrics_combinations(family);
		for (i = 0; i < n; i++)
			atomic_store(&file->cells[places[m] + i],
			    family->unset ? METRICS_UNSET : 0);
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
	struct file *file;
	void *map = MAP_FAILED;
	int fd, saved;

	metrics_end();
	if (file_path(dir, program, "", path) != 0 ||
	    file_path(dir, program, ".new", new) != 0)
		return (-1);
	if (is_kept(path)) {
		awaited = dir;
		awaited_program = program;
		errno = EAGAIN;
		return (-1);
	}
	if ((file = malloc(sizeof(*file))) == NULL)
		return (-1);
	begin(file, path);
	(void)unlink(new);
	fd = open(new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0640);

	/* Written before it is mapped, so that there is room for all of it. */
	if (fd >= 0 && fchmod(fd, 0640) == 0 && lock(fd) == 0 &&
	    write(fd, file, sizeof(*file)) == (ssize_t)sizeof(*file) &&
	    rename(new, path) == 0)
		map = mmap(NULL, sizeof(*file), PROT_READ | PROT_WRITE,
		    MAP_SHARED, fd, 0);
	saved = errno;
	free(file);
	if (map == MAP_FAILED) {
		if (fd >= 0)
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
	int cell = place(metric, label), step = step_of(metric, label);
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
	int cell = place(metric, label);

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
	int cell = place(metric, label);

	if (ours == NULL || cell < 0)
		return;
	if (!(seconds > 0))
		seconds = 0;
	atomic_fetch_add_explicit(&ours->cells[cell + (int)bucket_of(family,
	    seconds)], 1, memory_order_relaxed);
	atomic_fetch_add_explicit(&ours->cells[cell + (int)nbuckets(family)],
	    (long)(seconds * 1e6), memory_order_relaxed);
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
	unsigned long turn = atomic_load(&e->turn);
	uint64_t id[2];

	if (read_id(trace_id, id) != 0 || (turn & 1) ||
	    !atomic_compare_exchange_strong(&e->turn, &turn, turn + 1))
		return;
	atomic_store(&e->id[0], id[0]);
	atomic_store(&e->id[1], id[1]);
	atomic_store(&e->value, (long)(seconds * 1e6));
	atomic_store(&e->time, wall_ms());
	atomic_store(&e->turn, turn + 2);
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
 * Count a call that will not be made after all.
 */
void
metrics_not_made(enum metrics_reason reason)
{
	struct minute *minute;

	metrics_add(METRICS_CALLS_NOT_MADE, (int)reason, 1);
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
 * The gauges hold what the database said at ${now}; 0 hides them.
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

	set_worker(i, ABSENT);
	if (!expected)
		metrics_add(METRICS_WORKER_EXITS, 0, 1);
}

/*
 * Reading.
 */

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

	if (file_path(dir, program, "", path) != 0 ||
	    (s = malloc(sizeof(*s))) == NULL)
		return (NULL);
	if (read_file(path, &s->file, 0) == 0 && s->file.layout == layout())
		return (s);
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
	int cell = place(metric, label);

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
	int cell = place(metric, label);
	size_t i;

	memset(h, 0, sizeof(*h));
	h->n = nbuckets(&metrics_families[metric]);
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
	if (at == 0 || (atomic_load(&e->turn) & 1))
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
		minutes[i].lateness.n =
		    nbuckets(&metrics_families[METRICS_CALL_LATENESS]);
	}
	for (p = 0; p < NPROGRAMS; p++) {
		if ((s = metrics_read(dir, programs[p].program)) == NULL)
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
