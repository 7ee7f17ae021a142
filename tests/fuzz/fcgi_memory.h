#ifndef FCGI_MEMORY_H_
#define FCGI_MEMORY_H_

#include <fcgiapp.h>
#include <jansson.h>

#include "fuzz.h"
#include "request.h"

/*
 * A FastCGI request that comes from memory and is answered into memory.  It is
 * written as the parameters, one NAME=VALUE a line, an empty line, and the
 * body:
 *
 * REQUEST_METHOD=POST
 * DOCUMENT_URI=/webhooks/booking-followup
 * CONTENT_TYPE=application/json
 *
 * {"booking_id":"..."}
 *
 * Without a CONTENT_LENGTH it gets the true one.
 */

#define FCGI_MEMORY_PARAMS	12

struct fcgi_memory {
	FCGX_Request fcgx;
	FCGX_Stream in;
	FCGX_Stream out;
	char *text;			/* owns the parameters */
	char *params[FCGI_MEMORY_PARAMS + 2];
	char length[40];
	unsigned char *body;
	size_t len;
	unsigned char answer[65536];
};

static inline void
fcgi_memory_fill(FCGX_Stream *stream)
{

	stream->isClosed = 1;
}

/* No answer is as long as the buffer. */
static inline void
fcgi_memory_empty(FCGX_Stream *stream, int closing)
{

	(void)stream;
	FUZZ_REQUIRE(closing);
}

/**
 * fcgi_memory_init(memory, request, data, len):
 * Make ${request} of the ${len} bytes at ${data}.  Undo it with
 * fcgi_memory_free.
 */
static inline void
fcgi_memory_init(struct fcgi_memory *m, struct request *request,
    const uint8_t *data, size_t len)
{
	char *line, *rest;
	const char *end;
	size_t n = 0;

	memset(m, 0, sizeof(*m));
	end = len > 1 ? memmem(data, len, "\n\n", 2) : NULL;
	m->text = fuzz_text(data, end != NULL ?
	    (size_t)(end - (const char *)data) : len);
	m->len = end != NULL ? len - strlen("\n\n") -
	    (size_t)(end - (const char *)data) : 0;
	m->body = (unsigned char *)fuzz_text(data + len - m->len, m->len);

	for (rest = m->text; n < FCGI_MEMORY_PARAMS &&
	    (line = strsep(&rest, "\n")) != NULL;) {
		if (strchr(line, '=') != NULL)
			m->params[n++] = line;
	}
	(void)snprintf(m->length, sizeof(m->length), "CONTENT_LENGTH=%zu",
	    m->len);
	m->params[n] = m->length;

	m->in.isReader = 1;
	m->in.rdNext = m->in.stopUnget = m->body;
	m->in.stop = m->in.wrNext = m->body + m->len;
	m->in.fillBuffProc = fcgi_memory_fill;
	m->out.wrNext = m->answer;
	m->out.stop = m->out.rdNext = m->answer + sizeof(m->answer) - 1;
	m->out.emptyBuffProc = fcgi_memory_empty;
	m->fcgx.in = &m->in;
	m->fcgx.out = &m->out;
	m->fcgx.envp = m->params;
	request_init(request, &m->fcgx);
}

/* Take the header fields apart; return where the body is. */
static inline const char *
fcgi_memory_fields(const char *p)
{
	const char *end, *colon;

	while (strncmp(p, "\r\n", 2) != 0) {
		FUZZ_REQUIRE((end = strstr(p, "\r\n")) != NULL);
		FUZZ_REQUIRE((colon = strchr(p, ':')) != NULL && colon < end);
		FUZZ_REQUIRE(strcspn(p, "\r\n") == (size_t)(end - p));
		p = end + 2;
	}
	return (p + 2);
}

/**
 * fcgi_memory_check(memory, request):
 * Demand that ${request} has been answered exactly once and in due form, and
 * return the status.
 */
static inline int
fcgi_memory_check(struct fcgi_memory *m, const struct request *request)
{
	const char *answer = (const char *)m->answer, *body;
	char status[40], type[64];
	json_t *json;
	size_t len;

	*m->out.wrNext = '\0';
	len = (size_t)(m->out.wrNext - m->answer);
	FUZZ_REQUIRE(request->answered != 0 && strlen(answer) == len);
	(void)snprintf(status, sizeof(status), "Status: %d ",
	    request->answered);
	FUZZ_REQUIRE(strncmp(answer, status, strlen(status)) == 0);
	FUZZ_REQUIRE(strstr(answer, "Unknown\r\n") == NULL);
	body = fcgi_memory_fields(answer);
	if (strcmp(request->method, "HEAD") == 0) {
		FUZZ_REQUIRE(*body == '\0');
		return (request->answered);
	}

	/* A page is whole, and has no script but its own. */
	if (strstr(answer, "\r\nContent-Type: text/html") != NULL) {
		FUZZ_REQUIRE(strncmp(body, "<!doctype html>", 15) == 0 &&
		    strcmp(answer + len - 9, "</html>\n\n") == 0);
		body = strstr(body, "<script");
		FUZZ_REQUIRE(body != NULL &&
		    strstr(body + 1, "<script") == NULL);
		return (request->answered);
	}
	if (strstr(answer, "\r\nContent-Type: text/plain") != NULL)
		return (request->answered);

	/* One JSON object on one line; an error says its status again. */
	FUZZ_REQUIRE(strchr(body, '\n') == answer + len - 1);
	json = json_loads(body, JSON_REJECT_DUPLICATES, NULL);
	FUZZ_REQUIRE(json_is_object(json));
	(void)snprintf(type, sizeof(type), "\r\nContent-Type: application/%s",
	    request->answered < 300 ? "json\r\n" : "problem+json\r\n");
	FUZZ_REQUIRE(strstr(answer, type) != NULL);
	if (request->answered >= 300)
		FUZZ_REQUIRE(json_integer_value(json_object_get(json,
		    "status")) == request->answered && fuzz_is_line(
		    json_string_value(json_object_get(json, "title"))));
	json_decref(json);
	return (request->answered);
}

/**
 * fcgi_memory_free(memory):
 * Free what fcgi_memory_init made.
 */
static inline void
fcgi_memory_free(struct fcgi_memory *m)
{

	free(m->body);
	free(m->text);
}

#endif /* !FCGI_MEMORY_H_ */
