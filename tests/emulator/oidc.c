#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include "base64.h"
#include "jwt.h"
#include "oidc.h"

#define KEY_BITS	2048
#define KEY_FILE_MAX	(64 * 1024)
#define TOKEN_SECONDS	3600

struct oidc {
	char *issuer;
	EVP_PKEY *key;
	char kid[41];
};

static EVP_PKEY *
read_key(int fd, const char *path, char *why, size_t whylen)
{
	char pem[KEY_FILE_MAX];
	const char *reason;
	EVP_PKEY *key;
	ssize_t n;

	if ((n = read(fd, pem, sizeof(pem))) == -1) {
		(void)snprintf(why, whylen, "cannot read %s: %s", path,
		    strerror(errno));
		return (NULL);
	}
	if ((key = jwt_key_parse(pem, (size_t)n, &reason)) == NULL)
		(void)snprintf(why, whylen, "%s holds no usable key: %s; "
		    "remove it to have one made", path, reason);
	OPENSSL_cleanse(pem, sizeof(pem));

	return (key);
}

/*
 * Save the key so that the file is either there in full or not at all.
 */
static int
save_key(EVP_PKEY *key, const char *path, char *why, size_t whylen)
{
	char *fresh = NULL;
	FILE *file = NULL;
	int fd = -1, ok;

	if (asprintf(&fresh, "%s.new", path) == -1) {
		(void)snprintf(why, whylen, "out of memory");
		return (-1);
	}
	fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd == -1 || (file = fdopen(fd, "w")) == NULL)
		goto err;
	ok = PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL) == 1;
	if (fclose(file) == EOF || !ok || rename(fresh, path) == -1) {
		fd = -1;
		goto err;
	}
	free(fresh);

	/* Success! */
	return (0);

err:
	/* Failure! */
	snprintf(why, whylen, "cannot save the key in %s: %s", path,
	    strerror(errno));
	if (fd != -1)
		close(fd);
	unlink(fresh);
	free(fresh);
	return (-1);
}

static EVP_PKEY *
find_key(const char *path, char *why, size_t whylen)
{
	EVP_PKEY *key;
	int fd;

	if (path != NULL && (fd = open(path, O_RDONLY | O_CLOEXEC)) != -1) {
		key = read_key(fd, path, why, whylen);
		close(fd);
		return (key);
	}
	if (path != NULL && errno != ENOENT) {
		(void)snprintf(why, whylen, "cannot open %s: %s", path,
		    strerror(errno));
		return (NULL);
	}
	if ((key = EVP_RSA_gen(KEY_BITS)) == NULL) {
		(void)snprintf(why, whylen, "cannot make an RSA key");
		return (NULL);
	}
	if (path != NULL && save_key(key, path, why, whylen) == -1) {
		EVP_PKEY_free(key);
		return (NULL);
	}

	return (key);
}

/*
 * Derive the key id from the public key, so that it changes with it.
 */
static int
name_key(struct oidc *oidc)
{
	unsigned char digest[EVP_MAX_MD_SIZE], *der = NULL;
	size_t i;
	int len, ok;

	if ((len = i2d_PUBKEY(oidc->key, &der)) <= 0)
		return (-1);
	ok = EVP_Digest(der, (size_t)len, digest, NULL, EVP_sha256(), NULL);
	OPENSSL_free(der);
	if (ok != 1)
		return (-1);

	/* 40 hexadecimal digits, as Google's have. */
	for (i = 0; i < 20; i++)
		(void)snprintf(&oidc->kid[2 * i], 3, "%02x", digest[i]);

	return (0);
}

/**
 * oidc_open(issuer, path, why, whylen):
 * Return a provider that calls itself ${issuer}.  Its RSA key is read from
 * the PEM file ${path}; where there is no such file a fresh key is made and
 * saved there, readable by the owner only.  With a NULL ${path} the key is
 * fresh and lives in memory.  Return NULL and a sentence at ${why}
 * (${whylen} bytes) on failure.
 */
struct oidc *
oidc_open(const char *issuer, const char *path, char *why, size_t whylen)
{
	struct oidc *oidc;

	if ((oidc = calloc(1, sizeof(*oidc))) == NULL ||
	    (oidc->issuer = strdup(issuer)) == NULL) {
		(void)snprintf(why, whylen, "out of memory");
		goto err;
	}
	if ((oidc->key = find_key(path, why, whylen)) == NULL)
		goto err;
	if (name_key(oidc) == -1) {
		(void)snprintf(why, whylen, "cannot derive the id of the key");
		goto err;
	}

	/* Success! */
	return (oidc);

err:
	/* Failure! */
	oidc_free(oidc);
	return (NULL);
}

/**
 * oidc_free(oidc):
 * Wipe the key and free ${oidc}; NULL is fine.
 */
void
oidc_free(struct oidc *oidc)
{

	if (oidc == NULL)
		return;
	EVP_PKEY_free(oidc->key);
	free(oidc->issuer);
	free(oidc);
}

/**
 * oidc_token(oidc, email, audience, now):
 * Return the ID token of the service account ${email} for ${audience}, good
 * for an hour from ${now}, in seconds, as a string the caller frees, or
 * NULL:
 *
 * {"aud":audience,"azp":"1...","email":email,"email_verified":true,
 *  "exp":now+3600,"iat":now,"iss":issuer,"sub":"1..."}
 */
char *
oidc_token(const struct oidc *oidc, const char *email, const char *audience,
    int64_t now)
{
	unsigned char digest[EVP_MAX_MD_SIZE];
	uint64_t number;
	char subject[24], *token;
	json_t *claims;

	/* Google's subject is a long number that belongs to the account. */
	if (EVP_Digest(email, strlen(email), digest, NULL, EVP_sha256(),
	    NULL) != 1)
		return (NULL);
	memcpy(&number, digest, sizeof(number));
	(void)snprintf(subject, sizeof(subject), "1%020" PRIu64, number);

	claims = json_pack("{s:s, s:s, s:s, s:b, s:I, s:I, s:s, s:s}", "aud",
	    audience, "azp", subject, "email", email, "email_verified", 1,
	    "exp", (json_int_t)now + TOKEN_SECONDS, "iat", (json_int_t)now,
	    "iss", oidc->issuer, "sub", subject);
	if (claims == NULL)
		return (NULL);
	token = jwt_sign(oidc->kid, claims, oidc->key);
	json_decref(claims);

	return (token);
}

/*
 * Return one number of the public key as base64url.
 */
static char *
key_number(const EVP_PKEY *key, const char *name)
{
	BIGNUM *bn = NULL;
	unsigned char *bytes;
	char *text = NULL;
	int len;

	if (EVP_PKEY_get_bn_param(key, name, &bn) != 1)
		return (NULL);
	len = BN_num_bytes(bn);
	if ((bytes = malloc((size_t)len + 1)) != NULL) {
		BN_bn2bin(bn, bytes);
		text = base64url_encode(bytes, (size_t)len);
	}
	free(bytes);
	BN_free(bn);

	return (text);
}

/**
 * oidc_jwks(oidc):
 * Return the JSON Web Key Set (RFC 7517) with the public key, a reference
 * the caller drops.
 */
json_t *
oidc_jwks(const struct oidc *oidc)
{
	char *n = key_number(oidc->key, OSSL_PKEY_PARAM_RSA_N);
	char *e = key_number(oidc->key, OSSL_PKEY_PARAM_RSA_E);
	json_t *jwks = NULL;

	if (n != NULL && e != NULL)
		jwks = json_pack("{s:[{s:s, s:s, s:s, s:s, s:s, s:s}]}",
		    "keys", "kty", "RSA", "alg", "RS256", "use", "sig", "kid",
		    oidc->kid, "n", n, "e", e);
	free(n);
	free(e);

	return (jwks);
}

/**
 * oidc_discovery(oidc, base):
 * Return the OpenID provider metadata where ${base} is the URL under which
 * the emulator is reached, a reference the caller drops.
 */
json_t *
oidc_discovery(const struct oidc *oidc, const char *base)
{

	return (json_pack("{s:s, s:o, s:[s], s:[s], s:[s]}", "issuer",
	    oidc->issuer, "jwks_uri", json_sprintf("%s/oauth2/v3/certs", base),
	    "response_types_supported", "id_token",
	    "subject_types_supported", "public",
	    "id_token_signing_alg_values_supported", "RS256"));
}
