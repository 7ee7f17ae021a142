#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "form.h"

/* The value of a hexadecimal digit. */
static int
digit(char c)
{

	return (isdigit((unsigned char)c) ? c - '0' :
	    tolower((unsigned char)c) - 'a' + 10);
}

/*
 * Decode the ${len} bytes at ${text} into ${out}, which has room for as many
 * and a NUL.  Return 0, or -1 if an escape is malformed or stands for a NUL.
 */
static int
decode(const char *text, size_t len, char *out)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (text[i] != '%') {
			*out = text[i];
			if (*out == '+')
				*out = ' ';
			out++;
			continue;
		}
		if (len - i < 3 || !isxdigit((unsigned char)text[i + 1]) ||
		    !isxdigit((unsigned char)text[i + 2]))
			return (-1);
		*out = (char)(digit(text[i + 1]) << 4 | digit(text[i + 2]));
		if (*out++ == '\0')
			return (-1);
		i += 2;
	}
	*out = '\0';
	return (0);
}

/* Add the field of ${len} bytes at ${text} to ${fields}, by way of ${buf}. */
static int
add(json_t *fields, const char *text, size_t len, char *buf)
{
	const char *equals = memchr(text, '=', len);
	size_t n = equals != NULL ? (size_t)(equals - text) : len;
	char *value = buf + n + 1;

	if (memchr(text, '\0', len) != NULL || decode(text, n, buf) != 0)
		return (-1);
	*value = '\0';
	if (equals != NULL && decode(equals + 1, len - n - 1, value) != 0)
		return (-1);
	if (json_object_get(fields, buf) != NULL)
		return (0);

	/* json_string refuses what is not UTF-8. */
	return (json_object_set_new(fields, buf, json_string(value)));
}

/**
 * form_parse(text, len):
 * Parse ${len} bytes as fields; where a name is repeated its first value
 * counts.  Return an object of texts, whose reference the caller drops; or
 * NULL if a name or a value is not UTF-8, contains a NUL or a malformed escape,
 * or when memory is short.
 */
json_t *
form_parse(const char *text, size_t len)
{
	json_t *fields = json_object();
	const char *end = text + len, *amp;
	char *buf = malloc(len + 2);
	size_t n;

	for (; fields != NULL && buf != NULL && text < end; text += n + 1) {
		amp = memchr(text, '&', (size_t)(end - text));
		n = (size_t)((amp != NULL ? amp : end) - text);
		if (n > 0 && add(fields, text, n, buf) != 0) {
			json_decref(fields);
			fields = NULL;
		}
	}
	if (buf == NULL) {
		json_decref(fields);
		fields = NULL;
	}
	free(buf);
	return (fields);
}
