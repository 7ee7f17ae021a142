#include <string.h>

#include "uuid.h"

#include "unit.h"

#define LOWER	"0a1b2c3d-4e5f-6789-abcd-ef0123456789"

static const struct {
	const char *name;
	const char *text;
	const char *want;	/* NULL: refused */
} uuids[] = {
	{ "lower case", LOWER, LOWER },
	{ "upper case", "0A1B2C3D-4E5F-6789-ABCD-EF0123456789", LOWER },
	{ "mixed case", "0a1B2c3D-4e5F-6789-aBcD-Ef0123456789", LOWER },
	{ "nil", "00000000-0000-0000-0000-000000000000",
	    "00000000-0000-0000-0000-000000000000" },
	{ "max", "FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF",
	    "ffffffff-ffff-ffff-ffff-ffffffffffff" },
	{ "empty", "", NULL },
	{ "one digit", "0", NULL },
	{ "cut behind a hyphen", "0a1b2c3d-", NULL },
	{ "one digit short", "0a1b2c3d-4e5f-6789-abcd-ef012345678", NULL },
	{ "one digit long", LOWER "0", NULL },
	{ "newline behind", LOWER "\n", NULL },
	{ "blank before", " " LOWER, NULL },
	{ "blank behind", LOWER " ", NULL },
	{ "braces", "{" LOWER "}", NULL },
	{ "URN", "urn:uuid:" LOWER, NULL },
	{ "no hyphens", "0a1b2c3d4e5f6789abcdef0123456789", NULL },
	{ "no hyphens, as long",
	    "0a1b2c3d04e5f067890abcd0ef0123456789", NULL },
	{ "hyphen one too early",
	    "0a1b2c3-d4e5f-6789-abcd-ef0123456789", NULL },
	{ "hyphen for a digit",
	    "0a1b2c3d-4e5f-6789-abcd-ef01234567-9", NULL },
	{ "letter g", "0a1b2c3g-4e5f-6789-abcd-ef0123456789", NULL },
	{ "sign", "+a1b2c3d-4e5f-6789-abcd-ef0123456789", NULL },
	{ "0x", "0x1b2c3d-4e5f-6789-abcd-ef0123456789", NULL },
	{ "quote", "0a1b2c3d-4e5f-6789-abcd-ef012345678'", NULL },
	{ "percent", "0a1b2c3d-4e5f-6789-abcd-ef012345%378", NULL },
	{ "dots", "0a1b2c3d.4e5f.6789.abcd.ef0123456789", NULL },
	{ "top bit", "0a1b2c3d-4e5f-6789-abcd-ef012345678\xb9", NULL },
	{ "slash", "../../../-4e5f-6789-abcd-ef0123456789", NULL },
};

static void
test_parse(void **state)
{
	char out[UUID_LEN];
	size_t i;
	int rc;

	(void)state;
	for (i = 0; i < NITEMS(uuids); i++) {
		rc = uuid_parse(uuids[i].text, out);
		ASSERT_ROW(rc == (uuids[i].want != NULL ? 0 : -1),
		    uuids[i].name);
		if (rc == 0)
			assert_string_equal(out, uuids[i].want);
	}
}

/* At every place every byte but a hexadecimal digit or the hyphen fails. */
static void
test_every_byte(void **state)
{
	static const char good[] = "0123456789abcdefABCDEF";
	char text[UUID_LEN], out[UUID_LEN];
	int i, c, want;

	(void)state;
	for (i = 0; i < UUID_LEN - 1; i++) {
		for (c = 1; c < 256; c++) {
			(void)memcpy(text, LOWER, sizeof(text));
			want = text[i] == '-' ? c == '-' :
			    strchr(good, c) != NULL;
			text[i] = (char)c;
			if (uuid_parse(text, out) != (want ? 0 : -1))
				fail_msg("byte %d at %d", c, i);
		}
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_every_byte),
	};

	return (cmocka_run_group_tests_name("uuid", tests, NULL, NULL));
}
