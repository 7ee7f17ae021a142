#ifndef CONNINFO_H_
#define CONNINFO_H_

#include <stddef.h>

/*
 * DATABASE_URL: a connection string of libpq or a postgresql:// URL (PostgreSQL
 * manual, 34.1.1).  libpq looks at most values no sooner than it connects, and
 * quotes what it cannot read, which may be the password: so they are looked at
 * here, before it comes to that, and libpq's own words are not for the log.
 */

/**
 * conninfo_check(variable, s, why, whylen):
 * Return 0 if ${s} is a connection string that can be meant as it stands; else
 * -1, with a sentence on ${variable} in ${why} that quotes none of it but the
 * names of options.
 */
int conninfo_check(const char *, const char *, char *, size_t);

#endif /* !CONNINFO_H_ */
