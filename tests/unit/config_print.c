#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#include "unit.h"

/* Everything of ${f} up to its end, as a string to be freed. */
static char *
slurp(FILE *f)
{
	char *text = NULL;
	size_t size = 0, len;
	FILE *out = open_memstream(&text, &size);
	char buf[4096];

	assert_non_null(f);
	assert_non_null(out);
	while ((len = fread(buf, 1, sizeof(buf), f)) > 0)
		assert_int_equal(fwrite(buf, 1, len, out), len);
	assert_int_equal(fclose(out), 0);
	(void)fclose(f);
	return (text);
}

/* Tests are run from the top of the tree, where .env.example is. */
static void
test_example(void **state)
{
	char *want, *have;
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	config_print_example(f);
	rewind(f);
	want = slurp(f);
	have = slurp(fopen(".env.example", "r"));
	assert_string_equal(have, want);
	free(have);
	free(want);
}

/* Each program's help has what it reads, says what it needs, and no more. */
static void
test_help(void **state)
{
	char *help;
	FILE *f = tmpfile();

	(void)state;
	assert_non_null(f);
	config_print_help(f, CONFIG_EXECUTE);
	rewind(f);
	help = slurp(f);
	assert_non_null(strstr(help, "  FOLLOWUP_CALL_URL (required)\n"));
	assert_non_null(strstr(help, "  FOLLOWUP_CALL_TIMEOUT [30s]\n"));
	assert_non_null(strstr(help, "  FOLLOWUP_CALL_TOKEN\n"));
	assert_null(strstr(help, "GCP_LOCATION"));
	assert_null(strstr(help, "GOOGLE_APPLICATION_CREDENTIALS"));
	free(help);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_help),
	};

	return (cmocka_run_group_tests_name("config_print", tests, NULL,
	    NULL));
}
