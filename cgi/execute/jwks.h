#ifndef JWKS_H_
#define JWKS_H_

#include <time.h>

#include <jansson.h>
#include <openssl/evp.h>

struct config;
struct http;
struct shared_document;

/*
 * The public keys of callback tokens: a JSON Web Key Set (RFC 7517) fetched
 * from the configured URL.  The document is shared by all workers and kept
 * for the max-age its server gave, within bounds; a refresh that fails leaves
 * the old keys in use.  A token that names an unknown key causes a refresh,
 * at most one a minute for the whole program.
 */
struct jwks;

enum jwks_outcome {
	JWKS_FOUND,
	JWKS_UNKNOWN,		/* the key set has no such key */
	JWKS_UNAVAILABLE,	/* there is no key set: try again */
};

/**
 * jwks_shared():
 * Return the memory for the document, to be made before workers are forked;
 * NULL when memory is short.
 */
struct shared_document *jwks_shared(void);

/**
 * jwks_new(conf, shared):
 * Return a worker's view of the keys; NULL when memory is short.
 */
struct jwks *jwks_new(const struct config *, struct shared_document *);

/**
 * jwks_key(jwks, kid, now, key):
 * Set ${key} to the key named ${kid}, which lives until the next call.
 */
enum jwks_outcome jwks_key(struct jwks *, const char *, time_t, EVP_PKEY **);

/**
 * jwks_next(jwks, key):
 * Return the next key that has the name of ${key}, or NULL: while one is
 * replaced under its name, a set may have both.
 */
EVP_PKEY *jwks_next(const struct jwks *, const EVP_PKEY *);

/**
 * jwks_refresh(jwks, now):
 * The keys at hand do not verify a token: see whether there are others by now.
 * Return JWKS_FOUND if they have been fetched again, JWKS_UNKNOWN if that was
 * done a moment ago, JWKS_UNAVAILABLE if they cannot be fetched.
 */
enum jwks_outcome jwks_refresh(struct jwks *, time_t);

/**
 * jwks_parse_key(jwk):
 * Return the public key that the member ${jwk} of a key set describes, to be
 * freed; or NULL if it is not an RSA key of 2048 to 8192 bits with a sane
 * exponent that may verify RS256 signatures.
 */
EVP_PKEY *jwks_parse_key(const json_t *);

/**
 * jwks_max_age(cache_control):
 * Return for how long, in seconds, the header value ${cache_control} (NULL if
 * there was none) lets a key set be kept: its max-age, from one minute to one
 * day; an hour if it has none.
 */
time_t jwks_max_age(const char *);

/**
 * jwks_free(jwks):
 * Free ${jwks}; NULL is fine.
 */
void jwks_free(struct jwks *);

#endif /* !JWKS_H_ */
