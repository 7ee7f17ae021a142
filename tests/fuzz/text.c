#include <arpa/inet.h>
#include <netinet/in.h>
#include <strings.h>

#include <jansson.h>

#include "fuzz.h"
#include "url.h"
#include "utf8.h"
#include "uuid.h"

/*
 * The small judges of text: UTF-8, UUIDs and URLs.
 */

static void
check_utf8(const char *text, size_t len)
{
	size_t n, whole = strlen(text);
	json_t *json;
	char *clean;

	/* Jansson has an opinion of its own on what UTF-8 is. */
	json = json_stringn(text, len);
	FUZZ_REQUIRE((json != NULL) == utf8_valid(text, len));
	json_decref(json);
	n = utf8_len(text, len);
	FUZZ_REQUIRE(n <= 4 && n <= len && (n > 0 || len == 0 ||
	    !utf8_valid(text, len)));
	FUZZ_REQUIRE(n == 0 || utf8_valid(text, n));

	/* Cleaning mends what is broken, and that only. */
	clean = fuzz_text(text, whole);
	utf8_clean(clean);
	FUZZ_REQUIRE(strlen(clean) == whole && utf8_valid(clean, whole));
	if (utf8_valid(text, whole))
		FUZZ_REQUIRE(strcmp(clean, text) == 0);
	free(clean);
}

static void
check_uuid(const char *text)
{
	char uuid[UUID_LEN], again[UUID_LEN];

	if (uuid_parse(text, uuid) != 0)
		return;
	FUZZ_REQUIRE(fuzz_is_uuid(uuid) && strcasecmp(uuid, text) == 0);
	FUZZ_REQUIRE(uuid_parse(uuid, again) == 0 &&
	    strcmp(uuid, again) == 0);
}

/*
 * A second opinion on the host at the front of the text: is it this machine?
 * Numbers have many ways to be written, which are left to curl.
 */
static int
is_this_machine(const char *host)
{
	static const struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;
	size_t len = strcspn(host, "/?:");
	struct in6_addr addr;
	char buf[64];

	if (*host == '[') {
		len = strcspn(++host, "]");
		if (len >= sizeof(buf))
			return (0);
		memcpy(buf, host, len);
		buf[len] = '\0';
		return (inet_pton(AF_INET6, buf, &addr) == 1 &&
		    memcmp(&addr, &loopback, sizeof(addr)) == 0);
	}
	return ((len == strlen("localhost") &&
	    strncasecmp(host, "localhost", len) == 0) ||
	    memchr(host, '%', len) != NULL ||
	    strspn(host, "0123456789abcdefxABCDEFX.") == len);
}

static void
check_url(const char *text)
{
	const char *why = url_check(text), *p;

	if (why != NULL) {
		FUZZ_REQUIRE(fuzz_is_line(why));
		return;
	}

	/* Nothing that could break a request line or a log line. */
	for (p = text; *p != '\0'; p++)
		FUZZ_REQUIRE((unsigned char)*p > ' ' && *p != 0x7f);
	FUZZ_REQUIRE(strchr(text, '#') == NULL);
	FUZZ_REQUIRE(strncasecmp(text, url_is_https(text) ? "https://" :
	    "http://", url_is_https(text) ? 8 : 7) == 0);

	/* A secret goes in plain text to no host that has another name. */
	if (url_is_safe(text) && !url_is_https(text))
		FUZZ_REQUIRE(is_this_machine(text + strlen("http://")));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = fuzz_text(data, len);

	check_utf8(text, len);
	check_uuid(text);
	check_url(text);
	free(text);
	return (0);
}
