#include <jansson.h>

#include "request.h"
#include "status.h"

#include "routes_internal.h"

/* GET /status.json */
void
routes_status_json(struct routes *r, struct request *request,
    const char *no_id)
{

	(void)no_id;
	request_reply(request, 200, status_look(r->status, r->bookings));
}
