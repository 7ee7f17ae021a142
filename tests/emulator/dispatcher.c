#include <sys/queue.h>
#include <sys/timerfd.h>

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "dispatch.h"
#include "dispatch_request.h"
#include "dispatcher.h"
#include "log.h"
#include "times.h"

/* The longest wait at a stretch; the timer cuts it short. */
#define WAIT_MS	600000

/* How many are begun before those that are under way get a turn. */
#define BATCH	16

struct flight {
	struct dispatch *dispatch;
	struct dispatch_request *request;
	LIST_ENTRY(flight) link;
};

LIST_HEAD(flight_list, flight);

struct dispatcher {
	struct store *store;
	const struct oidc *oidc;
	CURLM *multi;
	int timer;		/* rings when the next task is due */
	atomic_int stopping;
	struct flight_list flights;
	pthread_t thread;
};

static void
wake(void *cookie)
{
	struct dispatcher *dispatcher = cookie;

	curl_multi_wakeup(dispatcher->multi);
}

static void
land(struct flight *flight)
{

	LIST_REMOVE(flight, link);
	dispatch_request_free(flight->request);
	free(flight);
}

/*
 * Tell the store how the dispatch, which it takes, has ended.
 */
static void
finish(struct dispatcher *dispatcher, struct dispatch *dispatch,
    const struct outcome *outcome)
{

	store_lock(dispatcher->store);
	dispatch_finish(dispatcher->store, dispatch, outcome, times_now());
	store_unlock(dispatcher->store);
}

static int
begin(struct dispatcher *dispatcher, struct dispatch *dispatch)
{
	struct flight *flight;
	CURL *curl;

	if ((flight = calloc(1, sizeof(*flight))) == NULL)
		return (-1);
	LIST_INSERT_HEAD(&dispatcher->flights, flight, link);
	flight->dispatch = dispatch;
	flight->request = dispatch_request_new(dispatch, dispatcher->oidc);
	if (flight->request == NULL)
		goto err;
	curl = dispatch_request_handle(flight->request);
	curl_easy_setopt(curl, CURLOPT_PRIVATE, flight);
	if (curl_multi_add_handle(dispatcher->multi, curl) != CURLM_OK)
		goto err;

	/* Success! */
	return (0);

err:
	/* Failure! */
	land(flight);
	return (-1);
}

/*
 * Send what is due, at most BATCH of it, and return when more will be.
 */
static int64_t
begin_due(struct dispatcher *dispatcher)
{
	static const struct outcome broken = { .kind = OUTCOME_UNREACHABLE,
	    .text = "the request could not be put together" };
	struct dispatch *dispatch;
	int64_t next = 0;
	int i;

	for (i = 0; i < BATCH; i++) {
		store_lock(dispatcher->store);
		dispatch = dispatch_take(dispatcher->store, times_now(),
		    &next);
		store_unlock(dispatcher->store);
		if (dispatch == NULL)
			return (next);
		if (begin(dispatcher, dispatch) == -1)
			finish(dispatcher, dispatch, &broken);
	}

	return (times_now());
}

/*
 * See to the transfers that have ended; return how many did.
 */
static int
finish_done(struct dispatcher *dispatcher)
{
	struct flight *flight;
	struct outcome outcome;
	CURLMsg *message;
	CURLcode result;
	CURL *curl;
	int left, n = 0;

	while ((message = curl_multi_info_read(dispatcher->multi, &left)) !=
	    NULL) {
		if (message->msg != CURLMSG_DONE)
			continue;
		curl = message->easy_handle;
		result = message->data.result;
		curl_easy_getinfo(curl, CURLINFO_PRIVATE, (char **)&flight);
		curl_multi_remove_handle(dispatcher->multi, curl);
		dispatch_request_outcome(flight->request, result, &outcome);
		finish(dispatcher, flight->dispatch, &outcome);
		land(flight);
		n++;
	}

	return (n);
}

/*
 * Let the timer ring at the time next by the wall clock, and when that clock
 * is set.
 */
static void
set_timer(const struct dispatcher *dispatcher, int64_t next)
{
	struct itimerspec at = { 0 };

	if (next != INT64_MAX) {
		at.it_value.tv_sec = next / TIMES_SECOND;
		at.it_value.tv_nsec = next % TIMES_SECOND * 1000;
	}
	timerfd_settime(dispatcher->timer, TFD_TIMER_ABSTIME |
	    TFD_TIMER_CANCEL_ON_SET, &at, NULL);
}

static void *
run(void *cookie)
{
	struct dispatcher *dispatcher = cookie;
	struct curl_waitfd timer = { .fd = dispatcher->timer,
	    .events = CURL_WAIT_POLLIN };
	uint64_t rings;
	int running;

	while (!atomic_load(&dispatcher->stopping)) {
		set_timer(dispatcher, begin_due(dispatcher));
		curl_multi_perform(dispatcher->multi, &running);

		/* What ended may have made room for what is due. */
		if (finish_done(dispatcher) > 0)
			continue;
		curl_multi_poll(dispatcher->multi, &timer, 1, WAIT_MS, NULL);
		if (read(dispatcher->timer, &rings, sizeof(rings)) == -1 &&
		    errno == ECANCELED)
			log_info(NULL, "the clock was set");
	}

	return (NULL);
}

/**
 * dispatcher_start(store, oidc, why, whylen):
 * Begin to dispatch what is due in ${store}, with tokens from ${oidc}.  Both
 * must outlive the dispatcher.  Return NULL and a sentence at ${why}
 * (${whylen} bytes) on failure.
 */
struct dispatcher *
dispatcher_start(struct store *store, const struct oidc *oidc, char *why,
    size_t whylen)
{
	struct dispatcher *dispatcher;

	if ((dispatcher = calloc(1, sizeof(*dispatcher))) == NULL ||
	    (dispatcher->multi = curl_multi_init()) == NULL) {
		(void)snprintf(why, whylen, "out of memory");
		goto err0;
	}
	dispatcher->store = store;
	dispatcher->oidc = oidc;
	dispatcher->timer = timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK |
	    TFD_CLOEXEC);
	if (dispatcher->timer == -1) {
		(void)snprintf(why, whylen, "cannot make a timer: %s",
		    strerror(errno));
		goto err1;
	}
	store_lock(store);
	store_on_change(store, wake, dispatcher);
	store_unlock(store);
	if ((errno = pthread_create(&dispatcher->thread, NULL, run,
	    dispatcher)) != 0) {
		(void)snprintf(why, whylen, "cannot start the dispatcher: %s",
		    strerror(errno));
		goto err2;
	}

	/* Success! */
	return (dispatcher);

err2:
	store_lock(store);
	store_on_change(store, NULL, NULL);
	store_unlock(store);
	close(dispatcher->timer);
err1:
	curl_multi_cleanup(dispatcher->multi);
err0:
	/* Failure! */
	free(dispatcher);
	return (NULL);
}

/**
 * dispatcher_stop(dispatcher):
 * Abandon the dispatches that are under way, end the thread and free
 * ${dispatcher}; NULL is fine.
 */
void
dispatcher_stop(struct dispatcher *dispatcher)
{
	struct flight *flight, *next;

	if (dispatcher == NULL)
		return;
	store_lock(dispatcher->store);
	store_on_change(dispatcher->store, NULL, NULL);
	store_unlock(dispatcher->store);
	atomic_store(&dispatcher->stopping, 1);
	wake(dispatcher);
	pthread_join(dispatcher->thread, NULL);
	for (flight = LIST_FIRST(&dispatcher->flights); flight != NULL;
	    flight = next) {
		next = LIST_NEXT(flight, link);
		curl_multi_remove_handle(dispatcher->multi,
		    dispatch_request_handle(flight->request));
		dispatch_drop(flight->dispatch);
		land(flight);
	}
	curl_multi_cleanup(dispatcher->multi);
	close(dispatcher->timer);
	free(dispatcher);
}
