#include <string.h>

#include <jansson.h>

#include "bookings.h"
#include "breaker.h"
#include "monotime.h"
#include "request.h"

#include "routes_internal.h"

/* GET /healthz: this process can answer. */
void
routes_alive(struct routes *r, struct request *request, const char *no_id)
{

	(void)r;
	(void)no_id;
	request_reply(request, 200, json_pack("{s:s}", "status", "alive"));
}

/* GET /readyz: this process can do its work. */
void
routes_ready(struct routes *r, struct request *request, const char *no_id)
{
	char missing[640] = "", reason[BREAKER_REASON_LEN];
	enum db_outcome outcome;
	const char *state;
	long wait;

	(void)no_id;
	if ((outcome = bookings_ready(r->bookings)) == DB_OK)
		outcome = bookings_check(r->bookings, missing,
		    sizeof(missing));
	if (routes_answered(r, request, outcome))
		return;
	if (*missing == '\0')
		(void)bookings_trouble(r->bookings, missing, sizeof(missing));
	state = breaker_state(r->breaker, monotime_ms(), &wait, reason);
	if (*missing != '\0')
		request_unavailable(request, PROBLEM_OUT_OF_SERVICE, 10, "%s",
		    missing);
	else if (strcmp(state, "closed") != 0)
		request_unavailable(request, PROBLEM_OUT_OF_SERVICE,
		    wait / 1000 + 1, "the breaker of Cloud Tasks is %s: %s",
		    state, reason);
	else
		request_reply(request, 200, json_pack("{s:s, s:s}", "status",
		    "ready", "breaker", state));
}
