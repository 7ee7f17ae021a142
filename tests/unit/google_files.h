#ifndef GOOGLE_FILES_H_
#define GOOGLE_FILES_H_

#include <sys/stat.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "config.h"
#include "google_credentials.h"
#include "http.h"

#include "test_key.h"
#include "unit.h"

/*
 * Credentials files of each type, for the tests of who reads them and of who
 * gets tokens for them: files of their own in a folder of their own.
 */
#define ACCOUNT	"scheduler@example-project.iam.gserviceaccount.com"

/* In everything that no message may quote. */
#define SECRET	"s3cr3t"

static char dir[] = "/tmp/google_credentials.XXXXXX";
static char file[64], subject[64], why[256];
static struct http *http;
static struct config conf;

static inline int
setup(void **state)
{

	(void)state;
	/* Whatever is written here is for nobody else to read. */
	(void)umask(077);
	if (mkdtemp(dir) == NULL || (http = http_new(NULL)) == NULL)
		return (-1);
	(void)snprintf(file, sizeof(file), "%s/key.json", dir);
	(void)snprintf(subject, sizeof(subject), "%s/subject", dir);
	conf.application_credentials = file;
	return (0);
}

static inline int
teardown(void **state)
{

	(void)state;
	http_free(http);
	(void)unlink(file);
	(void)unlink(subject);
	return (rmdir(dir));
}

static inline void
write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	assert_true(fputs(text, f) >= 0);
	assert_int_equal(fclose(f), 0);
}

/*
 * Files of each type.  ${uri} is where to get a token, or NULL.
 */
static inline json_t *
account(const char *uri)
{

	return (json_pack("{s:s, s:s, s:s, s:s, s:s*}",
	    "type", "service_account", "client_email", ACCOUNT,
	    "private_key_id", TEST_KEY_KID, "private_key", TEST_KEY_PEM,
	    "token_uri", uri));
}

static inline json_t *
user(const char *uri)
{

	return (json_pack("{s:s, s:s, s:s, s:s, s:s*}",
	    "type", "authorized_user", "client_id", "id",
	    "client_secret", SECRET, "refresh_token", SECRET "-refresh",
	    "token_uri", uri));
}

/* With credentials ${source}, which are taken over. */
static inline json_t *
impersonated(const char *url, json_t *source)
{

	return (json_pack("{s:s, s:s, s:[s, s], s:o}",
	    "type", "impersonated_service_account",
	    "service_account_impersonation_url", url, "delegates",
	    "projects/-/serviceAccounts/a@example.com",
	    "projects/-/serviceAccounts/b@example.com",
	    "source_credentials", source));
}

/* With the credential source ${source}, JSON. */
static inline json_t *
external(const char *uri, const char *source)
{

	return (json_pack("{s:s, s:s, s:s, s:s, s:o}",
	    "type", "external_account", "audience", "//iam.example.com/p&1",
	    "subject_token_type", "urn:ietf:params:oauth:token-type:jwt",
	    "token_url", uri, "credential_source",
	    json_loads(source, 0, NULL)));
}

/* The same with the source ${subject}, a file with bare text. */
static inline json_t *
external_file(const char *uri)
{
	char source[128];

	(void)snprintf(source, sizeof(source), "{\"file\":\"%s\"}", subject);
	return (external(uri, source));
}

/* Find the credentials ${json}, which are taken over, in the file. */
static inline struct google_credentials *
find(json_t *json)
{

	assert_non_null(json);
	(void)unlink(file);
	assert_int_equal(json_dump_file(json, file, 0), 0);
	json_decref(json);
	why[0] = '\0';
	return (google_credentials_find(&conf, why, sizeof(why)));
}

static inline struct google_credentials *
find_good(json_t *json)
{
	struct google_credentials *c = find(json);

	if (c == NULL)
		fail_msg("%s", why);
	return (c);
}

/* The line in ${why} says ${says}, and no secret. */
static inline void
check_why(const char *says, const char *name)
{

	if (strstr(why, says) == NULL)
		fail_msg("%s: it says: %s", name, why);
	ASSERT_ROW(strchr(why, '\n') == NULL, name);
	ASSERT_ROW(strstr(why, SECRET) == NULL, name);
}

#endif /* !GOOGLE_FILES_H_ */
