#ifndef CALLBACK_AUTH_H_
#define CALLBACK_AUTH_H_

#include <time.h>

#include <jansson.h>

#include "metrics.h"

struct config;
struct jwks;
struct request;

/*
 * Is it our queue that calls?  Either an OpenID Connect token, signed by the
 * configured issuer for the configured service account and audience; or the
 * shared secret, where one is configured.
 */

enum callback_outcome {
	CALLBACK_OURS,
	CALLBACK_REFUSED,	/* 401; the reason is for the log only */
	CALLBACK_UNDECIDED,	/* 503; the keys are not to be had now */
};

/* Clocks may differ by this much, in seconds. */
#define CALLBACK_SKEW	30

/**
 * callback_auth(conf, jwks, request, booking_id, now, why):
 * Decide on ${request}, which would start the call of ${booking_id} (as it
 * stands in the path).  ${why} is set to a static sentence unless the outcome
 * is CALLBACK_OURS.
 */
enum callback_outcome callback_auth(const struct config *, struct jwks *,
    const struct request *, const char *, time_t, const char **);

/**
 * callback_check_claims(conf, claims, booking_id, now):
 * Hold the ${claims} of a token whose signature is good against what is
 * configured (RFC 7519, 4.1; OpenID Connect Core 1.0, 3.1.3.7): iss (Google's
 * also without its scheme), aud (the audience, or the URL of this task; a
 * string, or an array that has it), email with email_verified, exp, iat and
 * nbf as numbers.
 * Return NULL if all is well, or a static sentence on what is not.
 */
const char *callback_check_claims(const struct config *, const json_t *,
    const char *, time_t);

/**
 * callback_rule(why):
 * Return the rule that a callback was refused by, for the sentence ${why} of
 * callback_auth.
 */
enum metrics_rule callback_rule(const char *);

#endif /* !CALLBACK_AUTH_H_ */
