#ifndef WEBHOOK_SIGNATURE_H_
#define WEBHOOK_SIGNATURE_H_

#include <stddef.h>

/*
 * The signature of Standard Webhooks (standardwebhooks.com, version 1):
 * "v1," and the base64 of HMAC-SHA256 over "{id}.{timestamp}.{body}".
 */

/* The most bytes a key has. */
#define WEBHOOK_KEY_MAX		64

/* "v1,", base64 of 32 bytes, and a NUL. */
#define WEBHOOK_SIGNATURE_LEN	48

struct webhook_key {
	unsigned char bytes[WEBHOOK_KEY_MAX];
	size_t len;
};

/**
 * webhook_key_parse(secret, key):
 * Read ${secret}, "whsec_" and the base64 of 24 to 64 bytes.  Return 0 or -1.
 */
int webhook_key_parse(const char *, struct webhook_key *);

/**
 * webhook_key_hide(text, secret):
 * Overwrite every ${secret}, with its "whsec_" or without, in ${text} with
 * asterisks, as secret_hide does.
 */
void webhook_key_hide(char *, const char *);

/**
 * webhook_sign(key, id, timestamp, body, len, signature):
 * Write the value of the header webhook-signature that goes with the headers
 * webhook-id: ${id} and webhook-timestamp: ${timestamp} and the ${len} bytes
 * of ${body}.  Return 0 or -1.
 */
int webhook_sign(const struct webhook_key *, const char *, const char *,
    const char *, size_t, char [WEBHOOK_SIGNATURE_LEN]);

#endif /* !WEBHOOK_SIGNATURE_H_ */
