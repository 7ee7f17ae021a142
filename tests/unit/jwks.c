#include <string.h>

#include "config.h"
#include "jwks.h"
#include "log.h"
#include "shared_document.h"

#include "scripted_server.h"
#include "test_key.h"
#include "unit.h"

#define KEY	"\"kty\":\"RSA\",\"n\":\"" TEST_KEY_N "\",\"e\":\"AQAB\""
#define E(e)	"{\"kty\":\"RSA\",\"n\":\"" TEST_KEY_N "\",\"e\":" e "}"
#define N(n)	"{\"kty\":\"RSA\",\"n\":" n ",\"e\":\"AQAB\"}"

static const struct {
	const char *name;
	const char *jwk;
	int good;
} keys[] = {
	{ "bare", "{" KEY "}", 1 },
	{ "as Google has it", "{" KEY ",\"use\":\"sig\",\"alg\":\"RS256\","
	    "\"kid\":\"k\"}", 1 },
	{ "unknown member", "{" KEY ",\"x5t\":\"abc\"}", 1 },
	{ "e = 3", E("\"Aw\""), 1 },
	{ "leading zero byte in e", E("\"AAEAAQ\""), 1 },

	{ "kty EC", "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"AQAB\","
	    "\"y\":\"AQAB\"}", 0 },
	{ "kty EC on an RSA key", "{\"kty\":\"EC\",\"n\":\"" TEST_KEY_N
	    "\",\"e\":\"AQAB\"}", 0 },
	{ "kty oct", "{\"kty\":\"oct\",\"k\":\"AQAB\"}", 0 },
	{ "kty in lower case", "{\"kty\":\"rsa\",\"n\":\"" TEST_KEY_N
	    "\",\"e\":\"AQAB\"}", 0 },
	{ "no kty", "{\"n\":\"" TEST_KEY_N "\",\"e\":\"AQAB\"}", 0 },
	{ "kty a number", "{\"kty\":1,\"n\":\"" TEST_KEY_N
	    "\",\"e\":\"AQAB\"}", 0 },
	{ "use enc", "{" KEY ",\"use\":\"enc\"}", 0 },
	{ "use null", "{" KEY ",\"use\":null}", 0 },
	{ "use an array", "{" KEY ",\"use\":[\"sig\"]}", 0 },
	{ "key_ops verify", "{" KEY ",\"key_ops\":[\"verify\"]}", 1 },
	{ "key_ops and more", "{" KEY ",\"key_ops\":[1,\"verify\"]}", 1 },
	{ "key_ops sign", "{" KEY ",\"key_ops\":[\"sign\"]}", 0 },
	{ "key_ops empty", "{" KEY ",\"key_ops\":[]}", 0 },
	{ "key_ops a text", "{" KEY ",\"key_ops\":\"verify\"}", 0 },
	{ "alg RS512", "{" KEY ",\"alg\":\"RS512\"}", 0 },
	{ "alg PS256", "{" KEY ",\"alg\":\"PS256\"}", 0 },
	{ "alg none", "{" KEY ",\"alg\":\"none\"}", 0 },
	{ "alg a number", "{" KEY ",\"alg\":256}", 0 },

	{ "e = 1", E("\"AQ\""), 0 },
	{ "e = 0", E("\"AA\""), 0 },
	{ "e = 2", E("\"Ag\""), 0 },
	{ "e even", E("\"AQAA\""), 0 },
	{ "e empty", E("\"\""), 0 },
	{ "e longer than 64 bits", E("\"AQAAAAAAAAAB\""), 0 },
	{ "e a number", E("65537"), 0 },
	{ "e null", E("null"), 0 },
	{ "no e", "{\"kty\":\"RSA\",\"n\":\"" TEST_KEY_N "\"}", 0 },
	{ "e padded", E("\"AQAB====\""), 0 },
	{ "e standard base64", E("\"/////w==\""), 0 },
	{ "e non-canonical", E("\"AR\""), 0 },

	{ "no n", "{\"kty\":\"RSA\",\"e\":\"AQAB\"}", 0 },
	{ "n empty", N("\"\""), 0 },
	{ "n a number", N("1"), 0 },
	{ "n padded", N("\"" TEST_KEY_N "==\""), 0 },
	{ "n not base64", N("\"" TEST_KEY_N " \""), 0 },
	{ "n = 0", N("\"AA\""), 0 },
	{ "empty object", "{}", 0 },
	{ "a string", "\"RSA\"", 0 },
	{ "an array", "[]", 0 },
	{ "null", "null", 0 },
};

static void
test_parse_key(void **state)
{
	EVP_PKEY *key;
	json_t *jwk;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(keys); i++) {
		jwk = json_loads(keys[i].jwk, JSON_DECODE_ANY, NULL);
		ASSERT_ROW(jwk != NULL, keys[i].name);
		key = jwks_parse_key(jwk);
		ASSERT_ROW((key != NULL) == keys[i].good, keys[i].name);
		EVP_PKEY_free(key);
		json_decref(jwk);
	}
}

/* A modulus of ${bits} bits, all of them set or, if ${even}, but the last. */
static int
takes_modulus(int bits, int even)
{
	unsigned char bytes[4096];
	size_t len = (size_t)(bits + 7) / 8;
	EVP_PKEY *key;
	json_t *jwk;
	char *n;

	assert_true(len <= sizeof(bytes));
	memset(bytes, 0xff, len);
	if (bits % 8 != 0)
		bytes[0] = (unsigned char)((1 << bits % 8) - 1);
	if (even)
		bytes[len - 1] &= 0xfe;
	n = base64url_encode(bytes, len);
	assert_non_null(n);
	jwk = json_pack("{s:s, s:s, s:s}", "kty", "RSA", "n", n, "e", "AQAB");
	assert_non_null(jwk);
	key = jwks_parse_key(jwk);
	if (key != NULL)
		assert_int_equal(EVP_PKEY_get_bits(key), bits);
	json_decref(jwk);
	free(n);
	EVP_PKEY_free(key);
	return (key != NULL);
}

static void
test_modulus_sizes(void **state)
{

	(void)state;
	assert_false(takes_modulus(8, 0));
	assert_false(takes_modulus(512, 0));
	assert_false(takes_modulus(1024, 0));
	assert_false(takes_modulus(2040, 0));
	assert_false(takes_modulus(2047, 0));
	assert_true(takes_modulus(2048, 0));
	assert_true(takes_modulus(4096, 0));
	assert_true(takes_modulus(8192, 0));
	assert_false(takes_modulus(8193, 0));
	assert_false(takes_modulus(16384, 0));
	assert_false(takes_modulus(32768, 0));
	assert_false(takes_modulus(2048, 1));
}

/* The key that comes out is the one that went in. */
static void
test_same_key(void **state)
{
	json_t *jwk = json_loads("{" KEY "}", 0, NULL);
	EVP_PKEY *public = jwks_parse_key(jwk), *private = test_key();

	(void)state;
	assert_non_null(public);
	assert_int_equal(EVP_PKEY_eq(public, private), 1);
	EVP_PKEY_free(private);
	EVP_PKEY_free(public);
	json_decref(jwk);
}

static void
test_max_age(void **state)
{
	static const struct {
		const char *value;
		time_t want;
	} rows[] = {
		{ NULL, 3600 },
		{ "", 3600 },
		{ "no-store", 3600 },
		{ "public, max-age=19877, must-revalidate", 19877 },
		{ "max-age=19877", 19877 },
		{ "Max-Age=19877", 19877 },
		{ "public,max-age=300", 300 },
		{ "\tpublic ,\t max-age=300", 300 },
		{ "max-age=0", 60 },
		{ "max-age=59", 60 },
		{ "max-age=60", 60 },
		{ "max-age=61", 61 },
		{ "max-age=86400", 86400 },
		{ "max-age=86401", 86400 },
		{ "max-age=99999999999999999999999", 86400 },
		{ "max-age=-1", 3600 },
		{ "max-age=", 3600 },
		{ "max-age", 3600 },
		{ "max-age=x", 3600 },
		{ "max-age=\"300\"", 3600 },
		{ "s-maxage=300", 3600 },
		{ "x-max-age=300", 3600 },
		{ ",,,", 3600 },
		{ ",, max-age=300", 300 },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++)
		ASSERT_ROW(jwks_max_age(rows[i].value) == rows[i].want,
		    rows[i].value != NULL ? rows[i].value : "NULL");
}

#define HEAD	"HTTP/1.1 200 OK\r\nConnection: close\r\n" \
    "Cache-Control: public, max-age=600\r\n\r\n"
#define SET_OF(kid) \
    "{\"keys\":[{\"kid\":\"ec\",\"kty\":\"EC\"}," \
    "{\"kid\":\"" kid "\"," KEY ",\"alg\":\"RS256\",\"use\":\"sig\"}]}"
#define DOWN	"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n" \
    "Content-Length: 0\r\n\r\n"

/* A worker's view of the keys that a scripted server has. */
struct view {
	struct scripted_server *server;
	struct config conf;
	struct shared_document *shared;
	struct jwks *jwks;
	char url[64];
};

static void
view_open(struct view *v, struct scripted_server *server)
{
	static const struct config empty;

	/* Warnings of failed fetches are expected, and not shown. */
	log_init(NULL, LOG_ERROR, 0);
	v->server = server;
	v->conf = empty;
	v->conf.oidc_jwks_url = scripted_server_url(server, "/certs", v->url,
	    sizeof(v->url));
	v->shared = jwks_shared();
	assert_non_null(v->shared);
	v->jwks = jwks_new(&v->conf, v->shared);
	assert_non_null(v->jwks);
}

/* Close; the server must have been asked ${requests} times. */
static void
view_close(struct view *v, int requests)
{

	jwks_free(v->jwks);
	shared_document_free(v->shared);
	assert_int_equal(scripted_server_stop(v->server), requests);
	scripted_server_free(v->server);
}

static enum jwks_outcome
look(struct view *v, const char *kid, time_t now)
{
	EVP_PKEY *key = NULL;
	enum jwks_outcome outcome = jwks_key(v->jwks, kid, now, &key);

	if (outcome == JWKS_FOUND)
		assert_int_equal(EVP_PKEY_get_bits(key), 2048);
	return (outcome);
}

/* Fetched once, for as long as the server said, and for all workers. */
static void
test_kept(void **state)
{
	struct jwks *other;
	struct view v;
	EVP_PKEY *key;

	(void)state;
	view_open(&v, scripted_server_start(SCRIPT(HEAD SET_OF("a"),
	    HEAD SET_OF("b"), HEAD SET_OF("b"))));
	assert_int_equal(look(&v, "a", 1000), JWKS_FOUND);
	assert_int_equal(look(&v, "a", 1599), JWKS_FOUND);
	other = jwks_new(&v.conf, v.shared);
	assert_non_null(other);
	assert_int_equal(jwks_key(other, "a", 1599, &key), JWKS_FOUND);
	jwks_free(other);
	assert_int_equal(v.server->nrequests, 1);
	assert_memory_equal(v.server->requests[0], "GET /certs HTTP/1.1\r\n",
	    21);

	/* At its end it is fetched again. */
	assert_int_equal(look(&v, "b", 1600), JWKS_FOUND);
	assert_int_equal(look(&v, "a", 1600), JWKS_UNKNOWN);
	view_close(&v, 3);
}

/* An unknown key causes a refresh, but not one after another. */
static void
test_unknown_kid(void **state)
{
	struct view v;

	(void)state;
	view_open(&v, scripted_server_start(SCRIPT(HEAD SET_OF("a"),
	    HEAD SET_OF("a"), DOWN, HEAD SET_OF("b"))));
	assert_int_equal(look(&v, "a", 1000), JWKS_FOUND);
	assert_int_equal(look(&v, "b", 1001), JWKS_UNKNOWN);
	assert_int_equal(look(&v, "c", 1002), JWKS_UNKNOWN);
	assert_int_equal(look(&v, "", 1005), JWKS_UNKNOWN);
	assert_int_equal(v.server->nrequests, 2);

	/* Where they cannot be fetched nobody knows; and then somebody does. */
	assert_int_equal(look(&v, "b", 1006), JWKS_UNAVAILABLE);
	assert_int_equal(look(&v, "a", 1006), JWKS_FOUND);
	assert_int_equal(look(&v, "b", 1011), JWKS_FOUND);
	view_close(&v, 4);
}

/* The keys are fetched again for a token that they do not verify. */
static void
test_refresh(void **state)
{
	struct jwks *other;
	struct view v;

	(void)state;
	view_open(&v, scripted_server_start(SCRIPT(HEAD SET_OF("a"),
	    HEAD SET_OF("a"), DOWN)));
	other = jwks_new(&v.conf, v.shared);
	assert_non_null(other);
	assert_int_equal(look(&v, "a", 1000), JWKS_FOUND);
	assert_int_equal(jwks_refresh(v.jwks, 1001), JWKS_FOUND);
	assert_int_equal(jwks_refresh(v.jwks, 1005), JWKS_UNKNOWN);
	assert_int_equal(v.server->nrequests, 2);

	/* Another worker did it. */
	assert_int_equal(jwks_refresh(other, 1005), JWKS_FOUND);
	jwks_free(other);
	assert_int_equal(jwks_refresh(v.jwks, 1006), JWKS_UNAVAILABLE);
	assert_int_equal(look(&v, "a", 1006), JWKS_FOUND);
	view_close(&v, 3);
}

/* While nothing can be fetched old keys are good; without any, none is. */
static void
test_unavailable(void **state)
{
	struct view v;

	(void)state;
	view_open(&v, scripted_server_start(SCRIPT(DOWN, HEAD SET_OF("a"),
	    DOWN)));
	assert_int_equal(look(&v, "a", 1000), JWKS_UNAVAILABLE);
	assert_int_equal(look(&v, "a", 1004), JWKS_UNAVAILABLE);
	assert_int_equal(look(&v, "a", 1005), JWKS_FOUND);
	assert_int_equal(look(&v, "a", 1605), JWKS_FOUND);
	view_close(&v, 3);
}

/* Answers without a key that could be used do not replace one that has. */
static void
test_bad_documents(void **state)
{
	static const char *const bad[] = {
	    HEAD "", HEAD "<html>", HEAD "[]", HEAD "{}", HEAD "{\"keys\":[]}",
	    HEAD "{\"keys\":{}}", HEAD "{\"keys\":[1,null,{}]}",
	    HEAD "{\"keys\":[{\"kid\":\"x\",\"kty\":\"EC\"}]}",
	    HEAD "{\"keys\":[{" KEY "}]}",
	    HEAD "{\"keys\":[{\"kid\":1," KEY "}]}",
	    HEAD SET_OF("x") "x",
	    HEAD "{\"keys\":[],\"keys\":[{\"kid\":\"x\"," KEY "}]}",
	    "HTTP/1.1 500 Error\r\nConnection: close\r\n\r\n" SET_OF("x"),
	    "HTTP/1.1 302 Found\r\nConnection: close\r\n"
	    "Location: /x\r\n\r\n" SET_OF("x"),
	};
	struct view v;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(bad); i++) {
		view_open(&v, scripted_server_start(SCRIPT(HEAD SET_OF("a"),
		    bad[i])));
		ASSERT_ROW(look(&v, "a", 1000) == JWKS_FOUND, bad[i]);
		ASSERT_ROW(look(&v, "x", 1700) == JWKS_UNAVAILABLE, bad[i]);
		ASSERT_ROW(look(&v, "a", 1700) == JWKS_FOUND, bad[i]);
		(void)scripted_server_stop(v.server);
		jwks_free(v.jwks);
		shared_document_free(v.shared);
		scripted_server_free(v.server);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse_key),
		cmocka_unit_test(test_modulus_sizes),
		cmocka_unit_test(test_same_key),
		cmocka_unit_test(test_max_age),
		cmocka_unit_test(test_kept),
		cmocka_unit_test(test_unknown_kid),
		cmocka_unit_test(test_refresh),
		cmocka_unit_test(test_unavailable),
		cmocka_unit_test(test_bad_documents),
	};

	return (cmocka_run_group_tests_name("jwks", tests, NULL, NULL));
}
