#include <stdlib.h>
#include <unistd.h>

#include <jansson.h>

#include "config.h"
#include "json_text.h"
#include "metrics.h"
#include "status_memory.h"

#include "unit.h"

#define NOW	1795700000

static char dir[] = "/tmp/followup-memory.XXXXXX";

/* The time ${name} of ${part}, to be compared; "" where there is none. */
static const char *
time_of(const char *part, const char *name)
{
	static char found[40];
	json_t *memory = status_memory(dir, NOW);
	const char *text = json_text(json_object_get(json_object_get(memory,
	    "chain"), part), name);

	(void)snprintf(found, sizeof(found), "%s", text != NULL ? text : "");
	json_decref(memory);
	return (found);
}

/* When Google's token expires is known once there has been one. */
static void
test_token_expires(void **state)
{

	(void)state;
	assert_string_equal(time_of("task", "tokenExpiresAt"), "");
	assert_int_equal(metrics_init(dir, CONFIG_SCHEDULE), 0);
	assert_string_equal(time_of("task", "tokenExpiresAt"), "");
	metrics_set(METRICS_CREDENTIALS_EXPIRY, 0, 1795703599250);
	assert_string_equal(time_of("task", "tokenExpiresAt"),
	    "2026-11-26T14:33:19.250Z");
	metrics_set(METRICS_CREDENTIALS_EXPIRY, 0, 0);
	assert_string_equal(time_of("task", "tokenExpiresAt"), "");
	metrics_end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_token_expires),
	};
	char path[64];
	int rc;

	if (mkdtemp(dir) == NULL)
		return (1);
	rc = cmocka_run_group_tests_name("status_memory", tests, NULL, NULL);
	(void)snprintf(path, sizeof(path), "%s/schedule.metrics", dir);
	(void)unlink(path);
	(void)rmdir(dir);
	return (rc);
}
