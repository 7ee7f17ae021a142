#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"

static const char alphabet_std[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "abcdefghijklmnopqrstuvwxyz0123456789+/";
static const char alphabet_url[64] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    "abcdefghijklmnopqrstuvwxyz0123456789-_";

static char *
encode(const unsigned char *in, size_t len, const char alphabet[64], int pad)
{
	char *out, *p;
	uint32_t group;
	size_t i, n;

	/* Four characters for every three bytes begun, and the NUL. */
	if (len > SIZE_MAX / 2)
		return (NULL);
	if ((out = malloc((len + 2) / 3 * 4 + 1)) == NULL)
		return (NULL);

	for (p = out, i = 0; i + 3 <= len; i += 3) {
		group = (uint32_t)in[i] << 16 | (uint32_t)in[i + 1] << 8 |
		    in[i + 2];
		*p++ = alphabet[group >> 18];
		*p++ = alphabet[group >> 12 & 0x3f];
		*p++ = alphabet[group >> 6 & 0x3f];
		*p++ = alphabet[group & 0x3f];
	}

	/* One or two bytes more make two or three characters. */
	if ((n = len - i) > 0) {
		group = (uint32_t)in[i] << 16;
		if (n > 1)
			group |= (uint32_t)in[i + 1] << 8;
		*p++ = alphabet[group >> 18];
		*p++ = alphabet[group >> 12 & 0x3f];
		if (n > 1)
			*p++ = alphabet[group >> 6 & 0x3f];
		for (; pad && n < 3; n++)
			*p++ = '=';
	}
	*p = '\0';

	return (out);
}

static unsigned char *
decode(const char *in, size_t len, const char alphabet[64], size_t *outlen)
{
	unsigned char *out;
	const char *pos;
	uint32_t group = 0;
	unsigned int bits = 0;
	size_t i, n = 0;

	/* One character over a multiple of four holds no whole byte. */
	if (len % 4 == 1)
		goto einval;
	if ((out = malloc(len / 4 * 3 + 4)) == NULL)
		return (NULL);

	for (i = 0; i < len; i++) {
		if ((pos = memchr(alphabet, in[i], 64)) == NULL)
			goto einval1;
		group = (group << 6) | (uint32_t)(pos - alphabet);
		bits += 6;
		if (bits >= 8) {
			bits -= 8;
			out[n++] = (unsigned char)(group >> bits);
			group &= (1U << bits) - 1;
		}
	}

	/* Two texts must not stand for the same bytes. */
	if (group != 0)
		goto einval1;
	out[n] = '\0';
	*outlen = n;

	return (out);

einval1:
	free(out);
einval:
	errno = EINVAL;
	return (NULL);
}

/**
 * base64_encode(in, len):
 * Return ${in} (${len} bytes) in the standard alphabet with padding, as a
 * string the caller frees, or NULL when memory is short.
 */
char *
base64_encode(const void *in, size_t len)
{

	return (encode(in, len, alphabet_std, 1));
}

/**
 * base64url_encode(in, len):
 * Likewise in the URL-safe alphabet without padding, as RFC 7515 wants it.
 */
char *
base64url_encode(const void *in, size_t len)
{

	return (encode(in, len, alphabet_url, 0));
}

/**
 * base64_decode(in, len, outlen):
 * Decode ${len} characters of standard base64.  Padding is required where
 * the length calls for it; white space, foreign characters and unused bits
 * that are not zero are refused.  Return a buffer the caller frees, with a
 * NUL behind its ${outlen} bytes, or NULL if the text is not base64 (errno
 * EINVAL) or memory is short (errno ENOMEM).
 */
unsigned char *
base64_decode(const char *in, size_t len, size_t *outlen)
{

	if (len % 4 != 0) {
		errno = EINVAL;
		return (NULL);
	}

	/* Up to two padding characters end the text. */
	if (len > 0 && in[len - 1] == '=') {
		len--;
		if (in[len - 1] == '=')
			len--;
	}

	return (decode(in, len, alphabet_std, outlen));
}

/**
 * base64url_decode(in, len, outlen):
 * Likewise for the URL-safe alphabet, where any padding is refused.
 */
unsigned char *
base64url_decode(const char *in, size_t len, size_t *outlen)
{

	return (decode(in, len, alphabet_url, outlen));
}
