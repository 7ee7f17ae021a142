#include <sys/random.h>

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "json_text.h"
#include "script.h"

#define DELAY_MAX	3600000

struct script {
	pthread_mutex_t lock;
	const char *const *operations;
	json_t *rules;		/* as posted, with "left" and "hits" */
};

/*
 * Return the number of a member, or what it is by default.
 */
static double
number_of(const json_t *json, const char *name, double absent)
{
	const json_t *value = json_object_get(json, name);

	return (value != NULL ? json_number_value(value) : absent);
}

static int
is_one_of(const char *text, const char *const *list)
{

	while (list != NULL && *list != NULL) {
		if (strcmp(text, *list++) == 0)
			return (1);
	}

	return (0);
}

/*
 * Check the range of a number, if it is there.
 */
static int
in_range(const json_t *rule, const char *name, double min, double max)
{
	const json_t *value = json_object_get(rule, name);

	return (value == NULL || (json_is_number(value) &&
	    json_number_value(value) >= min && json_number_value(value) <=
	    max));
}

static int
is_headers(const json_t *headers)
{
	const char *name;
	json_t *value;

	if (headers != NULL && !json_is_object(headers))
		return (0);
	json_object_foreach((json_t *)(uintptr_t)headers, name, value) {
		if (!json_is_string(value))
			return (0);
	}

	return (1);
}

/*
 * Return what is wrong with a rule, or NULL.
 */
static const char *
check_rule(const struct script *script, const json_t *rule)
{
	static const char *const known[] = { "status", "headers", "body",
	    "reset", "delayMs", "count", "probability", "method", NULL };
	static const char *const more[] = { "operation", "performed", NULL };
	static const char *const resets[] = { "before", "after", NULL };
	const char *name;
	json_t *value;

	if (!json_is_object(rule))
		return ("a rule must be an object");
	json_object_foreach((json_t *)(uintptr_t)rule, name, value) {
		if (!is_one_of(name, known) &&
		    (script->operations == NULL || !is_one_of(name, more)))
			return ("a rule has a field that is not known");
	}
	if (!in_range(rule, "status", 200, 599))
		return ("status must be a number from 200 to 599");
	if (!in_range(rule, "delayMs", 0, DELAY_MAX))
		return ("delayMs must be a number from 0 to 3600000");
	if (!in_range(rule, "count", -1, INT32_MAX))
		return ("count must be a number from -1 up");
	if (!in_range(rule, "probability", 0, 1))
		return ("probability must be a number from 0 to 1");
	if (!is_headers(json_object_get(rule, "headers")))
		return ("headers must be an object of strings");
	if ((value = json_object_get(rule, "body")) != NULL &&
	    !json_is_string(value))
		return ("body must be a string");
	if ((value = json_object_get(rule, "reset")) != NULL &&
	    (!json_is_string(value) ||
	    !is_one_of(json_string_value(value), resets)))
		return ("reset must be \"before\" or \"after\"");
	if ((value = json_object_get(rule, "method")) != NULL &&
	    !json_is_string(value))
		return ("method must be a string");
	if ((value = json_object_get(rule, "performed")) != NULL &&
	    !json_is_boolean(value))
		return ("performed must be true or false");
	if ((value = json_object_get(rule, "operation")) != NULL &&
	    (!json_is_string(value) ||
	    !is_one_of(json_string_value(value), script->operations)))
		return ("operation is not one of the API's");

	return (NULL);
}

/*
 * Replace the rules; return what is wrong with the new ones, or NULL.
 */
static const char *
replace(struct script *script, const char *body, size_t len)
{
	json_t *posted, *rules = NULL, *rule;
	const char *why = NULL;
	size_t i;

	posted = json_loadb(body, len, JSON_REJECT_DUPLICATES, NULL);
	if (posted == NULL)
		return ("the script must be a JSON object or an array");
	rules = json_is_array(posted) ? json_incref(posted) :
	    json_pack("[O]", posted);
	json_array_foreach(rules, i, rule) {
		if ((why = check_rule(script, rule)) != NULL)
			goto out;
		json_object_set_new(rule, "left",
		    json_integer((json_int_t)number_of(rule, "count", 1)));
		json_object_set_new(rule, "hits", json_integer(0));
	}
	pthread_mutex_lock(&script->lock);
	json_decref(script->rules);
	script->rules = json_incref(rules);
	pthread_mutex_unlock(&script->lock);

out:
	json_decref(rules);
	json_decref(posted);
	return (why);
}

/**
 * script_new(operations):
 * Return an empty script, or NULL.  The ${operations}, ended by NULL, are
 * what "operation" may say; without any (NULL) rules have neither
 * "operation" nor "performed".
 */
struct script *
script_new(const char *const *operations)
{
	struct script *script;

	if ((script = calloc(1, sizeof(*script))) == NULL)
		return (NULL);
	if ((script->rules = json_array()) == NULL) {
		free(script);
		return (NULL);
	}
	script->operations = operations;
	pthread_mutex_init(&script->lock, NULL);

	return (script);
}

/**
 * script_free(script):
 * Free ${script}; NULL is fine.
 */
void
script_free(struct script *script)
{

	if (script == NULL)
		return;
	pthread_mutex_destroy(&script->lock);
	json_decref(script->rules);
	free(script);
}

/*
 * Throw the dice of a rule.
 */
static int
comes_true(const json_t *rule)
{
	uint32_t dice;

	return (getrandom(&dice, sizeof(dice), 0) == sizeof(dice) &&
	    (double)dice < number_of(rule, "probability", 1) *
	    ((double)UINT32_MAX + 1));
}

static int
matches(const json_t *rule, const char *operation, const char *method)
{
	const char *wanted;

	if ((wanted = json_text(rule, "method")) != NULL &&
	    strcmp(wanted, method) != 0)
		return (0);
	if ((wanted = json_text(rule, "operation")) != NULL &&
	    (operation == NULL || strcmp(wanted, operation) != 0))
		return (0);

	return (json_integer_value(json_object_get(rule, "left")) != 0);
}

/*
 * Count a rule as used and say what it is.
 */
static void
use(json_t *json, struct script_rule *rule)
{
	json_t *left = json_object_get(json, "left");
	json_t *hits = json_object_get(json, "hits");
	const char *reset = json_text(json, "reset");

	if (json_integer_value(left) > 0)
		json_integer_set(left, json_integer_value(left) - 1);
	json_integer_set(hits, json_integer_value(hits) + 1);

	rule->status = (int)number_of(json, "status", 0);
	rule->delay = (long)number_of(json, "delayMs", 0);
	rule->performed = json_is_true(json_object_get(json, "performed"));
	rule->reset = SCRIPT_NONE;
	if (reset != NULL)
		rule->reset = strcmp(reset, "before") == 0 ? SCRIPT_BEFORE :
		    SCRIPT_AFTER;
	rule->json = json_incref(json);
}

/**
 * script_take(script, operation, method, rule):
 * Find the rule for a request, count it as used, and return 1 with it in
 * ${rule}, to be released with script_done; or 0 where there is none.
 */
int
script_take(struct script *script, const char *operation, const char *method,
    struct script_rule *rule)
{
	json_t *json;
	size_t i;
	int found = 0;

	pthread_mutex_lock(&script->lock);
	json_array_foreach(script->rules, i, json) {
		if (matches(json, operation, method) && comes_true(json)) {
			use(json, rule);
			found = 1;
			break;
		}
	}
	pthread_mutex_unlock(&script->lock);

	return (found);
}

/**
 * script_reply(rule, request, body):
 * Answer ${request} as ${rule}, whose status is set, says; with ${body},
 * whose reference is taken, where it has no "body".
 */
void
script_reply(const struct script_rule *rule, struct httpd_request *request,
    json_t *body)
{
	const char *text = json_text(rule->json, "body"), *name;
	json_t *value;

	json_object_foreach(json_object_get(rule->json, "headers"), name,
	    value)
		httpd_set_header(request, name, json_string_value(value));
	if (text == NULL) {
		httpd_reply_json(request, rule->status, body, JSON_INDENT(2));
		return;
	}
	json_decref(body);
	httpd_reply(request, rule->status, "text/plain; charset=UTF-8", text,
	    strlen(text));
}

/**
 * script_done(rule):
 * Release what script_take put into ${rule}.
 */
void
script_done(struct script_rule *rule)
{

	json_decref(rule->json);
	rule->json = NULL;
}

/**
 * script_serve(script, request):
 * Answer a request for the script itself: POST replaces the rules, GET lists
 * them, with "left" and "hits", DELETE removes them.
 */
void
script_serve(struct script *script, struct httpd_request *request)
{
	const char *method = httpd_method(request), *body, *why = NULL;
	json_t *rules;
	size_t len;

	body = httpd_body(request, &len);
	if (strcmp(method, "POST") == 0)
		why = body != NULL ? replace(script, body, len) :
		    "the script is too long";
	else if (strcmp(method, "DELETE") == 0)
		why = replace(script, "[]", 2);
	else if (strcmp(method, "GET") != 0) {
		httpd_set_header(request, "Allow", "GET, POST, DELETE");
		httpd_reply_json(request, 405, json_pack("{s:s}", "error",
		    "use GET, POST or DELETE"), JSON_COMPACT);
		return;
	}
	if (why != NULL) {
		httpd_reply_json(request, 400, json_pack("{s:s}", "error",
		    why), JSON_COMPACT);
		return;
	}

	pthread_mutex_lock(&script->lock);
	rules = json_deep_copy(script->rules);
	pthread_mutex_unlock(&script->lock);
	httpd_reply_json(request, 200, json_pack("{s:o}", "rules", rules),
	    JSON_COMPACT);
}
