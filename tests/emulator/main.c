#include <sys/resource.h>

#include <getopt.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "api.h"
#include "dispatcher.h"
#include "httpd.h"
#include "log.h"
#include "names.h"
#include "oidc.h"
#include "operations.h"
#include "script.h"
#include "store.h"
#include "times.h"
#include "version.h"

#define NAME		"cloud-tasks-emulator"
#define MAX_QUEUES	64
#define MAX_OPERATIONS	32

/* The longest request body: a task of 1 MiB in base64, and then some. */
#define MAX_BODY	((size_t)4 * 1024 * 1024)

struct options {
	const char *listen;
	const char *queues[MAX_QUEUES];
	size_t nqueues;
	int64_t horizon;
	const char *issuer;
	const char *key;
	int admin;
	struct store_options store;
};

static void
help(void)
{

	printf("usage: " NAME " [-l HOST:PORT] [-q QUEUE]... [options]\n"
	    "\n"
	    "Google Cloud Tasks on this machine: its REST API and its "
	    "dispatcher.\n"
	    "\n"
	    "  -l, --listen HOST:PORT  listen there; port 0 is the kernel's "
	    "choice and printed\n"
	    "                          (default $CLOUD_TASKS_EMULATOR_HOST, "
	    "else 127.0.0.1:8123)\n"
	    "  -q, --queue NAME        make the queue projects/P/locations/L/"
	    "queues/Q; may be\n"
	    "                          repeated (default the one of "
	    "$GCP_PROJECT_ID,\n"
	    "                          $GCP_LOCATION and $FOLLOWUP_QUEUE_NAME "
	    "if all are set)\n"
	    "      --horizon DURATION  how far ahead a task may be scheduled "
	    "(default 720h)\n"
	    "      --burn DURATION     how long the name of a task that is "
	    "gone cannot be used\n"
	    "                          again (default 24h)\n"
	    "      --issuer URL        \"iss\" of the tokens (default "
	    "https://accounts.google.com)\n"
	    "      --key FILE          RSA key of the tokens in PEM, made if "
	    "there is none\n"
	    "                          (default a fresh one that is not "
	    "kept)\n"
	    "      --data FILE         journal: with it everything survives "
	    "kill -9, without it\n"
	    "                          everything is in memory only\n"
	    "      --admin             let /admin/faults script faults: POST "
	    "one rule or an\n"
	    "                          array of them (replacing the old "
	    "ones), GET, DELETE\n"
	    "  -V, --version           print the version\n"
	    "  -h, --help              print this\n"
	    "\n"
	    "A DURATION is a number and one of ms, s, m, h, d.  Faults:\n"
	    "  {\"operation\":\"createTask\",\"method\":\"POST\",\"status\":"
	    "503,\"body\":\"...\",\n"
	    "   \"headers\":{\"Retry-After\":\"1\"},\"delayMs\":100,\"count\":"
	    "2,\"probability\":0.5,\n"
	    "   \"reset\":\"before\"|\"after\",\"performed\":true}\n"
	    "All fields are optional.  count is 1 by default and -1 for ever; "
	    "reset cuts the\n"
	    "connection before the request is performed or after it was; "
	    "performed answers\n"
	    "status although the request was performed.\n"
	    "\n"
	    "Also served: GET /oauth2/v3/certs (the JWKS for the tokens), "
	    "GET /healthz,\n"
	    "GET /.well-known/openid-configuration.  Logs go to stderr, as "
	    "LOG_LEVEL and\n"
	    "LOG_FORMAT say.\n"
	    "\n"
	    "Unlike Google's, a task with an oidcToken may have an http:// "
	    "URL if its host is\n"
	    "a loopback address; nobody has to be authorized; there are no "
	    "App Engine tasks,\n"
	    "OAuth tokens or queue-level HTTP targets; 429 and 503 do not "
	    "throttle a queue.\n");
}

static int
wrong(const char *what, const char *value)
{

	(void)fprintf(stderr, NAME ": %s: %s (try -h)\n", value, what);
	return (-1);
}

/*
 * The queue that the rest of the system is configured for, if it is.
 */
static int
default_queue(struct options *options)
{
	static char name[512];
	const char *project = getenv("GCP_PROJECT_ID");
	const char *location = getenv("GCP_LOCATION");
	const char *queue = getenv("FOLLOWUP_QUEUE_NAME");

	if (project == NULL || location == NULL || queue == NULL)
		return (0);
	(void)snprintf(name, sizeof(name), "projects/%s/locations/%s/queues/%s",
	    project, location, queue);
	if (!names_queue(name))
		return (wrong("GCP_PROJECT_ID, GCP_LOCATION and "
		    "FOLLOWUP_QUEUE_NAME make no queue name", name));
	options->queues[options->nqueues++] = name;

	return (0);
}

enum { OPTION_HORIZON = 256, OPTION_BURN, OPTION_ISSUER, OPTION_KEY,
    OPTION_DATA, OPTION_ADMIN };

static const struct option long_options[] = {
	{ "listen", required_argument, NULL, 'l' },
	{ "queue", required_argument, NULL, 'q' },
	{ "horizon", required_argument, NULL, OPTION_HORIZON },
	{ "burn", required_argument, NULL, OPTION_BURN },
	{ "issuer", required_argument, NULL, OPTION_ISSUER },
	{ "key", required_argument, NULL, OPTION_KEY },
	{ "data", required_argument, NULL, OPTION_DATA },
	{ "admin", no_argument, NULL, OPTION_ADMIN },
	{ "version", no_argument, NULL, 'V' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 }
};

static int
add_queue(struct options *options, const char *name)
{

	if (!names_queue(name))
		return (wrong("not projects/P/locations/L/queues/Q", name));
	if (options->nqueues == MAX_QUEUES)
		return (wrong("too many queues", name));
	options->queues[options->nqueues++] = name;

	return (0);
}

/*
 * Return 0 to go on, 1 if all is done, -1 if the command line is wrong.
 */
static int
parse(int argc, char *argv[], struct options *options)
{
	int c;

	options->listen = getenv("CLOUD_TASKS_EMULATOR_HOST");
	if (options->listen == NULL || *options->listen == '\0')
		options->listen = "127.0.0.1:8123";
	options->issuer = "https://accounts.google.com";
	options->horizon = 720 * TIMES_HOUR;
	options->store.burn = 24 * TIMES_HOUR;
	while ((c = getopt_long(argc, argv, "hVl:q:", long_options, NULL)) !=
	    -1) {
		switch (c) {
		case 'h':
			help();
			return (1);
		case 'V':
			printf(NAME " %s\n", FOLLOWUP_VERSION);
			return (1);
		case 'l':
			options->listen = optarg;
			break;
		case 'q':
			if (add_queue(options, optarg) == -1)
				return (-1);
			break;
		case OPTION_HORIZON:
			if (times_parse_option(optarg, &options->horizon))
				return (wrong("not a duration", optarg));
			break;
		case OPTION_BURN:
			if (times_parse_option(optarg, &options->store.burn))
				return (wrong("not a duration", optarg));
			break;
		case OPTION_ISSUER:
			options->issuer = optarg;
			break;
		case OPTION_KEY:
			options->key = optarg;
			break;
		case OPTION_DATA:
			options->store.journal = optarg;
			break;
		case OPTION_ADMIN:
			options->admin = 1;
			break;
		default:
			(void)fprintf(stderr, "try " NAME " -h\n");
			return (-1);
		}
	}
	if (optind < argc)
		return (wrong("there are no operands", argv[optind]));

	return (options->nqueues == 0 ? default_queue(options) : 0);
}

static int
start_log(void)
{
	const char *level_name = getenv("LOG_LEVEL");
	const char *format = getenv("LOG_FORMAT");
	enum log_level level = LOG_INFO;

	if (level_name != NULL && *level_name != '\0' &&
	    log_level_parse(level_name, &level) == -1)
		return (wrong("LOG_LEVEL must be debug, info, warning or error",
		    level_name));
	log_init("CloudTasksEmulator", level, format != NULL &&
	    strcmp(format, "json") == 0);

	return (0);
}

/*
 * Make the queues that are not there yet.
 */
static void
make_queues(struct store *store, const struct options *options)
{
	struct queue_config config;
	struct failure failure = { 0 };
	size_t i;

	resource_queue_defaults(&config);
	store_lock(store);
	for (i = 0; i < options->nqueues; i++) {
		if (store_queue(store, options->queues[i]) == NULL &&
		    store_queue_make(store, options->queues[i], &config,
		    &failure) == NULL)
			log_warning(NULL, "no queue %s: %s",
			    options->queues[i], failure.message);
		failure_clear(&failure);
	}
	store_unlock(store);
}

/*
 * A thousand dispatches and as many clients need more descriptors than the
 * usual 1024.
 */
static void
raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/*
 * Serve until a signal ends it.
 */
static int
serve(const struct options *options, const sigset_t *ends)
{
	static const char *names[MAX_OPERATIONS];
	struct api api = { .horizon = options->horizon };
	struct dispatcher *dispatcher = NULL;
	struct httpd *httpd = NULL;
	struct oidc *oidc = NULL;
	char why[512] = "out of memory";
	int rc = 1, sig, i;

	oidc = oidc_open(options->issuer, options->key, why, sizeof(why));
	api.oidc = oidc;
	if (oidc == NULL || (api.store = store_open(&options->store, why,
	    sizeof(why))) == NULL)
		goto out;
	make_queues(api.store, options);
	for (i = 0; operations[i].name != NULL; i++)
		names[i] = operations[i].name;
	if (options->admin && (api.faults = script_new(names)) == NULL)
		goto out;
	dispatcher = dispatcher_start(api.store, oidc, why, sizeof(why));
	if (dispatcher == NULL)
		goto out;
	httpd = httpd_start(options->listen, MAX_BODY, api_handle, &api, why,
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
	dispatcher_stop(dispatcher);
	script_free(api.faults);
	store_free(api.store);
	oidc_free(oidc);
	return (rc);
}

int
main(int argc, char *argv[])
{
	struct options options = { 0 };
	sigset_t ends;
	int rc;

	if ((rc = parse(argc, argv, &options)) != 0 ||
	    (rc = start_log()) != 0)
		return (rc == 1 ? 0 : 2);

	/* All threads inherit that these signals wait for sigwait. */
	(void)signal(SIGPIPE, SIG_IGN);
	sigemptyset(&ends);
	sigaddset(&ends, SIGTERM);
	sigaddset(&ends, SIGINT);
	pthread_sigmask(SIG_BLOCK, &ends, NULL);

	raise_limits();
	json_object_seed(0);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	rc = serve(&options, &ends);
	curl_global_cleanup();

	return (rc);
}
