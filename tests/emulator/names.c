#include <sys/random.h>

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "names.h"

#define LETTERS	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define DIGITS	"0123456789"

/*
 * Go behind prefix and as many of the characters as follow it, at least one
 * and at most max, or return NULL.
 */
static const char *
skip(const char *text, const char *prefix, const char *characters, size_t max)
{
	size_t n;

	if (text == NULL || strncmp(text, prefix, strlen(prefix)) != 0)
		return (NULL);
	text += strlen(prefix);
	n = strspn(text, characters);

	return (n >= 1 && n <= max ? text + n : NULL);
}

static const char *
skip_location(const char *text)
{

	text = skip(text, "projects/", LETTERS DIGITS "-:.", 100);
	return (skip(text, "/locations/", LETTERS DIGITS "-", 100));
}

/**
 * names_task_id(text):
 * Say whether ${text} can be the last part of a task's name.
 */
int
names_task_id(const char *text)
{

	text = skip(text, "", LETTERS DIGITS "-_", 500);
	return (text != NULL && *text == '\0');
}

/**
 * names_queue(text):
 * Say whether ${text} is the full name of a queue.
 */
int
names_queue(const char *text)
{

	text = skip(skip_location(text), "/queues/", LETTERS DIGITS "-", 100);
	return (text != NULL && *text == '\0');
}

/**
 * names_location(text):
 * Say whether ${text} is "projects/P/locations/L".
 */
int
names_location(const char *text)
{

	text = skip_location(text);
	return (text != NULL && *text == '\0');
}

/**
 * names_random_task(queue):
 * Return a full name for a task of the queue named ${queue} with a long
 * random number, as the service chooses them, as a string the caller frees;
 * or NULL.
 */
char *
names_random_task(const char *queue)
{
	uint64_t number;
	char *name;

	if (getrandom(&number, sizeof(number), 0) != sizeof(number) ||
	    asprintf(&name, "%s/tasks/%020" PRIu64, queue, number) == -1)
		return (NULL);

	return (name);
}
