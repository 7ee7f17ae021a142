#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "systemd.h"

#include "unit.h"

/*
 * The watchdog's next time is kept from call to call, so that each test has a
 * time of its own, later than all before.
 */
static long now;

static char dir[56];
static char path[80];
static int fd = -1;

static int
setup(void **state)
{

	const char *tmp = getenv("TMPDIR");

	(void)state;

	/* The path of a socket is short. */
	(void)snprintf(dir, sizeof(dir), "%s/systemd.XXXXXX",
	    tmp != NULL && strlen(tmp) < 32 ? tmp : "/tmp");
	return (mkdtemp(dir) != NULL ? 0 : -1);
}

static int
teardown(void **state)
{

	(void)state;
	return (rmdir(dir));
}

/* Be systemd at ${name}, which is written as in NOTIFY_SOCKET. */
static void
listen_at(const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(name);

	assert_true(len < sizeof(addr.sun_path));
	memcpy(addr.sun_path, name, len);
	if (name[0] == '@')
		addr.sun_path[0] = '\0';
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr,
	    (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)), 0);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
}

/* The next message must be exactly ${want}; with NULL there must be none. */
static void
check_told(const char *want)
{
	char got[64];
	ssize_t n = recv(fd, got, sizeof(got) - 1, 0);

	if (want == NULL) {
		assert_int_equal(n, -1);
		assert_int_equal(errno, EAGAIN);
		return;
	}
	assert_true(n >= 0);
	got[n] = '\0';
	assert_string_equal(got, want);
}

/* Before each test: systemd at a path, without a watchdog. */
static int
begin(void **state)
{

	(void)state;
	now += 1000000;
	(void)snprintf(path, sizeof(path), "%s/notify", dir);
	listen_at(path);
	(void)unsetenv("WATCHDOG_USEC");
	(void)unsetenv("WATCHDOG_PID");
	return (0);
}

static int
end(void **state)
{

	(void)state;
	(void)unsetenv("NOTIFY_SOCKET");
	(void)close(fd);
	return (unlink(path));
}

static void
test_states(void **state)
{

	(void)state;
	systemd_ready();
	check_told("READY=1");
	systemd_stopping();
	check_told("STOPPING=1");
	check_told(NULL);
}

/* A name in the abstract namespace is as long as it is written. */
static void
test_abstract(void **state)
{
	char name[80];

	(void)state;
	(void)close(fd);
	(void)snprintf(name, sizeof(name), "@followup%s", dir);
	listen_at(name);
	systemd_ready();
	check_told("READY=1");
	assert_int_equal(setenv("WATCHDOG_USEC", "2000000", 1), 0);
	assert_int_equal(systemd_alive(now), 1000);
	check_told("WATCHDOG=1");
	systemd_stopping();
	check_told("STOPPING=1");

	/* One that merely begins like it is another. */
	(void)snprintf(name, sizeof(name), "@followup%sx", dir);
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	systemd_ready();
	check_told(NULL);
}

/* The longest path there can be still works; a longer one is no socket. */
static void
test_length(void **state)
{
	struct sockaddr_un addr;
	char name[sizeof(addr.sun_path) + 1];
	size_t len = strlen(dir);

	(void)state;
	memset(name, 'n', sizeof(name));
	memcpy(name, dir, len);
	name[len] = '/';
	name[sizeof(addr.sun_path) - 1] = '\0';
	(void)close(fd);
	listen_at(name);
	systemd_ready();
	check_told("READY=1");
	assert_int_equal(unlink(name), 0);

	name[sizeof(addr.sun_path) - 1] = 'n';
	name[sizeof(addr.sun_path)] = '\0';
	assert_int_equal(setenv("NOTIFY_SOCKET", name, 1), 0);
	systemd_ready();
	check_told(NULL);
}

/* Nobody asked, or whoever asked cannot be reached: that stops nobody. */
static void
test_nobody(void **state)
{
	static const char *const names[] = { "", "notify", "./notify",
	    "vsock:2:1234", "/", "/dev/null", "@", "/tmp" };
	char gone[128];
	int lowest = dup(fd), again;
	size_t i;

	(void)state;
	assert_true(lowest >= 0);
	(void)close(lowest);
	assert_int_equal(setenv("WATCHDOG_USEC", "2000000", 1), 0);
	for (i = 0; i < NITEMS(names); i++) {
		assert_int_equal(setenv("NOTIFY_SOCKET", names[i], 1), 0);
		systemd_ready();
		systemd_stopping();
		now += 1000;
		ASSERT_ROW(systemd_alive(now) == 1000, names[i]);
	}
	(void)snprintf(gone, sizeof(gone), "%s/gone", dir);
	assert_int_equal(setenv("NOTIFY_SOCKET", gone, 1), 0);
	systemd_ready();
	assert_int_equal(unsetenv("NOTIFY_SOCKET"), 0);
	systemd_ready();
	check_told(NULL);

	/* No descriptor is left behind by any of it. */
	again = dup(fd);
	assert_int_equal(again, lowest);
	(void)close(again);
}

static void
test_watchdog(void **state)
{
	int i;

	(void)state;
	assert_int_equal(setenv("WATCHDOG_USEC", "3000000", 1), 0);

	/* At half of the time that is allowed, not each time round. */
	for (i = 0; i < 3; i++, now += 1500) {
		assert_int_equal(systemd_alive(now), 1500);
		check_told("WATCHDOG=1");
		assert_int_equal(systemd_alive(now), 1500);
		assert_int_equal(systemd_alive(now + 1), 1499);
		assert_int_equal(systemd_alive(now + 1499), 1);
		check_told(NULL);
	}

	/* A loop that came round late counts from when it did. */
	assert_int_equal(systemd_alive(now + 700), 1500);
	check_told("WATCHDOG=1");
	assert_int_equal(systemd_alive(now + 1500), 700);
	check_told(NULL);
}

/* A watchdog is one only with a time that halves to a millisecond or more. */
static void
test_watchdog_times(void **state)
{
	static const struct {
		const char *usec;
		long want;
	} rows[] = {
		{ "", -1 }, { "x", -1 }, { "0", -1 }, { "-1", -1 },
		{ "-3000000", -1 }, { "1", -1 }, { "1999", -1 },
		{ "2000", 1 }, { "30000000", 15000 },
	};
	size_t i;

	(void)state;
	assert_int_equal(systemd_alive(now), -1);
	check_told(NULL);
	for (i = 0; i < NITEMS(rows); i++) {
		now += 100000;
		assert_int_equal(setenv("WATCHDOG_USEC", rows[i].usec, 1), 0);
		ASSERT_ROW(systemd_alive(now) == rows[i].want,
		    rows[i].usec);
		check_told(rows[i].want > 0 ? "WATCHDOG=1" : NULL);
	}
}

/* The watchdog may be another process's: its parent's, or a wrapper's. */
static void
test_watchdog_pid(void **state)
{
	char pid[32];
	pid_t child;
	int status;

	(void)state;
	assert_int_equal(setenv("WATCHDOG_USEC", "2000000", 1), 0);
	(void)snprintf(pid, sizeof(pid), "%ld", (long)getppid());
	assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
	assert_int_equal(systemd_alive(now), -1);
	assert_int_equal(setenv("WATCHDOG_PID", "", 1), 0);
	assert_int_equal(systemd_alive(now), -1);
	check_told(NULL);

	/* Whether it is ready is told by anyone all the same. */
	systemd_ready();
	check_told("READY=1");

	(void)snprintf(pid, sizeof(pid), "%ld", (long)getpid());
	assert_int_equal(setenv("WATCHDOG_PID", pid, 1), 0);
	assert_int_equal(systemd_alive(now), 1000);
	check_told("WATCHDOG=1");

	/* A worker that inherits these variables does not speak for us. */
	if ((child = fork()) == 0)
		_exit(systemd_alive(now + 5000) == -1 ? 0 : 1);
	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	check_told(NULL);
	assert_int_equal(systemd_alive(now + 1000), 1000);
	check_told("WATCHDOG=1");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_states, begin, end),
		cmocka_unit_test_setup_teardown(test_abstract, begin, end),
		cmocka_unit_test_setup_teardown(test_length, begin, end),
		cmocka_unit_test_setup_teardown(test_nobody, begin, end),
		cmocka_unit_test_setup_teardown(test_watchdog, begin, end),
		cmocka_unit_test_setup_teardown(test_watchdog_times, begin,
		    end),
		cmocka_unit_test_setup_teardown(test_watchdog_pid, begin,
		    end),
	};

	return (cmocka_run_group_tests_name("systemd", tests, setup,
	    teardown));
}
