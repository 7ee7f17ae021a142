#ifndef SIMULATED_H_
#define SIMULATED_H_

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "backoff.h"
#include "monotime.h"

#include "../../unit/unit.h"

/*
 * Time and chance as the test has them.  The server of tests/sql/run takes its
 * clock from the file FOLLOWUP_CLOCK, through libfaketime; the product takes
 * the monotonic clock and its jitter from here.  Time stands still but for
 * set_clock.  Times are microseconds since 1970.
 */

#define SECOND	INT64_C(1000000)
#define MINUTE	(60 * SECOND)
#define HOUR	(60 * MINUTE)
#define DAY	(24 * HOUR)
#define NEVER	INT64_MAX

static int64_t now;
static int clock_fd = -1;
static uint64_t chance;			/* state of the generator */

/* Begin with ${seed}.  Return 0; or -1: there is no such clock. */
static inline int
begin_simulation(uint64_t seed)
{
	const char *path = getenv("FOLLOWUP_CLOCK");

	chance = seed;
	if (path == NULL)
		return (-1);
	clock_fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	assert_true(clock_fd >= 0);
	return (0);
}

static inline void
set_clock(int64_t time)
{
	char text[32];
	int n;

	assert_true(time >= now);
	now = time;
	n = snprintf(text, sizeof(text), "%010lld.%06lld\n",
	    (long long)(now / SECOND), (long long)(now % SECOND));
	assert_int_equal(pwrite(clock_fd, text, (size_t)n, 0), n);
}

/* A number from ${low} to ${high}, by splitmix64. */
static inline int
pick(int low, int high)
{
	uint64_t z = chance += 0x9e3779b97f4a7c15U;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9U;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebU;
	z ^= z >> 31;
	return (low + (int)(z % (uint64_t)(high - low + 1)));
}

/* Does that happen which happens ${percent} times out of 100? */
static inline int
happens(int percent)
{

	return (pick(1, 100) <= percent);
}

/* In place of monotime.c and backoff.c. */
long
monotime_ms(void)
{

	return ((long)(now / 1000));
}

void
monotime_pause(long ms)
{

	set_clock(now + ms * 1000);
}

long
backoff_ms(int attempt, long base_ms, long cap_ms)
{
	long top = base_ms;

	while (--attempt > 0 && top < cap_ms)
		top *= 2;
	return (pick(0, (int)(top < cap_ms ? top : cap_ms)));
}

#endif /* !SIMULATED_H_ */
