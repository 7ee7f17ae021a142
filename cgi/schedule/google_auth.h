#ifndef GOOGLE_AUTH_H_
#define GOOGLE_AUTH_H_

#include <stddef.h>
#include <time.h>

struct config;
struct http;

/*
 * Who we are towards Google: Application Default Credentials, found in the
 * order Google's libraries use:
 *
 * 1. the file that GOOGLE_APPLICATION_CREDENTIALS names (which must exist);
 * 2. application_default_credentials.json in CLOUDSDK_CONFIG, or else in
 *    ~/.config/gcloud;
 * 3. the metadata server.
 *
 * A service account signs its tokens itself (https://google.aip.dev/auth/4111)
 * and asks nobody; an authorized user and the metadata server are asked for
 * tokens, by one worker at a time, for all of them.
 */
struct google_auth;

/**
 * google_auth_new(conf, why, whylen):
 * Find and read the credentials.  To be called before the workers are forked.
 * Return NULL and one line in ${why} on failure.
 */
struct google_auth *google_auth_new(const struct config *, char *, size_t);

/**
 * google_auth_token(auth, http, now, fresh, why, whylen):
 * Return an access token that is good at ${now} and for some minutes more, as
 * a string that the caller wipes and frees, using ${http} where somebody must
 * be asked.  With ${fresh} set, the last token was refused: get another.
 * Return NULL and one line in ${why} if there is none; it may be tried again.
 */
char *google_auth_token(struct google_auth *, struct http *, time_t, int,
    char *, size_t);

/**
 * google_auth_quota_project(auth):
 * Return the project that calls are counted against, or NULL.
 */
const char *google_auth_quota_project(const struct google_auth *);

/**
 * google_auth_universe(auth):
 * Return the domain of the service, "googleapis.com" unless the credentials
 * name another one.
 */
const char *google_auth_universe(const struct google_auth *);

/**
 * google_auth_free(auth):
 * Wipe and free ${auth}; NULL is fine.
 */
void google_auth_free(struct google_auth *);

#endif /* !GOOGLE_AUTH_H_ */
