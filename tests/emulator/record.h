#ifndef RECORD_H_
#define RECORD_H_

#include "resource.h"

/*
 * What the lines of the journal say.  Each replaces what an earlier one said
 * of the same name:
 *
 * {"queue":{"name":...,"state":...,...}}      a queue is so
 * {"task":{"name":...,"http":{...},...}}      a task is so; without "http"
 *                                             only how far it got changed
 * {"burn":{"name":...,"until":...}}           a task is gone, its name burnt
 *
 * Times are integers as in times.h.
 */

/**
 * record_queue(queue), record_task(task, whole), record_burn(name, until):
 * Return the record, a reference the caller drops.
 */
json_t *record_queue(const struct queue *);
json_t *record_task(const struct task *, int);
json_t *record_burn(const char *, int64_t);

/**
 * record_read_queue(json, queue), record_read_task(json, task):
 * Fill in ${queue} or ${task} except its name from what stands behind
 * "queue" or "task" in a record.  Return 0, or -1 if it is none.
 */
int record_read_queue(const json_t *, struct queue *);
int record_read_task(const json_t *, struct task *);

#endif /* !RECORD_H_ */
