#ifndef CAPTURED_LOG_H_
#define CAPTURED_LOG_H_

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "log.h"

#include "unit.h"

/*
 * What a test's program logs, from captured_log_begin to captured_log_end, to
 * be looked at in between.
 */
static FILE *captured_file;
static int captured_stderr;

/* Begin: everything from ${level} up is kept instead of shown. */
static inline void
captured_log_begin(enum log_level level)
{

	log_init(NULL, level, 0);
	captured_file = tmpfile();
	captured_stderr = dup(STDERR_FILENO);
	assert_non_null(captured_file);
	assert_true(captured_stderr >= 0);
	assert_true(dup2(fileno(captured_file), STDERR_FILENO) >= 0);
}

/* End: what cmocka had to say about a failure is shown. */
static inline void
captured_log_end(void)
{
	char line[4200];

	assert_true(dup2(captured_stderr, STDERR_FILENO) >= 0);
	(void)close(captured_stderr);
	rewind(captured_file);
	while (fgets(line, sizeof(line), captured_file) != NULL) {
		/* A line of the log begins with its time. */
		if (*line < '0' || *line > '9')
			(void)fputs(line, stderr);
	}
	(void)fclose(captured_file);
}

/* Return how many lines have ${text} in them. */
static inline int
logged(const char *text)
{
	char line[4200];
	int n = 0;

	/* Both descriptors share one position, which must not move. */
	off_t end = lseek(fileno(captured_file), 0, SEEK_CUR);

	rewind(captured_file);
	while (fgets(line, sizeof(line), captured_file) != NULL)
		n += strstr(line, text) != NULL;
	(void)lseek(fileno(captured_file), end, SEEK_SET);
	return (n);
}

#endif /* !CAPTURED_LOG_H_ */
