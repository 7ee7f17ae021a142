#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "base64.h"
#include "secret.h"

#include "webhook_signature.h"

#define KEY_MIN	24

#define PREFIX		"whsec_"
#define PREFIX_LEN	(sizeof(PREFIX) - 1)

/**
 * webhook_key_parse(secret, key):
 * Read ${secret}, "whsec_" and the base64 of 24 to 64 bytes.  Return 0 or -1.
 */
int
webhook_key_parse(const char *secret, struct webhook_key *key)
{
	unsigned char *bytes;
	int good;

	if (strncmp(secret, PREFIX, PREFIX_LEN) != 0)
		return (-1);
	secret += PREFIX_LEN;
	bytes = base64_decode(secret, strlen(secret), &key->len);
	if (bytes == NULL)
		return (-1);
	good = key->len >= KEY_MIN && key->len <= WEBHOOK_KEY_MAX;
	if (good)
		memcpy(key->bytes, bytes, key->len);
	OPENSSL_cleanse(bytes, key->len);
	free(bytes);
	return (good ? 0 : -1);
}

/**
 * webhook_key_hide(text, secret):
 * Overwrite every ${secret}, with its "whsec_" or without, in ${text} with
 * asterisks, as secret_hide does.
 */
void
webhook_key_hide(char *text, const char *secret)
{

	if (strncmp(secret, PREFIX, PREFIX_LEN) == 0)
		secret += PREFIX_LEN;
	secret_hide(text, secret);
}

/**
 * webhook_sign(key, id, timestamp, body, len, signature):
 * Write the value of the header webhook-signature that goes with the headers
 * webhook-id: ${id} and webhook-timestamp: ${timestamp} and the ${len} bytes
 * of ${body}.  Return 0 or -1.
 */
int
webhook_sign(const struct webhook_key *key, const char *id,
    const char *timestamp, const char *body, size_t len,
    char signature[WEBHOOK_SIGNATURE_LEN])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	char *content, *encoded = NULL;
	unsigned int maclen;
	size_t before = strlen(id) + 1 + strlen(timestamp) + 1;
	int rc = -1;

	if ((content = malloc(before + len + 1)) == NULL)
		return (-1);
	(void)snprintf(content, before + 1, "%s.%s.", id, timestamp);
	memcpy(&content[before], body, len);
	if (HMAC(EVP_sha256(), key->bytes, (int)key->len,
	    (const unsigned char *)content, before + len, mac, &maclen) !=
	    NULL && (encoded = base64_encode(mac, maclen)) != NULL) {
		(void)snprintf(signature, WEBHOOK_SIGNATURE_LEN, "v1,%s",
		    encoded);
		rc = 0;
	}
	free(encoded);
	free(content);
	return (rc);
}
