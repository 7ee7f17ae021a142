#include <string.h>

#include "json_text.h"

/**
 * json_text(object, name):
 * Return the member ${name} of ${object}; NULL if it is absent or not a text,
 * or if ${object} is NULL or not an object.
 */
const char *
json_text(const json_t *object, const char *name)
{

	return (json_string_value(json_object_get(object, name)));
}

/**
 * json_text_is(value, text):
 * Return non-zero iff ${value}, which may be NULL, is the text ${text}.
 */
int
json_text_is(const json_t *value, const char *text)
{
	const char *s = json_string_value(value);

	return (s != NULL && strcmp(s, text) == 0);
}
