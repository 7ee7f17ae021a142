#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

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

/**
 * secret_hide(text, secret):
 * Overwrite every ${secret} in ${text} with asterisks, before it is logged.
 */
void
secret_hide(char *text, const char *secret)
{
	size_t len = strlen(secret);
	char *p;

	for (p = text; len > 0 && (p = strstr(p, secret)) != NULL; p += len)
		memset(p, '*', len);
}

/**
 * secret_wipe_json(json):
 * Overwrite all texts in ${json}; NULL is fine.
 */
void
secret_wipe_json(json_t *json)
{
	const char *key;
	json_t *value;
	size_t i;

	/* A text that is not const inside Jansson. */
	if (json_is_string(json))
		OPENSSL_cleanse((char *)(uintptr_t)json_string_value(json),
		    json_string_length(json));
	json_object_foreach(json, key, value)
		secret_wipe_json(value);
	json_array_foreach(json, i, value)
		secret_wipe_json(value);
}

/**
 * secret_free_json(json):
 * Likewise, and drop the reference, which must be the last one.
 */
void
secret_free_json(json_t *json)
{

	secret_wipe_json(json);
	json_decref(json);
}
