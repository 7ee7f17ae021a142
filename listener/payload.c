#include <string.h>

#include <jansson.h>

#include "payload.h"

/* The text ${name} of ${json}, or NULL. */
static const char *
text(const json_t *json, const char *name)
{

	return (json_string_value(json_object_get(json, name)));
}

/* Read the object ${json}; see payload_parse. */
static enum payload_kind
read_object(const json_t *json, const char *schema, struct payload *payload,
    const char **why)
{
	const char *id = text(json, "booking_id");
	const char *tenant_id = text(json, "tenant_id");
	const char *theirs = text(json, "schema");

	if (id == NULL || uuid_parse(id, payload->id) != 0) {
		*why = "whose booking_id is not a UUID";
		return (PAYLOAD_BAD);
	}
	if (theirs != NULL && strcmp(theirs, schema) != 0)
		return (PAYLOAD_FOREIGN);

	/* Only for the log; one that is no UUID is not worth a line. */
	if (tenant_id == NULL ||
	    uuid_parse(tenant_id, payload->tenant_id) != 0)
		payload->tenant_id[0] = '\0';
	return (PAYLOAD_BOOKING);
}

/**
 * payload_parse(text, schema, payload, why):
 * Read the notification ${text} on behalf of ${schema}.  ${payload} is set
 * for PAYLOAD_BOOKING, ${why} (a static clause) for PAYLOAD_BAD.
 */
enum payload_kind
payload_parse(const char *s, const char *schema, struct payload *payload,
    const char **why)
{
	enum payload_kind kind = PAYLOAD_BAD;
	json_t *json;

	*why = "that is not a JSON object of unique names";
	json = json_loads(s, JSON_REJECT_DUPLICATES | JSON_DECODE_INT_AS_REAL,
	    NULL);
	if (json_is_object(json))
		kind = read_object(json, schema, payload, why);
	json_decref(json);
	return (kind);
}
