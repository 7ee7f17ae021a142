#ifndef BASE64_H_
#define BASE64_H_

#include <stddef.h>

/*
 * Base64 (RFC 4648): the standard alphabet for HTTP bodies and secrets, the
 * URL-safe one without padding ("base64url") for JSON Web Tokens.
 */

/**
 * base64_encode(in, len):
 * Return ${in} (${len} bytes) in the standard alphabet with padding, as a
 * string the caller frees, or NULL when memory is short.
 */
char *base64_encode(const void *, size_t);

/**
 * base64url_encode(in, len):
 * Likewise in the URL-safe alphabet without padding, as RFC 7515 wants it.
 */
char *base64url_encode(const void *, size_t);

/**
 * base64_decode(in, len, outlen):
 * Decode ${len} characters of standard base64.  Padding is required where
 * the length calls for it; white space, foreign characters and unused bits
 * that are not zero are refused.  Return a buffer the caller frees, with a
 * NUL behind its ${outlen} bytes, or NULL if the text is not base64 (errno
 * EINVAL) or memory is short (errno ENOMEM).
 */
unsigned char *base64_decode(const char *, size_t, size_t *);

/**
 * base64url_decode(in, len, outlen):
 * Likewise for the URL-safe alphabet, where any padding is refused.
 */
unsigned char *base64url_decode(const char *, size_t, size_t *);

#endif /* !BASE64_H_ */
