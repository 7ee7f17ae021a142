#ifndef BURSTS_H_
#define BURSTS_H_

#include <stddef.h>

/*
 * Bursts of similar messages, which must not flood the log: the first
 * BURSTS_SHOWN of a kind in an interval are to be shown; the others are
 * counted, and the last of them is kept.  The workers of a program count
 * together, in memory that they share.  All times are in milliseconds of the
 * monotonic clock.
 */
struct bursts;

#define BURSTS_SHOWN		10
#define BURSTS_INTERVAL_MS	10000

/* The longest text that is kept; a longer message is always shown. */
#define BURSTS_TEXT_LEN		4096

/* The messages of a kind that were not shown. */
struct burst {
	int level;		/* as it was told */
	long count;
	long seconds;		/* how long they took to come, 1 at least */
	size_t len;
	char text[BURSTS_TEXT_LEN];	/* the last of them */
};

/**
 * bursts_new():
 * Return a counter of bursts, which lives as long as the program; NULL when
 * memory is short.  To be called before the workers are forked.
 */
struct bursts *bursts_new(void);

/**
 * bursts_add(bursts, kind, level, now, text, len):
 * A message came at ${now}.  Messages of the same ${kind}, the address of their
 * format, and ${level} are similar; the address means the same in every worker.
 * Return non-zero iff the message is to be shown; if not, it is counted, and
 * its ${text} of ${len} bytes is kept.
 */
int bursts_add(struct bursts *, const void *, int, long, const char *,
    size_t);

/**
 * bursts_take(bursts, now, all, burst):
 * Move a kind's count into ${burst} if its interval is over at ${now}, or if
 * ${all} is set, and begin its next interval.  Return non-zero iff there was
 * one: call again for the next.
 */
int bursts_take(struct bursts *, long, int, struct burst *);

#endif /* !BURSTS_H_ */
