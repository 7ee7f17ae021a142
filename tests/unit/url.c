#include <string.h>

#include "url.h"

#include "unit.h"

#define PLAIN	"does not begin with"

static const struct {
	const char *url;
	const char *why;	/* part of the sentence; NULL: good */
} checked[] = {
	{ "https://example.com", NULL },
	{ "https://example.com/", NULL },
	{ "HTTPS://EXAMPLE.COM/Path", NULL },
	{ "http://example.com:8080/a/b?c=d&e=%20", NULL },
	{ "http://127.0.0.1:1/", NULL },
	{ "http://[::1]:8080/", NULL },
	{ "https://xn--bcher-kva.example/", NULL },
	{ "", PLAIN },
	{ "example.com", PLAIN },
	{ "//example.com/", PLAIN },
	{ "/path", PLAIN },
	{ "http:/example.com", PLAIN },
	{ "https:example.com", PLAIN },
	{ "ftp://example.com/", PLAIN },
	{ "file:///etc/passwd", PLAIN },
	{ "gopher://example.com/", PLAIN },
	{ "javascript:alert(1)", PLAIN },
	{ "httpsx://example.com/", PLAIN },
	{ "https://", "is not a URL" },
	{ "https://example.com:port/", "is not a URL" },
	{ "https://example.com:65536/", "is not a URL" },
	{ "https://[::1/", "is not a URL" },
	{ "https://user@example.com/", "user name" },
	{ "https://user:word@example.com/", "user name" },
	{ "https://example.com@example.org/", "user name" },
	{ "https://example.com/#top", "fragment" },
	{ "https://example.com/#", "fragment" },
	{ "http:///example.com/", "is not a URL" },
	{ "https://example.com/a b", "blank or a control" },
	{ " https://example.com/", "blank or a control" },
	{ "https://example.com/\r\nHost: example.org", "blank or a control" },
	{ "https://example.com/\n", "blank or a control" },
	{ "https://example.com/\t", "blank or a control" },
	{ "https://exam\x7fple.com/", "blank or a control" },
};

static void
test_check(void **state)
{
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(checked); i++) {
		why = url_check(checked[i].url);
		if (checked[i].why == NULL)
			ASSERT_ROW(why == NULL, checked[i].url);
		else
			ASSERT_ROW(why != NULL &&
			    strstr(why, checked[i].why) != NULL,
			    checked[i].url);
	}
}

/* Who may be told a secret in plain text. */
static const struct {
	const char *url;
	int https, loopback;
} peers[] = {
	{ "https://example.com/", 1, 0 },
	{ "HttpS://example.com/", 1, 0 },
	{ "https://127.0.0.1/", 1, 1 },
	{ "http://localhost/", 0, 1 },
	{ "http://LOCALHOST:8080/x", 0, 1 },
	{ "http://127.0.0.1/", 0, 1 },
	{ "http://127.255.255.254:80/", 0, 1 },
	{ "http://[::1]/", 0, 1 },
	{ "http://[::1]:8080/", 0, 1 },
	{ "http://example.com/", 0, 0 },
	{ "http://0.0.0.0/", 0, 0 },
	{ "http://10.0.0.1/", 0, 0 },
	{ "http://126.255.255.255/", 0, 0 },
	{ "http://128.0.0.1/", 0, 0 },
	{ "http://169.254.169.254/", 0, 0 },
	{ "http://192.0.2.127/", 0, 0 },
	{ "http://[::]/", 0, 0 },
	{ "http://[2001:db8::1]/", 0, 0 },
	{ "http://localhost.example.com/", 0, 0 },
	{ "http://127.0.0.1.example.com/", 0, 0 },
	{ "http://localhost@example.com/", 0, 0 },
	{ "http://127.0.0.1:80@example.com/", 0, 0 },
	{ "http://example.com/?localhost", 0, 0 },
	{ "http://example.com/127.0.0.1", 0, 0 },
	{ "http://example.com#@localhost/", 0, 0 },
	{ "https.example.com", 0, 0 },
	{ "", 0, 0 },
};

static void
test_peers(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(peers); i++) {
		ASSERT_ROW(!!url_is_https(peers[i].url) == peers[i].https,
		    peers[i].url);
		ASSERT_ROW(!!url_is_loopback(peers[i].url) ==
		    peers[i].loopback, peers[i].url);
		ASSERT_ROW(!!url_is_safe(peers[i].url) ==
		    (peers[i].https || peers[i].loopback), peers[i].url);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_check),
		cmocka_unit_test(test_peers),
	};

	return (cmocka_run_group_tests_name("url", tests, NULL, NULL));
}
