#include <ctype.h>
#include <string.h>

#include "spelling.h"

#include "phone_number.h"

/* So many digits in common make two numbers the same one. */
#define COMMON		7

/* A number of fewer digits than this behind a plus sign is something else. */
#define PLUS_MIN	8

/* The digits of a stretch of text that are looked at together. */
#define DIGITS_MAX	4096

/* So many other characters stand between two digits of a number, at most. */
#define GAP_MAX		6

/* A stretch of a text that may be a number. */
struct run {
	size_t len;			/* in bytes, to its last digit */
	size_t n;			/* of its digits */
	size_t behind_plus;		/* of those, behind the first plus */
	char digits[DIGITS_MAX + 1];
};

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
	struct spelling unit;
	size_t at, gap = 0;
	int digit, has_plus = 0;

	run->len = run->n = run->behind_plus = 0;
	for (at = 0; s[at] != '\0' && gap <= GAP_MAX; at += unit.len) {
		unit = spelling_read(&s[at]);
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
	struct spelling unit;

	for (; *s != '\0'; s += unit.len) {
		/* Most of a text is letters, which are quickly passed. */
		unit.len = 1;
		if (isalpha((unsigned char)*s) || *s == ' ')
			continue;
		unit = spelling_read(s);
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
	struct spelling unit;
	size_t n = 0;

	if (is_date(text))
		return (0);
	for (; *text != '\0'; text += unit.len) {
		unit = spelling_read(text);
		if (digit_of(unit.code) >= 0)
			n++;
		else if (!is_gap(unit.code))
			return (0);
	}
	return (n >= COMMON);
}
