#include <stdlib.h>
#include <string.h>

#include "sql_array.h"

/* Append ${text} in quotes at ${p} and return the end. */
static char *
append(char *p, const char *text)
{

	*p++ = '"';
	for (; *text != '\0'; text++) {
		if (*text == '"' || *text == '\\')
			*p++ = '\\';
		*p++ = *text;
	}
	*p++ = '"';
	return (p);
}

/**
 * sql_array(texts, n):
 * Return the ${n} ${texts} as the text of an SQL array, such as
 * {"one","say \"two\""}, which a parameter of type text[] or uuid[] takes
 * (PostgreSQL manual, 8.15.6); the caller frees it.  NULL when memory is
 * short.
 */
char *
sql_array(const char *const *texts, size_t n)
{
	size_t i, size = 3;
	char *array, *p;

	/* At worst every byte is escaped. */
	for (i = 0; i < n; i++)
		size += 2 * strlen(texts[i]) + 3;
	if ((p = array = malloc(size)) == NULL)
		return (NULL);
	*p++ = '{';
	for (i = 0; i < n; i++) {
		if (i > 0)
			*p++ = ',';
		p = append(p, texts[i]);
	}
	*p++ = '}';
	*p = '\0';
	return (array);
}
