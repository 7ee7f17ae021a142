#include "spelling.h"

#include "unit.h"

/* A text, its first character, and how much of the text that is. */
static const struct {
	const char *text;
	unsigned long code;
	size_t len;
} rows[] = {
	{ "a", 'a', 1 }, { "\u00e9t\u00e9", 0xe9, 2 },
	{ "\U0001d7ce", 0x1d7ce, 4 }, { "\xff", 0xff, 1 },

	/* Of URLs. */
	{ "%2B1", '+', 3 }, { "%2f%2F", '/', 3 },
	{ "%EF%BC%911", 0xff11, 9 }, { "%F0%9D%9F%8E", 0x1d7ce, 12 },
	{ "%EF1", 0xef, 3 }, { "%", '%', 1 }, { "%2", '%', 1 },
	{ "%zz", '%', 1 }, { "%00", '%', 1 },

	/* Of HTML. */
	{ "&#43;", '+', 5 }, { "&#x2b;", '+', 6 }, { "&#X2B;", '+', 6 },
	{ "&#0000043;", '+', 10 }, { "&#00000043;", '&', 1 },
	{ "&#43", '&', 1 }, { "&#;", '&', 1 }, { "&", '&', 1 },
	{ "&nbsp;1", 0xa0, 6 }, { "&plus;", '+', 6 }, { "&sol;", '/', 5 },
	{ "&equals;", '=', 8 }, { "&amp;", '&', 5 }, { "&quot;", '"', 6 },
	{ "&apos;", '\'', 6 }, { "&lt;", '<', 4 }, { "&gt;", '>', 4 },
	{ "&gt", '&', 1 }, { "&other;", '&', 1 },

	/* Of JSON, and of JSON in JSON. */
	{ "\\u002b1", '+', 6 }, { "\\\\u002B", '+', 7 }, { "\\u002", '\\', 1 },
	{ "\\/", '/', 2 }, { "\\\\\\/", '/', 4 }, { "\\\"", '"', 2 },
	{ "\\b", '\b', 2 }, { "\\f", '\f', 2 }, { "\\n", '\n', 2 },
	{ "\\r", '\r', 2 }, { "\\t0", '\t', 2 }, { "\\\\t0", '\t', 3 },
	{ "\\", '\\', 1 }, { "\\\\", '\\', 2 }, { "\\\\x", '\\', 2 },
	{ "\\ud835\\udfce", 0x1d7ce, 12 },
	{ "\\\\ud835\\\\udfce", 0x1d7ce, 14 },
	{ "\\ud835\\\\udfce", 0xd835, 6 }, { "\\ud835\\u0030", 0xd835, 6 },
	{ "\\ud835", 0xd835, 6 }, { "\\ud835\\udfc", 0xd835, 6 },
	{ "\\udfce\\ud835", 0xdfce, 6 },
};

static void
test_read(void **state)
{
	struct spelling c;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		c = spelling_read(rows[i].text);
		ASSERT_ROW(c.code == rows[i].code, rows[i].text);
		ASSERT_ROW(c.len == rows[i].len, rows[i].text);
	}
}

static void
test_plain(void **state)
{
	struct spelling c;

	(void)state;
	c = spelling_plain("%2B");
	assert_true(c.code == '%' && c.len == 1);
	c = spelling_plain("\u00e9");
	assert_true(c.code == 0xe9 && c.len == 2);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_read),
		cmocka_unit_test(test_plain),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
