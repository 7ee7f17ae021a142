#ifndef SCRIPT_H_
#define SCRIPT_H_

#include <stddef.h>

#include <jansson.h>

#include "httpd.h"

/*
 * What a stand-in shall do instead of its work: a list of rules that a test
 * posts as JSON, one object or an array of them.  All fields are optional:
 *
 * {"status":503,		answer this status ...
 *  "headers":{"Retry-After":"1"}, "body":"...",	... with these
 *  "reset":"before"|"after",	reset the connection instead, before the
 *				request is performed or after it was
 *  "delayMs":200,		wait so long before that
 *  "count":2,			so often; -1 for ever, 1 by default
 *  "probability":0.3,		only in so many of the cases
 *  "method":"POST",		only for requests with this method,
 *  "operation":"createTask",	or for this operation of the API
 *  "performed":true}		perform the request, then answer "status"
 *
 * A rule with neither status nor reset only delays.  Of the rules that match
 * and are not used up, the first one whose probability comes true applies.
 */

struct script;

enum script_reset { SCRIPT_NONE, SCRIPT_BEFORE, SCRIPT_AFTER };

/* The rule that applies to one request. */
struct script_rule {
	int status;		/* 0 for the stand-in's own answer */
	enum script_reset reset;
	long delay;		/* milliseconds */
	int performed;
	json_t *json;		/* the rule as posted, a reference */
};

/**
 * script_new(operations):
 * Return an empty script, or NULL.  The ${operations}, ended by NULL, are
 * what "operation" may say; without any (NULL) rules have neither
 * "operation" nor "performed".
 */
struct script *script_new(const char *const *);

/**
 * script_free(script):
 * Free ${script}; NULL is fine.
 */
void script_free(struct script *);

/**
 * script_take(script, operation, method, rule):
 * Find the rule for a request, count it as used, and return 1 with it in
 * ${rule}, to be released with script_done; or 0 where there is none.
 */
int script_take(struct script *, const char *, const char *,
    struct script_rule *);

/**
 * script_reply(rule, request, body):
 * Answer ${request} as ${rule}, whose status is set, says; with ${body},
 * whose reference is taken, where it has no "body".
 */
void script_reply(const struct script_rule *, struct httpd_request *,
    json_t *);

/**
 * script_done(rule):
 * Release what script_take put into ${rule}.
 */
void script_done(struct script_rule *);

/**
 * script_serve(script, request):
 * Answer a request for the script itself: POST replaces the rules, GET lists
 * them, with "left" and "hits", DELETE removes them.
 */
void script_serve(struct script *, struct httpd_request *);

#endif /* !SCRIPT_H_ */
