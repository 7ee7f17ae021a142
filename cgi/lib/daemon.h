#ifndef DAEMON_H_
#define DAEMON_H_

#include <stddef.h>

#include "config.h"

/*
 * A daemon, as its command line shows it.
 */
struct daemon {
	enum config_program program;
	const char *name;	/* of the program */
	const char *component;	/* in its log lines */
	const char *synopsis;	/* one sentence for -h */

	/*
	 * Check what the table cannot: credentials, keys, files.  Return 0,
	 * or -1 with one line in the buffer.  May be NULL.
	 */
	int (*check)(const struct config *, char *, size_t);
};

/**
 * daemon_begin(daemon, argc, argv, conf):
 * What every daemon does before it starts: handle -h, -V and -t, load the
 * configuration, have it checked and set up the log and the metrics.  Returns
 * only if the program shall run; prints and exits otherwise.
 */
void daemon_begin(const struct daemon *, int, char **, struct config *);

#endif /* !DAEMON_H_ */
