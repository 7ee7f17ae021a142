#include <sys/stat.h>
#include <sys/wait.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "google_auth.h"
#include "http.h"
#include "log.h"

#include "scripted_server.h"
#include "test_key.h"
#include "unit.h"

#define NOW	1795431600
#define ACCOUNT	"followup@example-project.iam.gserviceaccount.com"

/*
 * The token of ACCOUNT at NOW for an hour, signed with the test key by the
 * openssl program.
 */
static const char golden[] =
    "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3Qta2V5In0.eyJp"
    "c3MiOiJmb2xsb3d1cEBleGFtcGxlLXByb2plY3QuaWFtLmdzZXJ2aWNlYWNjb3Vu"
    "dC5jb20iLCJzdWIiOiJmb2xsb3d1cEBleGFtcGxlLXByb2plY3QuaWFtLmdzZXJ2"
    "aWNlYWNjb3VudC5jb20iLCJzY29wZSI6Imh0dHBzOi8vd3d3Lmdvb2dsZWFwaXMu"
    "Y29tL2F1dGgvY2xvdWQtcGxhdGZvcm0iLCJpYXQiOjE3OTU0MzE2MDAsImV4cCI6"
    "MTc5NTQzNTIwMH0.WQgF0TCeICRgWv_XwCgWI3A0p-JtIJsuOXzQ9DJMt9LYSFVD"
    "BL4p-7gzLRRDTfVWM298HtW8sw4oR31fkmmLtRZ8FdgDGVDqLBUDT1TIRLqqjQYo"
    "A-jNin31m5yRI0-woCsdEK9Ku_s_7czzyFErMv6zkY6bqoPAEifmft20lYuvkwj3"
    "o2si6eB5F_Ft8T5-S65zNw8Gjrhd3-X2V39EBZfR0tt4WtE8ly1rO0CLfdtdKiyM"
    "_gArluj-TJDkFol8Me6nrU99DhOz6mvxk2osmVwY9qM6xMcYnLenlxVNKP15o9Uu"
    "1h5oz1N1osT_s5xTGpJHdC0gI0avps9npmz0aw";

static char dir[] = "/tmp/google_auth.XXXXXX";
static char file[64], gcloud[64], adc[128], why[256];
static struct http *http;
static struct config conf;

static int
setup(void **state)
{

	(void)state;
	/* A failed renewal is warned of; not here. */
	log_init(NULL, LOG_ERROR, 0);
	/* What is written here is for nobody else to read. */
	(void)umask(077);
	if (mkdtemp(dir) == NULL || (http = http_new(NULL)) == NULL)
		return (-1);
	(void)snprintf(file, sizeof(file), "%s/key.json", dir);
	(void)snprintf(gcloud, sizeof(gcloud), "%s/gcloud", dir);
	(void)snprintf(adc, sizeof(adc), "%s/application_default_credentials"
	    ".json", gcloud);
	return (mkdir(gcloud, 0700));
}

static int
teardown(void **state)
{

	(void)state;
	http_free(http);
	(void)unlink(file);
	(void)unlink(adc);
	(void)rmdir(gcloud);
	return (rmdir(dir));
}

/* Before each test: no files, no settings, nobody's home. */
static int
begin(void **state)
{
	static const struct config empty;

	(void)state;
	(void)unlink(file);
	(void)unlink(adc);
	(void)setenv("HOME", dir, 1);
	conf = empty;
	conf.metadata_host = "127.0.0.1:1";
	return (0);
}

static void
write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/* Write the credentials of a service account, without ${without} if set. */
static void
write_account(const char *path, const char *email, const char *without)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s}",
	    "type", "service_account", "client_email", email,
	    "private_key_id", TEST_KEY_KID, "private_key", TEST_KEY_PEM,
	    "quota_project_id", "file-project");

	assert_non_null(json);
	if (without != NULL)
		(void)json_object_del(json, without);
	assert_int_equal(json_dump_file(json, path, 0), 0);
	json_decref(json);
}

/* Write those of a user who gets tokens at ${uri}. */
static void
write_user(const char *path, const char *uri, const char *without)
{
	json_t *json = json_pack("{s:s, s:s, s:s, s:s, s:s}",
	    "type", "authorized_user", "client_id", "id&1",
	    "client_secret", "a b=c", "refresh_token", "1//r+t",
	    "token_uri", uri);

	assert_non_null(json);
	if (without != NULL)
		(void)json_object_del(json, without);
	assert_int_equal(json_dump_file(json, path, 0), 0);
	json_decref(json);
}

static struct google_auth *
open_auth(void)
{
	struct google_auth *auth;

	why[0] = '\0';
	if ((auth = google_auth_new(&conf, why, sizeof(why))) == NULL)
		fail_msg("%s", why);
	return (auth);
}

/* The token at ${now} must be ${want}, or with NULL there must be none. */
static void
check_token(struct google_auth *auth, time_t now, time_t refused,
    const char *want)
{
	char *token;

	why[0] = '\0';
	token = google_auth_token(auth, http, now, refused, why, sizeof(why));
	if (want == NULL) {
		assert_null(token);
		assert_string_not_equal(why, "");
		assert_null(strchr(why, '\n'));
		return;
	}
	if (token == NULL)
		fail_msg("no token: %s", why);
	assert_string_equal(token, want);
	free(token);
}

static void
test_service_account(void **state)
{
	struct google_auth *auth;
	char *token;

	(void)state;
	write_account(file, ACCOUNT, NULL);
	conf.application_credentials = file;
	auth = open_auth();
	check_token(auth, NOW, 0, golden);

	/*
	 * Kept until it has little left; then, or when refused, another: for
	 * all who were refused the same.
	 */
	check_token(auth, NOW + 3300, 0, golden);
	token = google_auth_token(auth, http, NOW + 3400, 0, why,
	    sizeof(why));
	assert_non_null(token);
	assert_string_not_equal(token, golden);
	free(token);
	check_token(auth, NOW, NOW - 60, golden);
	check_token(auth, NOW + 60, NOW - 1, golden);
	check_token(auth, NOW + 60, NOW, golden);
	token = google_auth_token(auth, http, NOW + 60, NOW + 1, why,
	    sizeof(why));
	assert_non_null(token);
	assert_string_not_equal(token, golden);
	free(token);

	assert_string_equal(google_auth_universe(auth), "googleapis.com");
	assert_string_equal(google_auth_quota_project(auth), "file-project");
	conf.quota_project = "env-project";
	assert_string_equal(google_auth_quota_project(auth), "env-project");
	google_auth_free(auth);
	google_auth_free(NULL);
}

/* The three places, each hidden by the one before it. */
static void
test_order(void **state)
{
	struct google_auth *auth;
	char config[64], folder[64], under[128];

	(void)state;
	/* 2b: the folder in the home directory. */
	(void)snprintf(config, sizeof(config), "%s/.config", dir);
	(void)snprintf(folder, sizeof(folder), "%s/.config/gcloud", dir);
	(void)snprintf(under, sizeof(under), "%s/.config/gcloud/"
	    "application_default_credentials.json", dir);
	assert_int_equal(mkdir(config, 0700), 0);
	assert_int_equal(mkdir(folder, 0700), 0);
	write_account(under, ACCOUNT, NULL);
	auth = open_auth();
	check_token(auth, NOW, 0, golden);
	google_auth_free(auth);

	/* 2a: CLOUDSDK_CONFIG comes first, and then only it. */
	conf.cloudsdk_config = gcloud;
	auth = open_auth();
	check_token(auth, NOW, 0, NULL);	/* of the metadata server */
	assert_non_null(strstr(why, "metadata server"));
	google_auth_free(auth);
	write_account(adc, "x@example.com", NULL);
	auth = open_auth();
	assert_string_equal(google_auth_quota_project(auth), "file-project");
	google_auth_free(auth);

	/* 1: the named file. */
	write_account(file, ACCOUNT, "quota_project_id");
	conf.application_credentials = file;
	auth = open_auth();
	check_token(auth, NOW, 0, golden);
	assert_null(google_auth_quota_project(auth));
	google_auth_free(auth);

	(void)unlink(under);
	(void)rmdir(folder);
	(void)rmdir(config);
}

#define NO_TYPE	"not a JSON object with a"

/* A file that is named must be there, and good, whatever else there is. */
static void
test_bad_files(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} rows[] = {
		{ "", NO_TYPE },
		{ "{", NO_TYPE },
		{ "[]", NO_TYPE },
		{ "{}", NO_TYPE },
		{ "{\"type\":1}", NO_TYPE },
		{ "{\"type\":\"authorized_user\",\"type\":"
		    "\"service_account\"}", NO_TYPE },
		{ "{\"type\":\"another\"}", "type another" },
		{ "{\"type\":\"service_account\"}", "client_email" },
		{ "{\"type\":\"authorized_user\"}", "client_id" },
		{ "{\"type\":\"service_account\",\"client_email\":\"a\","
		    "\"private_key_id\":\"b\",\"private_key\":\"c\"}",
		    "not an unencrypted RSA key" },
		{ "{\"type\":\"authorized_user\",\"client_id\":\"a\","
		    "\"client_secret\":\"b\",\"refresh_token\":\"c\","
		    "\"token_uri\":\"http://example.com/token\"}",
		    "token_uri must be" },
	};
	static const char *const parts[] = { "client_email",
	    "private_key_id", "private_key" };
	size_t i;

	(void)state;
	write_account(adc, ACCOUNT, NULL);
	conf.cloudsdk_config = gcloud;
	conf.application_credentials = file;
	assert_null(google_auth_new(&conf, why, sizeof(why)));
	assert_non_null(strstr(why, "GOOGLE_APPLICATION_CREDENTIALS"));
	assert_non_null(strstr(why, file));
	assert_non_null(strstr(why, "No such file"));

	for (i = 0; i < NITEMS(rows); i++) {
		write_text(file, rows[i].text);
		ASSERT_ROW(google_auth_new(&conf, why, sizeof(why)) == NULL,
		    rows[i].text);
		ASSERT_ROW(strstr(why, file) != NULL, rows[i].text);
		ASSERT_ROW(strstr(why, rows[i].says) != NULL, why);
	}
	for (i = 0; i < NITEMS(parts); i++) {
		write_account(file, ACCOUNT, parts[i]);
		ASSERT_ROW(google_auth_new(&conf, why, sizeof(why)) == NULL,
		    parts[i]);
	}

	/* A directory is no file either. */
	conf.application_credentials = gcloud;
	assert_null(google_auth_new(&conf, why, sizeof(why)));
	assert_non_null(strstr(why, gcloud));
}

#define JSON_OF(head, body) \
    "HTTP/1.1 " head "\r\nConnection: close\r\n\r\n" body
#define FLAVOR	"\r\nMetadata-Flavor: Google"
#define TOKEN(name, lifetime) \
    "{\"access_token\":\"" name "\",\"expires_in\":" lifetime "}"

static void
test_authorized_user(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPT(
	    JSON_OF("200 OK", TOKEN("first", "3599")),
	    JSON_OF("200 OK", TOKEN("second", "3599")),
	    JSON_OF("400 Bad Request", "{\"error\":\"invalid_grant\"}"),
	    JSON_OF("400 Bad Request", "{\"error\":\"invalid_grant\"}")));
	struct google_auth *auth;
	char url[64];

	(void)state;
	write_user(file, scripted_server_url(s, "/token", url, sizeof(url)),
	    NULL);
	conf.application_credentials = file;
	auth = open_auth();
	check_token(auth, NOW, 0, "first");
	check_token(auth, NOW + 3000, 0, "first");
	assert_int_equal(s->nrequests, 1);

	/* Refused: a new one at once. */
	check_token(auth, NOW + 3001, 1, "second");

	/* While the endpoint is down the old one is used to its end. */
	check_token(auth, NOW + 3001 + 3500, 0, "second");
	check_token(auth, NOW + 3001 + 3529, 0, "second");
	assert_int_equal(s->nrequests, 3);
	check_token(auth, NOW + 3001 + 3530, 0, "second");
	assert_int_equal(s->nrequests, 4);
	check_token(auth, NOW + 3001 + 3599, 0, NULL);
	assert_int_equal(scripted_server_stop(s), 4);
	google_auth_free(auth);

	/* The form, with everything in it encoded. */
	assert_memory_equal(s->requests[0], "POST /token HTTP/1.1\r\n", 22);
	assert_non_null(strstr(s->requests[0], "\r\nContent-Type: "
	    "application/x-www-form-urlencoded\r\n"));
	assert_non_null(strstr(s->requests[0], "\r\n\r\n"
	    "grant_type=refresh_token&client_id=id%261"
	    "&client_secret=a%20b%3Dc&refresh_token=1%2F%2Fr%2Bt"));
	scripted_server_free(s);
}

static void
test_metadata(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPT(
	    JSON_OF("200 OK" FLAVOR, TOKEN("first", "3599"))));
	struct google_auth *auth;
	char host[32];

	(void)state;
	(void)snprintf(host, sizeof(host), "127.0.0.1:%d", s->port);
	conf.metadata_host = host;
	auth = open_auth();
	check_token(auth, NOW, 0, "first");
	check_token(auth, NOW + 3000, 0, "first");
	assert_string_equal(google_auth_universe(auth), "googleapis.com");
	assert_null(google_auth_quota_project(auth));
	google_auth_free(auth);
	assert_int_equal(scripted_server_stop(s), 1);
	assert_memory_equal(s->requests[0], "GET /computeMetadata/v1/instance/"
	    "service-accounts/default/token HTTP/1.1\r\n", 73);
	assert_non_null(strstr(s->requests[0],
	    "\r\nMetadata-Flavor: Google\r\n"));
	scripted_server_free(s);
}

/* Answers that are none. */
static void
test_no_token(void **state)
{
	static const char *const bad[] = {
	    JSON_OF("200 OK", TOKEN("x", "3599")),	/* not Google's */
	    JSON_OF("200 OK\r\nMetadata-Flavor: Other", TOKEN("x", "3599")),
	    JSON_OF("404 Not Found" FLAVOR, ""),
	    JSON_OF("302 Found\r\nLocation: /" FLAVOR, TOKEN("x", "3599")),
	    JSON_OF("200 OK" FLAVOR, ""),
	    JSON_OF("200 OK" FLAVOR, "<html>"),
	    JSON_OF("200 OK" FLAVOR, "{}"),
	    JSON_OF("200 OK" FLAVOR, "{\"expires_in\":3599}"),
	    JSON_OF("200 OK" FLAVOR, TOKEN("x", "\"1h\"")),
	    JSON_OF("200 OK" FLAVOR, "{\"access_token\":1,\"expires_in\":1}"),
	    JSON_OF("200 OK" FLAVOR, TOKEN("x", "0")),
	    JSON_OF("200 OK" FLAVOR, TOKEN("x", "-5")),
	};
	struct scripted_server *s;
	struct google_auth *auth;
	char host[32];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(bad); i++) {
		s = scripted_server_start(SCRIPT(bad[i],
		    JSON_OF("200 OK" FLAVOR, TOKEN("good", "3599"))));
		(void)snprintf(host, sizeof(host), "127.0.0.1:%d", s->port);
		conf.metadata_host = host;
		auth = open_auth();
		check_token(auth, NOW, 0, NULL);

		/* Not asked again at once, but soon. */
		check_token(auth, NOW + 1, 0, NULL);
		assert_int_equal(s->nrequests, 1);
		check_token(auth, NOW + 2, 0, "good");
		google_auth_free(auth);
		assert_int_equal(scripted_server_stop(s), 2);
		scripted_server_free(s);
	}
}

/* What may pass is tried three times, and no more. */
static void
test_tried_again(void **state)
{
	static const char good[] = JSON_OF("200 OK" FLAVOR,
	    TOKEN("good", "3599"));
	static const char *const passing[] = {
	    JSON_OF("408 Timeout" FLAVOR, ""),
	    JSON_OF("429 Too Many" FLAVOR, ""),
	    JSON_OF("500 Error" FLAVOR, TOKEN("x", "3599")),
	    JSON_OF("503 Unavailable" FLAVOR, ""),
	    "HTTP/1.1 200 OK" FLAVOR "\r\nContent-Length: 99\r\n\r\n{",
	    "",
	};
	struct scripted_server *s;
	struct google_auth *auth;
	char host[32];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(passing); i++) {
		s = scripted_server_start(SCRIPT(passing[i], passing[i],
		    passing[i], passing[i], good));
		(void)snprintf(host, sizeof(host), "127.0.0.1:%d", s->port);
		conf.metadata_host = host;
		auth = open_auth();
		check_token(auth, NOW, 0, NULL);
		assert_int_equal(s->nrequests, 3);
		check_token(auth, NOW + 10, 0, "good");
		google_auth_free(auth);
		assert_int_equal(scripted_server_stop(s), 5);
		scripted_server_free(s);
	}
}

/* Another process sees the token that one of them fetched. */
static void
test_workers_share(void **state)
{
	struct scripted_server *s = scripted_server_start(SCRIPT(
	    JSON_OF("200 OK" FLAVOR, TOKEN("shared", "3599"))));
	struct google_auth *auth;
	struct http *own;
	char host[32], *token;
	int status;
	pid_t pid;

	(void)state;
	(void)snprintf(host, sizeof(host), "127.0.0.1:%d", s->port);
	conf.metadata_host = host;
	auth = open_auth();
	if ((pid = fork()) == 0) {
		own = http_new(NULL);
		token = google_auth_token(auth, own, NOW, 0, why,
		    sizeof(why));
		status = token != NULL && strcmp(token, "shared") == 0 ? 0 : 1;
		free(token);
		http_free(own);
		google_auth_free(auth);
		scripted_server_free(s);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	check_token(auth, NOW + 1, 0, "shared");
	google_auth_free(auth);
	assert_int_equal(scripted_server_stop(s), 1);
	scripted_server_free(s);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_service_account, begin),
		cmocka_unit_test_setup(test_order, begin),
		cmocka_unit_test_setup(test_bad_files, begin),
		cmocka_unit_test_setup(test_authorized_user, begin),
		cmocka_unit_test_setup(test_metadata, begin),
		cmocka_unit_test_setup(test_no_token, begin),
		cmocka_unit_test_setup(test_tried_again, begin),
		cmocka_unit_test_setup(test_workers_share, begin),
	};

	return (cmocka_run_group_tests_name("google_auth", tests, setup,
	    teardown));
}
