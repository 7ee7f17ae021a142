#ifndef EXECUTE_H_
#define EXECUTE_H_

#include <stdint.h>

#include "trace.h"
#include "uuid.h"

struct bookings;
struct breaker;
struct config;
struct voice_agent;

/*
 * A task becomes a call.  The row decides: a task that it does not name, or
 * that is for another time than it is due at, calls nobody.  The attempt is
 * counted before the call is started and what came of it is written after;
 * if the process dies in between, the next attempt carries the same
 * idempotency key.
 *
 * The gate is asked as the last act.  A booking that has to wait goes back to
 * pending, and followup-schedule makes a task for the end of its wait; for less
 * than a minute the queue tries again.
 *
 * A row that makes the database refuse spends an attempt of its booking, and
 * no call is started; one that refuses to be executed is not called again.
 *
 * While the voice agent fails for everybody, or asks us to slow down, no call
 * is begun, and the attempts of the bookings that found that out do not count.
 * Cloud Tasks tries those bookings again.  An attempt whose outcome is not
 * known remains one for a person where the operator wants it so.
 */

/* What it works with; all must outlive it. */
struct execute {
	const struct config *conf;
	struct bookings *bookings;
	struct voice_agent *agent;
	struct breaker *breaker;	/* of the agent, shared by workers */
};

/* A verified callback. */
struct execute_callback {
	char booking_id[UUID_LEN];
	const char *tenant_id;		/* of the body; or NULL */
	int64_t scheduled_at;		/* of the body: when it was due, in
					   milliseconds since 1970 */
	const char *task_id;		/* short name of the task; or NULL */
	struct trace trace;		/* of its traceparent, if it has one */
};

enum execute_outcome {
	EXECUTE_DONE,		/* the call was started now */
	EXECUTE_ALREADY,	/* it had been before */
	EXECUTE_SKIPPED,	/* nobody is to be called: reason */
	EXECUTE_DEFERRED,	/* not now, another task is made: reason */
	EXECUTE_CANARY,		/* likewise: it was a canary's task */
	EXECUTE_GIVEN_UP,	/* a dead letter: reason */
	EXECUTE_BUSY,		/* another attempt is running */
	EXECUTE_MISMATCH,	/* the body is not this booking's: reason */
	EXECUTE_LATER,		/* try again: reason */
};

struct execute_result {
	enum execute_outcome outcome;
	char reason[640];	/* one line */
	long retry_after;	/* of EXECUTE_LATER, seconds */
	int alone;		/* likewise: the others are not concerned */
	int expired;		/* of EXECUTE_GIVEN_UP: it is too late for it */
};

/**
 * execute_booking(execute, callback, result):
 * Start the call that ${callback} asks for, if it is to be started.
 */
void execute_booking(const struct execute *, const struct execute_callback *,
    struct execute_result *);

#endif /* !EXECUTE_H_ */
