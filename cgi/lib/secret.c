#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/crypto.h>

#include "spelling.h"

#include "secret.h"

/**
 * secret_read(fd, max, len):
 * Read the open file ${fd} whole, at most ${max} bytes.  Return a buffer of
 * ${len} bytes, to be given to secret_free, or NULL.
 */
char *
secret_read(int fd, size_t max, size_t *len)
{
	char *buf;
	ssize_t n;

	if ((buf = malloc(max + 1)) == NULL)
		return (NULL);
	for (*len = 0; *len <= max; *len += (size_t)n) {
		n = read(fd, &buf[*len], max + 1 - *len);
		if (n == 0)
			return (buf);
		if (n < 0 && errno == EINTR)
			n = 0;
		else if (n < 0)
			break;
	}
	secret_free(buf, max + 1);
	return (NULL);
}

/**
 * secret_free(secret, len):
 * Overwrite and free ${len} bytes at ${secret}; NULL is fine.
 */
void
secret_free(char *secret, size_t len)
{

	if (secret != NULL)
		OPENSSL_cleanse(secret, len);
	free(secret);
}

/**
 * secret_concat(texts):
 * Return the ${texts}, up to a NULL, in one, to be given to secret_free; NULL
 * when memory is short.  Unlike asprintf(3) it leaves no part of them
 * elsewhere.
 */
char *
secret_concat(const char *const *texts)
{
	size_t i, n, len = 0;
	char *all;

	for (i = 0; texts[i] != NULL; i++)
		len += strlen(texts[i]);
	if ((all = malloc(len + 1)) == NULL)
		return (NULL);
	for (i = 0, len = 0; texts[i] != NULL; i++, len += n) {
		n = strlen(texts[i]);
		memcpy(&all[len], texts[i], n);
	}
	all[len] = '\0';
	return (all);
}

/* Return the length of what means ${code} at the front of ${s}, or 0. */
static size_t
means(const char *s, unsigned long code)
{
	struct spelling c;

	if (*s == '\0')
		return (0);
	c = spelling_read(s);

	/* A form has a plus sign in the place of a blank. */
	if (c.code == code || (c.code == '+' && code == ' '))
		return (c.len);

	/* What looks like an escape may be the secret's own. */
	c = spelling_plain(s);
	return (c.code == code ? c.len : 0);
}

/* Likewise, of the backslashes there, of which the last may be an escape's. */
static size_t
backslashes(const char *s)
{
	struct spelling c;

	if (*s == '\0')
		return (0);
	c = spelling_read(s);
	return (c.code == '\\' ? c.len : strspn(s, "\\"));
}

/*
 * Likewise, of what spells ${secret}.  Backslashes are passed over in both: how
 * many there are of them depends on how often the text was escaped.
 */
static size_t
spells(const char *text, const char *secret)
{
	struct spelling want;
	size_t n, at = 0;

	for (; *secret != '\0'; secret += want.len) {
		want = spelling_plain(secret);
		if (want.code == '\\')
			continue;
		while ((n = means(&text[at], want.code)) == 0) {
			if (at == 0 || (n = backslashes(&text[at])) == 0)
				return (0);
			at += n;
		}
		at += n;
	}
	return (at);
}

/**
 * secret_hide(text, secret):
 * Overwrite every ${secret} in ${text} with asterisks, in whatever spelling
 * (see spelling.h), before it is logged.
 */
void
secret_hide(char *text, const char *secret)
{
	size_t len = strlen(secret), n;
	char *p;

	for (p = text; len > 0 && (p = strstr(p, secret)) != NULL; p += len)
		memset(p, '*', len);
	for (p = text; *p != '\0'; p += n) {
		if ((n = spells(p, secret)) > 0)
			memset(p, '*', n);
		else if ((n = strspn(p, "\\")) == 0)
			n = 1;
	}
}

static void
wipe_and_free(void *p)
{

	if (p != NULL)
		explicit_bzero(p, malloc_usable_size(p));
	free(p);
}

/* As realloc(3), which would leave the old bytes behind where it moves. */
static void *
move(void *old, size_t size)
{
	size_t had;
	void *new;

	if (old == NULL)
		return (malloc(size));
	if (size == 0) {
		wipe_and_free(old);
		return (NULL);
	}
	if (size <= (had = malloc_usable_size(old)))
		return (old);
	if ((new = malloc(size)) != NULL) {
		memcpy(new, old, had);
		wipe_and_free(old);
	}
	return (new);
}

/* OpenSSL's allocators are told who calls. */
static void *
openssl_malloc(size_t size, const char *file, int line)
{

	(void)file;
	(void)line;
	return (malloc(size));
}

static void *
openssl_realloc(void *old, size_t size, const char *file, int line)
{

	(void)file;
	(void)line;
	return (move(old, size));
}

static void
openssl_free(void *p, const char *file, int line)
{

	(void)file;
	(void)line;
	wipe_and_free(p);
}

/**
 * secret_wipe_allocations():
 * Libraries copy the secrets that go through them: Jansson while it parses,
 * OpenSSL while it reads a key.  Give both allocators that wipe what is freed,
 * so that no copy outlives its use.  To be called before either is used.
 */
void
secret_wipe_allocations(void)
{

	json_set_alloc_funcs(malloc, wipe_and_free);
	(void)CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc,
	    openssl_free);
}

/**
 * secret_curl_init():
 * Initialize libcurl, which copies what it sends, with the same allocators, in
 * place of curl_global_init.  Return 0 or -1.
 */
int
secret_curl_init(void)
{

	return (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc,
	    wipe_and_free, move, strdup, calloc) == CURLE_OK ? 0 : -1);
}
