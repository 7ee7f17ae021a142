#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/rand.h>

#include <jansson.h>

#include "bookings.h"
#include "config.h"
#include "dead_letters.h"
#include "form.h"
#include "json_text.h"
#include "log.h"
#include "pauses.h"
#include "plural.h"
#include "request.h"
#include "schedule.h"
#include "status.h"
#include "status_page.h"
#include "utf8.h"
#include "uuid.h"

#include "routes_internal.h"

/* GET /status.json?tenant=ID, which is optional */
void
routes_status_json(struct routes *r, struct request *request,
    const char *no_id)
{
	json_t *fields = form_parse(request->query, strlen(request->query));

	(void)no_id;
	request_reply(request, 200, status_look(r->status, r->bookings,
	    json_text(fields, "tenant")));
	json_decref(fields);
}

/*
 * The page.
 */

#define NONCE_LEN	33

/* Answer with ${page}: only its own style and script may do anything. */
static void
reply(struct request *request, int status, const struct status_page *page)
{
	unsigned char random[(NONCE_LEN - 1) / 2];
	char nonce[NONCE_LEN], headers[640], *html;
	size_t i;

	if (RAND_bytes(random, (int)sizeof(random)) != 1) {
		request_unavailable(request, PROBLEM_UNAVAILABLE, 1,
		    "there is no randomness");
		return;
	}
	for (i = 0; i < sizeof(random); i++)
		(void)snprintf(&nonce[2 * i], 3, "%02x", random[i]);
	if ((html = status_page(page, nonce)) == NULL) {
		request_unavailable(request, PROBLEM_UNAVAILABLE, 1,
		    "out of memory");
		return;
	}
	(void)snprintf(headers, sizeof(headers), "Content-Security-Policy: "
	    "default-src 'none'; style-src 'nonce-%s'; script-src 'nonce-%s'; "
	    "connect-src 'self'; img-src data:; form-action 'self'; "
	    "frame-ancestors 'none'; base-uri 'none'\r\n"
	    "X-Content-Type-Options: nosniff\r\n"
	    "Referrer-Policy: same-origin", nonce, nonce);
	request_reply_text(request, status, "text/html; charset=utf-8",
	    headers, html);
	free(html);
}

/* GET /status?booking=ID&tenant=ID, both optional */
void
routes_status(struct routes *r, struct request *request, const char *no_id)
{
	struct status_page page = { .status = NULL };
	json_t *fields, *status, *booking = NULL;
	char id[UUID_LEN];

	(void)no_id;
	fields = form_parse(request->query, strlen(request->query));
	page.search = json_text(fields, "booking");
	page.tenant = json_text(fields, "tenant");
	status = status_look(r->status, r->bookings, page.tenant);
	page.status = status;
	if (page.search != NULL && uuid_parse(page.search, id) == 0 &&
	    routes_booking(r, id, &booking) != DB_OK)
		page.unknown = bookings_error(r->bookings);
	page.booking = booking;
	if (status == NULL)
		request_unavailable(request, PROBLEM_UNAVAILABLE, 1,
		    "out of memory");
	else
		reply(request, 200, &page);
	json_decref(booking);
	json_decref(status);
	json_decref(fields);
}

/*
 * The actions.  Each is shown first, with the command that does the same, and
 * is done when the form comes back with "confirm".
 */

/* Room for a path, with every byte of a scope escaped. */
#define PATH_LEN	800

/* A form and its outcome. */
struct act {
	struct routes *r;
	json_t *form;
	const char *by;		/* who asks; NULL: it is only shown */
	const char *method;	/* the same over HTTP: method, path, */
	char path[PATH_LEN];
	json_t *body;			/* and body, or NULL */
	char title[64];
	char sentence[1024];
	int status;			/* of the answer */
	int wrong;			/* it cannot be done */
};

static void say(struct act *, int, const char *, ...)
    __attribute__((format(printf, 3, 4)));

/* Set the sentence; a ${status} other than 200 ends the action. */
static void
say(struct act *act, int status, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(act->sentence, sizeof(act->sentence), fmt, ap);
	va_end(ap);
	utf8_clean(act->sentence);
	act->status = status;
	act->wrong = status != 200;
}

/* Report the database's error; return non-zero iff it refused. */
static int
has_failed(struct act *act, enum db_outcome outcome)
{

	if (outcome == DB_OK)
		return (0);
	say(act, 503, "Nothing was done: the database does not take it: %s",
	    bookings_error(act->r->bookings));
	return (1);
}

/* Which calls are paused or resumed, as people say it. */
static const char *
whose(const char *scope, char buf[300])
{

	if (strcmp(scope, "all") == 0)
		return ("all calls");
	(void)snprintf(buf, 300, "the calls of tenant %.250s",
	    strncmp(scope, "tenant:", 7) == 0 ? scope + 7 : scope);
	return (buf);
}

/*
 * The end of a pause: a form has 2026-11-24T09:00, which means UTC.  Return
 * NULL if the form has no end, or "" if its end is not a time.
 */
static const char *
until_of(const json_t *form, char buf[40])
{
	const char *until = json_text(form, "until");

	if (until == NULL || *until == '\0')
		return (NULL);
	(void)snprintf(buf, 40, strlen(until) == 16 ? "%.16s:00Z" : "%.39s",
	    until);
	return (routes_is_time(buf) ? buf : "");
}

static void
act_pause(struct act *act)
{
	const char *scope = json_text(act->form, "scope");
	const char *reason = json_text(act->form, "reason"), *until;
	char buf[300], time[40], *wrong = NULL;
	enum db_outcome outcome;

	(void)snprintf(act->title, sizeof(act->title), "Pause calls");
	act->method = "POST";
	(void)snprintf(act->path, sizeof(act->path), "/pauses");
	until = until_of(act->form, time);
	if (scope == NULL || (until != NULL && *until == '\0')) {
		say(act, 400, "That is no time or nobody to pause.");
		return;
	}
	if (act->by != NULL && reason == NULL) {
		say(act, 400, "Nothing was done: a pause needs a reason, since "
		    "others will ask why.");
		return;
	}
	act->body = json_pack("{s:s, s:s, s:s*}", "scope", scope, "reason",
	    reason != NULL ? reason : "WHY", "until", until);
	if (act->by == NULL) {
		say(act, 200, "If you confirm, %s wait until %s. What comes "
		    "due meanwhile loses no attempts and is called after it.",
		    whose(scope, buf), until != NULL ? until :
		    "somebody resumes them");
		return;
	}
	if ((outcome = bookings_ready(act->r->bookings)) == DB_OK)
		outcome = pauses_begin(act->r->bookings, scope, reason, until,
		    act->by, &wrong);
	if (has_failed(act, outcome))
		return;
	if (wrong != NULL)
		say(act, 400, "Nothing was done: %s.", wrong);
	else {
		say(act, 200, "From now on %s are paused.",
		    whose(scope, buf));
		log_info(NULL, "calls are paused by request of %s: %s, %s",
		    act->by, scope, reason);
	}
	free(wrong);
}

/*
 * Write to ${path} where the pause of ${scope}, of at most 256 bytes, is: a
 * tenant's id may have characters that end a path (RFC 3986, 3.3).
 */
static void
pause_path(const char *scope, char path[PATH_LEN])
{
	size_t n = (size_t)snprintf(path, PATH_LEN, "/pauses/");

	for (; *scope != '\0'; scope++)
		n += (size_t)snprintf(&path[n], PATH_LEN - n,
		    isalnum((unsigned char)*scope) || strchr("-._~:", *scope) !=
		    NULL ? "%c" : "%%%02X", (unsigned char)*scope);
}

static void
act_resume(struct act *act)
{
	const char *scope = json_text(act->form, "scope");
	const char *but = "";
	enum db_outcome outcome;
	char buf[300];
	int ended = 0;

	(void)snprintf(act->title, sizeof(act->title), "Resume calls");
	act->method = "DELETE";
	if (scope == NULL || strlen(scope) > 256) {
		say(act, 400, "There is nobody to resume.");
		return;
	}
	pause_path(scope, act->path);
	if (strcmp(scope, "all") == 0)
		but = ", but for tenants that have a pause of their own";
	if (act->by == NULL) {
		say(act, 200, "If you confirm, %s go on%s: who waited is "
		    "called within seconds, unless outside of the calling "
		    "hours or too late.", whose(scope, buf), but);
		return;
	}
	if ((outcome = bookings_ready(act->r->bookings)) == DB_OK)
		outcome = pauses_end(act->r->bookings, scope, act->by, &ended);
	if (has_failed(act, outcome))
		return;
	if (!ended)
		say(act, 404, "Nothing was done: there is no such pause.");
	else {
		say(act, 200, "From now on %s go on%s.", whose(scope, buf),
		    but);
		log_info(NULL, "calls are resumed by request of %s: %s",
		    act->by, scope);
	}
}

/* Show what a retry of ${filter} would do now. */
static void
preview(struct act *act, const json_t *filter)
{
	enum db_outcome outcome = DB_LOST;
	json_t *counts = NULL;
	char *dumped;

	if ((dumped = json_dumps(filter, JSON_COMPACT)) != NULL)
		outcome = dead_letters_preview(act->r->bookings, dumped, 0,
		    &counts);
	free(dumped);
	if (has_failed(act, outcome))
		return;
	say(act, 200, "%" JSON_INTEGER_FORMAT " %s: %s%"
	    JSON_INTEGER_FORMAT " to be called now, %" JSON_INTEGER_FORMAT
	    " to wait for calling hours or a pause; %" JSON_INTEGER_FORMAT
	    " too late and %" JSON_INTEGER_FORMAT " not to be called, which "
	    "become dead letters again.",
	    json_integer_value(json_object_get(counts, "matching")),
	    plural(json_integer_value(json_object_get(counts, "matching")),
	    "dead letter matches", "dead letters match"),
	    json_is_true(json_object_get(counts, "more")) ? "at least " : "",
	    json_integer_value(json_object_get(counts, "callNow")),
	    json_integer_value(json_object_get(counts, "wait")),
	    json_integer_value(json_object_get(counts, "tooLate")),
	    json_integer_value(json_object_get(counts, "never")));
	json_decref(counts);
}

static void
act_retry(struct act *act)
{
	struct dead_letters_retry retry = { .by = act->by };
	const char *stage = json_text(act->form, "stage");
	const char *code = json_text(act->form, "httpStatus");
	const char *error = json_text(act->form, "error");
	enum db_outcome outcome;
	json_t *filter;

	(void)snprintf(act->title, sizeof(act->title), "Retry a group");
	act->method = "POST";
	(void)snprintf(act->path, sizeof(act->path), "/dead-letters/retry");
	if (stage == NULL || code == NULL || error == NULL) {
		say(act, 400, "There is no such group.");
		return;
	}
	act->body = json_pack("{s:s, s:i, s:s, s:s*}", "stage", stage,
	    "httpStatus", (int)strtol(code, NULL, 10), "error", error,
	    "tenantId", json_text(act->form, "tenantId"));
	filter = json_deep_copy(act->body);
	if ((outcome = bookings_ready(act->r->bookings)) == DB_OK)
		outcome = dead_letters_narrow(act->r->bookings, filter);
	if (outcome == DB_OK && act->by == NULL) {
		preview(act, filter);
		goto out;
	}
	if (outcome == DB_OK)
		outcome = routes_retry_letters(act->r, filter, &retry);
	if (has_failed(act, outcome))
		goto out;
	say(act, 200, "%lld %s pending again%s.", (long long)retry.retried,
	    plural((long long)retry.retried, "dead letter is",
	    "dead letters are"), retry.more ?
	    "; there are more: retry once more" : "");
	log_info(NULL, "%lld %s back to pending by request of %s",
	    (long long)retry.retried, plural((long long)retry.retried,
	    "dead letter", "dead letters"), act->by);

out:
	json_decref(filter);
}

static void
act_call(struct act *act)
{
	const char *given = json_text(act->form, "booking"), *ids[1];
	struct schedule_result result;
	struct log_about about = { .booking_id = NULL };
	char id[UUID_LEN];

	(void)snprintf(act->title, sizeof(act->title), "Test call");
	act->method = "POST";
	(void)snprintf(act->path, sizeof(act->path),
	    "/webhooks/booking-followup");
	if (given == NULL || uuid_parse(given, id) != 0) {
		say(act, 400, "The id of a booking is a UUID.");
		return;
	}
	act->body = json_pack("{s:s}", "booking_id", id);
	if (act->by == NULL) {
		say(act, 200, "If you confirm, booking %s goes the whole way "
		    "now: its task is created for the time it is due, and "
		    "then, which may be at once, the lead's phone rings.",
		    id);
		return;
	}
	ids[0] = about.booking_id = id;
	schedule_bookings(&act->r->schedule, ids, 1, &result);
	log_info(&about, "scheduled by request of %s", act->by);
	if (result.outcome == SCHEDULE_DONE)
		say(act, 200, "Its task is in the queue for %s: look for the "
		    "booking on the page to see what becomes of it.",
		    result.schedule_time);
	else
		say(act, 200, "No task was created: %s.", result.reason);
}

/* Append ${text} to ${f} as one word of a shell. */
static void
quote(FILE *f, const char *text)
{

	(void)fputc('\'', f);
	for (; *text != '\0'; text++) {
		if (*text == '\'')
			(void)fputs("'\\''", f);
		else
			(void)fputc(*text, f);
	}
	(void)fputc('\'', f);
}

/* The command that does the same, to be freed; or NULL. */
static char *
curl_line(const struct act *act, const struct request *request)
{
	const char *host = request_param(request, "HTTP_HOST");
	char *line = NULL, *body, url[PATH_LEN + 220];
	size_t len;
	FILE *f;

	if ((f = open_memstream(&line, &len)) == NULL)
		return (NULL);
	(void)snprintf(url, sizeof(url), "http://%.200s%s", host != NULL ?
	    host : "127.0.0.1:8080", act->path);
	(void)fprintf(f, "curl -sS -X %s -H ", act->method);
	quote(f, "X-Operator: YOUR NAME");
	if (act->r->conf->webhook_token != NULL)
		(void)fputs(" -H \"Authorization: Bearer "
		    "$FOLLOWUP_WEBHOOK_TOKEN\"", f);
	if ((body = act->body != NULL ? json_dumps(act->body, 0) : NULL) !=
	    NULL) {
		(void)fputs(" -H 'Content-Type: application/json' -d ", f);
		quote(f, body);
	}
	free(body);
	(void)fputc(' ', f);
	quote(f, url);
	if (fclose(f) != 0) {
		free(line);
		return (NULL);
	}
	return (line);
}

/* Answer with the outcome of ${act}, or with what it will do. */
static void
show(struct act *act, struct request *request)
{
	char *curl = curl_line(act, request);
	struct status_step step = { .title = act->title,
	    .sentence = act->sentence, .curl = act->wrong ? NULL : curl,
	    .fields = act->by == NULL && !act->wrong ? act->form : NULL,
	    .needs_token = act->r->conf->webhook_token != NULL };
	struct status_page page = { .step = &step };

	reply(request, act->status, &page);
	free(curl);
	json_decref(act->body);
}

/* Do ${act}, or show it, as the form says. */
static void
run(struct act *act)
{
	static const struct {
		const char *name;
		void (*run)(struct act *);
	} acts[] = { { "pause", act_pause }, { "resume", act_resume },
	    { "retry", act_retry }, { "call", act_call } };
	const char *name = json_text(act->form, "action");
	size_t i;

	(void)snprintf(act->title, sizeof(act->title), "Nothing was done");
	say(act, 400, "The page has no such action.");
	for (i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		if (name != NULL && strcmp(name, acts[i].name) == 0)
			acts[i].run(act);
	}
}

/* Set who confirms ${act}.  Return -1 if the form does not name anybody. */
static int
take_operator(struct act *act, const struct request *request)
{
	const char *by = json_text(act->form, "operator");
	const char *token = json_text(act->form, "token");

	if (json_text(act->form, "confirm") == NULL)
		return (0);
	(void)snprintf(act->title, sizeof(act->title), "Nothing was done");
	if (!routes_has_token(act->r, token != NULL ? token :
	    request_bearer(request))) {
		say(act, 401, "The token of FOLLOWUP_WEBHOOK_TOKEN is "
		    "missing, or another one.");
		return (-1);
	}
	if (by == NULL || *by == '\0' || !request_is_operator(by)) {
		say(act, 400, "Say who you are, in printable ASCII of at most "
		    "64 bytes.");
		return (-1);
	}
	act->by = by;
	return (0);
}

/* POST /status, a form of the page */
void
routes_status_act(struct routes *r, struct request *request,
    const char *no_id)
{
	struct act act = { .r = r, .method = "POST" };
	json_t *form;

	(void)no_id;
	if ((form = request_form(request)) == NULL)
		return;
	act.form = form;
	if (!request_is_own(request)) {
		(void)snprintf(act.title, sizeof(act.title),
		    "Nothing was done");
		say(&act, 403, "This form was sent by a page of another "
		    "site.");
	} else if (take_operator(&act, request) == 0)
		run(&act);
	show(&act, request);
	json_decref(form);
}
