#ifndef BACKOFF_H_
#define BACKOFF_H_

/**
 * backoff_ms(attempt, base_ms, cap_ms):
 * Return how long to wait after the ${attempt}th failure in a row (1 is the
 * first), in milliseconds: exponential with full jitter, a random time from
 * 0 to min(${cap_ms}, ${base_ms} * 2^(${attempt} - 1)), so that many who
 * failed together do not come back together.
 */
long backoff_ms(int, long, long);

#endif /* !BACKOFF_H_ */
