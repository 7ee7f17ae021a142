#include <limits.h>
#include <stdio.h>

#include <curl/curl.h>
#include <jansson.h>

#include "breaker.h"
#include "config.h"
#include "daemon.h"
#include "event_delivery.h"
#include "fcgi_server.h"
#include "google_auth.h"
#include "log.h"
#include "queues.h"
#include "readiness.h"
#include "refusals.h"
#include "request.h"
#include "routes.h"
#include "secret.h"
#include "status.h"
#include "watcher.h"

/* What the workers have in common. */
struct service {
	struct config conf;
	struct google_auth *auth;	/* NULL for an emulator */
	struct breaker *breaker;
	struct queues *queues;
	struct readiness *readiness;
	struct status *status;
	struct refusals *refusals;
	struct watcher *watcher;	/* NULL if no events are sent */
};

/* Secrets and credentials that cannot be used are found at the start. */
static int
check(const struct config *conf, char *why, size_t whylen)
{
	struct google_auth *auth;
	const char *trouble;

	if ((trouble = event_delivery_check(conf)) != NULL) {
		(void)snprintf(why, whylen, "%s", trouble);
		return (-1);
	}
	if (conf->emulator_host != NULL)
		return (0);
	if ((auth = google_auth_new(conf, why, whylen)) == NULL)
		return (-1);
	google_auth_free(auth);
	return (0);
}

static void *
start(void *cookie)
{
	struct service *service = cookie;

	if (secret_curl_init() != 0)
		return (NULL);
	return (routes_new(&service->conf, service->auth, service->queues,
	    service->readiness, service->status, service->refusals));
}

static void
handle(void *state, struct request *request)
{

	routes_handle(state, request);
}

static void
every_minute(void *state)
{

	routes_every_minute(state);
}

static void
stop(void *state)
{

	routes_free(state);
	curl_global_cleanup();
}

static void
beside(void *cookie)
{
	struct service *service = cookie;

	watcher_run(service->watcher);
}

int
main(int argc, char **argv)
{
	static const struct daemon daemon = {
		.program = CONFIG_SCHEDULE,
		.name = "followup-schedule",
		.component = "FollowUpScheduler",
		.synopsis = "Serves the local API of followup-scheduler "
		    "and creates a Cloud Task for each\nfollow-up booking; "
		    "a FastCGI program.",
		.check = check,
	};
	static const struct breaker_service cloud_tasks = {
		.name = "Cloud Tasks",
		.nothing = "booking is scheduled or loses an attempt",
		.probe_ms = 30000,
		.state = METRICS_BREAKER_TASKS,
		.opened = METRICS_BREAKER_TASKS_OPENED,
	};
	static struct service service;
	char socket_path[PATH_MAX], why[512];
	struct fcgi_server server = { .socket_path = socket_path,
	    .start = start, .handle = handle,
	    .every_minute = every_minute, .stop = stop, .cookie = &service };
	int rc;

	daemon_begin(&daemon, argc, argv, &service.conf);
	(void)snprintf(socket_path, sizeof(socket_path), "%s/schedule.sock",
	    service.conf.runtime_dir);
	server.workers = service.conf.schedule_workers;

	json_object_seed(0);
	if (service.conf.emulator_host == NULL &&
	    (service.auth = google_auth_new(&service.conf, why,
	    sizeof(why))) == NULL) {
		log_error(NULL, "%s", why);
		return (1);
	}
	if ((service.breaker = breaker_new(&cloud_tasks, NULL)) == NULL ||
	    (service.queues = queues_new(&service.conf, service.breaker)) ==
	    NULL ||
	    (service.refusals = refusals_new()) == NULL ||
	    (service.readiness = readiness_new(&service.conf, service.auth,
	    service.queues)) == NULL ||
	    (service.status = status_new(&service.conf,
	    service.readiness)) == NULL ||
	    (service.conf.events_url != NULL && (service.watcher =
	    watcher_new(&service.conf, service.status)) == NULL)) {
		log_error(NULL, "out of memory");
		return (1);
	}
	if (service.watcher != NULL)
		server.beside = beside;
	rc = fcgi_server_run(&server);
	watcher_free(service.watcher);
	status_free(service.status);
	readiness_free(service.readiness);
	refusals_free(service.refusals);
	queues_free(service.queues);
	breaker_free(service.breaker);
	google_auth_free(service.auth);
	return (rc == 0 ? 0 : 1);
}
