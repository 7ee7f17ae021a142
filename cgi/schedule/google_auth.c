#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "google_credentials.h"
#include "google_token.h"
#include "log.h"
#include "metrics.h"
#include "shared_document.h"

#include "google_auth.h"

/*
 * Renew when less is left, in seconds, than a call and its retries can cost.
 * The metadata server hands out the same token until four minutes before its
 * end, so that asking earlier than that would be in vain.
 */
#define RENEW_EARLY	225

/*
 * Between two attempts to renew, in seconds: while there is no token; and while
 * the last one still works, since each attempt at a service that hangs holds up
 * its worker for a quarter of a minute.
 */
#define RENEW_INTERVAL	2
#define RENEW_AT_EASE	30

/* The longest token, in bytes. */
#define MAX_TOKEN	16384

struct google_auth {
	struct google_credentials *credentials;
	struct shared_document *token;
};

/**
 * google_auth_new(conf, why, whylen):
 * Find and read the credentials.  To be called before the workers are forked.
 * Return NULL and one line in ${why} on failure.
 */
struct google_auth *
google_auth_new(const struct config *conf, char *why, size_t whylen)
{
	struct google_auth *auth;

	if ((auth = calloc(1, sizeof(*auth))) == NULL ||
	    (auth->token = shared_document_new(MAX_TOKEN)) == NULL) {
		(void)snprintf(why, whylen, "out of memory");
		free(auth);
		return (NULL);
	}
	auth->credentials = google_credentials_find(conf, why, whylen);
	if (auth->credentials == NULL) {
		google_auth_free(auth);
		return (NULL);
	}
	return (auth);
}

/* Fetch a token and share it; shared_document_renewal_begin said we shall. */
static void
renew(struct google_auth *auth, struct http *http, time_t now, char *why,
    size_t whylen)
{
	struct google_token token;
	int rc;

	rc = google_token_fetch(auth->credentials, http, now, &token, why,
	    whylen);
	if (rc == 0 && strlen(token.text) > MAX_TOKEN) {
		google_token_clear(&token);
		(void)snprintf(why, whylen, "the access token for Google is "
		    "longer than %d bytes", MAX_TOKEN);
		rc = -1;
	}
	if (rc != 0) {
		shared_document_renewal_end(auth->token, NULL, 0, 0);
		log_warning(NULL, "no new access token for Google: %s", why);
		return;
	}
	shared_document_renewal_end(auth->token, token.text, strlen(token.text),
	    token.expires);
	metrics_set(METRICS_CREDENTIALS_EXPIRY, 0, token.expires * 1000L);
	google_token_clear(&token);
}

/**
 * google_auth_token(auth, http, now, refused, why, whylen):
 * Return an access token that is good at ${now} and for some minutes more, as
 * a string that the caller wipes and frees, using ${http} where somebody must
 * be asked.  With ${refused} set, the one that was returned at that time was
 * refused: get another, unless somebody has tried to since.
 * Return NULL and one line in ${why} if there is none; it may be tried again.
 */
char *
google_auth_token(struct google_auth *auth, struct http *http, time_t now,
    time_t refused, char *why, size_t whylen)
{
	time_t expires = shared_document_expires(auth->token);
	time_t interval = refused == 0 && now < expires ? RENEW_AT_EASE :
	    RENEW_INTERVAL;
	uint64_t generation;
	size_t len;

	(void)snprintf(why, whylen, "there is no access token for Google yet");
	if (refused != 0 && now - refused >= interval)
		interval = now - refused + 1;
	if (refused != 0 || now >= expires - RENEW_EARLY) {
		/* Who has a token that still works need not wait. */
		if (shared_document_renewal_begin(auth->token,
		    refused != 0 ? DOCUMENT_WANTING : DOCUMENT_EXPIRED,
		    refused != 0 || now >= expires, now, interval))
			renew(auth, http, now, why, whylen);
	}
	if (now >= shared_document_expires(auth->token))
		return (NULL);
	return (shared_document_copy(auth->token, &len, &generation));
}

/**
 * google_auth_quota_project(auth):
 * Return the project that calls are counted against, or NULL.
 */
const char *
google_auth_quota_project(const struct google_auth *auth)
{

	return (google_credentials_quota_project(auth->credentials));
}

/**
 * google_auth_universe(auth):
 * Return the domain of the service, "googleapis.com" unless the credentials
 * name another one.
 */
const char *
google_auth_universe(const struct google_auth *auth)
{

	return (google_credentials_universe(auth->credentials));
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
	google_credentials_free(auth->credentials);
	shared_document_free(auth->token);
	free(auth);
}
