#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>
#include <openssl/pem.h>

#include "google_credentials.h"

#include "google_files.h"
#include "test_key.h"
#include "unit.h"

/* The credentials ${json}, taken over, must be refused as ${says}. */
static void
check_refused(json_t *json, const char *says, const char *name)
{

	ASSERT_ROW(find(json) == NULL, name);
	check_why(says, name);
	check_why(file, name);
}

/* The environment's quota project goes before the file's. */
static void
test_quota_and_universe(void **state)
{
	struct google_credentials *c;
	json_t *json = user(NULL), *inner = account(NULL);
	int i;

	(void)state;
	c = find_good(json_incref(json));
	assert_null(google_credentials_quota_project(c));
	assert_string_equal(google_credentials_universe(c), "googleapis.com");
	google_credentials_free(c);

	/* Neither null nor the empty text is one. */
	(void)json_object_set_new(json, "quota_project_id", json_null());
	(void)json_object_set_new(json, "universe_domain", json_null());
	for (i = 0; i < 2; i++) {
		c = find_good(json_incref(json));
		assert_null(google_credentials_quota_project(c));
		assert_string_equal(google_credentials_universe(c),
		    "googleapis.com");
		google_credentials_free(c);
		(void)json_object_set_new(json, "quota_project_id",
		    json_string(""));
		(void)json_object_set_new(json, "universe_domain",
		    json_string(""));
	}

	(void)json_object_set_new(json, "quota_project_id",
	    json_string("file-project"));
	(void)json_object_set_new(json, "universe_domain",
	    json_string("example.com"));
	c = find_good(json);
	assert_string_equal(google_credentials_quota_project(c),
	    "file-project");
	assert_string_equal(google_credentials_universe(c), "example.com");
	conf.quota_project = "env-project";
	assert_string_equal(google_credentials_quota_project(c),
	    "env-project");
	conf.quota_project = NULL;
	google_credentials_free(c);

	/* Those of a source are its own. */
	(void)json_object_set_new(inner, "quota_project_id",
	    json_string("inner-project"));
	c = find_good(impersonated("https://iam.example.com/x", inner));
	assert_null(google_credentials_quota_project(c));
	google_credentials_free(c);
	google_credentials_free(NULL);
}

/* The group is the owner's choice; "others" are not. */
static void
test_modes(void **state)
{
	static const struct {
		mode_t mode;
		int good;	/* 1: any file, 0: what has no secret */
	} rows[] = {
		{ 0600, 1 }, { 0400, 1 }, { 0640, 1 }, { 0660, 1 },
		{ 0701, 1 }, { 0604, 0 }, { 0644, 0 }, { 0664, 0 },
		{ 0602, -1 }, { 0606, -1 }, { 0666, -1 }, { 0777, -1 },
	};
	static const char source[] = "{\"url\":\"http://127.0.0.1/\"}";
	json_t *jsons[] = { account(NULL), user(NULL),
	    impersonated("https://iam.example.com/x", user(NULL)),
	    external("https://sts.example.com/", source),
	    external("https://sts.example.com/", source),
	    impersonated("https://iam.example.com/x",
	    external("https://sts.example.com/", source)) };
	struct google_credentials *c;
	char fix[128], name[32];
	size_t i, j;
	int good;

	(void)state;
	(void)snprintf(fix, sizeof(fix), "chmod o-rwx %s", file);
	(void)json_object_set_new(jsons[3], "client_id", json_string("id"));
	(void)json_object_set_new(jsons[3], "client_secret",
	    json_string(SECRET));
	for (i = 0; i < NITEMS(jsons); i++) {
		google_credentials_free(find_good(json_incref(jsons[i])));
		for (j = 0; j < NITEMS(rows); j++) {
			(void)snprintf(name, sizeof(name), "file %zu, %o", i,
			    rows[j].mode);
			good = rows[j].good + (i > 3) > 0;
			assert_int_equal(chmod(file, rows[j].mode), 0);
			c = google_credentials_find(&conf, why, sizeof(why));
			ASSERT_ROW((c != NULL) == good, name);
			if (c == NULL)
				check_why(fix, name);
			google_credentials_free(c);
		}
		json_decref(jsons[i]);
	}
}

/* A file of the type that ${i} counts, and what it cannot do without. */
static json_t *
base(size_t i)
{

	switch (i) {
	case 0:
		return (account(NULL));
	case 1:
		return (user(NULL));
	case 2:
		return (impersonated("https://iam.example.com/x",
		    user(NULL)));
	default:
		return (external("https://sts.example.com/token",
		    "{\"url\":\"http://169.254.169.254/token\"}"));
	}
}

static const char *const required[][4] = {
	{ "client_email", "private_key_id", "private_key" },
	{ "client_id", "client_secret", "refresh_token" },
	{ "service_account_impersonation_url", "source_credentials" },
	{ "audience", "subject_token_type", "token_url",
	    "credential_source" },
};

/* Each required member: missing, and of each type that is wrong. */
static void
test_required(void **state)
{
	static const char *const values[] = { "null", "1", "true",
	    "[\"" SECRET "\"]", "{\"" SECRET "\":1}", "\"" SECRET "\"" };
	json_t *json;
	size_t i, j, k;

	(void)state;
	for (i = 0; i < NITEMS(required); i++) {
		google_credentials_free(find_good(base(i)));
		for (j = 0; j < 4 && required[i][j] != NULL; j++) {
			json = base(i);
			(void)json_object_del(json, required[i][j]);
			check_refused(json, required[i][j], required[i][j]);

			/* A text is wrong only where an object is wanted. */
			for (k = 0; k < NITEMS(values) - (strstr(
			    required[i][j], "source") == NULL); k++) {
				json = base(i);
				(void)json_object_set_new(json, required[i][j],
				    json_loads(values[k], JSON_DECODE_ANY,
				    NULL));
				/* An object for a source has no type. */
				check_refused(json, k == 4 && i == 2 &&
				    j == 1 ? "type" : required[i][j],
				    values[k]);
			}
		}
	}
}

/* Secrets go to https, or to this machine; so does each URL in a file. */
static void
test_urls(void **state)
{
	static const struct {
		const char *url;
		int good;
	} rows[] = {
		{ "https://example.com/token", 1 },
		{ "HTTPS://example.com", 1 },
		{ "http://127.0.0.1:1/token", 1 },
		{ "http://localhost/token", 1 },
		{ "http://[::1]:1/token", 1 },
		{ "http://example.com/token", 0 },
		{ "http://127.0.0.1.example.com/", 0 },
		{ "http://localhost.example.com/", 0 },
		{ "http://127.0.0.1@example.com/", 0 },
		{ "http://10.0.0.1/token", 0 },
		{ "http://0.0.0.0/token", 0 },
		{ "http://[::]/token", 0 },
		{ "https://" SECRET "@example.com/token", 0 },
		{ "https://a:" SECRET "@example.com/token", 0 },
		{ "https://example.com/token#x", 0 },
		{ "https://example.com/to ken", 0 },
		{ "https://example.com/token\n", 0 },
		{ " https://example.com/token", 0 },
		{ "https:///token", 0 },
		{ "https://", 0 },
		{ "ftp://example.com/token", 0 },
		{ "file:///etc/passwd", 0 },
		{ "//example.com/token", 0 },
		{ "example.com", 0 },
		{ "", 0 },
	};
	static const char *const members[] = { "token_uri", "token_uri",
	    "service_account_impersonation_url", "token_url" };
	json_t *json;
	size_t i, j;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		for (j = 0; j <= NITEMS(members); j++) {
			/* The last: the optional one of external_account. */
			const char *name = members[j < 4 ? j : 2];

			json = base(j < 4 ? j : 3);
			(void)json_object_set_new(json, name,
			    json_string(rows[i].url));
			if (rows[i].good)
				google_credentials_free(find_good(json));
			else
				check_refused(json, name, rows[i].url);
		}
	}

	/* A member that may be left out must be right if it is there. */
	json = base(0);
	(void)json_object_set_new(json, "token_uri", json_integer(1));
	check_refused(json, "token_uri", "number");
	json = base(3);
	(void)json_object_set_new(json, "service_account_impersonation_url",
	    json_true());
	check_refused(json, "service_account_impersonation_url", "true");

	/* With null it is not there. */
	json = base(1);
	(void)json_object_set_new(json, "token_uri", json_null());
	google_credentials_free(find_good(json));
	json = base(3);
	(void)json_object_set_new(json, "service_account_impersonation_url",
	    json_null());
	google_credentials_free(find_good(json));
}

/* What goes into a header or a host's name is what it is called. */
static void
test_names(void **state)
{
	static const char *const names[] = { "quota_project_id",
	    "universe_domain" };
	static const char *const bad[] = { "1", "true", "[]", "\"a b\"",
	    "\"a/b\"", "\"a\\nb\"" };
	json_t *json;
	size_t i, j;

	(void)state;
	for (i = 0; i < NITEMS(names); i++) {
		for (j = 0; j < NITEMS(bad); j++) {
			json = base(0);
			(void)json_object_set_new(json, names[i],
			    json_loads(bad[j], JSON_DECODE_ANY, NULL));
			check_refused(json, names[i], bad[j]);
		}
	}
}

static void
test_sources(void **state)
{
	static const char *const bad[] = { "{}", "{\"file\":1}",
	    "{\"url\":1}", ("{\"url\":\"" SECRET "\"}"), "{\"url\":\"\"}",
	    "{\"url\":\"file:///etc/passwd\"}",
	    "{\"executable\":{\"command\":\"/bin/true\"}}",
	    "{\"certificate\":{}}" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(bad); i++)
		check_refused(external("https://sts.example.com/", bad[i]),
		    "credential_source must have a file or a url", bad[i]);
	check_refused(external("https://sts.example.com/", "{\"url\":"
	    "\"http://127.0.0.1/\",\"environment_id\":\"aws1\"}"), "AWS",
	    "aws");
}

/* ${key}, taken over, as PEM of PKCS #8; encrypted if ${cipher} is set. */
static char *
pem_of(EVP_PKEY *key, const EVP_CIPHER *cipher, int public)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *data;
	long len;

	assert_non_null(key);
	assert_non_null(bio);
	if (public)
		assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
	else
		assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key,
		    cipher, cipher != NULL ? "pass" : NULL,
		    cipher != NULL ? 4 : 0, NULL, NULL), 1);
	len = BIO_get_mem_data(bio, &data);
	assert_non_null(text = strndup(data, (size_t)len));
	BIO_free(bio);
	EVP_PKEY_free(key);
	return (text);
}

/* A key is RSA, private and not encrypted. */
static void
test_keys(void **state)
{
	char *texts[6], *cut = strdup(TEST_KEY_PEM);
	json_t *json;
	size_t i;

	(void)state;
	assert_non_null(cut);
	cut[strlen(cut) / 2] = '\0';
	texts[0] = pem_of(test_key(), EVP_aes_256_cbc(), 0);
	texts[1] = pem_of(EVP_EC_gen("P-256"), NULL, 0);
	texts[2] = pem_of(EVP_PKEY_Q_keygen(NULL, NULL, "ED25519"), NULL, 0);
	texts[3] = pem_of(test_key(), NULL, 1);
	texts[4] = cut;
	texts[5] = strdup("");
	for (i = 0; i < NITEMS(texts); i++) {
		json = account(NULL);
		(void)json_object_set_new(json, "private_key",
		    json_string(texts[i]));
		check_refused(json, "not an unencrypted RSA key", texts[i]);
		free(texts[i]);
	}
}

/* Files that are no object of unique names with a type that is known. */
static void
test_files(void **state)
{
	static const char *const types[] = { "", "Service_Account",
	    "external_account_authorized_user", "gdch_service_account",
	    "service_account ", "impersonated" };
	struct google_credentials *c;
	json_t *json;
	char *text, *twice, *longest;
	size_t i, len;

	(void)state;
	for (i = 0; i < NITEMS(types); i++) {
		json = account(NULL);
		(void)json_object_set_new(json, "type",
		    json_string(types[i]));
		check_refused(json, "is not supported", types[i]);
	}

	/* A name that is there twice, also further inside. */
	for (i = 0; i < 2; i++) {
		json = base(2);
		text = json_dumps(json, 0);
		json_decref(json);
		assert_true(asprintf(&twice, i == 0 ? "{\"type\": 1, %s" :
		    "{\"x\": {\"y\": 1, \"y\": 2}, %s", text + 1) > 0);
		write_text(file, twice);
		assert_null(google_credentials_find(&conf, why, sizeof(why)));
		check_why("JSON object", twice);
		free(twice);
		free(text);
	}

	/* Credentials in credentials: so deep, and no deeper. */
	json = impersonated("https://a.example.com/", base(2));
	google_credentials_free(find_good(json_incref(json)));
	check_refused(impersonated("https://b.example.com/", json),
	    "nested too deep", "deep");
	json = impersonated("https://a.example.com/", json_pack("{s:s}",
	    "type", "other"));
	check_refused(json, "type other", "source");

	/* As long as it may be, and one byte more. */
	json = account(NULL);
	text = json_dumps(json, 0);
	json_decref(json);
	len = strlen(text);
	longest = malloc(65538);
	assert_non_null(longest);
	memset(longest, ' ', 65537);
	memcpy(longest, text, len);
	free(text);
	text = longest;
	text[65536] = '\0';
	write_text(file, text);
	c = google_credentials_find(&conf, why, sizeof(why));
	assert_non_null(c);
	google_credentials_free(c);
	text[65536] = ' ';
	text[65537] = '\0';
	write_text(file, text);
	assert_null(google_credentials_find(&conf, why, sizeof(why)));
	check_why("too long", "65537 bytes");
	free(text);
}

/* What is no regular file is refused, and not waited for. */
static void
test_odd_files(void **state)
{
	struct google_credentials *c;
	char path[256];

	(void)state;
	google_credentials_free(find_good(account(NULL)));
	conf.application_credentials = path;
	(void)snprintf(path, sizeof(path), "%s/odd", dir);
	assert_int_equal(symlink(file, path), 0);
	c = google_credentials_find(&conf, why, sizeof(why));
	assert_non_null(c);
	google_credentials_free(c);

	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	(void)alarm(5);
	assert_null(google_credentials_find(&conf, why, sizeof(why)));
	(void)alarm(0);
	check_why("it is not a regular file", "fifo");
	check_why(path, "fifo");

	assert_int_equal(unlink(path), 0);
	(void)snprintf(path, sizeof(path), "%s", dir);
	assert_null(google_credentials_find(&conf, why, sizeof(why)));
	check_why("it is not a regular file", "folder");
	conf.application_credentials = file;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_quota_and_universe),
		cmocka_unit_test(test_modes),
		cmocka_unit_test(test_required),
		cmocka_unit_test(test_urls),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_files),
		cmocka_unit_test(test_odd_files),
	};

	return (cmocka_run_group_tests_name("google_credentials", tests, setup,
	    teardown));
}
