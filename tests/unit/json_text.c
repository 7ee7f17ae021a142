#include "json_text.h"

#include "unit.h"

static void
test_members(void **state)
{
	json_t *object = json_pack("{s:s, s:s, s:i, s:n, s:[s]}", "text", "a",
	    "empty", "", "number", 1, "null", "list", "a");
	json_t *list = json_object_get(object, "list");

	(void)state;
	assert_non_null(list);
	assert_string_equal(json_text(object, "text"), "a");
	assert_string_equal(json_text(object, "empty"), "");
	assert_null(json_text(object, "number"));
	assert_null(json_text(object, "null"));
	assert_null(json_text(object, "list"));
	assert_null(json_text(object, "absent"));
	assert_null(json_text(list, "text"));
	assert_null(json_text(NULL, "text"));

	assert_true(json_text_is(json_object_get(object, "text"), "a"));
	assert_false(json_text_is(json_object_get(object, "text"), "A"));
	assert_false(json_text_is(json_object_get(object, "text"), "ab"));
	assert_true(json_text_is(json_object_get(object, "empty"), ""));
	assert_false(json_text_is(json_object_get(object, "number"), "1"));
	assert_false(json_text_is(list, "a"));
	assert_false(json_text_is(NULL, ""));
	json_decref(object);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_members),
	};

	return (cmocka_run_group_tests_name("json_text", tests, NULL, NULL));
}
