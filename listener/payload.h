#ifndef PAYLOAD_H_
#define PAYLOAD_H_

#include "uuid.h"

/*
 * What a notification says.  Anybody who can connect to the database can send
 * one, so it is no more than a hint to look at a row, and is read with care:
 *
 * {"booking_id": UUID, "tenant_id": UUID or null, ..., "schema": text}
 */

enum payload_kind {
	PAYLOAD_BOOKING,	/* look at this row */
	PAYLOAD_FOREIGN,	/* it is for another schema */
	PAYLOAD_BAD,		/* it makes no sense */
};

struct payload {
	char id[UUID_LEN];
	char tenant_id[UUID_LEN];	/* empty if it says none */
};

/**
 * payload_parse(text, schema, payload, why):
 * Read the notification ${text} on behalf of ${schema}.  ${payload} is set
 * for PAYLOAD_BOOKING, ${why} (a static clause) for PAYLOAD_BAD.
 */
enum payload_kind payload_parse(const char *, const char *, struct payload *,
    const char **);

#endif /* !PAYLOAD_H_ */
