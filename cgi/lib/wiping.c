#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>
#include <jansson.h>
#include <openssl/crypto.h>

#include "wiping.h"

static void
wipe_and_free(void *p)
{

	if (p != NULL)
		OPENSSL_cleanse(p, malloc_usable_size(p));
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
 * wiping_begin():
 * Give them to Jansson and OpenSSL; to be called before either is used.
 */
void
wiping_begin(void)
{

	json_set_alloc_funcs(malloc, wipe_and_free);
	(void)CRYPTO_set_mem_functions(openssl_malloc, openssl_realloc,
	    openssl_free);
}

/**
 * wiping_curl_init():
 * Initialize libcurl with them, in place of curl_global_init.  Return 0 or
 * -1.
 */
int
wiping_curl_init(void)
{

	return (curl_global_init_mem(CURL_GLOBAL_DEFAULT, malloc,
	    wipe_and_free, move, strdup, calloc) == CURLE_OK ? 0 : -1);
}
