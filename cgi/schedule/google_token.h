#ifndef GOOGLE_TOKEN_H_
#define GOOGLE_TOKEN_H_

#include <stddef.h>
#include <time.h>

struct google_credentials;
struct http;

/*
 * Access tokens for Google's services, obtained with the credentials of
 * google_credentials.h, each in the way that their type prescribes.
 */

/* An access token; the text is a secret. */
struct google_token {
	char *text;
	time_t expires;
};

/**
 * google_token_fetch(credentials, http, now, token, why, whylen):
 * Get a new ${token}, which the caller clears.  ${http} is used where somebody
 * must be asked; 408, 429 and 5xx are tried again a few times.  Return 0, or
 * -1 and one line in ${why}.
 */
int google_token_fetch(const struct google_credentials *, struct http *, time_t,
    struct google_token *, char *, size_t);

/**
 * google_token_clear(token):
 * Wipe and free the text of ${token}.
 */
void google_token_clear(struct google_token *);

#endif /* !GOOGLE_TOKEN_H_ */
