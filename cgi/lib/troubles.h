#ifndef TROUBLES_H_
#define TROUBLES_H_

#include <stddef.h>

/*
 * What keeps an installation from doing its work: a list of sentences for an
 * operator, each of which says what is wrong and what to do about it, without
 * a full stop at its end.  The code is the short and stable name of the kind.
 */

#define TROUBLES_MAX	32

struct trouble {
	char code[24];
	char sentence[512];
	int of_some;		/* it holds up some bookings, not all */
};

struct troubles {
	struct trouble list[TROUBLES_MAX];
	size_t n;
};

/**
 * troubles_add(troubles, code, fmt, ...):
 * Add a trouble of the kind ${code}.  The list is bounded, and what does not
 * fit is left out: it shows up once the others have been fixed.
 */
void troubles_add(struct troubles *, const char *, const char *, ...)
    __attribute__((format(printf, 3, 4)));

/**
 * troubles_add_some(troubles, code, sentence):
 * Likewise, one that holds up some bookings only, not all.
 */
void troubles_add_some(struct troubles *, const char *, const char *);

#endif /* !TROUBLES_H_ */
