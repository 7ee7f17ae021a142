#include <string.h>

#include <jansson.h>

#include "form.h"

#include "unit.h"

static void
test_fields(void **state)
{
	static const struct {
		const char *text;
		const char *want;	/* as JSON; NULL: refused */
	} rows[] = {
		{ "", "{}" }, { "&&", "{}" },
		{ "a=b", "{\"a\":\"b\"}" },
		{ "a=b&c=", "{\"a\":\"b\",\"c\":\"\"}" },
		{ "a", "{\"a\":\"\"}" },
		{ "a=1&a=2", "{\"a\":\"1\"}" },
		{ "a=x+y%2Bz%3d", "{\"a\":\"x y+z=\"}" },
		{ "%61=%C3%A4%26", "{\"a\":\"\xc3\xa4&\"}" },
		{ "a==", "{\"a\":\"=\"}" },
		{ "a=%", NULL }, { "a=%4", NULL }, { "a=%g0", NULL },
		{ "a=%00", NULL }, { "a=%ff", NULL }, { "%ff=a", NULL },
	};
	json_t *fields, *want;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		fields = form_parse(rows[i].text, strlen(rows[i].text));
		ASSERT_ROW((fields != NULL) == (rows[i].want != NULL),
		    rows[i].text);
		if (fields == NULL)
			continue;
		assert_non_null(want = json_loads(rows[i].want, 0, NULL));
		ASSERT_ROW(json_equal(fields, want), rows[i].text);
		json_decref(want);
		json_decref(fields);
	}
	assert_null(form_parse("a=\0", 3));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fields),
	};

	return (cmocka_run_group_tests_name("form", tests, NULL, NULL));
}
