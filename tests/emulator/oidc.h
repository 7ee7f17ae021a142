#ifndef OIDC_H_
#define OIDC_H_

#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

/*
 * The emulator as an identity provider: it signs the tokens which callbacks
 * carry and publishes the key to check them with.
 */

struct oidc;

/**
 * oidc_open(issuer, path, why, whylen):
 * Return a provider that calls itself ${issuer}.  Its RSA key is read from
 * the PEM file ${path}; where there is no such file a fresh key is made and
 * saved there, readable by the owner only.  With a NULL ${path} the key is
 * fresh and lives in memory.  Return NULL and a sentence at ${why}
 * (${whylen} bytes) on failure.
 */
struct oidc *oidc_open(const char *, const char *, char *, size_t);

/**
 * oidc_free(oidc):
 * Wipe the key and free ${oidc}; NULL is fine.
 */
void oidc_free(struct oidc *);

/**
 * oidc_token(oidc, email, audience, now):
 * Return the ID token of the service account ${email} for ${audience}, good
 * for an hour from ${now}, in seconds, as a string the caller frees, or
 * NULL:
 *
 * {"aud":audience,"azp":"1...","email":email,"email_verified":true,
 *  "exp":now+3600,"iat":now,"iss":issuer,"sub":"1..."}
 */
char *oidc_token(const struct oidc *, const char *, const char *, int64_t);

/**
 * oidc_jwks(oidc):
 * Return the JSON Web Key Set (RFC 7517) with the public key, a reference
 * the caller drops.
 */
json_t *oidc_jwks(const struct oidc *);

/**
 * oidc_discovery(oidc, base):
 * Return the OpenID provider metadata where ${base} is the URL under which
 * the emulator is reached, a reference the caller drops.
 */
json_t *oidc_discovery(const struct oidc *, const char *);

#endif /* !OIDC_H_ */
