#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "trace.h"

#define SPAN_BYTES	8
#define ID_BYTES	16

/* Are the first ${n} bytes of ${s} lower-case digits, not all of them zero? */
static int
is_id(const char *s, size_t n)
{

	return (strspn(s, "0123456789abcdef") >= n && strspn(s, "0") < n);
}

/**
 * trace_parse(text, trace):
 * Read the traceparent ${text}, which may be NULL, into ${trace}.  Return 0; or
 * -1 if it is not valid, which leaves ${trace} empty.
 */
int
trace_parse(const char *text, struct trace *trace)
{

	memset(trace, 0, sizeof(*trace));
	if (text == NULL || strlen(text) != TRACE_PARENT_LEN - 1 ||
	    strncmp(text, "00-", 3) != 0 || !is_id(text + 3, 32) ||
	    text[35] != '-' || !is_id(text + 36, 16) || text[52] != '-' ||
	    strspn(text + 53, "0123456789abcdef") != 2)
		return (-1);
	memcpy(trace->id, text + 3, 32);
	memcpy(trace->span, text + 36, 16);
	memcpy(trace->flags, text + 53, 2);
	return (0);
}

/* Write ${n} random ${bytes} in hexadecimal. */
static void
put(char *hex, unsigned char *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	/* All zero is no id. */
	bytes[n - 1] |= 1;
	for (i = 0; i < n; i++) {
		*hex++ = digits[bytes[i] >> 4];
		*hex++ = digits[bytes[i] & 0xf];
	}
	*hex = '\0';
}

/**
 * trace_next(trace):
 * Begin the next span of ${trace}, which keeps its id and flags; or begin a new
 * trace, to be sampled, if ${trace} is empty.  If no random bytes are
 * available, ${trace} stays as it is.
 */
void
trace_next(struct trace *trace)
{
	unsigned char bytes[SPAN_BYTES + ID_BYTES];

	/* The kernel's own: OpenSSL's cost six times as much a booking. */
	if (getentropy(bytes, sizeof(bytes)) != 0)
		return;
	put(trace->span, bytes, SPAN_BYTES);
	if (*trace->id == '\0') {
		put(trace->id, &bytes[SPAN_BYTES], ID_BYTES);
		(void)snprintf(trace->flags, sizeof(trace->flags), "01");
	}
}

/**
 * trace_parent(trace, buf):
 * Write the traceparent of ${trace} to ${buf}, and return it; NULL if ${trace}
 * is empty.
 */
const char *
trace_parent(const struct trace *trace, char buf[TRACE_PARENT_LEN])
{

	if (*trace->id == '\0')
		return (NULL);
	(void)snprintf(buf, TRACE_PARENT_LEN, "00-%s-%s-%s", trace->id,
	    trace->span, trace->flags);
	return (buf);
}

/**
 * trace_id(trace):
 * Return the id of ${trace}, or NULL if ${trace} is empty.
 */
const char *
trace_id(const struct trace *trace)
{

	return (*trace->id != '\0' ? trace->id : NULL);
}
