#ifndef NAMES_H_
#define NAMES_H_

/*
 * Resource names:
 *
 * projects/P/locations/L/queues/Q/tasks/T
 */

/**
 * names_task_id(text):
 * Say whether ${text} can be the last part of a task's name.
 */
int names_task_id(const char *);

/**
 * names_queue(text):
 * Say whether ${text} is the full name of a queue.
 */
int names_queue(const char *);

/**
 * names_location(text):
 * Say whether ${text} is "projects/P/locations/L".
 */
int names_location(const char *);

/**
 * names_random_task(queue):
 * Return a full name for a task of the queue named ${queue} with a long
 * random number, as the service chooses them, as a string the caller frees;
 * or NULL.
 */
char *names_random_task(const char *);

#endif /* !NAMES_H_ */
