#ifndef SECRET_H_
#define SECRET_H_

#include <stddef.h>

/*
 * Secrets are read once and wiped when they are not needed any more: our own
 * copies by those who made them, those of libraries by their allocators.
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
 * Overwrite every ${secret} in ${text} with asterisks, in whatever spelling
 * (see spelling.h), before it is logged.
 */
void secret_hide(char *, const char *);

/**
 * secret_wipe_allocations():
 * Libraries copy the secrets that go through them: Jansson while it parses,
 * OpenSSL while it reads a key.  Give both allocators that wipe what is freed,
 * so that no copy outlives its use.  To be called before either is used.
 */
void secret_wipe_allocations(void);

/**
 * secret_curl_init():
 * Initialize libcurl, which copies what it sends, with the same allocators, in
 * place of curl_global_init.  Return 0 or -1.
 */
int secret_curl_init(void);

#endif /* !SECRET_H_ */
