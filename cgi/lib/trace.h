#ifndef TRACE_H_
#define TRACE_H_

/*
 * One trace for a booking's whole way: W3C Trace Context, level 1
 * (https://www.w3.org/TR/trace-context-1/), the header traceparent.
 *
 * version "-" trace-id "-" parent-id "-" trace-flags, of which only version
 * 00 is read, exactly as section 3.2 has it: lower-case hexadecimal digits,
 * neither id all zero, nothing behind the flags.
 */

/* Room for the header's value, with its NUL; and for its parts. */
#define TRACE_PARENT_LEN	56
#define TRACE_ID_LEN		33
#define TRACE_SPAN_LEN		17

/* An empty id stands for no trace, and so does memory set to zero. */
struct trace {
	char id[TRACE_ID_LEN];
	char span[TRACE_SPAN_LEN];	/* the parent of the next one */
	char flags[3];
};

/**
 * trace_parse(text, trace):
 * Read the traceparent ${text}, which may be NULL, into ${trace}.  Return 0; or
 * -1 if it is not valid, which leaves ${trace} empty.
 */
int trace_parse(const char *, struct trace *);

/**
 * trace_next(trace):
 * Begin the next span of ${trace}, which keeps its id and flags; or begin a new
 * trace, to be sampled, if ${trace} is empty.  If no random bytes are
 * available, ${trace} stays as it is.
 */
void trace_next(struct trace *);

/**
 * trace_parent(trace, buf):
 * Write the traceparent of ${trace} to ${buf}, and return it; NULL if ${trace}
 * is empty.
 */
const char *trace_parent(const struct trace *, char [TRACE_PARENT_LEN]);

/**
 * trace_id(trace):
 * Return the id of ${trace}, or NULL if ${trace} is empty.
 */
const char *trace_id(const struct trace *);

#endif /* !TRACE_H_ */
