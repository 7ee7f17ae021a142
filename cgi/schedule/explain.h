#ifndef EXPLAIN_H_
#define EXPLAIN_H_

#include <stddef.h>

struct booking;
struct config;

/**
 * explain_booking(conf, booking, paused, buf, buflen):
 * Write to ${buf} one sentence for an operator on why ${booking} is in the
 * state it is in, and what happens next.  ${paused} is the name of the queue
 * that its task is in if that is known to be paused, or NULL.
 */
void explain_booking(const struct config *, const struct booking *,
    const char *, char *, size_t);

#endif /* !EXPLAIN_H_ */
