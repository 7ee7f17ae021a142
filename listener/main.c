#include <sys/signalfd.h>

#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>

#include "canary_sender.h"
#include "config.h"
#include "daemon.h"
#include "forwarder.h"
#include "log.h"
#include "metrics.h"
#include "monotime.h"
#include "notifications.h"
#include "payload.h"
#include "plural.h"
#include "secret.h"
#include "sweep.h"
#include "systemd.h"

/* How long what is in flight may take at the end, in milliseconds. */
#define DRAIN_MS	20000

/* How often log_tick is called, likewise. */
#define TICK_MS		1000

/* So many notifications are handled at once, before others get a turn. */
#define MAX_EVENTS	256

struct listener {
	struct config conf;
	struct notifications *notifications;
	struct forwarder *forwarder;
	struct sweep *sweep;
	struct canary_sender *canary;
	int signals;			/* readable when a signal is there */
	int stopping;
	int failed;
	long drain_until;
};

/* A notification came. */
static void
on_notify(struct listener *l, const char *text, long now)
{
	struct payload payload;
	struct log_about about = { .booking_id = payload.id };
	const char *why;

	switch (payload_parse(text, l->conf.schema, &payload, &why)) {
	case PAYLOAD_BAD:
		log_warning(NULL, "ignored a notification %s: \"%.200s\"",
		    why, text);
		return;
	case PAYLOAD_FOREIGN:
		log_debug(NULL, "passed over a notification for another "
		    "schema");
		return;
	case PAYLOAD_BOOKING:
		break;
	}
	if (*payload.tenant_id != '\0')
		about.tenant_id = payload.tenant_id;
	metrics_add(METRICS_NOTIFICATIONS, 0, 1);
	log_info(&about, "Received booking notification");
	canary_sender_heard(l->canary, payload.id, now);
	(void)forwarder_add(l->forwarder, payload.id, about.tenant_id, text,
	    now);

	/* What did not fit is found by this, as is what was not notified. */
	sweep_notified(l->sweep, now);
}

/*
 * Handle what the database connection has to say, but not so much of it that
 * nothing else is done.  Return non-zero iff there may be more.
 */
static int
handle_notifications(struct listener *l, long now)
{
	struct notifications_data data;
	int i;

	for (i = 0; i < MAX_EVENTS; i++) {
		switch (notifications_next(l->notifications, now, &data)) {
		case NOTIFICATIONS_NONE:
			return (0);
		case NOTIFICATIONS_LISTENING:
			sweep_request(l->sweep, now);
			canary_sender_listening(l->canary, now);
			break;
		case NOTIFICATIONS_NOTIFY:
			on_notify(l, data.payload, now);
			break;
		case NOTIFICATIONS_RESULT:
			if (!canary_sender_result(l->canary, data.result,
			    now))
				sweep_result(l->sweep, data.result,
				    l->forwarder, now);
			break;
		case NOTIFICATIONS_LOST:
			sweep_lost(l->sweep, l->forwarder, now);
			canary_sender_lost(l->canary);
			break;
		case NOTIFICATIONS_FATAL:
			l->failed = 1;
			return (0);
		}
	}
	return (1);
}

/* Wait for whatever happens next; if there is ${more} to do, just look. */
static void
wait_for_something(struct listener *l, long now, int more)
{
	struct curl_waitfd fds[2];
	long alive, beat, deadline, sweep = sweep_deadline(l->sweep);
	long canary = canary_sender_deadline(l->canary);
	short events;
	int fd;

	memset(fds, 0, sizeof(fds));
	fds[0].fd = l->signals;
	fds[0].events = CURL_WAIT_POLLIN;
	notifications_wait(l->notifications, &fd, &events, &deadline);
	fds[1].fd = fd;
	fds[1].events = (short)(((events & POLLIN) ? CURL_WAIT_POLLIN : 0) |
	    ((events & POLLOUT) ? CURL_WAIT_POLLOUT : 0));
	if (more)
		deadline = now;
	if (!l->stopping && sweep < deadline)
		deadline = sweep;
	if (!l->stopping && canary < deadline)
		deadline = canary;
	alive = systemd_alive(now);
	if (alive >= 0 && now + alive < deadline)
		deadline = now + alive;
	beat = metrics_beat(now);
	if (beat >= 0 && now + beat < deadline)
		deadline = now + beat;
	if (l->stopping && l->drain_until < deadline)
		deadline = l->drain_until;
	if (now + TICK_MS < deadline)
		deadline = now + TICK_MS;
	forwarder_wait(l->forwarder, fds, fd >= 0 ? 2 : 1, now, deadline);
}

/* SIGTERM: finish what is in flight, start nothing. */
static void
check_signals(struct listener *l, long now)
{
	struct signalfd_siginfo info;
	int n = forwarder_in_flight(l->forwarder);

	if (read(l->signals, &info, sizeof(info)) != sizeof(info) ||
	    l->stopping)
		return;
	log_info(NULL, "stopping: %d %s in flight", n,
	    plural(n, "booking", "bookings"));
	systemd_stopping();
	l->stopping = 1;
	l->drain_until = now + DRAIN_MS;
	forwarder_stop(l->forwarder);
}

static int
is_finished(const struct listener *l, long now)
{

	return (l->failed || (l->stopping && (now >= l->drain_until ||
	    forwarder_in_flight(l->forwarder) == 0)));
}

static void
run(struct listener *l)
{
	long now;
	int more;

	for (;;) {
		now = monotime_ms();
		log_tick();
		check_signals(l, now);
		more = handle_notifications(l, now);
		if (!l->stopping) {
			sweep_step(l->sweep, l->notifications, l->forwarder,
			    now);
			canary_sender_step(l->canary, l->notifications, now);
		}
		forwarder_step(l->forwarder, now);
		notifications_measure(l->notifications);
		if (is_finished(l, now))
			return;
		wait_for_something(l, now, more);
	}
}

/* Have SIGTERM and SIGINT come through a descriptor. */
static int
open_signals(void)
{
	sigset_t set;

	if (sigemptyset(&set) != 0 || sigaddset(&set, SIGTERM) != 0 ||
	    sigaddset(&set, SIGINT) != 0 ||
	    sigprocmask(SIG_BLOCK, &set, NULL) != 0 ||
	    signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return (-1);
	return (signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
}

int
main(int argc, char **argv)
{
	static const struct daemon daemon = {
		.program = CONFIG_LISTENER,
		.name = "followup-listener",
		.component = "BookingListener",
		.synopsis = "Listens for booking notifications in "
		    "PostgreSQL and posts each one to the local\nAPI of "
		    "followup-scheduler, together with what a sweep of the "
		    "table finds.",
	};
	static struct listener l;

	daemon_begin(&daemon, argc, argv, &l.conf);
	json_object_seed(0);
	if (secret_curl_init() != 0 ||
	    (l.signals = open_signals()) < 0 ||
	    (l.notifications = notifications_new(&l.conf)) == NULL ||
	    (l.forwarder = forwarder_new(&l.conf)) == NULL ||
	    (l.sweep = sweep_new(&l.conf)) == NULL ||
	    (l.canary = canary_sender_new(&l.conf)) == NULL) {
		log_error(NULL, "the listener could not be started: out of "
		    "memory or descriptors");
		return (1);
	}

	/* A database that is away is no reason to be started again. */
	systemd_ready();
	run(&l);

	log_finish();
	log_info(NULL, "stopped");
	canary_sender_free(l.canary);
	sweep_free(l.sweep);
	forwarder_free(l.forwarder);
	notifications_free(l.notifications);
	(void)close(l.signals);
	curl_global_cleanup();
	return (l.failed);
}
