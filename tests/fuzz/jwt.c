#include <jansson.h>
#include <openssl/evp.h>

#include "base64.h"
#include "fuzz.h"
#include "json_text.h"
#include "jwt.h"
#include "small_keys.h"

/*
 * Tokens.  An input without a line feed is a token as somebody might send it:
 * it must be refused unless its signature is the one that the key makes of
 * exactly these bytes.  An input with a line feed is a header and a payload
 * which we sign ourselves, so that what comes behind a good signature is
 * reached as well.
 */

static EVP_PKEY *ours, *other;

/* The signature of RS256 over the text in base64url, to be freed. */
static char *
sign(const char *text, size_t len, EVP_PKEY *key)
{
	unsigned char sig[64];
	size_t siglen = sizeof(sig);
	EVP_MD_CTX *ctx;
	char *encoded;

	FUZZ_REQUIRE((ctx = EVP_MD_CTX_new()) != NULL &&
	    EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestSign(ctx, sig, &siglen, (const unsigned char *)text,
	    len) == 1);
	EVP_MD_CTX_free(ctx);
	FUZZ_REQUIRE((encoded = base64url_encode(sig, siglen)) != NULL);
	return (encoded);
}

/* A second opinion on a header, which stands behind base64url already. */
static int
is_header(const char *text, size_t len)
{
	json_t *header = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	const char *alg = json_text(header, "alg");
	int good;

	good = json_is_object(header) && alg != NULL &&
	    strcmp(alg, "RS256") == 0 &&
	    json_is_string(json_object_get(header, "kid")) &&
	    json_object_get(header, "crit") == NULL;
	json_decref(header);
	return (good);
}

/* Parse and verify the token; the claims, or NULL. */
static json_t *
verify(const char *token, size_t len, EVP_PKEY *key)
{
	const char *why = NULL;
	json_t *claims = NULL;
	struct jwt *jwt;

	if ((jwt = jwt_parse(token, len, &why)) != NULL) {
		FUZZ_REQUIRE(jwt_kid(jwt) != NULL);
		claims = jwt_verify(jwt, key, &why);
	}
	FUZZ_REQUIRE(claims != NULL ? json_is_object(claims) :
	    fuzz_is_line(why));
	jwt_free(jwt);
	return (claims);
}

/* What anybody may send. */
static void
check_token(const char *token, size_t len, EVP_PKEY *key)
{
	const char *dot1, *dot2;
	unsigned char *header;
	char *signature;
	json_t *claims;
	size_t n;

	if ((claims = verify(token, len, key)) == NULL)
		return;

	/* So it is of three parts, and the last is what the key makes. */
	FUZZ_REQUIRE(len <= JWT_MAX_LEN);
	FUZZ_REQUIRE((dot1 = memchr(token, '.', len)) != NULL);
	FUZZ_REQUIRE((dot2 = memrchr(token, '.', len)) != NULL &&
	    dot2 != dot1);
	signature = sign(token, (size_t)(dot2 - token), key);
	FUZZ_REQUIRE(strlen(signature) == len - (size_t)(dot2 + 1 - token) &&
	    memcmp(signature, dot2 + 1, strlen(signature)) == 0);
	free(signature);
	header = base64url_decode(token, (size_t)(dot1 - token), &n);
	FUZZ_REQUIRE(header != NULL && is_header((const char *)header, n));
	free(header);
	json_decref(claims);
}

/* What we sign is taken if it is good, and by our key only. */
static void
check_signed(const char *header, size_t headerlen, const char *payload,
    size_t payloadlen)
{
	char *h = base64url_encode(header, headerlen), *input, *token, *s;
	char *p = base64url_encode(payload, payloadlen);
	json_t *claims, *want;
	size_t len;

	FUZZ_REQUIRE(h != NULL && p != NULL &&
	    asprintf(&input, "%s.%s", h, p) != -1);
	s = sign(input, strlen(input), ours);
	FUZZ_REQUIRE(asprintf(&token, "%s.%s", input, s) != -1);
	len = strlen(token);

	want = json_loadb(payload, payloadlen, JSON_REJECT_DUPLICATES, NULL);
	claims = verify(token, len, ours);
	FUZZ_REQUIRE((claims != NULL) == (json_is_object(want) &&
	    is_header(header, headerlen) && len <= JWT_MAX_LEN));
	FUZZ_REQUIRE(claims == NULL || json_equal(claims, want));
	FUZZ_REQUIRE(verify(token, len, other) == NULL);

	/* Not with a part more, nor with another character in the payload. */
	FUZZ_REQUIRE(verify(token, len - 1, ours) == NULL);
	if (payloadlen > 0) {
		token[strlen(h) + 1] = token[strlen(h) + 1] == 'e' ? 'f' : 'e';
		FUZZ_REQUIRE(verify(token, len, ours) == NULL);
	}
	json_decref(claims);
	json_decref(want);
	free(token);
	free(s);
	free(input);
	free(p);
	free(h);
}

/* What jwt_sign makes is a token of these claims. */
static void
check_jwt_sign(const char *payload, size_t len)
{
	json_t *claims = json_loadb(payload, len, JSON_REJECT_DUPLICATES,
	    NULL), *back;
	char *token;

	if (json_is_object(claims)) {
		token = jwt_sign("k", claims, ours);
		FUZZ_REQUIRE(token != NULL);
		if (strlen(token) <= JWT_MAX_LEN) {
			back = verify(token, strlen(token), ours);
			FUZZ_REQUIRE(back != NULL && json_equal(back, claims));
			json_decref(back);
		}
		free(token);
	}
	json_decref(claims);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = fuzz_text(data, len), *end;

	if (ours == NULL) {
		ours = small_key(SMALL_KEY_OURS);
		other = small_key(SMALL_KEY_OTHER);
	}
	if ((end = memchr(text, '\n', len)) == NULL) {
		check_token(text, len, ours);
		check_token(text, len, other);
	} else {
		check_signed(text, (size_t)(end - text), end + 1,
		    len - (size_t)(end + 1 - text));
		check_jwt_sign(end + 1, len - (size_t)(end + 1 - text));
	}
	free(text);
	return (0);
}
