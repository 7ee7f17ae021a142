#ifndef JWT_H_
#define JWT_H_

#include <stddef.h>

#include <jansson.h>
#include <openssl/evp.h>

/*
 * JSON Web Signatures in the compact form (RFC 7515), with RS256 (RFC 7518,
 * section 3.3) and no other algorithm:
 *
 * BASE64URL(header) "." BASE64URL(payload) "." BASE64URL(signature)
 */

/* The longest token that is looked at, in bytes. */
#define JWT_MAX_LEN	8192

/**
 * jwt_sign(kid, claims, key):
 * Return the token of ${claims} signed by the RSA private ${key}, with the
 * header {"alg":"RS256","typ":"JWT","kid":${kid}}, as a string the caller
 * wipes and frees; NULL on failure.
 */
char *jwt_sign(const char *, const json_t *, EVP_PKEY *);

struct jwt;

/**
 * jwt_parse(token, len, why):
 * Take the token apart: exactly three segments of strict base64url, at most
 * JWT_MAX_LEN bytes, a header that is a JSON object without duplicate names,
 * whose "alg" is exactly "RS256", which has a "kid" and no "crit".  Anything
 * in the header that names or carries a key (jku, jwk, x5u, x5c) is ignored:
 * keys come from the configuration only.  The payload is not parsed yet.
 * The result refers to ${token}, which must live as long.
 * Return NULL and point ${why} to a static sentence on failure.
 */
struct jwt *jwt_parse(const char *, size_t, const char **);

/**
 * jwt_kid(jwt):
 * Return the header's "kid"; it lives as long as ${jwt}.
 */
const char *jwt_kid(const struct jwt *);

/**
 * jwt_verify(jwt, key, why):
 * Check the signature over the bytes as received with the RSA public ${key},
 * and only then parse the payload.  Return the claims, a reference the
 * caller drops, or NULL and ${why}.
 */
json_t *jwt_verify(const struct jwt *, EVP_PKEY *, const char **);

/**
 * jwt_free(jwt):
 * Free ${jwt}; NULL is fine.
 */
void jwt_free(struct jwt *);

/**
 * jwt_key_parse(pem, len, why):
 * Read an RSA private key from ${len} bytes of PEM text without ever asking
 * for a pass phrase.  Return the key or NULL and ${why}.
 */
EVP_PKEY *jwt_key_parse(const char *, size_t, const char **);

#endif /* !JWT_H_ */
