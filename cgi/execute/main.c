#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>

#include "breaker.h"
#include "callback.h"
#include "config.h"
#include "daemon.h"
#include "fcgi_server.h"
#include "jwks.h"
#include "log.h"
#include "refusals.h"
#include "request.h"
#include "secret.h"
#include "shared_document.h"
#include "verdicts.h"
#include "voice_agent.h"

/* What the workers have in common. */
struct service {
	struct config conf;
	struct shared_document *keys;
	struct verdicts *verdicts;	/* or NULL */
	struct refusals *refusals;
	struct breaker_service agent;
	struct breaker *breaker;
};

static int
check(const struct config *conf, char *why, size_t whylen)
{
	const char *problem = voice_agent_check(conf);

	if (problem == NULL)
		return (0);
	(void)snprintf(why, whylen, "%s", problem);
	return (-1);
}

static void *
start(void *cookie)
{
	struct service *service = cookie;

	if (secret_curl_init() != 0)
		return (NULL);
	return (callback_new(&service->conf, service->keys,
	    service->verdicts, service->refusals, service->breaker));
}

static void
handle(void *state, struct request *request)
{

	callback_handle(state, request);
}

static void
stop(void *state)
{

	callback_free(state);
	curl_global_cleanup();
}

int
main(int argc, char **argv)
{
	static const struct daemon daemon = {
		.program = CONFIG_EXECUTE,
		.name = "followup-execute",
		.component = "FollowUpExecution",
		.synopsis = "Answers the callbacks of Cloud Tasks and "
		    "starts the call of each follow-up\nbooking; a FastCGI "
		    "program.",
		.check = check,
	};
	static struct service service;
	char socket_path[PATH_MAX], verdicts_path[PATH_MAX];
	struct fcgi_server server = { .socket_path = socket_path,
	    .start = start, .handle = handle, .stop = stop,
	    .cookie = &service };
	int rc;

	daemon_begin(&daemon, argc, argv, &service.conf);
	(void)snprintf(socket_path, sizeof(socket_path), "%s/execute.sock",
	    service.conf.runtime_dir);
	server.workers = service.conf.execute_workers;

	json_object_seed(0);
	if ((service.keys = jwks_shared()) == NULL ||
	    (service.refusals = refusals_new()) == NULL) {
		log_error(NULL, "out of memory");
		return (1);
	}

	/* What followup-schedule's /readyz says of our callers. */
	(void)snprintf(verdicts_path, sizeof(verdicts_path),
	    "%s/execute.verdicts", service.conf.runtime_dir);
	if ((service.verdicts = verdicts_new(verdicts_path)) == NULL)
		log_warning(NULL, "%s cannot be written: %s; /readyz will not "
		    "say so when all callbacks are refused", verdicts_path,
		    strerror(errno));

	/* A worker that probes has to reach the database, too. */
	service.agent.name = "the voice agent";
	service.agent.nothing = "call is begun and no booking loses an attempt";
	service.agent.state = METRICS_BREAKER_AGENT;
	service.agent.opened = METRICS_BREAKER_AGENT_OPENED;
	service.agent.probe_ms = service.conf.call_timeout * 1000L + 15000;
	service.breaker = breaker_new(&service.agent,
	    verdicts_agent(service.verdicts));
	if (service.breaker == NULL) {
		log_error(NULL, "out of memory");
		return (1);
	}
	rc = fcgi_server_run(&server);
	breaker_free(service.breaker);
	verdicts_free(service.verdicts);
	refusals_free(service.refusals);
	shared_document_free(service.keys);
	return (rc == 0 ? 0 : 1);
}
