#ifndef RULES_H_
#define RULES_H_

#include <time.h>

#include "simulated.h"

/*
 * The rules of the gate, looked up minute by minute: a second opinion that has
 * nothing in common with sql/part-gate.sql.  Local times are the C library's.
 */

#define TENANTS		3
#define QUARTER		(15 * MINUTE)	/* clocks change only then */
#define HOURS_MAX	3
#define PAUSES_MAX	1000
#define WEEKS_MAX	1000
#define LOOK_AHEAD	(8 * 24 * 60)	/* minutes */

/* Zones as a booking names them, and what the C library calls them. */
static const struct zone {
	const char *name;
	const char *tz;			/* NULL: there is no such zone */
} zones[] = {
	{ "Europe/Berlin", "Europe/Berlin" },
	{ "America/New_York", "America/New_York" },
	{ "Australia/Lord_Howe", "Australia/Lord_Howe" },
	{ "+05:45", "Asia/Kathmandu" },
	{ "UTC-3", "Etc/GMT+3" },
	{ "", "Europe/London" },	/* the calling zone */
	{ NULL, "Europe/London" },
	{ "Mars/Olympus", NULL },
};
#define ZONES	(sizeof(zones) / sizeof(zones[0]))

/* East of Greenwich, in minutes, for each quarter of an hour. */
static int *offsets[ZONES];
static int64_t offsets_from;

/* From Monday at 00:00; d1 and d2 from 0; closes may be before opens. */
struct hours {
	int d1, d2, opens, closes;
};

/* What was set at ${begins}, and is in force until the next; at first none. */
static struct week {
	int64_t begins;
	int n;				/* 0: no hours are set */
	struct hours hours[HOURS_MAX];
} weeks[WEEKS_MAX];
static int nweeks = 1;
static int64_t call_within = 4 * HOUR;

/* What held a tenant, from ${begins} on, until ${ends}. */
static struct pause {
	int tenant;
	int of_all;			/* everything was paused */
	int64_t begins, ends;
} pauses[PAUSES_MAX];
static int npauses;

struct subject {
	int tenant;
	int zone;
	int64_t due;
	int64_t not_before;		/* 0: at any time */
	int64_t before;			/* NEVER: call_within says */
	int asked;			/* for its call, however late it is */
};

enum opinion {
	MAY_CALL,
	MUST_WAIT,
	TOO_LATE,			/* or for another reason never */
	UNSURE,				/* it is a matter of minutes */
};

/* Find out how clocks go from ${from} to ${to}. */
static inline void
learn_zones(int64_t from, int64_t to)
{
	size_t i, k, n = (size_t)((to - from) / QUARTER);
	struct tm tm;
	time_t t;

	offsets_from = from;
	for (i = 0; i < ZONES; i++) {
		if (zones[i].tz == NULL)
			continue;
		offsets[i] = calloc(n, sizeof(int));
		assert_non_null(offsets[i]);
		(void)setenv("TZ", zones[i].tz, 1);
		tzset();
		for (k = 0; k < n; k++) {
			t = (time_t)((from + (int64_t)k * QUARTER) / SECOND);
			assert_non_null(localtime_r(&t, &tm));
			offsets[i][k] = (int)(tm.tm_gmtoff / 60);
		}
	}
	(void)setenv("TZ", "UTC", 1);
	tzset();
}

static inline void
forget_zones(void)
{
	size_t i;

	for (i = 0; i < ZONES; i++)
		free(offsets[i]);
}

/* Is the tenant of ${s} paused at ${t}? */
static inline int
is_held(const struct subject *s, int64_t t)
{
	const struct pause *p;

	for (p = pauses; p < &pauses[npauses]; p++) {
		if (p->tenant == s->tenant && t >= p->begins && t < p->ends)
			return (1);
	}
	return (0);
}

/* The week that is in force at ${t}; if that is to come, as far as is known. */
static inline const struct week *
week_at(int64_t t)
{
	const struct week *w = &weeks[nweeks - 1];

	while (w > weeks && w->begins > t)
		w--;
	return (w);
}

/* Is ${day} between d1 and d2, and minute ${m} of it within these hours? */
static inline int
is_within(const struct hours *h, int day, int m)
{
	int closes = h->closes + (h->closes <= h->opens ? 1440 : 0);

	return ((h->d1 <= h->d2 ? day >= h->d1 && day <= h->d2 :
	    day >= h->d1 || day <= h->d2) && m >= h->opens && m < closes);
}

/* Do calling hours let ${s} be called at ${t}? */
static inline int
is_open(const struct subject *s, int64_t t)
{
	const struct week *w = week_at(t);
	int64_t wall;
	int i, day, m;

	if (w->n == 0)
		return (1);
	if (zones[s->zone].tz == NULL)
		return (0);
	wall = t / MINUTE + offsets[s->zone][(t - offsets_from) / QUARTER];
	day = (int)((wall / 1440 + 3) % 7);	/* 1970 began on a Thursday */
	m = (int)(wall % 1440);
	for (i = 0; i < w->n; i++) {
		if (is_within(&w->hours[i], day, m) ||
		    is_within(&w->hours[i], (day + 6) % 7, m + 1440))
			return (1);
	}
	return (0);
}

/* Could ${s} have been called at ${t}, had that been in time? */
static inline int
is_allowed(const struct subject *s, int64_t t)
{

	return (t >= s->not_before && !is_held(s, t) && is_open(s, t));
}

/* For how long could ${s} have been called before ${t}? */
static inline int64_t
lateness(const struct subject *s, int64_t t)
{
	int64_t m = s->due > s->not_before ? s->due : s->not_before;
	int64_t late = 0;

	for (; m < t; m += MINUTE)
		late += is_allowed(s, m) ? MINUTE : 0;
	return (late);
}

/* When can ${s} be called, from ${t} on?  NEVER: it is not known. */
static inline int64_t
first_allowed(const struct subject *s, int64_t t)
{
	int i;

	for (i = 0; i < LOOK_AHEAD && !is_allowed(s, t); i++)
		t = (t / MINUTE + 1) * MINUTE;
	return (i < LOOK_AHEAD ? t : NEVER);
}

/* Is it too late for ${s} at ${t}, if it can be called at ${first} then? */
static inline enum opinion
is_late(const struct subject *s, int64_t t, int64_t first)
{
	int64_t late;

	if (s->before != NEVER)
		return (s->before <= first ? TOO_LATE : MAY_CALL);
	late = s->asked ? 0 : lateness(s, t);
	if (late > call_within + 10 * MINUTE)
		return (TOO_LATE);
	return (late > call_within - 10 * MINUTE ? UNSURE : MAY_CALL);
}

/* Is the tenant of ${s} paused without end? */
static inline int
is_held_for_ever(const struct subject *s)
{

	return (is_held(s, NEVER - 1));
}

/* May ${s} be called at ${t}?  If it is due later, then. */
static inline enum opinion
opinion(const struct subject *s, int64_t t)
{
	int64_t wanted = t > s->due ? t : s->due;
	int64_t start = wanted > s->not_before ? wanted : s->not_before;
	int64_t first;
	enum opinion late;

	if (is_held(s, start))
		return (MUST_WAIT);
	if (week_at(start)->n > 0 && zones[s->zone].tz == NULL)
		return (TOO_LATE);
	first = first_allowed(s, start);
	if ((late = is_late(s, wanted, first)) != MAY_CALL)
		return (late);
	if (first == NEVER)
		return (is_held_for_ever(s) ? MUST_WAIT : TOO_LATE);
	return (first > wanted ? MUST_WAIT : MAY_CALL);
}

#endif /* !RULES_H_ */
