#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "payload.h"

#include "unit.h"

#define ID	"0b7c1a52-3a4e-4d57-9f3c-6d1f2a9b8c70"
#define UPPER	"0B7C1A52-3A4E-4D57-9F3C-6D1F2A9B8C70"
#define TENANT	"7d9f0e11-5c2b-4a86-8e1d-0f3b6c5a4d21"

#define BOOKING	"\"booking_id\":\"" ID "\""

/* Notifications that name a row of the schema lad_dev. */
static void
test_bookings(void **state)
{
	static const struct {
		const char *text;
		const char *tenant_id;
	} rows[] = {
		/* As the trigger sends them, and the least there can be. */
		{ "{" BOOKING ",\"tenant_id\":\"" TENANT "\",\"lead_id\":null,"
		    "\"assigned_user_id\":null,\"scheduled_at\":"
		    "\"2026-11-23T11:00:00+00:00\",\"timezone\":\"UTC\","
		    "\"booking_type\":\"follow_up\",\"created_at\":"
		    "\"2026-11-23T10:00:00+00:00\",\"schema\":\"lad_dev\"}",
		    TENANT },
		{ "{" BOOKING "}", "" },
		{ " {\n\t" BOOKING " } \n", "" },
		/* Other cases of letters are the same row. */
		{ "{\"booking_id\":\"" UPPER "\"}", "" },
		/* Letters that are escaped. */
		{ "{\"booking_\\u0069d\":\"\\u0030" "b7c1a52-3a4e-4d57-9f3c-"
		    "6d1f2a9b8c70\"}", "" },
		/* The tenant is only for the log. */
		{ "{" BOOKING ",\"tenant_id\":null}", "" },
		{ "{" BOOKING ",\"tenant_id\":7}", "" },
		{ "{" BOOKING ",\"tenant_id\":[]}", "" },
		{ "{" BOOKING ",\"tenant_id\":\"\"}", "" },
		{ "{" BOOKING ",\"tenant_id\":\"somebody\"}", "" },
		{ "{" BOOKING ",\"tenant_id\":\"" TENANT "0\"}", "" },
		{ "{" BOOKING ",\"tenant_id\":\"" TENANT "\\n\"}", "" },
		/* Names that nobody knows, of whatever type. */
		{ "{" BOOKING ",\"new\":{\"booking_id\":1},\"x\":[1,2.5]}",
		    "" },
		{ "{" BOOKING ",\"x\":12345678901234567890}", "" },
		{ "{" BOOKING ",\"schema\":null}", "" },
	};
	struct payload payload;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		memset(&payload, 'x', sizeof(payload));
		ASSERT_ROW(payload_parse(rows[i].text, "lad_dev", &payload,
		    &why) == PAYLOAD_BOOKING, rows[i].text);
		ASSERT_ROW(strcmp(payload.id, ID) == 0, rows[i].text);
		ASSERT_ROW(strcmp(payload.tenant_id, rows[i].tenant_id) == 0,
		    rows[i].text);
	}
}

static void
test_schemas(void **state)
{
	static const struct {
		const char *theirs;
		const char *ours;
		enum payload_kind kind;
	} rows[] = {
		{ "lad_dev", "lad_dev", PAYLOAD_BOOKING },
		{ "lad_prod", "lad_dev", PAYLOAD_FOREIGN },
		{ "", "lad_dev", PAYLOAD_FOREIGN },
		{ "lad_de", "lad_dev", PAYLOAD_FOREIGN },
		{ "lad_dev2", "lad_dev", PAYLOAD_FOREIGN },
		{ " lad_dev", "lad_dev", PAYLOAD_FOREIGN },
		/* Identifiers in quotes: every letter counts. */
		{ "Lad_Dev", "lad_dev", PAYLOAD_FOREIGN },
		{ "a \\\"b\\\"", "a \"b\"", PAYLOAD_BOOKING },
		{ "b\xc3\xbc" "cher", "b\xc3\xbc" "cher", PAYLOAD_BOOKING },
	};
	struct payload payload;
	const char *why;
	char text[256];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(text, sizeof(text), "{%s,\"schema\":\"%s\"}",
		    BOOKING, rows[i].theirs);
		ASSERT_ROW(payload_parse(text, rows[i].ours, &payload,
		    &why) == rows[i].kind, text);
	}

	/* A bad id is bad in whatever schema. */
	assert_int_equal(payload_parse("{\"booking_id\":1,\"schema\":\"x\"}",
	    "lad_dev", &payload, &why), PAYLOAD_BAD);
}

#define NOT_JSON	"not a JSON object of unique names"
#define NOT_UUID	"booking_id is not a UUID"

/* What JSON and a UUID are is tested where they are read. */
static void
test_bad(void **state)
{
	static const struct {
		const char *text;
		const char *says;
	} rows[] = {
		{ "", NOT_JSON },
		{ ID, NOT_JSON },
		{ "null", NOT_JSON },
		{ "[]", NOT_JSON },
		{ "\"" ID "\"", NOT_JSON },
		{ "[{" BOOKING "}]", NOT_JSON },
		{ "{" BOOKING, NOT_JSON },
		{ "{" BOOKING "}{" BOOKING "}", NOT_JSON },
		{ "{" BOOKING "} x", NOT_JSON },
		{ "{" BOOKING "," BOOKING "}", NOT_JSON },
		{ "{" BOOKING ",\"x\":1,\"x\":2}", NOT_JSON },
		{ "{" BOOKING ",\"x\":{\"y\":1,\"y\":2}}", NOT_JSON },
		{ "{" BOOKING ",\"x\":\"\\u0000\"}", NOT_JSON },
		{ "{" BOOKING ",\"x\":\"\xff\"}", NOT_JSON },
		{ "{}", NOT_UUID },
		{ "{\"id\":\"" ID "\"}", NOT_UUID },
		{ "{\"Booking_id\":\"" ID "\"}", NOT_UUID },
		{ "{\"x\":{" BOOKING "}}", NOT_UUID },
		{ "{\"booking_id\":null}", NOT_UUID },
		{ "{\"booking_id\":1}", NOT_UUID },
		{ "{\"booking_id\":true}", NOT_UUID },
		{ "{\"booking_id\":[\"" ID "\"]}", NOT_UUID },
		{ "{\"booking_id\":{}}", NOT_UUID },
		{ "{\"booking_id\":\"\"}", NOT_UUID },
		{ "{\"booking_id\":\"" ID " \"}", NOT_UUID },
		{ "{\"booking_id\":\"" ID "/../x\"}", NOT_UUID },
	};
	struct payload payload;
	const char *why;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		why = NULL;
		ASSERT_ROW(payload_parse(rows[i].text, "lad_dev", &payload,
		    &why) == PAYLOAD_BAD, rows[i].text);
		ASSERT_ROW(why != NULL && strstr(why, rows[i].says) != NULL,
		    rows[i].text);
	}
}

/* The longest that PostgreSQL sends, and nesting as deep as fits into it. */
static void
test_large(void **state)
{
	struct payload payload;
	const char *why;
	char text[8000], *end;

	(void)state;
	memset(text, ' ', sizeof(text));
	memcpy(text, "{" BOOKING, sizeof("{" BOOKING) - 1);
	text[sizeof(text) - 2] = '}';
	text[sizeof(text) - 1] = '\0';
	assert_int_equal(payload_parse(text, "lad_dev", &payload, &why),
	    PAYLOAD_BOOKING);
	assert_string_equal(payload.id, ID);

	memset(text, '[', sizeof(text) - 1);
	assert_int_equal(payload_parse(text, "lad_dev", &payload, &why),
	    PAYLOAD_BAD);
	end = stpcpy(text, "{\"x\":");
	memset(end, '[', 3000);
	memset(end + 3000, ']', 3000);
	memcpy(end + 6000, "," BOOKING "}", sizeof("," BOOKING "}"));
	assert_int_equal(payload_parse(text, "lad_dev", &payload, &why),
	    PAYLOAD_BAD);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bookings),
		cmocka_unit_test(test_schemas),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_large),
	};

	return (cmocka_run_group_tests_name("payload", tests, NULL, NULL));
}
