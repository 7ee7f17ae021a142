#ifndef UTF8_H_
#define UTF8_H_

#include <stddef.h>

/**
 * utf8_len(s, len):
 * Return the length in bytes of the UTF-8 character (RFC 3629: no overlong
 * forms, no surrogates, nothing above U+10FFFF) at the front of the ${len}
 * bytes at ${s}, or 0 if there is none.
 */
size_t utf8_len(const char *, size_t);

/**
 * utf8_valid(s, len):
 * Return non-zero iff the ${len} bytes at ${s} are UTF-8 throughout.
 */
int utf8_valid(const char *, size_t);

/**
 * utf8_clean(s):
 * Replace every byte of the string ${s} that is not part of a UTF-8 character
 * by '?'; a text that was cut in the middle of one is whole again then.
 */
void utf8_clean(char *);

#endif /* !UTF8_H_ */
