#include <stdio.h>

#include "utf8.h"

#include "unit.h"

/* The front of a text, how much of it is there, and its character's length. */
static const struct {
	const char *name;
	const char *text;
	size_t len;
	size_t want;
} characters[] = {
	{ "nothing", "", 0, 0 },
	{ "NUL", "\0", 1, 1 },
	{ "letter", "ab", 2, 1 },
	{ "last of one byte", "\x7f", 1, 1 },
	{ "continuation alone", "\x80", 1, 0 },
	{ "last continuation alone", "\xbf", 1, 0 },
	{ "overlong NUL", "\xc0\x80", 2, 0 },
	{ "overlong slash", "\xc0\xaf", 2, 0 },
	{ "overlong of two bytes", "\xc1\xbf", 2, 0 },
	{ "first of two bytes", "\xc2\x80", 2, 2 },
	{ "last of two bytes", "\xdf\xbf", 2, 2 },
	{ "two bytes, cut", "\xc3", 1, 0 },
	{ "two bytes, letter behind", "\xc3\x41", 2, 0 },
	{ "two bytes, another lead behind", "\xc3\xc3", 2, 0 },
	{ "overlong of three bytes", "\xe0\x9f\xbf", 3, 0 },
	{ "first of three bytes", "\xe0\xa0\x80", 3, 3 },
	{ "three bytes, cut", "\xe2\x82\xac", 2, 0 },
	{ "three bytes, third is bad", "\xe2\x82\x28", 3, 0 },
	{ "euro", "\xe2\x82\xac", 3, 3 },
	{ "last before the surrogates", "\xed\x9f\xbf", 3, 3 },
	{ "first surrogate", "\xed\xa0\x80", 3, 0 },
	{ "last surrogate", "\xed\xbf\xbf", 3, 0 },
	{ "first behind the surrogates", "\xee\x80\x80", 3, 3 },
	{ "last of three bytes", "\xef\xbf\xbf", 3, 3 },
	{ "overlong of four bytes", "\xf0\x8f\xbf\xbf", 4, 0 },
	{ "first of four bytes", "\xf0\x90\x80\x80", 4, 4 },
	{ "four bytes, cut", "\xf0\x9f\x98\x80", 3, 0 },
	{ "four bytes, fourth is bad", "\xf0\x9f\x98\xc0", 4, 0 },
	{ "U+10FFFF", "\xf4\x8f\xbf\xbf", 4, 4 },
	{ "above U+10FFFF", "\xf4\x90\x80\x80", 4, 0 },
	{ "F5", "\xf5\x80\x80\x80", 4, 0 },
	{ "five bytes of old", "\xf8\x88\x80\x80\x80", 5, 0 },
	{ "FE", "\xfe", 1, 0 },
	{ "FF", "\xff", 1, 0 },
};

static void
test_len(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(characters); i++)
		ASSERT_ROW(utf8_len(characters[i].text, characters[i].len) ==
		    characters[i].want, characters[i].name);
}

/* Encode ${c} by the book, whatever it is. */
static size_t
encode(unsigned int c, char out[4])
{

	if (c < 0x80) {
		out[0] = (char)c;
		return (1);
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return (2);
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return (3);
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return (4);
}

static void
test_every_character(void **state)
{
	unsigned int c;
	size_t len;
	char text[4];

	(void)state;
	for (c = 0; c <= 0x10ffff; c++) {
		len = encode(c, text);
		if (utf8_len(text, len) !=
		    (c >= 0xd800 && c <= 0xdfff ? 0 : len))
			fail_msg("U+%04X", c);
	}
}

static void
test_valid(void **state)
{

	(void)state;
	assert_true(utf8_valid("", 0));
	assert_true(utf8_valid("plain", 5));
	assert_true(utf8_valid("Zo\xc3\xab \xe2\x82\xac", 8));
	assert_true(utf8_valid("a\0b", 3));
	assert_false(utf8_valid("Zo\xc3\xab \xe2\x82\xac", 7));
	assert_false(utf8_valid("latin \xeb!", 8));
	/* Only the bytes that are named count. */
	assert_true(utf8_valid("ok\xff", 2));
}

static const struct {
	const char *before, *after;
} dirty[] = {
	{ "", "" },
	{ "clean", "clean" },
	{ "Zo\xc3\xab", "Zo\xc3\xab" },
	{ "cut \xe2\x82", "cut ??" },
	{ "\xff\xfe", "??" },
	{ "a\xc3" "b", "a?b" },
	{ "\xf0\x9f\x98\x80\x80", "\xf0\x9f\x98\x80?" },
	{ "\xed\xa0\x80", "???" },
};

static void
test_clean(void **state)
{
	char text[32];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(dirty); i++) {
		(void)snprintf(text, sizeof(text), "%s", dirty[i].before);
		utf8_clean(text);
		assert_string_equal(text, dirty[i].after);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_len),
		cmocka_unit_test(test_every_character),
		cmocka_unit_test(test_valid),
		cmocka_unit_test(test_clean),
	};

	return (cmocka_run_group_tests_name("utf8", tests, NULL, NULL));
}
