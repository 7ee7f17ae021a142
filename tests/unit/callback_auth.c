#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <fcgiapp.h>

#include "callback_auth.h"
#include "config.h"
#include "jwks.h"
#include "log.h"
#include "request.h"
#include "shared_document.h"

#include "scripted_server.h"
#include "test_key.h"
#include "unit.h"

#define NOW	1795431600
#define BOOKING	"0a1b2c3d-4e5f-6789-abcd-ef0123456789"
#define OTHER	"1a1b2c3d-4e5f-6789-abcd-ef0123456789"
#define BASE	"https://example.com/bookings"
#define EMAIL	"sa@example.com"

static const struct config google = {
	.oidc_issuer = "https://accounts.google.com",
	.execution_endpoint = BASE,
	.execution_audience = "https://example.com/audience",
	.service_account = EMAIL,
};

/* Claims that are as they should be, and how one of them is changed. */
#define GOOD	"{\"iss\":\"https://accounts.google.com\"," \
    "\"aud\":\"https://example.com/audience\",\"email\":\"" EMAIL "\"," \
    "\"email_verified\":true,\"iat\":1795431590,\"exp\":1795435190}"

/* The parts of the reasons. */
#define ISS	"(iss)"
#define AUD	"(aud)"
#define MAIL	"(email)"
#define VERIFIED "(email_verified)"
#define EXPIRED	"it has expired (exp)"
#define NO_EXP	"it has no exp, or not as a number"
#define NO_IAT	"it has no iat, or not as a number"
#define FUTURE	"it was issued in the future (iat)"
#define BAD_NBF	"its nbf is not a number"
#define EARLY	"it is not valid yet (nbf)"
#define DAY	"it lives longer than a day"

static const struct {
	const char *name;	/* of the claim */
	const char *value;	/* as JSON; NULL: absent */
	const char *why;	/* NULL: ours */
} rules[] = {
	{ "iss", "\"https://accounts.google.com\"", NULL },
	{ "iss", "\"accounts.google.com\"", NULL },
	{ "iss", "\"http://accounts.google.com\"", ISS },
	{ "iss", "\"https://accounts.google.com/\"", ISS },
	{ "iss", "\"https://accounts.google.com.example.com\"", ISS },
	{ "iss", "\"HTTPS://ACCOUNTS.GOOGLE.COM\"", ISS },
	{ "iss", "\"\"", ISS },
	{ "iss", "[\"https://accounts.google.com\"]", ISS },
	{ "iss", "null", ISS },
	{ "iss", NULL, ISS },

	{ "aud", "\"https://example.com/audience\"", NULL },
	{ "aud", "[\"https://example.com/audience\"]", NULL },
	{ "aud", "[\"x\",1,\"https://example.com/audience\"]", NULL },
	{ "aud", "\"" BASE "/" BOOKING "/execute-followup\"", NULL },
	{ "aud", "[\"" BASE "/" BOOKING "/execute-followup\"]", NULL },
	{ "aud", "\"" BASE "/" OTHER "/execute-followup\"", AUD },
	{ "aud", "\"" BASE "\"", AUD },
	{ "aud", "\"https://example.com/audience/\"", AUD },
	{ "aud", "\"https://example.com/audience/../x\"", AUD },
	{ "aud", "\"https://example.com\"", AUD },
	{ "aud", "\"https://EXAMPLE.com/audience\"", AUD },
	{ "aud", "\"https://example.org/audience\"", AUD },
	{ "aud", "\"\"", AUD },
	{ "aud", "[]", AUD },
	{ "aud", "[\"x\"]", AUD },
	{ "aud", "[[\"https://example.com/audience\"]]", AUD },
	{ "aud", "{\"https://example.com/audience\":true}", AUD },
	{ "aud", "1", AUD },
	{ "aud", "true", AUD },
	{ "aud", "null", AUD },
	{ "aud", NULL, AUD },

	{ "email", "\"sb@example.com\"", MAIL },
	{ "email", "\"SA@example.com\"", MAIL },
	{ "email", "\"sa@example.com.example.org\"", MAIL },
	{ "email", "\"sa@example.co\"", MAIL },
	{ "email", "\"\"", MAIL },
	{ "email", "[\"sa@example.com\"]", MAIL },
	{ "email", "null", MAIL },
	{ "email", NULL, MAIL },

	{ "email_verified", "false", VERIFIED },
	{ "email_verified", "\"true\"", VERIFIED },
	{ "email_verified", "1", VERIFIED },
	{ "email_verified", "null", VERIFIED },
	{ "email_verified", NULL, VERIFIED },

	/* Whole seconds and fractions alike; the skew is to the second. */
	{ "exp", "1795431571", NULL },
	{ "exp", "1795431570.5", NULL },
	{ "exp", "1.795435190e9", NULL },
	{ "exp", "1795431570", EXPIRED },
	{ "exp", "1795431569", EXPIRED },
	{ "exp", "1795427990", EXPIRED },
	{ "exp", "0", EXPIRED },
	{ "exp", "-1", EXPIRED },
	{ "exp", "-1e300", EXPIRED },
	{ "exp", "1795517990", NULL },
	{ "exp", "1795517991", DAY },
	{ "exp", "9223372036854775807", DAY },
	{ "exp", "1e300", DAY },
	{ "exp", "\"1795435190\"", NO_EXP },
	{ "exp", "[1795435190]", NO_EXP },
	{ "exp", "true", NO_EXP },
	{ "exp", "null", NO_EXP },
	{ "exp", NULL, NO_EXP },

	{ "iat", "1795431600", NULL },
	{ "iat", "1795431630", NULL },
	{ "iat", "1795431630.5", FUTURE },
	{ "iat", "1795431631", FUTURE },
	{ "iat", "1e300", FUTURE },
	{ "iat", "1795348790", NULL },
	{ "iat", "1795348789", DAY },
	{ "iat", "-1e300", DAY },
	{ "iat", "\"1795431590\"", NO_IAT },
	{ "iat", "null", NO_IAT },
	{ "iat", NULL, NO_IAT },

	{ "nbf", "1795431600", NULL },
	{ "nbf", "1795431630", NULL },
	{ "nbf", "1795431631", EARLY },
	{ "nbf", "1e300", EARLY },
	{ "nbf", "-1e300", NULL },
	{ "nbf", "\"1795431600\"", BAD_NBF },
	{ "nbf", "null", BAD_NBF },

	/* What is not asked for does not matter. */
	{ "sub", "\"1234567890\"", NULL },
	{ "azp", "[null]", NULL },
};

static void
test_claims(void **state)
{
	char name[128];
	const char *why;
	json_t *claims, *value;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rules); i++) {
		(void)snprintf(name, sizeof(name), "%s: %s", rules[i].name,
		    rules[i].value != NULL ? rules[i].value : "(absent)");
		claims = json_loads(GOOD, 0, NULL);
		assert_non_null(claims);
		if (rules[i].value == NULL)
			(void)json_object_del(claims, rules[i].name);
		else {
			value = json_loads(rules[i].value, JSON_DECODE_ANY,
			    NULL);
			ASSERT_ROW(value != NULL, name);
			(void)json_object_set_new(claims, rules[i].name,
			    value);
		}
		why = callback_check_claims(&google, claims, BOOKING, NOW);
		if (rules[i].why == NULL && why != NULL)
			fail_msg("%s: refused: %s", name, why);
		if (rules[i].why != NULL && (why == NULL ||
		    strstr(why, rules[i].why) == NULL))
			fail_msg("%s: %s", name, why != NULL ? why : "taken");
		json_decref(claims);
	}
}

/* Only Google writes its name in two ways. */
static void
test_other_issuer(void **state)
{
	struct config conf = google;
	json_t *claims = json_loads(GOOD, 0, NULL);

	(void)state;
	conf.oidc_issuer = "https://issuer.example.com";
	assert_non_null(callback_check_claims(&conf, claims, BOOKING, NOW));
	(void)json_object_set_new(claims, "iss",
	    json_string("https://issuer.example.com"));
	assert_null(callback_check_claims(&conf, claims, BOOKING, NOW));
	(void)json_object_set_new(claims, "iss",
	    json_string("issuer.example.com"));
	assert_non_null(callback_check_claims(&conf, claims, BOOKING, NOW));
	json_decref(claims);
}

/*
 * Whole requests, decided on with keys from a scripted server.
 */
#define CERT	"{\"kty\":\"RSA\",\"kid\":\"" TEST_KEY_KID "\",\"e\":" \
    "\"AQAB\",\"n\":\"" TEST_KEY_N "\"}"
#define CERTS	"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" \
    "{\"keys\":[" CERT "]}"
#define TWO_CERTS	"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" \
    "{\"keys\":[" CERT "," CERT "]}"

struct fixture {
	struct config conf;
	struct scripted_server *server;
	struct shared_document *shared;
	struct jwks *jwks;
	char url[64];
	const char *why;
};

static void
fixture_open(struct fixture *f, const char *answer, const char *next)
{

	/* That a fetch failed is warned of; not here. */
	log_init(NULL, LOG_ERROR, 0);
	f->conf = google;
	f->server = scripted_server_start(SCRIPT(answer, next));
	f->conf.oidc_jwks_url = scripted_server_url(f->server, "/certs",
	    f->url, sizeof(f->url));
	f->shared = jwks_shared();
	f->jwks = jwks_new(&f->conf, f->shared);
	assert_non_null(f->jwks);
}

static void
fixture_close(struct fixture *f)
{

	jwks_free(f->jwks);
	shared_document_free(f->shared);
	(void)scripted_server_stop(f->server);
	scripted_server_free(f->server);
}

/* Decide on a request with this FastCGI ${param}, "NAME=value", or none. */
static enum callback_outcome
decide(struct fixture *f, char *param)
{
	char *envp[] = { param, NULL };
	FCGX_Request fcgx = { .envp = envp };
	struct request request = { .fcgx = &fcgx };

	f->why = NULL;
	return (callback_auth(&f->conf, f->jwks, &request, BOOKING, NOW,
	    &f->why));
}

/* Likewise with a token of ${kid} and ${claims}, the test key's. */
static enum callback_outcome
decide_token(struct fixture *f, const char *kid, const char *claims,
    int spoil)
{
	EVP_PKEY *key = test_key();
	char param[4096], *token;
	json_t *json = json_loads(claims, 0, NULL);
	enum callback_outcome outcome;

	token = jwt_sign(kid, json, key);
	assert_non_null(token);
	if (spoil)
		token[strlen(token) - 10] ^= 1;
	(void)snprintf(param, sizeof(param), "HTTP_AUTHORIZATION=Bearer %s",
	    token);
	outcome = decide(f, param);
	free(token);
	json_decref(json);
	EVP_PKEY_free(key);
	return (outcome);
}

static void
test_token(void **state)
{
	char none[] = "HTTP_AUTHORIZATION=", basic[] =
	    "HTTP_AUTHORIZATION=Basic c2E6c2E=", bare[] =
	    "HTTP_AUTHORIZATION=Bearer ", junk[] =
	    "HTTP_AUTHORIZATION=Bearer junk", nosecret[] =
	    "HTTP_X_CLOUDTASKS_SECRET=";
	struct fixture f;

	(void)state;
	fixture_open(&f, CERTS, NULL);
	assert_int_equal(decide_token(&f, TEST_KEY_KID, GOOD, 0),
	    CALLBACK_OURS);
	assert_int_equal(decide_token(&f, TEST_KEY_KID, GOOD, 1),
	    CALLBACK_REFUSED);
	assert_string_equal(f.why, "its signature is wrong");
	assert_int_equal(decide_token(&f, "another", GOOD, 0),
	    CALLBACK_REFUSED);
	assert_non_null(strstr(f.why, "(kid) is not among those"));
	assert_int_equal(decide_token(&f, TEST_KEY_KID, "{}", 0),
	    CALLBACK_REFUSED);
	assert_non_null(strstr(f.why, ISS));

	assert_int_equal(decide(&f, NULL), CALLBACK_REFUSED);
	assert_string_equal(f.why, "it has no bearer token");
	assert_int_equal(decide(&f, none), CALLBACK_REFUSED);
	assert_int_equal(decide(&f, basic), CALLBACK_REFUSED);
	assert_int_equal(decide(&f, bare), CALLBACK_REFUSED);
	assert_string_equal(f.why, "it has no bearer token");
	assert_int_equal(decide(&f, junk), CALLBACK_REFUSED);
	assert_non_null(strstr(f.why, "three segments"));

	/* Without a configured secret no secret, not even none, is right. */
	assert_int_equal(decide(&f, nosecret), CALLBACK_REFUSED);
	fixture_close(&f);
}

/* The key of a name was replaced: it is fetched, and the token is good. */
static void
test_replaced_key(void **state)
{
	char before[] = CERTS;
	struct fixture f;

	(void)state;
	*strstr(before, TEST_KEY_N) ^= 1;
	fixture_open(&f, before, CERTS);
	assert_int_equal(decide_token(&f, TEST_KEY_KID, GOOD, 0),
	    CALLBACK_OURS);
	fixture_close(&f);
}

/* The key of a name is being replaced: the set has both. */
static void
test_two_keys_of_a_name(void **state)
{
	char both[] = TWO_CERTS;
	struct fixture f;

	(void)state;
	*strstr(both, TEST_KEY_N) ^= 1;
	fixture_open(&f, both, NULL);
	assert_int_equal(decide_token(&f, TEST_KEY_KID, GOOD, 0),
	    CALLBACK_OURS);
	assert_int_equal(decide_token(&f, TEST_KEY_KID, GOOD, 1),
	    CALLBACK_REFUSED);
	assert_string_equal(f.why, "its signature is wrong");
	fixture_close(&f);
}

/* Without keys nothing is refused for good. */
static void
test_undecided(void **state)
{
	struct fixture f;

	(void)state;
	fixture_open(&f, "HTTP/1.1 500 Error\r\nConnection: close\r\n\r\n", NULL);
	assert_int_equal(decide_token(&f, TEST_KEY_KID, GOOD, 0),
	    CALLBACK_UNDECIDED);
	assert_non_null(strstr(f.why, "cannot be fetched"));
	fixture_close(&f);
}

static void
test_secret(void **state)
{
	static const struct {
		const char *param;
		enum callback_outcome want;
	} rows[] = {
		{ "HTTP_X_CLOUDTASKS_SECRET=an example", CALLBACK_OURS },
		{ "HTTP_AUTHORIZATION=Bearer an example", CALLBACK_OURS },
		{ "HTTP_X_CLOUDTASKS_SECRET=an exampl", CALLBACK_REFUSED },
		{ "HTTP_X_CLOUDTASKS_SECRET=an examples", CALLBACK_REFUSED },
		{ "HTTP_X_CLOUDTASKS_SECRET=An example", CALLBACK_REFUSED },
		{ "HTTP_X_CLOUDTASKS_SECRET=", CALLBACK_REFUSED },
		{ "HTTP_X_CLOUDTASKS_SECRETS=an example", CALLBACK_REFUSED },
		{ "HTTP_AUTHORIZATION=an example", CALLBACK_REFUSED },
		{ "HTTP_AUTHORIZATION=Bearer an examples", CALLBACK_REFUSED },
	};
	struct fixture f;
	char param[128];
	size_t i;

	(void)state;
	fixture_open(&f, CERTS, NULL);
	f.conf.service_account = NULL;
	f.conf.cloud_tasks_secret = "an example";
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(param, sizeof(param), "%s", rows[i].param);
		ASSERT_ROW(decide(&f, param) == rows[i].want, rows[i].param);
	}

	/* Nobody is asked for keys where only the secret counts. */
	assert_int_equal(decide_token(&f, TEST_KEY_KID, GOOD, 0),
	    CALLBACK_REFUSED);
	assert_int_equal(f.server->nrequests, 0);

	/* Where both are configured, either will do. */
	f.conf.service_account = EMAIL;
	assert_int_equal(decide_token(&f, TEST_KEY_KID, GOOD, 0),
	    CALLBACK_OURS);
	(void)snprintf(param, sizeof(param), "%s", rows[0].param);
	assert_int_equal(decide(&f, param), CALLBACK_OURS);
	fixture_close(&f);
}

/* Every sentence belongs to the rule that was broken. */
static void
test_rules(void **state)
{
	static const struct {
		const char *why;
		enum metrics_rule rule;
	} rows[] = {
		{ "it has no bearer token", METRICS_RULE_MISSING },
		{ "it does not have the secret of CLOUD_TASKS_SECRET",
		    METRICS_RULE_SECRET },
		{ "the token is longer than 8 KiB", METRICS_RULE_MALFORMED },
		{ "the token does not have exactly three segments",
		    METRICS_RULE_MALFORMED },
		{ "its header has crit, and no extension is understood",
		    METRICS_RULE_MALFORMED },
		{ "its payload is not a JSON object of unique names",
		    METRICS_RULE_MALFORMED },
		{ "its alg is not RS256", METRICS_RULE_ALGORITHM },
		{ "its header names no key (kid)", METRICS_RULE_KEY },
		{ "its key (kid) is not among those of OIDC_JWKS_URL",
		    METRICS_RULE_KEY },
		{ "its signature is wrong", METRICS_RULE_SIGNATURE },
		{ "its signature is not as long as the key",
		    METRICS_RULE_SIGNATURE },
		{ "its issuer is not OIDC_ISSUER (iss)", METRICS_RULE_ISSUER },
		{ "its audience is not FOLLOWUP_EXECUTION_AUDIENCE (aud)",
		    METRICS_RULE_AUDIENCE },
		{ "it is not for GCP_CLOUD_TASKS_SERVICE_ACCOUNT (email)",
		    METRICS_RULE_EMAIL },
		{ "its email is not verified (email_verified)",
		    METRICS_RULE_EMAIL },
		{ "it has no exp, or not as a number", METRICS_RULE_TIME },
		{ "it has no iat, or not as a number", METRICS_RULE_TIME },
		{ "its nbf is not a number", METRICS_RULE_TIME },
		{ "it has expired (exp)", METRICS_RULE_TIME },
		{ "it lives longer than a day", METRICS_RULE_TIME },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++)
		ASSERT_ROW(callback_rule(rows[i].why) == rows[i].rule,
		    rows[i].why);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_claims),
		cmocka_unit_test(test_other_issuer),
		cmocka_unit_test(test_token),
		cmocka_unit_test(test_replaced_key),
		cmocka_unit_test(test_two_keys_of_a_name),
		cmocka_unit_test(test_undecided),
		cmocka_unit_test(test_secret),
		cmocka_unit_test(test_rules),
	};

	return (cmocka_run_group_tests_name("callback_auth", tests, NULL,
	    NULL));
}
