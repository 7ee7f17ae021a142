#ifndef METRICS_FILE_H_
#define METRICS_FILE_H_

#include <stdatomic.h>
#include <stdint.h>

#include "metrics.h"

/*
 * The file of a program's numbers: its layout, its path, and how it is opened.
 * This header is private to metrics_file.c, metrics.c (which writes the file)
 * and metrics_read.c (which reads it); nobody else includes it.
 *
 * The file is struct metrics_file as it lies in memory.  A program of another
 * build reads it only if metrics_file_layout is the same in both.
 */

/* Tells a file of ours from others. */
#define MAGIC		0x4d657431L

/* Room for the numbers of all metrics, for workers, and for versions. */
#define CELLS		512
#define WORKERS		512
#define VERSION_LEN	32

/* Minutes in the file: the next one has to be empty when it begins. */
#define RING		64

/* What a worker does. */
enum { ABSENT, IDLE, BUSY };

/*
 * The last exemplar of a bucket.  Readers and other writers leave it alone
 * while a worker writes it; if that one dies meanwhile, it is emptied.
 */
struct exemplar {
	_Atomic long writer;		/* its place and 2; 0: nobody */
	_Atomic uint64_t id[2];
	_Atomic long value;		/* us */
	_Atomic long time;		/* ms since 1970; 0: none */
};

struct minute {
	_Atomic long start;		/* in minutes since 1970 */
	_Atomic unsigned long in_time;
	_Atomic unsigned long late;
	_Atomic unsigned long not_made;
	_Atomic unsigned long steps[METRICS_STEPS];
	_Atomic unsigned long lateness[METRICS_BUCKETS];
};

struct metrics_file {
	long magic;
	uint64_t layout;		/* of the table; see below */
	char version[VERSION_LEN];
	char schema[VERSION_LEN];	/* its last byte is never written */
	_Atomic long beat;		/* monotonic ms; 0: not yet */
	_Atomic long collect_at;	/* begun, likewise */
	_Atomic long collected_at;	/* with success */
	_Atomic long cells[CELLS];
	_Atomic unsigned char workers[WORKERS];
	struct exemplar exemplars[METRICS_BUCKETS];
	struct minute minutes[RING];
};

/**
 * metrics_file_buckets(family):
 * Return how many buckets a histogram has, with that of everything above.
 */
size_t metrics_file_buckets(const struct metrics_family *);

/**
 * metrics_file_place(metric, label):
 * Return the first cell of ${metric} for ${label}; -1: it has none.
 */
int metrics_file_place(enum metric, int);

/**
 * metrics_file_layout():
 * Return a number that differs between tables that differ.
 */
uint64_t metrics_file_layout(void);

/**
 * metrics_file_path(dir, program, suffix, path):
 * Write the path of the file of ${program} in ${dir}, with ${suffix} behind
 * it, to ${path}.  Return 0, or -1 with errno set if it is too long.
 */
int metrics_file_path(const char *, enum config_program, const char *,
    char [PATH_MAX]);

/**
 * metrics_file_read(path, file, own):
 * Read the file at ${path} into ${file}.  Return 0; or -1 if it is not one of
 * ours or, with ${own}, does not belong to our user.  The caller compares its
 * layout.
 */
int metrics_file_read(const char *, struct metrics_file *, int);

/**
 * metrics_file_is_kept(path):
 * Return non-zero iff another process keeps the file at ${path}.  A process
 * that has locked this file itself must not ask: that would undo its lock.
 */
int metrics_file_is_kept(const char *);

/**
 * metrics_file_open_new(new, path):
 * Open ${new}, empty, for what is to take the place of ${path}, and lock it
 * for this process and none of its children.  Return the descriptor; or -1 with
 * errno set: EAGAIN if another process has the one or the other.
 *
 * The lock comes first, and goes with the file to its new name: of two that
 * begin at the same time, neither takes away what the other one has made.
 */
int metrics_file_open_new(const char *, const char *);

#endif /* !METRICS_FILE_H_ */
