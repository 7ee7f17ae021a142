#include <sys/stat.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "complain.h"
#include "config.h"
#include "google_credentials_internal.h"
#include "json_text.h"
#include "jwt.h"
#include "secret.h"
#include "url.h"

#include "google_credentials.h"

/* The most a credentials file may have, in bytes. */
#define MAX_FILE	65536

/* Credentials inside credentials inside credentials are nonsense. */
#define MAX_DEPTH	2

static struct google_credentials *parse(const struct config *, json_t *, int,
    char *, size_t);

/* The names in ${names}, NULL at the end, must be texts. */
static int
require(const struct google_credentials *c, const char *const *names,
    char *why, size_t whylen)
{

	for (; *names != NULL; names++) {
		if (json_text(c->file, *names) == NULL)
			return (complain(why, whylen, "%s is missing, or not "
			    "a text", *names));
	}
	return (0);
}

/* A member that is null says as little as one that is not there. */
static int
is_absent(const struct google_credentials *c, const char *name)
{
	const json_t *member = json_object_get(c->file, name);

	return (member == NULL || json_is_null(member));
}

/* If there is a URL called ${name}, secrets must be safe on the way to it. */
static int
check_url(const struct google_credentials *c, const char *name, char *why,
    size_t whylen)
{
	const char *url = json_text(c->file, name);

	if (is_absent(c, name))
		return (0);
	if (url == NULL || url_check(url) != NULL || !url_is_safe(url))
		return (complain(why, whylen, "%s must be a URL that begins "
		    "with https://", name));
	return (0);
}

/*
 * If there is a ${name}, it consists of letters, digits and ${more}; Google's
 * libraries take an empty one for none.
 */
static int
check_name(const struct google_credentials *c, const char *name,
    const char *more, char *why, size_t whylen)
{
	const char *value = json_text(c->file, name), *p;

	if (is_absent(c, name))
		return (0);
	for (p = value; p != NULL && *p != '\0'; p++) {
		if (!isalnum((unsigned char)*p) && strchr(more, *p) == NULL)
			break;
	}
	if (p == NULL || *p != '\0')
		return (complain(why, whylen, "%s is not one", name));
	return (0);
}

/* Take the private key out of the file, so that it is held once only. */
static int
parse_service_account(struct google_credentials *c, char *why, size_t whylen)
{
	static const char *const names[] = { "client_email",
	    "private_key_id", "private_key", NULL };
	const char *pem, *problem;

	if (require(c, names, why, whylen) != 0 ||
	    check_url(c, "token_uri", why, whylen) != 0)
		return (-1);
	pem = json_text(c->file, "private_key");
	c->key = jwt_key_parse(pem, strlen(pem), &problem);
	(void)json_object_del(c->file, "private_key");
	return (c->key != NULL ? 0 : complain(why, whylen, "%s", problem));
}

static int
parse_authorized_user(struct google_credentials *c, char *why, size_t whylen)
{
	static const char *const names[] = { "client_id", "client_secret",
	    "refresh_token", NULL };

	if (require(c, names, why, whylen) != 0)
		return (-1);
	return (check_url(c, "token_uri", why, whylen));
}

static int
parse_impersonated(struct google_credentials *c, int depth, char *why,
    size_t whylen)
{
	static const char *const names[] = {
	    "service_account_impersonation_url", NULL };
	json_t *source = json_object_get(c->file, "source_credentials");

	if (require(c, names, why, whylen) != 0 ||
	    check_url(c, names[0], why, whylen) != 0)
		return (-1);
	if (!json_is_object(source))
		return (complain(why, whylen, "source_credentials is missing, "
		    "or not an object"));
	c->source = parse(c->conf, json_incref(source), depth + 1, why,
	    whylen);
	return (c->source != NULL ? 0 : -1);
}

static int
parse_external(struct google_credentials *c, char *why, size_t whylen)
{
	static const char *const names[] = { "audience",
	    "subject_token_type", "token_url", NULL };
	const json_t *source = json_object_get(c->file, "credential_source");
	const char *url = json_text(source, "url");

	if (json_object_get(source, "environment_id") != NULL)
		return (complain(why, whylen, "credential_source is of AWS, "
		    "which is not supported"));
	if (require(c, names, why, whylen) != 0 ||
	    check_url(c, "token_url", why, whylen) != 0 ||
	    check_url(c, "service_account_impersonation_url", why,
	    whylen) != 0)
		return (-1);
	if (json_is_string(json_object_get(source, "file")))
		return (0);

	/* The providers' own metadata servers speak plain HTTP. */
	if (url != NULL && url_check(url) == NULL)
		return (0);
	return (complain(why, whylen, "credential_source must have a file or "
	    "a url; the sources of AWS and executables are not supported"));
}

/* Make credentials of the object ${file}, whose reference is taken over. */
static struct google_credentials *
parse(const struct config *conf, json_t *file, int depth, char *why,
    size_t whylen)
{
	struct google_credentials *c;
	const char *type;
	int rc;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		json_decref(file);
		(void)complain(why, whylen, "out of memory");
		return (NULL);
	}
	c->conf = conf;
	c->file = file;
	type = json_text(c->file, "type");
	if (depth > MAX_DEPTH) {
		rc = complain(why, whylen, "source_credentials are nested too "
		    "deep");
	} else if (type == NULL) {
		rc = complain(why, whylen, "it is not a JSON object with a "
		    "type");
	} else if (check_name(c, "universe_domain", ".-", why, whylen) != 0 ||
	    check_name(c, "quota_project_id", ".:_-", why, whylen) != 0) {
		rc = -1;
	} else if (strcmp(type, "service_account") == 0) {
		c->kind = GOOGLE_SERVICE_ACCOUNT;
		rc = parse_service_account(c, why, whylen);
	} else if (strcmp(type, "authorized_user") == 0) {
		c->kind = GOOGLE_AUTHORIZED_USER;
		rc = parse_authorized_user(c, why, whylen);
	} else if (strcmp(type, "impersonated_service_account") == 0) {
		c->kind = GOOGLE_IMPERSONATED;
		rc = parse_impersonated(c, depth, why, whylen);
	} else if (strcmp(type, "external_account") == 0) {
		c->kind = GOOGLE_EXTERNAL;
		rc = parse_external(c, why, whylen);
	} else
		rc = complain(why, whylen, "its type %.40s is not supported",
		    type);
	if (rc != 0) {
		google_credentials_free(c);
		return (NULL);
	}
	return (c);
}

/* Workload identity has a secret only where it also names a client. */
static int
holds_secret(const struct google_credentials *c)
{

	while (c->source != NULL)
		c = c->source;
	return (c->kind != GOOGLE_EXTERNAL ||
	    json_object_get(c->file, "client_secret") != NULL);
}

/* Nobody else may know the secrets, nor say where our tokens come from. */
static int
check_mode(const struct google_credentials *c, int fd, const char *path,
    char *why, size_t whylen)
{
	struct stat st;

	if (fstat(fd, &st) != 0)
		return (complain(why, whylen, "%s", strerror(errno)));
	if ((st.st_mode & S_IWOTH) != 0 ||
	    ((st.st_mode & S_IROTH) != 0 && holds_secret(c)))
		return (complain(why, whylen, "every user of this machine can "
		    "%s it: run chmod o-rwx %s, and replace the key if one "
		    "may have", (st.st_mode & S_IWOTH) != 0 ? "change" :
		    "read", path));
	return (0);
}

/* Read the open file ${fd} and make credentials of it. */
static struct google_credentials *
load(const struct config *conf, int fd, const char *path, char *why,
    size_t whylen)
{
	struct google_credentials *c = NULL;
	char *text, problem[1024] = "it cannot be read, or is too long";
	struct stat st;
	json_t *file;
	size_t len;

	if (fstat(fd, &st) == 0 && !S_ISREG(st.st_mode)) {
		(void)complain(problem, sizeof(problem), "it is not a regular "
		    "file");
	} else if ((text = secret_read(fd, MAX_FILE, &len)) != NULL) {
		file = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
		secret_free(text, len);
		c = parse(conf, file, 0, problem, sizeof(problem));
	}
	if (c != NULL &&
	    check_mode(c, fd, path, problem, sizeof(problem)) != 0) {
		google_credentials_free(c);
		c = NULL;
	}
	if (c == NULL)
		(void)complain(why, whylen, "the credentials file %s: %s",
		    path, problem);
	return (c);
}

/* Open the file ${path}; a FIFO there must not make us wait for a writer. */
static int
open_file(const char *path)
{

	return (open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK));
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
	return (open_file(path));
}

/**
 * google_credentials_find(conf, why, whylen):
 * Find and read the credentials.  Return NULL and one line in ${why} if they
 * cannot be used.
 */
struct google_credentials *
google_credentials_find(const struct config *conf, char *why, size_t whylen)
{
	struct google_credentials *c;
	char path[4096];
	int fd;

	if (conf->application_credentials != NULL) {
		(void)snprintf(path, sizeof(path), "%s",
		    conf->application_credentials);
		if ((fd = open_file(path)) < 0) {
			(void)complain(why, whylen,
			    "GOOGLE_APPLICATION_CREDENTIALS names %s: %s",
			    path, strerror(errno));
			return (NULL);
		}
	} else
		fd = open_gcloud_file(conf, path, sizeof(path));
	if (fd >= 0) {
		c = load(conf, fd, path, why, whylen);
		(void)close(fd);
		return (c);
	}

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		(void)complain(why, whylen, "out of memory");
		return (NULL);
	}
	c->conf = conf;
	c->kind = GOOGLE_METADATA;
	return (c);
}

/* The text ${name}, unless it is absent or empty. */
static const char *
name_of(const struct google_credentials *c, const char *name)
{
	const char *value = json_text(c->file, name);

	return (value != NULL && *value != '\0' ? value : NULL);
}

/**
 * google_credentials_quota_project(credentials):
 * Return the project that calls are counted against, or NULL.
 */
const char *
google_credentials_quota_project(const struct google_credentials *c)
{

	return (c->conf->quota_project != NULL ? c->conf->quota_project :
	    name_of(c, "quota_project_id"));
}

/**
 * google_credentials_universe(credentials):
 * Return the domain of the service, "googleapis.com" unless the credentials
 * name another one.
 */
const char *
google_credentials_universe(const struct google_credentials *c)
{
	const char *universe = name_of(c, "universe_domain");

	return (universe != NULL ? universe : "googleapis.com");
}

/**
 * google_credentials_free(credentials):
 * Wipe and free ${credentials}; NULL is fine.
 */
void
google_credentials_free(struct google_credentials *c)
{

	if (c == NULL)
		return;
	google_credentials_free(c->source);
	EVP_PKEY_free(c->key);
	json_decref(c->file);
	free(c);
}
