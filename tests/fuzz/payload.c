#include <jansson.h>

#include "fuzz.h"
#include "payload.h"

/*
 * What a NOTIFY says: nothing but a UUID ever comes out of it, and only of an
 * object that names no other schema.
 */

#define SCHEMA	"lad_dev"

/* The member, if it is a UUID in any case; else NULL. */
static const char *
uuid_in(const json_t *json, const char *name, char lower[UUID_LEN])
{
	const char *text = json_string_value(json_object_get(json, name));
	size_t i;

	if (text == NULL || strlen(text) != UUID_LEN - 1)
		return (NULL);
	for (i = 0; i < UUID_LEN; i++)
		lower[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ?
		    text[i] + 'a' - 'A' : text[i]);
	return (fuzz_is_uuid(lower) ? lower : NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = fuzz_text(data, len), id[UUID_LEN], tenant[UUID_LEN];
	const char *why = NULL, *theirs;
	struct payload payload;
	enum payload_kind kind, want;
	json_t *json;

	/* A second opinion. */
	json = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
	theirs = json_string_value(json_object_get(json, "schema"));
	want = !json_is_object(json) || uuid_in(json, "booking_id", id) ==
	    NULL ? PAYLOAD_BAD : theirs != NULL && strcmp(theirs, SCHEMA) != 0 ?
	    PAYLOAD_FOREIGN : PAYLOAD_BOOKING;

	memset(&payload, 'x', sizeof(payload));
	kind = payload_parse(text, SCHEMA, &payload, &why);
	FUZZ_REQUIRE(kind == want);
	if (kind == PAYLOAD_BAD)
		FUZZ_REQUIRE(fuzz_is_line(why));
	if (kind == PAYLOAD_BOOKING) {
		FUZZ_REQUIRE(strcmp(payload.id, id) == 0);
		FUZZ_REQUIRE(strcmp(payload.tenant_id,
		    uuid_in(json, "tenant_id", tenant) != NULL ? tenant : "")
		    == 0);
	}
	json_decref(json);
	free(text);
	return (0);
}
