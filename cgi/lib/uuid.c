#include <ctype.h>

#include "uuid.h"

/**
 * uuid_parse(s, out):
 * If ${s} is a UUID in the form of RFC 9562 (8-4-4-4-12 hexadecimal digits
 * with hyphens, in either case, and nothing else), write it in lower case to
 * ${out} (UUID_LEN bytes) and return 0; otherwise return -1.
 */
int
uuid_parse(const char *s, char *out)
{
	int i;

	for (i = 0; i < UUID_LEN - 1; i++) {
		if (i == 8 || i == 13 || i == 18 || i == 23) {
			if (s[i] != '-')
				return (-1);
		} else if (!isxdigit((unsigned char)s[i]))
			return (-1);
		out[i] = (char)tolower((unsigned char)s[i]);
	}
	out[i] = '\0';
	return (s[i] == '\0' ? 0 : -1);
}
