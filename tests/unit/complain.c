#include <string.h>

#include "complain.h"

#include "unit.h"

static void
test_line(void **state)
{
	static const struct {
		const char *quoted, *want;
	} rows[] = {
		{ "a b", "it is \"a b\", 7" },
		{ "a\nb\r\t\x7f", "it is \"a?b???\", 7" },
		{ "\xc3\xa9", "it is \"\xc3\xa9\", 7" },
		{ "\xff", "it is \"?\", 7" },
		{ "%s", "it is \"%s\", 7" },
		{ "", "it is \"\", 7" },

		/* Cut off, also inside a character. */
		{ "12345678901234567890", "it is \"123456789012" },
		{ "12345678901\xc3\xa9", "it is \"12345678901?" },
	};
	char why[20];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		assert_int_equal(complain(why, sizeof(why), "it is \"%s\", %d",
		    rows[i].quoted, 7), -1);
		ASSERT_ROW(strcmp(why, rows[i].want) == 0, why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
	};

	return (cmocka_run_group_tests_name("complain", tests, NULL, NULL));
}
