#ifndef SPELLING_H_
#define SPELLING_H_

#include <stddef.h>

/*
 * Who repeats what they were told may write it in another way: percent-encoded
 * as in URLs (%2B), as a character reference of HTML (&#43; &#x2b; &plus;), or
 * escaped as in a JSON string (\u002b \/), which may itself be in a JSON string
 * (\\u002b \\\/).  What must not be repeated is therefore looked for by the
 * characters that are meant.
 */

/* One character of a text, whatever way it is written in. */
struct spelling {
	unsigned long code;	/* its code point; of a byte that is not of
				   UTF-8 its value */
	size_t len;		/* the bytes it takes */
};

/**
 * spelling_read(s):
 * Return the character at ${s}, which is not at its end.  What is no whole
 * escape stands for itself; several backslashes in a row are one.
 */
struct spelling spelling_read(const char *);

/**
 * spelling_plain(s):
 * Return the character at ${s}, which is not at its end, as it stands there.
 */
struct spelling spelling_plain(const char *);

#endif /* !SPELLING_H_ */
