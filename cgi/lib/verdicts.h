#ifndef VERDICTS_H_
#define VERDICTS_H_

#include <stddef.h>

#include "breaker.h"

/*
 * How a program has judged those who called it, and what it calls itself, in
 * a file that another program on this machine can read: how many it has
 * refused since it last let one in, and why; and whether its breaker is open.
 * All workers of the program write to it; the reader needs
 * no more than the right to read the file, and holds up nobody.
 *
 * Times are milliseconds of the monotonic clock, which the programs of a
 * machine share.
 */
struct verdicts;

#define VERDICTS_REASON_LEN	200

/* What the file says. */
struct verdicts_seen {
	long refused;			/* in a row, up to now */
	long refused_at;		/* the last of them */
	char reason[VERDICTS_REASON_LEN];	/* likewise */
	long agent_since;		/* when the breaker opened, or 0 */
	char agent_reason[BREAKER_REASON_LEN];
};

/**
 * verdicts_new(path):
 * Make the file ${path}, empty, with mode 0640, in the place of an earlier one.
 * To be called before the workers are forked.  Return NULL, with errno set, if
 * it cannot be made.
 */
struct verdicts *verdicts_new(const char *);

/**
 * verdicts_agent(verdicts):
 * Return what the voice agent's breaker is to keep up to date; NULL for NULL.
 */
struct breaker_view *verdicts_agent(struct verdicts *);

/**
 * verdicts_accepted(verdicts):
 * A caller was let in.  NULL is fine, here and below: nothing is noted.
 */
void verdicts_accepted(struct verdicts *);

/**
 * verdicts_refused(verdicts, now, reason):
 * A caller was refused, or could not be judged, for ${reason}.
 */
void verdicts_refused(struct verdicts *, long, const char *);

/**
 * verdicts_read(path, seen):
 * Read what the file ${path} says.  Return 0; or -1 if there is no such file,
 * or it is not one of ours.
 */
int verdicts_read(const char *, struct verdicts_seen *);

/**
 * verdicts_free(verdicts):
 * Unmap ${verdicts} from this process; NULL is fine.
 */
void verdicts_free(struct verdicts *);

#endif /* !VERDICTS_H_ */
