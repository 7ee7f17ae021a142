#ifndef MONOTIME_H_
#define MONOTIME_H_

/**
 * monotime_ms():
 * Return the milliseconds of a clock that only goes forward, whatever is done
 * to the time of day.
 */
long monotime_ms(void);

#endif /* !MONOTIME_H_ */
