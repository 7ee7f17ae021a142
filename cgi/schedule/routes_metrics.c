#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "bookings.h"
#include "config.h"
#include "exposition.h"
#include "figures.h"
#include "monotime.h"
#include "request.h"
#include "time_limit.h"

#include "routes_internal.h"

/* Tenants that /stats shows, unless it is asked for fewer or more. */
#define TENANTS_DEFAULT	20
#define TENANTS_MAX	100

/* GET /metrics: Prometheus' text, or OpenMetrics where it is preferred. */
void
routes_metrics(struct routes *r, struct request *request, const char *no_id)
{
	enum exposition_format format = exposition_accepted(
	    request_param(request, "HTTP_ACCEPT"));
	char *text;

	(void)no_id;
	figures_collect(r->conf, r->bookings, monotime_ms());
	text = exposition_write(r->conf->runtime_dir, format, monotime_ms());
	if (text == NULL) {
		request_unavailable(request, PROBLEM_UNAVAILABLE, 1,
		    "out of memory");
		return;
	}

	/* request_reply_text adds a newline, and OpenMetrics ends with one. */
	text[strlen(text) - 1] = '\0';
	request_reply_text(request, 200, exposition_type(format), NULL, text);
	free(text);
}

/* Read "by=tenant" and "limit=N" in any order; -1: it is something else. */
static int
parse_query(const char *query, long *limit)
{
	int by_tenant = 0;
	size_t len;
	char *end;

	*limit = TENANTS_DEFAULT;
	for (; *query != '\0'; query += len + (query[len] != '\0')) {
		len = strcspn(query, "&");
		if (len == 9 && strncmp(query, "by=tenant", len) == 0)
			by_tenant = 1;
		else if (strncmp(query, "limit=", 6) == 0) {
			*limit = strtol(&query[6], &end, 10);
			if (end != &query[len] || *limit < 1 ||
			    *limit > TENANTS_MAX)
				return (-1);
		} else
			return (-1);
	}
	return (by_tenant ? 0 : -1);
}

/* GET /stats?by=tenant&limit=N */
void
routes_stats(struct routes *r, struct request *request, const char *no_id)
{
	enum db_outcome outcome;
	json_t *tenants;
	char limit[24];
	long n;

	(void)no_id;
	if (parse_query(request->query, &n) != 0) {
		request_problem(request, PROBLEM_INVALID, NULL, "ask for "
		    "/stats?by=tenant, with limit=1 to %d if wanted",
		    TENANTS_MAX);
		return;
	}
	(void)snprintf(limit, sizeof(limit), "%ld", n);
	outcome = figures_by_tenant(r->bookings, limit, &tenants);
	if (outcome == DB_LOCKED)
		request_unavailable(request, PROBLEM_UNAVAILABLE, 10, "the "
		    "database takes longer for that than " TIME_LIMIT);
	else if (!routes_answered(r, request, outcome))
		request_reply(request, 200, json_pack("{s:o}", "tenants",
		    tenants));
}
