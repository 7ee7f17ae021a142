#include <sys/prctl.h>
#include <sys/wait.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/crypto.h>

#include "cloud_tasks.h"
#include "config.h"
#include "google_auth.h"
#include "http.h"
#include "log.h"
#include "monotime.h"
#include "queues.h"
#include "secret.h"
#include "shared_document.h"
#include "troubles.h"

#include "queue_probe.h"

/* How old an answer may be before the queues are asked again, in seconds. */
#define FRESH		5

/* How old it may be and still be believed, in milliseconds. */
#define BELIEVED_MS	10000

/* How long whoever wants to know is kept waiting, in milliseconds. */
#define PATIENCE_MS	1500
#define LOOK_MS		10

/* Before a request that failed in passing is repeated, in milliseconds. */
#define AGAIN_MS	500

/* Longer than any request of cloud_tasks takes, with a token before it. */
#define ANSWER_MS	60000

struct queue_probe {
	const struct config *conf;
	struct google_auth *auth;
	struct queues *queues;
	struct shared_document *found;	/* a struct finding */
	pid_t child;			/* of this worker, or 0 */
	long begun;			/* when, in ms */
};

/* What was found, and when. */
struct finding {
	long at;
	struct troubles troubles;
	char paused[QUEUES_IN_USE][QUEUES_NAME_LEN];
	size_t npaused;
};

/* The clock of the document, in seconds; never 0, which it takes for never. */
static time_t
seconds(void)
{

	return ((time_t)(monotime_ms() / 1000 + 1));
}

/**
 * queue_probe_new(conf, auth, queues):
 * Return a probe of ${queues}, with the credentials ${auth}, or, for an
 * emulator, without (NULL); all must outlive it.  It leaves their breakers as
 * they are.  To be called before the workers are forked.  NULL when memory is
 * short.
 */
struct queue_probe *
queue_probe_new(const struct config *conf, struct google_auth *auth,
    struct queues *queues)
{
	struct queue_probe *probe;

	if ((probe = calloc(1, sizeof(*probe))) == NULL)
		return (NULL);
	probe->conf = conf;
	probe->auth = auth;
	probe->queues = queues;
	probe->found = shared_document_new(sizeof(struct finding));
	if (probe->found == NULL) {
		free(probe);
		return (NULL);
	}
	return (probe);
}

/*
 * The process that asks.
 */

/* Is there a token to ask with?  Otherwise say what is wrong. */
static int
has_token(const struct queue_probe *probe, struct troubles *troubles)
{
	struct http *http;
	char *token, why[256] = "out of memory";

	if (probe->auth == NULL)
		return (1);
	if ((http = http_new(probe->conf->proxy)) == NULL)
		token = NULL;
	else
		token = google_auth_token(probe->auth, http, time(NULL), 0,
		    why, sizeof(why));
	http_free(http);
	if (token == NULL) {
		troubles_add(troubles, "credentials", "there is no access "
		    "token for Google: %s: check the credentials that "
		    "GOOGLE_APPLICATION_CREDENTIALS names, and the way to "
		    "Google", why);
		return (0);
	}
	secret_free(token, strlen(token));
	return (1);
}

/* A queue that is asked for. */
struct question {
	const char *queue;
	char name[CLOUD_TASKS_NAME_LEN];
	struct cloud_tasks_call call;
	int is_open;			/* it has no good answer yet */
};

/* Add ${sentence}, unless another queue has added the same one. */
static void
add_once(struct troubles *troubles, const char *code, const char *sentence,
    int of_some)
{
	size_t i;

	for (i = 0; i < troubles->n; i++) {
		if (strcmp(troubles->list[i].sentence, sentence) == 0)
			return;
	}
	if (of_some)
		troubles_add_some(troubles, code, sentence);
	else
		troubles_add(troubles, code, "%s", sentence);
}

/* Note that a queue is paused. */
static void
note_paused(const struct config *conf, const char *queue,
    struct finding *finding)
{

	int is_ours = strcmp(queue, conf->queue) == 0;
	char sentence[512];

	(void)snprintf(finding->paused[finding->npaused++], QUEUES_NAME_LEN,
	    "%s", queue);
	(void)snprintf(sentence, sizeof(sentence), "the queue %s is paused or "
	    "disabled, so that nobody is called%s: gcloud tasks queues resume "
	    "%s --location=%s", queue, is_ours ? "" : " whose task is in it",
	    queue, conf->location);
	add_once(&finding->troubles, "queue-paused", sentence, !is_ours);
}

/* Put what a queue answered into words. */
static void
judge(const struct config *conf, const struct question *question,
    struct finding *finding)
{
	const struct cloud_tasks_call *call = &question->call;
	struct troubles *troubles = &finding->troubles;
	char sentence[512];

	switch (call->outcome) {
	case CLOUD_TASKS_OK:
		if (call->info.is_paused)
			note_paused(conf, question->queue, finding);
		break;
	case CLOUD_TASKS_BLOCKED:
		add_once(troubles, call->error.http_status == 404 ||
		    call->error.http_status == 400 ? "queue-missing" :
		    "credentials", call->error.text,
		    call->error.http_status != 401 &&
		    strcmp(question->queue, conf->queue) != 0);
		break;
	default:
		(void)snprintf(sentence, sizeof(sentence), "%.400s: tasks are "
		    "made once it answers", call->error.text);
		add_once(troubles, "cloud-tasks", sentence, 0);
		break;
	}
}

/* Ask the ${n} questions that are still open, as many at once as is allowed. */
static void
ask_all(struct cloud_tasks *tasks, struct question *list, size_t n)
{
	struct cloud_tasks_call *call;
	struct question *question;
	size_t i = 0;

	while (i < n || cloud_tasks_in_flight(tasks) > 0) {
		for (; i < n && cloud_tasks_has_room(tasks); i++) {
			if (list[i].is_open)
				cloud_tasks_begin(tasks, &list[i].call);
		}
		if (cloud_tasks_in_flight(tasks) == 0)
			continue;
		if ((call = cloud_tasks_next(tasks, ANSWER_MS)) == NULL)
			return;
		question = call->cookie;
		question->is_open = call->outcome == CLOUD_TASKS_TRANSIENT;
	}
}

/* Look up the queues, and once more those that gave no good answer. */
static void
ask(const struct queue_probe *probe, struct finding *finding)
{
	static struct question list[QUEUES_IN_USE];
	static char names[QUEUES_IN_USE][QUEUES_NAME_LEN];
	struct cloud_tasks *tasks;
	size_t i, n, open = 0;

	if (!has_token(probe, &finding->troubles))
		return;

	/* The worker's own client has connections that are not ours. */
	tasks = cloud_tasks_new(probe->conf, probe->auth, probe->queues);
	if (tasks == NULL) {
		troubles_add(&finding->troubles, "memory", "out of memory");
		return;
	}
	n = queues_in_use(probe->queues, monotime_ms(), names);
	for (i = 0; i < n; i++) {
		cloud_tasks_name(tasks, names[i], "", list[i].name);
		list[i].queue = names[i];
		list[i].is_open = 1;
		list[i].call.method = CLOUD_TASKS_QUEUE;
		list[i].call.name = list[i].name;
		list[i].call.cookie = &list[i];
		list[i].call.outcome = CLOUD_TASKS_TRANSIENT;
	}
	ask_all(tasks, list, n);
	for (i = 0; i < n; i++)
		open += (size_t)list[i].is_open;
	if (open > 0) {
		monotime_pause(AGAIN_MS);
		ask_all(tasks, list, n);
	}
	for (i = 0; i < n; i++)
		judge(probe->conf, &list[i], finding);
	cloud_tasks_free(tasks);
}

/* The life of the process. */
static void
run(struct queue_probe *probe, pid_t worker)
{
	static struct finding finding;
	struct sigaction sa;
	sigset_t none;

	/*
	 * It ends with its worker, and holds open nothing of the worker's: a
	 * session of the database would keep its locks, a client would wait.
	 */
	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = SIG_DFL;
	(void)sigemptyset(&sa.sa_mask);
	(void)sigaction(SIGTERM, &sa, NULL);
	(void)sigaction(SIGINT, &sa, NULL);
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != worker)
		return;
	(void)close_range(STDERR_FILENO + 1, ~0U, 0);

	/* Another worker may have been faster. */
	if (!shared_document_renewal_begin(probe->found, DOCUMENT_EXPIRED, 0,
	    seconds(), FRESH - 1))
		return;
	ask(probe, &finding);
	finding.at = monotime_ms();
	shared_document_renewal_end(probe->found, (const char *)&finding,
	    sizeof(finding), seconds() + FRESH);
}

/*
 * The worker.
 */

/* Start the process, unless one of ours is at it or has just been. */
static void
start(struct queue_probe *probe)
{
	pid_t worker = getpid();

	if (probe->child != 0 &&
	    waitpid(probe->child, NULL, WNOHANG) != 0)
		probe->child = 0;
	if (probe->child != 0 ||
	    (probe->begun != 0 && monotime_ms() - probe->begun < 1000))
		return;
	probe->begun = monotime_ms();
	if ((probe->child = fork()) < 0) {
		log_warning(NULL, "no process can be made to ask for the "
		    "queue");
		probe->child = 0;
	} else if (probe->child == 0) {
		run(probe, worker);
		_exit(0);
	}
}

/* Wait for a newer document than that of ${generation}, a little. */
static void
await(struct queue_probe *probe, uint64_t generation)
{
	long until = monotime_ms() + PATIENCE_MS;

	while (shared_document_generation(probe->found) == generation &&
	    monotime_ms() < until)
		monotime_pause(LOOK_MS);
}

/* Add what ${finding} says, which may be too old to be believed. */
static void
tell(const struct finding *finding, struct troubles *troubles)
{
	const struct trouble *trouble;
	size_t i;
	long age = monotime_ms() - finding->at;

	for (i = 0; i < finding->troubles.n; i++) {
		trouble = &finding->troubles.list[i];
		if (trouble->of_some)
			troubles_add_some(troubles, trouble->code,
			    trouble->sentence);
		else
			troubles_add(troubles, trouble->code, "%s",
			    trouble->sentence);
	}
	if (finding->troubles.n == 0 && age > BELIEVED_MS)
		troubles_add(troubles, "cloud-tasks", "Cloud Tasks, or the "
		    "service that gives the tokens for it, has not answered "
		    "for %ld s: tasks are made once it does", age / 1000);
}

/* Return what was found last, to be freed; NULL if nothing has been yet. */
static struct finding *
recent(struct queue_probe *probe)
{
	uint64_t generation = shared_document_generation(probe->found);
	size_t len;

	if (seconds() >= shared_document_expires(probe->found)) {
		start(probe);
		await(probe, generation);
	}
	return ((struct finding *)(void *)shared_document_copy(probe->found,
	    &len, &generation));
}

/**
 * queue_probe_look(probe, troubles):
 * Add to ${troubles} what keeps the queues from working.  It takes one and a
 * half seconds at most, and as a rule nothing.
 */
void
queue_probe_look(struct queue_probe *probe, struct troubles *troubles)
{
	struct finding *finding = recent(probe);

	if (finding == NULL)
		troubles_add(troubles, "cloud-tasks", "Cloud Tasks, or the "
		    "service that gives the tokens for it, has not answered "
		    "yet: ask again in a few seconds");
	else
		tell(finding, troubles);
	free(finding);
}

/**
 * queue_probe_is_paused(probe, queue):
 * Return non-zero iff the queue with the short name ${queue} is known to be
 * paused or disabled.  It takes as long as queue_probe_look.
 */
int
queue_probe_is_paused(struct queue_probe *probe, const char *queue)
{
	struct finding *finding;
	int is_paused = 0;
	size_t i;

	queues_wanted(probe->queues, monotime_ms(), queue);
	if ((finding = recent(probe)) == NULL)
		return (0);
	for (i = 0; i < finding->npaused; i++)
		is_paused |= strcmp(finding->paused[i], queue) == 0;
	free(finding);
	return (is_paused);
}

/**
 * queue_probe_free(probe):
 * Free ${probe}, and end what it is asking; NULL is fine.
 */
void
queue_probe_free(struct queue_probe *probe)
{

	if (probe == NULL)
		return;
	if (probe->child > 0) {
		(void)kill(probe->child, SIGKILL);
		(void)waitpid(probe->child, NULL, 0);
	}
	shared_document_free(probe->found);
	free(probe);
}
