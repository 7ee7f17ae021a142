#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "jwt.h"

#include "jwt_golden.h"
#include "test_key.h"
#include "unit.h"

static void
test_golden(void **state)
{
	json_t *claims = json_loads(P, 0, NULL), *got;
	EVP_PKEY *key = test_key();
	const char *why;
	char *token;

	(void)state;
	token = jwt_sign(TEST_KEY_KID, claims, key);
	assert_non_null(token);
	assert_string_equal(token, jwt_golden);
	free(token);

	got = jwt_golden_claims(key, jwt_golden, strlen(jwt_golden), &why);
	assert_non_null(got);
	assert_true(json_equal(got, claims));
	json_decref(got);
	json_decref(claims);
	EVP_PKEY_free(key);
}

static void
test_kid(void **state)
{
	const char *why;
	struct jwt *jwt = jwt_parse(jwt_golden, strlen(jwt_golden), &why);

	(void)state;
	assert_non_null(jwt);
	assert_string_equal(jwt_kid(jwt), TEST_KEY_KID);
	jwt_free(jwt);
	jwt_free(NULL);
}

/* Only an RSA key signs. */
static void
test_sign_other_key(void **state)
{
	EVP_PKEY *ec = EVP_EC_gen("P-256"), *key = test_key();
	json_t *claims = json_object();

	(void)state;
	assert_non_null(ec);
	assert_null(jwt_sign("k", claims, ec));
	assert_null(jwt_sign("not UTF-8 \xff", claims, key));
	json_decref(claims);
	EVP_PKEY_free(key);
	EVP_PKEY_free(ec);
}

/* Write ${pkey} as PEM with ${cipher}, if any; the BIO has the text. */
static BIO *
pem_of(EVP_PKEY *pkey, const EVP_CIPHER *cipher)
{
	unsigned char pass[] = "example";
	BIO *bio = BIO_new(BIO_s_mem());

	assert_non_null(bio);
	assert_int_equal(PEM_write_bio_PrivateKey(bio, pkey, cipher,
	    cipher != NULL ? pass : NULL, cipher != NULL ?
	    (int)sizeof(pass) - 1 : 0, NULL, NULL), 1);
	return (bio);
}

static EVP_PKEY *
parse_bio(BIO *bio, const char **why)
{
	char *text;
	long len = BIO_get_mem_data(bio, &text);
	EVP_PKEY *got = jwt_key_parse(text, (size_t)len, why);

	BIO_free(bio);
	return (got);
}

static void
test_key_parse(void **state)
{
	static const char *const bad[] = { "", "not a key",
	    "-----BEGIN PRIVATE KEY-----\n",
	    "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n" };
	EVP_PKEY *ec = EVP_EC_gen("P-256"), *key = test_key(), *got;
	const char *why;
	BIO *bio;
	size_t i;

	(void)state;
	got = parse_bio(pem_of(key, NULL), &why);
	assert_non_null(got);
	assert_int_equal(EVP_PKEY_eq(got, key), 1);
	EVP_PKEY_free(got);

	/* An encrypted key is refused, and nobody is asked anything. */
	assert_null(parse_bio(pem_of(key, EVP_aes_128_cbc()), &why));
	assert_non_null(strstr(why, "unencrypted RSA key in PEM"));
	assert_null(parse_bio(pem_of(ec, NULL), &why));
	assert_non_null(strstr(why, "unencrypted RSA key in PEM"));
	EVP_PKEY_free(ec);

	/* A public key is no private key. */
	bio = BIO_new(BIO_s_mem());
	assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	assert_null(parse_bio(bio, &why));
	EVP_PKEY_free(key);
	for (i = 0; i < NITEMS(bad); i++)
		ASSERT_ROW(jwt_key_parse(bad[i], strlen(bad[i]), &why) ==
		    NULL, bad[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_golden),
		cmocka_unit_test(test_kid),
		cmocka_unit_test(test_sign_other_key),
		cmocka_unit_test(test_key_parse),
	};

	return (cmocka_run_group_tests_name("jwt", tests, NULL, NULL));
}
