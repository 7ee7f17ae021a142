#ifndef COMPLAIN_H_
#define COMPLAIN_H_

#include <stddef.h>

/**
 * complain(why, whylen, fmt, ...):
 * Say what is wrong: put one line, formatted as by printf, into ${why}
 * (${whylen} bytes), cut off where it is too long.  What it quotes does not
 * break the line: control characters and bytes that are not UTF-8 become
 * question marks.  Return -1, for the caller to return.
 */
int complain(char *, size_t, const char *, ...)
    __attribute__((format(printf, 3, 4)));

#endif /* !COMPLAIN_H_ */
