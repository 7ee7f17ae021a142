#ifndef JWT_GOLDEN_H_
#define JWT_GOLDEN_H_

#include <stdlib.h>
#include <string.h>

#include "jwt.h"

#include "unit.h"

/* A text with NULs in it as two arguments. */
#define T(s)	s, sizeof(s) - 1

/* A header and a payload ... */
#define H	"{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"test-key\"}"
#define P	"{\"iss\":\"https://accounts.google.com\"," \
    "\"aud\":\"https://example.com\",\"exp\":1795435200,\"iat\":1795431600}"

/* ... and both signed with the test key by the openssl program. */
static const char jwt_golden[] =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3Qta2V5In0.eyJp"
    "c3MiOiJodHRwczovL2FjY291bnRzLmdvb2dsZS5jb20iLCJhdWQiOiJodHRwczov"
    "L2V4YW1wbGUuY29tIiwiZXhwIjoxNzk1NDM1MjAwLCJpYXQiOjE3OTU0MzE2MDB9"
    ".dNbKPIdMthALJG79gwdJp8BLMbi9Qb_ZErFQkOIAo47SwWURsrCXLKDAilCGeXK"
    "j4qsnz04F1JnwFaBSR7Ly_kEFmtwrWHhLf0kAxxkFXaL9w3RTkEhe4lQPsTolMjL"
    "NBe8FTbbyy-w2LjNsn9pqpiUBVgMWuUpY-M-E1pjBEJzj_F_S8yR91wDzI9WZw9J"
    "_pY0cLhanDGECrTWWAC77rLx9_GebhXvVP5E1iCwS3jAnqdYVwZ9MwIVOIwkAct5"
    "N1yz6i48ggyw0HvreYeyWLXbgmAxG0XwphOEVipXFnmXRcYbjda30HG2OD6PVj4-"
    "NlHgW4Hq2KX3WWBYL9Pd_Wg";

/**
 * jwt_golden_claims(key, token, len, why):
 * Return the claims of the ${token} that ${key} signed, or NULL and ${why}.
 */
static inline json_t *
jwt_golden_claims(EVP_PKEY *key, const char *token, size_t len,
    const char **why)
{
	struct jwt *jwt;
	json_t *claims;
	char *copy;

	/* Exactly as long as it is, so that a sanitizer sees what is behind. */
	copy = malloc(len > 0 ? len : 1);
	assert_non_null(copy);
	memcpy(copy, token, len);
	*why = NULL;
	claims = NULL;
	if ((jwt = jwt_parse(copy, len, why)) != NULL) {
		claims = jwt_verify(jwt, key, why);
		jwt_free(jwt);
	}
	free(copy);
	return (claims);
}

#endif /* !JWT_GOLDEN_H_ */
