#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

#include "complain.h"
#include "config.h"
#include "google_credentials_internal.h"
#include "http.h"
#include "json_text.h"
#include "jwt.h"
#include "rfc3339.h"
#include "secret.h"
#include "token_request.h"

#include "google_token.h"

#define SCOPE		"https://www.googleapis.com/auth/cloud-platform"
#define TOKEN_URI	"https://oauth2.googleapis.com/token"

/* How long a token lives that we sign ourselves or ask for, in seconds. */
#define LIFETIME	3600

/* No token is kept for longer, whatever its giver says, in seconds. */
#define MAX_LIFETIME	86400

/* How long a token is kept whose giver does not say, in seconds. */
#define UNTOLD_LIFETIME	300

/* The most a file with a subject token may have, in bytes. */
#define MAX_FILE	65536

/* Can ${text} be a bearer token (RFC 6750, 2.1)?  It goes into a header. */
static int
is_token(const char *text)
{
	const char *p;

	for (p = text; *p > ' ' && *p < 0x7f; p++)
		continue;
	return (p > text && *p == '\0');
}

/* The end of a token that its giver says lives for ${seconds} from ${now}. */
static time_t
end_of(time_t now, double seconds)
{

	return (now + (time_t)(seconds < MAX_LIFETIME ? seconds :
	    MAX_LIFETIME));
}

/*
 * Return how many seconds a token lives whose "expires_in" is ${lifetime}, or 0
 * if that makes no sense.  Some servers write the number as a text; others
 * leave it out, as RFC 6749 allows (5.1).
 */
static double
seconds_of(const json_t *lifetime)
{
	const char *text = json_string_value(lifetime);

	if (lifetime == NULL || json_is_null(lifetime))
		return (UNTOLD_LIFETIME);
	if (text == NULL)
		return (json_number_value(lifetime));
	return (strspn(text, "0123456789") == strlen(text) ?
	    strtod(text, NULL) : 0);
}

/* Put "access_token" and "expires_in" of ${answer} into ${token}. */
static int
take_token(const json_t *answer, time_t now, struct google_token *token,
    const char *from, char *why, size_t whylen)
{
	const char *text = json_text(answer, "access_token");
	double seconds = seconds_of(json_object_get(answer, "expires_in"));

	if (text == NULL || !is_token(text))
		return (complain(why, whylen, "the %s gave an answer without "
		    "access_token", from));
	if (!(seconds > 0))
		return (complain(why, whylen, "the %s gave an access_token "
		    "whose expires_in is no time", from));
	if ((token->text = strdup(text)) == NULL)
		return (complain(why, whylen, "out of memory"));
	token->expires = end_of(now, seconds);
	return (0);
}

/* Have ${request} answered with a token, which is at ${from}. */
static int
ask(struct http *http, const struct http_request *request, const char *from,
    time_t now, struct google_token *token, char *why, size_t whylen)
{
	json_t *answer;
	int rc;

	answer = token_request_perform(http, request, from, why, whylen);
	if (answer == NULL)
		return (-1);
	rc = take_token(answer, now, token, from, why, whylen);
	json_decref(answer);
	return (rc);
}

/* Post ${form}, which is taken over, to ${url}. */
static int
ask_with_form(struct http *http, const char *url, struct token_form *form,
    const char *authorization, time_t now, struct google_token *token,
    char *why, size_t whylen)
{
	const char *headers[] = {
	    "Content-Type: application/x-www-form-urlencoded", authorization,
	    NULL };
	struct http_request request = { .method = "POST", .url = url,
	    .headers = headers };
	int rc;

	if (token_form_end(form, &request.body, &request.body_len) != 0)
		rc = complain(why, whylen, "out of memory");
	else
		rc = ask(http, &request, "token endpoint", now, token, why,
		    whylen);
	token_form_free(form);
	return (rc);
}

/* Sign a token for the scope, or, with ${audience}, an assertion for it. */
static char *
sign(const struct google_credentials *c, const char *audience, time_t now)
{
	const char *email = json_text(c->file, "client_email");
	json_t *claims;
	char *token;

	claims = json_pack("{s:s, s:s, s:s, s:s*, s:I, s:I}",
	    "iss", email, "sub", email, "scope", SCOPE, "aud", audience,
	    "iat", (json_int_t)now, "exp", (json_int_t)now + LIFETIME);
	if (claims == NULL)
		return (NULL);
	token = jwt_sign(json_text(c->file, "private_key_id"), claims, c->key);
	json_decref(claims);
	return (token);
}

static int
fetch_service_account(const struct google_credentials *c, struct http *http,
    time_t now, struct google_token *token, char *why, size_t whylen)
{
	const char *uri = json_text(c->file, "token_uri");
	int exchange = uri != NULL && strcmp(uri, TOKEN_URI) != 0 &&
	    strcmp(uri, "https://accounts.google.com/o/oauth2/token") != 0;
	struct token_form form;
	char *text;
	int rc;

	if ((text = sign(c, exchange ? uri : NULL, now)) == NULL)
		return (complain(why, whylen, "a token could not be signed "
		    "with the key of the service account"));
	if (!exchange) {
		token->text = text;
		token->expires = now + LIFETIME;
		return (0);
	}
	token_form_begin(&form);
	token_form_add(&form, "grant_type",
	    "urn:ietf:params:oauth:grant-type:jwt-bearer");
	token_form_add(&form, "assertion", text);
	secret_free(text, strlen(text));
	rc = ask_with_form(http, uri, &form, NULL, now, token, why, whylen);
	return (rc);
}

static int
fetch_authorized_user(const struct google_credentials *c, struct http *http,
    time_t now, struct google_token *token, char *why, size_t whylen)
{
	const char *uri = json_text(c->file, "token_uri");
	struct token_form form;

	token_form_begin(&form);
	token_form_add(&form, "grant_type", "refresh_token");
	token_form_add(&form, "client_id", json_text(c->file, "client_id"));
	token_form_add(&form, "client_secret", json_text(c->file,
	    "client_secret"));
	token_form_add(&form, "refresh_token", json_text(c->file,
	    "refresh_token"));
	return (ask_with_form(http, uri != NULL ? uri : TOKEN_URI, &form,
	    NULL, now, token, why, whylen));
}

static int
fetch_metadata(const struct google_credentials *c, struct http *http,
    time_t now, struct google_token *token, char *why, size_t whylen)
{
	const char *headers[] = { "Metadata-Flavor: Google", NULL };
	const char *flavor;
	char *url;
	struct http_request request = { .method = "GET", .headers = headers };
	int rc;

	if (asprintf(&url, "http://%s/computeMetadata/v1/instance/"
	    "service-accounts/default/token", c->conf->metadata_host) < 0)
		return (complain(why, whylen, "out of memory"));
	request.url = url;
	rc = ask(http, &request, "metadata server", now, token, why, whylen);
	free(url);
	if (rc != 0)
		return (-1);

	/* Whoever answered must be Google's. */
	flavor = http_header(http, "Metadata-Flavor");
	if (flavor == NULL || strcmp(flavor, "Google") != 0) {
		google_token_clear(token);
		return (complain(why, whylen, "what answers as metadata "
		    "server is not Google's"));
	}
	return (0);
}

/* Put "accessToken" and "expireTime" of ${answer} into ${token}. */
static int
take_impersonated(const json_t *answer, time_t now, struct google_token *token,
    char *why, size_t whylen)
{
	const char *text = json_text(answer, "accessToken");
	const char *expires = json_text(answer, "expireTime");
	int64_t ms;
	time_t end;

	if (text == NULL || !is_token(text) || expires == NULL ||
	    rfc3339_parse(expires, &ms) != 0)
		return (complain(why, whylen, "the service that impersonates "
		    "gave an answer without accessToken and expireTime"));
	end = (time_t)(ms / 1000);
	if (end <= now)
		return (complain(why, whylen, "the service that impersonates "
		    "gave a token that has ended: is the clock right?"));
	if ((token->text = strdup(text)) == NULL)
		return (complain(why, whylen, "out of memory"));
	token->expires = end_of(now, (double)(end - now));
	return (0);
}

/* Exchange ${token} for one of the service account of ${url}. */
static int
impersonate(const struct google_credentials *c, struct http *http,
    time_t now, struct google_token *token, char *why, size_t whylen)
{
	json_t *delegates = json_object_get(c->file, "delegates");
	const char *headers[3] = { "Content-Type: application/json" };
	struct http_request request = { .method = "POST",
	    .url = json_text(c->file, "service_account_impersonation_url"),
	    .headers = headers };
	json_t *body, *answer;
	char *bearer = NULL, *json = NULL;
	int rc = -1;

	delegates = json_is_array(delegates) ? json_incref(delegates) :
	    json_array();
	body = json_pack("{s:o, s:[s], s:s}", "delegates", delegates, "scope",
	    SCOPE, "lifetime", "3600s");
	if (body == NULL || (json = json_dumps(body, JSON_COMPACT)) == NULL ||
	    (bearer = secret_concat(SECRET_TEXTS("Authorization: Bearer ",
	    token->text))) == NULL) {
		rc = complain(why, whylen, "out of memory");
		goto out;
	}
	headers[1] = bearer;
	request.body = json;
	request.body_len = strlen(json);
	google_token_clear(token);

	answer = token_request_perform(http, &request,
	    "service that impersonates", why, whylen);
	if (answer == NULL)
		goto out;
	rc = take_impersonated(answer, now, token, why, whylen);
	json_decref(answer);

out:
	if (bearer != NULL)
		secret_free(bearer, strlen(bearer));
	free(json);
	json_decref(body);
	return (rc);
}

/* The subject token in ${text}, bare or a member of an object. */
static char *
pick_subject(const struct google_credentials *c, const char *text, size_t len)
{
	const json_t *source = json_object_get(c->file, "credential_source");
	const json_t *format = json_object_get(source, "format");
	const char *type = json_text(format, "type");
	const char *field = json_text(format, "subject_token_field_name");
	const char *value;
	char *subject = NULL;
	json_t *root;

	if (type == NULL || strcmp(type, "json") != 0) {
		/* Bare, apart from the newline at the end of a file. */
		while (len > 0 && strchr(" \r\n\t", text[len - 1]) != NULL)
			len--;
		return (len > 0 ? strndup(text, len) : NULL);
	}
	root = json_loadb(text, len, JSON_REJECT_DUPLICATES, NULL);
	value = json_text(root, field != NULL ? field : "");
	if (value != NULL)
		subject = strdup(value);
	json_decref(root);
	return (subject);
}

static char *
subject_from_file(const struct google_credentials *c, const char *path,
    char *why, size_t whylen)
{
	char *text, *subject = NULL;
	size_t len;
	int fd;

	/* A FIFO there must not make us wait for a writer. */
	if ((fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)) < 0) {
		(void)complain(why, whylen, "the file with the subject token, "
		    "%.200s: %s", path, strerror(errno));
		return (NULL);
	}
	if ((text = secret_read(fd, MAX_FILE, &len)) != NULL) {
		subject = pick_subject(c, text, len);
		secret_free(text, len);
	}
	(void)close(fd);
	return (subject);
}

static char *
subject_from_url(const struct google_credentials *c, struct http *http,
    const char *url, char *why, size_t whylen)
{
	json_t *wanted = json_object_get(json_object_get(c->file,
	    "credential_source"), "headers");
	struct token_headers headers;
	struct http_request request = { .method = "GET", .url = url };
	char *subject = NULL;

	if (token_headers_from(&headers, wanted) == 0) {
		request.headers = headers.list;
		if (token_request_send(http, &request, "source of the subject "
		    "token", why, whylen) == 0)
			subject = pick_subject(c, http_body(http),
			    http_body_len(http));
		http_wipe(http);
	}
	token_headers_free(&headers);
	return (subject);
}

/* A client that authenticates itself does so with its id and secret. */
static char *
client_authorization(const struct google_credentials *c)
{

	if (json_text(c->file, "client_id") == NULL ||
	    json_text(c->file, "client_secret") == NULL)
		return (NULL);
	return (token_basic_authorization(json_text(c->file, "client_id"),
	    json_text(c->file, "client_secret")));
}

static int
fetch_external(const struct google_credentials *c, struct http *http,
    time_t now, struct google_token *token, char *why, size_t whylen)
{
	const json_t *source = json_object_get(c->file, "credential_source");
	const char *file = json_text(source, "file");
	const char *url = json_text(source, "url");
	struct token_form form;
	char *subject, *authorization;
	int rc;

	(void)complain(why, whylen, "%.200s holds no subject token of the "
	    "external account, or not as credential_source.format says",
	    file != NULL ? file : url);
	subject = file != NULL ? subject_from_file(c, file, why, whylen) :
	    subject_from_url(c, http, url, why, whylen);
	if (subject == NULL)
		return (-1);
	token_form_begin(&form);
	token_form_add(&form, "grant_type",
	    "urn:ietf:params:oauth:grant-type:token-exchange");
	token_form_add(&form, "audience", json_text(c->file, "audience"));
	token_form_add(&form, "scope", SCOPE);
	token_form_add(&form, "requested_token_type",
	    "urn:ietf:params:oauth:token-type:access_token");
	token_form_add(&form, "subject_token", subject);
	token_form_add(&form, "subject_token_type",
	    json_text(c->file, "subject_token_type"));
	secret_free(subject, strlen(subject));
	authorization = client_authorization(c);
	rc = ask_with_form(http, json_text(c->file, "token_url"), &form,
	    authorization, now, token, why, whylen);
	if (authorization != NULL)
		secret_free(authorization, strlen(authorization));
	if (rc == 0 && json_text(c->file,
	    "service_account_impersonation_url") != NULL)
		rc = impersonate(c, http, now, token, why, whylen);
	return (rc);
}

/**
 * google_token_fetch(credentials, http, now, token, why, whylen):
 * Get a new ${token}, which the caller clears.  ${http} is used where somebody
 * must be asked; 408, 429 and 5xx are tried again a few times.  Return 0, or
 * -1 and one line in ${why}.
 */
int
google_token_fetch(const struct google_credentials *c,
    struct http *http, time_t now, struct google_token *token, char *why,
    size_t whylen)
{

	token->text = NULL;
	switch (c->kind) {
	case GOOGLE_SERVICE_ACCOUNT:
		return (fetch_service_account(c, http, now, token, why,
		    whylen));
	case GOOGLE_AUTHORIZED_USER:
		return (fetch_authorized_user(c, http, now, token, why,
		    whylen));
	case GOOGLE_EXTERNAL:
		return (fetch_external(c, http, now, token, why, whylen));
	case GOOGLE_METADATA:
		return (fetch_metadata(c, http, now, token, why, whylen));
	case GOOGLE_IMPERSONATED:
		break;
	}
	if (google_token_fetch(c->source, http, now, token, why,
	    whylen) != 0)
		return (-1);
	return (impersonate(c, http, now, token, why, whylen));
}

/**
 * google_token_clear(token):
 * Wipe and free the text of ${token}.
 */
void
google_token_clear(struct google_token *token)
{

	if (token->text != NULL)
		secret_free(token->text, strlen(token->text));
	token->text = NULL;
}
