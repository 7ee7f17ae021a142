#include <time.h>

#include "monotime.h"

/**
 * monotime_ms():
 * Return the milliseconds of a clock that only goes forward, whatever is done
 * to the time of day.
 */
long
monotime_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (t.tv_sec * 1000 + t.tv_nsec / 1000000);
}

/**
 * monotime_pause(ms):
 * Sleep for ${ms} milliseconds, or until a signal comes.
 */
void
monotime_pause(long ms)
{
	struct timespec t = { .tv_sec = ms / 1000,
	    .tv_nsec = ms % 1000 * 1000000 };

	(void)nanosleep(&t, NULL);
}
