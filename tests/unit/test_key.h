#ifndef TEST_KEY_H_
#define TEST_KEY_H_

#include <stdlib.h>
#include <string.h>

#include <jansson.h>
#include <openssl/evp.h>

#include "base64.h"
#include "jwt.h"

#include "unit.h"

/*
 * An RSA key that was made for these tests and is used nowhere else, so that
 * tokens can be held against ones that another program signed.
 */
#define TEST_KEY_KID	"test-key"

#define TEST_KEY_PEM \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIIEvAIBADANBgkqhkiG9w0BAQEFAASCBKYwggSiAgEAAoIBAQClTyz9/QdxtDwE\n" \
    "i4U799NTgTavmeJFeyjoL6Bn5szNScClZ87TkX/Fx3pBANMegD7tHWHUxGZkduSL\n" \
    "MNkdNlhT788adn4xihKJVfrUThAXwf0UzbfIPkFM6WeaKSj0y9JZnISXIdLLqq0Z\n" \
    "TEe62Sgmh1jxLIEpnhMLDa1gRsx9pFCwkpVEEfpKitRRpFs+U8Mgh+EHvPtGaTdm\n" \
    "G7DTSVaSa2P4grjH+a/urFOuzttqGjC4fsVmNh0IV4iTwGQM9/o0C6qOau7uCGXH\n" \
    "tsPAIlNVRYJ/Tp5BhcfDLYf8qD7Vo87Tz5lvWR4C9brpkB61UnAn2uNQGfdw6FrO\n" \
    "2G6Iu7FtAgMBAAECggEACetU007GDhQXD9zBW2ZVB2s2+VV+BtZLj5cgBGwMePsG\n" \
    "dMZkWjyeUqNUGidvA6MFY5wCPU6lqDycHSAKvx5+MVcv8bIPg3B6CUSf/vJKM+q/\n" \
    "gWqQrxLRP0i4Hz9+BiZe0mK6cAknCXKN3Xk+yp7yMlGnzBz0CSfDk8O31hGZfqZv\n" \
    "H/5ERVFiDzkUPFBEE2Z7mNH/mobQKAuv3SjaJs3NrqFlwGWn3ywPpUUhLTM2dBN6\n" \
    "WxS97rwy7Lm9J1P66w5NxYo36TTw7GRhhAOpXrBBlLlQdMNAaKq+hGmaUplgENnz\n" \
    "iIuvytpoEJoyXidY395sZxuY7AP2ZPvp5y1mPwbY0QKBgQDkgmOeOcvR2EawJPE8\n" \
    "9Kyr9hLuGYEl0M57GHHEJscmcQdSzUKSDTlTMw9w2ObZEGju5jQGzNJjF7ynD0hF\n" \
    "EfaGKkQUoVSlBiz53jsIAaEgm4NKs7+/vQkZEgvVEzcfmdOoD4shd2Y5pAtiOySr\n" \
    "6ukh6AWSbFOUOCAMkGi+EjAv5QKBgQC5MltYUwtRIEP7M7rv9ZL5qA7pdQaSQRzX\n" \
    "Q5/hCyos+jqbYvLL9faA5/Wmwr3yDpK690tMBvlxS3jPSRc0sEITJjIfYvUlIsi2\n" \
    "MkCAUabXEXQF3AwK4zII8Nr0OaFhv+Wb4Q8p2QOYXh4BCS+F+w2YwKnLsNfGVnrY\n" \
    "gdvSrVoS6QKBgFTjQ1KSMe9gotHox11Xn5W6MkoVW27K5QnBiPHPXggf0RKngeVz\n" \
    "2CnaPBA143wbpn+pMQadrEJ3nPOKr9RI2gX5SZVIYYN0idzA+7j7sfnFC78Ci2cV\n" \
    "OH4BwDeFjeLFaGV0cMEb8/PRxxDU28ip2bVo1jkQ2POk7fL86oxBgXkpAoGARXwE\n" \
    "U75Mt7KAbya4k8Gy1GLevW7/+S3e8VFZEimLOHbmOFjGugnd4/2j6F6Wv9QB745L\n" \
    "PQo82uozOKq2vzkGgYLKOYZ6beWAIwP1uW9pRrYwruYhyo/1vO8JZ6qbxz4lmve1\n" \
    "JcFbnPZrEX5tyzonntFio58FRlA6JTOL057g9ckCgYARF5cMBII0V6Hp0Kr0p/FU\n" \
    "6z7K3aujE/8YrrJoN0roVHjcemIL02t0bcCC6jaazf2OC6hLVGodhv+ENTNRDAt0\n" \
    "9e0qynUSXFoxln/2vzSKf7TwHXinDwzO2yCNAaNMLDVmCeR5GtiZ8Vyw3gV65fb1\n" \
    "fjaR8qZ1WW2VBPmcvWjCcw==\n" \
    "-----END PRIVATE KEY-----\n"

/* Its modulus, as in a JSON Web Key; the exponent is AQAB. */
#define TEST_KEY_N \
    "pU8s_f0HcbQ8BIuFO_fTU4E2r5niRXso6C-gZ-bMzUnApWfO05F_xcd6QQDTHoA-" \
    "7R1h1MRmZHbkizDZHTZYU-_PGnZ-MYoSiVX61E4QF8H9FM23yD5BTOlnmiko9MvS" \
    "WZyElyHSy6qtGUxHutkoJodY8SyBKZ4TCw2tYEbMfaRQsJKVRBH6SorUUaRbPlPD" \
    "IIfhB7z7Rmk3Zhuw00lWkmtj-IK4x_mv7qxTrs7bahowuH7FZjYdCFeIk8BkDPf6" \
    "NAuqjmru7ghlx7bDwCJTVUWCf06eQYXHwy2H_Kg-1aPO08-Zb1keAvW66ZAetVJw" \
    "J9rjUBn3cOhazthuiLuxbQ"
/**
 * test_key():
 * Return the private key, to be freed.
 */
static inline EVP_PKEY *
test_key(void)
{
	const char *why;
	EVP_PKEY *key = jwt_key_parse(TEST_KEY_PEM, strlen(TEST_KEY_PEM),
	    &why);

	assert_non_null(key);
	return (key);
}

/**
 * test_key_sign(key, input):
 * Return ${input}, which need not be a good header and payload, with a dot
 * and its RS256 signature behind it, to be freed.
 */
static inline char *
test_key_sign(EVP_PKEY *key, const char *input)
{
	EVP_MD_CTX *ctx = EVP_MD_CTX_new();
	unsigned char sig[1024];
	size_t siglen = sizeof(sig), len;
	char *encoded, *token;

	assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL,
	    key), 1);
	assert_int_equal(EVP_DigestSign(ctx, sig, &siglen,
	    (const unsigned char *)input, strlen(input)), 1);
	EVP_MD_CTX_free(ctx);
	encoded = base64url_encode(sig, siglen);
	assert_non_null(encoded);
	len = strlen(input) + 1 + strlen(encoded) + 1;
	token = malloc(len);
	assert_non_null(token);
	(void)snprintf(token, len, "%s.%s", input, encoded);
	free(encoded);
	return (token);
}

/**
 * test_key_token(key, header, headerlen, payload, payloadlen):
 * Return the token of the bytes ${header} and ${payload}, whatever they are,
 * with a good signature by ${key}, to be freed.
 */
static inline char *
test_key_token(EVP_PKEY *key, const char *header, size_t headerlen,
    const char *payload, size_t payloadlen)
{
	char *h = base64url_encode(header, headerlen);
	char *p = base64url_encode(payload, payloadlen);
	char *input, *token;
	size_t len;

	assert_non_null(h);
	assert_non_null(p);
	len = strlen(h) + 1 + strlen(p) + 1;
	input = malloc(len);
	assert_non_null(input);
	(void)snprintf(input, len, "%s.%s", h, p);
	token = test_key_sign(key, input);
	free(input);
	free(p);
	free(h);
	return (token);
}

#endif /* !TEST_KEY_H_ */
