#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "proto.h"
#include "times.h"
#include "validate.h"

static const char *const states[] = { "STATE_UNSPECIFIED", "RUNNING",
    "PAUSED", "DISABLED", NULL };

static const struct proto_field rate_limits[] = {
	{ .name = "maxDispatchesPerSecond", .kind = PROTO_DOUBLE },
	{ .name = "maxBurstSize", .kind = PROTO_INT32 },
	{ .name = "maxConcurrentDispatches", .kind = PROTO_INT32 },
	{ .name = NULL }
};

static const struct proto_field retry_config[] = {
	{ .name = "maxAttempts", .kind = PROTO_INT32 },
	{ .name = "maxRetryDuration", .kind = PROTO_SPAN },
	{ .name = "minBackoff", .kind = PROTO_SPAN },
	{ .name = "maxBackoff", .kind = PROTO_SPAN },
	{ .name = "maxDoublings", .kind = PROTO_INT32 },
	{ .name = NULL }
};

static const struct proto_field queue_fields[] = {
	{ .name = "name", .kind = PROTO_STRING },
	{ .name = "rateLimits", .kind = PROTO_MESSAGE,
	    .type = "google.cloud.tasks.v2.RateLimits",
	    .fields = rate_limits },
	{ .name = "retryConfig", .kind = PROTO_MESSAGE,
	    .type = "google.cloud.tasks.v2.RetryConfig",
	    .fields = retry_config },
	{ .name = "state", .kind = PROTO_ENUM,
	    .type = "google.cloud.tasks.v2.Queue.State", .values = states },
	{ .name = "purgeTime", .kind = PROTO_STAMP },
	{ .name = "appEngineRoutingOverride", .kind = PROTO_ANY,
	    .type = "google.cloud.tasks.v2.AppEngineRouting" },
	{ .name = "stackdriverLoggingConfig", .kind = PROTO_ANY,
	    .type = "google.cloud.tasks.v2.StackdriverLoggingConfig" },
	{ .name = "httpTarget", .kind = PROTO_ANY,
	    .type = "google.cloud.tasks.v2.HttpTarget" },
	{ .name = NULL }
};

/* The settings of a queue, and where they are kept. */
enum leaf_kind { LEAF_INT, LEAF_DOUBLE, LEAF_SPAN };
static const struct leaf {
	const char *group;
	const char *name;
	enum leaf_kind kind;
	size_t offset;
} leaves[] = {
	{ "rateLimits", "maxDispatchesPerSecond", LEAF_DOUBLE,
	    offsetof(struct queue_config, rate) },
	{ "rateLimits", "maxConcurrentDispatches", LEAF_INT,
	    offsetof(struct queue_config, concurrent) },
	{ "retryConfig", "maxAttempts", LEAF_INT,
	    offsetof(struct queue_config, attempts) },
	{ "retryConfig", "maxRetryDuration", LEAF_SPAN,
	    offsetof(struct queue_config, retry_span) },
	{ "retryConfig", "minBackoff", LEAF_SPAN,
	    offsetof(struct queue_config, min_backoff) },
	{ "retryConfig", "maxBackoff", LEAF_SPAN,
	    offsetof(struct queue_config, max_backoff) },
	{ "retryConfig", "maxDoublings", LEAF_INT,
	    offsetof(struct queue_config, doublings) },
};

/*
 * Say whether the mask, a list of paths with commas between, names the leaf
 * or the whole group it is in.
 */
static int
masked(const char *mask, const struct leaf *leaf)
{
	char *camel, *rest, *path, *dot;
	int yes = 0;

	if ((camel = proto_camel(mask)) == NULL)
		return (0);
	for (rest = camel; (path = strsep(&rest, ",")) != NULL;) {
		if ((dot = strchr(path, '.')) != NULL)
			*dot++ = '\0';
		yes |= strcmp(path, "*") == 0 ||
		    (strcmp(path, leaf->group) == 0 &&
		    (dot == NULL || strcmp(dot, leaf->name) == 0));
	}
	free(camel);

	return (yes);
}

/*
 * Say whether there is something in a queue at the path, with dots between the
 * names.  It is taken apart.
 */
static int
is_path(char *path)
{
	const struct proto_field *field = NULL, *fields = queue_fields;
	const char *name;

	while ((name = strsep(&path, ".")) != NULL && fields != NULL) {
		for (field = fields; field->name != NULL; field++) {
			if (strcmp(field->name, name) == 0)
				break;
		}
		if (field->name == NULL)
			return (0);
		fields = field->fields;
	}

	/* Nobody looks into an object of any kind. */
	return (name == NULL || field->kind == PROTO_ANY);
}

static int
check_mask(const char *mask, struct failure *failure)
{
	char *camel, *rest, *path;
	int rc = 0;

	if ((camel = proto_camel(mask)) == NULL)
		return (failure_set(failure, FAILURE_INTERNAL,
		    "out of memory"));
	for (rest = camel; rc == 0 && (path = strsep(&rest, ",")) != NULL;) {
		if (strcmp(path, "*") != 0 && !is_path(path))
			rc = failure_set(failure, FAILURE_INVALID_ARGUMENT,
			    "Invalid value at 'update_mask' "
			    "(type.googleapis.com/google.protobuf.FieldMask), "
			    "\"%.100s\"", mask);
	}
	free(camel);

	return (rc);
}

/*
 * Copy one setting.  To the service a zero is the same as nothing, which
 * leaves what a fresh queue gets.
 */
static void
set_leaf(const struct leaf *leaf, const json_t *value,
    struct queue_config *config)
{
	struct queue_config fresh;
	const char *from = (const char *)&fresh + leaf->offset;
	char *to = (char *)config + leaf->offset;
	int64_t span = 0;
	double number;
	int n;

	resource_queue_defaults(&fresh);
	switch (leaf->kind) {
	case LEAF_INT:
		n = (int)json_integer_value(value);
		memcpy(to, n != 0 ? (const char *)&n : from, sizeof(n));
		break;
	case LEAF_DOUBLE:
		number = json_real_value(value);
		memcpy(to, number < 0 || number > 0 ? (const char *)&number :
		    from, sizeof(number));
		break;
	case LEAF_SPAN:
		if (value != NULL)
			times_parse_span(json_string_value(value), &span);
		memcpy(to, span != 0 ? (const char *)&span : from,
		    sizeof(span));
		break;
	}
}

static int
check(const struct queue_config *config, struct failure *failure)
{
	const char *wrong = NULL;

	if (config->rate < 0)
		wrong = "RateLimits.maxDispatchesPerSecond cannot be negative.";
	else if (config->rate > 500)
		wrong = "RateLimits.maxDispatchesPerSecond must be less than "
		    "or equal to 500.";
	else if (config->concurrent < 0)
		wrong = "RateLimits.maxConcurrentDispatches cannot be "
		    "negative.";
	else if (config->concurrent > 5000)
		wrong = "RateLimits.maxConcurrentDispatches must be less than "
		    "or equal to 5000.";
	else if (config->attempts < -1)
		wrong = "RetryConfig.maxAttempts must be greater or equal to "
		    "-1.";
	else if (config->doublings < 0)
		wrong = "RetryConfig.maxDoublings cannot be negative.";
	else if (config->retry_span < 0)
		wrong = "RetryConfig.maxRetryDuration cannot be negative.";
	else if (config->min_backoff < 0)
		wrong = "RetryConfig.minBackoff cannot be negative.";
	else if (config->max_backoff < 0)
		wrong = "RetryConfig.maxBackoff cannot be negative.";
	else if (config->min_backoff > config->max_backoff)
		wrong = "RetryConfig.minBackoff must be less than or equal to "
		    "RetryConfig.maxBackoff.";
	if (wrong == NULL)
		return (0);

	return (failure_set(failure, FAILURE_INVALID_ARGUMENT, "%s", wrong));
}

/**
 * validate_queue(body, mask, config, name, failure):
 * Read a Queue and change in ${config} what it sets: with an update ${mask}
 * what that lists, absent fields going back to the default; without one
 * (NULL) what is there.  Set ${name} to its name, a string the caller frees,
 * or to NULL where it has none.  Return 0, or -1 and the ${failure}, and then
 * ${config} is undefined.
 */
int
validate_queue(const json_t *body, const char *mask,
    struct queue_config *config, char **name, struct failure *failure)
{
	const struct leaf *leaf;
	json_t *queue, *value;
	int rc = -1;
	size_t i;

	*name = NULL;
	if (mask != NULL && check_mask(mask, failure) != 0)
		return (-1);
	if ((queue = proto_read(body, queue_fields, failure)) == NULL)
		return (-1);
	if (json_object_get(queue, "httpTarget") != NULL) {
		failure_set(failure, FAILURE_UNIMPLEMENTED, "The emulator has "
		    "no Queue.httpTarget: set url and token in each task.");
		goto out;
	}
	for (i = 0; i < sizeof(leaves) / sizeof(leaves[0]); i++) {
		leaf = &leaves[i];
		value = json_object_get(json_object_get(queue, leaf->group),
		    leaf->name);
		if (mask != NULL ? masked(mask, leaf) : value != NULL)
			set_leaf(leaf, value, config);
	}
	if ((rc = check(config, failure)) != 0)
		goto out;
	if ((value = json_object_get(queue, "name")) != NULL &&
	    (*name = strdup(json_string_value(value))) == NULL)
		rc = failure_set(failure, FAILURE_INTERNAL, "out of memory");

out:
	json_decref(queue);
	return (rc);
}
