#include <jansson.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include "config.h"
#include "fuzz.h"
#include "json_text.h"
#include "jwks.h"
#include "log.h"
#include "shared_document.h"

/*
 * Key sets, as the provider of tokens (or who is in between) might send them:
 * no key is ever taken that could not hold, and what is taken is found under
 * its own name.
 */

#define NOW	1795431600
#define NAMES	4

static const struct config conf = {
	.oidc_jwks_url = "http://127.0.0.1:1/",
};

static struct shared_document *shared;
static struct jwks *jwks;

/* What must hold for a key that is taken. */
static void
check_key(const json_t *jwk, EVP_PKEY *key)
{
	BIGNUM *n = NULL, *e = NULL;

	FUZZ_REQUIRE(json_text_is(json_object_get(jwk, "kty"), "RSA"));
	FUZZ_REQUIRE(json_object_get(jwk, "use") == NULL ||
	    json_text_is(json_object_get(jwk, "use"), "sig"));
	FUZZ_REQUIRE(json_object_get(jwk, "alg") == NULL ||
	    json_text_is(json_object_get(jwk, "alg"), "RS256"));

	FUZZ_REQUIRE(EVP_PKEY_is_a(key, "RSA"));
	FUZZ_REQUIRE(EVP_PKEY_get_bits(key) >= 2048 &&
	    EVP_PKEY_get_bits(key) <= 8192);
	FUZZ_REQUIRE(EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_N, &n) ==
	    1 && EVP_PKEY_get_bn_param(key, OSSL_PKEY_PARAM_RSA_E, &e) == 1);
	FUZZ_REQUIRE(BN_is_odd(n) && BN_is_odd(e) && !BN_is_one(e));
	BN_free(n);
	BN_free(e);
}

/* Each key of the set by itself; how many of them could be used. */
static size_t
check_keys(const json_t *root, const char *names[NAMES])
{
	const json_t *jwk;
	size_t i, usable = 0;
	const char *kid;
	EVP_PKEY *key;

	json_array_foreach(json_object_get(root, "keys"), i, jwk) {
		if ((key = jwks_parse_key(jwk)) == NULL)
			continue;
		check_key(jwk, key);
		EVP_PKEY_free(key);
		kid = json_text(jwk, "kid");
		if (kid == NULL)
			continue;
		if (usable < NAMES)
			names[usable] = kid;
		usable++;
	}
	return (usable);
}

static void
set_up(void)
{

	log_init("fuzz", LOG_ERROR, 0);
	FUZZ_REQUIRE((shared = jwks_shared()) != NULL);
	FUZZ_REQUIRE((jwks = jwks_new(&conf, shared)) != NULL);

	/* As if an unknown key had been asked for just now: nobody is. */
	FUZZ_REQUIRE(shared_document_renewal_begin(shared, DOCUMENT_WANTING, 0,
	    NOW, 0));
	shared_document_renewal_end(shared, NULL, 0, 0);
}

/* The whole document, the way a worker sees it. */
static void
check_document(const uint8_t *data, size_t len, int parsed, size_t usable,
    const char *const *names)
{
	enum jwks_outcome outcome;
	EVP_PKEY *key;
	size_t i;

	FUZZ_REQUIRE(shared_document_renewal_begin(shared, DOCUMENT_EXPIRED, 0,
	    NOW, 0));
	shared_document_renewal_end(shared, (const char *)data, len, NOW + 60);

	for (i = 0; i < usable && i < NAMES; i++) {
		outcome = jwks_key(jwks, names[i], NOW, &key);
		FUZZ_REQUIRE(outcome == JWKS_FOUND && key != NULL);
	}
	outcome = jwks_key(jwks, "a name that no input has", NOW, &key);

	/* What cannot be parsed leaves the keys of the input before. */
	FUZZ_REQUIRE(outcome == (usable > 0 ? JWKS_UNKNOWN :
	    JWKS_UNAVAILABLE) || (!parsed && outcome == JWKS_UNKNOWN));
}

/* The same text as the header that says how long the set is good. */
static void
check_max_age(const char *text)
{
	time_t age = jwks_max_age(text);

	FUZZ_REQUIRE(age >= 60 && age <= 86400);
	if (strcasestr(text, "max-age=") == NULL)
		FUZZ_REQUIRE(age == 3600);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = fuzz_text(data, len);
	const char *names[NAMES];
	size_t usable;
	json_t *root;

	if (jwks == NULL)
		set_up();
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	usable = check_keys(root, names);
	check_document(data, len, root != NULL, usable, names);
	check_max_age(text);
	json_decref(root);
	free(text);
	return (0);
}
