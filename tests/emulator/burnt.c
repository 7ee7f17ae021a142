#include <sys/queue.h>

#include <search.h>
#include <stdlib.h>
#include <string.h>

#include "burnt.h"

struct burnt_name {
	TAILQ_ENTRY(burnt_name) link;
	int64_t until;
	char name[];
};

TAILQ_HEAD(burnt_list, burnt_name);

struct burnt {
	void *tree;		/* by name; see tsearch(3) */
	struct burnt_list oldest;
};

static int
by_name(const void *a, const void *b)
{
	const struct burnt_name *x = a, *y = b;

	return (strcmp(x->name, y->name));
}

static struct burnt_name *
entry_new(const char *name, int64_t until)
{
	struct burnt_name *entry;
	size_t len = strlen(name) + 1;

	if ((entry = malloc(sizeof(*entry) + len)) == NULL)
		return (NULL);
	entry->until = until;
	memcpy(entry->name, name, len);

	return (entry);
}

static void
forget(struct burnt *burnt, struct burnt_name *entry)
{

	tdelete(entry, &burnt->tree, by_name);
	TAILQ_REMOVE(&burnt->oldest, entry, link);
	free(entry);
}

/**
 * burnt_new(void):
 * Return an empty set, or NULL.
 */
struct burnt *
burnt_new(void)
{
	struct burnt *burnt;

	if ((burnt = calloc(1, sizeof(*burnt))) == NULL)
		return (NULL);
	TAILQ_INIT(&burnt->oldest);

	return (burnt);
}

/**
 * burnt_free(burnt):
 * Free ${burnt}; NULL is fine.
 */
void
burnt_free(struct burnt *burnt)
{
	struct burnt_name *entry;

	if (burnt == NULL)
		return;
	while ((entry = TAILQ_FIRST(&burnt->oldest)) != NULL)
		forget(burnt, entry);
	free(burnt);
}

/**
 * burnt_add(burnt, name, until):
 * Burn ${name}, which is copied, until that time.  Times that are handed in
 * one after the other should not go down: a name is only forgotten after all
 * that were added before it.  Return 0 or -1.
 */
int
burnt_add(struct burnt *burnt, const char *name, int64_t until)
{
	struct burnt_name *entry, **place;

	if ((entry = entry_new(name, until)) == NULL)
		return (-1);
	if ((place = tsearch(entry, &burnt->tree, by_name)) == NULL) {
		free(entry);
		return (-1);
	}

	/* A name burnt once more goes to the end of the line. */
	if (*place != entry) {
		free(entry);
		entry = *place;
		entry->until = until;
		TAILQ_REMOVE(&burnt->oldest, entry, link);
	}
	TAILQ_INSERT_TAIL(&burnt->oldest, entry, link);

	return (0);
}

/**
 * burnt_has(burnt, name, now):
 * Say whether ${name} is burnt, and forget what no longer is.
 */
int
burnt_has(struct burnt *burnt, const char *name, int64_t now)
{
	struct burnt_name *entry, **place;
	int has;

	while ((entry = TAILQ_FIRST(&burnt->oldest)) != NULL &&
	    entry->until <= now)
		forget(burnt, entry);

	if ((entry = entry_new(name, 0)) == NULL)
		return (0);
	place = tfind(entry, &burnt->tree, by_name);
	has = place != NULL && (*place)->until > now;
	free(entry);

	return (has);
}

/**
 * burnt_each(burnt, emit, cookie):
 * Call ${emit}(${cookie}, name, until) for each name, the oldest first,
 * until it returns other than 0; return what it returned last.
 */
int
burnt_each(const struct burnt *burnt,
    int (*emit)(void *, const char *, int64_t), void *cookie)
{
	const struct burnt_name *entry;
	int rc = 0;

	TAILQ_FOREACH(entry, &burnt->oldest, link) {
		if ((rc = emit(cookie, entry->name, entry->until)) != 0)
			break;
	}

	return (rc);
}
