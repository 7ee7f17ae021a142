#ifndef UNIT_H_
#define UNIT_H_

/*
 * What every unit test begins with.  cmocka wants the first four headers
 * before its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define NITEMS(a)	(sizeof(a) / sizeof((a)[0]))

/*
 * ASSERT_ROW(condition, name):
 * Fail, and name the row of the table that is at fault, unless ${condition}.
 */
#define ASSERT_ROW(condition, name) do {				\
	if (!(condition))						\
		fail_msg("%s: not so: %s", (name), #condition);		\
} while (0)

#endif /* !UNIT_H_ */
