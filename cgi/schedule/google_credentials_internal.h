#ifndef GOOGLE_CREDENTIALS_INTERNAL_H_
#define GOOGLE_CREDENTIALS_INTERNAL_H_

#include <jansson.h>
#include <openssl/evp.h>

/*
 * What google_credentials.c, which reads credentials, and google_token.c,
 * which gets tokens for them, know of each other.  Nobody else includes this.
 */

enum google_kind {
	GOOGLE_SERVICE_ACCOUNT,
	GOOGLE_AUTHORIZED_USER,
	GOOGLE_IMPERSONATED,
	GOOGLE_EXTERNAL,
	GOOGLE_METADATA,
};

struct google_credentials {
	enum google_kind kind;
	const struct config *conf;
	json_t *file;			/* the credentials, without the key */
	EVP_PKEY *key;			/* of a service account */
	struct google_credentials *source;	/* of impersonated ones */
};

#endif /* !GOOGLE_CREDENTIALS_INTERNAL_H_ */
