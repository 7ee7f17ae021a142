#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <jansson.h>
#include <libpq-fe.h>

#include "breaker.h"
#include "execute.h"
#include "pauses.h"
#include "schedule.h"
#include "voice_agent.h"

#define SCHEMA	"test_year"

#include "lib/as_daemon.h"
#include "lib/rules.h"
#include "lib/simulated.h"
#include "lib/tasks.h"

/*
 * A year: the state machines of followup-schedule and followup-execute and the
 * sweep's statement, on a server whose clock is ours, between a queue and a
 * voice agent that fail now and then.  Bookings come, move and are cancelled;
 * pauses and settings change.  Whoever is rung must be one whom the rules of
 * lib/rules.h let be rung at that moment, and once; whoever is given up, one
 * whom they never let be rung again; and nobody may wait longer than it takes
 * to notice.
 *
 *   SEED=N     another year than the first
 *   TRACE=1    tells what happens
 */

#define BEGINS		(INT64_C(1704067200) * SECOND)	/* 2024-01-01 UTC */
#define YEAR		(365 * DAY)
#define SETTLING	(40 * DAY)	/* longer than the horizon */
#define BOOKINGS_MAX	1000
#define EVENTS_MAX	4000
#define BURSTS		45

/* How long a booking may wait while it could be called and all is well. */
#define PATIENCE	(20 * MINUTE)
#define PATIENCE_LOST	(160 * MINUTE)	/* if its task was lost */

/* After an outage it takes so long until the queue has tried everything. */
#define RECOVERY	(25 * MINUTE)

/* The sweep's pauses: at first, and when nothing happens. */
#define SWEEP_SOON	(5 * SECOND)
#define SWEEP_AT_LAST	(2 * HOUR)

enum illness {
	HEALTHY,
	REFUSED,			/* the agent does not want it */
	FAILING,			/* the agent fails with it */
};

struct person {
	char id[UUID_LEN];
	struct subject s;
	int is_wanted;			/* not cancelled, not deleted */
	int is_called;
	int is_dead;
	enum illness illness;
	int lost_task;
	int changes;
	int64_t changed_at;
	int64_t waited;			/* since, although it could be called */
};

static struct person persons[BOOKINGS_MAX];
static int npersons;

enum event_kind {
	SOMETHING,			/* it is drawn when it comes */
	AGENT_UP,
	QUEUE_UP,
	ALL_RESUMED,
};
static struct event {
	int64_t at;
	enum event_kind kind;
} events[EVENTS_MAX];
static int nevents;

static enum agent_state {
	UP,
	AWAY,				/* 503 */
	UNREACHABLE,
	BUSY,				/* 429 */
} agent_is;

/* The booking that found the agent down, or NULL; and whether a second did. */
static const struct person *witness;
static int has_witnesses;

static int64_t all_end;			/* of the pause of everything */
static int64_t healthy_from;		/* NEVER: something is down */
static int64_t sweep_at, sweep_pause, overdue_at;
static struct db *xdb;
static struct breaker *breaker;
static struct execute execute;
static struct schedule schedule;
static int faults, calls, requests, deaths, fired, sweeps;

static const char *const tenants[TENANTS] = { TENANT,
    "22222222-2222-4222-8222-222222222222",
    "33333333-3333-4333-8333-333333333333" };

static void tell(const char *, ...) __attribute__((format(printf, 1, 2)));

/* With TRACE, a line with the time. */
static void
tell(const char *fmt, ...)
{
	char when[BOOKING_TIME_LEN];
	va_list ap;

	if (getenv("TRACE") == NULL)
		return;
	va_start(ap, fmt);
	(void)fprintf(stderr, "%s ", booking_time(now, 3, when));
	(void)vfprintf(stderr, fmt, ap);
	(void)fputc('\n', stderr);
	va_end(ap);
}

/* ${p} was treated wrongly. */
static void
fault(const struct person *p, const char *what)
{
	char at[BOOKING_TIME_LEN], due[BOOKING_TIME_LEN];

	tell("FAULT %s: %s", p->id, what);
	if (faults++ < 10)
		print_message("# %s, %s due %s: %s\n",
		    booking_time(now, 3, at), p->id,
		    booking_time(p->s.due, 3, due), what);
}

static struct person *
find_person(const char *id)
{
	int i;

	for (i = 0; i < npersons; i++) {
		if (strncmp(persons[i].id, id, UUID_LEN - 1) == 0)
			return (&persons[i]);
	}
	fail_msg("nobody has the id %s", id);
	return (NULL);
}

/* Is ${p} still to be called? */
static int
is_open_person(const struct person *p)
{

	return (p->is_wanted && !p->is_called && !p->is_dead);
}

/* Return somebody who is still to be called, or NULL. */
static struct person *
pick_open(void)
{
	int i, k, n = 0;

	for (i = 0; i < npersons; i++)
		n += is_open_person(&persons[i]);
	if (n == 0)
		return (NULL);
	k = pick(1, n);
	for (i = 0; k > 0; i++)
		k -= is_open_person(&persons[i]);
	return (&persons[i - 1]);
}

/* The sweep would come within its interval. */
static void
sweep_soon(void)
{

	sweep_pause = SWEEP_SOON;
	sweep_at = now + pick(0, 5) * SECOND;
}

/* Something new is known of ${p}. */
static void
changed(struct person *p)
{

	p->is_dead = 0;
	p->waited = 0;
	p->changed_at = now;
	p->changes++;
	sweep_soon();
}

/*
 * What an application does.
 */

static int64_t
at_minute(int64_t from, int low, int high)
{

	return ((from / MINUTE + pick(low, high)) * MINUTE);
}

/* Most are due soon, some in days, few beyond the horizon. */
static int64_t
pick_due(void)
{

	if (happens(5))
		return (at_minute(now, 20 * 1440, 50 * 1440));
	return (happens(60) ? at_minute(now, -90, 600) :
	    at_minute(now, -90, 4000));
}

/* A time as SQL. */
static const char *
sql_time(int64_t time, char buf[64])
{

	(void)snprintf(buf, 64, "to_timestamp(%" PRId64 ")", time / SECOND);
	return (time == 0 || time == NEVER ? "NULL" : buf);
}

static void
book(void)
{
	struct person *p = &persons[npersons];
	char due[64], before[64], not_before[64], zone[64];

	if (npersons == BOOKINGS_MAX)
		return;
	memset(p, 0, sizeof(*p));
	(void)snprintf(p->id, sizeof(p->id),
	    "00000000-0000-4000-8000-%012x", ++npersons);
	p->s.tenant = pick(0, TENANTS - 1);
	p->s.zone = happens(3) ? (int)ZONES - 1 : pick(0, (int)ZONES - 2);
	p->s.due = pick_due();
	p->s.not_before = happens(10) ? at_minute(now, -600, 2000) : 0;
	p->s.before = happens(10) ? at_minute(now, 0, 4000) : NEVER;
	p->illness = happens(94) ? HEALTHY : happens(50) ? REFUSED : FAILING;
	p->is_wanted = 1;
	(void)snprintf(zone, sizeof(zone), zones[p->s.zone].name != NULL ?
	    "'%s'" : "NULL", zones[p->s.zone].name);
	run("INSERT INTO lead_bookings (id, tenant_id, lead_id, "
	    "scheduled_at, timezone, call_before, call_not_before) "
	    "VALUES ('%s', '%s', '" ID "', %s, %s, %s, %s)", p->id,
	    tenants[p->s.tenant], sql_time(p->s.due, due), zone,
	    sql_time(p->s.before, before),
	    sql_time(p->s.not_before, not_before));
	tell("book %s tenant %d zone %s due %s before %s not before %s %s",
	    p->id, p->s.tenant, zone, due, sql_time(p->s.before, before),
	    sql_time(p->s.not_before, not_before),
	    p->illness != HEALTHY ? "ill" : "");
}

static void
move(struct person *p)
{
	char due[64];

	p->s.due = pick_due();
	p->s.asked = 0;
	changed(p);
	run("UPDATE lead_bookings SET scheduled_at = %s WHERE id = '%s'",
	    sql_time(p->s.due, due), p->id);
	tell("move %s to %s", p->id, due);
}

static void
take_back(struct person *p)
{

	p->is_wanted = 0;
	switch (pick(0, 2)) {
	case 0:
		run("UPDATE lead_bookings SET task_status = 'cancelled' "
		    "WHERE id = '%s'", p->id);
		break;
	case 1:
		run("UPDATE lead_bookings SET is_deleted = true "
		    "WHERE id = '%s'", p->id);
		break;
	default:
		run("DELETE FROM lead_bookings WHERE id = '%s'", p->id);
	}
	tell("nobody wants %s", p->id);
}

/* One of them changes; those that were given up may be moved. */
static void
change_booking(void)
{
	struct person *p = pick_open();

	if (p == NULL || happens(15))
		p = npersons > 0 ? &persons[pick(0, npersons - 1)] : NULL;
	if (p == NULL || !p->is_wanted || p->is_called)
		return;
	if (happens(75))
		move(p);
	else
		take_back(p);
}

/*
 * What operators do.
 */

static void
set_setting(const char *name, const char *value)
{

	run("INSERT INTO followup_settings (name, value) VALUES ('%s', '%s') "
	    "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
	    name, value);
	tell("set %s %s", name, value);
}

static void
set_hours(int n)
{
	static const char *const days[] = { "mon", "tue", "wed", "thu", "fri",
	    "sat", "sun" };
	char text[40 * HOURS_MAX + 1] = "";
	struct week *w = &weeks[nweeks];
	struct hours *h;

	assert_true(nweeks < WEEKS_MAX);
	for (w->n = 0; w->n < n; w->n++) {
		h = &w->hours[w->n];
		h->d1 = pick(0, 6);
		h->d2 = pick(0, 6);
		h->opens = 10 * pick(0, 143);
		h->closes = 10 * pick(0, 143);
		if (h->closes == h->opens)
			h->closes = (h->opens + 30) % 1440;
		(void)snprintf(text + strlen(text),
		    sizeof(text) - strlen(text),
		    "%s-%s %02d:%02d-%02d:%02d; ", days[h->d1], days[h->d2],
		    h->opens / 60, h->opens % 60, h->closes / 60,
		    h->closes % 60);
	}
	set_setting("calling_hours", text);
	w->begins = now;
	nweeks++;
}

static void
set_within(void)
{
	char text[16];

	call_within = pick(30, 600) * MINUTE;
	(void)snprintf(text, sizeof(text), "%" PRId64 "m",
	    call_within / MINUTE);
	set_setting("call_within", text);
}

/* Return the pause of ${tenant} that is in force, or NULL. */
static struct pause *
find_pause(int tenant, int of_all)
{
	int i;

	for (i = npauses; i-- > 0;) {
		if (pauses[i].tenant == tenant &&
		    pauses[i].of_all == of_all && pauses[i].ends > now)
			return (&pauses[i]);
	}
	return (NULL);
}

static void
hold(int tenant, int of_all, int64_t ends)
{
	struct pause *p = find_pause(tenant, of_all);

	if (p == NULL) {
		assert_true(npauses < PAUSES_MAX);
		p = &pauses[npauses++];
		*p = (struct pause){ .tenant = tenant, .of_all = of_all,
		    .begins = now };
	}
	p->ends = ends;
}

/* The scope of a pause of ${tenant}, or of everything: TENANTS. */
static const char *
scope(int tenant, char buf[64])
{

	(void)snprintf(buf, 64, tenant == TENANTS ? "all" : "tenant:%s",
	    tenant < TENANTS ? tenants[tenant] : "");
	return (buf);
}

static void
begin_pause(void)
{
	int i, tenant = pick(0, TENANTS);
	int64_t ends = happens(30) ? NEVER : at_minute(now, 5,
	    happens(10) ? 50 * 1440 : 2000);
	char until[BOOKING_TIME_LEN], name[64], *wrong;

	assert_int_equal(pauses_begin(b, scope(tenant, name), "the year",
	    ends != NEVER ? booking_time(ends, 3, until) : NULL, "me",
	    &wrong), DB_OK);
	if (wrong != NULL)
		fail_msg("%s", wrong);
	for (i = 0; i < TENANTS; i++) {
		if (tenant == TENANTS || tenant == i)
			hold(i, tenant == TENANTS, ends);
	}
	if (tenant == TENANTS)
		all_end = ends;
	tell("pause %s until %s", name, ends != NEVER ? until : "for ever");
}

/* A tenant goes on also while everything is paused. */
static void
end_pause(int tenant)
{
	struct pause *p;
	char name[64];
	int ended;

	assert_int_equal(pauses_end(b, scope(tenant, name), "me", &ended),
	    DB_OK);
	for (p = pauses; p < &pauses[npauses]; p++) {
		if (p->ends > now && (tenant == TENANTS ? p->of_all :
		    p->tenant == tenant))
			p->ends = now;
	}
	if (tenant == TENANTS && all_end > now)
		all_end = now;
	tell("resume %s", name);
}

/* Whoever retries a dead letter has seen to what was wrong with it. */
static void
retry(void)
{
	int i, done, k = npersons > 0 ? pick(0, npersons - 1) : 0;
	struct person *p;

	for (i = 0; i < npersons; i++) {
		p = &persons[(i + k) % npersons];
		if (!p->is_dead || !p->is_wanted)
			continue;
		changed(p);
		p->illness = HEALTHY;
		p->s.asked = happens(50);
		assert_int_equal(booking_retry(b, p->id, p->s.asked, "me",
		    &done), DB_OK);
		tell("retry %s%s", p->id, p->s.asked ? ", late" : "");
		if (!done)
			fault(p, "a dead letter could not be retried");
		return;
	}
}

/*
 * What goes wrong.
 */

static void
add_event(int64_t at, enum event_kind kind)
{

	assert_true(nevents < EVENTS_MAX);
	events[nevents++] = (struct event){ .at = at, .kind = kind };
}

static void
agent_fails(void)
{

	if (agent_is != UP)
		return;
	agent_is = (enum agent_state)pick(AWAY, BUSY);
	witness = NULL;
	has_witnesses = 0;
	healthy_from = NEVER;
	add_event(at_minute(now, 2, happens(20) ? 600 : 60), AGENT_UP);
	tell("agent down: %d", (int)agent_is);
}

static void
queue_fails(void)
{

	if (queue.is_away || queue.fails > 0)
		return;
	if (happens(50))
		queue.is_away = 1;
	else
		queue.fails = pick(10, 40);
	healthy_from = NEVER;
	add_event(at_minute(now, 1, 60), QUEUE_UP);
	tell("queue fails: %d", queue.fails);
}

static void
is_well_again(void)
{

	if (agent_is == UP && !queue.is_away && queue.fails == 0)
		healthy_from = now + RECOVERY;
	tell("agent %d, queue %d", (int)agent_is, queue.fails);
}

/* An operator purges the queue of a task. */
static void
lose_task(void)
{
	struct task *t = next_task();
	const char *id;

	if (t == NULL)
		return;
	id = strstr(t->name, "/followup-") + strlen("/followup-");
	find_person(id)->lost_task = 1;
	remove_task(t);
	tell("lost: %s", t->name);
}

/*
 * The voice agent, in place of voice_agent.c.
 */

/* Whoever asks for the call of ${p}, due at ${due}, may do so now. */
static void
check_request(const struct person *p, int64_t due)
{
	enum opinion o = opinion(&p->s, now);

	requests++;
	if (p->is_called)
		fault(p, "called twice");
	else if (!p->is_wanted || p->is_dead)
		fault(p, "called although nobody wants that any more");
	else if (due != p->s.due)
		fault(p, "called for a time at which it is not due");
	else if (o == MUST_WAIT)
		fault(p, "called although it has to wait");
	else if (o == TOO_LATE)
		fault(p, "called although it is too late");
}

static enum voice_agent_outcome
answer(struct voice_agent_error *error, long http_status, const char *text)
{

	error->http_status = http_status;
	(void)snprintf(error->text, sizeof(error->text), "%s", text);
	error->ms = 5;
	return (VOICE_AGENT_NOT_STARTED);
}

static enum voice_agent_outcome
ask(struct person *p, struct voice_agent_error *error)
{

	if (agent_is != UP) {
		has_witnesses |= witness != NULL && witness != p;
		witness = p;
	}
	switch (agent_is) {
	case UP:
		break;
	case AWAY:
		return (answer(error, 503, "the agent is away"));
	case UNREACHABLE:
		error->no_connection = 1;
		return (answer(error, 0, "no connection"));
	case BUSY:
		error->retry_after = pick(1, 90);
		return (answer(error, 429, "the agent is busy"));
	}
	switch (p->illness) {
	case HEALTHY:
		break;
	case REFUSED:
		(void)answer(error, 422, "the agent does not want it");
		return (VOICE_AGENT_REFUSED);
	case FAILING:
		(void)answer(error, 500, "the agent fails with it");
		return (VOICE_AGENT_UNKNOWN);
	}
	p->is_called = 1;
	calls++;
	error->http_status = 202;
	return (VOICE_AGENT_STARTED);
}

enum voice_agent_outcome
voice_agent_start(struct voice_agent *agent,
    const struct voice_agent_call *call, struct voice_agent_error *error)
{
	struct person *p;
	const char *id = call->message_id + strlen("followup-");

	(void)agent;
	p = find_person(id);
	tell("call %s", call->message_id);
	check_request(p, strtoll(id + UUID_LEN, NULL, 10) * SECOND);
	set_clock(now + pick(1, 2000) * (SECOND / 1000));
	if (happens(5))
		change_booking();
	return (ask(p, error));
}

/*
 * The programs.
 */

/*
 * ${p} was given up, for ${reason}.  Whose fault a failure of the agent is
 * cannot be told as long as only one asks.
 */
static void
given_up(struct person *p, const char *reason)
{

	tell("dead %s: %s", p->id, reason);
	if (p->is_dead)
		return;
	p->is_dead = 1;
	deaths++;
	if (*reason == '\0')
		fault(p, "given up without a reason");
	if (p->illness == HEALTHY && strstr(reason, "queue fails") == NULL &&
	    (has_witnesses || strstr(reason, "agent is away") == NULL) &&
	    opinion(&p->s, now) < TOO_LATE) {
		fault(p, "given up although it may still be called:");
		print_message("#   %s\n", reason);
	}
}

/* Call back as the queue does. */
static void
fire(struct task *t)
{
	struct execute_callback callback = { .task_id = strrchr(t->name,
	    '/') + 1 };
	struct execute_result result;
	size_t i = (size_t)(t - queue.tasks);
	json_t *body = json_loads(t->body, 0, NULL);
	struct person *p = find_person(json_string_value(json_object_get(body,
	    "bookingId")));

	fired++;
	t->dispatches++;
	t->at = NEVER;
	memcpy(callback.booking_id, p->id, sizeof(callback.booking_id));
	callback.tenant_id = json_string_value(json_object_get(body,
	    "tenantId"));
	assert_int_equal(rfc3339_parse(json_string_value(json_object_get(body,
	    "scheduledAt")), &callback.scheduled_at), 0);
	execute_booking(&execute, &callback, &result);
	tell("fired %s: %d %s", callback.task_id, (int)result.outcome,
	    result.reason);
	json_decref(body);

	/* There may be more tasks by now, elsewhere in memory. */
	t = &queue.tasks[i];
	switch (result.outcome) {
	case EXECUTE_GIVEN_UP:
		given_up(p, result.reason);
		break;
	case EXECUTE_MISMATCH:
		fault(p, "a task does not fit its booking");
		break;
	case EXECUTE_LATER:
	case EXECUTE_BUSY:
		again(t);
		return;
	case EXECUTE_DEFERRED:
		sweep_soon();
		break;
	default:
		break;
	}
	remove_task(t);
}

static void
fire_due(void)
{
	struct task *t;

	while ((t = next_task()) != NULL && t->at <= now)
		fire(t);
}

/* While the queue is asked: a task may fire before it is written. */
static void
meanwhile(void)
{

	set_clock(now + pick(0, 50) * (SECOND / 1000));
	if (happens(50))
		fire_due();
	if (happens(2))
		change_booking();
}

/*
 * What followup-listener posts.  A booking that was given up and then moved,
 * before all of them were answered, is pending again.
 */
static void
post(const char *const *ids, size_t n)
{
	struct schedule_result results[SCHEDULE_BATCH];
	int changes[SCHEDULE_BATCH];
	struct person *p;
	size_t i;

	for (i = 0; i < n; i++)
		changes[i] = find_person(ids[i])->changes;
	schedule_bookings(&schedule, ids, n, results);
	for (i = 0; i < n; i++) {
		p = find_person(ids[i]);
		tell("posted %s: %d %s", ids[i], (int)results[i].outcome,
		    results[i].reason);
		if (results[i].outcome == SCHEDULE_GIVEN_UP &&
		    p->changes == changes[i])
			given_up(p, results[i].reason);
	}
}

/* Put the ids of ${result} into ${ids}, each once. */
static size_t
take_ids(const PGresult *result, const char *ids[BOOKINGS_MAX])
{
	const char *id;
	size_t k, n = 0;
	int i;

	for (i = 0; i < PQntuples(result); i++) {
		id = PQgetvalue(result, i, 0);
		for (k = 0; k < n && strcmp(ids[k], id) != 0; k++)
			;
		if (k == n)
			ids[n++] = id;
	}
	return (n);
}

/* One sweep, as listener/sweep.c makes it. */
static void
sweep_table(void)
{
	const char *params[] = { "86400", BOOKINGS_SWEEP_START, "1000",
	    now >= overdue_at ? "300" : NULL };
	const char *ids[5 * BOOKINGS_MAX];
	PGresult *result;
	size_t i, n;

	if (now >= overdue_at)
		overdue_at = now + MINUTE;
	result = PQexecPrepared(app, "sweep", 5, params, NULL, NULL, 0);
	if (PQresultStatus(result) != PGRES_TUPLES_OK)
		fail_msg("%s", PQerrorMessage(app));
	sweeps++;
	n = take_ids(result, ids);
	for (i = 0; i < n; i += SCHEDULE_BATCH)
		post(&ids[i], n - i < SCHEDULE_BATCH ? n - i : SCHEDULE_BATCH);
	PQclear(result);
}

/*
 * Time.
 */

/*
 * Nobody may wait too long for a call that all could make.  For whom it is too
 * late waits until its task comes, which is not counted.
 */
static void
count_waiting(int64_t from, int64_t to)
{
	struct person *p;
	int64_t t, begins;

	for (p = persons; p < &persons[npersons]; p++) {
		if (!is_open_person(p) || p->illness != HEALTHY)
			continue;
		begins = from > p->s.due ? from : p->s.due;
		if (begins < p->changed_at)
			begins = p->changed_at;
		if (begins < healthy_from)
			begins = healthy_from;
		if (begins >= to || is_late(&p->s, to, to) != MAY_CALL)
			continue;
		for (t = (begins / MINUTE + 1) * MINUTE; t <= to; t += MINUTE)
			p->waited += is_allowed(&p->s, t) ? MINUTE : 0;
		if (p->waited > (p->lost_task ? PATIENCE_LOST : PATIENCE)) {
			fault(p, "waits although it may be called");
			p->waited = INT64_MIN / 2;
		}
	}
}

static int
is_anybody_open(void)
{
	int i;

	for (i = 0; i < npersons; i++) {
		if (is_open_person(&persons[i]))
			return (1);
	}
	return (0);
}

/* The sweep comes soon after a pause has ended. */
static void
notice_ends(int64_t from)
{
	int i;

	for (i = 0; i < npauses; i++) {
		if (pauses[i].ends > from && pauses[i].ends <= now)
			sweep_soon();
	}
}

/* The next time at which a pause ends, or ${until}. */
static int64_t
next_end(int64_t until)
{
	int i;

	for (i = 0; i < npauses; i++) {
		if (pauses[i].ends > now && pauses[i].ends < until)
			until = pauses[i].ends;
	}
	return (until);
}

/* Let time pass until ${target}, and the programs do their work. */
static void
run_until(int64_t target)
{
	const struct task *t;
	int64_t next, before;

	while (now < target) {
		next = next_end(sweep_at < target ? sweep_at : target);
		if ((t = next_task()) != NULL && t->at < next)
			next = t->at > now ? t->at : now;
		before = now;
		if (next > now)
			set_clock(next);
		notice_ends(before);
		fire_due();
		if (now >= sweep_at) {
			sweep_table();
			sweep_pause *= 3;
			if (sweep_pause > SWEEP_AT_LAST)
				sweep_pause = is_anybody_open() ?
				    SWEEP_AT_LAST : DAY;
			sweep_at = now + sweep_pause;
		}
		count_waiting(before, now);
	}
}

/* Something that did not happen by itself. */
static void
do_something(void)
{
	int i, what = pick(1, 100);

	if (what <= 40)
		for (i = pick(1, 4); i > 0; i--)
			book();
	else if (what <= 52)
		change_booking();
	else if (what <= 62)
		set_hours(happens(30) ? 0 : pick(1, HOURS_MAX));
	else if (what <= 65)
		set_within();
	else if (what <= 73)
		begin_pause();
	else if (what <= 83)
		end_pause(pick(0, TENANTS));
	else if (what <= 87)
		retry();
	else if (what <= 91)
		agent_fails();
	else if (what <= 95)
		queue_fails();
	else if (what <= 97)
		lose_task();
	else
		queue.ahead = pick(-180, 180) * SECOND;
}

static void
do_event(enum event_kind kind)
{
	int i;

	switch (kind) {
	case SOMETHING:
		do_something();
		break;
	case AGENT_UP:
		agent_is = UP;
		is_well_again();
		break;
	case QUEUE_UP:
		queue.is_away = queue.fails = 0;
		is_well_again();
		break;
	case ALL_RESUMED:
		set_hours(0);
		for (i = 0; i <= TENANTS; i++)
			end_pause(i);
		for (i = 0; i < npersons; i++)
			persons[i].illness = HEALTHY;
		break;
	}
	sweep_soon();
}

/* Bursts of a day each; some where clocks change somewhere. */
static void
plan_year(void)
{
	static const int changes[] = { 69, 90, 97, 279, 300, 307 };
	int64_t at;
	int i, n;

	for (i = 0; i < BURSTS; i++) {
		at = (size_t)i < NITEMS(changes) ?
		    BEGINS + changes[i] * DAY - 20 * HOUR :
		    at_minute(BEGINS, 0, 363 * 1440);
		for (n = pick(10, 30); n > 0; n--) {
			add_event(at, SOMETHING);
			at = at_minute(at, 1, 120);
		}
	}
	add_event(BEGINS + YEAR, ALL_RESUMED);
}

/* Take the next event out; return 0 if there is none. */
static int
next_event(struct event *next)
{
	int i, first = 0;

	if (nevents == 0)
		return (0);
	for (i = 1; i < nevents; i++) {
		if (events[i].at < events[first].at)
			first = i;
	}
	*next = events[first];
	events[first] = events[--nevents];
	return (1);
}

/*
 * The test.
 */

/* How ${p} has ended: its row has this ${status} and ${task}, or none. */
static void
check_end(const struct person *p, const char *status, const char *task,
    const char *reason)
{
	const struct task *t;

	if (p->is_called && strcmp(status, "executed") != 0)
		fault(p, "called, and not executed");
	else if (p->is_called || !p->is_wanted)
		return;
	else if (strcmp(status, "failed") == 0) {
		if (*reason == '\0' || !p->is_dead)
			fault(p, "failed without a reason");
	} else if (strcmp(status, "pending") == 0) {
		if (p->s.due < now + 29 * DAY)
			fault(p, "pending without a task");
	} else if (strcmp(status, "scheduled") != 0)
		fault(p, "neither called nor given up");
	else if ((t = find_task(task)) == NULL || t->gone_at != 0)
		fault(p, "scheduled without a task");
	else if (p->s.due < now)
		fault(p, "waits for ever");
}

static void
check_ends(void)
{
	PGresult *result = PQexec(app, "SELECT b.id, b.task_status, "
	    "coalesce(b.task_name, ''), coalesce(d.error, '') "
	    "FROM lead_bookings b LEFT JOIN followup_dead_letters d "
	    "ON d.booking_id = b.id ORDER BY b.id");
	int i;

	assert_int_equal(PQresultStatus(result), PGRES_TUPLES_OK);
	for (i = 0; i < PQntuples(result); i++)
		check_end(find_person(PQgetvalue(result, i, 0)),
		    PQgetvalue(result, i, 1), PQgetvalue(result, i, 2),
		    PQgetvalue(result, i, 3));
	PQclear(result);
}

static void
prepare_sweep(void)
{
	char *sql = bookings_sweep_sql(&conf);
	PGresult *result;

	assert_non_null(sql);
	result = PQprepare(app, "sweep", sql, 0, NULL);
	if (PQresultStatus(result) != PGRES_COMMAND_OK)
		fail_msg("%s", PQerrorMessage(app));
	PQclear(result);
	free(sql);
}

static int
install(void **state)
{
	static const struct breaker_service agent = {
		.name = "the voice agent", .nothing = "call is begun",
		.state = METRICS_N, .opened = METRICS_BREAKER_AGENT_OPENED,
		.probe_ms = 45000 };

	(void)state;
	be_quiet();
	conf.execution_endpoint = "https://x/bookings";
	conf.max_schedule_attempts = 10;
	conf.max_execution_attempts = 8;
	conf.overdue_grace = 300;
	conf.unknown_outcome = "retry";
	set_clock(BEGINS);
	learn_zones(BEGINS - 70 * DAY, BEGINS + YEAR + 120 * DAY);
	install_into("", "ALTER TABLE " SCHEMA ".lead_bookings "
	    "ADD call_before timestamptz, ADD call_not_before timestamptz");
	app = connect_app();
	run("INSERT INTO leads VALUES ('" ID "', 'A', 'B', '+15550100')");
	run("INSERT INTO followup_settings VALUES "
	    "('calling_zone', 'Europe/London')");
	begin_daemon();
	assert_non_null(xdb = db_new(&conf, "execute"));
	assert_non_null(breaker = breaker_new(&agent, NULL));
	prepare_sweep();
	execute = (struct execute){ .conf = &conf, .breaker = breaker,
	    .bookings = bookings_new(&conf, xdb) };
	schedule = (struct schedule){ .conf = &conf, .bookings = b,
	    .tasks = &queue };
	queue.meanwhile = meanwhile;
	queue.burnt_for = happens(50) ? HOUR : 9 * DAY;
	assert_int_equal(bookings_ready(b), DB_OK);
	return (0);
}

static int
uninstall(void **state)
{

	(void)state;
	end_daemon();
	bookings_free(execute.bookings);
	db_free(xdb);
	breaker_free(breaker);
	forget_tasks();
	forget_zones();
	remove_schema();
	return (0);
}

static void
a_year(void **state)
{
	struct event event;

	(void)state;
	plan_year();
	sweep_at = now;
	sweep_pause = SWEEP_SOON;
	while (next_event(&event)) {
		run_until(event.at);
		do_event(event.kind);
	}
	run_until(BEGINS + YEAR + SETTLING);
	check_ends();
	print_message("# %d bookings, %d requests, %d calls, %d dead letters, "
	    "%d callbacks, %d sweeps, %d pauses\n", npersons, requests,
	    calls, deaths, fired, sweeps, npauses);
	assert_true(calls > npersons / 4);
	assert_int_equal(faults, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_year),
	};
	const char *text = getenv("SEED");
	unsigned long long seed = text != NULL ? strtoull(text, NULL, 10) : 1;

	if (begin_simulation(seed) != 0) {
		(void)puts("1..0 # SKIP libfaketime is not installed, or the "
		    "server does not run with it");
		return (0);
	}
	(void)printf("# SEED=%llu\n", seed);
	return (cmocka_run_group_tests_name("a year", tests, install,
	    uninstall));
}
