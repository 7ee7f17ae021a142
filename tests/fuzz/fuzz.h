#ifndef FUZZ_H_
#define FUZZ_H_

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/*
 * What every fuzz target begins with.  A target is one function, which
 * libFuzzer (make fuzz) or replay.c (make check) calls with one input after
 * the other; it runs our own code on it and demands what must hold whatever
 * the input is.
 */

/**
 * LLVMFuzzerTestOneInput(data, len):
 * Run the target on ${len} bytes of ${data}; return 0.
 */
int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

/*
 * FUZZ_REQUIRE(condition):
 * End the program, so that the input is kept as a finding, unless
 * ${condition}.
 */
#define FUZZ_REQUIRE(condition) do {					\
	if (!(condition)) {						\
		(void)fprintf(stderr, "%s:%d: not so: %s\n", __FILE__,	\
		    __LINE__, #condition);				\
		abort();						\
	}								\
} while (0)

/**
 * fuzz_text(data, len):
 * Return ${len} bytes of ${data} as a string in memory of just its size, so
 * that the sanitizer sees whoever reads on; the caller frees it.
 */
static inline char *
fuzz_text(const void *data, size_t len)
{
	char *text;

	FUZZ_REQUIRE((text = calloc(1, len + 1)) != NULL);
	if (len > 0)
		memcpy(text, data, len);
	return (text);
}

/**
 * fuzz_is_line(text):
 * Say whether ${text} is something to read, on one line.
 */
static inline int
fuzz_is_line(const char *text)
{

	return (text != NULL && *text != '\0' && strpbrk(text, "\r\n") == NULL);
}

/**
 * fuzz_is_uuid(text):
 * Say whether ${text} is a UUID in lower case, as PostgreSQL writes it.
 */
static inline int
fuzz_is_uuid(const char *text)
{
	size_t i;

	if (strlen(text) != 36)
		return (0);
	for (i = 0; i < 36; i++) {
		if (strchr(i == 8 || i == 13 || i == 18 || i == 23 ? "-" :
		    "0123456789abcdef", text[i]) == NULL)
			return (0);
	}
	return (1);
}

#endif /* !FUZZ_H_ */
