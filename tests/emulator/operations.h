#ifndef OPERATIONS_H_
#define OPERATIONS_H_

#include <stdint.h>

#include <jansson.h>

#include "failure.h"
#include "store.h"

/*
 * The operations of the API on the store, each as a function from a request
 * to an answer.
 */

/* What a request said, in the parts that operations need. */
struct operation_call {
	struct store *store;
	int64_t horizon;
	char *parent;		/* projects/P/locations/L */
	char *queue;		/* full name, NULL for the collection */
	char *task;		/* full name, likewise */
	json_t *query;		/* query parameters, by name in camel case */
	json_t *body;		/* {} where there was none */
};

struct operation {
	const char *name;
	const char *method;
	const char *verb;	/* behind a colon, or NULL */
	enum operation_target {
		OPERATION_QUEUES, OPERATION_QUEUE, OPERATION_TASKS,
		OPERATION_TASK
	} target;
	const char *query[4];	/* the parameters it has, ended by NULL */

	/*
	 * Perform it with the store locked: set the answer, a reference that
	 * the caller drops, and return 0; or return -1 and the failure.
	 */
	int (*perform)(const struct operation_call *, json_t **,
	    struct failure *);
};

/* All of them, ended by one without a name. */
extern const struct operation operations[];

#endif /* !OPERATIONS_H_ */
