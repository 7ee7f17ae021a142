#ifndef FCGI_SERVER_H_
#define FCGI_SERVER_H_

struct request;

/*
 * A preforked FastCGI server on a unix socket.  The first process holds the
 * socket and starts a new worker for each one that ends; every worker
 * answers one request at a time and shares nothing with the others but what
 * was mapped before.
 *
 * SIGTERM or SIGINT: the workers finish the request they are at and leave;
 * then the server does.
 */
struct fcgi_server {
	const char *socket_path;	/* made with mode 0660 */
	int workers;

	/*
	 * In a new worker: return its state, NULL on failure.  Then once a
	 * request, which must be answered.  Once a minute, between requests,
	 * if there is something to do then.  At the worker's end.
	 */
	void *(*start)(void *cookie);
	void (*handle)(void *state, struct request *);
	void (*every_minute)(void *state);	/* or NULL */
	void (*stop)(void *state);
	void *cookie;

	/*
	 * Optional: the work of one more process beside the workers.  The
	 * process is restarted like a worker, has no socket, and SIGTERM kills
	 * it whatever it is doing.  The function does not return.
	 */
	void (*beside)(void *cookie);
};

/**
 * fcgi_server_run(server):
 * Serve until told to stop.  Return 0 then, or -1 if the server could not be
 * started.
 */
int fcgi_server_run(const struct fcgi_server *);

#endif /* !FCGI_SERVER_H_ */
