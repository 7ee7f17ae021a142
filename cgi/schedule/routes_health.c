#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "readiness.h"
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

/* All sentences of ${troubles} in one text, to be freed. */
static char *
join(const struct troubles *troubles)
{
	char *text = NULL;
	size_t i, len;
	FILE *f;

	if ((f = open_memstream(&text, &len)) == NULL)
		return (NULL);
	for (i = 0; i < troubles->n; i++)
		(void)fprintf(f, "%s%s", i > 0 ? "; " : "",
		    troubles->list[i].sentence);
	if (fclose(f) != 0) {
		free(text);
		return (NULL);
	}
	return (text);
}

/* The problem document that names all ${troubles}; NULL: no memory. */
static json_t *
document(const struct troubles *troubles)
{
	json_t *body, *list = json_array();
	char *detail = join(troubles);
	size_t i;

	body = detail != NULL ? request_problem_document(
	    PROBLEM_OUT_OF_SERVICE, detail) : NULL;
	free(detail);
	for (i = 0; i < troubles->n; i++)
		(void)json_array_append_new(list, json_pack("{s:s, s:s}",
		    "code", troubles->list[i].code, "sentence",
		    troubles->list[i].sentence));
	if (json_object_set_new(body, "troubles", list) != 0) {
		json_decref(body);
		return (NULL);
	}
	return (body);
}

/* GET /readyz: what is inserted now becomes a call, or why it does not. */
void
routes_ready(struct routes *r, struct request *request, const char *no_id)
{
	struct readiness_report report;

	(void)no_id;
	readiness_look(r->readiness, r->bookings, &report);
	if (report.troubles.n == 0)
		request_reply(request, 200, json_pack("{s:s, s:s}", "status",
		    "ready", "breaker", report.breaker));
	else
		request_unavailable_document(request, report.retry_after,
		    document(&report.troubles));
}
