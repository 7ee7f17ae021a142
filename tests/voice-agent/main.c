#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "calls.h"
#include "httpd.h"
#include "json_text.h"
#include "log.h"
#include "script.h"
#include "version.h"

#define NAME		"voice-agent"
#define MAX_BODY	((size_t)1024 * 1024)

struct agent {
	struct calls *calls;
	struct script *script;
};

static void
help(void)
{

	printf("usage: " NAME " [-l HOST:PORT] [--data FILE]\n"
	    "\n"
	    "A stand-in for what starts the calls: it records what it is asked "
	    "for.\n"
	    "\n"
	    "  -l, --listen HOST:PORT  listen there; port 0 is the kernel's "
	    "choice and printed\n"
	    "                          (default 127.0.0.1:0)\n"
	    "      --data FILE         append every call to FILE as a line of "
	    "JSON, and read it\n"
	    "                          at the start; without it the calls are "
	    "in memory only\n"
	    "  -V, --version           print the version\n"
	    "  -h, --help              print this\n"
	    "\n"
	    "  POST /calls       (or any other path) a call: 200 {\"callId\":"
	    "...}\n"
	    "  GET /calls        {\"calls\":[...]}, with ?bookingId=ID only "
	    "those for that booking\n"
	    "  DELETE /calls     forget them\n"
	    "  GET /healthz      200\n"
	    "  POST /script      script the next answers, replacing the old "
	    "script: one rule or\n"
	    "                    an array of them; GET lists, DELETE removes "
	    "them:\n"
	    "    {\"status\":503,\"count\":2,\"delayMs\":0,\"headers\":{\"Retry"
	    "-After\":\"1\"},\"body\":\"...\",\n"
	    "     \"reset\":\"before\"|\"after\",\"probability\":0.3,"
	    "\"method\":\"POST\"}\n"
	    "  All fields are optional.  count is 1 by default and -1 for "
	    "ever; reset cuts the\n"
	    "  connection before the call is recorded or after it began.\n");
}

static void
reply(struct httpd_request *request, int status, json_t *json)
{

	httpd_reply_json(request, status, json, JSON_COMPACT);
}

/*
 * Put together what is known of a call and record it as answered so.
 */
static json_t *
record(struct agent *agent, const struct httpd_request *request,
    const struct script_rule *rule, int status)
{
	json_t *headers = httpd_headers(request), *text, *call;
	json_t *key = json_object_get(headers, "idempotency-key");
	const char *body;
	size_t len;
	int lost = rule->reset == SCRIPT_AFTER;

	/* A body that is too long or no text is recorded as null. */
	body = httpd_body(request, &len);
	text = body != NULL ? json_stringn(body, len) : NULL;
	call = json_pack("{s:s, s:s, s:o, s:o?, s:O?, s:o, s:b}", "method",
	    httpd_method(request), "path", httpd_path(request), "headers",
	    headers, "body", text, "idempotencyKey", key, "status",
	    lost ? json_null() : json_integer(status), "started",
	    status >= 200 && status <= 299);

	return (call != NULL ? calls_add(agent->calls, call) : NULL);
}

static void
handle_call(struct agent *agent, struct httpd_request *request)
{
	struct script_rule rule = { .json = NULL };
	json_t *call = NULL, *answer;
	int status = 200;

	(void)script_take(agent->script, NULL, httpd_method(request), &rule);
	if (rule.status != 0)
		status = rule.status;

	/* What is cut off before it is heard is not a call. */
	if (rule.reset == SCRIPT_BEFORE) {
		httpd_delay(request, rule.delay);
		httpd_reset(request);
		goto out;
	}
	if ((call = record(agent, request, &rule, status)) == NULL) {
		reply(request, 500, json_pack("{s:s}", "error",
		    "the call could not be recorded"));
		goto out;
	}
	log_info(NULL, "call %s answered with status %d",
	    json_text(call, "callId"), status);
	httpd_delay(request, rule.delay);

	answer = json_pack("{s:O, s:O}", "callId", json_object_get(call,
	    "callId"), "duplicate", json_object_get(call, "duplicate"));
	if (rule.reset == SCRIPT_AFTER) {
		json_decref(answer);
		httpd_reset(request);
	} else if (rule.status != 0) {
		script_reply(&rule, request, answer);
	} else {
		reply(request, 200, answer);
	}

out:
	json_decref(call);
	script_done(&rule);
}

static void
handle(void *cookie, struct httpd_request *request)
{
	struct agent *agent = cookie;
	const char *method = httpd_method(request);
	const char *path = httpd_path(request);

	if (strcmp(path, "/script") == 0)
		script_serve(agent->script, request);
	else if (strcmp(path, "/healthz") == 0)
		reply(request, 200, json_pack("{s:s}", "status", "ok"));
	else if (strcmp(path, "/calls") == 0 && strcmp(method, "GET") == 0)
		reply(request, 200, json_pack("{s:o}", "calls",
		    calls_list(agent->calls, httpd_query(request,
		    "bookingId"))));
	else if (strcmp(path, "/calls") == 0 && strcmp(method, "DELETE") == 0)
		reply(request, calls_clear(agent->calls) == 0 ? 200 : 500,
		    json_object());
	else
		handle_call(agent, request);
}

/*
 * Serve until a signal ends it.
 */
static int
serve(const char *address, const char *data, const sigset_t *ends)
{
	struct agent agent = { NULL, NULL };
	struct httpd *httpd = NULL;
	char why[512] = "out of memory";
	int rc = 1, sig;

	if ((agent.calls = calls_open(data, why, sizeof(why))) == NULL ||
	    (agent.script = script_new(NULL)) == NULL)
		goto out;
	httpd = httpd_start(address, MAX_BODY, handle, &agent, why,
	    sizeof(why));
	if (httpd == NULL)
		goto out;

	printf(NAME ": ready on http://%s\n", httpd_address(httpd));
	(void)fflush(stdout);
	sigwait(ends, &sig);
	log_info(NULL, "ended by signal %d", sig);
	rc = 0;

out:
	if (rc != 0)
		log_error(NULL, "%s", why);
	httpd_stop(httpd);
	script_free(agent.script);
	calls_free(agent.calls);
	return (rc);
}

int
main(int argc, char *argv[])
{
	static const struct option long_options[] = {
		{ "listen", required_argument, NULL, 'l' },
		{ "data", required_argument, NULL, 'd' },
		{ "version", no_argument, NULL, 'V' },
		{ "help", no_argument, NULL, 'h' },
		{ NULL, 0, NULL, 0 }
	};
	const char *address = "127.0.0.1:0", *data = NULL;
	sigset_t ends;
	int c;

	while ((c = getopt_long(argc, argv, "hVl:", long_options, NULL)) !=
	    -1) {
		switch (c) {
		case 'h':
			help();
			return (0);
		case 'V':
			printf(NAME " %s\n", FOLLOWUP_VERSION);
			return (0);
		case 'l':
			address = optarg;
			break;
		case 'd':
			data = optarg;
			break;
		default:
			(void)fprintf(stderr, "try " NAME " -h\n");
			return (2);
		}
	}
	if (optind < argc) {
		(void)fprintf(stderr, NAME ": %s: there are no operands "
		    "(try -h)\n", argv[optind]);
		return (2);
	}

	/* All threads inherit that these signals wait for sigwait. */
	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);
	log_init("VoiceAgent", LOG_INFO, 0);
	json_object_seed(0);

	return (serve(address, data, &ends));
}
