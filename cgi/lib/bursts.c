#include <sys/mman.h>

#include <pthread.h>
#include <string.h>

#include "shared_mutex.h"

#include "bursts.h"

/*
 * More kinds than a program has formats of warnings and errors.  Messages of
 * kinds that find no room are all shown.
 */
#define KINDS	128

struct kind {
	const void *kind;	/* NULL if nobody uses this one */
	long begun;		/* its interval, in ms */
	int level;
	int shown;		/* messages since then */
	long counted;		/* those that were not shown */
	size_t len;		/* of the last one's text */
};

struct bursts {
	pthread_mutex_t mutex;
	struct kind kinds[KINDS];

	/* Of each kind; apart, so that what is not used takes no memory. */
	char texts[KINDS][BURSTS_TEXT_LEN];
};

/**
 * bursts_new():
 * Return a counter of bursts, which lives as long as the program; NULL when
 * memory is short.  To be called before the workers are forked.
 */
struct bursts *
bursts_new(void)
{
	struct bursts *b;

	b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b == MAP_FAILED)
		return (NULL);
	(void)madvise(b, sizeof(*b), MADV_DONTDUMP);
	if (shared_mutex_init(&b->mutex) != 0) {
		(void)munmap(b, sizeof(*b));
		return (NULL);
	}
	return (b);
}

static int
is_over(const struct kind *k, long now)
{

	return (now - k->begun >= BURSTS_INTERVAL_MS);
}

/* Find ${kind}, or make room for it; return NULL if the table is full. */
static struct kind *
find(struct bursts *b, const void *kind, int level, long now)
{
	struct kind *k, *room = NULL;

	for (k = b->kinds; k < &b->kinds[KINDS]; k++) {
		if (k->kind == kind && k->level == level)
			return (k);
		if (room == NULL && (k->kind == NULL ||
		    (is_over(k, now) && k->counted == 0)))
			room = k;
	}
	if (room != NULL) {
		room->kind = kind;
		room->begun = now;
		room->shown = 0;
		room->level = level;
		room->counted = 0;
	}
	return (room);
}

/**
 * bursts_add(bursts, kind, level, now, text, len):
 * A message came at ${now}.  Messages of the same ${kind}, the address of their
 * format, and ${level} are similar; the address means the same in every worker.
 * Return non-zero iff the message is to be shown; if not, it is counted, and
 * its ${text} of ${len} bytes is kept.
 */
int
bursts_add(struct bursts *b, const void *kind, int level, long now,
    const char *text, size_t len)
{
	struct kind *k;
	int shown = 1;

	if (len > BURSTS_TEXT_LEN)
		return (1);
	shared_mutex_lock(&b->mutex);
	if ((k = find(b, kind, level, now)) != NULL) {
		/* What was not shown has to be told first: bursts_take. */
		if (is_over(k, now) && k->counted == 0) {
			k->begun = now;
			k->shown = 0;
		}
		if (k->shown < BURSTS_SHOWN)
			k->shown++;
		else {
			shown = 0;
			k->counted++;
			k->len = len;
			memcpy(b->texts[k - b->kinds], text, len);
		}
	}
	(void)pthread_mutex_unlock(&b->mutex);
	return (shown);
}

/**
 * bursts_take(bursts, now, all, burst):
 * Move a kind's count into ${burst} if its interval is over at ${now}, or if
 * ${all} is set, and begin its next interval.  Return non-zero iff there was
 * one: call again for the next.
 */
int
bursts_take(struct bursts *b, long now, int all, struct burst *burst)
{
	struct kind *k;
	int found = 0;

	shared_mutex_lock(&b->mutex);
	for (k = b->kinds; k < &b->kinds[KINDS] && !found; k++) {
		if (k->counted == 0 || (!all && !is_over(k, now)))
			continue;
		found = 1;
		burst->level = k->level;
		burst->count = k->counted;
		burst->seconds = now > k->begun ?
		    (now - k->begun + 999) / 1000 : 1;
		burst->len = k->len;
		memcpy(burst->text, b->texts[k - b->kinds], k->len);
		k->begun = now;
		k->shown = 0;
		k->counted = 0;
	}
	(void)pthread_mutex_unlock(&b->mutex);
	return (found);
}
