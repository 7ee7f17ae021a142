#include <sys/socket.h>
#include <sys/un.h>

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "systemd.h"

/* Send ${state} to whoever started us. */
static void
notify(const char *state)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len;
	int fd;

	/* A path, or a name without one, which is written with @. */
	if (path == NULL || (*path != '/' && *path != '@') ||
	    (len = strlen(path)) >= sizeof(addr.sun_path))
		return;
	memcpy(addr.sun_path, path, len);
	if (*path == '@')
		addr.sun_path[0] = '\0';
	if ((fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) < 0)
		return;
	(void)sendto(fd, state, strlen(state), MSG_NOSIGNAL,
	    (struct sockaddr *)&addr,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
	(void)close(fd);
}

/**
 * systemd_ready():
 * The program does its work from now on.
 */
void
systemd_ready(void)
{

	notify("READY=1");
}

/**
 * systemd_stopping():
 * The program finishes what it is at, and leaves.
 */
void
systemd_stopping(void)
{

	notify("STOPPING=1");
}

/* Half of what the watchdog allows, in milliseconds; -1 if there is none. */
static long
watchdog_interval(void)
{
	const char *usec = getenv("WATCHDOG_USEC");
	const char *pid = getenv("WATCHDOG_PID");
	long interval;

	if (usec == NULL || (pid != NULL && strtol(pid, NULL, 10) != getpid()))
		return (-1);
	interval = strtol(usec, NULL, 10) / 2000;
	return (interval > 0 ? interval : -1);
}

/**
 * systemd_alive(now):
 * The main loop has come round at ${now} (ms of the monotonic clock).  Tell
 * the watchdog if it is time.  Return how long until it is time again, in
 * milliseconds; -1 if there is no watchdog.
 */
long
systemd_alive(long now)
{
	static long next = 0;
	long interval = watchdog_interval();

	if (interval < 0)
		return (-1);
	if (now >= next) {
		notify("WATCHDOG=1");
		next = now + interval;
	}
	return (next - now);
}
