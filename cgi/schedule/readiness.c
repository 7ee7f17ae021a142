#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bookings.h"
#include "canary.h"
#include "config.h"
#include "metrics.h"
#include "monotime.h"
#include "queue_probe.h"
#include "queues.h"
#include "verdicts.h"

#include "readiness.h"

/* After how long to look again, in seconds: as a rule, and at once. */
#define RETRY		10
#define RETRY_SOON	1

/*
 * How long the workers of followup-execute may all be busy, in milliseconds:
 * a call may take 50 seconds.
 */
#define KNOCK_MS	60000

/* For how long a refused callback is news, in milliseconds. */
#define REFUSED_MS	600000

/* How long what was found about overdue bookings is believed, likewise. */
#define OVERDUE_MS	5000

struct readiness {
	const struct config *conf;
	struct queues *queues;
	struct queue_probe *queue;

	/* Of this worker. */
	int overdue;			/* there are such bookings */
	long overdue_at;		/* when that was looked at, or 0 */
	int knock;			/* a connection to followup-execute
					   that it has not closed yet, or -1 */
	long knocked_at;
};

/**
 * readiness_new(conf, auth, queues):
 * Return what the workers have in common, to be called before they are
 * forked.  ${auth} is NULL for an emulator.  All must outlive it.  NULL when
 * memory is short.
 */
struct readiness *
readiness_new(const struct config *conf, struct google_auth *auth,
    struct queues *queues)
{
	struct readiness *r;

	if ((r = calloc(1, sizeof(*r))) == NULL)
		return (NULL);
	r->conf = conf;
	r->queues = queues;
	r->knock = -1;
	if ((r->queue = queue_probe_new(conf, auth, queues)) == NULL) {
		free(r);
		return (NULL);
	}
	return (r);
}

/*
 * Look at the database and at what is in it, the listener's lock included.
 * Return 0, or -1 if it cannot be asked.
 */
static int
look_at_database(struct bookings *bookings, struct troubles *troubles)
{
	char trouble[512];
	enum db_outcome outcome;

	if ((outcome = bookings_ready(bookings)) == DB_OK)
		outcome = bookings_check(bookings, troubles);
	if (outcome == DB_OK) {
		if (bookings_trouble(bookings, trouble, sizeof(trouble)))
			troubles_add(troubles, "refused", "%s", trouble);
		return (0);
	}
	troubles_add(troubles, "database", "the database is not available: "
	    "%s: see that it runs, can be reached, and takes writes",
	    bookings_error(bookings));
	return (-1);
}

/*
 * Does the webhook, which is our own, refuse whatever the listener of this
 * machine posts?
 */
static void
look_at_webhook(const struct readiness *r, struct troubles *troubles)
{
	struct metrics_snapshot *listener = metrics_read(r->conf->runtime_dir,
	    CONFIG_LISTENER);
	long status;

	if (metrics_is_up(listener, monotime_ms()) &&
	    metrics_value(listener, METRICS_POSTS_REFUSAL, 0, &status) == 0 &&
	    status > 0)
		troubles_add(troubles, "webhook", "the webhook answers %ld to "
		    "whatever followup-listener posts, and the bookings wait: "
		    "let FOLLOWUP_WEBHOOK_TOKEN be the same for "
		    "followup-listener and followup-schedule, and "
		    "FOLLOWUP_WEBHOOK_URL and FOLLOWUP_WEBHOOK_SOCKET name "
		    "the webhook", status);
	metrics_snapshot_free(listener);
}

/* The path of what followup-execute has under ${name}. */
static void
execute_path(const struct readiness *r, const char *name, char path[PATH_MAX])
{

	(void)snprintf(path, PATH_MAX, "%s/execute.%s", r->conf->runtime_dir,
	    name);
}

/* Connect to the socket ${path}, without a request.  Return 0 or an errno. */
static int
knock(struct readiness *r, const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, error = 0;

	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%.*s",
	    (int)sizeof(addr.sun_path) - 1, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return (errno);
	if (connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0 &&
	    shutdown(fd, SHUT_WR) == 0) {
		r->knock = fd;
		r->knocked_at = monotime_ms();
		return (0);
	}
	error = errno;
	(void)close(fd);

	/* One that has more waiting than the kernel keeps for it is alive. */
	return (error == EAGAIN ? 0 : error);
}

/*
 * Does followup-execute take connections?  Its socket is there for our group.
 * The kernel accepts for a program that is frozen, too: so the connection is
 * kept until a worker has found that nothing comes over it and closed it.
 */
static int
look_at_execute(struct readiness *r, struct troubles *troubles)
{
	char path[PATH_MAX], c;
	int error;

	if (r->knock >= 0 && (recv(r->knock, &c, 1, 0) == 0 ||
	    errno != EAGAIN)) {
		(void)close(r->knock);
		r->knock = -1;
	}
	execute_path(r, "sock", path);
	error = r->knock < 0 ? knock(r, path) : 0;
	if (error != 0) {
		troubles_add(troubles, "execute", "followup-execute does not "
		    "answer (%s: %s): start it (systemctl status "
		    "followup-execute)", path, strerror(error));
		return (-1);
	}
	if (r->knock >= 0 && monotime_ms() - r->knocked_at > KNOCK_MS) {
		troubles_add(troubles, "execute", "no worker of "
		    "followup-execute has been free for %ld s: does the voice "
		    "agent answer?  Otherwise restart it (systemctl restart "
		    "followup-execute)",
		    (monotime_ms() - r->knocked_at) / 1000);
		return (-1);
	}
	return (0);
}

/* Set ${overdue} to whether bookings wait for a callback, as known lately. */
static int
has_overdue(struct readiness *r, struct bookings *bookings)
{
	long now = monotime_ms();

	if (r->overdue_at == 0 || now - r->overdue_at >= OVERDUE_MS) {
		if (bookings_overdue(bookings, &r->overdue) != DB_OK)
			return (0);
		r->overdue_at = now;
	}
	return (r->overdue);
}

/*
 * Are all callbacks refused?  Anybody can send one to be refused: it counts
 * only while none is let in, and bookings wait for one.
 */
static void
look_at_callbacks(struct readiness *r, struct bookings *bookings,
    struct troubles *troubles)
{
	struct verdicts_seen seen;
	char path[PATH_MAX];

	execute_path(r, "verdicts", path);
	if (verdicts_read(path, &seen) != 0 || seen.refused == 0 ||
	    monotime_ms() - seen.refused_at > REFUSED_MS ||
	    !has_overdue(r, bookings))
		return;
	troubles_add(troubles, "callbacks", "followup-execute has refused the "
	    "last %ld callbacks, and bookings are overdue: %s: let "
	    "FOLLOWUP_EXECUTION_AUDIENCE, GCP_CLOUD_TASKS_SERVICE_ACCOUNT, "
	    "OIDC_* and CLOUD_TASKS_SECRET be the same for followup-schedule "
	    "and followup-execute", seen.refused, seen.reason);
}

/*
 * Does the voice agent fail for everybody?  That is news while bookings wait
 * for it: followup-execute learns only from them that it is back.
 */
static void
look_at_voice_agent(struct readiness *r, struct bookings *bookings,
    struct readiness_report *report)
{
	struct verdicts_seen seen;
	char path[PATH_MAX];

	execute_path(r, "verdicts", path);
	if (verdicts_read(path, &seen) != 0)
		return;
	report->agent = seen.agent_since == 0 ? "closed" : "open";
	if (seen.agent_since == 0 || !has_overdue(r, bookings))
		return;
	troubles_add(&report->troubles, "voice-agent", "the voice agent has "
	    "taken no call for %ld s, and the bookings wait for it without "
	    "losing attempts: %s: see that what FOLLOWUP_CALL_URL names works",
	    (monotime_ms() - seen.agent_since) / 1000, seen.agent_reason);
}

/*
 * Add a trouble if no canary has come back; its sentence says where it is
 * stuck.
 */
static void
look_at_canary(struct bookings *bookings, struct troubles *troubles)
{
	struct canary_state canary;

	if (canary_look(bookings, &canary) == DB_OK && canary.is_stale)
		troubles_add(troubles, "canary_stale", "%s", canary.sentence);
}

/* Add a trouble if a breaker is open.  Return for how many seconds, or 0. */
static long
look_at_breaker(const struct readiness *r, struct readiness_report *report)
{
	char whose[QUEUES_LABEL_LEN], sentence[512];
	struct breaker_hold hold;

	report->breaker = queues_state(r->queues, monotime_ms(), &hold,
	    whose);
	if (strcmp(report->breaker, "closed") == 0)
		return (0);
	(void)snprintf(sentence, sizeof(sentence), "the breaker of %s is %s: "
	    "%s", whose, report->breaker, hold.reason);
	if (strcmp(whose, "Cloud Tasks") == 0)
		troubles_add(&report->troubles, "breaker", "%s", sentence);
	else
		troubles_add_some(&report->troubles, "breaker", sentence);
	return (hold.wait / 1000 + 1);
}

/**
 * readiness_look(readiness, bookings, report):
 * Fill in ${report}, asking the database through ${bookings}.
 */
void
readiness_look(struct readiness *r, struct bookings *bookings,
    struct readiness_report *report)
{
	struct troubles *troubles = &report->troubles;
	int lost, down;
	long wait;

	troubles->n = 0;
	report->agent = "unknown";
	lost = look_at_database(bookings, troubles);
	look_at_webhook(r, troubles);
	down = look_at_execute(r, troubles);
	if (!lost)
		look_at_canary(bookings, troubles);
	if (!lost && !down) {
		look_at_callbacks(r, bookings, troubles);
		look_at_voice_agent(r, bookings, report);
	}
	queue_probe_look(r->queue, troubles);
	wait = look_at_breaker(r, report);

	/* The breaker knows when it lets the next one through. */
	report->retry_after = lost ? RETRY_SOON : RETRY;
	if (wait > 0 && troubles->n == 1)
		report->retry_after = wait;
}

/**
 * readiness_is_paused(readiness, queue):
 * Return non-zero iff the queue with the short name ${queue} is known to be
 * paused or disabled.
 */
int
readiness_is_paused(struct readiness *r, const char *queue)
{

	return (queue_probe_is_paused(r->queue, queue));
}

/**
 * readiness_free(readiness):
 * Free ${readiness}; NULL is fine.
 */
void
readiness_free(struct readiness *r)
{

	if (r == NULL)
		return;
	if (r->knock >= 0)
		(void)close(r->knock);
	queue_probe_free(r->queue);
	free(r);
}
