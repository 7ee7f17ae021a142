#include <iconv.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

#include "encoding.h"

/* The longest character of any encoding, in bytes. */
#define CHARACTER	8

/* PostgreSQL's names, and those of iconv where they differ. */
static const struct {
	const char *postgres;
	const char *iconv;
} names[] = {
	{ "BIG5", "BIG5" }, { "EUC_CN", "EUC-CN" }, { "EUC_JP", "EUC-JP" },
	{ "EUC_JIS_2004", "EUC-JISX0213" }, { "EUC_KR", "EUC-KR" },
	{ "EUC_TW", "EUC-TW" }, { "ISO_8859_5", "ISO-8859-5" },
	{ "ISO_8859_6", "ISO-8859-6" }, { "ISO_8859_7", "ISO-8859-7" },
	{ "ISO_8859_8", "ISO-8859-8" }, { "KOI8R", "KOI8-R" },
	{ "KOI8U", "KOI8-U" }, { "LATIN1", "ISO-8859-1" },
	{ "LATIN2", "ISO-8859-2" }, { "LATIN3", "ISO-8859-3" },
	{ "LATIN4", "ISO-8859-4" }, { "LATIN5", "ISO-8859-9" },
	{ "LATIN6", "ISO-8859-10" }, { "LATIN7", "ISO-8859-13" },
	{ "LATIN8", "ISO-8859-14" }, { "LATIN9", "ISO-8859-15" },
	{ "LATIN10", "ISO-8859-16" }, { "WIN866", "CP866" },
	{ "WIN874", "CP874" }, { "WIN1250", "CP1250" },
	{ "WIN1251", "CP1251" }, { "WIN1252", "CP1252" },
	{ "WIN1253", "CP1253" }, { "WIN1254", "CP1254" },
	{ "WIN1255", "CP1255" }, { "WIN1256", "CP1256" },
	{ "WIN1257", "CP1257" }, { "WIN1258", "CP1258" },
};

static int
is_utf8(const char *encoding)
{

	return (encoding == NULL || strcmp(encoding, "UTF8") == 0);
}

/**
 * encoding_fits(encoding, text):
 * Return non-zero iff nothing of ${text} need be looked at: it is ASCII, or
 * UTF-8 for a database in UTF-8, or ${encoding} takes every byte.
 * ${encoding} is PostgreSQL's name of it (manual, table 24.3), as the
 * parameter server_encoding has it; NULL stands for UTF8.
 */
int
encoding_fits(const char *encoding, const char *text)
{
	const char *p;

	for (p = text; *p != '\0' && (*p & 0x80) == 0; p++)
		;
	return (*p == '\0' || (is_utf8(encoding) ?
	    utf8_valid(text, strlen(text)) :
	    strcmp(encoding, "SQL_ASCII") == 0));
}

static iconv_t
open_converter(const char *encoding)
{
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcmp(names[i].postgres, encoding) == 0)
			return (iconv_open(names[i].iconv, "UTF-8"));
	}
	return ((iconv_t)-1);
}

/* Does the encoding of ${converter} have the character of ${n} bytes? */
static int
has_character(iconv_t converter, const char *text, size_t n)
{
	char character[CHARACTER], buf[CHARACTER], *in = character, *out = buf;
	size_t left = n, room = sizeof(buf);

	if (converter == (iconv_t)-1)
		return (0);
	memcpy(character, text, n);
	return (iconv(converter, &in, &left, &out, &room) == 0);
}

/**
 * encoding_fit(encoding, text):
 * Return the UTF-8 ${text} with a '?' in place of each character that
 * ${encoding} lacks and of each byte that is no part of a character, as a
 * string the caller frees; NULL when memory is short.  An encoding that is not
 * known here is taken to have no more than ASCII.
 */
char *
encoding_fit(const char *encoding, const char *text)
{
	iconv_t converter = (iconv_t)-1;
	char *fit, *p;
	size_t n, left = strlen(text);

	if ((p = fit = malloc(left + 1)) == NULL)
		return (NULL);
	if (!is_utf8(encoding))
		converter = open_converter(encoding);
	for (; left > 0; left -= n, text += n) {
		n = utf8_len(text, left);
		if (n == 1 || (n > 1 && (is_utf8(encoding) ||
		    has_character(converter, text, n)))) {
			memcpy(p, text, n);
			p += n;
			continue;
		}
		*p++ = '?';
		n += n == 0;
	}
	*p = '\0';
	if (converter != (iconv_t)-1)
		(void)iconv_close(converter);
	return (fit);
}
