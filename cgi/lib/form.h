#ifndef FORM_H_
#define FORM_H_

#include <stddef.h>

#include <jansson.h>

/*
 * Fields as application/x-www-form-urlencoded writes them (WHATWG URL, section
 * 5.1): in a query string, or in the body of a form.
 */

/**
 * form_parse(text, len):
 * Parse ${len} bytes as fields; where a name is repeated its first value
 * counts.  Return an object of texts, whose reference the caller drops; or
 * NULL if a name or a value is not UTF-8, contains a NUL or a malformed escape,
 * or when memory is short.
 */
json_t *form_parse(const char *, size_t);

#endif /* !FORM_H_ */
