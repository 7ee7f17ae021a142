#include <sys/stat.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "google_token.h"
#include "jwt.h"

#include "google_files.h"
#include "scripted_server.h"
#include "test_key.h"
#include "unit.h"

#define NOW	1800000000
#define SCOPE	"https://www.googleapis.com/auth/cloud-platform"

/*
 * The token of ACCOUNT at NOW for an hour, signed with the test key by the
 * openssl program.
 */
static const char golden[] =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3Qta2V5In0.eyJp"
    "c3MiOiJzY2hlZHVsZXJAZXhhbXBsZS1wcm9qZWN0LmlhbS5nc2VydmljZWFjY291"
    "bnQuY29tIiwic3ViIjoic2NoZWR1bGVyQGV4YW1wbGUtcHJvamVjdC5pYW0uZ3Nl"
    "cnZpY2VhY2NvdW50LmNvbSIsInNjb3BlIjoiaHR0cHM6Ly93d3cuZ29vZ2xlYXBp"
    "cy5jb20vYXV0aC9jbG91ZC1wbGF0Zm9ybSIsImlhdCI6MTgwMDAwMDAwMCwiZXhw"
    "IjoxODAwMDAzNjAwfQ.fLMvA3CVVmoPdmWFoTRS8A8w2GS34W2AhTPCyTbaM3_a8"
    "zw8VnWInPQHRYhLwxfzUT9bbiXhN8wN4m1UQ9a2dZB3zzmAfZc7FNMYChUkoMyQL"
    "9f_zvt1L4ThgKRNDM-P69XDUsKczyn8P2VgBJv3LpzQX94KE6lYDDHDW5dOStunZ"
    "uWTGB36yuiPBSqJ9BZEVScWoUYLo7Tg_Sv15_v9Z_00upjLKnyGd-HzSXYfXOOCJ"
    "GauuM_48okqfXsOMy-QADpJ7Qq31fdlcBvqwOv5ajhFZk0xzY7jqWOEIODPZzZUx"
    "S_DEv8MUkV6AHsXvJf-LDiwArEzvh8ToSqZzqMiBw";

/* Fetch a token of ${json}, taken over: it must be ${text}. */
static void
check_token(json_t *json, const char *text, time_t expires)
{
	struct google_credentials *c = find_good(json);
	struct google_token token;

	if (google_token_fetch(c, http, NOW, &token, why,
	    sizeof(why)) != 0)
		fail_msg("no token: %s", why);
	assert_string_equal(token.text, text);
	assert_int_equal(token.expires, expires);
	google_token_clear(&token);
	assert_null(token.text);
	google_token_clear(&token);
	google_credentials_free(c);
}

/* Fetch one of ${json}, taken over: there must be none. */
static void
check_no_token(json_t *json, const char *says, const char *name)
{
	struct google_credentials *c = find_good(json);
	struct google_token token = { 0 };

	ASSERT_ROW(google_token_fetch(c, http, NOW, &token, why,
	    sizeof(why)) == -1, name);
	ASSERT_ROW(token.text == NULL, name);
	check_why(says, name);
	google_credentials_free(c);
}

/*
 * A server, and what it was asked.
 */
#define ANSWER(head, body) \
    "HTTP/1.1 " head "\r\nConnection: close\r\n\r\n" body
#define TOKEN(name)	ANSWER("200 OK", \
    "{\"access_token\":\"" name "\",\"expires_in\":1800}")
#define FINAL	ANSWER("200 OK", "{\"accessToken\":\"final\"," \
    "\"expireTime\":\"2027-01-15T08:45:00Z\"}")
#define FINAL_EXPIRES	1800002700

static struct scripted_server *server;
static char token_url[64], iam_url[64], subject_url[64];

static void
serve(const char *const *answers)
{

	server = scripted_server_start(answers);
	(void)scripted_server_url(server, "/token", token_url,
	    sizeof(token_url));
	(void)scripted_server_url(server, "/sa:generateAccessToken", iam_url,
	    sizeof(iam_url));
	(void)scripted_server_url(server, "/subject", subject_url,
	    sizeof(subject_url));
}

static void
served(int requests)
{

	assert_int_equal(scripted_server_stop(server), requests);
	scripted_server_free(server);
}

/* Request ${i} must begin with ${line} and have the body ${body}. */
static void
check_asked(int i, const char *line, const char *body)
{
	const char *got = server->requests[i];

	if (strncmp(got, line, strlen(line)) != 0)
		fail_msg("not %s: %s", line, got);
	got = strstr(got, "\r\n\r\n");
	assert_non_null(got);
	assert_string_equal(got + 4, body);
}

static void
check_header(int i, const char *header)
{
	char line[2048];

	(void)snprintf(line, sizeof(line), "\r\n%s\r\n", header);
	assert_non_null(strstr(server->requests[i], line));
}

#define IMPERSONATION	"{\"delegates\":[" \
    "\"projects/-/serviceAccounts/a@example.com\"," \
    "\"projects/-/serviceAccounts/b@example.com\"]," \
    "\"scope\":[\"" SCOPE "\"],\"lifetime\":\"3600s\"}"

/* Request ${i} must be for impersonation, with the token ${bearer}. */
static void
check_impersonated(int i, const char *bearer, const char *body)
{
	char header[1024];

	check_asked(i, "POST /sa:generateAccessToken HTTP/1.1\r\n", body);
	check_header(i, "Content-Type: application/json");
	(void)snprintf(header, sizeof(header), "Authorization: Bearer %s",
	    bearer);
	check_header(i, header);
}

/* Google's own token_uri is as good as none: nobody is asked. */
static void
test_self_signed(void **state)
{

	(void)state;
	check_token(account(NULL), golden, NOW + 3600);
	check_token(account("https://oauth2.googleapis.com/token"), golden,
	    NOW + 3600);
	check_token(account("https://accounts.google.com/o/oauth2/token"),
	    golden, NOW + 3600);
}

/* The assertion is for whoever exchanges it. */
static void
test_exchange(void **state)
{
	static const char form[] = "\r\n\r\ngrant_type=urn%3Aietf%3Aparams"
	    "%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=";
	json_t *claims, *want;
	EVP_PKEY *key = test_key();
	const char *text, *problem;
	struct jwt *jwt;

	(void)state;
	serve(SCRIPT(TOKEN("exchanged")));
	check_token(account(token_url), "exchanged", NOW + 1800);
	text = strstr(server->requests[0], form);
	assert_non_null(text);
	text += strlen(form);
	jwt = jwt_parse(text, strlen(text), &problem);
	assert_non_null(jwt);
	assert_string_equal(jwt_kid(jwt), TEST_KEY_KID);
	claims = jwt_verify(jwt, key, &problem);
	want = json_pack("{s:s, s:s, s:s, s:s, s:i, s:i}", "iss", ACCOUNT,
	    "sub", ACCOUNT, "scope", SCOPE, "aud", token_url, "iat", NOW,
	    "exp", NOW + 3600);
	assert_true(json_equal(claims, want));
	check_header(0, "Content-Type: application/x-www-form-urlencoded");
	assert_memory_equal(server->requests[0], "POST /token HTTP/1.1\r\n",
	    22);
	json_decref(want);
	json_decref(claims);
	jwt_free(jwt);
	EVP_PKEY_free(key);
	served(1);
}

#define REFRESH	"grant_type=refresh_token&client_id=id&client_secret=" SECRET \
    "&refresh_token=" SECRET "-refresh"

/* Token endpoints that give something else than a token. */
static void
test_malformed_answers(void **state)
{
	static const char *const bodies[] = {
		"{}",
		"{\"expires_in\":3600}",
		"{\"access_token\":null,\"expires_in\":3600}",
		"{\"access_token\":1,\"expires_in\":3600}",
		"{\"access_token\":[\"" SECRET "\"],\"expires_in\":3600}",
		"{\"access_token\":\"" SECRET "\",\"expires_in\":\"\"}",
		"{\"access_token\":\"" SECRET "\",\"expires_in\":\"0\"}",
		"{\"access_token\":\"" SECRET "\",\"expires_in\":\"-5\"}",
		"{\"access_token\":\"" SECRET "\",\"expires_in\":\"1h\"}",
		"{\"access_token\":\"" SECRET "\",\"expires_in\":0}",
		"{\"access_token\":\"" SECRET "\",\"expires_in\":[60]}",
		"{\"access_token\":\"" SECRET "\",\"expires_in\":true}",
		"{\"token\":\"" SECRET "\",\"expires_in\":3600}",
		"{\"access_token\":\"" SECRET "\",\"expires_in\":1,"
		    "\"expires_in\":2}",
		"[\"" SECRET "\"]", "<html>", "",
	};
	char answer[256];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(bodies); i++) {
		(void)snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\n"
		    "Connection: close\r\n\r\n%s", bodies[i]);
		serve(SCRIPT(answer, TOKEN("x")));
		check_no_token(user(token_url), "the token endpoint",
		    bodies[i]);
		check_asked(0, "POST /token HTTP/1.1\r\n", REFRESH);
		served(1);
	}
	serve(SCRIPT(ANSWER("503 No", ""), ANSWER("429 No", ""), TOKEN("x")));
	check_token(user(token_url), "x", NOW + 1800);
	served(3);
	serve(SCRIPT(ANSWER("401 No", SECRET), TOKEN("x")));
	check_no_token(user(token_url), "status 401", "401");
	served(1);
}

/* A lifetime is a number, or one as a text; not every giver tells it. */
static void
test_expires_in(void **state)
{
	static const struct {
		const char *member;
		time_t seconds;
	} rows[] = {
		{ ",\"expires_in\":3600", 3600 },
		{ ",\"expires_in\":3600.0", 3600 },
		{ ",\"expires_in\":\"3600\"", 3600 },
		{ ",\"expires_in\":\"99999999999999999999\"", 86400 },
		{ ",\"expires_in\":null", 300 },
		{ "", 300 },
	};
	char answer[256];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\n"
		    "Connection: close\r\n\r\n{\"access_token\":\"x\"%s}",
		    rows[i].member);
		serve(SCRIPT(answer));
		check_token(user(token_url), "x", NOW + rows[i].seconds);
		served(1);
	}
}

/* Only Google's metadata server says that it is. */
static void
test_metadata_flavor(void **state)
{
	static const struct {
		const char *header;
		int good;
	} rows[] = {
		{ "Metadata-Flavor: Google", 1 },
		{ "metadata-flavor: Google", 1 },
		{ "X: y", 0 },
		{ "Metadata-Flavor:", 0 },
		{ "Metadata-Flavor: google", 0 },
		{ "Metadata-Flavor: Google Inc", 0 },
		{ "X-Metadata-Flavor: Google", 0 },
	};
	static char host[1024];
	char answer[256];
	struct google_credentials *c;
	struct google_token token;
	size_t i;

	(void)state;
	conf.application_credentials = NULL;
	conf.cloudsdk_config = dir;
	conf.metadata_host = host;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\n%s"
		    "\r\nConnection: close\r\n\r\n{\"access_token\":\"m\","
		    "\"expires_in\":60}", rows[i].header);
		serve(SCRIPT(answer));
		/* A host of any length. */
		(void)snprintf(host, sizeof(host), "%0900d@127.0.0.1:%d", 0,
		    server->port);
		c = google_credentials_find(&conf, why, sizeof(why));
		assert_non_null(c);
		ASSERT_ROW(google_token_fetch(c, http, NOW, &token, why,
		    sizeof(why)) == (rows[i].good ? 0 : -1), rows[i].header);
		ASSERT_ROW((token.text != NULL) == rows[i].good,
		    rows[i].header);
		if (!rows[i].good)
			check_why("not Google's", rows[i].header);
		google_token_clear(&token);
		google_credentials_free(c);
		check_asked(0, "GET /computeMetadata/v1/instance/"
		    "service-accounts/default/token HTTP/1.1\r\n", "");
		check_header(0, "Metadata-Flavor: Google");
		served(1);
	}
	conf.application_credentials = file;
	conf.cloudsdk_config = NULL;
	conf.metadata_host = NULL;
}

/* Each kind of source is asked as it is by itself, then exchanged. */
static void
test_impersonated_sources(void **state)
{

	(void)state;
	serve(SCRIPT(FINAL));
	check_token(impersonated(iam_url, account(NULL)), "final",
	    FINAL_EXPIRES);
	check_impersonated(0, golden, IMPERSONATION);
	served(1);

	serve(SCRIPT(TOKEN("source"), FINAL));
	check_token(impersonated(iam_url, account(token_url)), "final",
	    FINAL_EXPIRES);
	check_impersonated(1, "source", IMPERSONATION);
	served(2);

	serve(SCRIPT(TOKEN("source"), FINAL));
	check_token(impersonated(iam_url, user(token_url)), "final",
	    FINAL_EXPIRES);
	check_asked(0, "POST /token HTTP/1.1\r\n", REFRESH);
	check_impersonated(1, "source", IMPERSONATION);
	served(2);

	write_text(subject, "subject");
	serve(SCRIPT(TOKEN("source"), FINAL));
	check_token(impersonated(iam_url, external_file(token_url)), "final",
	    FINAL_EXPIRES);
	check_impersonated(1, "source", IMPERSONATION);
	served(2);

	/* Impersonated ones can be a source too. */
	serve(SCRIPT(TOKEN("source"), FINAL, FINAL));
	check_token(impersonated(iam_url, impersonated(iam_url,
	    user(token_url))), "final", FINAL_EXPIRES);
	check_impersonated(1, "source", IMPERSONATION);
	check_impersonated(2, "final", IMPERSONATION);
	served(3);
}

/* No source, no impersonation; and no delegates are an empty list. */
static void
test_impersonation(void **state)
{
	json_t *json;

	(void)state;
	serve(SCRIPT(ANSWER("400 No", ""), FINAL));
	check_no_token(impersonated(iam_url, user(token_url)), "the token "
	    "endpoint gave no token: status 400", "source");
	served(1);

	serve(SCRIPT(FINAL));
	json = impersonated(iam_url, account(NULL));
	(void)json_object_del(json, "delegates");
	check_token(json, "final", FINAL_EXPIRES);
	check_impersonated(0, golden, "{\"delegates\":[],\"scope\":[\"" SCOPE
	    "\"],\"lifetime\":\"3600s\"}");
	served(1);

	serve(SCRIPT(ANSWER("500 No", ""), ANSWER("408 No", ""), FINAL));
	check_token(impersonated(iam_url, account(NULL)), "final",
	    FINAL_EXPIRES);
	served(3);
	serve(SCRIPT(ANSWER("403 No", SECRET), FINAL));
	check_no_token(impersonated(iam_url, account(NULL)), "the service "
	    "that impersonates gave no token: status 403", "403");
	served(1);
}

/* What the service that impersonates says, and when its token ends. */
static void
test_expire_time(void **state)
{
	static const struct {
		const char *members;
		time_t expires;		/* 0: no token; 1: one that has ended */
	} rows[] = {
		{ "\"expireTime\":\"2027-01-15T08:45:00Z\"", 1800002700 },
		{ "\"expireTime\":\"2027-01-15T08:45:00.999999999Z\"",
		    1800002700 },
		{ "\"expireTime\":\"2027-01-15T10:45:00+02:00\"",
		    1800002700 },
		{ "\"expireTime\":\"2027-01-16T08:00:00Z\"", 1800086400 },
		{ "\"expireTime\":\"9999-12-31T23:59:59Z\"", 1800086400 },
		{ "\"expireTime\":\"2027-01-15T08:00:01Z\"", 1800000001 },
		{ "\"expireTime\":\"2027-01-15T08:00:00Z\"", 1 },
		{ "\"expireTime\":\"2014-10-02T15:01:23Z\"", 1 },
		{ "\"x\":1", 0 },
		{ "\"expireTime\":null", 0 },
		{ "\"expireTime\":1800002700", 0 },
		{ "\"expireTime\":\"1800002700\"", 0 },
		{ "\"expireTime\":\"\"", 0 },
		{ "\"expireTime\":\"2027-01-15\"", 0 },
		{ "\"expireTime\":\"2027-01-15T08:45:00\"", 0 },
		{ "\"expireTime\":\"2027-02-29T08:45:00Z\"", 0 },
		{ "\"expiretime\":\"2027-01-15T08:45:00Z\"", 0 },
		{ "\"expireTime\":\"2027-01-15T08:45:00Z\",\"accessToken\":1",
		    0 },
	};
	char answer[256];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\n"
		    "Connection: close\r\n\r\n{%s%s}", rows[i].members,
		    strstr(rows[i].members, "accessToken") != NULL ? "" :
		    ",\"accessToken\":\"" SECRET "\"");
		serve(SCRIPT(answer));
		if (rows[i].expires > 1)
			check_token(impersonated(iam_url, account(NULL)),
			    SECRET, rows[i].expires);
		else
			check_no_token(impersonated(iam_url, account(NULL)),
			    rows[i].expires == 1 ? "is the clock right?" :
			    "without accessToken and expireTime",
			    rows[i].members);
		served(1);
	}
}

#define STS(subject_token) \
    "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Atoken-exchange" \
    "&audience=%2F%2Fiam.example.com%2Fp%261" \
    "&scope=https%3A%2F%2Fwww.googleapis.com%2Fauth%2Fcloud-platform" \
    "&requested_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3A" \
    "access_token&subject_token=" subject_token \
    "&subject_token_type=urn%3Aietf%3Aparams%3Aoauth%3Atoken-type%3Ajwt"

/* The token may be bare or in a member, in a file or at a URL. */
static void
test_external_formats(void **state)
{
	static const struct {
		const char *format;
		const char *text;
		int good;		/* the subject token is a+b */
	} rows[] = {
		{ "{\"type\":\"text\"}", "a+b", 1 },
		{ "{\"type\":\"text\"}", "a+b\n", 1 },
		{ "{\"type\":\"text\"}", "a+b \r\n\t\n", 1 },
		{ "{}", "a+b\n", 1 },
		{ "{\"type\":\"text\"}", "", 0 },
		{ "{\"type\":\"text\"}", "\r\n", 0 },
		{ "{\"type\":\"json\",\"subject_token_field_name\":\"t\"}",
		    "{\"t\":\"a+b\",\"x\":{\"t\":1}}\n", 1 },
		{ "{\"type\":\"json\",\"subject_token_field_name\":\"t\"}",
		    "{\"T\":\"" SECRET "\"}", 0 },
		{ "{\"type\":\"json\",\"subject_token_field_name\":\"t\"}",
		    "{\"t\":[\"" SECRET "\"]}", 0 },
		{ "{\"type\":\"json\",\"subject_token_field_name\":\"t\"}",
		    "{\"t\":\"" SECRET, 0 },
		{ "{\"type\":\"json\",\"subject_token_field_name\":\"t\"}",
		    "[\"t\"]", 0 },
		{ "{\"type\":\"json\",\"subject_token_field_name\":\"t\"}",
		    SECRET, 0 },
		{ "{\"type\":\"json\",\"subject_token_field_name\":\"t\"}",
		    "", 0 },
	};
	char source[256], answer[256];
	size_t i;
	int at_url;

	(void)state;
	for (i = 0; i < 2 * NITEMS(rows); i++) {
		at_url = i >= NITEMS(rows);
		const char *format = rows[i % NITEMS(rows)].format;
		const char *text = rows[i % NITEMS(rows)].text;
		int good = rows[i % NITEMS(rows)].good;

		(void)snprintf(answer, sizeof(answer), "HTTP/1.1 200 OK\r\n"
		    "Connection: close\r\n\r\n%s", text);
		if (at_url)
			serve(SCRIPT(answer, TOKEN("sts")));
		else
			serve(SCRIPT(TOKEN("sts")));
		write_text(subject, text);
		(void)snprintf(source, sizeof(source), "{\"%s\":\"%s\","
		    "\"format\":%s}", at_url ? "url" : "file", at_url ?
		    subject_url : subject, format);
		if (good) {
			check_token(external(token_url, source), "sts",
			    NOW + 1800);
			check_asked(at_url, "POST /token HTTP/1.1\r\n",
			    STS("a%2Bb"));
			check_header(at_url, "Content-Type: application/"
			    "x-www-form-urlencoded");
			assert_null(strcasestr(server->requests[at_url],
			    "\r\nAuthorization:"));
		} else
			check_no_token(external(token_url, source), "holds no "
			    "subject token of the external account",
			    text);
		if (at_url)
			check_asked(0, "GET /subject HTTP/1.1\r\n", "");
		served(at_url + good);
	}
}

/* A source at a URL: with its headers, and asked again like any other. */
static void
test_external_url(void **state)
{
	static const char *const bad_headers[] = { "[]", "\"A: b\"", "null",
	    "{\"A\":1}", "{\"A\":\"b\\r\\nC: d\"}" };
	char source[256];
	size_t i;

	(void)state;
	serve(SCRIPT(ANSWER("503 No", ""), ANSWER("200 OK", "t"),
	    TOKEN("sts")));
	(void)snprintf(source, sizeof(source), "{\"url\":\"%s\",\"headers\":"
	    "{\"Metadata\":\"True\",\"X-Key\":\"a b\"}}", subject_url);
	check_token(external(token_url, source), "sts", NOW + 1800);
	check_header(1, "Metadata: True");
	check_header(1, "X-Key: a b");
	check_asked(2, "POST /token HTTP/1.1\r\n", STS("t"));
	assert_null(strstr(server->requests[2], "X-Key"));
	served(3);

	serve(SCRIPT(ANSWER("404 No", SECRET), TOKEN("sts")));
	(void)snprintf(source, sizeof(source), "{\"url\":\"%s\"}",
	    subject_url);
	check_no_token(external(token_url, source), "the source of the "
	    "subject token gave no token: status 404", "404");
	served(1);

	for (i = 0; i < NITEMS(bad_headers); i++) {
		serve(SCRIPT(ANSWER("200 OK", "t"), TOKEN("sts")));
		(void)snprintf(source, sizeof(source), "{\"url\":\"%s\","
		    "\"headers\":%s}", subject_url, bad_headers[i]);
		check_no_token(external(token_url, source), "subject token",
		    bad_headers[i]);
		served(0);
	}
}

/* A client with an id and a secret says so; impersonation comes last. */
static void
test_external_exchange(void **state)
{
	json_t *json;

	(void)state;
	write_text(subject, "t\n");
	serve(SCRIPT(TOKEN("sts"), FINAL));
	json = external_file(token_url);
	(void)json_object_set_new(json, "client_id", json_string("Aladdin"));
	(void)json_object_set_new(json, "client_secret",
	    json_string("open sesame"));
	(void)json_object_set_new(json, "service_account_impersonation_url",
	    json_string(iam_url));
	check_token(json, "final", FINAL_EXPIRES);
	check_asked(0, "POST /token HTTP/1.1\r\n", STS("t"));
	check_header(0,
	    "Authorization: Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
	check_impersonated(1, "sts", "{\"delegates\":[],\"scope\":[\"" SCOPE
	    "\"],\"lifetime\":\"3600s\"}");
	served(2);

	/* An id alone is no reason to. */
	serve(SCRIPT(TOKEN("sts")));
	json = external_file(token_url);
	(void)json_object_set_new(json, "client_id", json_string("Aladdin"));
	check_token(json, "sts", NOW + 1800);
	assert_null(strcasestr(server->requests[0], "\r\nAuthorization:"));
	served(1);

	serve(SCRIPT(ANSWER("400 No", "{\"error\":\"" SECRET "\"}"), FINAL));
	check_no_token(external_file(token_url), "status 400", "sts");
	served(1);

	/* The file is read each time; while it is gone there is no token. */
	serve(SCRIPT(TOKEN("sts")));
	assert_int_equal(unlink(subject), 0);
	check_no_token(external_file(token_url), "No such file", "gone");
	served(0);

	/* Nobody waits for one who might write it. */
	serve(SCRIPT(TOKEN("sts")));
	assert_int_equal(mkfifo(subject, 0600), 0);
	(void)alarm(5);
	check_no_token(external_file(token_url), "holds no subject token",
	    "fifo");
	(void)alarm(0);
	assert_int_equal(unlink(subject), 0);
	served(0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_self_signed),
		cmocka_unit_test(test_exchange),
		cmocka_unit_test(test_malformed_answers),
		cmocka_unit_test(test_expires_in),
		cmocka_unit_test(test_metadata_flavor),
		cmocka_unit_test(test_impersonated_sources),
		cmocka_unit_test(test_impersonation),
		cmocka_unit_test(test_expire_time),
		cmocka_unit_test(test_external_formats),
		cmocka_unit_test(test_external_url),
		cmocka_unit_test(test_external_exchange),
	};

	return (cmocka_run_group_tests_name("google_token", tests, setup,
	    teardown));
}
