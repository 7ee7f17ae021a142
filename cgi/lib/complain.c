#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>

#include "utf8.h"

#include "complain.h"

/**
 * complain(why, whylen, fmt, ...):
 * Say what is wrong: put one line, formatted as by printf, into ${why}
 * (${whylen} bytes), cut off where it is too long.  What it quotes does not
 * break the line: control characters and bytes that are not UTF-8 become
 * question marks.  Return -1, for the caller to return.
 */
int
complain(char *why, size_t whylen, const char *fmt, ...)
{
	va_list ap;
	char *p;

	va_start(ap, fmt);
	(void)vsnprintf(why, whylen, fmt, ap);
	va_end(ap);
	for (p = why; *p != '\0'; p++) {
		if (iscntrl((unsigned char)*p))
			*p = '?';
	}
	utf8_clean(why);
	return (-1);
}
