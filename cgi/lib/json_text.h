#ifndef JSON_TEXT_H_
#define JSON_TEXT_H_

#include <jansson.h>

/*
 * The texts of a JSON object.  They live as long as the object.
 */

/**
 * json_text(object, name):
 * Return the member ${name} of ${object}; NULL if it is absent or not a text,
 * or if ${object} is NULL or not an object.
 */
const char *json_text(const json_t *, const char *);

/**
 * json_text_is(value, text):
 * Return non-zero iff ${value}, which may be NULL, is the text ${text}.
 */
int json_text_is(const json_t *, const char *);

#endif /* !JSON_TEXT_H_ */
