#ifndef FORM_H_
#define FORM_H_

#include <stddef.h>

#include <jansson.h>

/*
 * Fields as application/x-www-form-urlencoded writes them (WHATWG URL, section
 * 5.1): in a query string, or in the body that a browser sends of a form.
 */

/**
 * form_parse(text, len):
 * Parse ${len} bytes as fields; of a name that comes twice the first value
 * counts.  Return an object of texts, whose reference the caller drops, or
 * NULL if a name or a value is no UTF-8, has a NUL in it or ends within an
 * escape.
 */
json_t *form_parse(const char *, size_t);

#endif /* !FORM_H_ */
