#include <stdarg.h>
#include <stdio.h>

#include "utf8.h"

#include "troubles.h"

/**
 * troubles_add(troubles, code, fmt, ...):
 * Add a trouble of the kind ${code}.  The list is bounded, and what does not
 * fit is left out: it shows up once the others have been fixed.
 */
void
troubles_add(struct troubles *t, const char *code, const char *fmt, ...)
{
	struct trouble *trouble;
	va_list ap;

	if (t->n == TROUBLES_MAX)
		return;
	trouble = &t->list[t->n++];
	trouble->of_some = 0;
	(void)snprintf(trouble->code, sizeof(trouble->code), "%s", code);
	va_start(ap, fmt);
	(void)vsnprintf(trouble->sentence, sizeof(trouble->sentence), fmt, ap);
	va_end(ap);

	/* What a sentence quotes need not be UTF-8; an answer must be. */
	utf8_clean(trouble->sentence);
}

/**
 * troubles_add_some(troubles, code, sentence):
 * Likewise, one that holds up some bookings only, not all.
 */
void
troubles_add_some(struct troubles *t, const char *code, const char *sentence)
{
	size_t n = t->n;

	troubles_add(t, code, "%s", sentence);
	if (t->n > n)
		t->list[n].of_some = 1;
}
