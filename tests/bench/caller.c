#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

/*
 * caller URL AUDIENCE KEY KID <BOOKINGS: post the callbacks of bookings to
 * URL/ID/execute-followup as Cloud Tasks does, each with a token of its own,
 * IN_FLIGHT at a time.  Each line of BOOKINGS is an id, a task's id and a body,
 * with bars between them.  The tokens are signed, with the RSA key in the PEM
 * file KEY, before the clock starts.  Prints:
 *
 *   seconds S              from the first request to the last answer
 *   answer STATUS N        how many were answered so; 0: no answer
 *   latency P50 P99 MAX    of all the answers, in ms
 */

#define IN_FLIGHT	64
#define STATUSES	600
#define TIMEOUT_MS	60000L

struct call {
	char *url, *body;
	struct curl_slist *headers;
};

struct caller {
	CURLM *multi;
	struct call *calls;
	size_t n, size, next;
	uint64_t answers[STATUSES];
	double *ms;			/* of each answer */
	size_t answered;
};

static void
die(const char *what)
{

	(void)fprintf(stderr, "caller: %s\n", what);
	exit(1);
}

static void *
must(void *memory)
{

	if (memory == NULL)
		die("out of memory");
	return (memory);
}

static double
now(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((double)ts.tv_sec + (double)ts.tv_nsec / 1e9);
}

/* Write ${len} bytes in base64url, with a NUL behind. */
static void
base64url(const unsigned char *bytes, size_t len, char *out)
{
	char *p;

	(void)EVP_EncodeBlock((unsigned char *)out, bytes, (int)len);
	for (p = out; *p != '\0' && *p != '='; p++) {
		if (*p == '+')
			*p = '-';
		else if (*p == '/')
			*p = '_';
	}
	*p = '\0';
}

/* Write a header with a new token; ${number} makes it unlike all others. */
static void
make_token(EVP_PKEY *key, const char *kid, const char *audience,
    size_t number, char *out, size_t size)
{
	unsigned char signature[512];
	char text[1024], head[512], claims[1400], encoded[700];
	size_t len = sizeof(signature);
	EVP_MD_CTX *context = must(EVP_MD_CTX_new());
	int64_t issued = (int64_t)time(NULL);

	(void)snprintf(text, sizeof(text),
	    "{\"alg\":\"RS256\",\"kid\":\"%s\",\"typ\":\"JWT\"}", kid);
	base64url((unsigned char *)text, strlen(text), head);
	(void)snprintf(text, sizeof(text), "{\"aud\":\"%s\",\"azp\":\"%zu\","
	    "\"email\":\"followup@demo-project.iam.gserviceaccount.com\","
	    "\"email_verified\":true,\"exp\":%" PRId64 ",\"iat\":%" PRId64
	    ",\"iss\":\"https://accounts.google.com\",\"sub\":\"1\"}",
	    audience, number, issued + 3600, issued);
	base64url((unsigned char *)text, strlen(text), claims);
	(void)snprintf(out, size, "Authorization: Bearer %s.%s", head,
	    claims);
	if (EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) != 1 ||
	    EVP_DigestSign(context, signature, &len, (unsigned char *)
	    strrchr(out, ' ') + 1, strlen(strrchr(out, ' ') + 1)) != 1)
		die("a token cannot be signed");
	EVP_MD_CTX_free(context);
	base64url(signature, len, encoded);
	(void)snprintf(&out[strlen(out)], size - strlen(out), ".%s", encoded);
}

static void
add_header(struct call *call, const char *header)
{

	call->headers = must(curl_slist_append(call->headers, header));
}

/* Read the bookings and make their requests. */
static void
read_calls(struct caller *c, char **argv)
{
	char header[4096], *line = NULL, *task, *body;
	size_t line_size = 0;
	struct call *call;
	EVP_PKEY *key;
	FILE *file;

	if ((file = fopen(argv[3], "r")) == NULL ||
	    (key = PEM_read_PrivateKey(file, NULL, NULL, NULL)) == NULL)
		die("there is no private key in the file");
	(void)fclose(file);
	while (getline(&line, &line_size, stdin) > 0) {
		line[strcspn(line, "\n")] = '\0';
		if ((task = strchr(line, '|')) == NULL ||
		    (body = strchr(task + 1, '|')) == NULL)
			die("a line is not ID|TASK|BODY");
		*task++ = '\0';
		*body++ = '\0';
		if (c->n == c->size) {
			c->size = c->size == 0 ? 1024 : 2 * c->size;
			c->calls = must(realloc(c->calls,
			    c->size * sizeof(*c->calls)));
		}
		call = &c->calls[c->n++];
		call->headers = NULL;
		call->body = must(strdup(body));
		(void)snprintf(header, sizeof(header),
		    "%s/%s/execute-followup", argv[1], line);
		call->url = must(strdup(header));
		add_header(call, "Content-Type: application/json");
		add_header(call,
		    "X-CloudTasks-QueueName: follow-up-voag-calls");
		(void)snprintf(header, sizeof(header),
		    "X-CloudTasks-TaskName: %s", task);
		add_header(call, header);
		make_token(key, argv[4], argv[2], c->n, header,
		    sizeof(header));
		add_header(call, header);
	}
	free(line);
	EVP_PKEY_free(key);
	c->ms = must(calloc(c->n + 1, sizeof(*c->ms)));
}

static size_t
discard(char *data, size_t size, size_t n, void *cookie)
{

	(void)data;
	(void)cookie;
	return (size * n);
}

/* Send the next request over ${easy}, if there is one. */
static void
send_next(struct caller *c, CURL *easy)
{
	const struct call *call;

	if (c->next == c->n) {
		curl_easy_cleanup(easy);
		return;
	}
	call = &c->calls[c->next++];
	curl_easy_setopt(easy, CURLOPT_URL, call->url);
	curl_easy_setopt(easy, CURLOPT_HTTPHEADER, call->headers);
	curl_easy_setopt(easy, CURLOPT_POSTFIELDS, call->body);
	if (curl_multi_add_handle(c->multi, easy) != CURLM_OK)
		die("libcurl failed");
}

/* Take an answer and use its handle for the next request. */
static void
take_answer(struct caller *c, CURL *easy, CURLcode rc)
{
	curl_off_t us = 0;
	long status = 0;

	if (rc == CURLE_OK) {
		curl_easy_getinfo(easy, CURLINFO_RESPONSE_CODE, &status);
		curl_easy_getinfo(easy, CURLINFO_TOTAL_TIME_T, &us);
	}
	c->answers[status > 0 && status < STATUSES ? status : 0]++;
	c->ms[c->answered++] = (double)us / 1000;
	curl_multi_remove_handle(c->multi, easy);
	send_next(c, easy);
}

static void
run(struct caller *c)
{
	CURLMsg *msg;
	CURL *easy;
	int i, left;

	for (i = 0; i < IN_FLIGHT; i++) {
		easy = must(curl_easy_init());
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
		curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
		send_next(c, easy);
	}
	while (c->answered < c->n) {
		if (curl_multi_perform(c->multi, &left) != CURLM_OK)
			die("libcurl failed");
		while ((msg = curl_multi_info_read(c->multi, &left)) != NULL) {
			if (msg->msg == CURLMSG_DONE)
				take_answer(c, msg->easy_handle,
				    msg->data.result);
		}
		if (c->answered < c->n && curl_multi_poll(c->multi, NULL, 0,
		    1000, NULL) != CURLM_OK)
			die("libcurl failed");
	}
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return ((x > y) - (x < y));
}

int
main(int argc, char **argv)
{
	static struct caller c;
	double began;
	size_t i;

	if (argc != 5) {
		(void)fputs("usage: caller URL AUDIENCE KEY KID <BOOKINGS\n",
		    stderr);
		return (2);
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		die("libcurl cannot be initialised");
	c.multi = must(curl_multi_init());
	read_calls(&c, argv);
	began = now();
	run(&c);
	printf("seconds %.3f\n", now() - began);
	for (i = 0; i < STATUSES; i++) {
		if (c.answers[i] > 0)
			printf("answer %zu %" PRIu64 "\n", i, c.answers[i]);
	}
	qsort(c.ms, c.answered, sizeof(*c.ms), compare);
	if (c.answered > 0)
		printf("latency %.1f %.1f %.1f\n", c.ms[(c.answered - 1) / 2],
		    c.ms[(c.answered - 1) * 99 / 100], c.ms[c.answered - 1]);

	for (i = 0; i < c.n; i++) {
		free(c.calls[i].url);
		free(c.calls[i].body);
		curl_slist_free_all(c.calls[i].headers);
	}
	free(c.calls);
	free(c.ms);
	curl_multi_cleanup(c.multi);
	curl_global_cleanup();
	return (0);
}
