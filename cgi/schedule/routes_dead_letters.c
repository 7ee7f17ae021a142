#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "bookings.h"
#include "dead_letters.h"
#include "log.h"
#include "monotime.h"
#include "plural.h"
#include "request.h"
#include "rfc3339.h"
#include "uuid.h"

#include "routes_internal.h"

/* Dead letters a page: if not said, and at most. */
#define PAGE_DEFAULT	50
#define PAGE_MAX	500

/* How long a retry of many goes on, in milliseconds; nginx waits 60 s. */
#define RETRY_MS	20000

/* The byte that the escape "%XX" at ${p} stands for; 0 if it is none. */
static char
unescape(const char *p)
{
	char hex[3] = "";

	if (!isxdigit((unsigned char)p[1]) || !isxdigit((unsigned char)p[2]))
		return ('\0');
	memcpy(hex, &p[1], 2);
	return ((char)strtoul(hex, NULL, 16));
}

/*
 * Find the value of ${name} in the query string and write it, decoded, to
 * ${value}.  Return 1 if it is there, 0 if not, -1 if it is too long or not
 * encoded as a text.
 */
static int
query_value(const char *query, const char *name, char *value, size_t len)
{
	size_t n = strlen(name), i = 0;
	const char *p;

	for (p = query; p != NULL; p = strchr(p, '&')) {
		if (*p == '&')
			p++;
		if (strncmp(p, name, n) == 0 && p[n] == '=')
			break;
	}
	if (p == NULL)
		return (0);
	for (p += n + 1; *p != '\0' && *p != '&'; p++) {
		if (i + 1 >= len)
			return (-1);
		if (*p != '%')
			value[i++] = *p;
		else if ((value[i++] = unescape(p)) == '\0')
			return (-1);
		else
			p += 2;
	}
	value[i] = '\0';
	return (1);
}

/**
 * routes_is_time(text):
 * Return non-zero iff ${text} is a time as RFC 3339 has it, with an offset that
 * PostgreSQL takes.
 */
int
routes_is_time(const char *s)
{
	size_t len = strlen(s);
	int64_t ms;

	/* It takes less than sixteen hours. */
	if (rfc3339_parse(s, &ms) != 0)
		return (0);
	return (s[len - 1] == 'Z' || strncmp(&s[len - 5], "16", 2) < 0);
}

/* Take the place "time,id" apart; -1 if it is not one of ours. */
static int
parse_cursor(char *cursor, const char **time, char id[UUID_LEN])
{
	char *comma = strchr(cursor, ',');

	if (comma == NULL || uuid_parse(comma + 1, id) != 0)
		return (-1);
	*comma = '\0';
	*time = cursor;
	return (routes_is_time(cursor) ? 0 : -1);
}

/* GET /dead-letters?by=cause */
static void
list_causes(struct routes *r, struct request *request, const char *by)
{
	enum db_outcome outcome;
	json_t *causes = NULL;

	if (strcmp(by, "cause") != 0) {
		request_problem(request, PROBLEM_INVALID, NULL,
		    "by must be \"cause\"");
		return;
	}
	if ((outcome = bookings_ready(r->bookings)) == DB_OK)
		outcome = dead_letters_causes(r->bookings, &causes);
	if (!routes_answered(r, request, outcome))
		request_reply(request, 200, json_pack("{s:o}", "causes",
		    causes));
}

/* GET /dead-letters?limit=N&before=PLACE, or ?by=cause */
void
routes_dead_letters(struct routes *r, struct request *request,
    const char *no_id)
{
	char limit[8] = "", *end, cursor[80], id[UUID_LEN], next[96];
	const char *time = NULL;
	enum db_outcome outcome;
	json_t *letters = NULL, *last;
	long n = PAGE_DEFAULT;
	int has;

	(void)no_id;
	if (query_value(request->query, "by", limit, sizeof(limit)) != 0) {
		list_causes(r, request, limit);
		return;
	}
	has = query_value(request->query, "limit", limit, sizeof(limit));
	if (has != 0 && (has < 0 || !isdigit((unsigned char)*limit) ||
	    (n = strtol(limit, &end, 10)) < 1 || n > PAGE_MAX ||
	    *end != '\0')) {
		request_problem(request, PROBLEM_INVALID, NULL,
		    "limit must be a number from 1 to %d", PAGE_MAX);
		return;
	}
	has = query_value(request->query, "before", cursor, sizeof(cursor));
	if (has != 0 && (has < 0 || parse_cursor(cursor, &time, id) != 0)) {
		request_problem(request, PROBLEM_INVALID, NULL,
		    "before must be taken from \"next\" of the page before");
		return;
	}

	/* One more than a page shows whether there is another page. */
	(void)snprintf(limit, sizeof(limit), "%ld", n + 1);
	if ((outcome = bookings_ready(r->bookings)) == DB_OK)
		outcome = dead_letters_list(r->bookings, time,
		    time != NULL ? id : NULL, limit, &letters);
	if (routes_answered(r, request, outcome))
		return;
	*next = '\0';
	if (json_array_size(letters) > (size_t)n) {
		(void)json_array_remove(letters, (size_t)n);
		last = json_array_get(letters, (size_t)n - 1);
		(void)snprintf(next, sizeof(next), "/dead-letters?limit=%ld&"
		    "before=%s,%s", n,
		    json_string_value(json_object_get(last, "diedAt")),
		    json_string_value(json_object_get(last, "bookingId")));
	}
	request_reply(request, 200, json_pack("{s:o, s:s?}", "deadLetters",
	    letters, "next", *next != '\0' ? next : NULL));
}

/* The text ${name} of ${json}; -1 if it is there and something else. */
static int
optional_text(const json_t *json, const char *name, const char **value)
{
	const json_t *member = json_object_get(json, name);

	*value = json_string_value(member);
	return (member == NULL || json_is_null(member) || *value != NULL ? 0 :
	    -1);
}

/* Is ${value}, if it is there, a number from ${min} to ${max}? */
static int
is_number(const json_t *value, json_int_t min, json_int_t max)
{

	return (value == NULL || json_is_null(value) ||
	    (json_is_integer(value) && json_integer_value(value) >= min &&
	    json_integer_value(value) <= max));
}

static int
is_bool(const json_t *value)
{

	return (value == NULL || json_is_null(value) ||
	    json_is_boolean(value));
}

/* Are these the filters and options of a retry?  If not, say so. */
static int
check_filter(struct request *request, const json_t *json)
{
	static const char *const names[] = { "stage", "since", "until",
	    "tenantId", "httpStatus", "error", "dryRun", "late", "perMinute",
	    NULL };
	const char *stage, *since, *until, *text;

	if (request_check_names(request, json, names) != 0)
		return (-1);
	if (optional_text(json, "stage", &stage) == 0 &&
	    (stage == NULL || strcmp(stage, "schedule") == 0 ||
	    strcmp(stage, "execute") == 0) &&
	    optional_text(json, "since", &since) == 0 &&
	    (since == NULL || routes_is_time(since)) &&
	    optional_text(json, "until", &until) == 0 &&
	    (until == NULL || routes_is_time(until)) &&
	    optional_text(json, "tenantId", &text) == 0 &&
	    optional_text(json, "error", &text) == 0 &&
	    is_number(json_object_get(json, "httpStatus"), 0, 599) &&
	    is_number(json_object_get(json, "perMinute"), 1, 60000) &&
	    is_bool(json_object_get(json, "dryRun")) &&
	    is_bool(json_object_get(json, "late")))
		return (0);
	request_problem(request, PROBLEM_INVALID, NULL, "stage must be "
	    "\"schedule\" or \"execute\", since and until times as "
	    "2026-11-23T11:00:00Z, tenantId and error texts, httpStatus a "
	    "number (0: none), perMinute one from 1 to 60000, dryRun and late "
	    "true or false; all may be left out");
	return (-1);
}

/**
 * routes_retry_letters(routes, filter, retry):
 * Retry the dead letters that ${filter} names, in steps, as long as a request
 * may take; see dead_letters_retry.
 */
enum db_outcome
routes_retry_letters(struct routes *r, json_t *json,
    struct dead_letters_retry *retry)
{
	long end = monotime_ms() + RETRY_MS;
	enum db_outcome outcome;
	char *filter;

	do {
		if (*retry->after != '\0') {
			(void)json_object_set_new(json, "after",
			    json_string(retry->after));
			(void)json_object_set_new(json, "afterId",
			    json_string(retry->after_id));
			(void)json_object_set_new(json, "asOf",
			    json_string(retry->as_of));
		}
		if ((filter = json_dumps(json, JSON_COMPACT)) == NULL)
			return (DB_LOST);
		outcome = dead_letters_retry(r->bookings, filter, retry);
		free(filter);
	} while (outcome == DB_OK && retry->more && monotime_ms() < end);
	return (outcome);
}

/* POST /dead-letters/retry {filters and options}, all optional */
void
routes_retry_all(struct routes *r, struct request *request, const char *no_id)
{
	struct dead_letters_retry retry = { 0 };
	enum db_outcome outcome;
	char pace[16], *filter;
	json_t *json, *counts = NULL;
	int dry;

	(void)no_id;
	if (request_operator(request, &retry.by) != 0 ||
	    (json = request_json(request)) == NULL)
		return;
	if (check_filter(request, json) != 0)
		goto out;
	retry.late = json_is_true(json_object_get(json, "late"));
	if (json_is_integer(json_object_get(json, "perMinute"))) {
		(void)snprintf(pace, sizeof(pace), "%" JSON_INTEGER_FORMAT,
		    json_integer_value(json_object_get(json, "perMinute")));
		retry.per_minute = pace;
	}
	dry = json_is_true(json_object_get(json, "dryRun"));
	if ((outcome = bookings_ready(r->bookings)) == DB_OK)
		outcome = dead_letters_narrow(r->bookings, json);
	if (outcome == DB_OK && dry) {
		filter = json_dumps(json, JSON_COMPACT);
		outcome = dead_letters_preview(r->bookings, filter,
		    retry.late, &counts);
		free(filter);
	} else if (outcome == DB_OK)
		outcome = routes_retry_letters(r, json, &retry);
	if (routes_answered(r, request, outcome))
		goto out;
	if (dry) {
		request_reply(request, 200, counts);
		goto out;
	}
	log_info(NULL, "%lld dead %s back to pending by request of %s",
	    (long long)retry.retried, plural(retry.retried, "letter",
	    "letters"), retry.by != NULL ? retry.by : "somebody");
	request_reply(request, 200, json_pack("{s:b, s:I, s:b, s:s*}",
	    "success", 1, "retried", (json_int_t)retry.retried, "more",
	    retry.more, "until", *retry.until != '\0' ? retry.until : NULL));

out:
	json_decref(json);
}
