#ifndef GOOGLE_CREDENTIALS_H_
#define GOOGLE_CREDENTIALS_H_

#include <stddef.h>

struct config;

/*
 * Who we are towards Google: Application Default Credentials
 * (https://google.aip.dev/auth/4110), found in the order Google's libraries
 * use:
 *
 * 1. the file that GOOGLE_APPLICATION_CREDENTIALS names (which must exist);
 * 2. application_default_credentials.json in CLOUDSDK_CONFIG, or else in
 *    ~/.config/gcloud;
 * 3. the metadata server.
 *
 * A file is of one of these types:
 *
 * service_account: tokens are signed with its key; nobody is asked
 *     (aip.dev/auth/4111), unless its token_uri is not Google's own: then the
 *     signed assertion is exchanged there (RFC 7523).
 * authorized_user: a refresh token is exchanged at token_uri (RFC 6749, 6).
 * impersonated_service_account: the token of the credentials inside it is
 *     exchanged for one of the service account.
 * external_account: a token of another provider, from a file or a URL, is
 *     exchanged at token_url (RFC 8693), and then perhaps as above.
 *
 * A file that everybody may write is refused, and so is one that everybody may
 * read unless there is no secret in it, as in most of the last type.
 */
struct google_credentials;

/**
 * google_credentials_find(conf, why, whylen):
 * Find and read the credentials.  Return NULL and one line in ${why} if they
 * cannot be used.
 */
struct google_credentials *google_credentials_find(const struct config *,
    char *, size_t);

/**
 * google_credentials_quota_project(credentials):
 * Return the project that calls are counted against, or NULL.
 */
const char *google_credentials_quota_project(
    const struct google_credentials *);

/**
 * google_credentials_universe(credentials):
 * Return the domain of the service, "googleapis.com" unless the credentials
 * name another one.
 */
const char *google_credentials_universe(const struct google_credentials *);

/**
 * google_credentials_free(credentials):
 * Wipe and free ${credentials}; NULL is fine.
 */
void google_credentials_free(struct google_credentials *);

#endif /* !GOOGLE_CREDENTIALS_H_ */
