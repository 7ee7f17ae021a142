#ifndef SYSTEMD_H_
#define SYSTEMD_H_

/*
 * Telling systemd how we are (sd_notify(3), protocol of NOTIFY_SOCKET), without
 * its library.  Where nobody set NOTIFY_SOCKET, nothing happens.
 */

/**
 * systemd_ready():
 * The program does its work from now on.
 */
void systemd_ready(void);

/**
 * systemd_stopping():
 * The program finishes what it is at, and leaves.
 */
void systemd_stopping(void);

/**
 * systemd_alive(now):
 * The main loop has come round at ${now} (ms of the monotonic clock).  Tell
 * the watchdog if it is time.  Return how long until it is time again, in
 * milliseconds; -1 if there is no watchdog.
 */
long systemd_alive(long);

#endif /* !SYSTEMD_H_ */
