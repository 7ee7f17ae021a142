#ifndef SECRET_H_
#define SECRET_H_

#include <stddef.h>

#include <jansson.h>

/*
 * Secrets are read once and wiped when they are not needed any more.  This
 * covers our own copies; wiping.h those of libraries.
 */

/**
 * secret_read(fd, max, len):
 * Read the open file ${fd} whole, at most ${max} bytes.  Return a buffer of
 * ${len} bytes, to be given to secret_free, or NULL.
 */
char *secret_read(int, size_t, size_t *);

/**
 * secret_free(secret, len):
 * Overwrite and free ${len} bytes at ${secret}; NULL is fine.
 */
void secret_free(char *, size_t);

/**
 * secret_concat(texts):
 * Return the ${texts}, up to a NULL, in one, to be given to secret_free; NULL
 * when memory is short.  Unlike asprintf(3) it leaves no part of them
 * elsewhere.
 */
char *secret_concat(const char *const *);

/* The texts of secret_concat, in their order. */
#define SECRET_TEXTS(...)	((const char *const []){ __VA_ARGS__, NULL })

/**
 * secret_hide(text, secret):
 * Overwrite every ${secret} in ${text} with asterisks, before it is logged.
 */
void secret_hide(char *, const char *);

/**
 * secret_wipe_json(json):
 * Overwrite all texts in ${json}; NULL is fine.
 */
void secret_wipe_json(json_t *);

/**
 * secret_free_json(json):
 * Likewise, and drop the reference, which must be the last one.
 */
void secret_free_json(json_t *);

#endif /* !SECRET_H_ */
