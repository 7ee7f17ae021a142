#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>

#include "config.h"
#include "json_text.h"
#include "jwks.h"
#include "jwt.h"
#include "request.h"

#include "callback_auth.h"

/* No token of Google's lives longer than an hour; a day is not one. */
#define MAX_LIFETIME	86400

/* The issuer, which Google also writes without "https://". */
static int
is_issuer(const json_t *iss, const char *want)
{

	return (json_text_is(iss, want) ||
	    (strcmp(want, "https://accounts.google.com") == 0 &&
	    json_text_is(iss, "accounts.google.com")));
}

/* One audience: the configured one, or this task's own URL. */
static int
is_audience(const struct config *conf, const json_t *aud,
    const char *booking_id)
{
	char url[2048];

	(void)snprintf(url, sizeof(url), "%s/%s/execute-followup",
	    conf->execution_endpoint, booking_id);
	return (json_text_is(aud, conf->execution_audience) ||
	    json_text_is(aud, url));
}

static int
has_audience(const struct config *conf, const json_t *aud,
    const char *booking_id)
{
	const json_t *one;
	size_t i;

	json_array_foreach(aud, i, one) {
		if (is_audience(conf, one, booking_id))
			return (1);
	}
	return (is_audience(conf, aud, booking_id));
}

/* Times are JSON numbers; seconds since 1970, fractions allowed. */
static const char *
check_times(const json_t *claims, time_t now)
{
	const json_t *exp = json_object_get(claims, "exp");
	const json_t *iat = json_object_get(claims, "iat");
	const json_t *nbf = json_object_get(claims, "nbf");
	double t = (double)now;

	if (!json_is_number(exp))
		return ("it has no exp, or not as a number");
	if (!json_is_number(iat))
		return ("it has no iat, or not as a number");
	if (nbf != NULL && !json_is_number(nbf))
		return ("its nbf is not a number");
	if (t >= json_number_value(exp) + CALLBACK_SKEW)
		return ("it has expired (exp)");
	if (t < json_number_value(iat) - CALLBACK_SKEW)
		return ("it was issued in the future (iat): is the clock "
		    "right?");
	if (nbf != NULL && t < json_number_value(nbf) - CALLBACK_SKEW)
		return ("it is not valid yet (nbf): is the clock right?");
	if (json_number_value(exp) - json_number_value(iat) > MAX_LIFETIME)
		return ("it lives longer than a day");
	return (NULL);
}

/**
 * callback_check_claims(conf, claims, booking_id, now):
 * Hold the ${claims} of a token whose signature is good against what is
 * configured (RFC 7519, 4.1; OpenID Connect Core 1.0, 3.1.3.7): iss (Google's
 * also without its scheme), aud (the audience, or the URL of this task; a
 * string, or an array that has it), email with email_verified, exp, iat and
 * nbf as numbers.
 * Return NULL if all is well, or a static sentence on what is not.
 */
const char *
callback_check_claims(const struct config *conf, const json_t *claims,
    const char *booking_id, time_t now)
{

	if (!is_issuer(json_object_get(claims, "iss"), conf->oidc_issuer))
		return ("its issuer is not OIDC_ISSUER (iss)");
	if (!has_audience(conf, json_object_get(claims, "aud"), booking_id))
		return ("its audience is not FOLLOWUP_EXECUTION_AUDIENCE "
		    "(aud)");
	if (!json_text_is(json_object_get(claims, "email"),
	    conf->service_account))
		return ("it is not for GCP_CLOUD_TASKS_SERVICE_ACCOUNT "
		    "(email)");
	if (!json_is_true(json_object_get(claims, "email_verified")))
		return ("its email is not verified (email_verified)");
	return (check_times(claims, now));
}

/* Compare in a time that does not tell how much of it is right. */
static int
is_secret(const struct config *conf, const char *value)
{
	size_t len;

	if (conf->cloud_tasks_secret == NULL || value == NULL)
		return (0);
	len = strlen(conf->cloud_tasks_secret);
	return (strlen(value) == len &&
	    CRYPTO_memcmp(value, conf->cloud_tasks_secret, len) == 0);
}

/* Verify ${jwt} by ${key}, or by another one of the same name. */
static json_t *
verify(const struct jwks *jwks, const struct jwt *jwt, EVP_PKEY *key,
    const char **why)
{
	json_t *claims = jwt_verify(jwt, key, why);

	while (claims == NULL && (key = jwks_next(jwks, key)) != NULL)
		claims = jwt_verify(jwt, key, why);
	return (claims);
}

/* Decide on a token. */
static enum callback_outcome
check_token(const struct config *conf, struct jwks *jwks, const char *token,
    const char *booking_id, time_t now, const char **why)
{
	enum callback_outcome outcome = CALLBACK_REFUSED;
	json_t *claims = NULL;
	EVP_PKEY *key;
	struct jwt *jwt;

	if ((jwt = jwt_parse(token, strlen(token), why)) == NULL)
		return (CALLBACK_REFUSED);
	switch (jwks_key(jwks, jwt_kid(jwt), now, &key)) {
	case JWKS_UNAVAILABLE:
		*why = "the keys of OIDC_JWKS_URL cannot be fetched";
		outcome = CALLBACK_UNDECIDED;
		break;
	case JWKS_UNKNOWN:
		*why = "its key (kid) is not among those of OIDC_JWKS_URL";
		break;
	case JWKS_FOUND:
		/* The key of this name may be another one by now. */
		if ((claims = verify(jwks, jwt, key, why)) == NULL &&
		    jwks_refresh(jwks, now) == JWKS_FOUND &&
		    jwks_key(jwks, jwt_kid(jwt), now, &key) == JWKS_FOUND)
			claims = verify(jwks, jwt, key, why);
		if (claims == NULL)
			break;
		*why = callback_check_claims(conf, claims, booking_id, now);
		if (*why == NULL)
			outcome = CALLBACK_OURS;
		break;
	}
	json_decref(claims);
	jwt_free(jwt);
	return (outcome);
}

/**
 * callback_auth(conf, jwks, request, booking_id, now, why):
 * Decide on ${request}, which would start the call of ${booking_id} (as it
 * stands in the path).  ${why} is set to a static sentence unless the outcome
 * is CALLBACK_OURS.
 */
enum callback_outcome
callback_auth(const struct config *conf, struct jwks *jwks,
    const struct request *request, const char *booking_id, time_t now,
    const char **why)
{
	const char *token = request_bearer(request);

	/* The secret comes in its own header, or as the bearer. */
	if (is_secret(conf, request_param(request,
	    "HTTP_X_CLOUDTASKS_SECRET")) || is_secret(conf, token))
		return (CALLBACK_OURS);
	if (conf->service_account == NULL) {
		*why = "it does not have the secret of CLOUD_TASKS_SECRET";
		return (CALLBACK_REFUSED);
	}
	if (token == NULL) {
		*why = "it has no bearer token";
		return (CALLBACK_REFUSED);
	}
	return (check_token(conf, jwks, token, booking_id, now, why));
}

/**
 * callback_rule(why):
 * Return the rule that a callback was refused by, for the sentence ${why} of
 * callback_auth.
 */
enum metrics_rule
callback_rule(const char *why)
{
	/* The sentences name what they are about. */
	static const struct {
		const char *words;
		enum metrics_rule rule;
	} rules[] = {
		{ "no bearer token", METRICS_RULE_MISSING },
		{ "CLOUD_TASKS_SECRET", METRICS_RULE_SECRET },
		{ "its alg ", METRICS_RULE_ALGORITHM },
		{ "(kid)", METRICS_RULE_KEY },
		{ "its signature ", METRICS_RULE_SIGNATURE },
		{ "(iss)", METRICS_RULE_ISSUER },
		{ "(aud)", METRICS_RULE_AUDIENCE },
		{ "(email", METRICS_RULE_EMAIL },
		{ "exp", METRICS_RULE_TIME },
		{ "iat", METRICS_RULE_TIME },
		{ "nbf", METRICS_RULE_TIME },
		{ "longer than a day", METRICS_RULE_TIME },
	};
	size_t i;

	for (i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		if (strstr(why, rules[i].words) != NULL)
			return (rules[i].rule);
	}
	return (METRICS_RULE_MALFORMED);
}
