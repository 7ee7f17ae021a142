#include <jansson.h>

#include "callback_auth.h"
#include "config.h"
#include "fuzz.h"

/*
 * The claims of a token whose signature is good: nothing that lacks the
 * issuer, the audience, the verified e-mail or the time gets in, and all that
 * has them does.
 */

#define NOW	1795431600
#define BOOKING	"0a1b2c3d-4e5f-6789-abcd-ef0123456789"
#define DAY	86400

static const struct config conf = {
	.oidc_issuer = "https://accounts.google.com",
	.execution_endpoint = "https://example.com/bookings",
	.execution_audience = "https://example.com/audience",
	.service_account = "sa@example.com",
};

static const char *const issuers[] = { "https://accounts.google.com",
    "accounts.google.com", NULL };
static const char *const audiences[] = { "https://example.com/audience",
    "https://example.com/bookings/" BOOKING "/execute-followup", NULL };
static const char *const emails[] = { "sa@example.com", NULL };

static int
is_one_of(const json_t *value, const char *const *list)
{

	for (; *list != NULL; list++) {
		if (json_is_string(value) &&
		    strlen(*list) == json_string_length(value) &&
		    strcmp(*list, json_string_value(value)) == 0)
			return (1);
	}
	return (0);
}

static int
has_audience(const json_t *aud)
{
	size_t i;

	for (i = 0; i < json_array_size(aud); i++) {
		if (is_one_of(json_array_get(aud, i), audiences))
			return (1);
	}
	return (is_one_of(aud, audiences));
}

/* A second opinion. */
static int
judge(const json_t *claims)
{
	const json_t *exp = json_object_get(claims, "exp");
	const json_t *iat = json_object_get(claims, "iat");
	const json_t *nbf = json_object_get(claims, "nbf");

	if (!is_one_of(json_object_get(claims, "iss"), issuers) ||
	    !has_audience(json_object_get(claims, "aud")) ||
	    !is_one_of(json_object_get(claims, "email"), emails) ||
	    !json_is_true(json_object_get(claims, "email_verified")))
		return (0);
	if (!json_is_number(exp) || !json_is_number(iat) ||
	    (nbf != NULL && !json_is_number(nbf)))
		return (0);
	return (json_number_value(iat) <= NOW + CALLBACK_SKEW &&
	    json_number_value(exp) > NOW - CALLBACK_SKEW &&
	    json_number_value(exp) - json_number_value(iat) <= DAY &&
	    (nbf == NULL || json_number_value(nbf) <= NOW + CALLBACK_SKEW));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	json_t *claims;
	const char *why;

	claims = json_loadb((const char *)data, len, JSON_REJECT_DUPLICATES,
	    NULL);
	if (json_is_object(claims)) {
		why = callback_check_claims(&conf, claims, BOOKING, NOW);
		FUZZ_REQUIRE((why == NULL) == judge(claims));
		FUZZ_REQUIRE(why == NULL || fuzz_is_line(why));

		/* Whatever the token says, it does not live for two days. */
		if (why == NULL)
			FUZZ_REQUIRE(callback_check_claims(&conf, claims,
			    BOOKING, NOW + 2 * DAY) != NULL);
	}
	json_decref(claims);
	return (0);
}
