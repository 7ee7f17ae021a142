#include <strings.h>

#include <jansson.h>

#include "callback.h"
#include "config.h"
#include "execute.h"
#include "fcgi_memory.h"
#include "fuzz.h"
#include "json_text.h"
#include "jwks.h"
#include "log.h"
#include "request.h"

/*
 * Requests to followup-execute, which faces the internet, up to the point
 * where a call would be started: only who has the secret gets there, and only
 * with a body that is about the booking of the path.
 *
 * What would start the call is replaced by the three functions below.
 */

#define SECRET	"s3cret"

static const struct config conf = {
	.schema = "lad_dev",
	.table = "lead_bookings",
	.postgres_host = "/nonexistent",
	.postgres_db = "nowhere",
	.call_url = "http://127.0.0.1:1/",
	.call_timeout = 1,
	.execution_endpoint = "https://example.com/bookings",
	.execution_audience = "https://example.com/bookings",
	.oidc_jwks_url = "http://127.0.0.1:1/",
	.oidc_issuer = "https://accounts.google.com",
	.cloud_tasks_secret = SECRET,
};

static struct callback *callback;
static const struct request *current;
static int started;

static int
is_param(const char *name, const char *value)
{
	const char *param = request_param(current, name);

	return (param != NULL && strcmp(param, value) == 0);
}

/* Does the path end as the endpoint of this booking does? */
static int
is_path_of(const char *id)
{
	const char *path = current->path;
	size_t len = strlen(path), tail = strlen("/execute-followup");

	return (len > tail + 36 &&
	    strcmp(path + len - tail, "/execute-followup") == 0 &&
	    strncasecmp(path + len - tail - 36, id, 36) == 0);
}

void
execute_booking(const struct execute *x, const struct execute_callback *c,
    struct execute_result *result)
{
	const char *bearer = request_bearer(current);

	FUZZ_REQUIRE(x->conf == &conf && x->bookings != NULL &&
	    x->agent != NULL && !started);
	started = 1;
	FUZZ_REQUIRE(strcmp(current->method, "POST") == 0);
	FUZZ_REQUIRE(is_param("HTTP_X_CLOUDTASKS_SECRET", SECRET) ||
	    (bearer != NULL && strcmp(bearer, SECRET) == 0));
	FUZZ_REQUIRE(strncasecmp(current->content_type, "application/json",
	    strlen("application/json")) == 0);
	FUZZ_REQUIRE(fuzz_is_uuid(c->booking_id) && is_path_of(c->booking_id));
	FUZZ_REQUIRE(c->task_id == NULL || strchr(c->task_id, '/') == NULL);

	/* Any outcome, decided by the input. */
	memset(result, 0, sizeof(*result));
	result->outcome = (enum execute_outcome)((unsigned int)c->
	    scheduled_at / 1000 % (EXECUTE_LATER + 1));
	(void)snprintf(result->reason, sizeof(result->reason), "a reason");
	result->retry_after = (long)(c->scheduled_at % 7);
}

/* A second opinion on the body: may the call be started? */
static int
is_good_body(const struct fcgi_memory *m)
{
	static const char *const names[] = { "tenantId", "leadId",
	    "assignedUserId", "idempotencyKey" };
	json_t *body, *value;
	const char *id;
	size_t i;
	int good;

	body = json_loadb((const char *)m->body, m->len,
	    JSON_REJECT_DUPLICATES, NULL);
	id = json_text(body, "bookingId");
	good = id != NULL && strlen(id) == 36 && is_path_of(id) &&
	    json_is_string(json_object_get(body, "scheduledAt"));
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		value = json_object_get(body, names[i]);
		good &= value == NULL || json_is_null(value) ||
		    json_is_string(value);
	}
	json_decref(body);
	return (good);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct request request;
	struct fcgi_memory m;
	struct shared_document *keys;
	int status;

	if (callback == NULL) {
		log_init("fuzz", LOG_ERROR, 0);
		FUZZ_REQUIRE((keys = jwks_shared()) != NULL);
		callback = callback_new(&conf, keys, NULL, NULL, NULL);
		FUZZ_REQUIRE(callback != NULL);
	}

	fcgi_memory_init(&m, &request, data, len);
	current = &request;
	started = 0;
	callback_handle(callback, &request);
	status = fcgi_memory_check(&m, &request);
	if (started)
		FUZZ_REQUIRE((status == 200 || status == 400 || status == 409 ||
		    status == 503) && (is_good_body(&m) ||
		    !is_param("CONTENT_LENGTH", m.length +
		    strlen("CONTENT_LENGTH="))));
	else
		FUZZ_REQUIRE(status == 400 || status == 401 || status == 404 ||
		    status == 405 || status == 413 || status == 415);
	fcgi_memory_free(&m);
	return (0);
}
