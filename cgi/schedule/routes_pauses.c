#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "bookings.h"
#include "log.h"
#include "pauses.h"
#include "request.h"
#include "utf8.h"

#include "routes_internal.h"

/* The longest scope, and the longest reason. */
#define SCOPE_MAX	256
#define REASON_MAX	500

/* GET /pauses */
void
routes_pauses(struct routes *r, struct request *request, const char *no_id)
{
	enum db_outcome outcome;
	json_t *pauses = NULL;

	(void)no_id;
	if ((outcome = bookings_ready(r->bookings)) == DB_OK)
		outcome = pauses_list(r->bookings, &pauses);
	if (!routes_answered(r, request, outcome))
		request_reply(request, 200, json_pack("{s:o}", "pauses",
		    pauses));
}

/* POST /pauses {"scope","reason","until"} */
void
routes_pause(struct routes *r, struct request *request, const char *no_id)
{
	static const char *const names[] = { "scope", "reason", "until",
	    NULL };
	const char *scope, *reason, *until, *by;
	enum db_outcome outcome;
	char *wrong = NULL;
	json_t *json;

	(void)no_id;
	if (request_operator(request, &by) != 0 ||
	    (json = request_json(request)) == NULL)
		return;
	if (request_check_names(request, json, names) != 0 ||
	    request_check_texts(request, json, names) != 0)
		goto out;
	scope = json_string_value(json_object_get(json, "scope"));
	reason = json_string_value(json_object_get(json, "reason"));
	until = json_string_value(json_object_get(json, "until"));
	if (scope == NULL || strlen(scope) > SCOPE_MAX || reason == NULL ||
	    strlen(reason) > REASON_MAX ||
	    (until != NULL && !routes_is_time(until))) {
		request_problem(request, PROBLEM_INVALID, NULL, "scope must "
		    "be \"all\" or \"tenant:ID\", reason a text of at most %d "
		    "bytes, and until, which may be left out, a time as "
		    "2026-11-23T11:00:00Z", REASON_MAX);
		goto out;
	}
	if ((outcome = bookings_ready(r->bookings)) == DB_OK)
		outcome = pauses_begin(r->bookings, scope, reason, until, by,
		    &wrong);
	if (routes_answered(r, request, outcome))
		goto out;
	if (wrong != NULL) {
		request_problem(request, PROBLEM_INVALID, NULL, "%s", wrong);
		goto out;
	}
	log_info(NULL, "calls are paused by request of %s: %s, %s",
	    by != NULL ? by : "somebody", scope, reason);
	request_reply(request, 200, json_pack("{s:b, s:s, s:s, s:s?}",
	    "success", 1, "scope", scope, "reason", reason, "until", until));

out:
	free(wrong);
	json_decref(json);
}

/* DELETE /pauses/{scope} */
void
routes_resume(struct routes *r, struct request *request, const char *scope)
{
	enum db_outcome outcome;
	const char *by;
	int ended = 0;

	if (request_operator(request, &by) != 0)
		return;
	if (strlen(scope) > SCOPE_MAX || !utf8_valid(scope, strlen(scope))) {
		request_problem(request, PROBLEM_INVALID, NULL, "the scope "
		    "must be \"all\" or \"tenant:ID\", in at most %d bytes",
		    SCOPE_MAX);
		return;
	}
	if ((outcome = bookings_ready(r->bookings)) == DB_OK)
		outcome = pauses_end(r->bookings, scope, by, &ended);
	if (routes_answered(r, request, outcome))
		return;
	if (!ended) {
		request_problem(request, PROBLEM_NOT_FOUND, NULL, "there is "
		    "no pause of \"%s\": GET /pauses lists them", scope);
		return;
	}
	log_info(NULL, "calls are resumed by request of %s: %s",
	    by != NULL ? by : "somebody", scope);
	request_reply(request, 200, json_pack("{s:b, s:s}", "success", 1,
	    "scope", scope));
}
