#include <sys/random.h>

#include <stdint.h>

#include "backoff.h"

/**
 * backoff_ms(attempt, base_ms, cap_ms):
 * Return how long to wait after the ${attempt}th failure in a row (1 is the
 * first), in milliseconds: exponential with full jitter, a random time from
 * 0 to min(${cap_ms}, ${base_ms} * 2^(${attempt} - 1)), so that many who
 * failed together do not come back together.
 */
long
backoff_ms(int attempt, long base_ms, long cap_ms)
{
	uint32_t r = 0;
	long top = base_ms;

	while (--attempt > 0 && top < cap_ms)
		top *= 2;
	if (top > cap_ms)
		top = cap_ms;

	/* Where there is no randomness, waiting the whole time is safe. */
	if (getrandom(&r, sizeof(r), GRND_NONBLOCK) != sizeof(r))
		return (top);
	return ((long)((uint64_t)r * (uint64_t)(top + 1) >> 32));
}
