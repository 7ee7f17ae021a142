#ifndef PHONE_NUMBER_H_
#define PHONE_NUMBER_H_

/*
 * Phone numbers stay out of logs and error texts, in whatever spelling: what
 * counts are the digits.  +49 (170) 123-45 67, 00491701234567, 0170/1234567,
 * %2B491701234567, \u002b49170..., &#43;49170... (see spelling.h) and digits of
 * any script are the same number.  Of a number that is known, commas, colons,
 * apostrophes and dots may stand between the digits, too.
 */

/**
 * phone_number_hide(text, number):
 * Overwrite with asterisks in ${text} every phone number that begins with a
 * plus sign, and everything that has seven digits in a row in common with
 * ${number}, or all of them where that has fewer; ${number} may be NULL.
 */
void phone_number_hide(char *, const char *);

/**
 * phone_number_hide_national(text):
 * Overwrite with asterisks in ${text} whatever may be a phone number without
 * the code of its country: seven digits or more, of which the first is zero.
 * UUIDs, dates and times stay.
 */
void phone_number_hide_national(char *);

/**
 * phone_number_is(text):
 * Return non-zero iff ${text} is written as phone numbers are: seven digits or
 * more, and besides them only what stands between the digits of one.  A date
 * such as 2026-11-23 does not count as a phone number.
 */
int phone_number_is(const char *);

#endif /* !PHONE_NUMBER_H_ */
