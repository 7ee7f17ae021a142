#include <string.h>

#include "utf8.h"

/**
 * utf8_len(s, len):
 * Return the length in bytes of the UTF-8 character (RFC 3629: no overlong
 * forms, no surrogates, nothing above U+10FFFF) at the front of the ${len}
 * bytes at ${s}, or 0 if there is none.
 */
size_t
utf8_len(const char *s, size_t len)
{
	const unsigned char *u = (const unsigned char *)s;
	unsigned char low = 0x80, high = 0xbf;
	size_t n, i;

	if (len == 0)
		return (0);
	if (u[0] < 0x80)
		return (1);
	if (u[0] >= 0xc2 && u[0] <= 0xdf)
		n = 2;
	else if (u[0] >= 0xe0 && u[0] <= 0xef)
		n = 3;
	else if (u[0] >= 0xf0 && u[0] <= 0xf4)
		n = 4;
	else
		return (0);
	if (len < n)
		return (0);

	/* The second byte shuts out overlong forms and surrogates. */
	switch (u[0]) {
	case 0xe0:
		low = 0xa0;
		break;
	case 0xed:
		high = 0x9f;
		break;
	case 0xf0:
		low = 0x90;
		break;
	case 0xf4:
		high = 0x8f;
		break;
	default:
		break;
	}
	if (u[1] < low || u[1] > high)
		return (0);
	for (i = 2; i < n; i++) {
		if (u[i] < 0x80 || u[i] > 0xbf)
			return (0);
	}

	return (n);
}

/**
 * utf8_valid(s, len):
 * Return non-zero iff the ${len} bytes at ${s} are UTF-8 throughout.
 */
int
utf8_valid(const char *s, size_t len)
{
	size_t n;

	while (len > 0) {
		if ((n = utf8_len(s, len)) == 0)
			return (0);
		s += n;
		len -= n;
	}
	return (1);
}

/**
 * utf8_clean(s):
 * Replace every byte of the string ${s} that is not part of a UTF-8 character
 * by '?'; a text that was cut in the middle of one is whole again then.
 */
void
utf8_clean(char *s)
{
	size_t n, len = strlen(s);

	while (len > 0) {
		if ((n = utf8_len(s, len)) == 0) {
			*s = '?';
			n = 1;
		}
		s += n;
		len -= n;
	}
}
