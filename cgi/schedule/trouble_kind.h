#ifndef TROUBLE_KIND_H_
#define TROUBLE_KIND_H_

/*
 * What the troubles that readiness.h names keep from working.
 */

enum trouble_stops {
	TROUBLE_DELAYS = 0,	/* nothing: it comes later */
	TROUBLE_SCHEDULING = 1,	/* no booking gets a task */
	TROUBLE_CALLING = 2,	/* no task leads to a call */
};

struct trouble_kind {
	const char *code;
	int stops;		/* of the above, together */
	const char *command;	/* what to run or to look at first, or NULL */
};

/**
 * trouble_kind(code):
 * Return what is known of the kind ${code}; one that is not known delays.
 */
const struct trouble_kind *trouble_kind(const char *);

#endif /* !TROUBLE_KIND_H_ */
