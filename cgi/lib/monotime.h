#ifndef MONOTIME_H_
#define MONOTIME_H_

/**
 * monotime_ms():
 * Return the milliseconds of a clock that only goes forward, whatever is done
 * to the time of day.
 */
long monotime_ms(void);

/**
 * monotime_pause(ms):
 * Sleep for ${ms} milliseconds, or until a signal comes.
 */
void monotime_pause(long);

#endif /* !MONOTIME_H_ */
