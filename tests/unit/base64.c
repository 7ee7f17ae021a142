#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"

#include "unit.h"

/* RFC 4648, section 10, and what the two alphabets differ in. */
static const struct {
	const char *bytes;
	size_t len;
	const char *std;
	const char *url;
} vectors[] = {
	{ "", 0, "", "" },
	{ "f", 1, "Zg==", "Zg" },
	{ "fo", 2, "Zm8=", "Zm8" },
	{ "foo", 3, "Zm9v", "Zm9v" },
	{ "foob", 4, "Zm9vYg==", "Zm9vYg" },
	{ "fooba", 5, "Zm9vYmE=", "Zm9vYmE" },
	{ "foobar", 6, "Zm9vYmFy", "Zm9vYmFy" },
	{ "\xfb\xff\xfe", 3, "+//+", "-__-" },
	{ "\0", 1, "AA==", "AA" },
	{ "a\0b\0", 4, "YQBiAA==", "YQBiAA" },
	{ "\xff\xff\xff\xff", 4, "/////w==", "_____w" },
};

static void
test_vectors(void **state)
{
	unsigned char *bytes;
	char *text;
	size_t i, len;

	(void)state;
	for (i = 0; i < NITEMS(vectors); i++) {
		text = base64_encode(vectors[i].bytes, vectors[i].len);
		assert_string_equal(text, vectors[i].std);
		free(text);
		text = base64url_encode(vectors[i].bytes, vectors[i].len);
		assert_string_equal(text, vectors[i].url);
		free(text);

		bytes = base64_decode(vectors[i].std, strlen(vectors[i].std),
		    &len);
		assert_non_null(bytes);
		assert_int_equal(len, vectors[i].len);
		assert_memory_equal(bytes, vectors[i].bytes, len + 1);
		free(bytes);
		bytes = base64url_decode(vectors[i].url,
		    strlen(vectors[i].url), &len);
		assert_non_null(bytes);
		assert_int_equal(len, vectors[i].len);
		assert_memory_equal(bytes, vectors[i].bytes, len + 1);
		free(bytes);
	}
}

static void
test_all_bytes_round(void **state)
{
	unsigned char in[256], *out;
	size_t i, n, len;
	char *text;

	(void)state;
	for (i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)(i * 167 + 13);
	for (n = 0; n <= sizeof(in); n++) {
		text = base64_encode(in, n);
		assert_int_equal(strlen(text), (n + 2) / 3 * 4);
		out = base64_decode(text, strlen(text), &len);
		assert_int_equal(len, n);
		assert_memory_equal(out, in, n);
		free(out);
		free(text);

		text = base64url_encode(in, n);
		assert_null(strpbrk(text, "+/="));
		out = base64url_decode(text, strlen(text), &len);
		assert_int_equal(len, n);
		assert_memory_equal(out, in, n);
		free(out);
		free(text);
	}
}

/* A text, its length, and whether each of the two decoders takes it. */
static const struct {
	const char *name;
	const char *text;
	size_t len;
	int std, url;
} strict[] = {
	{ "one character", "Z", 1, 0, 0 },
	{ "five characters", "Zm9vY", 5, 0, 0 },
	{ "no padding, one byte", "Zg", 2, 0, 1 },
	{ "no padding, two bytes", "Zm8", 3, 0, 1 },
	{ "half the padding", "Zg=", 3, 0, 0 },
	{ "padding", "Zg==", 4, 1, 0 },
	{ "padding of a whole group", "Zm9v====", 8, 0, 0 },
	{ "three padding characters", "Z===", 4, 0, 0 },
	{ "nothing but padding", "====", 4, 0, 0 },
	{ "one padding character alone", "=", 1, 0, 0 },
	{ "two padding characters alone", "==", 2, 0, 0 },
	{ "padding inside", "Zg==Zg==", 8, 0, 0 },
	{ "padding before the end", "Zg=v", 4, 0, 0 },
	{ "unused bits set, one byte", "Zh==", 4, 0, 0 },
	{ "unused bits set, two bytes", "Zm9=", 4, 0, 0 },
	{ "unused bits set, URL-safe", "Zh", 2, 0, 0 },
	{ "unused bits set, two bytes, URL-safe", "Zm9", 3, 0, 0 },
	{ "standard alphabet", "+//+", 4, 1, 0 },
	{ "URL-safe alphabet", "-__-", 4, 0, 1 },
	{ "both alphabets", "+__+", 4, 0, 0 },
	{ "leading blank", " Zm9vYmF", 8, 0, 0 },
	{ "trailing newline", "Zm9vYmF\n", 8, 0, 0 },
	{ "line break", "Zm9v\r\nZm9vZm", 12, 0, 0 },
	{ "NUL", "Zm9\0", 4, 0, 0 },
	{ "NUL first", "\0m9v", 4, 0, 0 },
	{ "top bit", "Zm9\xf6", 4, 0, 0 },
	{ "dot", "Zm9.", 4, 0, 0 },
};

static void
test_strict(void **state)
{
	unsigned char *bytes;
	size_t i, len;

	(void)state;
	for (i = 0; i < NITEMS(strict); i++) {
		errno = 0;
		bytes = base64_decode(strict[i].text, strict[i].len, &len);
		ASSERT_ROW((bytes != NULL) == strict[i].std, strict[i].name);
		ASSERT_ROW(bytes != NULL || errno == EINVAL, strict[i].name);
		free(bytes);
		errno = 0;
		bytes = base64url_decode(strict[i].text, strict[i].len, &len);
		ASSERT_ROW((bytes != NULL) == strict[i].url, strict[i].name);
		ASSERT_ROW(bytes != NULL || errno == EINVAL, strict[i].name);
		free(bytes);
	}
}

/* Of all texts of two characters, one a byte is taken: 256 of 4096. */
static void
test_one_text_per_byte(void **state)
{
	unsigned char *bytes;
	char text[2];
	int a, b, seen[256] = { 0 }, taken = 0;
	size_t len;

	(void)state;
	for (a = 0; a < 256; a++) {
		for (b = 0; b < 256; b++) {
			text[0] = (char)a;
			text[1] = (char)b;
			bytes = base64url_decode(text, 2, &len);
			if (bytes == NULL)
				continue;
			assert_int_equal(len, 1);
			assert_int_equal(seen[bytes[0]]++, 0);
			taken++;
			free(bytes);
		}
	}
	assert_int_equal(taken, 256);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_all_bytes_round),
		cmocka_unit_test(test_strict),
		cmocka_unit_test(test_one_text_per_byte),
	};

	return (cmocka_run_group_tests_name("base64", tests, NULL, NULL));
}
