#ifndef SQL_ARRAY_H_
#define SQL_ARRAY_H_

#include <stddef.h>

/**
 * sql_array(texts, n):
 * Return the ${n} ${texts} as the text of an SQL array, such as
 * {"one","say \"two\""}, which a parameter of type text[] or uuid[] takes
 * (PostgreSQL manual, 8.15.6); the caller frees it.  NULL when memory is
 * short.
 */
char *sql_array(const char *const *, size_t);

#endif /* !SQL_ARRAY_H_ */
