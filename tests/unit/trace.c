#include <stdio.h>
#include <string.h>

#include "trace.h"

#include "unit.h"

#define PARENT	"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

static void
read_and_written(void **state)
{
	static const char *const right[] = { PARENT,
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00",
	    "00-00000000000000000000000000000001-1000000000000000-ff" };
	char text[TRACE_PARENT_LEN];
	struct trace trace;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(right); i++) {
		ASSERT_ROW(trace_parse(right[i], &trace) == 0, right[i]);
		assert_string_equal(trace_parent(&trace, text), right[i]);
	}
	(void)trace_parse(PARENT, &trace);
	assert_string_equal(trace_id(&trace),
	    "0af7651916cd43dd8448eb211c80319c");
	assert_string_equal(trace.span, "b7ad6b7169203331");
	assert_string_equal(trace.flags, "01");
}

/* Anybody may send us one, and a column may hold anything. */
static void
hostile(void **state)
{
	static const char *const wrong[] = { NULL, "", "x", "00-", "00",
	    "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	    "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	    "00-00000000000000000000000000000000-b7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
	    "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c-B7AD6B7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b716920333x-01",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331_01",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0x",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-1",
	    "00-0af7651916cd43dd8448eb211c80319-bb7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\n",
	    " 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
	    "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\nX: y",
	    /* NOLINTNEXTLINE(bugprone-suspicious-missing-comma) */
	    PARENT "-", PARENT " " };
	char text[TRACE_PARENT_LEN];
	struct trace trace;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(wrong); i++) {
		memset(&trace, 'a', sizeof(trace));
		ASSERT_ROW(trace_parse(wrong[i], &trace) == -1, wrong[i]);
		ASSERT_ROW(trace_id(&trace) == NULL, wrong[i]);
		ASSERT_ROW(trace_parent(&trace, text) == NULL, wrong[i]);
	}
}

static void
next(void **state)
{
	struct trace trace = { .id = "" }, other = { .id = "" }, read;
	char text[TRACE_PARENT_LEN];

	(void)state;
	/* None: one is begun, which is read again, and sampled. */
	trace_next(&trace);
	assert_int_equal(trace_parse(trace_parent(&trace, text), &read), 0);
	assert_string_equal(trace.flags, "01");
	trace_next(&other);
	assert_string_not_equal(other.id, trace.id);
	assert_string_not_equal(other.span, trace.span);

	/* Another span of it; what its flags say stays. */
	(void)snprintf(trace.flags, sizeof(trace.flags), "00");
	read = trace;
	trace_next(&trace);
	assert_string_equal(trace.id, read.id);
	assert_string_not_equal(trace.span, read.span);
	assert_string_equal(trace.flags, "00");
	assert_int_equal(trace_parse(trace_parent(&trace, text), &read), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(read_and_written),
		cmocka_unit_test(hostile),
		cmocka_unit_test(next),
	};

	return (cmocka_run_group_tests(tests, NULL, NULL));
}
