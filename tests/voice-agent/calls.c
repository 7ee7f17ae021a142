#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "calls.h"
#include "json_text.h"
#include "log.h"

struct calls {
	pthread_mutex_t lock;
	json_t *list;
	json_t *seen;		/* key: true */
	json_t *begun;		/* key: callId of the call that began */
	json_int_t last;	/* number of the last callId */
	int fd;			/* -1 without a file */
};

/*
 * Take a call, whose fields are all set, into the lists.
 */
static void
remember(struct calls *calls, json_t *call)
{
	const char *key = json_text(call, "idempotencyKey");

	calls->last++;
	json_array_append(calls->list, call);
	if (key == NULL)
		return;
	json_object_set_new(calls->seen, key, json_true());
	if (json_is_true(json_object_get(call, "started")) &&
	    json_object_get(calls->begun, key) == NULL)
		json_object_set(calls->begun, key, json_object_get(call,
		    "callId"));
}

static int
load(struct calls *calls, const char *path, char *why, size_t whylen)
{
	FILE *file = NULL;
	char *line = NULL;
	size_t size = 0;
	ssize_t len;
	off_t end = 0;
	json_t *call;
	int rc = -1;

	if ((calls->fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC,
	    0600)) == -1 || (file = fopen(path, "re")) == NULL) {
		(void)snprintf(why, whylen, "cannot open %s: %s", path,
		    strerror(errno));
		goto out;
	}
	while ((len = getline(&line, &size, file)) > 0 &&
	    line[len - 1] == '\n') {
		call = json_loadb(line, (size_t)len, 0, NULL);
		if (!json_is_object(call)) {
			json_decref(call);
			(void)snprintf(why, whylen, "%s holds a line that is "
			    "no call; name another file", path);
			goto out;
		}
		remember(calls, call);
		json_decref(call);
		end += len;
	}

	/* A line that was not finished must not meet the next one. */
	if (ftruncate(calls->fd, end) == -1) {
		(void)snprintf(why, whylen, "cannot cut %s: %s", path,
		    strerror(errno));
		goto out;
	}
	rc = 0;

out:
	free(line);
	if (file != NULL)
		(void)fclose(file);
	return (rc);
}

/**
 * calls_open(path, why, whylen):
 * Return the calls in the file ${path}, which is made if it is not there; or
 * none, in memory only, where ${path} is NULL.  Return NULL and a sentence at
 * ${why} (${whylen} bytes) on failure.
 */
struct calls *
calls_open(const char *path, char *why, size_t whylen)
{
	struct calls *calls;

	(void)snprintf(why, whylen, "out of memory");
	if ((calls = calloc(1, sizeof(*calls))) == NULL)
		return (NULL);
	pthread_mutex_init(&calls->lock, NULL);
	calls->fd = -1;
	calls->list = json_array();
	calls->seen = json_object();
	calls->begun = json_object();
	if (calls->list == NULL || calls->seen == NULL ||
	    calls->begun == NULL || (path != NULL && load(calls, path, why,
	    whylen) == -1)) {
		calls_free(calls);
		return (NULL);
	}

	return (calls);
}

/**
 * calls_free(calls):
 * Free ${calls}, not the file; NULL is fine.
 */
void
calls_free(struct calls *calls)
{

	if (calls == NULL)
		return;
	if (calls->fd != -1)
		close(calls->fd);
	json_decref(calls->list);
	json_decref(calls->seen);
	json_decref(calls->begun);
	pthread_mutex_destroy(&calls->lock);
	free(calls);
}

static json_t *
now_json(void)
{
	struct timespec now;
	struct tm tm;
	char text[32];

	clock_gettime(CLOCK_REALTIME, &now);
	gmtime_r(&now.tv_sec, &tm);
	(void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);

	return (json_sprintf("%s.%03ldZ", text, now.tv_nsec / 1000000));
}

/*
 * Append a call to the file as one line with one write.
 */
static int
append(const struct calls *calls, const json_t *call)
{
	char *line;
	size_t len;
	ssize_t n;

	if (calls->fd == -1)
		return (0);
	if ((line = json_dumps(call, JSON_COMPACT)) == NULL)
		return (-1);
	len = strlen(line);
	line[len++] = '\n';
	n = write(calls->fd, line, len);
	free(line);
	if (n != (ssize_t)len) {
		log_error(NULL, "cannot write to the file of the calls: %s",
		    n == -1 ? strerror(errno) : "the disk is full");
		return (-1);
	}

	return (0);
}

/**
 * calls_add(calls, call):
 * Fill in callId, time and duplicate of ${call}, whose reference is taken,
 * and keep it.  Return it, a reference the caller drops, or NULL if it could
 * not be kept.
 */
json_t *
calls_add(struct calls *calls, json_t *call)
{
	const char *key = json_text(call, "idempotencyKey");
	json_t *id = NULL;

	pthread_mutex_lock(&calls->lock);
	if (key != NULL)
		id = json_incref(json_object_get(calls->begun, key));
	if (id == NULL)
		id = json_sprintf("call-%" JSON_INTEGER_FORMAT,
		    calls->last + 1);
	json_object_set_new(call, "callId", id);
	json_object_set_new(call, "time", now_json());
	json_object_set_new(call, "duplicate", json_boolean(key != NULL &&
	    json_object_get(calls->seen, key) != NULL));
	if (append(calls, call) == 0) {
		remember(calls, call);
	} else {
		json_decref(call);
		call = NULL;
	}
	pthread_mutex_unlock(&calls->lock);

	return (call);
}

static int
is_for(const json_t *call, const char *booking)
{
	json_t *body;
	const char *text = json_text(call, "body"), *id;
	int yes;

	if (text == NULL || (body = json_loads(text, 0, NULL)) == NULL)
		return (0);
	id = json_text(body, "bookingId");
	yes = id != NULL && strcmp(id, booking) == 0;
	json_decref(body);

	return (yes);
}

/**
 * calls_list(calls, booking):
 * Return an array of the calls whose body is JSON with the bookingId
 * ${booking}, or of all if that is NULL; a reference the caller drops.
 */
json_t *
calls_list(struct calls *calls, const char *booking)
{
	json_t *list, *call;
	size_t i;

	pthread_mutex_lock(&calls->lock);
	if (booking == NULL) {
		list = json_copy(calls->list);
	} else {
		list = json_array();
		json_array_foreach(calls->list, i, call) {
			if (is_for(call, booking))
				json_array_append(list, call);
		}
	}
	pthread_mutex_unlock(&calls->lock);

	return (list);
}

/**
 * calls_clear(calls):
 * Forget all calls, also in the file.  Return 0 or -1.
 */
int
calls_clear(struct calls *calls)
{
	int rc = 0;

	pthread_mutex_lock(&calls->lock);
	if (calls->fd != -1)
		rc = ftruncate(calls->fd, 0);
	if (rc == 0) {
		json_array_clear(calls->list);
		json_object_clear(calls->seen);
		json_object_clear(calls->begun);
	}
	pthread_mutex_unlock(&calls->lock);

	return (rc);
}
