#include <strings.h>

#include <jansson.h>

#include "breaker.h"
#include "config.h"
#include "fcgi_memory.h"
#include "fuzz.h"
#include "json_text.h"
#include "log.h"
#include "queues.h"
#include "readiness.h"
#include "request.h"
#include "routes.h"
#include "schedule.h"
#include "status.h"

/*
 * Requests to followup-schedule, up to the point where a booking would be
 * looked at: the scheduler is replaced by the four functions below, and there
 * is no database.
 */

#define SCHEMA	"lad_dev"

static const struct config conf = {
	.schema = SCHEMA,
	.table = "lead_bookings",
	.postgres_host = "/nonexistent",
	.postgres_db = "nowhere",
	.project_id = "p",
	.location = "us-central1",
	.queue = "q",
	.execution_endpoint = "http://127.0.0.1:1/bookings",
	.execution_audience = "http://127.0.0.1:1/bookings",
	.emulator_host = "127.0.0.1:1",
};

static struct routes *routes;
static const struct request *current;
static int scheduled;

void
schedule_bookings(const struct schedule *s, const char *const *ids, size_t n,
    struct schedule_result *results)
{
	struct schedule_result *result;
	size_t i, j;

	FUZZ_REQUIRE(s->conf == &conf && s->bookings != NULL &&
	    s->tasks != NULL && !scheduled);
	scheduled = 1;
	FUZZ_REQUIRE(strcmp(current->method, "POST") == 0 &&
	    strcmp(current->path, "/webhooks/booking-followup") == 0 &&
	    strncasecmp(current->content_type, "application/json",
	    strlen("application/json")) == 0);
	FUZZ_REQUIRE(n >= 1 && n <= SCHEDULE_BATCH);
	for (i = 0; i < n; i++) {
		FUZZ_REQUIRE(fuzz_is_uuid(ids[i]));
		for (j = 0; j < i; j++)
			FUZZ_REQUIRE(strcmp(ids[i], ids[j]) != 0);

		/* Any outcome, decided by the input. */
		result = &results[i];
		memset(result, 0, sizeof(*result));
		result->outcome = (enum schedule_outcome)((unsigned char)
		    ids[i][0] % (SCHEDULE_LATER + 1));
		(void)snprintf(result->reason, sizeof(result->reason),
		    "a reason");
		result->retry_after = ids[i][1] - 'a';
		result->everybody = ids[i][2] == '0';
	}
}

/* What is looked at for /readyz lies outside of a request. */
int
readiness_is_paused(struct readiness *readiness, const char *queue)
{

	FUZZ_REQUIRE(readiness == NULL && queue != NULL);
	return (0);
}

void
readiness_look(struct readiness *readiness, struct bookings *bookings,
    struct readiness_report *report)
{

	FUZZ_REQUIRE(readiness == NULL && bookings != NULL);
	report->troubles.n = 0;
	troubles_add(&report->troubles, "database", "there is none");
	report->breaker = "closed";
	report->retry_after = 1;
}

long
status_patience(const struct status *status, long now)
{

	(void)status;
	(void)now;
	return (1800);
}

void
status_looked(struct status *status, long begun, long now)
{

	FUZZ_REQUIRE(status == NULL && now >= begun);
}

json_t *
status_look(struct status *status, struct bookings *bookings,
    const char *tenant)
{

	(void)tenant;
	FUZZ_REQUIRE(status == NULL && bookings != NULL);
	return (json_pack("{s:s, s:s, s:s, s:s, s:[{s:s, s:s}]}",
	    "state", "stopped", "code", "execute", "since",
	    "2026-11-26T12:00:00.000Z", "sentence", "<script>",
	    "tenants", "tenantId", "<script>", "why", "\"'&"));
}

/* A second opinion: is the body about a booking of ours? */
static int
is_good_body(const struct fcgi_memory *m)
{
	const char *id, *schema;
	json_t *body, *value;
	int good;

	body = json_loadb((const char *)m->body, m->len,
	    JSON_REJECT_DUPLICATES, NULL);
	id = json_text(body, "booking_id");
	schema = json_text(body, "schema");
	value = json_object_get(body, "booking_ids");
	if (value != NULL) {
		good = json_array_size(value) >= 1 &&
		    json_array_size(value) <= SCHEDULE_BATCH &&
		    json_object_get(body, "booking_id") == NULL;
		json_decref(body);
		return (good);
	}
	good = id != NULL && strlen(id) == 36 &&
	    (schema == NULL || strcmp(schema, SCHEMA) == 0);
	json_decref(body);
	return (good);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct request request;
	static const struct breaker_service service = { .name = "x",
	    .nothing = "y", .probe_ms = 1 };
	struct breaker *breaker;
	struct queues *queues;
	struct fcgi_memory m;
	const char *length;
	int status;

	if (routes == NULL) {
		log_init("fuzz", LOG_ERROR, 0);
		FUZZ_REQUIRE((breaker = breaker_new(&service, NULL)) != NULL);
		FUZZ_REQUIRE((queues = queues_new(&conf, breaker)) != NULL);
		routes = routes_new(&conf, NULL, queues, NULL, NULL,
		    NULL);
		FUZZ_REQUIRE(routes != NULL);
	}

	fcgi_memory_init(&m, &request, data, len);
	current = &request;
	scheduled = 0;
	routes_handle(routes, &request);
	status = fcgi_memory_check(&m, &request);
	FUZZ_REQUIRE(status == 200 || status == 400 || status == 403 ||
	    status == 404 || status == 405 || status == 413 ||
	    status == 415 || status == 503);

	/* A body that is shorter than announced was not looked at. */
	length = request_param(&request, "CONTENT_LENGTH");
	if (scheduled)
		FUZZ_REQUIRE(strtol(length, NULL, 10) < (long)m.len ||
		    is_good_body(&m));
	fcgi_memory_free(&m);
	return (0);
}
