#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "journal.h"
#include "log.h"

/* What has to be appended before a rewrite is thought of, in bytes. */
#define GROWTH_MIN	(INT64_C(64) * 1024 * 1024)

struct journal {
	char *path;
	int fd;
	off_t size;
	off_t base;		/* the size after the last rewrite */
};

/*
 * Open path so that no other process uses it as a journal.
 */
static int
open_locked(const char *path, int flags, char *why, size_t whylen)
{
	int fd;

	fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC | flags, 0600);
	if (fd == -1) {
		(void)snprintf(why, whylen, "cannot open %s: %s", path,
		    strerror(errno));
		return (-1);
	}
	if (flock(fd, LOCK_EX | LOCK_NB) == -1) {
		(void)snprintf(why, whylen, "%s is in use by another process; "
		    "stop that one or name another file", path);
		close(fd);
		return (-1);
	}

	return (fd);
}

/*
 * Hand every finished line to apply, and find where the last one ends.
 */
static int
replay(struct journal *journal, int (*apply)(void *, const json_t *),
    void *cookie, char *why, size_t whylen)
{
	FILE *file = NULL;
	char *line = NULL;
	size_t size = 0, n = 0;
	ssize_t len;
	json_t *record;
	int fd, rc = -1, refused;

	if ((fd = dup(journal->fd)) == -1 ||
	    (file = fdopen(fd, "r")) == NULL) {
		(void)snprintf(why, whylen, "cannot read %s: %s", journal->path,
		    strerror(errno));
		goto out;
	}
	while ((len = getline(&line, &size, file)) > 0 &&
	    line[len - 1] == '\n') {
		n++;
		record = json_loadb(line, (size_t)len, 0, NULL);
		refused = record == NULL || apply(cookie, record) != 0;
		json_decref(record);
		if (refused) {
			(void)snprintf(why, whylen, "%s, line %zu is not a "
			    "record of this program; mend it or start with "
			    "another file", journal->path, n);
			goto out;
		}
		journal->size += len;
	}
	if (ferror(file)) {
		(void)snprintf(why, whylen, "cannot read %s: %s", journal->path,
		    strerror(errno));
		goto out;
	}
	if (len > 0) {
		log_warning(NULL, "%s ends in the middle of a line: cut off",
		    journal->path);
		if (ftruncate(journal->fd, journal->size) == -1) {
			(void)snprintf(why, whylen, "cannot cut %s: %s",
			    journal->path, strerror(errno));
			goto out;
		}
	}
	rc = 0;

out:
	free(line);
	if (file != NULL)
		(void)fclose(file);
	else if (fd != -1)
		close(fd);
	return (rc);
}

/**
 * journal_open(path, apply, cookie, why, whylen):
 * Open or make the file ${path} and call ${apply}(${cookie}, record) for
 * every record in it.  A last line that was not finished is cut off.  Return
 * NULL, and a sentence at ${why} (${whylen} bytes), if the file cannot be
 * used, is used by another process, or holds a record that is none or that
 * ${apply} refused by other than 0.
 */
struct journal *
journal_open(const char *path, int (*apply)(void *, const json_t *),
    void *cookie, char *why, size_t whylen)
{
	struct journal *journal;

	if ((journal = calloc(1, sizeof(*journal))) == NULL ||
	    (journal->path = strdup(path)) == NULL) {
		(void)snprintf(why, whylen, "out of memory");
		goto err0;
	}
	if ((journal->fd = open_locked(path, 0, why, whylen)) == -1)
		goto err0;
	if (replay(journal, apply, cookie, why, whylen) == -1)
		goto err1;

	/* Success! */
	return (journal);

err1:
	close(journal->fd);
err0:
	/* Failure! */
	if (journal != NULL)
		free(journal->path);
	free(journal);
	return (NULL);
}

/**
 * journal_append(journal, record):
 * Write ${record}, whose reference is taken.  Return 0, or -1 after logging
 * why; then nothing of it stays in the file.  A NULL ${journal} keeps
 * nothing and returns 0.
 */
int
journal_append(struct journal *journal, json_t *record)
{
	char *text = NULL;
	size_t len;
	ssize_t n;
	int rc = -1;

	if (journal == NULL) {
		json_decref(record);
		return (0);
	}
	if (record == NULL ||
	    (text = json_dumps(record, JSON_COMPACT)) == NULL) {
		log_error(NULL, "out of memory for a line of %s",
		    journal->path);
		goto out;
	}

	/* The newline takes the place of the NUL: line and end go as one. */
	len = strlen(text);
	text[len++] = '\n';
	n = write(journal->fd, text, len);
	if (n != (ssize_t)len) {
		log_error(NULL, "cannot write to %s: %s", journal->path,
		    n == -1 ? strerror(errno) : "the disk is full");

		/* Half a line must not meet the next one. */
		if (n > 0 && ftruncate(journal->fd, journal->size) == -1)
			log_error(NULL, "cannot cut %s: %s", journal->path,
			    strerror(errno));
		goto out;
	}
	journal->size += n;
	rc = 0;

out:
	free(text);
	json_decref(record);
	return (rc);
}

/**
 * journal_overgrown(journal):
 * Say whether so much was appended that a rewrite would be worth it.
 */
int
journal_overgrown(const struct journal *journal)
{

	return (journal != NULL && journal->size > GROWTH_MIN &&
	    journal->size > 4 * journal->base);
}

/**
 * journal_rewrite(journal, dump, cookie):
 * Replace the file by what ${dump}(${cookie}, journal) appends to the
 * journal it is given, and return 0; or leave it as it is and return -1
 * after logging why.
 */
int
journal_rewrite(struct journal *journal, int (*dump)(void *, struct journal *),
    void *cookie)
{
	struct journal fresh = { .fd = -1 };
	char why[512];

	if (asprintf(&fresh.path, "%s.new", journal->path) == -1) {
		log_error(NULL, "out of memory for rewriting %s",
		    journal->path);
		return (-1);
	}
	if ((fresh.fd = open_locked(fresh.path, O_TRUNC, why,
	    sizeof(why))) == -1) {
		log_error(NULL, "%s", why);
		goto err0;
	}
	if (dump(cookie, &fresh) != 0)
		goto err1;
	if (rename(fresh.path, journal->path) == -1) {
		log_error(NULL, "cannot rename %s to %s: %s", fresh.path,
		    journal->path, strerror(errno));
		goto err1;
	}

	/* The lock of the old file goes with it; the new one has its own. */
	close(journal->fd);
	journal->fd = fresh.fd;
	journal->size = journal->base = fresh.size;
	free(fresh.path);

	/* Success! */
	return (0);

err1:
	unlink(fresh.path);
	close(fresh.fd);
err0:
	/* Failure! */
	free(fresh.path);
	return (-1);
}

/**
 * journal_close(journal):
 * Close the file and free ${journal}; NULL is fine.
 */
void
journal_close(struct journal *journal)
{

	if (journal == NULL)
		return;
	close(journal->fd);
	free(journal->path);
	free(journal);
}
