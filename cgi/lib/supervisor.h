#ifndef SUPERVISOR_H_
#define SUPERVISOR_H_

/*
 * Telling systemd how we are (sd_notify(3), protocol of NOTIFY_SOCKET), without
 * its library.  Where no supervisor asked, nothing happens.
 */

/**
 * supervisor_ready():
 * The program does its work from now on.
 */
void supervisor_ready(void);

/**
 * supervisor_stopping():
 * The program finishes what it is at, and leaves.
 */
void supervisor_stopping(void);

/**
 * supervisor_alive(now):
 * The main loop has come round at ${now} (ms of the monotonic clock).  Tell
 * the watchdog if it is time.  Return how long until it is time again, in
 * milliseconds; -1 if there is no watchdog.
 */
long supervisor_alive(long);

#endif /* !SUPERVISOR_H_ */
