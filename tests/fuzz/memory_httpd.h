#ifndef MEMORY_HTTPD_H_
#define MEMORY_HTTPD_H_

#include <jansson.h>

#include "fuzz.h"
#include "httpd.h"
#include "json_text.h"

/*
 * Takes the place of the emulator's httpd.c: requests come from memory and
 * the answers stay there.  A request is its method and target on one line,
 * and its body:
 *
 * POST /v2/projects/p/locations/l/queues/q/tasks?alt=json
 * {"task":{"httpRequest":{"url":"https://example.com/"}}}
 */

struct httpd_request {
	char *method;
	char *path;
	json_t *queries;
	const char *body;
	size_t len;
	int replies;		/* answers and resets */
	int status;		/* 0 for a reset */
	char *answer;
};

/**
 * memory_httpd_init(request, text, len):
 * Make ${request} of ${len} bytes of ${text}, which must outlive it.  Undo
 * it with memory_httpd_free.  Return 0, or -1 if it is not one.
 */
static inline int
memory_httpd_init(struct httpd_request *request, char *text, size_t len)
{
	char *end = memchr(text, '\n', len), *rest, *pair, *value;

	memset(request, 0, sizeof(*request));
	if (end == NULL || memchr(text, '\0', (size_t)(end - text)) != NULL)
		return (-1);
	*end = '\0';
	request->body = end + 1;
	request->len = len - (size_t)(end + 1 - text);
	request->method = strsep(&text, " ");
	if (text == NULL || *text != '/')
		return (-1);
	request->path = strsep(&text, "?");
	FUZZ_REQUIRE((request->queries = json_object()) != NULL);
	for (rest = text; (pair = strsep(&rest, "&")) != NULL;) {
		value = pair;
		pair = strsep(&value, "=");
		json_object_set_new(request->queries, pair,
		    json_string(value != NULL ? value : ""));
	}
	return (0);
}

/**
 * memory_httpd_free(request):
 * Free what memory_httpd_init made.
 */
static inline void
memory_httpd_free(struct httpd_request *request)
{

	json_decref(request->queries);
	free(request->answer);
}

/*
 * What httpd.h promises.
 */

const char *
httpd_method(const struct httpd_request *request)
{

	return (request->method);
}

const char *
httpd_path(const struct httpd_request *request)
{

	return (request->path);
}

const char *
httpd_query(const struct httpd_request *request, const char *name)
{

	return (json_text(request->queries, name));
}

json_t *
httpd_queries(const struct httpd_request *request)
{

	return (json_incref(request->queries));
}

/* The methods that are fuzzed are those of the request itself. */
const char *
httpd_header(const struct httpd_request *request, const char *name)
{

	(void)request;
	(void)name;
	return (NULL);
}

json_t *
httpd_headers(const struct httpd_request *request)
{

	FUZZ_REQUIRE(request->replies == 0);
	return (json_pack("{s:s}", "host", "127.0.0.1:1"));
}

const char *
httpd_body(const struct httpd_request *request, size_t *len)
{

	*len = request->len;
	return (request->body);
}

void
httpd_delay(const struct httpd_request *request, long milliseconds)
{

	FUZZ_REQUIRE(request->replies == 0);
	FUZZ_REQUIRE(milliseconds >= 0 && milliseconds <= 3600000);
}

void
httpd_set_header(struct httpd_request *request, const char *name,
    const char *value)
{

	FUZZ_REQUIRE(request->replies == 0 && name != NULL && value != NULL);
}

void
httpd_reply(struct httpd_request *request, int status, const char *type,
    const void *body, size_t len)
{

	FUZZ_REQUIRE(request->replies++ == 0 && type != NULL);
	FUZZ_REQUIRE(status >= 200 && status <= 599);
	request->status = status;
	request->answer = fuzz_text(body, len);
}

void
httpd_reply_json(struct httpd_request *request, int status, json_t *json,
    size_t flags)
{
	char *text;

	FUZZ_REQUIRE(json != NULL);
	FUZZ_REQUIRE((text = json_dumps(json, flags)) != NULL);
	httpd_reply(request, status, "application/json", text, strlen(text));
	free(text);
	json_decref(json);
}

void
httpd_reset(struct httpd_request *request)
{

	FUZZ_REQUIRE(request->replies++ == 0);
}

#endif /* !MEMORY_HTTPD_H_ */
