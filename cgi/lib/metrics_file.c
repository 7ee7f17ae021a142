#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "metrics_file.h"

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

/**
 * metrics_file_buckets(family):
 * Return how many buckets a histogram has, with that of everything above.
 */
size_t
metrics_file_buckets(const struct metrics_family *family)
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
	    (int)metrics_file_buckets(family) + 1 : 1);
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

/**
 * metrics_file_place(metric, label):
 * Return the first cell of ${metric} for ${label}; -1: it has none.
 */
int
metrics_file_place(enum metric metric, int label)
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

/* Go on with ${hash} (FNV-1a). */
static uint64_t
mix(uint64_t hash, const void *data, size_t len)
{
	const unsigned char *p = data;

	while (len-- > 0)
		hash = (hash ^ *p++) * UINT64_C(1099511628211);
	return (hash);
}

/**
 * metrics_file_layout():
 * Return a number that differs between tables that differ.
 */
uint64_t
metrics_file_layout(void)
{
	const struct metrics_family *f;
	const char *const *value;
	size_t size = sizeof(struct metrics_file);
	uint64_t hash = UINT64_C(14695981039346656037);
	int m, i;

	(void)metrics_file_place(0, 0);
	for (m = 0; m < METRICS_N; m++) {
		f = &metrics_families[m];
		hash = mix(hash, f->name, strlen(f->name) + 1);
		hash = mix(hash, &places[m], sizeof(places[m]));
		for (i = 0; i < METRICS_LABELS && f->labels[i].name != NULL;
		    i++) {
			for (value = f->labels[i].values; *value != NULL;
			    value++)
				hash = mix(hash, *value, strlen(*value) + 1);
		}
		if (f->buckets != NULL)
			hash = mix(hash, f->buckets,
			    metrics_file_buckets(f) * sizeof(*f->buckets));
	}
	return (mix(hash, &size, sizeof(size)));
}

/*
 * Path and opening.
 */

/**
 * metrics_file_path(dir, program, suffix, path):
 * Write the path of the file of ${program} in ${dir}, with ${suffix} behind
 * it, to ${path}.  Return 0, or -1 with errno set if it is too long.
 */
int
metrics_file_path(const char *dir, enum config_program program,
    const char *suffix, char path[PATH_MAX])
{
	int n = snprintf(path, PATH_MAX, "%s/%s.metrics%s", dir,
	    metrics_program(program), suffix);

	if (n >= 0 && n < PATH_MAX)
		return (0);
	errno = ENAMETOOLONG;
	return (-1);
}

/**
 * metrics_file_read(path, file, own):
 * Read the file at ${path} into ${file}.  Return 0; or -1 if it is not one of
 * ours or, with ${own}, does not belong to our user.  The caller compares its
 * layout.
 */
int
metrics_file_read(const char *path, struct metrics_file *file, int own)
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

/**
 * metrics_file_is_kept(path):
 * Return non-zero iff another process keeps the file at ${path}.  A process
 * that has locked this file itself must not ask: that would undo its lock.
 */
int
metrics_file_is_kept(const char *path)
{
	int fd, kept;

	fd = open(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return (0);
	kept = lock(fd) != 0 && errno == EAGAIN;
	(void)close(fd);
	return (kept);
}

/**
 * metrics_file_open_new(new, path):
 * Open ${new}, empty, for what is to take the place of ${path}, and lock it
 * for this process and none of its children.  Return the descriptor; or -1 with
 * errno set: EAGAIN if another process has the one or the other.
 *
 * The lock comes first, and goes with the file to its new name: of two that
 * begin at the same time, neither takes away what the other one has made.
 */
int
metrics_file_open_new(const char *new, const char *path)
{
	struct stat st, named;
	int fd, saved;

	/* One that was killed may have left it. */
	if (lstat(new, &st) == 0 && (!S_ISREG(st.st_mode) ||
	    st.st_uid != geteuid() || st.st_nlink != 1))
		(void)unlink(new);
	fd = open(new, O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC,
	    0640);
	if (fd < 0)
		return (-1);
	if (fstat(fd, &st) == 0 && lock(fd) == 0) {
		errno = EAGAIN;
		if (st.st_uid == geteuid() && lstat(new, &named) == 0 &&
		    named.st_ino == st.st_ino) {
			if (!metrics_file_is_kept(path) &&
			    fchmod(fd, 0640) == 0 && ftruncate(fd, 0) == 0)
				return (fd);
			(void)unlink(new);
		}
	}
	saved = errno;
	(void)close(fd);
	errno = saved;
	return (-1);
}
