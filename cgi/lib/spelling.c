#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

#include "spelling.h"

/* Read ${n} digits to ${base} at ${s}.  Return -1 if there are none. */
static long
read_digits(const char *s, size_t n, int base)
{
	char text[8];
	size_t i;

	for (i = 0; i < n; i++) {
		if (!isxdigit((unsigned char)s[i]) ||
		    (base == 10 && !isdigit((unsigned char)s[i])))
			return (-1);
		text[i] = s[i];
	}
	text[n] = '\0';
	return (strtol(text, NULL, base));
}

/**
 * spelling_plain(s):
 * Return the character at ${s}, which is not at its end, as it stands there.
 */
struct spelling
spelling_plain(const char *s)
{
	struct spelling c = { .code = (unsigned char)*s, .len = 1 };
	size_t i, len = utf8_len(s, strnlen(s, 4));

	if (len < 2)
		return (c);
	c.code &= 0xffUL >> (len + 1);
	for (i = 1; i < len; i++)
		c.code = c.code << 6 | ((unsigned char)s[i] & 0x3f);
	c.len = len;
	return (c);
}

/* Percent-encoded: %2B, or %EF%BC%91 for one of several bytes. */
static struct spelling
read_percent(const char *s)
{
	struct spelling c = { .code = '%', .len = 1 };
	char bytes[5] = "";
	long byte;
	size_t n;

	for (n = 0; n < 4 && s[3 * n] == '%'; n++) {
		if ((byte = read_digits(&s[3 * n + 1], 2, 16)) <= 0)
			break;
		bytes[n] = (char)byte;
	}
	if (n > 0) {
		c = spelling_plain(bytes);
		c.len *= 3;
	}
	return (c);
}

/* A character reference of HTML that has a name, of those that matter here. */
static struct spelling
read_name(const char *s)
{
	static const struct {
		const char *name;
		unsigned long code;
	} names[] = {
		{ "&amp;", '&' }, { "&apos;", '\'' }, { "&equals;", '=' },
		{ "&gt;", '>' }, { "&lt;", '<' }, { "&nbsp;", 0xa0 },
		{ "&plus;", '+' }, { "&quot;", '"' }, { "&sol;", '/' },
	};
	struct spelling c = { .code = '&', .len = 1 };
	size_t i, len;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		len = strlen(names[i].name);
		if (strncmp(s, names[i].name, len) == 0) {
			c.code = names[i].code;
			c.len = len;
		}
	}
	return (c);
}

/* A character reference of HTML: &#43; or &#x2b; or &plus; */
static struct spelling
read_reference(const char *s)
{
	struct spelling c = { .code = '&', .len = 1 };
	int is_hex = s[1] == '#' && (s[2] == 'x' || s[2] == 'X');
	const char *digits = &s[is_hex ? 3 : 2];
	size_t n;
	long code;

	if (s[1] != '#')
		return (read_name(s));
	n = strspn(digits, is_hex ? "0123456789abcdefABCDEF" : "0123456789");
	if (n == 0 || n > 7 || digits[n] != ';')
		return (c);
	code = read_digits(digits, n, is_hex ? 16 : 10);
	c.code = (unsigned long)code;
	c.len = (size_t)(&digits[n + 1] - s);
	return (c);
}

/* \u002b behind ${n} backslashes, or two of them for one character. */
static struct spelling
read_utf16(const char *s, size_t n)
{
	struct spelling c = { .code = '\\', .len = n };
	long code, low;

	if ((code = read_digits(&s[n + 1], 4, 16)) <= 0)
		return (c);
	c.code = (unsigned long)code;
	c.len = n + 5;
	if (code < 0xd800 || code > 0xdbff ||
	    strncmp(&s[c.len], s, n + 1) != 0)
		return (c);
	low = read_digits(&s[c.len + n + 1], 4, 16);
	if (low >= 0xdc00 && low <= 0xdfff) {
		c.code = 0x10000 + ((c.code & 0x3ff) << 10) +
		    ((unsigned long)low & 0x3ff);
		c.len *= 2;
	}
	return (c);
}

/*
 * An escape of a JSON string.  Each time that such a string is put into another
 * one its backslashes get more, so that their number tells nothing.
 */
static struct spelling
read_escape(const char *s)
{
	static const char names[] = "\"/bfnrt", means[] = "\"/\b\f\n\r\t";
	size_t n = strspn(s, "\\");
	struct spelling c = { .code = '\\', .len = n };
	const char *name;

	if (s[n] == 'u')
		return (read_utf16(s, n));
	if (s[n] != '\0' && (name = strchr(names, s[n])) != NULL) {
		c.code = (unsigned char)means[name - names];
		c.len = n + 1;
	}
	return (c);
}

/**
 * spelling_read(s):
 * Return the character at ${s}, which is not at its end.  What is no whole
 * escape stands for itself; several backslashes in a row are one.
 */
struct spelling
spelling_read(const char *s)
{

	switch (*s) {
	case '%':
		return (read_percent(s));
	case '&':
		return (read_reference(s));
	case '\\':
		return (read_escape(s));
	default:
		return (spelling_plain(s));
	}
}
