#include <stdio.h>
#include <string.h>

#include "phone_number.h"

#include "unit.h"

/* The digits that a person would know the number by. */
#define TAIL	"4567"

/* The same number in other digits; "no" before them as in other texts. */
static const char wide[] = "no \uff0b\uff14\uff19\uff11\uff17\uff10\uff11"
    "\uff12\uff13\uff14\uff15\uff16\uff17";
static const char arabic[] = "no \u0661\u0667\u0660\u0661\u0662\u0663\u0664"
    "\u0665\u0666\u0667";

static const char bengali[] = "no \u09e7\u09ed\u09e6\u09e7\u09e8\u09e9"
    "\u09ea\u09eb\u09ec\u09ed";
static const char thai[] = "no \u0e51\u0e57\u0e50\u0e51\u0e52\u0e53\u0e54"
    "\u0e55\u0e56\u0e57";
static const char mathematical[] = "no \U0001d7cf\U0001d7d5\U0001d7ce"
    "\U0001d7d9\U0001d7e4\U0001d7ef\U0001d7fa\U0001d7d3\U0001d7d4"
    "\U0001d7d5";

static char text[512];

static const char *
hide(const char *before, const char *number)
{

	(void)snprintf(text, sizeof(text), "%s", before);
	phone_number_hide(text, number);
	assert_int_equal(strlen(text), strlen(before));
	return (text);
}

/* Every spelling in the row against every spelling in the text. */
static void
spellings(void **state)
{
	static const char *const rows[] = { "+491701234567",
	    "+49 (170) 123-45 67", "+49 (0)170 / 123 45 67", "0170 1234567",
	    "00491701234567", "0170-123.45.67", "tel:+49-170-1234567;ext=12",
	    "+491701234567 x 12", "01701234567, 0151 9999999",
	    "0170,123,4567", "+49:170:123:4567",
	    &wide[3] };
	static const char *const texts[] = { "no: +491701234567.",
	    "no: 491701234567", "no:0170 1234567!", "no 00491701234567",
	    "no \"0170/1234567\"", "no 170 123 45 67", "no (0170) 123-4567",
	    "no %2B49%20170%20123%2045%2067", "no %2b49+170+1234567",
	    "no \\u002b49\\u00201701234567", "no +49\\/170\\/1234567",
	    "no &#43;49&#32;170&#x20;1234567", "no 0170\t1234567",
	    "no 0170\n1234567", "no 0170\302\2401234567",
	    "no 0170\342\200\2231234567", "no +49 - (170) - 1234567",
	    "no 7 491701234567 3 times", "no tel:+491701234567",
	    "no 49170123456", "{\"cc\":\"49\",\"n\":\"1701234567\"}",
	    wide, "no %EF%BC%91701234567",
	    arabic, "no \\u0031701234567", "no 0170\\t123\\t4567",
	    "no 0170\\\\n123\\\\n4567", "no 0170&nbsp;123&nbsp;4567",
	    "no &plus;49170&sol;1234567", "no 0170,123,4567",
	    "no +49,170,123,4567", "no 0170:123:4567", "no 0170; 123; 4567",
	    "no 49'170'123'4567", "no 49\u2019170\u2019123\u20194567",
	    "no 49-170-123\u00b74567", "no 49\u2022170\u22c51234567",
	    "no 0170123,4567", "no 01701,234567", bengali, thai,
	    mathematical, "no \\ud835\\udfcf701234567" };
	size_t i, k;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		for (k = 0; k < NITEMS(texts); k++) {
			(void)hide(texts[k], rows[i]);
			ASSERT_ROW(strstr(text, TAIL) == NULL, texts[k]);
			ASSERT_ROW(strstr(text, "*******") != NULL, texts[k]);
			ASSERT_ROW(strstr(text, "123") == NULL, texts[k]);
			ASSERT_ROW(strpbrk(text, "no") != NULL, texts[k]);
		}
	}
}

/* What else has digits stays readable. */
static void
not_numbers(void **state)
{
	static const char *const texts[] = { "",
	    "the voice agent answered 503: busy, 12 of 12 lines",
	    "booking 788faefc-9020-4323-84b1-f29e16fbb9ea is unknown",
	    "12345678-1234-4123-8123-123456789012",
	    "followup-788faefc-9020-4323-84b1-f29e16fbb9ea-1795446288",
	    "2026-11-23T15:16:01.482Z", "2026-11-23 15:16:01.482+00",
	    "Thu, 26 Nov 2026 09:10:05 +0000 (UTC)", "20261123T151601+0100",
	    "1795446288123", "call 4711 to extension 12", "+49 is no number",
	    "50% of 99 \\u and %zz & &#; +", "1 + 1 = 2" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(texts); i++) {
		assert_string_equal(hide(texts[i], NULL), texts[i]);
		assert_string_equal(hide(texts[i], ""), texts[i]);
		assert_string_equal(hide(texts[i], "+49 (170) 98-76 54 x12"),
		    texts[i]);
	}
}

/* With a plus sign it is a number, of whoever it is. */
static void
plus_signs(void **state)
{

	(void)state;
	assert_string_equal(hide("2 +441632960961 2", NULL),
	    "*****************");
	assert_string_equal(hide("to +44 1632 960961, +1.", NULL),
	    "to ***************, +1.");
}

/* Lists and times are not taken for more than they are. */
static void
lists(void **state)
{
	static const char *const texts[] = { "+1, +2, +3, 4, 5, 6, 7, 8, 9",
	    "+00:00:05, 09:46:05", "'+4', '1632', '960', '961'",
	    "2026-11-27 09:46:05.0123456+00, 00:00:05.123456" };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(texts); i++) {
		assert_string_equal(hide(texts[i], NULL), texts[i]);
		assert_string_equal(hide(texts[i], "+491707654321"), texts[i]);
	}
}

static void
short_numbers(void **state)
{

	(void)state;
	assert_string_equal(hide("no 4711, 47110, 14711", "47-11"),
	    "no ****, 47110, 14711");
}

/* A number that nobody told us of is known by its zero. */
static void
national_numbers(void **state)
{
	static const struct {
		const char *text;
		const char *want;
	} rows[] = {
		{ "type bigint: \"0170 1234567\"",
		    "type bigint: \"************\"" },
		{ "no 0170/123 45-67, 00491701234567",
		    "no **************, **************" },
		{ "(0170) 1234567;0123456", "(*************;*******" },
		{ "7 0170 1234567", "7 ************" },
		{ "at 2026-11-27 01701234567", "at 2026-11-27 ***********" },
		{ "%300170%201234567x", "*****************x" },
		{ "\u0660\u0661\u0667\u0660\u0661\u0662\u0663",
		    "**************" },
		{ "0170-12-34-567", "**************" },
		{ "01-70-1234 567", "**************" },

		/* What is none. */
		{ "", NULL }, { "0", NULL }, { "012345", NULL },
		{ "01 23 45 x 67", NULL }, { "1701234567", NULL },
		{ "x0123456", NULL }, { "1.0123456", NULL },
		{ "00000000-0000-4000-8000-00000000000b", NULL },
		{ "00000000-0000-4000-8000-000000000000", NULL },
		{ "id:00000000-0000-4000-8000-00000000000b is", NULL },
		{ "0000ABCD-0000-4000-8000-00000000000b is", NULL },
		{ "abcdabcd-0000-0000-0000-000000000000", NULL },
		{ "followup-00000000-0000-4000-8000-00000000000b-1795446288",
		    NULL },
		{ "2026-11-27 09:46:05.0123456+00", NULL },
		{ "2026-01-02T00:00:00.0000000+00:00", NULL },
		{ "00:00:05.123456", NULL }, { "-00:00:00.0000001", NULL },
		{ "2026-01-02 03:04:05-08", NULL },
		{ "0001-01-01 00:00:00+00", NULL },
		{ "05.11.2026 09:46:05", NULL }, { "01/02/2026", NULL },
		{ "01-02-2026 03:04:05", NULL },
		{ "\\x00000000", NULL }, { "08006 (SQLSTATE 08006)", NULL },
	};
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(text, sizeof(text), "%s", rows[i].text);
		phone_number_hide_national(text);
		ASSERT_ROW(strcmp(text, rows[i].want != NULL ? rows[i].want :
		    rows[i].text) == 0, text);
	}
}

static void
is_number(void **state)
{
	static const struct {
		const char *text;
		int is;
	} rows[] = { { "+491701234567", 1 }, { "0170 / 1234567", 1 },
	    { "1234567", 1 }, { "123456", 0 }, { "", 0 }, { "+", 0 },
	    { "2026-11-23", 0 }, { "2026-11-23T11:00:00Z", 0 },
	    { "788faefc-9020-4323-84b1-f29e16fbb9ea", 0 },
	    { "Sam 1234567", 0 } };
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++)
		ASSERT_ROW(!phone_number_is(rows[i].text) == !rows[i].is,
		    rows[i].text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spellings),
		cmocka_unit_test(not_numbers),
		cmocka_unit_test(plus_signs),
		cmocka_unit_test(lists),
		cmocka_unit_test(short_numbers),
		cmocka_unit_test(national_numbers),
		cmocka_unit_test(is_number),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
