#ifndef HEAP_H_
#define HEAP_H_

#include "resource.h"

/*
 * A binary heap of the tasks of a queue that wait, the one that is due first
 * on top; of two that are due at the same time, the older one.
 */

/**
 * heap_reserve(heap, n):
 * Make room for ${n} tasks, so that heap_push cannot fail.  Return 0 or -1.
 */
int heap_reserve(struct heap *, size_t);

/**
 * heap_push(heap, task):
 * Put ${task} in; heap_reserve has made room.
 */
void heap_push(struct heap *, struct task *);

/**
 * heap_remove(heap, task):
 * Take ${task} out, if it is in.
 */
void heap_remove(struct heap *, struct task *);

/**
 * heap_top(heap):
 * Return the task that is due first, or NULL.
 */
struct task *heap_top(const struct heap *);

/**
 * heap_free(heap):
 * Free what ${heap} holds, not the tasks.
 */
void heap_free(struct heap *);

#endif /* !HEAP_H_ */
