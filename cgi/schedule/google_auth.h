#ifndef GOOGLE_AUTH_H_
#define GOOGLE_AUTH_H_

#include <stddef.h>
#include <time.h>

struct config;
struct http;

/*
 * The access token with which Google is called, got with the credentials of
 * google_credentials.h and kept for its lifetime: fetched by one worker at a
 * time, for all of them; renewed early; kept in use while a renewal fails.
 */
struct google_auth;

/**
 * google_auth_new(conf, why, whylen):
 * Find and read the credentials.  To be called before the workers are forked.
 * Return NULL and one line in ${why} on failure.
 */
struct google_auth *google_auth_new(const struct config *, char *, size_t);

/**
 * google_auth_token(auth, http, now, refused, why, whylen):
 * Return an access token that is good at ${now} and for some minutes more, as
 * a string that the caller wipes and frees, using ${http} where somebody must
 * be asked.  With ${refused} set, the one that was returned at that time was
 * refused: get another, unless somebody has tried to since.
 * Return NULL and one line in ${why} if there is none; it may be tried again.
 */
char *google_auth_token(struct google_auth *, struct http *, time_t, time_t,
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
