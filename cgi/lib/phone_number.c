#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "utf8.h"

#include "phone_number.h"

/* So many digits in common make two numbers the same one. */
#define COMMON		7

/* A number of fewer digits than this behind a plus sign is something else. */
#define PLUS_MIN	8

/* The digits of a stretch of text that are looked at together. */
#define DIGITS_MAX	4096

/* So many other characters stand between two digits of a number, at most. */
#define GAP_MAX		6

/* One character of a text, whatever way it is written in. */
struct unit {
	unsigned long code;	/* its code point */
	size_t len;		/* the bytes it takes */
};

/* A stretch of a text that may be a number. */
struct run {
	size_t len;			/* in bytes, to its last digit */
	size_t n;			/* of its digits */
	size_t behind_plus;		/* of those, behind the first plus */
	char digits[DIGITS_MAX + 1];
};

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

/* The UTF-8 character at ${s}, or a single byte. */
static struct unit
read_utf8(const char *s)
{
	struct unit unit = { .code = (unsigned char)*s, .len = 1 };
	size_t i, len = utf8_len(s, strnlen(s, 4));

	if (len < 2)
		return (unit);
	unit.code &= 0xffUL >> (len + 1);
	for (i = 1; i < len; i++)
		unit.code = unit.code << 6 | ((unsigned char)s[i] & 0x3f);
	unit.len = len;
	return (unit);
}

/* Percent-encoded: %2B, or %EF%BC%91 for one of several bytes. */
static struct unit
read_percent(const char *s)
{
	struct unit unit = { .code = '%', .len = 1 };
	char bytes[5] = "";
	long byte;
	size_t n;

	for (n = 0; n < 4 && s[3 * n] == '%'; n++) {
		if ((byte = read_digits(&s[3 * n + 1], 2, 16)) <= 0)
			break;
		bytes[n] = (char)byte;
	}
	if (n > 0) {
		unit = read_utf8(bytes);
		unit.len *= 3;
	}
	return (unit);
}

/* A character reference of HTML: &#43; or &#x2b; */
static struct unit
read_reference(const char *s)
{
	struct unit unit = { .code = '&', .len = 1 };
	int is_hex = s[1] == '#' && (s[2] == 'x' || s[2] == 'X');
	const char *digits = &s[is_hex ? 3 : 2];
	size_t n;
	long code;

	if (s[1] != '#')
		return (unit);
	n = strspn(digits, is_hex ? "0123456789abcdefABCDEF" : "0123456789");
	if (n == 0 || n > 7 || digits[n] != ';')
		return (unit);
	code = read_digits(digits, n, is_hex ? 16 : 10);
	unit.code = (unsigned long)code;
	unit.len = (size_t)(&digits[n + 1] - s);
	return (unit);
}

/* Read the character at ${s}, which is not at its end. */
static struct unit
read_unit(const char *s)
{
	struct unit unit = { .code = '\\', .len = 1 };
	long code;

	switch (*s) {
	case '%':
		return (read_percent(s));
	case '&':
		return (read_reference(s));
	case '\\':
		if (s[1] == 'u' && (code = read_digits(&s[2], 4, 16)) > 0) {
			unit.code = (unsigned long)code;
			unit.len = 6;
		}
		return (unit);
	default:
		return (read_utf8(s));
	}
}

/* The value of a digit, of those that keyboards of the world have; or -1. */
static int
digit_of(unsigned long code)
{
	static const unsigned long zeros[] = { '0', 0x660, 0x6f0, 0x966,
	    0xff10 };
	size_t i;

	for (i = 0; i < sizeof(zeros) / sizeof(zeros[0]); i++) {
		if (code >= zeros[i] && code <= zeros[i] + 9)
			return ((int)(code - zeros[i]));
	}
	return (-1);
}

static int
is_plus(unsigned long code)
{

	return (code == '+' || code == 0xff0b);
}

/* Does it stand between the digits of a number?  Control characters may. */
static int
is_gap(unsigned long code)
{

	return (code <= ' ' || (code < 0x80 && strchr("+-.()/_~*\\",
	    (int)code) != NULL) || code == 0xa0 || code == 0xad ||
	    (code >= 0x2000 && code <= 0x2015) ||
	    (code >= 0x2028 && code <= 0x202f) || code == 0x2060 ||
	    code == 0x2212 || code == 0x3000 || code == 0xfeff ||
	    (code >= 0xff08 && code <= 0xff0f));
}

/* Read the run of digits that begins at ${s} with a digit or a plus sign. */
static void
read_run(const char *s, struct run *run)
{
	struct unit unit;
	size_t at, gap = 0;
	int digit, has_plus = 0;

	run->len = run->n = run->behind_plus = 0;
	for (at = 0; s[at] != '\0' && gap <= GAP_MAX; at += unit.len) {
		unit = read_unit(&s[at]);
		digit = digit_of(unit.code);
		if (digit < 0 && !is_gap(unit.code))
			break;
		has_plus = has_plus || is_plus(unit.code);
		gap = digit < 0 ? gap + 1 : 0;
		if (digit < 0)
			continue;
		if (run->n == DIGITS_MAX)
			break;
		run->digits[run->n++] = (char)('0' + digit);
		run->behind_plus += (size_t)has_plus;
		run->len = at + unit.len;
	}
	run->digits[run->n] = '\0';
}

/* Do they have enough digits in common to be the same number? */
static int
is_same(const struct run *a, const struct run *b)
{
	char part[COMMON + 1] = "";
	size_t i;

	for (i = 0; i + COMMON <= b->n; i++) {
		memcpy(part, &b->digits[i], COMMON);
		if (strstr(a->digits, part) != NULL)
			return (1);
	}
	return (0);
}

/* Return where the next run of ${s} begins, or NULL if there is none. */
static const char *
next_run(const char *s, struct run *run)
{
	struct unit unit;

	for (; *s != '\0'; s += unit.len) {
		/* Most of a text is letters, which are quickly passed. */
		unit.len = 1;
		if (isalpha((unsigned char)*s) || *s == ' ')
			continue;
		unit = read_unit(s);
		if (digit_of(unit.code) < 0 && !is_plus(unit.code))
			continue;
		read_run(s, run);
		if (run->n > 0)
			return (s);
	}
	return (NULL);
}

/*
 * Is the run ${number}, or one of several in it, with an extension perhaps?
 * One that is short is compared as a whole.
 */
static int
is_of(const struct run *run, const char *number)
{
	struct run own;
	const char *p;
	int is_short = 1, is_equal = 0;

	for (p = number; p != NULL && (p = next_run(p, &own)) != NULL;
	    p += own.len) {
		if (is_same(run, &own))
			return (1);
		if (own.n >= COMMON)
			is_short = 0;
		else if (strcmp(run->digits, own.digits) == 0)
			is_equal = 1;
	}
	return (is_short && is_equal);
}

/**
 * phone_number_hide(text, number):
 * Overwrite with asterisks in ${text} every phone number that begins with a
 * plus sign, and everything that has seven digits in a row in common with
 * ${number}, or all of them where that has fewer; ${number} may be NULL.
 */
void
phone_number_hide(char *text, const char *number)
{
	struct run run;
	const char *p;

	for (p = text; (p = next_run(p, &run)) != NULL; p += run.len) {
		if (run.behind_plus >= PLUS_MIN || is_of(&run, number))
			memset(&text[p - text], '*', run.len);
	}
}

static int
is_date(const char *text)
{
	size_t i;

	for (i = 0; i < 10; i++) {
		if (i == 4 || i == 7 ? text[i] != '-' :
		    !isdigit((unsigned char)text[i]))
			return (0);
	}
	return (text[10] == '\0');
}

/**
 * phone_number_is(text):
 * Return non-zero iff ${text} is written as phone numbers are: seven digits or
 * more, and besides them only what stands between the digits of one.  A date
 * such as 2026-11-23 does not count as a phone number.
 */
int
phone_number_is(const char *text)
{
	struct unit unit;
	size_t n = 0;

	if (is_date(text))
		return (0);
	for (; *text != '\0'; text += unit.len) {
		unit = read_unit(text);
		if (digit_of(unit.code) >= 0)
			n++;
		else if (!is_gap(unit.code))
			return (0);
	}
	return (n >= COMMON);
}
