#ifndef VOICE_AGENT_H_
#define VOICE_AGENT_H_

#include <stddef.h>

struct config;

/*
 * Starting a call: one POST to FOLLOWUP_CALL_URL.  Every attempt at the same
 * call carries the same Idempotency-Key (and webhook-id), so that the agent
 * can tell a repetition from a second call.
 */
struct voice_agent;

enum voice_agent_outcome {
	VOICE_AGENT_STARTED,	/* 2xx */
	VOICE_AGENT_TRANSIENT,	/* no answer, 408, 425, 429, 5xx */
	VOICE_AGENT_REFUSED,	/* anything else: for good */
};

struct voice_agent_call {
	const char *body;		/* JSON, sent as it is */
	const char *phone_number;	/* in it, kept out of errors; or NULL */
	const char *idempotency_key;
	const char *message_id;		/* without '.'; same at each attempt */
	const char *tenant_id;		/* or NULL */
	const char *traceparent;	/* of the callback, or NULL */
};

struct voice_agent_error {
	long http_status;	/* or 0 where no answer came */
	long retry_after;	/* seconds, or -1 */
	int unknown;		/* the call may have been started */
	char text[512];		/* one line */
};

/**
 * voice_agent_check(conf):
 * Return NULL if the configuration of the call is good, or a static sentence
 * on what is not.
 */
const char *voice_agent_check(const struct config *);

/**
 * voice_agent_new(conf):
 * Return a client; NULL when memory is short.  ${conf} must outlive it.
 */
struct voice_agent *voice_agent_new(const struct config *);

/**
 * voice_agent_start(agent, call, error):
 * Ask for ${call}.  ${error} is set unless it was started.
 */
enum voice_agent_outcome voice_agent_start(struct voice_agent *,
    const struct voice_agent_call *, struct voice_agent_error *);

/**
 * voice_agent_free(agent):
 * Wipe and free ${agent}; NULL is fine.
 */
void voice_agent_free(struct voice_agent *);

#endif /* !VOICE_AGENT_H_ */
