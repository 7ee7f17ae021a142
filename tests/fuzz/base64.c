#include "base64.h"
#include "fuzz.h"

/*
 * Both alphabets of base64: what is taken is written back as it came, and
 * nothing else is taken.
 */

#define LETTERS	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS	"0123456789"

/* A second opinion: how many bytes the text stands for, or -1. */
static long
judge(const char *text, size_t len, const char *alphabet)
{
	static const unsigned int unused[] = { 0, 0, 0x0f, 0x03 };
	const char *last;
	size_t i;

	if (len % 4 == 1)
		return (-1);
	for (i = 0; i < len; i++) {
		if (text[i] == '\0' || strchr(alphabet, text[i]) == NULL)
			return (-1);
	}
	if (len > 0) {
		last = strchr(alphabet, text[len - 1]);
		if ((unsigned int)(last - alphabet) & unused[len % 4])
			return (-1);
	}
	return ((long)(len * 3 / 4));
}

static void
check_url(const char *text, size_t len)
{
	long want = judge(text, len, LETTERS DIGITS "-_");
	unsigned char *bytes;
	char *back;
	size_t n;

	bytes = base64url_decode(text, len, &n);
	FUZZ_REQUIRE((bytes != NULL) == (want >= 0));
	if (bytes == NULL)
		return;
	FUZZ_REQUIRE(n == (size_t)want && bytes[n] == '\0');
	FUZZ_REQUIRE((back = base64url_encode(bytes, n)) != NULL);
	FUZZ_REQUIRE(strlen(back) == len && memcmp(back, text, len) == 0);
	free(back);
	free(bytes);
}

static void
check_standard(const char *text, size_t len)
{
	size_t n, pad = 0;
	unsigned char *bytes;
	char *back;
	long want;

	/* Padding fills the last group up, and there is no more of it. */
	while (pad < 2 && pad < len && text[len - pad - 1] == '=')
		pad++;
	want = len % 4 != 0 ? -1 :
	    judge(text, len - pad, LETTERS DIGITS "+/");

	bytes = base64_decode(text, len, &n);
	FUZZ_REQUIRE((bytes != NULL) == (want >= 0));
	if (bytes == NULL)
		return;
	FUZZ_REQUIRE(n == (size_t)want && bytes[n] == '\0');
	FUZZ_REQUIRE((back = base64_encode(bytes, n)) != NULL);
	FUZZ_REQUIRE(strlen(back) == len && memcmp(back, text, len) == 0);
	free(back);
	free(bytes);
}

/* Any bytes come back from either alphabet. */
static void
check_bytes(const void *data, size_t len)
{
	char *standard = base64_encode(data, len);
	char *url = base64url_encode(data, len);
	unsigned char *bytes;
	size_t n;

	FUZZ_REQUIRE(standard != NULL && url != NULL);
	FUZZ_REQUIRE(strlen(standard) == (len + 2) / 3 * 4);
	FUZZ_REQUIRE(strlen(url) == (len * 4 + 2) / 3);
	bytes = base64_decode(standard, strlen(standard), &n);
	FUZZ_REQUIRE(bytes != NULL && n == len &&
	    (len == 0 || memcmp(bytes, data, len) == 0));
	free(bytes);
	bytes = base64url_decode(url, strlen(url), &n);
	FUZZ_REQUIRE(bytes != NULL && n == len &&
	    (len == 0 || memcmp(bytes, data, len) == 0));
	free(bytes);
	free(url);
	free(standard);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{

	check_url((const char *)data, len);
	check_standard((const char *)data, len);
	check_bytes(data, len);
	return (0);
}
