#ifndef API_H_
#define API_H_

#include <stdint.h>

#include "httpd.h"
#include "oidc.h"
#include "script.h"
#include "store.h"

/*
 * The REST API: which request does what to the store.  /v2beta3 is taken as
 * another name of /v2.
 */

struct api {
	struct store *store;
	const struct oidc *oidc;
	struct script *faults;	/* NULL without /admin/faults */
	int64_t horizon;	/* how far ahead a task may be */
};

/**
 * api_handle(api, request):
 * Answer ${request}; ${api} is a struct api.
 */
void api_handle(void *, struct httpd_request *);

#endif /* !API_H_ */
