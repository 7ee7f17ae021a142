#include <sys/socket.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <strings.h>

#include <curl/urlapi.h>

#include "url.h"

/* Let curl, which will have to use it, take ${url} apart. */
static CURLU *
parse(const char *url)
{
	CURLU *u;

	if ((u = curl_url()) == NULL)
		return (NULL);
	if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK) {
		curl_url_cleanup(u);
		return (NULL);
	}
	return (u);
}

static int
has_part(CURLU *u, CURLUPart part)
{
	char *s = NULL;
	int has = curl_url_get(u, part, &s, 0) == CURLUE_OK;

	curl_free(s);
	return (has);
}

/**
 * url_check(url):
 * Return NULL if ${url} is an absolute http or https URL without user,
 * fragment, control characters or blanks; otherwise a static sentence that
 * says what is wrong with it.
 */
const char *
url_check(const char *url)
{
	const char *p, *why = NULL;
	CURLU *u;

	for (p = url; *p != '\0'; p++) {
		if ((unsigned char)*p <= ' ' || *p == 0x7f)
			return ("has a blank or a control character");
		if (*p == '#')
			return ("has a fragment (#...)");
	}
	if (strncasecmp(url, "http://", 7) != 0 &&
	    strncasecmp(url, "https://", 8) != 0)
		return ("does not begin with https:// (or http://)");
	if (strncmp(strchr(url, ':'), ":///", 4) == 0 ||
	    (u = parse(url)) == NULL)
		return ("is not a URL with a host");
	if (has_part(u, CURLUPART_USER) || has_part(u, CURLUPART_PASSWORD))
		why = "has a user name in it";
	curl_url_cleanup(u);
	return (why);
}

/**
 * url_is_https(url):
 * Return non-zero iff ${url} begins with "https://".
 */
int
url_is_https(const char *url)
{

	return (strncasecmp(url, "https://", 8) == 0);
}

/**
 * url_is_loopback(url):
 * Return non-zero iff the host of ${url} is "localhost", an address of
 * 127.0.0.0/8, or [::1].
 */
int
url_is_loopback(const char *url)
{
	struct in_addr addr;
	char *host = NULL;
	CURLU *u;
	int is = 0;

	if ((u = parse(url)) == NULL)
		return (0);
	if (curl_url_get(u, CURLUPART_HOST, &host, 0) == CURLUE_OK) {
		if (strcasecmp(host, "localhost") == 0 ||
		    strcmp(host, "[::1]") == 0)
			is = 1;
		else if (inet_pton(AF_INET, host, &addr) == 1)
			is = (ntohl(addr.s_addr) >> 24) == 127;
	}
	curl_free(host);
	curl_url_cleanup(u);
	return (is);
}

/**
 * url_is_safe(url):
 * Return non-zero iff a secret may be sent to ${url}: https, or http to a
 * loopback address.
 */
int
url_is_safe(const char *url)
{

	return (url_is_https(url) || (strncasecmp(url, "http://", 7) == 0 &&
	    url_is_loopback(url)));
}
