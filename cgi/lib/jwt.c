#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>

#include "base64.h"
#include "json_text.h"

#include "jwt.h"

/* The most that a private key may have, in bytes of PEM. */
#define MAX_PEM	65536

struct jwt {
	const char *signing_input;	/* header "." payload, as received */
	size_t signing_input_len;
	json_t *header;
	unsigned char *payload;
	size_t payload_len;
	unsigned char *signature;
	size_t signature_len;
};

/* Encode ${json} compactly as base64url; NULL on failure. */
static char *
encode_json(const json_t *json)
{
	char *text, *encoded;

	if ((text = json_dumps(json, JSON_COMPACT)) == NULL)
		return (NULL);
	encoded = base64url_encode(text, strlen(text));
	OPENSSL_cleanse(text, strlen(text));
	free(text);
	return (encoded);
}

/* Return the base64url of the RS256 signature over ${input}, or NULL. */
static char *
sign_encoded(const char *input, EVP_PKEY *key)
{
	EVP_MD_CTX *ctx;
	unsigned char *sig = NULL;
	char *encoded = NULL;
	size_t len;

	if ((ctx = EVP_MD_CTX_new()) == NULL)
		return (NULL);
	if (EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSign(ctx, NULL, &len, (const unsigned char *)input,
	    strlen(input)) != 1 ||
	    (sig = malloc(len)) == NULL ||
	    EVP_DigestSign(ctx, sig, &len, (const unsigned char *)input,
	    strlen(input)) != 1)
		goto out;
	encoded = base64url_encode(sig, len);

out:
	ERR_clear_error();
	if (sig != NULL)
		OPENSSL_cleanse(sig, len);
	free(sig);
	EVP_MD_CTX_free(ctx);
	return (encoded);
}

/**
 * jwt_sign(kid, claims, key):
 * Return the token of ${claims} signed by the RSA private ${key}, with the
 * header {"alg":"RS256","typ":"JWT","kid":${kid}}, as a string the caller
 * wipes and frees; NULL on failure.
 */
char *
jwt_sign(const char *kid, const json_t *claims, EVP_PKEY *key)
{
	json_t *header;
	char *h = NULL, *p = NULL, *s = NULL, *token = NULL;
	size_t len;

	if (!EVP_PKEY_is_a(key, "RSA"))
		return (NULL);
	if ((header = json_pack("{s:s, s:s, s:s}", "alg", "RS256",
	    "typ", "JWT", "kid", kid)) == NULL)
		return (NULL);
	if ((h = encode_json(header)) == NULL ||
	    (p = encode_json(claims)) == NULL)
		goto out;

	/* Sign header.payload, then put the signature behind it. */
	len = strlen(h) + 1 + strlen(p);
	if ((token = malloc(len + 1)) == NULL)
		goto out;
	memcpy(token, h, strlen(h));
	token[strlen(h)] = '.';
	memcpy(&token[strlen(h) + 1], p, strlen(p) + 1);
	if ((s = sign_encoded(token, key)) != NULL) {
		char *whole = realloc(token, len + 1 + strlen(s) + 1);

		if (whole != NULL) {
			token = whole;
			token[len] = '.';
			memcpy(&token[len + 1], s, strlen(s) + 1);
			goto out;
		}
	}
	free(token);
	token = NULL;

out:
	if (s != NULL)
		OPENSSL_cleanse(s, strlen(s));
	free(s);
	free(p);
	free(h);
	json_decref(header);
	return (token);
}

/* Refuse a header that asks for anything but RS256 by a named key. */
static int
check_header(const json_t *header, const char **why)
{
	const char *alg = json_text(header, "alg");

	if (alg == NULL || strcmp(alg, "RS256") != 0)
		*why = "its alg is not RS256";
	else if (json_object_get(header, "crit") != NULL)
		*why = "its header has crit, and no extension is understood";
	else if (!json_is_string(json_object_get(header, "kid")))
		*why = "its header names no key (kid)";
	else
		return (0);
	return (-1);
}

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
struct jwt *
jwt_parse(const char *token, size_t len, const char **why)
{
	struct jwt *jwt;
	const char *dot1, *dot2, *end = token + len;
	unsigned char *header = NULL;
	size_t header_len;

	if (len > JWT_MAX_LEN) {
		*why = "the token is longer than 8 KiB";
		return (NULL);
	}
	if ((jwt = calloc(1, sizeof(*jwt))) == NULL) {
		*why = "out of memory";
		return (NULL);
	}

	/* Exactly two dots make three segments. */
	*why = "the token does not have exactly three segments";
	if ((dot1 = memchr(token, '.', len)) == NULL)
		goto err;
	if ((dot2 = memchr(dot1 + 1, '.', (size_t)(end - dot1 - 1))) == NULL)
		goto err;
	if (memchr(dot2 + 1, '.', (size_t)(end - dot2 - 1)) != NULL)
		goto err;

	*why = "the token is not strict base64url";
	header = base64url_decode(token, (size_t)(dot1 - token), &header_len);
	jwt->payload = base64url_decode(dot1 + 1, (size_t)(dot2 - dot1 - 1),
	    &jwt->payload_len);
	jwt->signature = base64url_decode(dot2 + 1, (size_t)(end - dot2 - 1),
	    &jwt->signature_len);
	if (header == NULL || jwt->payload == NULL || jwt->signature == NULL)
		goto err;
	jwt->signing_input = token;
	jwt->signing_input_len = (size_t)(dot2 - token);

	jwt->header = json_loadb((const char *)header, header_len,
	    JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(jwt->header)) {
		*why = "its header is not a JSON object of unique names";
		goto err;
	}
	if (check_header(jwt->header, why) != 0)
		goto err;

	free(header);
	return (jwt);

err:
	free(header);
	jwt_free(jwt);
	return (NULL);
}

/**
 * jwt_kid(jwt):
 * Return the header's "kid"; it lives as long as ${jwt}.
 */
const char *
jwt_kid(const struct jwt *jwt)
{

	return (json_text(jwt->header, "kid"));
}

/**
 * jwt_verify(jwt, key, why):
 * Check the signature over the bytes as received with the RSA public ${key},
 * and only then parse the payload.  Return the claims, a reference the
 * caller drops, or NULL and ${why}.
 */
json_t *
jwt_verify(const struct jwt *jwt, EVP_PKEY *key, const char **why)
{
	EVP_MD_CTX *ctx;
	json_t *claims;
	int good;

	/* RFC 8017, 8.2.2: the signature is as long as the modulus. */
	if (jwt->signature_len != (size_t)EVP_PKEY_get_size(key)) {
		*why = "its signature is not as long as the key";
		return (NULL);
	}
	if ((ctx = EVP_MD_CTX_new()) == NULL) {
		*why = "out of memory";
		return (NULL);
	}

	/* Only 1 means valid: both 0 and negative results are failures. */
	good = EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
	    EVP_DigestVerify(ctx, jwt->signature, jwt->signature_len,
	    (const unsigned char *)jwt->signing_input,
	    jwt->signing_input_len) == 1;
	EVP_MD_CTX_free(ctx);
	ERR_clear_error();
	if (!good) {
		*why = "its signature is wrong";
		return (NULL);
	}

	claims = json_loadb((const char *)jwt->payload, jwt->payload_len,
	    JSON_REJECT_DUPLICATES, NULL);
	if (!json_is_object(claims)) {
		json_decref(claims);
		*why = "its payload is not a JSON object of unique names";
		return (NULL);
	}
	return (claims);
}

/**
 * jwt_free(jwt):
 * Free ${jwt}; NULL is fine.
 */
void
jwt_free(struct jwt *jwt)
{

	if (jwt == NULL)
		return;
	json_decref(jwt->header);
	free(jwt->payload);
	free(jwt->signature);
	free(jwt);
}

/* An encrypted key gets no pass phrase, instead of a question on the tty. */
static int
no_pass_phrase(char *buf, int size, int rwflag, void *cookie)
{

	(void)buf;
	(void)size;
	(void)rwflag;
	(void)cookie;
	return (0);
}

/**
 * jwt_key_parse(pem, len, why):
 * Read an RSA private key from ${len} bytes of PEM text without ever asking
 * for a pass phrase.  Return the key or NULL and ${why}.
 */
EVP_PKEY *
jwt_key_parse(const char *pem, size_t len, const char **why)
{
	EVP_PKEY *key;
	BIO *bio;

	*why = "the private key is not an unencrypted RSA key in PEM";
	if (len > MAX_PEM || (bio = BIO_new_mem_buf(pem, (int)len)) == NULL)
		return (NULL);
	key = PEM_read_bio_PrivateKey(bio, NULL, no_pass_phrase, NULL);
	BIO_free(bio);
	ERR_clear_error();
	if (key != NULL && !EVP_PKEY_is_a(key, "RSA")) {
		EVP_PKEY_free(key);
		key = NULL;
	}
	return (key);
}
