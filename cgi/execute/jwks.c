#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/param_build.h>

#include "base64.h"
#include "config.h"
#include "http.h"
#include "json_text.h"
#include "log.h"
#include "metrics.h"
#include "shared_document.h"

#include "jwks.h"

/* The longest key set, in bytes, and the most keys that are taken from it. */
#define MAX_DOCUMENT	((size_t)256 * 1024)
#define MAX_KEYS	64

/* For how long a key set is kept, in seconds. */
#define MIN_AGE		60
#define DEFAULT_AGE	3600
#define MAX_AGE		86400

/*
 * The shortest time between two refreshes for the same reason, in seconds: the
 * last one failed, or the keys at hand do not verify a token.  Any stranger's
 * token does the latter, so this is also how long a stranger can keep a new key
 * from us.
 */
#define REFRESH_INTERVAL	5

#define FETCH_TIMEOUT_MS	5000

struct key {
	char *kid;
	EVP_PKEY *key;
};

struct jwks {
	const struct config *conf;
	struct shared_document *shared;
	struct http *http;
	uint64_t generation;		/* of the document the keys are from */
	struct key keys[MAX_KEYS];
	size_t nkeys;
};

/**
 * jwks_shared():
 * Return the memory for the document, to be made before workers are forked;
 * NULL when memory is short.
 */
struct shared_document *
jwks_shared(void)
{

	return (shared_document_new(MAX_DOCUMENT));
}

/**
 * jwks_new(conf, shared):
 * Return a worker's view of the keys; NULL when memory is short.
 */
struct jwks *
jwks_new(const struct config *conf, struct shared_document *shared)
{
	struct jwks *jwks;

	if ((jwks = calloc(1, sizeof(*jwks))) == NULL ||
	    (jwks->http = http_new(conf->proxy)) == NULL) {
		free(jwks);
		return (NULL);
	}
	jwks->conf = conf;
	jwks->shared = shared;
	return (jwks);
}

/* The big number in the member ${name}: base64url, most significant first. */
static BIGNUM *
parse_number(const json_t *jwk, const char *name)
{
	const char *text = json_text(jwk, name);
	unsigned char *bytes;
	BIGNUM *number;
	size_t len;

	if (text == NULL ||
	    (bytes = base64url_decode(text, strlen(text), &len)) == NULL)
		return (NULL);
	number = len > 0 && len <= 1024 ?
	    BN_bin2bn(bytes, (int)len, NULL) : NULL;
	free(bytes);
	return (number);
}

/* OpenSSL does not judge numbers: with an exponent of 1 anybody can sign. */
static int
is_sane(const BIGNUM *n, const BIGNUM *e)
{
	int bits = BN_num_bits(n);

	return (bits >= 2048 && bits <= 8192 && BN_is_odd(n) &&
	    BN_is_odd(e) && BN_num_bits(e) >= 2 && BN_num_bits(e) <= 64);
}

/* An absent member is fine; another one must be this text. */
static int
is_absent_or(const json_t *jwk, const char *name, const char *text)
{
	const json_t *value = json_object_get(jwk, name);

	return (value == NULL || json_text_is(value, text));
}

/* Where there is a list of what the key is for, verifying must be on it. */
static int
may_verify(const json_t *jwk)
{
	const json_t *list = json_object_get(jwk, "key_ops"), *operation;
	size_t i;

	json_array_foreach(list, i, operation) {
		if (json_text_is(operation, "verify"))
			return (1);
	}
	return (list == NULL);
}

/**
 * jwks_parse_key(jwk):
 * Return the public key that the member ${jwk} of a key set describes, to be
 * freed; or NULL if it is not an RSA key of 2048 to 8192 bits with a sane
 * exponent that may verify RS256 signatures.
 */
EVP_PKEY *
jwks_parse_key(const json_t *jwk)
{
	const char *kty = json_text(jwk, "kty");
	OSSL_PARAM_BLD *build = NULL;
	OSSL_PARAM *params = NULL;
	EVP_PKEY_CTX *ctx = NULL;
	EVP_PKEY *key = NULL;
	BIGNUM *n = NULL, *e = NULL;

	if (kty == NULL || strcmp(kty, "RSA") != 0 ||
	    !is_absent_or(jwk, "use", "sig") ||
	    !is_absent_or(jwk, "alg", "RS256") || !may_verify(jwk))
		return (NULL);
	if ((n = parse_number(jwk, "n")) == NULL ||
	    (e = parse_number(jwk, "e")) == NULL || !is_sane(n, e))
		goto out;

	if ((build = OSSL_PARAM_BLD_new()) == NULL ||
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_N, n) != 1 ||
	    OSSL_PARAM_BLD_push_BN(build, OSSL_PKEY_PARAM_RSA_E, e) != 1 ||
	    (params = OSSL_PARAM_BLD_to_param(build)) == NULL ||
	    (ctx = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL)) == NULL ||
	    EVP_PKEY_fromdata_init(ctx) != 1 ||
	    EVP_PKEY_fromdata(ctx, &key, EVP_PKEY_PUBLIC_KEY, params) != 1)
		key = NULL;

out:
	ERR_clear_error();
	EVP_PKEY_CTX_free(ctx);
	OSSL_PARAM_free(params);
	OSSL_PARAM_BLD_free(build);
	BN_free(n);
	BN_free(e);
	return (key);
}

static void
forget_keys(struct jwks *jwks)
{

	while (jwks->nkeys > 0) {
		jwks->nkeys--;
		free(jwks->keys[jwks->nkeys].kid);
		EVP_PKEY_free(jwks->keys[jwks->nkeys].key);
	}
}

/* The key of the member ${jwk}, if it is one that a token can name. */
static EVP_PKEY *
parse_named_key(const json_t *jwk, const char **kid)
{

	*kid = json_text(jwk, "kid");
	return (*kid != NULL ? jwks_parse_key(jwk) : NULL);
}

/* Take the usable keys of the set ${root}; the others are passed over. */
static void
take_keys(struct jwks *jwks, const json_t *root)
{
	const json_t *list = json_object_get(root, "keys"), *jwk;
	const char *kid;
	struct key *k;
	size_t i;

	forget_keys(jwks);
	json_array_foreach(list, i, jwk) {
		if (jwks->nkeys == MAX_KEYS)
			break;
		k = &jwks->keys[jwks->nkeys];
		if ((k->key = parse_named_key(jwk, &kid)) == NULL)
			continue;
		if ((k->kid = strdup(kid)) == NULL) {
			EVP_PKEY_free(k->key);
			break;
		}
		jwks->nkeys++;
	}
}

/* Parse the shared document if it is another one than last time. */
static void
sync_keys(struct jwks *jwks)
{
	uint64_t generation;
	json_t *root;
	char *text;
	size_t len;

	if (shared_document_generation(jwks->shared) == jwks->generation ||
	    (text = shared_document_copy(jwks->shared, &len, &generation)) ==
	    NULL)
		return;
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);

	/* It was parsed when it came: now it fails only for want of memory. */
	if (root != NULL) {
		take_keys(jwks, root);
		jwks->generation = generation;
	}
	json_decref(root);
	free(text);
}

/**
 * jwks_max_age(cache_control):
 * Return for how long, in seconds, the header value ${cache_control} (NULL if
 * there was none) lets a key set be kept: its max-age, from one minute to one
 * day; an hour if it has none.
 */
time_t
jwks_max_age(const char *value)
{
	const char *p;
	long age;

	for (p = value; p != NULL && *p != '\0';) {
		p += strspn(p, " \t,");
		if (strncasecmp(p, "max-age=", 8) == 0 &&
		    p[8] >= '0' && p[8] <= '9') {
			age = strtol(p + 8, NULL, 10);
			return (age < MIN_AGE ? MIN_AGE :
			    age > MAX_AGE ? MAX_AGE : age);
		}
		p += strcspn(p, ",");
	}
	return (DEFAULT_AGE);
}

/* Does the answer hold a key set, with at least one key we could use? */
static int
has_keys(const struct http *http)
{
	const json_t *jwk;
	const char *kid;
	EVP_PKEY *key = NULL;
	json_t *root;
	size_t i;

	root = json_loadb(http_body(http), http_body_len(http),
	    JSON_REJECT_DUPLICATES, NULL);
	json_array_foreach(json_object_get(root, "keys"), i, jwk) {
		if ((key = parse_named_key(jwk, &kid)) != NULL)
			break;
	}
	EVP_PKEY_free(key);
	json_decref(root);
	return (key != NULL);
}

/*
 * Fetch the document and share it; shared_document_renewal_begin said we shall.
 * Return 0, or -1 with the old one kept.
 */
static int
fetch(struct jwks *jwks, time_t now)
{
	struct http_request request = { .method = "GET",
	    .url = jwks->conf->oidc_jwks_url,
	    .timeout_ms = FETCH_TIMEOUT_MS, .max_response = MAX_DOCUMENT };
	const char *why = NULL;
	time_t age;

	if (http_prepare(jwks->http, &request) != 0 ||
	    http_perform(jwks->http) != 0)
		why = http_error(jwks->http);
	else if (http_status(jwks->http) != 200)
		why = "the answer was not 200";
	else if (!has_keys(jwks->http))
		why = "the answer has no RSA key with a kid that "
		    "could be used";
	if (why != NULL) {
		shared_document_renewal_end(jwks->shared, NULL, 0, 0);
		log_warning(NULL, "the keys of callback tokens could not be "
		    "fetched from %s: %s; %s", jwks->conf->oidc_jwks_url, why,
		    jwks->nkeys > 0 ? "the keys fetched before stay in use" :
		    "callbacks are answered 503 until they can");
		return (-1);
	}
	age = jwks_max_age(http_header(jwks->http, "Cache-Control"));
	shared_document_renewal_end(jwks->shared, http_body(jwks->http),
	    http_body_len(jwks->http), now + age);
	metrics_set_now(METRICS_KEYS_FETCHED);
	log_info(NULL, "fetched the keys of callback tokens, good for %ld s",
	    (long)age);
	return (0);
}

static EVP_PKEY *
find_key(const struct jwks *jwks, const char *kid)
{
	size_t i;

	for (i = 0; i < jwks->nkeys; i++) {
		if (strcmp(jwks->keys[i].kid, kid) == 0)
			return (jwks->keys[i].key);
	}
	return (NULL);
}

/**
 * jwks_refresh(jwks, now):
 * The keys at hand do not verify a token: see whether there are others by now.
 * Return JWKS_FOUND if they have been fetched again, JWKS_UNKNOWN if that was
 * done a moment ago, JWKS_UNAVAILABLE if they cannot be fetched.
 */
enum jwks_outcome
jwks_refresh(struct jwks *jwks, time_t now)
{
	uint64_t before = jwks->generation;
	int failed = 0;

	if (shared_document_renewal_begin(jwks->shared, DOCUMENT_WANTING, 0,
	    now, REFRESH_INTERVAL))
		failed = fetch(jwks, now);
	sync_keys(jwks);
	if (jwks->generation != before)
		return (JWKS_FOUND);
	return (failed ? JWKS_UNAVAILABLE : JWKS_UNKNOWN);
}

/**
 * jwks_key(jwks, kid, now, key):
 * Set ${key} to the key named ${kid}, which lives until the next call.
 */
enum jwks_outcome
jwks_key(struct jwks *jwks, const char *kid, time_t now, EVP_PKEY **key)
{
	enum jwks_outcome outcome = JWKS_FOUND;

	/* Without any keys all wait for the first fetch; later nobody does. */
	sync_keys(jwks);
	if (now >= shared_document_expires(jwks->shared)) {
		if (shared_document_renewal_begin(jwks->shared,
		    DOCUMENT_EXPIRED, jwks->nkeys == 0, now, REFRESH_INTERVAL))
			(void)fetch(jwks, now);
		sync_keys(jwks);
	}
	if (jwks->nkeys == 0)
		return (JWKS_UNAVAILABLE);

	/* A new key may have come into use since. */
	if ((*key = find_key(jwks, kid)) == NULL) {
		outcome = jwks_refresh(jwks, now);
		*key = find_key(jwks, kid);
	}
	if (*key != NULL)
		return (JWKS_FOUND);
	return (outcome == JWKS_FOUND ? JWKS_UNKNOWN : outcome);
}

/**
 * jwks_next(jwks, key):
 * Return the next key that has the name of ${key}, or NULL: while one is
 * replaced under its name, a set may have both.
 */
EVP_PKEY *
jwks_next(const struct jwks *jwks, const EVP_PKEY *key)
{
	const char *kid = NULL;
	size_t i;

	for (i = 0; i < jwks->nkeys; i++) {
		if (kid != NULL && strcmp(jwks->keys[i].kid, kid) == 0)
			return (jwks->keys[i].key);
		if (jwks->keys[i].key == key)
			kid = jwks->keys[i].kid;
	}
	return (NULL);
}

/**
 * jwks_free(jwks):
 * Free ${jwks}; NULL is fine.
 */
void
jwks_free(struct jwks *jwks)
{

	if (jwks == NULL)
		return;
	forget_keys(jwks);
	http_free(jwks->http);
	free(jwks);
}
