#include <stdlib.h>
#include <string.h>

#include "encoding.h"

#include "unit.h"

#define E_ACUTE	"\303\251"
#define EURO	"\342\202\254"
#define L_STROKE "\305\202"
#define SMILE	"\360\237\230\200"
#define PRIVET	"\320\237\321\200\320\270"

static void
fits(void **state)
{
	static const struct {
		const char *encoding;
		const char *text;
		const char *fit;
	} rows[] = {
		{ NULL, E_ACUTE EURO SMILE, NULL },
		{ "UTF8", E_ACUTE EURO SMILE, NULL },
		{ "UTF8", "a\377b" EURO "\342\202", "a?b" EURO "??" },
		{ "LATIN1", "plain", NULL },
		{ "LATIN1", "", NULL },
		{ "LATIN1", E_ACUTE "x" EURO SMILE L_STROKE "y",
		    E_ACUTE "x???y" },
		{ "LATIN1", "\377", "?" },
		{ "LATIN2", L_STROKE EURO, L_STROKE "?" },
		{ "LATIN9", EURO L_STROKE, EURO "?" },
		{ "WIN1252", EURO E_ACUTE SMILE, EURO E_ACUTE "?" },
		{ "WIN1251", PRIVET E_ACUTE, PRIVET "?" },
		{ "KOI8R", PRIVET EURO, PRIVET "?" },
		{ "EUC_JP", "\346\227\245" SMILE, "\346\227\245?" },
		{ "SQL_ASCII", E_ACUTE "\377", NULL },
		{ "MULE_INTERNAL", "a" E_ACUTE, "a?" },
	};
	char *fit;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		ASSERT_ROW(encoding_fits(rows[i].encoding, rows[i].text) ==
		    (rows[i].fit == NULL), rows[i].text);
		if (rows[i].fit == NULL)
			continue;
		assert_non_null(fit = encoding_fit(rows[i].encoding,
		    rows[i].text));
		ASSERT_ROW(strcmp(fit, rows[i].fit) == 0, fit);
		free(fit);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(fits) };

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
