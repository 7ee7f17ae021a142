#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "spelling.h"
#include "uuid.h"

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

/* The value of a digit, in whatever script of Unicode 15; or -1. */
static int
digit_of(unsigned long code)
{
	/* Each has its ten digits in a row. */
	static const unsigned long zeros[] = {
	    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6,
	    0xc66, 0xce6, 0xd66, 0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090,
	    0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90, 0x1b50, 0x1bb0,
	    0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50,
	    0xabf0, 0xff10, 0x104a0, 0x10d30, 0x11066, 0x110f0, 0x11136,
	    0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x11730,
	    0x118e0, 0x11950, 0x11c50, 0x11d50, 0x11da0, 0x11f50, 0x16a60,
	    0x16ac0, 0x16b50, 0x1d7ce, 0x1d7d8, 0x1d7e2, 0x1d7ec, 0x1d7f6,
	    0x1e140, 0x1e2f0, 0x1e4f0, 0x1e950, 0x1fbf0 };
	size_t i;

	if (code < 0x80)
		return (code >= '0' && code <= '9' ? (int)(code - '0') : -1);
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

/*
 * Likewise, of a number that we know.  Elsewhere it may as well be what stands
 * in a list or in a time.
 */
static int
is_wide_gap(unsigned long code)
{

	return (is_gap(code) || (code < 0x80 && strchr(",:;'", (int)code) !=
	    NULL) || code == 0xb7 || code == 0x2019 || code == 0x2022 ||
	    code == 0x22c5);
}

typedef int is_gap_fn(unsigned long);

/*
 * Read the run of digits, with such gaps in it, that begins at ${s} with a
 * digit or a plus sign.
 */
static void
read_run(const char *s, is_gap_fn *may_divide, struct run *run)
{
	struct spelling unit;
	size_t at, gap = 0;
	int digit, has_plus = 0;

	run->len = run->n = run->behind_plus = 0;
	for (at = 0; s[at] != '\0' && gap <= GAP_MAX; at += unit.len) {
		unit = spelling_read(&s[at]);
		digit = digit_of(unit.code);
		if (digit < 0 && !may_divide(unit.code))
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
next_run(const char *s, is_gap_fn *may_divide, struct run *run)
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
		read_run(s, may_divide, run);
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
is_of(const struct run *run, const char *number, is_gap_fn *may_divide)
{
	struct run own;
	const char *p;
	int is_short = 1, is_equal = 0;

	for (p = number; p != NULL && (p = next_run(p, may_divide, &own)) !=
	    NULL; p += own.len) {
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

	/* The longer runs first: of a shorter one a part might be left. */
	for (p = text; number != NULL &&
	    (p = next_run(p, is_wide_gap, &run)) != NULL; p += run.len) {
		if (is_of(&run, number, is_wide_gap))
			memset(&text[p - text], '*', run.len);
	}
	for (p = text; (p = next_run(p, is_gap, &run)) != NULL; p += run.len) {
		if (run.behind_plus >= PLUS_MIN || is_of(&run, number, is_gap))
			memset(&text[p - text], '*', run.len);
	}
}

/* Does ${text} begin with ${form}, where d is a digit, and no more digits? */
static int
has_form(const char *text, const char *form)
{

	for (; *form != '\0'; form++, text++) {
		if (*form == 'd' ? !isdigit((unsigned char)*text) :
		    *text != *form)
			return (0);
	}
	return (!isdigit((unsigned char)*text));
}

/* The length of the UUID or the date at the front of ${text}, or 0. */
static size_t
name_or_date(const char *text)
{
	/* Numbers have such forms, too, but not with these digits. */
	static const char *const dates[] = { "000d-dd-dd", "1ddd-dd-dd",
	    "2ddd-dd-dd", "dd.dd.20dd", "dd/dd/20dd", "dd-dd-20dd" };
	char start[UUID_LEN], uuid[UUID_LEN];
	size_t i;

	(void)snprintf(start, sizeof(start), "%.*s", UUID_LEN - 1, text);
	if (uuid_parse(start, uuid) == 0)
		return (UUID_LEN - 1);
	for (i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
		if (has_form(text, dates[i]))
			return (strlen(dates[i]));
	}
	return (0);
}

static int
is_word(unsigned long code)
{

	return (digit_of(code) >= 0 || (code < 0x80 && isalpha((int)code)));
}

/**
 * phone_number_hide_national(text):
 * Overwrite with asterisks in ${text} whatever may be a phone number without
 * the code of its country: seven digits or more, of which the first is zero.
 * UUIDs, dates and times stay.
 */
void
phone_number_hide_national(char *text)
{
	struct spelling unit;
	struct run run;
	unsigned long before = ' ';
	size_t len;

	for (; *text != '\0'; text += unit.len, before = unit.code) {
		unit = spelling_read(text);
		if (is_word(before))
			continue;
		if ((len = name_or_date(text)) > 0) {
			unit.len = len;
			unit.code = '0';
		} else if (digit_of(unit.code) == 0 && before != ':' &&
		    before != '.') {
			read_run(text, is_gap, &run);
			if (run.n < COMMON)
				continue;
			memset(text, '*', run.len);
			unit.len = run.len;
		}
	}
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

	if (has_form(text, "dddd-dd-dd") && text[10] == '\0')
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
