#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base64.h"
#include "jwt.h"

#include "jwt_golden.h"
#include "test_key.h"
#include "unit.h"

/* The reasons for which a token is refused. */
#define LONG		"the token is longer than 8 KiB"
#define SEGMENTS	"the token does not have exactly three segments"
#define BASE64		"the token is not strict base64url"
#define HEADER		"its header is not a JSON object of unique names"
#define ALG		"its alg is not RS256"
#define CRIT		"its header has crit, and no extension is understood"
#define KID		"its header names no key (kid)"
#define LENGTH		"its signature is not as long as the key"
#define SIGNATURE	"its signature is wrong"
#define PAYLOAD		"its payload is not a JSON object of unique names"

static EVP_PKEY *key, *stranger;

static int
setup(void **state)
{

	(void)state;
	key = test_key();
	stranger = EVP_RSA_gen(2048);
	return (stranger != NULL ? 0 : -1);
}

static int
teardown(void **state)
{

	(void)state;
	EVP_PKEY_free(stranger);
	EVP_PKEY_free(key);
	return (0);
}

static void
refuse(const char *name, const char *token, size_t len, const char *want)
{
	const char *why;
	json_t *claims = jwt_golden_claims(key, token, len, &why);

	if (claims != NULL)
		fail_msg("%s: taken", name);
	if (why == NULL || strcmp(why, want) != 0)
		fail_msg("%s: refused, but since %s", name,
		    why != NULL ? why : "(nothing)");
}

/*
 * Headers and payloads, each with a good signature over it: what is refused
 * is refused for what it says.  NULL: taken.
 */
#define RS256	"\"alg\":\"RS256\""
#define WITH(more) "{\"alg\":\"RS256\",\"kid\":\"test-key\"," more "}"
static const struct {
	const char *name;
	const char *header;
	size_t headerlen;
	const char *payload;
	size_t payloadlen;
	const char *why;
} texts[] = {
	/* Good, however odd. */
	{ "plain", T(H), T(P), NULL },
	{ "blanks in the JSON", T(" { \"kid\" : \"x\" , " RS256 " } \n"),
	    T(" { } "), NULL },
	{ "typ is anything", T(WITH("\"typ\":\"at+jwt\"")), T(P), NULL },
	{ "a key of its own is not looked at",
	    T(WITH("\"jwk\":{\"kty\":\"RSA\",\"n\":\"AQ\",\"e\":\"AQ\"}")),
	    T(P), NULL },
	{ "a place for keys is not looked at",
	    T(WITH("\"jku\":\"https://example.com\",\"x5u\":\"https://"
	    "example.com\",\"x5c\":[\"AA\"]")), T(P), NULL },
	{ "no claims", T(H), T("{}"), NULL },

	/* The algorithm. */
	{ "alg none", T("{\"alg\":\"none\",\"kid\":\"test-key\"}"), T(P), ALG },
	{ "alg None", T("{\"alg\":\"None\",\"kid\":\"test-key\"}"), T(P), ALG },
	{ "alg HS256", T("{\"alg\":\"HS256\",\"kid\":\"test-key\"}"), T(P),
	    ALG },
	{ "alg RS384", T("{\"alg\":\"RS384\",\"kid\":\"test-key\"}"), T(P),
	    ALG },
	{ "alg RS512", T("{\"alg\":\"RS512\",\"kid\":\"test-key\"}"), T(P),
	    ALG },
	{ "alg PS256", T("{\"alg\":\"PS256\",\"kid\":\"test-key\"}"), T(P),
	    ALG },
	{ "alg ES256", T("{\"alg\":\"ES256\",\"kid\":\"test-key\"}"), T(P),
	    ALG },
	{ "alg EdDSA", T("{\"alg\":\"EdDSA\",\"kid\":\"test-key\"}"), T(P),
	    ALG },
	{ "alg rs256", T("{\"alg\":\"rs256\",\"kid\":\"test-key\"}"), T(P),
	    ALG },
	{ "alg with a blank", T("{\"alg\":\"RS256 \",\"kid\":\"test-key\"}"),
	    T(P), ALG },
	{ "alg empty", T("{\"alg\":\"\",\"kid\":\"test-key\"}"), T(P), ALG },
	{ "alg a number", T("{\"alg\":256,\"kid\":\"test-key\"}"), T(P), ALG },
	{ "alg null", T("{\"alg\":null,\"kid\":\"test-key\"}"), T(P), ALG },
	{ "alg an array", T("{\"alg\":[\"RS256\"],\"kid\":\"test-key\"}"),
	    T(P), ALG },
	{ "alg absent", T("{\"kid\":\"test-key\"}"), T(P), ALG },
	{ "Alg", T("{\"Alg\":\"RS256\",\"kid\":\"test-key\"}"), T(P), ALG },
	{ "empty header object", T("{}"), T(P), ALG },

	/* The key's name, and what must be understood. */
	{ "kid absent", T("{" RS256 "}"), T(P), KID },
	{ "kid a number", T("{" RS256 ",\"kid\":1}"), T(P), KID },
	{ "kid null", T("{" RS256 ",\"kid\":null}"), T(P), KID },
	{ "kid an object", T("{" RS256 ",\"kid\":{}}"), T(P), KID },
	{ "crit", T(WITH("\"crit\":[\"exp\"],\"exp\":1")), T(P), CRIT },
	{ "crit empty", T(WITH("\"crit\":[]")), T(P), CRIT },
	{ "crit null", T(WITH("\"crit\":null")), T(P), CRIT },
	{ "b64 false", T(WITH("\"b64\":false,\"crit\":[\"b64\"]")), T(P),
	    CRIT },

	/* The header as JSON. */
	{ "alg twice", T("{" RS256 ",\"alg\":\"none\",\"kid\":\"k\"}"), T(P),
	    HEADER },
	{ "alg twice the same", T("{" RS256 "," RS256 ",\"kid\":\"k\"}"), T(P),
	    HEADER },
	{ "alg twice, once escaped",
	    T("{" RS256 ",\"\\u0061lg\":\"none\",\"kid\":\"k\"}"), T(P),
	    HEADER },
	{ "kid twice", T("{" RS256 ",\"kid\":\"a\",\"kid\":\"b\"}"), T(P),
	    HEADER },
	{ "names twice in a nested object",
	    T(WITH("\"jwk\":{\"n\":\"a\",\"n\":\"b\"}")), T(P), HEADER },
	{ "header not JSON", T("alg=RS256"), T(P), HEADER },
	{ "header cut", T("{\"alg\":\"RS256\",\"kid\":\"k\""), T(P), HEADER },
	{ "header an array", T("[" H "]"), T(P), HEADER },
	{ "header a string", T("\"RS256\""), T(P), HEADER },
	{ "header null", T("null"), T(P), HEADER },
	{ "header twice", T(H H), T(P), HEADER },
	{ "text behind the header", T(H "x"), T(P), HEADER },
	{ "NUL behind the header", T(H "\0"), T(P), HEADER },
	{ "NUL in the alg", T("{\"alg\":\"RS256\0\",\"kid\":\"k\"}"), T(P),
	    HEADER },
	{ "escaped NUL in the alg",
	    T("{\"alg\":\"RS256\\u0000\",\"kid\":\"k\"}"), T(P), HEADER },
	{ "NUL in the kid", T("{" RS256 ",\"kid\":\"test-key\\u0000x\"}"),
	    T(P), HEADER },
	{ "UTF-8 that is none in the kid",
	    T("{" RS256 ",\"kid\":\"\xff\"}"), T(P), HEADER },
	{ "surrogate in the kid", T("{" RS256 ",\"kid\":\"\\ud800\"}"), T(P),
	    HEADER },
	{ "overlong kid", T("{" RS256 ",\"kid\":\"\xc0\xaf\"}"), T(P),
	    HEADER },
	{ "single quotes", T("{'alg':'RS256','kid':'k'}"), T(P), HEADER },
	{ "comma at the end", T("{" RS256 ",\"kid\":\"k\",}"), T(P), HEADER },
	{ "byte order mark", T("\xef\xbb\xbf" H), T(P), HEADER },
	{ "JWE's header in a JWS", T("{\"alg\":\"RSA-OAEP\",\"enc\":"
	    "\"A256GCM\",\"kid\":\"k\"}"), T(P), ALG },

	/* Segments with nothing in them. */
	{ "empty header", T(""), T(P), HEADER },
	{ "empty payload", T(H), T(""), PAYLOAD },

	/* The payload as JSON, well signed. */
	{ "aud twice", T(H), T("{\"aud\":\"a\",\"aud\":\"b\"}"), PAYLOAD },
	{ "email twice, once escaped", T(H),
	    T("{\"email\":\"a\",\"\\u0065mail\":\"b\"}"), PAYLOAD },
	{ "payload not JSON", T(H), T("iss=x"), PAYLOAD },
	{ "payload an array", T(H), T("[" P "]"), PAYLOAD },
	{ "payload a string", T(H), T("\"x\""), PAYLOAD },
	{ "payload null", T(H), T("null"), PAYLOAD },
	{ "payload a number", T(H), T("1"), PAYLOAD },
	{ "payload cut", T(H), T("{\"iss\":\"https://acc"), PAYLOAD },
	{ "payload twice", T(H), T(P P), PAYLOAD },
	{ "NUL in the payload", T(H), T("{\"iss\":\"a\0b\"}"), PAYLOAD },
	{ "escaped NUL in the payload", T(H), T("{\"iss\":\"a\\u0000b\"}"),
	    PAYLOAD },
	{ "UTF-8 that is none in the payload", T(H), T("{\"iss\":\"\xe9\"}"),
	    PAYLOAD },
	{ "exp too big", T(H), T("{\"exp\":9223372036854775808}"), PAYLOAD },
	{ "exp infinite", T(H), T("{\"exp\":1e400}"), PAYLOAD },
	{ "exp NaN", T(H), T("{\"exp\":NaN}"), PAYLOAD },
	{ "a token in the token", T(H), T("eyJhbGciOiJub25lIn0.e30."),
	    PAYLOAD },
};

static void
test_texts(void **state)
{
	const char *why;
	json_t *claims;
	char *token;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(texts); i++) {
		token = test_key_token(key, texts[i].header,
		    texts[i].headerlen, texts[i].payload, texts[i].payloadlen);
		if (texts[i].why != NULL)
			refuse(texts[i].name, token, strlen(token),
			    texts[i].why);
		else {
			claims = jwt_golden_claims(key, token, strlen(token),
			    &why);
			ASSERT_ROW(claims != NULL, texts[i].name);
			json_decref(claims);
		}
		free(token);
	}
}

/* The golden token with something done to its text. */
static const struct {
	const char *name;
	const char *form;	/* \1, \2, \3: its segments */
	const char *why;
} forms[] = {
	{ "one segment", "\1", SEGMENTS },
	{ "two segments", "\1.\2", SEGMENTS },
	{ "four segments", "\1.\2.\3.", SEGMENTS },
	{ "four segments with something in it", "\1.\2.\3.AA",
	    SEGMENTS },
	{ "five segments, as a JWE has", "\1.\2.\3.\3.\3",
	    SEGMENTS },
	{ "dot before", ".\1.\2.\3", SEGMENTS },
	{ "detached payload", "\1..\3", SIGNATURE },
	{ "only dots", "..", HEADER },
	{ "stripped signature", "\1.\2.", LENGTH },
	{ "signature for a header", "\3.\2.\1", HEADER },
	{ "header for a payload", "\1.\1.\3", SIGNATURE },
	{ "payload for a signature", "\1.\2.\2", LENGTH },
	{ "signature twice", "\1.\2.\3\3", LENGTH },
	{ "header padded", "\1=.\2.\3", BASE64 },
	{ "payload padded", "\1.\2==.\3", BASE64 },
	{ "signature padded", "\1.\2.\3==", BASE64 },
	{ "blank before", " \1.\2.\3", BASE64 },
	{ "blank behind", "\1.\2.\3 ", BASE64 },
	{ "newline behind", "\1.\2.\3\n", BASE64 },
	{ "carriage return and newline behind", "\1.\2.\3\r\n", BASE64 },
	{ "blank at a dot", "\1. \2.\3", BASE64 },
	{ "tab in the payload", "\1.\t\2.\3", BASE64 },
	{ "scheme before", "Bearer \1.\2.\3", BASE64 },
	{ "quotes", "\"\1.\2.\3\"", BASE64 },
	{ "comma for a dot", "\1,\2.\3", SEGMENTS },
	{ "another token behind", "\1.\2.\3,\1", BASE64 },
	{ "exclamation marks behind", "\1.\2.\3!!", BASE64 },
	{ "percent-encoded", "\1.\2.\3%3D%3D", BASE64 },
	{ "top bit behind", "\1.\2.\3\xe9\xe9", BASE64 },
	{ "a byte more of signature", "\1.\2.AAAA\3", LENGTH },
	{ "another payload", "\1.e30.\3", SIGNATURE },
	{ "another header", "eyJhbGciOiJSUzI1NiIsImtpZCI6InRlc3Qta2V5In0.\2"
	    ".\3", SIGNATURE },
	{ "header of alg none", "eyJhbGciOiJub25lIiwia2lkIjoieCJ9.\2.",
	    ALG },
};

/* The parts of the golden token, in ${buf}, which is as large as it. */
static void
split(char *buf, char *part[3])
{
	size_t i;

	memcpy(buf, jwt_golden, sizeof(jwt_golden));
	for (i = 0; i < 3; i++) {
		part[i] = buf;
		buf += strcspn(buf, ".");
		*buf++ = '\0';
	}
}

/* Put the segments where ${form} wants them; return the length. */
static size_t
fill(const char *form, char *const part[3], char *out, size_t size)
{
	size_t len = 0, n;
	const char *s;

	for (; *form != '\0'; form++) {
		s = *form <= 3 && *form > 0 ? part[*form - 1] : form;
		n = s == form ? 1 : strlen(s);
		assert_true(len + n < size);
		memcpy(&out[len], s, n);
		len += n;
	}
	return (len);
}

static void
test_forms(void **state)
{
	char buf[sizeof(jwt_golden)], token[4096], *part[3];
	size_t i, len;

	(void)state;
	split(buf, part);
	for (i = 0; i < NITEMS(forms); i++) {
		len = fill(forms[i].form, part, token, sizeof(token));
		refuse(forms[i].name, token, len, forms[i].why);
	}
	refuse("empty", "", 0, SEGMENTS);
}

/* Cut anywhere, a token is worth nothing. */
static void
test_cut(void **state)
{
	const char *why;
	size_t len;

	(void)state;
	for (len = 0; len < strlen(jwt_golden); len++)
		assert_null(jwt_golden_claims(key, jwt_golden, len, &why));
}

/* With any one character another one, or a NUL, it is worth nothing. */
static void
test_changed(void **state)
{
	static const char others[] = { 'A', 'B', '_', '-', '+', '/', '=', '.',
	    ' ', '\n', '\0', '\x80' };
	char token[sizeof(jwt_golden)];
	const char *why;
	size_t i, j;

	(void)state;
	for (i = 0; i < strlen(jwt_golden); i++) {
		for (j = 0; j < NITEMS(others); j++) {
			if (jwt_golden[i] == others[j])
				continue;
			memcpy(token, jwt_golden, sizeof(token));
			token[i] = others[j];
			if (jwt_golden_claims(key, token, strlen(jwt_golden),
			    &why) != NULL)
				fail_msg("character %zu as 0x%02x", i,
				    (unsigned int)(unsigned char)others[j]);
		}
	}
}

/* A last character whose unused bits are set decodes to the same bytes. */
static void
test_not_canonical(void **state)
{
	char token[sizeof(jwt_golden)];

	(void)state;
	memcpy(token, jwt_golden, sizeof(token));
	token[sizeof(token) - 2]++;
	refuse("unused bits", token, strlen(token), BASE64);
}

/* The standard alphabet says the same bytes, and is not what JWS uses. */
static void
test_standard_alphabet(void **state)
{
	char token[sizeof(jwt_golden)], *p;

	(void)state;
	memcpy(token, jwt_golden, sizeof(token));
	assert_non_null(strpbrk(token, "-_"));
	for (p = token; (p = strpbrk(p, "-_")) != NULL; p++)
		*p = *p == '-' ? '+' : '/';
	refuse("standard alphabet", token, strlen(token), BASE64);
}

/* A good signature, but by somebody else, or over something else. */
static void
test_other_signer(void **state)
{
	EVP_PKEY *longer = EVP_RSA_gen(3072);
	char *token = test_key_token(stranger, T(H), T(P));

	(void)state;
	refuse("another key", token, strlen(token), SIGNATURE);
	free(token);

	assert_non_null(longer);
	token = test_key_token(longer, T(H), T(P));
	refuse("a longer key", token, strlen(token), LENGTH);
	free(token);
	EVP_PKEY_free(longer);
}

/* Key confusion: HMAC with the public key, which everybody has, as secret. */
static void
test_key_confusion(void **state)
{
	static const char *const algs[] = { "HS256", "RS256" };
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned int maclen;
	BIO *bio = BIO_new(BIO_s_mem());
	char header[128], *h, *p, *s, *pem, token[4096];
	size_t i;
	long pemlen;

	(void)state;
	assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	pemlen = BIO_get_mem_data(bio, &pem);
	for (i = 0; i < NITEMS(algs); i++) {
		(void)snprintf(header, sizeof(header),
		    "{\"alg\":\"%s\",\"kid\":\"test-key\"}", algs[i]);
		h = base64url_encode(header, strlen(header));
		p = base64url_encode(T(P));
		(void)snprintf(token, sizeof(token), "%s.%s", h, p);
		assert_non_null(HMAC(EVP_sha256(), pem, (int)pemlen,
		    (unsigned char *)token, strlen(token), mac, &maclen));
		s = base64url_encode(mac, maclen);
		(void)snprintf(token, sizeof(token), "%s.%s.%s", h, p, s);
		refuse(algs[i], token, strlen(token), i == 0 ? ALG : LENGTH);
		free(s);
		free(p);
		free(h);
	}
	BIO_free(bio);
}

/* With the right length, and nothing right in it. */
static void
test_made_up_signatures(void **state)
{
	static const unsigned char fills[] = { 0x00, 0x01, 0x7f, 0xff };
	unsigned char sig[256];
	char buf[sizeof(jwt_golden)], token[4096], *part[3], *s;
	size_t i;

	(void)state;
	split(buf, part);
	for (i = 0; i < NITEMS(fills); i++) {
		memset(sig, fills[i], sizeof(sig));
		s = base64url_encode(sig, sizeof(sig));
		(void)snprintf(token, sizeof(token), "%s.%s.%s", part[0],
		    part[1], s);
		refuse("made up", token, strlen(token), SIGNATURE);
		free(s);
	}
}

/* The longest token is 8 KiB; one byte more is not looked at. */
static void
test_size(void **state)
{
	char payload[JWT_MAX_LEN], *token = NULL;
	const char *why;
	size_t pad = 5600;
	json_t *claims;

	(void)state;
	/* As close to the bound as the encoding gets. */
	do {
		free(token);
		pad++;
		(void)snprintf(payload, sizeof(payload), "{\"x\":\"%0*d\"}",
		    (int)pad, 0);
		token = test_key_token(key, T(H), payload, strlen(payload));
	} while (strlen(token) < JWT_MAX_LEN - 1);
	assert_in_range(strlen(token), JWT_MAX_LEN - 1, JWT_MAX_LEN);
	claims = jwt_golden_claims(key, token, strlen(token), &why);
	assert_non_null(claims);
	json_decref(claims);
	free(token);

	(void)snprintf(payload, sizeof(payload), "{\"x\":\"%0*d\"}",
	    (int)pad + 3, 0);
	token = test_key_token(key, T(H), payload, strlen(payload));
	assert_true(strlen(token) > JWT_MAX_LEN);
	refuse("too long", token, strlen(token), LONG);
	free(token);
}

/* As deep as 8 KiB allow, JSON neither hurts nor counts as a header. */
static void
test_nested(void **state)
{
	char deep[5000], *token;

	(void)state;
	memset(deep, '[', sizeof(deep));
	token = test_key_token(key, deep, sizeof(deep), T(P));
	refuse("nested header", token, strlen(token), HEADER);
	free(token);
	token = test_key_token(key, T(H), deep, sizeof(deep));
	refuse("nested payload", token, strlen(token), PAYLOAD);
	free(token);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_texts),
		cmocka_unit_test(test_forms),
		cmocka_unit_test(test_cut),
		cmocka_unit_test(test_changed),
		cmocka_unit_test(test_not_canonical),
		cmocka_unit_test(test_standard_alphabet),
		cmocka_unit_test(test_other_signer),
		cmocka_unit_test(test_key_confusion),
		cmocka_unit_test(test_made_up_signatures),
		cmocka_unit_test(test_size),
		cmocka_unit_test(test_nested),
	};

	return (cmocka_run_group_tests_name("jwt_hostile", tests, setup,
	    teardown));
}
