#include <sys/mman.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "backoff.h"
#include "log.h"
#include "shared_mutex.h"
#include "utf8.h"

#include "breaker.h"

/* Between probes, in milliseconds: at least half of what backoff allows. */
#define PAUSE_BASE_MS	500
#define PAUSE_CAP_MS	15000

/* The first pause of a service that asks us to slow down, without a time. */
#define SLOW_BASE_MS	1000

/* For how long it is known that a tenant gets through. */
#define TENANT_MS	120000

/*
 * Failures further apart are not in a row.  Where calls are few, hours pass
 * between two: as long as none succeeds, the service may be away all the time.
 */
#define ROW_MS		86400000

/* How long giving back attempts may take. */
#define CLEARING_MS	30000

struct breaker {
	pthread_mutex_t mutex;
	const struct breaker_service *service;
	struct breaker_view *view;

	/* Different bookings that failed since the last success. */
	struct breaker_cleared failed[BREAKER_SEVERAL];
	int failures;
	long failed_at;			/* the last of them */
	uint64_t failed_tenant;		/* of the first of them */
	int is_mixed;			/* there were others' */

	/* Those that opened it, until they have their attempts back. */
	struct breaker_cleared cleared[BREAKER_SEVERAL];
	int ncleared;
	long clearing_until;		/* somebody is at it; or 0 */
	unsigned long openings;

	/* The bookings that alone opened it, the last few, and when. */
	struct {
		uint64_t id;
		long at;
	} openers[BREAKER_SEVERAL];
	int opener;			/* the place of the next one */

	/* The last two tenants that got through, and when. */
	struct {
		uint64_t tenant;
		long at;		/* 0: none */
	} passed[2];

	int is_open;
	int is_everybody;		/* not only for this tenant: */
	uint64_t tenant;
	int probes;			/* that failed since it opened */
	int probed;			/* one was let out since it opened */
	long next_probe;		/* no probe before */
	long held_until;		/* the service asked for it; or 0 */
	long probing_until;		/* one is on its way; or 0 */

	/* The bookings whose probes failed since it opened, the last few. */
	struct prober {
		uint64_t id;
		int number;		/* of its last probe, from 1 */
		int gave_way;		/* to another one since */
		int waits;		/* it was refused since */
	} probers[BREAKER_SEVERAL];
	int nprobers;
	int others_wait;		/* a booking that is not among them was
					   refused, and none has probed since */
	char reason[BREAKER_REASON_LEN];
};

/**
 * breaker_new(service, view):
 * Return a closed breaker in memory that workers forked later share, which
 * keeps ${view} up to date, in memory that they share as well, or NULL.
 * Return NULL when memory is short.
 */
struct breaker *
breaker_new(const struct breaker_service *service, struct breaker_view *view)
{
	struct breaker *b;

	b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b == MAP_FAILED)
		return (NULL);
	if (shared_mutex_init(&b->mutex) != 0) {
		breaker_free(b);
		return (NULL);
	}
	b->service = service;
	b->view = view;
	return (b);
}

/* A number for ${text} that others hardly have (FNV-1a); 0 for NULL. */
static uint64_t
number(const char *text)
{
	uint64_t n = UINT64_C(14695981039346656037);

	if (text == NULL)
		return (0);
	for (; *text != '\0'; text++)
		n = (n ^ (unsigned char)*text) * UINT64_C(1099511628211);
	return (n);
}

static int
is_probing(const struct breaker *b, long now)
{

	return (b->probing_until != 0 && now < b->probing_until);
}

/* Is it open for requests of ${tenant}? */
static int
is_open_for(const struct breaker *b, uint64_t tenant)
{

	return (b->is_open && (b->is_everybody || tenant == b->tenant));
}

/* Has another one than ${tenant} got through lately? */
static int
others_pass(const struct breaker *b, long now, uint64_t tenant)
{
	int i;

	for (i = 0; i < 2; i++) {
		if (b->passed[i].at != 0 && b->passed[i].tenant != tenant &&
		    now - b->passed[i].at < TENANT_MS)
			return (1);
	}
	return (0);
}

/* Describe a breaker that is open. */
static void
describe(const struct breaker *b, long now, struct breaker_hold *hold)
{

	hold->wait = is_probing(b, now) ? PAUSE_BASE_MS : 0;
	if (now < b->next_probe)
		hold->wait = b->next_probe - now;
	(void)snprintf(hold->reason, sizeof(hold->reason), "%s", b->reason);
}

/* Update the metric of its state, if it has one. */
static void
show(const struct breaker *b, enum metrics_breaker state)
{

	if (b->service->state != METRICS_N)
		metrics_set(b->service->state, 0, (long)state);
}

/* Note for other programs how it is. */
static void
publish(struct breaker *b, long now)
{

	show(b, !b->is_open ? METRICS_BREAKER_CLOSED : is_probing(b, now) ?
	    METRICS_BREAKER_HALF_OPEN : METRICS_BREAKER_OPEN);
	if (b->view == NULL)
		return;

	/* One that reads meanwhile finds a NUL at the end in any case. */
	(void)snprintf(b->view->reason, sizeof(b->view->reason), "%s",
	    b->reason);
	if (!b->is_open)
		atomic_store(&b->view->open_since, 0);
	else if (atomic_load(&b->view->open_since) == 0)
		atomic_store(&b->view->open_since, now);
}

/* Find the booking ${id} among those whose probes failed, or NULL. */
static struct prober *
find_prober(struct breaker *b, uint64_t id)
{
	int i;

	for (i = 0; i < b->nprobers && id != 0; i++) {
		if (b->probers[i].id == id)
			return (&b->probers[i]);
	}
	return (NULL);
}

/* The probe of the booking ${id} failed. */
static void
note_prober(struct breaker *b, uint64_t id)
{
	struct prober *p = find_prober(b, id);
	int i;

	if (p == NULL && b->nprobers < BREAKER_SEVERAL)
		p = &b->probers[b->nprobers++];
	else if (p == NULL) {
		p = &b->probers[0];
		for (i = 1; i < b->nprobers; i++) {
			if (b->probers[i].number < p->number)
				p = &b->probers[i];
		}
	}
	*p = (struct prober){ .id = id, .number = b->probes };
}

/*
 * Should ${p} leave the probe to one that waits and has not probed since?  A
 * booking that always fails could be the first to ask each time, and keep the
 * breaker open for all.  It does so once: the other one may not come again.
 */
static int
gives_way(struct breaker *b, struct prober *p)
{
	int i, others = b->others_wait;

	if (p == NULL || p->gave_way)
		return (0);
	for (i = 0; i < b->nprobers; i++)
		others |= b->probers[i].waits &&
		    b->probers[i].number < p->number;
	p->gave_way = others;
	return (others);
}

/* Note whether ${p}, or another one where that is NULL, has to ${wait}. */
static void
note_waiting(struct breaker *b, struct prober *p, int wait)
{

	if (p != NULL)
		p->waits = wait;
	else
		b->others_wait = wait;
}

/**
 * breaker_ask(breaker, now, request, hold):
 * May ${request} go out?  Set and return its answer, and ${hold} unless that
 * is BREAKER_GO.  If so, one of the next three functions must be called.
 */
enum breaker_answer
breaker_ask(struct breaker *b, long now, struct breaker_request *request,
    struct breaker_hold *hold)
{
	struct prober *p;
	int first = 0;

	request->answer = BREAKER_GO;
	shared_mutex_lock(&b->mutex);
	if (is_open_for(b, number(request->tenant))) {
		request->answer = BREAKER_REFUSED;
		p = find_prober(b, number(request->id));
		if (now >= b->next_probe && !is_probing(b, now) &&
		    !gives_way(b, p)) {
			request->answer = BREAKER_PROBE;
			b->probing_until = now + b->service->probe_ms;
			first = !b->probed;
			b->probed = 1;
			publish(b, now);
		}
		note_waiting(b, p, request->answer == BREAKER_REFUSED);
		describe(b, now, hold);
	}
	(void)pthread_mutex_unlock(&b->mutex);
	if (first)
		log_info(NULL, "breaker half-open, one request at a time asks "
		    "whether %s answers again", b->service->name);
	return (request->answer);
}

/* Begin to count failures anew. */
static void
forget_failures(struct breaker *b)
{

	b->failures = 0;
	b->is_mixed = 0;
}

/* Remember that ${tenant} got through. */
static void
note_passed(struct breaker *b, long now, uint64_t tenant)
{

	if (b->passed[0].tenant != tenant)
		b->passed[1] = b->passed[0];
	b->passed[0].tenant = tenant;
	b->passed[0].at = now;
}

/**
 * breaker_succeeded(breaker, now, request):
 * The service answered, whatever it said.
 */
void
breaker_succeeded(struct breaker *b, long now,
    const struct breaker_request *request)
{
	int closed = 0;

	shared_mutex_lock(&b->mutex);
	forget_failures(b);
	note_passed(b, now, number(request->tenant));

	/* What was on its way does not end the pause that was asked for. */
	if (b->is_open && now >= b->held_until) {
		closed = 1;
		b->is_open = 0;
		b->held_until = 0;
	}
	if (closed || request->answer == BREAKER_PROBE)
		b->probing_until = 0;
	publish(b, now);
	(void)pthread_mutex_unlock(&b->mutex);
	if (closed)
		log_info(NULL, "%s answers again: breaker closed",
		    b->service->name);
}

/* Plan the next probe. */
static void
plan_probe(struct breaker *b, long now, const struct breaker_failure *failure)
{
	long top = failure->slow_down ? SLOW_BASE_MS : PAUSE_BASE_MS;
	long cap = failure->slow_down ? BREAKER_ASKED_MAX * 1000L :
	    PAUSE_CAP_MS;
	long asked = failure->retry_after, pause;
	int i;

	if (asked > BREAKER_ASKED_MAX)
		asked = BREAKER_ASKED_MAX;
	for (i = 0; i < b->probes && top < cap; i++)
		top *= 2;
	if (top > cap)
		top = cap;
	if (failure->slow_down)
		pause = asked > 0 ? asked * 1000 : top;
	else
		pause = top / 2 + backoff_ms(1, top / 2, top / 2);
	if (pause < asked * 1000)
		pause = asked * 1000;
	b->next_probe = now + pause;
	b->probing_until = 0;
}

/* Let ${failure} hold up everybody at least as long as it asks for. */
static void
hold(struct breaker *b, long now, const struct breaker_failure *failure)
{
	long asked = failure->retry_after;

	if (asked > BREAKER_ASKED_MAX)
		asked = BREAKER_ASKED_MAX;
	if (b->next_probe < now + asked * 1000)
		b->next_probe = now + asked * 1000;
	b->held_until = b->next_probe;
}

/*
 * Count a failure of the booking ${id}, which may have failed before.  Return
 * what is known of that booking, or NULL if nothing is kept.
 */
static struct breaker_cleared *
count(struct breaker *b, long now, const char *id, uint64_t tenant)
{
	struct breaker_cleared *failed;
	int i;

	if (now - b->failed_at > ROW_MS)
		forget_failures(b);
	b->failed_at = now;
	if (b->failures == 0)
		b->failed_tenant = tenant;
	else if (tenant != b->failed_tenant)
		b->is_mixed = 1;
	for (i = 0; i < b->failures && id != NULL; i++) {
		if (strcmp(b->failed[i].id, id) == 0)
			return (&b->failed[i]);
	}
	if (b->failures == BREAKER_SEVERAL)
		return (NULL);
	failed = &b->failed[b->failures++];
	(void)snprintf(failed->id, sizeof(failed->id), "%s",
	    id != NULL ? id : "");
	failed->failures = 0;
	return (failed);
}

/* The breaker opens: the failures in a row were no fault of those bookings. */
static void
clear_failed(struct breaker *b)
{
	int i;

	b->openings++;
	b->clearing_until = 0;
	b->ncleared = 0;
	for (i = 0; i < b->failures; i++) {
		if (*b->failed[i].id == '\0' || b->failed[i].failures == 0)
			continue;
		b->cleared[b->ncleared] = b->failed[i];
		b->cleared[b->ncleared++].opening = b->openings;
	}
	forget_failures(b);
}

/*
 * How many have failed in a row?  Those for whose tenant alone it is open count
 * as one: no request has succeeded since.
 */
static int
count_failed(const struct breaker *b, long now)
{

	return (b->failures + (b->is_open && now - b->next_probe < ROW_MS));
}

/*
 * Is it the service that fails, and not one tenant's requests while those of
 * others get through?
 */
static int
is_enough(const struct breaker *b, long now, uint64_t tenant,
    const struct breaker_failure *failure)
{

	return (count_failed(b, now) >= failure->enough &&
	    (failure->is_everybody || b->is_mixed ||
	    !others_pass(b, now, tenant)));
}

/*
 * The booking ${id} alone opens it.  Return whose fault that is: a booking
 * that does so again, within a day, may be to blame.
 */
static enum breaker_blame
note_opener(struct breaker *b, long now, uint64_t id)
{
	enum breaker_blame blame = BREAKER_OPENED;
	int i;

	for (i = 0; i < BREAKER_SEVERAL; i++) {
		if (id != 0 && b->openers[i].id == id)
			break;
	}
	if (i == BREAKER_SEVERAL) {
		i = b->opener;
		b->opener = (b->opener + 1) % BREAKER_SEVERAL;
	} else if (now - b->openers[i].at <= ROW_MS)
		blame = BREAKER_OPENED_AGAIN;
	b->openers[i].id = id;
	b->openers[i].at = now;
	return (blame);
}

/* Enough has failed: open it, or open it for all tenants. */
static void
open_it(struct breaker *b, long now, uint64_t tenant,
    const struct breaker_failure *failure)
{

	/* It was open for another tenant: then it is for everybody now. */
	b->is_everybody = failure->is_everybody || b->is_mixed || b->is_open ||
	    tenant == 0;
	b->tenant = tenant;
	b->is_open = 1;
	b->probes = b->probed = 0;
	b->nprobers = b->others_wait = 0;
	b->passed[0].at = b->passed[1].at = 0;
	clear_failed(b);
	plan_probe(b, now, failure);
	b->held_until = 0;
}

/**
 * breaker_failed(breaker, now, request, failure):
 * The service failed ${request}.  Return whose fault that is.
 *
 * A service that asks us to slow down is left alone by everybody until the
 * time that it says, even if requests that were on their way succeed; for a
 * second if it says none, then two, and so on.
 */
enum breaker_blame
breaker_failed(struct breaker *b, long now,
    const struct breaker_request *request,
    const struct breaker_failure *failure)
{
	uint64_t tenant = number(request->tenant);
	enum breaker_blame blame = BREAKER_ITS_OWN;
	struct breaker_cleared *failed;
	int opened = 0;

	shared_mutex_lock(&b->mutex);
	if (is_open_for(b, tenant)) {
		/* What was on its way when it opened tells nothing new. */
		if (request->answer == BREAKER_PROBE) {
			b->probes++;
			note_prober(b, number(request->id));
			plan_probe(b, now, failure);
		}
		blame = BREAKER_COMMON;
	} else {
		failed = count(b, now, request->id, tenant);
		if (is_enough(b, now, tenant, failure)) {
			blame = count_failed(b, now) > 1 ? BREAKER_COMMON :
			    note_opener(b, now, number(request->id));
			open_it(b, now, tenant, failure);
			opened = 1;
		} else if (failed != NULL)
			failed->failures++;
	}
	if (b->is_open && failure->slow_down) {
		b->is_everybody = 1;
		hold(b, now, failure);
	}
	if (blame != BREAKER_ITS_OWN) {
		(void)snprintf(b->reason, sizeof(b->reason), "%s",
		    failure->reason);
		utf8_clean(b->reason);
	}
	publish(b, now);
	(void)pthread_mutex_unlock(&b->mutex);
	if (opened) {
		metrics_add(b->service->opened, 0, 1);
		log_error(NULL, "breaker open, no %s until %s answers: %s",
		    b->service->nothing, b->service->name, failure->reason);
	}
	return (blame);
}

/**
 * breaker_cleared(breaker, now, list):
 * Write to ${list}, which has room for BREAKER_SEVERAL, the bookings that are
 * cleared since the breaker opened, and return how many they are.  The caller
 * tells breaker_gave_back of each.  Meanwhile nobody else is told; but those
 * that are left after half a minute, because the caller died or could not do
 * it, are told to the next one who asks.
 */
int
breaker_cleared(struct breaker *b, long now, struct breaker_cleared *list)
{
	int n = 0;

	shared_mutex_lock(&b->mutex);
	if (b->ncleared > 0 && now >= b->clearing_until) {
		n = b->ncleared;
		memcpy(list, b->cleared, sizeof(b->cleared));
		b->clearing_until = now + CLEARING_MS;
	}
	(void)pthread_mutex_unlock(&b->mutex);
	return (n);
}

/**
 * breaker_gave_back(breaker, cleared):
 * The booking ${cleared} has its attempts back: it is not to be told again.
 */
void
breaker_gave_back(struct breaker *b, const struct breaker_cleared *cleared)
{
	int i;

	shared_mutex_lock(&b->mutex);
	for (i = 0; i < b->ncleared; i++) {
		if (b->cleared[i].opening == cleared->opening &&
		    strcmp(b->cleared[i].id, cleared->id) == 0)
			b->cleared[i--] = b->cleared[--b->ncleared];
	}
	(void)pthread_mutex_unlock(&b->mutex);
}

/**
 * breaker_unused(breaker, request):
 * ${request} was not sent after all.
 */
void
breaker_unused(struct breaker *b, const struct breaker_request *request)
{

	if (request->answer != BREAKER_PROBE)
		return;
	shared_mutex_lock(&b->mutex);
	b->probing_until = 0;
	if (b->is_open)
		show(b, METRICS_BREAKER_OPEN);
	(void)pthread_mutex_unlock(&b->mutex);
}

/**
 * breaker_state(breaker, now, hold):
 * Return "closed", "open" or "half-open"; ${hold} is set unless it is closed.
 */
const char *
breaker_state(struct breaker *b, long now, struct breaker_hold *hold)
{
	const char *state = "closed";

	shared_mutex_lock(&b->mutex);
	if (b->is_open) {
		state = is_probing(b, now) || now >= b->next_probe ?
		    "half-open" : "open";
		describe(b, now, hold);
	}
	(void)pthread_mutex_unlock(&b->mutex);
	return (state);
}

/**
 * breaker_free(breaker):
 * Unmap ${breaker} from this process; NULL is fine.
 */
void
breaker_free(struct breaker *b)
{

	if (b != NULL)
		(void)munmap(b, sizeof(*b));
}
