#ifndef BURNT_H_
#define BURNT_H_

#include <stdint.h>

/*
 * The names of tasks that are gone and may not be used again for a while.
 */

struct burnt;

/**
 * burnt_new(void):
 * Return an empty set, or NULL.
 */
struct burnt *burnt_new(void);

/**
 * burnt_free(burnt):
 * Free ${burnt}; NULL is fine.
 */
void burnt_free(struct burnt *);

/**
 * burnt_add(burnt, name, until):
 * Burn ${name}, which is copied, until that time.  Times that are handed in
 * one after the other should not go down: a name is only forgotten after all
 * that were added before it.  Return 0 or -1.
 */
int burnt_add(struct burnt *, const char *, int64_t);

/**
 * burnt_has(burnt, name, now):
 * Say whether ${name} is burnt, and forget what no longer is.
 */
int burnt_has(struct burnt *, const char *, int64_t);

/**
 * burnt_each(burnt, emit, cookie):
 * Call ${emit}(${cookie}, name, until) for each name, the oldest first,
 * until it returns other than 0; return what it returned last.
 */
int burnt_each(const struct burnt *, int (*)(void *, const char *, int64_t),
    void *);

#endif /* !BURNT_H_ */
