#ifndef EXPLAIN_H_
#define EXPLAIN_H_

#include <stddef.h>

struct booking;
struct config;
struct troubles;

/* What a sentence rests on, apart from the booking. */
struct explain_facts {
	const struct config *conf;
	double window;			/* how many seconds back an overdue
					   booking is picked up */
	const struct troubles *troubles;	/* of this installation now */
	const char *paused_queue;	/* the one its task is in, or NULL */
	const char *gate_error;		/* followup_gate failed so, or NULL */
	const char *then_never;		/* why it will not be called once its
					   wait ends, or NULL */
	const char *type_meant;		/* the follow-up type that its type
					   is a misspelling of, or NULL */
};

/**
 * explain_booking(facts, booking, buf, buflen):
 * Write to ${buf} one sentence for an operator on why ${booking} is in the
 * state it is in, and what happens next.  ${paused} is the name of the queue
 * that its task is in if that is known to be paused, or NULL.
 */
void explain_booking(const struct explain_facts *, const struct booking *,
    char *, size_t);

/* Room for the longest sentence, with its NUL. */
#define EXPLAIN_LEN	1024

#endif /* !EXPLAIN_H_ */
