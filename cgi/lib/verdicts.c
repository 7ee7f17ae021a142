#include <sys/mman.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "verdicts.h"

/* Tells a file of this layout from others. */
#define MAGIC	0x32726476L

struct verdicts {
	long magic;
	_Atomic long refused;
	_Atomic long refused_at;

	/*
	 * Two workers may write at the same time, or one while it is read: at
	 * worst, a sentence is half of one reason and half of another, once.
	 * Its last byte is never written.
	 */
	char reason[VERDICTS_REASON_LEN];
	struct breaker_view agent;	/* the same holds for its reason */
};

/**
 * verdicts_new(path):
 * Make the file ${path}, empty, with mode 0640, in the place of an earlier one.
 * To be called before the workers are forked.  Return NULL, with errno set, if
 * it cannot be made.
 */
struct verdicts *
verdicts_new(const char *path)
{
	struct verdicts empty = { .magic = MAGIC }, *v = NULL;
	char new[PATH_MAX];
	int fd, saved;

	if ((size_t)snprintf(new, sizeof(new), "%s.new", path) >=
	    sizeof(new)) {
		errno = ENAMETOOLONG;
		return (NULL);
	}
	(void)unlink(new);
	fd = open(new, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
	    0640);
	if (fd < 0)
		return (NULL);

	/* Written before it is mapped, so that there is room for all of it. */
	if (fchmod(fd, 0640) == 0 &&
	    write(fd, &empty, sizeof(empty)) == (ssize_t)sizeof(empty) &&
	    rename(new, path) == 0)
		v = mmap(NULL, sizeof(*v), PROT_READ | PROT_WRITE, MAP_SHARED,
		    fd, 0);
	saved = errno;
	(void)close(fd);
	errno = saved;
	return (v == MAP_FAILED ? NULL : v);
}

/**
 * verdicts_agent(verdicts):
 * Return what the voice agent's breaker is to keep up to date; NULL for NULL.
 */
struct breaker_view *
verdicts_agent(struct verdicts *v)
{

	return (v != NULL ? &v->agent : NULL);
}

/**
 * verdicts_accepted(verdicts):
 * A caller was let in.  NULL is fine, here and below: nothing is noted.
 */
void
verdicts_accepted(struct verdicts *v)
{

	/* Workers that only read it do not take it from each other's cache. */
	if (v != NULL && atomic_load(&v->refused) != 0)
		atomic_store(&v->refused, 0);
}

/**
 * verdicts_refused(verdicts, now, reason):
 * A caller was refused, or could not be judged, for ${reason}.
 */
void
verdicts_refused(struct verdicts *v, long now, const char *reason)
{

	if (v == NULL)
		return;
	if (strncmp(v->reason, reason, sizeof(v->reason) - 1) != 0)
		(void)strncpy(v->reason, reason, sizeof(v->reason) - 1);
	atomic_store(&v->refused_at, now);
	atomic_fetch_add(&v->refused, 1);
}

/**
 * verdicts_read(path, seen):
 * Read what the file ${path} says.  Return 0; or -1 if there is no such file,
 * or it is not one of ours.
 */
int
verdicts_read(const char *path, struct verdicts_seen *seen)
{
	struct verdicts v;
	ssize_t n;
	int fd;

	fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return (-1);
	n = read(fd, &v, sizeof(v));
	(void)close(fd);
	if (n != (ssize_t)sizeof(v) || v.magic != MAGIC)
		return (-1);
	seen->refused = atomic_load(&v.refused);
	seen->refused_at = atomic_load(&v.refused_at);
	(void)snprintf(seen->reason, sizeof(seen->reason), "%.*s",
	    VERDICTS_REASON_LEN - 1, v.reason);
	seen->agent_since = atomic_load(&v.agent.open_since);
	(void)snprintf(seen->agent_reason, sizeof(seen->agent_reason), "%.*s",
	    BREAKER_REASON_LEN - 1, v.agent.reason);
	return (0);
}

/**
 * verdicts_free(verdicts):
 * Unmap ${verdicts} from this process; NULL is fine.
 */
void
verdicts_free(struct verdicts *v)
{

	if (v != NULL)
		(void)munmap(v, sizeof(*v));
}
