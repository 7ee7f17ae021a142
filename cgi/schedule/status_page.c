#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "rfc3339.h"

#include "status_page.h"

/* The lines of status.html. */
static const char *const template[] = {
#include "status_html.h"
	NULL
};

/* The head of a column of numbers. */
#define NUMBERS(name)	"<th scope=\"col\" class=\"number\">" name "</th>"

/* The most overdue bookings that are listed. */
#define LISTED	20

/* The size of an hour's drawing, in its own units. */
#define CHART_WIDTH	720
#define CHART_HEIGHT	60
#define CHART_BAR	12

/* A page that is being written. */
struct out {
	FILE *f;
	const struct status_page *page;
	const char *nonce;
	int64_t now;			/* milliseconds since 1970 */
};

/* Write foreign text, escaped. */
static void
text(struct out *o, const char *s)
{

	for (; s != NULL && *s != '\0'; s++) {
		switch (*s) {
		case '&':
			(void)fputs("&amp;", o->f);
			break;
		case '<':
			(void)fputs("&lt;", o->f);
			break;
		case '>':
			(void)fputs("&gt;", o->f);
			break;
		case '"':
			(void)fputs("&quot;", o->f);
			break;
		case '\'':
			(void)fputs("&#39;", o->f);
			break;
		default:
			(void)fputc(*s, o->f);
			break;
		}
	}
}

/* Write HTML. */
static void
html(struct out *o, const char *s)
{

	(void)fputs(s, o->f);
}

/* Write ${before}, ${s} as a text, and ${after}. */
static void
put(struct out *o, const char *before, const char *s, const char *after)
{

	html(o, before);
	text(o, s);
	html(o, after);
}

/* Likewise of a number. */
static void
put_number(struct out *o, const char *before, json_int_t n, const char *after)
{

	(void)fprintf(o->f, "%s%" JSON_INTEGER_FORMAT "%s", before, n, after);
}

/* Write ${s} so that it can stand in the query of a link. */
static void
query(struct out *o, const char *s)
{

	for (; s != NULL && *s != '\0'; s++) {
		if ((*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') ||
		    (*s >= 'A' && *s <= 'Z') || strchr("-_.", *s) != NULL)
			(void)fputc(*s, o->f);
		else
			(void)fprintf(o->f, "%%%02X", (unsigned char)*s);
	}
}

static json_int_t
number(const json_t *object, const char *name)
{

	return (json_integer_value(json_object_get(object, name)));
}

/* The section ${name} of the document. */
static json_t *
section(const struct out *o, const char *name)
{

	return (json_object_get(o->page->status, name));
}

/* Write how far ${seconds} are from now, to either side. */
static void
put_distance(struct out *o, int64_t seconds)
{
	int64_t s = seconds < 0 ? -seconds : seconds;
	const char *unit = "s";

	if (s >= 172800) {
		s /= 86400;
		unit = "days";
	} else if (s >= 7200) {
		s /= 3600;
		unit = "h";
	} else if (s >= 120) {
		s /= 60;
		unit = "min";
	}
	(void)fprintf(o->f, "%s%" PRId64 " %s%s", seconds < 0 ? "in " : "", s,
	    unit, seconds < 0 ? "" : " ago");
}

/* Write the time ${iso} of our documents, absolute and relative. */
static void
put_time(struct out *o, const char *iso)
{
	int64_t ms;

	if (iso == NULL || rfc3339_parse(iso, &ms) != 0)
		return;
	(void)fprintf(o->f, "<time datetime=\"%.24s\"><span>%.10s %.8s UTC"
	    "</span> <span>(", iso, iso, iso + 11);
	put_distance(o, (o->now - ms) / 1000);
	html(o, ")</span></time>");
}

/* A link to what is known of booking ${id}. */
static void
put_booking(struct out *o, const char *id)
{

	html(o, "<a href=\"?booking=");
	query(o, id);
	put(o, "#found\"><code>", id, "</code></a>");
}

/* A link to what is known of tenant ${id}. */
static void
put_tenant(struct out *o, const char *id)
{

	if (id == NULL)
		return;
	html(o, "<a href=\"?tenant=");
	query(o, id);
	put(o, "\"><code>", id, "</code></a>");
}

static void
hidden(struct out *o, const char *name, const char *value)
{

	put(o, "<input type=\"hidden\" name=\"", name, "\"");
	put(o, " value=\"", value, "\">");
}

/* Return whether it belongs to the tenant asked for, if any. */
static int
is_shown(const struct out *o, const json_t *thing)
{
	const char *tenant = o->page->tenant;

	return (tenant == NULL || json_text_is(json_object_get(thing,
	    "tenantId"), tenant));
}

/* The word for ${state}, with a sign, so that it is not colour alone. */
static void
put_word(struct out *o, const char *state, const char *word)
{
	const char *sign = strcmp(state, "ok") == 0 ? "&#10003;" :
	    strcmp(state, "degraded") == 0 ? "&#9651;" :
	    strcmp(state, "stopped") == 0 ? "&#9632;" :
	    strcmp(state, "off") == 0 ? "" : "?";

	put(o, "<span class=\"word ", state, "\">");
	if (*sign != '\0')
		(void)fprintf(o->f, "<span aria-hidden=\"true\">%s</span> ",
		    sign);
	put(o, "", word, "</span>");
}

/* Write that what belongs here cannot be found out now. */
static void
put_unknown(struct out *o)
{

	html(o, "<p class=\"soft\">Not known now.</p>");
}

/*
 * The sections, in their order.
 */

static void
put_now(struct out *o)
{
	const char *state = json_text(o->page->status, "state");
	const char *command = json_text(o->page->status, "command");
	const json_t *pause = json_array_get(section(o, "pauses"), 0);

	put(o, "<section id=\"now\" class=\"now ", state, "\" "
	    "aria-label=\"Now\">");
	put_word(o, state, strcmp(state, "ok") == 0 ? "running" : state);
	html(o, " <span class=\"soft\">since ");
	put_time(o, json_text(o->page->status, "since"));
	put(o, "</span><div role=\"status\"><h1>", json_text(o->page->status,
	    "sentence"), "</h1></div>");
	if (json_text_is(section(o, "code"), "paused")) {
		html(o, "<form method=\"post\" action=\"status\">");
		hidden(o, "action", "resume");
		hidden(o, "scope", json_text(pause, "scope"));
		html(o, "<button class=\"main\">Resume all calls</button>"
		    "</form>");
	} else if (command != NULL)
		put(o, "<p class=\"soft\">Begin with:</p><pre>", command,
		    "</pre>");
	html(o, "</section>");
}

/* A bar that stands on ${bottom}; return where it ends. */
static double
put_bar(struct out *o, const char *class, int minute, double bottom,
    double height)
{

	if (height > 0)
		(void)fprintf(o->f, "<rect class=\"%s\" x=\"%d\" y=\"%.1f\" "
		    "width=\"%d\" height=\"%.1f\"/>", class,
		    minute * CHART_BAR + 1, bottom - height, CHART_BAR - 2,
		    height);
	return (bottom - height);
}

/* Begin a drawing of sixty minutes, whose highest is of ${most} bookings. */
static void
begin_chart(struct out *o, const char *label, double most)
{

	(void)fprintf(o->f, "<p class=\"soft most\">at most %.0f a minute</p>",
	    most);
	(void)fprintf(o->f, "<svg viewBox=\"0 0 %d %d\" role=\"img\" "
	    "preserveAspectRatio=\"none\" aria-label=\"%s\">", CHART_WIDTH,
	    CHART_HEIGHT + 1, label);
}

/* End it, with what its left and its right side are. */
static void
end_chart(struct out *o, const char *left, const char *right)
{

	(void)fprintf(o->f, "<line class=\"axis\" x1=\"0\" x2=\"%d\" "
	    "y1=\"%d\" y2=\"%d\"/></svg><p class=\"soft axis\">"
	    "<span>%s</span> <span>%s</span></p>", CHART_WIDTH, CHART_HEIGHT,
	    CHART_HEIGHT, left, right);
}

/* Bookings that come due, minute by minute. */
static void
put_next_chart(struct out *o, const json_t *minutes)
{
	json_int_t most = 1;
	const json_t *n;
	size_t i;

	json_array_foreach(minutes, i, n) {
		if (json_integer_value(n) > most)
			most = json_integer_value(n);
	}
	begin_chart(o, "Bookings that come due in each of the next 60 "
	    "minutes", (double)most);
	json_array_foreach(minutes, i, n)
		(void)put_bar(o, "bar", (int)i, CHART_HEIGHT, CHART_HEIGHT *
		    (double)json_integer_value(n) / (double)most);
	end_chart(o, "now", "in 60 min");
}

/* A quantile of how late calls were. */
static void
put_lateness(struct out *o, const char *label, const json_t *seconds)
{

	put(o, "<div><dt>", label, "</dt><dd>");
	if (json_is_number(seconds))
		(void)fprintf(o->f, "%.2f <span class=\"unit\">s</span>",
		    json_number_value(seconds));
	else
		html(o, "&ndash;");
	html(o, "</dd></div>");
}

/* The outcomes of what was due, minute by minute. */
static void
put_last_chart(struct out *o, const json_t *minutes)
{
	static const char *const classes[] = { "bar", "late", "dead" };
	double most = 1, sum, bottom;
	const json_t *minute;
	size_t i, j;

	json_array_foreach(minutes, i, minute) {
		for (sum = 0, j = 0; j < 3; j++)
			sum += json_number_value(json_array_get(minute, j));
		if (sum > most)
			most = sum;
	}
	begin_chart(o, "Calls in time, late and not made in each of the last "
	    "60 minutes", most);
	json_array_foreach(minutes, i, minute) {
		for (bottom = CHART_HEIGHT, j = 0; j < 3; j++)
			bottom = put_bar(o, classes[j], (int)i, bottom,
			    CHART_HEIGHT * json_number_value(json_array_get(
			    minute, j)) / most);
	}
	end_chart(o, "60 min ago", "now");
	html(o, "<p class=\"soft key\"><span class=\"bar\">in time</span> "
	    "<span class=\"late\">late</span> <span class=\"dead\">not made"
	    "</span></p>");
}

static void
put_last(struct out *o)
{
	const json_t *last = section(o, "lastHour");

	html(o, "<section aria-labelledby=\"last\"><h2 id=\"last\">The last "
	    "hour</h2><dl class=\"figures\">");
	put_number(o, "<div><dt>called in time</dt><dd>", number(last,
	    "inTime"), "</dd></div>");
	put_number(o, "<div><dt>called late</dt><dd>", number(last, "late"),
	    "</dd></div>");
	put_number(o, "<div><dt>not made</dt><dd>", number(last, "notMade"),
	    "</dd></div>");
	put_lateness(o, "half within", json_object_get(last,
	    "p50Seconds"));
	put_lateness(o, "99 % within", json_object_get(last,
	    "p99Seconds"));
	html(o, "</dl>");
	if (number(last, "inTime") + number(last, "late") +
	    number(last, "notMade") > 0)
		put_last_chart(o, json_object_get(last, "minutes"));
	html(o, "</section>");
}

static void
put_next(struct out *o)
{
	const json_t *next = section(o, "next");
	const char *more = json_is_true(json_object_get(next, "atLeast")) ?
	    " or more</dd></div>" : "</dd></div>";

	html(o, "<section aria-labelledby=\"next\"><h2 id=\"next\">The next "
	    "hour</h2>");
	if (next == NULL) {
		put_unknown(o);
		html(o, "</section>");
		return;
	}
	html(o, "<dl class=\"figures\">");
	put_number(o, "<div><dt>due in 15 min</dt><dd>",
	    number(next, "in15Minutes"), "</dd></div>");
	put_number(o, "<div><dt>due in 60 min</dt><dd>",
	    number(next, "in60Minutes"), more);
	put_number(o, "<div><dt>waiting now</dt><dd>",
	    json_integer_value(section(o, "waiting")), "</dd></div>");
	if (json_is_integer(section(o, "backlogGoneInSeconds"))) {
		html(o, "<div><dt>backlog gone</dt><dd>");
		put_distance(o, -json_integer_value(section(o,
		    "backlogGoneInSeconds")));
		html(o, "</dd></div>");
	}
	html(o, "</dl>");
	if (number(next, "in60Minutes") > 0)
		put_next_chart(o, json_object_get(next, "minutes"));
	if (json_text(next, "nextAt") != NULL) {
		html(o, "<p class=\"soft\">The next one is due at ");
		put_time(o, json_text(next, "nextAt"));
		html(o, "</p>");
	}
	html(o, "</section>");
}

/* The parts on the way of a booking, and the codes of their troubles. */
#define LISTENER	"followup-listener"
#define AGENT		"voice agent"
static const struct {
	const char *name;
	const char *codes;		/* each between blanks */
	const char *stops;		/* the word, where it is in trouble */
	const char *measured;		/* of "chain" */
	const char *unit;		/* of its rate */
} chain[] = {
	{ "INSERT and NOTIFY", " database not-installed trigger-missing "
	    "column-missing column-added trigger-disabled grants read-only "
	    "row-security ",
	    "trouble", "notify", "heard" },
	{ LISTENER, " listener ", "gone", "listener", "handed on" },
	{ "followup-schedule", " refused memory ", "trouble", "schedule",
	    "scheduled" },
	{ "Cloud Tasks", " breaker credentials cloud-tasks queue-missing "
	    "queue-paused ", "trouble", "task", "tasks" },
	{ "callback", " execute callbacks ", "trouble", "callback",
	    "callbacks" },
	{ AGENT, " voice-agent ", "breaker open", "call", "calls" },
};

/* The first trouble of which ${codes} has the code, or NULL. */
static const json_t *
trouble_of(const struct out *o, const char *codes)
{
	const json_t *trouble;
	char code[48];
	size_t n;

	json_array_foreach(section(o, "troubles"), n, trouble) {
		(void)snprintf(code, sizeof(code), " %s ",
		    json_text(trouble, "code"));
		if (strstr(codes, code) != NULL)
			return (trouble);
	}
	return (NULL);
}

/* Write ${name} and a time of ${part}, if it has that. */
static void
put_age(struct out *o, const json_t *part, const char *member,
    const char *name)
{
	int64_t ms;

	if (json_text(part, member) == NULL ||
	    rfc3339_parse(json_text(part, member), &ms) != 0)
		return;
	put(o, "; ", name, " ");
	put_distance(o, (o->now - ms) / 1000);
}

/* The rate and the duration of the part ${i}. */
static void
put_measured(struct out *o, size_t i)
{
	const json_t *part = json_object_get(section(o, "chain"),
	    chain[i].measured);
	const json_t *p99 = json_object_get(part, "p99Seconds");

	if (part == NULL)
		return;
	html(o, "<span>");
	(void)fprintf(o->f, "%.*f %s a minute",
	    json_number_value(json_object_get(part, "perMinute")) < 10 ? 1 : 0,
	    json_number_value(json_object_get(part, "perMinute")),
	    chain[i].unit);
	if (json_is_number(p99))
		(void)fprintf(o->f, "; 99 %% within %.3f s",
		    json_number_value(p99));
	if (json_is_false(json_object_get(part, "isLeader")) &&
	    section(o, "overdue") != NULL)
		html(o, "; the one on this host stands by");
	put_age(o, part, "tokenExpiresAt", "token expires");
	put_age(o, part, "keysFetchedAt", "keys fetched");
	html(o, "</span>");
}

/*
 * Can nobody say whether the part ${i} works?  Of the listener the database
 * knows, and of the voice agent followup-execute.
 */
static int
is_unknown(const struct out *o, size_t i)
{

	if (strcmp(chain[i].name, LISTENER) == 0)
		return (section(o, "overdue") == NULL);
	return (strcmp(chain[i].name, AGENT) == 0 && json_text_is(
	    json_object_get(section(o, "breakers"), "voiceAgent"),
	    "unknown"));
}

/* The canary, which goes the whole way except the call. */
static void
put_canary(struct out *o)
{
	const json_t *canary = json_object_get(section(o, "installation"),
	    "canary");

	html(o, "<li><b>canary</b><span>");
	if (canary == NULL)
		put_word(o, "unknown", "not known");
	else if (!json_is_true(json_object_get(canary, "isOn")))
		put_word(o, "off", "off");
	else if (json_is_true(json_object_get(canary, "isStale")))
		put_word(o, "degraded", "stale");
	else
		put_word(o, "ok", json_text(canary, "succeededAt") != NULL ?
		    "came back" : "on its way");
	put(o, "</span><span class=\"soft\">", json_text(canary, "sentence"),
	    "");
	html(o, "</span></li>");
}

static void
put_chain(struct out *o)
{
	const json_t *trouble;
	size_t i;

	html(o, "<section aria-labelledby=\"chain\"><h2 id=\"chain\">The way "
	    "of a booking</h2><ol class=\"chain\">");
	for (i = 0; i < sizeof(chain) / sizeof(chain[0]); i++) {
		trouble = trouble_of(o, chain[i].codes);
		put(o, "<li><b>", chain[i].name, "</b><span>");
		if (trouble != NULL)
			put_word(o, "stopped", chain[i].stops);
		else if (is_unknown(o, i))
			put_word(o, "unknown", "not known");
		else
			put_word(o, "ok", "works");
		html(o, "</span><span class=\"soft\">");
		if (trouble != NULL)
			put(o, "<span class=\"why\">", json_text(trouble,
			    "sentence"), "</span>");
		put_measured(o, i);
		html(o, "</span></li>");
	}
	put_canary(o);
	html(o, "</ol></section>");
}

/* When an overdue booking was due by the clock of its lead. */
static void
put_there(struct out *o, const json_t *booking)
{
	const char *due = json_text(booking, "dueAt");

	if (json_text(booking, "dueThere") != NULL) {
		put(o, "", json_text(booking, "dueThere"), " ");
		text(o, json_text(booking, "timezone"));
	} else if (due != NULL)
		(void)fprintf(o->f, "%.10s %.5s UTC", due, due + 11);
}

static void
put_overdue(struct out *o)
{
	const json_t *overdue = section(o, "overdue"), *b;
	const json_t *list = json_object_get(overdue, o->page->tenant != NULL ?
	    "ofTenant" : "bookings");
	json_int_t left = number(overdue, "left"), n;
	int more;
	size_t i;

	n = o->page->tenant == NULL ? number(overdue, "count") :
	    (json_int_t)json_array_size(list);
	more = o->page->tenant == NULL ? json_is_true(json_object_get(overdue,
	    "atLeast")) : n == LISTED;
	html(o, "<section aria-labelledby=\"overdue\"><h2 id=\"overdue\">"
	    "Overdue");
	if (overdue != NULL)
		put_number(o, ": ", n, more ? " or more" : "");
	html(o, "</h2>");
	if (overdue == NULL)
		put_unknown(o);
	else if (number(overdue, "count") == 0)
		html(o, "<p class=\"soft\">None has been due for more than a "
		    "minute.</p>");
	else if (json_array_size(list) == 0)
		html(o, "<p class=\"soft\">None of this tenant is.</p>");
	else
		html(o, "<table><tr><th scope=\"col\">booking</th>"
		    "<th scope=\"col\">due</th>"
		    "<th scope=\"col\">lead's time</th>"
		    "<th scope=\"col\">tenant</th><th scope=\"col\">why"
		    "</th></tr>");
	json_array_foreach(list, i, b) {
		html(o, "<tr><td>");
		put_booking(o, json_text(b, "bookingId"));
		html(o, "</td><td data-label=\"due\">");
		put_time(o, json_text(b, "dueAt"));
		html(o, "</td><td data-label=\"lead's time\">");
		put_there(o, b);
		html(o, "</td>");
		html(o, "<td data-label=\"tenant\">");
		put_tenant(o, json_text(b, "tenantId"));
		put(o, "</td><td>", json_text(b, "explanation"), "</td></tr>");
	}
	if (json_array_size(list) > 0)
		html(o, "</table>");
	if (left > 0)
		put_number(o, "<p class=\"soft\">", left, " that are older "
		    "than FOLLOWUP_SWEEP_WINDOW are not called by "
		    "themselves.</p>");
	html(o, "</section>");
}

static void
put_cause(struct out *o, const json_t *cause, size_t i)
{
	const json_t *id, *status = json_object_get(cause, "httpStatus");
	char code[32] = "0";
	size_t n;

	if (json_is_integer(status))
		(void)snprintf(code, sizeof(code), "%" JSON_INTEGER_FORMAT,
		    json_integer_value(status));
	put_number(o, "<tr><td class=\"number\" data-label=\"count\">",
	    number(cause, "count"), "</td>");
	put(o, "<td class=\"whole\" data-label=\"stage\">", json_text(cause,
	    "stage"), " ");
	put(o, "", json_is_integer(status) ? code : "", "</td><td>");
	(void)fprintf(o->f, "<details id=\"cause%zu\"><summary>", i);
	put(o, "", json_text(cause, "error"), "</summary>");
	json_array_foreach(json_object_get(cause, "bookingIds"), n, id) {
		html(o, "<p>");
		put_booking(o, json_string_value(id));
		html(o, "</p>");
	}
	put_number(o, "</details></td><td class=\"number\" "
	    "data-label=\"tenants\">",
	    number(cause, "tenants"), "</td><td data-label=\"last\">");
	put_time(o, json_text(cause, "last"));
	html(o, "</td><td><form method=\"post\" action=\"status\">");
	hidden(o, "action", "retry");
	hidden(o, "stage", json_text(cause, "stage"));
	hidden(o, "httpStatus", code);
	hidden(o, "error", json_text(cause, "error"));
	if (o->page->tenant != NULL)
		hidden(o, "tenantId", o->page->tenant);
	(void)fprintf(o->f, "<button aria-label=\"Retry the group %zu\">"
	    "Retry&hellip;</button></form></td></tr>", i + 1);
}

static void
put_letters(struct out *o)
{
	const json_t *letters = section(o, "deadLetters"), *cause;
	const json_t *causes = json_object_get(letters, "causes");
	size_t i;

	html(o, "<section aria-labelledby=\"letters\"><h2 id=\"letters\">Dead "
	    "letters by cause</h2>");
	if (letters == NULL)
		put_unknown(o);
	else if (json_array_size(causes) == 0)
		html(o, "<p class=\"soft\">None.</p>");
	else {
		html(o, "<table><tr>" NUMBERS("count") "<th scope=\"col\">"
		    "stage</th><th scope=\"col\">cause</th>" NUMBERS("tenants")
		    "<th scope=\"col\">last</th><th scope=\"col\">retry</th>"
		    "</tr>");
		json_array_foreach(causes, i, cause)
			put_cause(o, cause, i);
		html(o, "</table>");
	}
	if (json_is_true(json_object_get(letters, "atLeast")))
		put_number(o, "<p class=\"soft\">Of the newest ",
		    number(letters, "count"), ".</p>");
	html(o, "</section>");
}

static void
put_tenants(struct out *o)
{
	const json_t *tenants = section(o, "tenants"), *tenant;
	char scope[300];
	size_t i;

	html(o, "<section aria-labelledby=\"tenants\"><h2 id=\"tenants\">"
	    "Tenants with trouble</h2>");
	if (tenants == NULL)
		put_unknown(o);
	else if (json_array_size(tenants) == 0)
		html(o, "<p class=\"soft\">None.</p>");
	else
		html(o, "<table><tr><th scope=\"col\">tenant</th>"
		    NUMBERS("overdue") NUMBERS("dead") "<th scope=\"col\">"
		    "pause</th></tr>");
	json_array_foreach(tenants, i, tenant) {
		if (!is_shown(o, tenant))
			continue;
		html(o, "<tr><td>");
		put_tenant(o, json_text(tenant, "tenantId"));
		put_number(o, "</td><td class=\"number\" "
		    "data-label=\"overdue\">", number(tenant, "overdue"),
		    "</td>");
		put_number(o, "<td class=\"number\" data-label=\"dead\">",
		    number(tenant, "dead"), "</td><td><form "
		    "method=\"post\" action=\"status\">");
		(void)snprintf(scope, sizeof(scope), "tenant:%.250s",
		    json_text(tenant, "tenantId"));
		hidden(o, "action", "pause");
		hidden(o, "scope", scope);
		put(o, "<button aria-label=\"Pause tenant ", json_text(tenant,
		    "tenantId"), "\">Pause&hellip;</button></form></td></tr>");
	}
	html(o, json_array_size(tenants) > 0 ? "</table></section>" :
	    "</section>");
}

static void
put_pauses(struct out *o)
{
	const json_t *pause;
	size_t i;

	json_array_foreach(section(o, "pauses"), i, pause) {
		html(o, "<form method=\"post\" action=\"status\"><div "
		    "class=\"fields\">");
		hidden(o, "action", "resume");
		hidden(o, "scope", json_text(pause, "scope"));
		put(o, "<span>Paused: <code>", json_text(pause, "scope"),
		    "</code> by ");
		put(o, "", json_text(pause, "pausedBy"), " (");
		put(o, "", json_text(pause, "reason"), ") since ");
		put_time(o, json_text(pause, "pausedAt"));
		if (json_text(pause, "until") != NULL) {
			html(o, ", until ");
			put_time(o, json_text(pause, "until"));
		}
		put(o, "</span><button aria-label=\"Resume ", json_text(pause,
		    "scope"), "\">Resume&hellip;</button></div></form>");
	}
}

static void
put_switches(struct out *o)
{

	html(o, "<section aria-labelledby=\"switches\"><h2 id=\"switches\">"
	    "Switches</h2><div class=\"switches\">");
	put_pauses(o);
	html(o, "<form method=\"post\" action=\"status\"><div "
	    "class=\"fields\">");
	hidden(o, "action", "pause");
	hidden(o, "scope", "all");
	html(o, "<label>reason<input name=\"reason\" required "
	    "maxlength=\"500\"></label><label>until, UTC (or empty)"
	    "<input name=\"until\" type=\"datetime-local\"></label>"
	    "<button id=\"pause\" class=\"danger\">Pause all&hellip;</button>"
	    "</div></form>"
	    "<form method=\"post\" action=\"status\"><div class=\"fields\">");
	hidden(o, "action", "call");
	html(o, "<label>id of a booking<input name=\"booking\" required "
	    "pattern=\"[0-9A-Fa-f-]{36}\"></label><button id=\"call\">Test "
	    "call&hellip;</button></div></form></div></section>");
}

/* What is known of the booking that is searched for. */
static void
put_found(struct out *o)
{
	static const struct {
		const char *name;
		const char *label;
	} times[] = { { "scheduledAt", "due" },
	    { "taskScheduledAt", "task for" }, { "executedAt", "called" } };
	const json_t *booking = o->page->booking, *entry;
	size_t i;

	html(o, "<div id=\"found\">");
	if (booking == NULL && o->page->unknown != NULL) {
		put(o, "<p>Not known now: ", o->page->unknown, "</p></div>");
		return;
	}
	if (booking == NULL) {
		put(o, "<p>Of booking <code>", o->page->search, "</code> "
		    "nothing is found.</p></div>");
		return;
	}
	put(o, "<h3><code>", json_text(booking, "bookingId"), "</code></h3>");
	put(o, "<p>", json_text(booking, "explanation"), "</p>");
	put(o, "<dl class=\"plain\"><dt>state</dt><dd>", json_text(booking,
	    "taskStatus"), "</dd>");
	for (i = 0; i < sizeof(times) / sizeof(times[0]); i++) {
		if (json_text(booking, times[i].name) == NULL)
			continue;
		put(o, "<dt>", times[i].label, "</dt><dd>");
		put_time(o, json_text(booking, times[i].name));
		html(o, "</dd>");
	}
	put_number(o, "<dt>attempts at the call</dt><dd>",
	    number(booking, "executionAttempts"), "</dd></dl>");
	if (json_array_size(json_object_get(booking, "history")) > 0)
		html(o, "<table><tr><th scope=\"col\">when</th>"
		    "<th scope=\"col\">what</th><th scope=\"col\">by</th>"
		    "<th scope=\"col\">trace</th></tr>");
	json_array_foreach(json_object_get(booking, "history"), i, entry) {
		html(o, "<tr><td>");
		put_time(o, json_text(entry, "at"));
		put(o, "</td><td>", json_text(entry, "what"), " ");
		put(o, "", json_text(entry, "reason"), "</td>");
		put(o, "<td data-label=\"by\">", json_text(entry, "by"),
		    "</td>");
		put(o, "<td data-label=\"trace\"><code>", json_text(entry,
		    "traceId"), "</code></td></tr>");
	}
	if (json_array_size(json_object_get(booking, "history")) > 0)
		html(o, "</table>");
	html(o, "</div>");
}

static void
put_find(struct out *o)
{

	html(o, "<section aria-labelledby=\"find\"><h2 id=\"find\">Find a "
	    "booking</h2><form method=\"get\" action=\"status\"><div "
	    "class=\"fields\"><label>id<input name=\"booking\" ");
	put(o, "value=\"", o->page->search, "\" required></label><button>Find"
	    "</button></div></form>");
	if (o->page->search != NULL)
		put_found(o);
	html(o, "</section>");
}

static void
put_acts(struct out *o)
{
	const json_t *acts = section(o, "acts"), *act;
	size_t i;

	html(o, "<section aria-labelledby=\"acts\"><h2 id=\"acts\">Who did "
	    "what</h2>");
	if (acts == NULL)
		put_unknown(o);
	else if (json_array_size(acts) == 0)
		html(o, "<p class=\"soft\">Nobody did anything lately.</p>");
	else
		html(o, "<table><tr><th scope=\"col\">when</th>"
		    "<th scope=\"col\">who</th><th scope=\"col\">what</th>"
		    "</tr>");
	json_array_foreach(acts, i, act) {
		html(o, "<tr><td>");
		put_time(o, json_text(act, "at"));
		put(o, "</td><td data-label=\"by\">", json_text(act, "by"),
		    "</td>");
		put(o, "<td>", json_text(act, "what"), "</td></tr>");
	}
	if (json_array_size(acts) > 0)
		html(o, "</table>");
	html(o, "</section>");
}

static void
put_fact(struct out *o, const char *name, const char *value)
{

	put(o, "<dt>", name, "</dt><dd>");
	put(o, "", value != NULL ? value : "not known", "</dd>");
}

static void
put_installation(struct out *o)
{
	const json_t *program = section(o, "program"), *value, *type;
	const json_t *found = section(o, "installation");
	const char *name;
	int on = 0, off = 0;
	size_t i;

	html(o, "<section aria-labelledby=\"here\"><h2 id=\"here\">This "
	    "installation</h2><dl class=\"plain\">");
	put_fact(o, "version", json_text(program, "version"));
	put_fact(o, "host", json_text(program, "host"));
	put_fact(o, "schema", json_text(program, "schema"));
	put_fact(o, "table", json_text(program, "table"));
	put_fact(o, "queue", json_text(program, "queue"));
	put_fact(o, "database", json_text(found, "database"));
	put_fact(o, "PostgreSQL", json_text(found, "server"));
	put_fact(o, "role", json_text(found, "role"));
	json_object_foreach(json_object_get(found, "triggers"), name, value) {
		on += json_is_true(value);
		off += !json_is_true(value);
	}
	if (found == NULL)
		put_fact(o, "triggers", NULL);
	else
		(void)fprintf(o->f, "<dt>triggers</dt><dd>%d enabled, %d "
		    "disabled</dd>", on, off);
	put_number(o, "<dt>workers</dt><dd>", number(program,
	    "scheduleWorkers"), "</dd>");
	json_object_foreach(json_object_get(found, "settings"), name, value)
		put_fact(o, name, json_string_value(value));
	json_array_foreach(section(o, "types"), i, type) {
		put(o, "<dt>misspelt type</dt><dd>", json_text(type, "type"),
		    ": did you mean ");
		put(o, "", json_text(type, "meant"), "?</dd>");
	}
	json_array_foreach(section(o, "missing"), i, value) {
		put(o, "<dt>missing: ", json_text(value, "section"), "</dt>");
		put(o, "<dd>", json_text(value, "why"), "</dd>");
	}
	html(o, "</dl><p class=\"soft\"><a href=\"status.json\">The same as "
	    "JSON</a></p></section>");
}

/*
 * A step of an action.
 */

static void
put_step(struct out *o)
{
	const struct status_step *step = o->page->step;
	const json_t *value;
	const char *name;

	put(o, "<main><section><h1>", step->title, "</h1>");
	put(o, "<p role=\"status\">", step->sentence, "</p>");
	if (step->fields != NULL) {
		html(o, "<form method=\"post\" action=\"status\">");
		json_object_foreach(step->fields, name, value)
			hidden(o, name, json_string_value(value));
		hidden(o, "confirm", "yes");
		html(o, "<div class=\"fields\">");
		if (json_text_is(json_object_get(step->fields, "action"),
		    "pause") && json_text(step->fields, "reason") == NULL)
			html(o, "<label>reason<input name=\"reason\" required "
			    "maxlength=\"500\"></label><label>until, UTC (or "
			    "empty)<input name=\"until\" "
			    "type=\"datetime-local\"></label>");
		html(o, "<label>your name<input name=\"operator\" required "
		    "maxlength=\"64\" autocomplete=\"nickname\"></label>");
		if (step->needs_token)
			html(o, "<label>FOLLOWUP_WEBHOOK_TOKEN<input "
			    "type=\"password\" name=\"token\" required "
			    "autocomplete=\"off\"></label>");
		put(o, "<button id=\"confirm\" class=\"main\">", step->title,
		    "</button></div></form>");
	}
	if (step->curl != NULL)
		put(o, "<h3>The same in a shell</h3><pre>", step->curl,
		    "</pre>");
	html(o, "<p><a href=\"status\" id=\"back\">Back to the status</a></p>"
	    "</section></main>");
}

static void
put_main(struct out *o)
{

	if (o->page->step != NULL) {
		put_step(o);
		return;
	}
	html(o, "<main data-live>");
	put_now(o);
	if (o->page->tenant != NULL)
		put(o, "<p id=\"filter\">Overdue bookings and dead letters are "
		    "those of tenant <code>", o->page->tenant, "</code>. "
		    "<a href=\"status\">Show all</a></p>");
	html(o, "<div class=\"pair\">");
	put_last(o);
	put_next(o);
	html(o, "</div>");
	put_chain(o);
	put_overdue(o);
	put_letters(o);
	put_tenants(o);
	put_switches(o);
	put_find(o);
	put_acts(o);
	put_installation(o);
	html(o, "</main>");
}

static void
put_title(struct out *o)
{
	const char *state = json_text(o->page->status, "state");

	if (o->page->step != NULL)
		text(o, o->page->step->title);
	else
		put(o, "Follow-ups: ", strcmp(state, "ok") == 0 ? "running" :
		    state, "");
}

static void
put_place(struct out *o)
{
	const json_t *program = section(o, "program");

	if (o->page->step != NULL)
		return;
	put(o, "", json_text(program, "host"), ", ");
	put(o, "", json_text(program, "schema"), ".");
	put(o, "", json_text(program, "table"), ", version ");
	text(o, json_text(program, "version"));
}

static void
put_at(struct out *o)
{
	const char *at = json_text(o->page->status, "at");

	if (at != NULL)
		(void)fprintf(o->f, "%.10s %.8s UTC", at, at + 11);
	else
		html(o, "now");
}

static void
put_nonce(struct out *o)
{

	html(o, o->nonce);
}

/* Write the value of the name at ${s}, which ends at "}}". */
static void
put_place_holder(struct out *o, const char *s)
{
	static const struct {
		const char *name;
		void (*put)(struct out *);
	} holders[] = { { "title}}", put_title }, { "nonce}}", put_nonce },
	    { "place}}", put_place }, { "at}}", put_at },
	    { "main}}", put_main } };
	size_t i;

	for (i = 0; i < sizeof(holders) / sizeof(holders[0]); i++) {
		if (strncmp(s, holders[i].name, strlen(holders[i].name)) == 0)
			holders[i].put(o);
	}
}

/**
 * status_page(page, nonce):
 * Return the whole page, to be freed, whose style and script have ${nonce}; or
 * NULL when memory is short.
 */
char *
status_page(const struct status_page *page, const char *nonce)
{
	struct out o = { .page = page, .nonce = nonce };
	const char *const *line, *p, *brace;
	const char *at = json_text(page->status, "at");
	char *whole = NULL;
	size_t len;

	if ((o.f = open_memstream(&whole, &len)) == NULL)
		return (NULL);
	if (at == NULL || rfc3339_parse(at, &o.now) != 0)
		o.now = 0;
	for (line = template; *line != NULL; line++) {
		for (p = *line; (brace = strstr(p, "{{")) != NULL;
		    p = strstr(brace, "}}") + 2) {
			(void)fprintf(o.f, "%.*s", (int)(brace - p), p);
			put_place_holder(&o, brace + 2);
		}
		html(&o, p);
	}
	if (fclose(o.f) != 0) {
		free(whole);
		return (NULL);
	}
	return (whole);
}
