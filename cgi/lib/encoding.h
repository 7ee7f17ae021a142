#ifndef ENCODING_H_
#define ENCODING_H_

/*
 * Texts for a database whose encoding is not UTF-8: PostgreSQL refuses a
 * statement that has a character which the encoding of the database lacks
 * (SQLSTATE 22P05), or bytes that are no characters (22021).
 */

/**
 * encoding_fits(encoding, text):
 * Return non-zero iff nothing of ${text} need be looked at: it is ASCII, or
 * UTF-8 for a database in UTF-8, or ${encoding} takes every byte.
 * ${encoding} is PostgreSQL's name of it (manual, table 24.3), as the
 * parameter server_encoding has it; NULL stands for UTF8.
 */
int encoding_fits(const char *, const char *);

/**
 * encoding_fit(encoding, text):
 * Return the UTF-8 ${text} with a '?' in place of each character that
 * ${encoding} lacks and of each byte that is no part of a character, as a
 * string the caller frees; NULL when memory is short.  An encoding that is not
 * known here is taken to have no more than ASCII.
 */
char *encoding_fit(const char *, const char *);

#endif /* !ENCODING_H_ */
