#ifndef URL_H_
#define URL_H_

/*
 * What the configuration may name as a peer.  Tokens and secrets travel on
 * these connections, so plain HTTP is accepted to this machine only.
 */

/**
 * url_check(url):
 * Return NULL if ${url} is an absolute http or https URL without user,
 * fragment, control characters or blanks; otherwise a static sentence that
 * says what is wrong with it.
 */
const char *url_check(const char *);

/**
 * url_is_https(url):
 * Return non-zero iff ${url} begins with "https://".
 */
int url_is_https(const char *);

/**
 * url_is_loopback(url):
 * Return non-zero iff the host of ${url} is "localhost", an address of
 * 127.0.0.0/8, or [::1].
 */
int url_is_loopback(const char *);

/**
 * url_is_safe(url):
 * Return non-zero iff a secret may be sent to ${url}: https, or http to a
 * loopback address.
 */
int url_is_safe(const char *);

#endif /* !URL_H_ */
