#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>

#include "config.h"
#include "http.h"
#include "jwt.h"
#include "log.h"
#include "shared.h"
#include "url.h"

#include "google_auth.h"

#define SCOPE		"https://www.googleapis.com/auth/cloud-platform"
#define TOKEN_URI	"https://oauth2.googleapis.com/token"

/* How long a token lives that we sign ourselves, in seconds. */
#define LIFETIME	3600

/*
 * Renew when less is left than a request and its retries can cost.  The
 * metadata server hands out the same token until four minutes before its
 * end, so that asking earlier than that would be in vain.
 */
#define RENEW_EARLY	225

/* After a failed renewal, ask again no sooner than this, in seconds. */
#define RENEW_INTERVAL	2

/* The most a credentials file or a token answer may have, in bytes. */
#define MAX_DOCUMENT	65536

enum kind { SERVICE_ACCOUNT, AUTHORIZED_USER, METADATA };

struct google_auth {
	enum kind kind;
	const struct config *conf;
	json_t *file;			/* the credentials, without the key */
	EVP_PKEY *key;			/* of a service account */
	struct shared *token;		/* of the others */
	char *signed_token;		/* of a service account */
	time_t signed_expires;
};

static int complain(char *, size_t, const char *, ...)
    __attribute__((format(printf, 3, 4)));

static int
complain(char *why, size_t whylen, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(why, whylen, fmt, ap);
	va_end(ap);
	return (-1);
}

/* Read the open file ${fd} whole; to be wiped and freed. */
static char *
read_all(int fd, size_t *len)
{
	char *buf;
	ssize_t n;

	if ((buf = malloc(MAX_DOCUMENT)) == NULL)
		return (NULL);
	for (*len = 0; *len < MAX_DOCUMENT; *len += (size_t)n) {
		n = read(fd, &buf[*len], MAX_DOCUMENT - *len);
		if (n == 0)
			return (buf);
		if (n < 0)
			break;
	}
	OPENSSL_cleanse(buf, MAX_DOCUMENT);
	free(buf);
	return (NULL);
}

static const char *
member(const struct google_auth *auth, const char *name)
{

	return (json_string_value(json_object_get(auth->file, name)));
}

/* Take the private key out of the file, so that it is held once only. */
static int
load_service_account(struct google_auth *auth, const char *path, char *why,
    size_t whylen)
{
	const char *pem = member(auth, "private_key"), *problem;

	if (member(auth, "client_email") == NULL ||
	    member(auth, "private_key_id") == NULL || pem == NULL)
		return (complain(why, whylen, "the credentials file %s lacks "
		    "client_email, private_key_id or private_key", path));
	auth->key = jwt_key_parse(pem, strlen(pem), &problem);
	if (auth->key == NULL)
		return (complain(why, whylen, "the credentials file %s: %s",
		    path, problem));
	(void)json_object_del(auth->file, "private_key");
	auth->kind = SERVICE_ACCOUNT;
	return (0);
}

static int
load_authorized_user(struct google_auth *auth, const char *path, char *why,
    size_t whylen)
{
	const char *uri = member(auth, "token_uri");

	if (member(auth, "client_id") == NULL ||
	    member(auth, "client_secret") == NULL ||
	    member(auth, "refresh_token") == NULL)
		return (complain(why, whylen, "the credentials file %s lacks "
		    "client_id, client_secret or refresh_token", path));
	if (uri != NULL && (url_check(uri) != NULL || !url_is_safe(uri)))
		return (complain(why, whylen, "the credentials file %s: "
		    "token_uri must begin with https://", path));
	auth->kind = AUTHORIZED_USER;
	return (0);
}

static int
load_file(struct google_auth *auth, int fd, const char *path, char *why,
    size_t whylen)
{
	const char *type;
	char *text;
	size_t len;

	if ((text = read_all(fd, &len)) == NULL)
		return (complain(why, whylen, "the credentials file %s cannot "
		    "be read, or is longer than %d bytes", path,
		    MAX_DOCUMENT));
	auth->file = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	OPENSSL_cleanse(text, MAX_DOCUMENT);
	free(text);

	if ((type = member(auth, "type")) == NULL)
		return (complain(why, whylen, "the credentials file %s is not "
		    "a JSON object with a type", path));
	if (strcmp(type, "service_account") == 0)
		return (load_service_account(auth, path, why, whylen));
	if (strcmp(type, "authorized_user") == 0)
		return (load_authorized_user(auth, path, why, whylen));
	return (complain(why, whylen, "the credentials file %s is of type "
	    "%.40s; service_account and authorized_user are understood", path,
	    type));
}

/* The second place: the file that gcloud keeps for libraries. */
static int
open_gcloud_file(const struct config *conf, char *path, size_t len)
{
	const char *home = getenv("HOME");
	int n;

	if (conf->cloudsdk_config != NULL)
		n = snprintf(path, len, "%s/application_default_credentials"
		    ".json", conf->cloudsdk_config);
	else if (home != NULL)
		n = snprintf(path, len, "%s/.config/gcloud/"
		    "application_default_credentials.json", home);
	else
		return (-1);
	if (n < 0 || (size_t)n >= len)
		return (-1);
	return (open(path, O_RDONLY | O_CLOEXEC));
}

/**
 * google_auth_new(conf, why, whylen):
 * Find and read the credentials.  To be called before the workers are forked.
 * Return NULL and one line in ${why} on failure.
 */
struct google_auth *
google_auth_new(const struct config *conf, char *why, size_t whylen)
{
	struct google_auth *auth;
	char path[4096];
	int fd, rc = 0;

	if ((auth = calloc(1, sizeof(*auth))) == NULL ||
	    (auth->token = shared_new(MAX_DOCUMENT)) == NULL) {
		(void)complain(why, whylen, "out of memory");
		goto err;
	}
	auth->conf = conf;
	auth->kind = METADATA;

	if (conf->application_credentials != NULL) {
		(void)snprintf(path, sizeof(path), "%s",
		    conf->application_credentials);
		if ((fd = open(path, O_RDONLY | O_CLOEXEC)) < 0) {
			(void)complain(why, whylen,
			    "GOOGLE_APPLICATION_CREDENTIALS names %s: %s",
			    path, strerror(errno));
			goto err;
		}
	} else
		fd = open_gcloud_file(conf, path, sizeof(path));
	if (fd >= 0) {
		rc = load_file(auth, fd, path, why, whylen);
		(void)close(fd);
	}
	if (rc == 0)
		return (auth);

err:
	google_auth_free(auth);
	return (NULL);
}

/* Sign a token for ourselves, or keep the last one while it is good. */
static char *
service_account_token(struct google_auth *auth, time_t now, int fresh,
    char *why, size_t whylen)
{
	json_t *claims;

	if (auth->signed_token != NULL && !fresh &&
	    now < auth->signed_expires - RENEW_EARLY &&
	    now >= auth->signed_expires - LIFETIME)
		return (strdup(auth->signed_token));

	claims = json_pack("{s:s, s:s, s:s, s:I, s:I}",
	    "iss", member(auth, "client_email"),
	    "sub", member(auth, "client_email"), "scope", SCOPE,
	    "iat", (json_int_t)now, "exp", (json_int_t)now + LIFETIME);
	if (auth->signed_token != NULL)
		OPENSSL_cleanse(auth->signed_token,
		    strlen(auth->signed_token));
	free(auth->signed_token);
	auth->signed_token = claims == NULL ? NULL :
	    jwt_sign(member(auth, "private_key_id"), claims, auth->key);
	json_decref(claims);
	if (auth->signed_token == NULL) {
		(void)complain(why, whylen, "a token could not be signed with "
		    "the key of the service account");
		return (NULL);
	}
	auth->signed_expires = now + LIFETIME;
	return (strdup(auth->signed_token));
}

/* Append &name=value, percent-encoded, to the form ${f}. */
static void
put_form(FILE *f, const char *name, const char *value)
{
	char *encoded = curl_easy_escape(NULL, value, 0);

	(void)fprintf(f, "&%s=%s", name, encoded != NULL ? encoded : "");
	if (encoded != NULL)
		OPENSSL_cleanse(encoded, strlen(encoded));
	curl_free(encoded);
}

/* Ask for a token as an authorized user; 0 if an answer came. */
static int
ask_token_endpoint(struct google_auth *auth, struct http *http)
{
	const char *headers[] = {
	    "Content-Type: application/x-www-form-urlencoded", NULL };
	struct http_request request = { .method = "POST",
	    .headers = headers, .timeout_ms = 10000,
	    .max_response = MAX_DOCUMENT };
	char *form = NULL;
	size_t len;
	FILE *f;
	int rc = -1;

	if ((f = open_memstream(&form, &len)) == NULL)
		return (-1);
	(void)fprintf(f, "grant_type=refresh_token");
	put_form(f, "client_id", member(auth, "client_id"));
	put_form(f, "client_secret", member(auth, "client_secret"));
	put_form(f, "refresh_token", member(auth, "refresh_token"));
	if (fclose(f) == 0) {
		request.url = member(auth, "token_uri") != NULL ?
		    member(auth, "token_uri") : TOKEN_URI;
		request.body = form;
		request.body_len = len;
		if (http_prepare(http, &request) == 0)
			rc = http_perform(http);
	}
	if (form != NULL)
		OPENSSL_cleanse(form, len);
	free(form);
	return (rc);
}

/* Ask the metadata server of the machine; 0 if an answer came. */
static int
ask_metadata_server(struct google_auth *auth, struct http *http)
{
	const char *headers[] = { "Metadata-Flavor: Google", NULL };
	char url[512];
	struct http_request request = { .method = "GET", .url = url,
	    .headers = headers, .timeout_ms = 5000,
	    .max_response = MAX_DOCUMENT };

	(void)snprintf(url, sizeof(url), "http://%s/computeMetadata/v1/"
	    "instance/service-accounts/default/token",
	    auth->conf->metadata_host);
	if (http_prepare(http, &request) != 0 || http_perform(http) != 0)
		return (-1);
	return (0);
}

/* Whoever answered must be Google's metadata server. */
static int
is_metadata_answer(const struct http *http)
{
	const char *flavor = http_header(http, "Metadata-Flavor");

	return (flavor != NULL && strcmp(flavor, "Google") == 0);
}

/* Fetch a token and share it; called by one worker at a time. */
static int
renew(struct google_auth *auth, struct http *http, time_t now, char *why,
    size_t whylen)
{
	const char *from = auth->kind == METADATA ? "metadata server" :
	    "token endpoint";
	const char *token;
	json_t *answer = NULL, *lifetime;
	int rc;

	rc = auth->kind == METADATA ? ask_metadata_server(auth, http) :
	    ask_token_endpoint(auth, http);
	if (rc != 0) {
		(void)complain(why, whylen, "the %s could not be asked for a "
		    "token: %s", from, http_error(http));
		goto err;
	}
	if (http_status(http) != 200 ||
	    (auth->kind == METADATA && !is_metadata_answer(http))) {
		(void)complain(why, whylen, "the %s gave no token (status "
		    "%ld)", from, http_status(http));
		goto err;
	}
	answer = json_loadb(http_body(http), http_body_len(http), 0, NULL);
	token = json_string_value(json_object_get(answer, "access_token"));
	lifetime = json_object_get(answer, "expires_in");
	if (token == NULL || !json_is_number(lifetime)) {
		(void)complain(why, whylen, "the %s gave an answer without "
		    "access_token and expires_in", from);
		goto err;
	}
	shared_renewal_end(auth->token, token, strlen(token),
	    now + (time_t)json_number_value(lifetime));
	json_decref(answer);
	http_wipe(http);
	return (0);

err:
	shared_renewal_end(auth->token, NULL, 0, 0);
	json_decref(answer);
	http_wipe(http);
	return (-1);
}

/* The token that the workers share; renewed early, by one of them. */
static char *
shared_token(struct google_auth *auth, struct http *http, time_t now,
    int fresh, char *why, size_t whylen)
{
	time_t expires = shared_expires(auth->token);
	uint64_t generation;
	size_t len;

	(void)complain(why, whylen, "there is no access token yet");
	if (fresh || now >= expires - RENEW_EARLY) {
		/* Who has a token that still works need not wait. */
		if (shared_renewal_begin(auth->token,
		    fresh ? SHARED_WANTING : SHARED_EXPIRED,
		    fresh || now >= expires, now, RENEW_INTERVAL) &&
		    renew(auth, http, now, why, whylen) != 0)
			log_warning(NULL, "%s", why);
	}
	if (now >= shared_expires(auth->token))
		return (NULL);
	return (shared_copy(auth->token, &len, &generation));
}

/**
 * google_auth_token(auth, http, now, fresh, why, whylen):
 * Return an access token that is good at ${now} and for some minutes more, as
 * a string that the caller wipes and frees, using ${http} where somebody must
 * be asked.  With ${fresh} set, the last token was refused: get another.
 * Return NULL and one line in ${why} if there is none; it may be tried again.
 */
char *
google_auth_token(struct google_auth *auth, struct http *http, time_t now,
    int fresh, char *why, size_t whylen)
{

	if (auth->kind == SERVICE_ACCOUNT)
		return (service_account_token(auth, now, fresh, why, whylen));
	return (shared_token(auth, http, now, fresh, why, whylen));
}

/**
 * google_auth_quota_project(auth):
 * Return the project that calls are counted against, or NULL.
 */
const char *
google_auth_quota_project(const struct google_auth *auth)
{

	return (auth->conf->quota_project != NULL ? auth->conf->quota_project :
	    member(auth, "quota_project_id"));
}

/**
 * google_auth_universe(auth):
 * Return the domain of the service, "googleapis.com" unless the credentials
 * name another one.
 */
const char *
google_auth_universe(const struct google_auth *auth)
{
	const char *universe = member(auth, "universe_domain");

	return (universe != NULL ? universe : "googleapis.com");
}

/**
 * google_auth_free(auth):
 * Wipe and free ${auth}; NULL is fine.
 */
void
google_auth_free(struct google_auth *auth)
{

	if (auth == NULL)
		return;
	if (auth->signed_token != NULL)
		OPENSSL_cleanse(auth->signed_token,
		    strlen(auth->signed_token));
	free(auth->signed_token);
	EVP_PKEY_free(auth->key);
	json_decref(auth->file);
	shared_free(auth->token);
	free(auth);
}
