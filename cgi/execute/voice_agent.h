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

/*
 * What an answer says about the call.  What does not prove that the call was
 * not started is unknown: the agent, or a proxy before it, may have failed
 * after it began.  A redirect is refused: it is not followed.
 */
enum voice_agent_outcome {
	VOICE_AGENT_STARTED,		/* 2xx */
	VOICE_AGENT_NOT_STARTED,	/* not now: 425, 429, 503; or nothing
					   was sent, for want of a connection */
	VOICE_AGENT_RUNNING,		/* 409: a request with this key is
					   being worked on */
	VOICE_AGENT_UNKNOWN,		/* 408, 499, any other 5xx; or no
					   answer to what was sent */
	VOICE_AGENT_DENIED,		/* 401, 403: not started, as we are not
					   let in; a person has to see to it */
	VOICE_AGENT_REFUSED,		/* any other 3xx or 4xx: for good */
};

struct voice_agent_call {
	const char *body;		/* JSON, sent as it is; its phone
					   numbers are kept out of errors */
	const char *idempotency_key;
	const char *message_id;		/* without '.'; same at each attempt */
	const char *tenant_id;		/* or NULL */
	const char *traceparent;	/* whose child the call is, or NULL */
};

struct voice_agent_error {
	long http_status;	/* or 0 where no answer came */
	long retry_after;	/* seconds, or -1 */
	int no_connection;	/* nothing was sent, for want of one */
	int not_asked;		/* nothing was sent, and not for that */
	long ms;		/* how long it took, rounded up; or 0 */
	char text[512];		/* one line, without phone numbers and
				   secrets */
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
 * Ask for ${call}.  ${error} is set, its text unless the call was started.
 */
enum voice_agent_outcome voice_agent_start(struct voice_agent *,
    const struct voice_agent_call *, struct voice_agent_error *);

/**
 * voice_agent_free(agent):
 * Wipe and free ${agent}; NULL is fine.
 */
void voice_agent_free(struct voice_agent *);

#endif /* !VOICE_AGENT_H_ */
