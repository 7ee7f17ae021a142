#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <fcgiapp.h>
#include <openssl/crypto.h>

#include "log.h"
#include "metrics.h"
#include "monotime.h"
#include "plural.h"
#include "request.h"
#include "systemd.h"

#include "fcgi_server.h"

/* Requests that wait for a worker in the kernel. */
#define BACKLOG		4096

/*
 * How long a peer may take to go on with a request or an answer, in seconds.
 * nginx has all of a request before it sends any.
 */
#define PEER_TIMEOUT	5

/* A worker that lived for less is not replaced at once, in milliseconds. */
#define RESPAWN_MS	1000

#define MINUTE_MS	60000

/* How often the server calls log_tick, likewise. */
#define TICK_MS		1000

static volatile sig_atomic_t stopping;

static void
on_stop(int sig)
{

	(void)sig;
	stopping = 1;
}

static void
on_child(int sig)
{

	(void)sig;
}

/*
 * Make the socket under another name and move it into place, so that nobody
 * finds it before its mode is right, and a stale one is replaced.
 */
static int
open_socket(const char *path)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int fd, n;

	n = snprintf(addr.sun_path, sizeof(addr.sun_path), "%s.new", path);
	if (n < 0 || (size_t)n >= sizeof(addr.sun_path)) {
		log_error(NULL, "the socket's path %s is too long: set "
		    "FOLLOWUP_RUNTIME_DIR to a shorter one", path);
		return (-1);
	}
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		goto err;
	(void)unlink(addr.sun_path);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
	    chmod(addr.sun_path, 0660) != 0 ||
	    listen(fd, BACKLOG) != 0 ||
	    rename(addr.sun_path, path) != 0)
		goto err;
	return (fd);

err:
	log_error(NULL, "the socket %s could not be made: %s; does the "
	    "directory exist, and may this user write to it?", path,
	    strerror(errno));
	if (fd >= 0)
		(void)close(fd);
	return (-1);
}

static int
set_handler(int sig, void (*handler)(int))
{
	struct sigaction sa;

	memset(&sa, 0, sizeof(sa));
	sa.sa_handler = handler;
	(void)sigemptyset(&sa.sa_mask);
	return (sigaction(sig, &sa, NULL));
}

/*
 * Signals are let in only while a process waits: between looking at the flag
 * and going to sleep no signal can slip through.
 */
static int
set_signals(sigset_t *waiting)
{
	sigset_t blocked;

	if (sigemptyset(&blocked) != 0 ||
	    sigaddset(&blocked, SIGTERM) != 0 ||
	    sigaddset(&blocked, SIGINT) != 0 ||
	    sigaddset(&blocked, SIGCHLD) != 0 ||
	    sigprocmask(SIG_BLOCK, &blocked, waiting) != 0)
		return (-1);
	(void)sigdelset(waiting, SIGTERM);
	(void)sigdelset(waiting, SIGINT);
	(void)sigdelset(waiting, SIGCHLD);
	return (set_handler(SIGTERM, on_stop) != 0 ||
	    set_handler(SIGINT, on_stop) != 0 ||
	    set_handler(SIGCHLD, on_child) != 0 ||
	    set_handler(SIGPIPE, SIG_IGN) != 0 ? -1 : 0);
}

/*
 * Is this process to leave?  While requests wait, epoll_pwait returns them and
 * lets no signal in, however long one has been pending.
 */
static int
to_leave(void)
{
	sigset_t pending;

	return (stopping || (sigpending(&pending) == 0 &&
	    (sigismember(&pending, SIGTERM) == 1 ||
	    sigismember(&pending, SIGINT) == 1)));
}

/*
 * Accept a connection and read a request up to its body.  This is not left to
 * libfcgi, which waits for ever for a peer that has stopped in the middle.
 * Return 0, or an errno; EPROTO if what came is no request.
 */
static int
accept_request(int fd, FCGX_Request *fcgx)
{
	static const struct timeval patience = { .tv_sec = PEER_TIMEOUT };
	int conn;

	if ((conn = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) < 0)
		return (errno);
	(void)setsockopt(conn, SOL_SOCKET, SO_RCVTIMEO, &patience,
	    sizeof(patience));
	(void)setsockopt(conn, SOL_SOCKET, SO_SNDTIMEO, &patience,
	    sizeof(patience));

	/* To libfcgi it is a kept connection on which a request arrives. */
	fcgx->ipcFd = conn;
	fcgx->keepConnection = 1;
	if (FCGX_Accept_r(fcgx) != 0)
		return (EPROTO);

	/* Parameters that break off are an error, but not to libfcgi. */
	if (FCGX_GetError(fcgx->in) != 0) {
		FCGX_Free(fcgx, 1);
		return (EPROTO);
	}
	return (0);
}

/* Answer what was accepted. */
static void
serve(const struct fcgi_server *server, void *state, FCGX_Request *fcgx)
{
	struct request request;

	request_init(&request, fcgx);
	metrics_busy(1);
	server->handle(state, &request);
	if (!request.answered)
		request_problem(&request, PROBLEM_INTERNAL, NULL,
		    "the request was not answered; see the log");

	/* A connection that the peer wants kept would keep the worker. */
	fcgx->keepConnection = 0;
	FCGX_Finish_r(fcgx);
	metrics_busy(0);
}

/*
 * Return a descriptor to wait on for connections to ${fd}, or -1.  Of all the
 * workers that wait, the kernel wakes one.
 */
static int
watch(int fd)
{
	struct epoll_event event = { .events = EPOLLIN | EPOLLEXCLUSIVE };
	int epfd;

	if ((epfd = epoll_create1(EPOLL_CLOEXEC)) < 0)
		return (-1);
	if (epoll_ctl(epfd, EPOLL_CTL_ADD, fd, &event) != 0) {
		(void)close(epfd);
		return (-1);
	}
	return (epfd);
}

/*
 * Do the work of every minute if ${due} has come, and set ${due} to the next
 * time.  Return for how long to wait for a request now, in milliseconds.
 */
static int
do_every_minute(const struct fcgi_server *server, void *state, long *due)
{
	long now = monotime_ms();

	if (server->every_minute == NULL)
		return (-1);
	if (now >= *due) {
		server->every_minute(state);
		now = monotime_ms();
		*due = now + MINUTE_MS;
	}
	return ((int)(*due - now));
}

/* The life of a worker; returns the exit status of its process. */
static int
work(const struct fcgi_server *server, int fd, const sigset_t *waiting)
{
	static const struct timespec pause = { .tv_nsec = 100000000 };
	struct epoll_event event;
	FCGX_Request fcgx;
	void *state;
	long due = monotime_ms() + MINUTE_MS;
	int epfd, rc, wait;

	/* It gets no socket to accept from: see accept_request. */
	if (FCGX_Init() != 0 || FCGX_InitRequest(&fcgx, -1, 0) != 0) {
		log_error(NULL, "libfcgi could not be initialised");
		return (1);
	}

	/* libfcgi has put handlers of its own. */
	if (set_handler(SIGTERM, on_stop) != 0 ||
	    set_handler(SIGINT, on_stop) != 0 || (epfd = watch(fd)) < 0)
		return (1);
	if ((state = server->start(server->cookie)) == NULL) {
		log_error(NULL, "a worker could not be started: out of memory "
		    "or descriptors");
		return (1);
	}

	while (!to_leave()) {
		wait = do_every_minute(server, state, &due);
		if (epoll_pwait(epfd, &event, 1, wait, waiting) <= 0)
			continue;
		rc = accept_request(fd, &fcgx);
		if (rc == 0)
			serve(server, state, &fcgx);
		else if (rc == EPROTO)
			log_debug(NULL, "a connection that brought no request "
			    "is closed");
		else if (rc != EAGAIN && rc != EINTR && rc != ECONNABORTED) {
			/* Out of descriptors or memory: do not spin. */
			log_warning(NULL, "a request could not be accepted: "
			    "%s; trying again", strerror(rc));
			(void)ppoll(NULL, 0, &pause, waiting);
		}
	}

	server->stop(state);
	FCGX_Free(&fcgx, 0);
	(void)close(epfd);
	return (0);
}

/* The life of the process beside the workers. */
static void __attribute__((noreturn))
stand_beside(const struct fcgi_server *server, const sigset_t *waiting)
{

	if (set_handler(SIGTERM, SIG_DFL) == 0 &&
	    set_handler(SIGINT, SIG_DFL) == 0 && !stopping &&
	    sigprocmask(SIG_SETMASK, waiting, NULL) == 0)
		server->beside(server->cookie);
	exit(1);
}

struct worker {
	pid_t pid;		/* or 0 if it does not run */
	long started;		/* when, in ms */
};

/* Start the one in place ${i} of ${workers}; return its process id or -1. */
static pid_t
start_worker(const struct fcgi_server *server, int fd,
    const sigset_t *waiting, struct worker *workers, int i)
{
	pid_t parent = getpid(), pid;

	if ((pid = fork()) != 0) {
		if (pid < 0)
			log_error(NULL, "a worker could not be forked: %s; "
			    "trying again", strerror(errno));
		return (pid);
	}

	/* The list of its siblings is none of its business. */
	free(workers);
	if (i < server->workers)
		metrics_worker(i);

	/* If the server dies the worker shall finish its request and leave. */
	(void)prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		stopping = 1;
	if (i < server->workers)
		exit(work(server, fd, waiting));
	(void)close(fd);
	stand_beside(server, waiting);
}

/* The workers, and the process beside them, which has the last place. */
static int
processes(const struct fcgi_server *server)
{

	return (server->workers + (server->beside != NULL));
}

/* Take note of every process that has ended. */
static int
reap(const struct fcgi_server *server, struct worker *workers)
{
	int status, i, reaped = 0;
	const char *what;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
		for (i = 0; i < processes(server); i++) {
			if (workers[i].pid != pid)
				continue;
			workers[i].pid = 0;
			reaped++;
			what = i < server->workers ? "worker" :
			    "the process beside the workers,";
			if (i < server->workers)
				metrics_worker_ended(i, stopping);
			else if (stopping)
				continue;
			if (WIFSIGNALED(status))
				log_error(NULL, "%s %d was killed by "
				    "signal %d", what, (int)pid,
				    WTERMSIG(status));
			else if (WEXITSTATUS(status) != 0)
				log_error(NULL, "%s %d ended with status "
				    "%d", what, (int)pid, WEXITSTATUS(status));
		}
	}
	return (reaped);
}

/*
 * Start the workers that do not run.  One that ended right after its start
 * waits a second, so that a lasting fault does not become a fork storm.
 * Return how long to wait until the next one is due, in ms, or -1.
 */
static long
start_workers(const struct fcgi_server *server, int fd,
    const sigset_t *waiting, struct worker *workers)
{
	long now = monotime_ms(), wait = -1, left;
	int i;

	for (i = 0; i < processes(server); i++) {
		if (workers[i].pid != 0)
			continue;
		left = workers[i].started == 0 ? 0 :
		    workers[i].started + RESPAWN_MS - now;
		if (left <= 0) {
			workers[i].started = now;
			workers[i].pid = start_worker(server, fd, waiting,
			    workers, i);
			if (workers[i].pid > 0)
				continue;
			workers[i].pid = 0;
			left = RESPAWN_MS;
		}
		if (wait < 0 || left < wait)
			wait = left;
	}
	return (wait);
}

/* The shorter one of two waits; a negative one has no end. */
static long
sooner(long a, long b)
{

	return (a < 0 || (b >= 0 && b < a) ? b : a);
}

/*
 * Workers share whatever is in memory before the first of them is forked.  So
 * set up here what each would otherwise set up for itself, and join the free
 * pieces that libraries left all over the heap when they started.
 */
static void
share_memory(void)
{

	(void)OPENSSL_init_crypto(OPENSSL_INIT_ADD_ALL_CIPHERS |
	    OPENSSL_INIT_ADD_ALL_DIGESTS | OPENSSL_INIT_LOAD_CONFIG, NULL);
	(void)malloc_trim(0);
}

/**
 * fcgi_server_run(server):
 * Serve until told to stop.  Return 0 then, or -1 if the server could not be
 * started.
 */
int
fcgi_server_run(const struct fcgi_server *server)
{
	struct worker *workers;
	struct timespec timeout;
	sigset_t waiting;
	long now, wait;
	int fd, i, running;

	if ((workers = calloc((size_t)processes(server), sizeof(*workers))) ==
	    NULL)
		return (-1);
	if (set_signals(&waiting) != 0 ||
	    (fd = open_socket(server->socket_path)) < 0) {
		free(workers);
		return (-1);
	}

	share_memory();

	/* Keep the workers running. */
	log_info(NULL, "ready: %d %s on %s", server->workers,
	    plural(server->workers, "worker", "workers"),
	    server->socket_path);
	systemd_ready();
	while (!stopping) {
		wait = start_workers(server, fd, &waiting, workers);
		now = monotime_ms();
		wait = sooner(wait, systemd_alive(now));
		wait = sooner(wait, metrics_beat(now));
		wait = sooner(wait, TICK_MS);
		timeout.tv_sec = wait / 1000;
		timeout.tv_nsec = wait % 1000 * 1000000;
		(void)ppoll(NULL, 0, &timeout, &waiting);
		(void)reap(server, workers);
		log_tick();
	}

	systemd_stopping();

	/* Tell them to leave, and wait for the last. */
	for (i = 0, running = 0; i < processes(server); i++) {
		if (workers[i].pid != 0) {
			(void)kill(workers[i].pid, SIGTERM);
			running++;
		}
	}
	while (running > 0) {
		running -= reap(server, workers);
		if (running > 0)
			(void)sigsuspend(&waiting);
	}
	log_finish();
	log_info(NULL, "stopped");

	(void)close(fd);
	free(workers);
	return (0);
}
