#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <curl/curl.h>

/*
 * flood URL RATE SECONDS <TOKENS: post to ${URL}, ${RATE} times a second for
 * ${SECONDS}, and print what came of it.  Each line of TOKENS is a kind, a
 * weight, and what to send as bearer; of a text that ends in a dot the rest is
 * made up anew for every request, as the signature of a forged token; "-" is
 * no bearer.  The pace does not depend on the answers, except that no more
 * than MAX_OPEN requests are under way: one that has no place is counted as
 * held back, and not sent.
 *
 * The output is lines of a name and numbers, for callback-flood to read:
 *
 *   sent N, held N, elapsed MS       requests sent and held back
 *   answer KIND STATUS N             status 0: no answer
 *   latency MEDIAN P99 MAX           of all the answers, in microseconds
 */

#define MAX_OPEN	1024
#define MAX_KINDS	16
#define MAX_TOKEN	4096
#define STATUSES	600
#define TIMEOUT_MS	30000L

/* A signature of 2048 bits in base64url. */
#define SIGNATURE_LEN	342

struct kind {
	char name[64];
	char token[MAX_TOKEN];
	unsigned int weight;
	uint64_t answers[STATUSES];
};

struct slot {
	CURL *easy;
	struct curl_slist *headers;
	struct kind *kind;
	struct slot *next;	/* in the list of those that are free */
};

struct flood {
	CURLM *multi;
	struct slot slots[MAX_OPEN];
	struct slot *free;
	struct kind kinds[MAX_KINDS];
	size_t nkinds;
	unsigned int weights;		/* of all kinds */
	uint64_t random;
	uint64_t sent, held, answered;
	uint32_t *latencies;		/* in microseconds */
	size_t size;			/* places for them */
};

static int64_t
now_us(void)
{
	struct timespec ts;

	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ((int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000);
}

/* A good enough random number (xorshift64); nobody's safety depends on it. */
static uint64_t
next_random(struct flood *f)
{

	f->random ^= f->random << 13;
	f->random ^= f->random >> 7;
	f->random ^= f->random << 17;
	return (f->random);
}

/*
 * Write a signature that looks right up to the last step: less than any
 * modulus of 2048 bits (the first bits are 0), and no bits behind its end.
 */
static void
make_signature(struct flood *f, char *out)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	    "abcdefghijklmnopqrstuvwxyz0123456789-_";
	int i;

	for (i = 0; i < SIGNATURE_LEN; i++)
		out[i] = digits[next_random(f) >> 58];
	out[0] = 'A';
	out[SIGNATURE_LEN - 1] = "AQgw"[next_random(f) >> 62];
	out[SIGNATURE_LEN] = '\0';
}

/* Read the kinds of tokens; return 0 or -1. */
static int
read_kinds(struct flood *f)
{
	struct kind *k = f->kinds;
	char weight[8];

	while (f->nkinds < MAX_KINDS && scanf("%63s %7s %4095s", k->name,
	    weight, k->token) == 3) {
		k->weight = (unsigned int)strtoul(weight, NULL, 10);
		f->weights += k->weight;
		f->nkinds++;
		k++;
	}
	return (f->weights > 0 ? 0 : -1);
}

/* The kind that is next, by the weights. */
static struct kind *
pick_kind(struct flood *f)
{
	unsigned int n = (unsigned int)(f->sent % f->weights);
	struct kind *k = f->kinds;

	while (n >= k->weight) {
		n -= k->weight;
		k++;
	}
	return (k);
}

static size_t
discard(char *data, size_t size, size_t n, void *cookie)
{

	(void)data;
	(void)cookie;
	return (size * n);
}

static int
open_slots(struct flood *f, const char *url)
{
	struct slot *slot;
	CURL *easy;
	int i;

	for (i = 0; i < MAX_OPEN; i++) {
		slot = &f->slots[i];
		if ((slot->easy = easy = curl_easy_init()) == NULL)
			return (-1);
		curl_easy_setopt(easy, CURLOPT_URL, url);
		curl_easy_setopt(easy, CURLOPT_PROXY, "");
		curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
		curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, TIMEOUT_MS);
		curl_easy_setopt(easy, CURLOPT_POSTFIELDS, "{}");
		curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, discard);
		curl_easy_setopt(easy, CURLOPT_PRIVATE, (char *)slot);
		slot->next = f->free;
		f->free = slot;
	}
	return (0);
}

/* Send the next request, if there is a place for it; return 0 or -1. */
static int
send_one(struct flood *f)
{
	char header[MAX_TOKEN + SIGNATURE_LEN + 32];
	struct slot *slot = f->free;
	struct curl_slist *list, *more = NULL;
	int len = 0;

	if (slot == NULL) {
		f->held++;
		return (0);
	}
	slot->kind = pick_kind(f);
	list = curl_slist_append(NULL, "Content-Type: application/json");
	if (list != NULL && strcmp(slot->kind->token, "-") != 0) {
		len = snprintf(header, MAX_TOKEN + 32,
		    "Authorization: Bearer %s", slot->kind->token);
		if (header[len - 1] == '.')
			make_signature(f, &header[len]);
		more = curl_slist_append(list, header);
	}
	if (list == NULL || (len > 0 && more == NULL)) {
		curl_slist_free_all(list);
		return (-1);
	}
	curl_easy_setopt(slot->easy, CURLOPT_HTTPHEADER, list);
	if (curl_multi_add_handle(f->multi, slot->easy) != CURLM_OK) {
		curl_slist_free_all(list);
		return (-1);
	}
	slot->headers = list;
	f->free = slot->next;
	f->sent++;
	return (0);
}

/* Count the answers that have come. */
static void
take_answers(struct flood *f)
{
	struct slot *slot;
	CURLMsg *msg;
	curl_off_t us;
	long status;
	int left;

	while ((msg = curl_multi_info_read(f->multi, &left)) != NULL) {
		if (msg->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE,
		    (char **)&slot);
		status = 0;
		us = 0;
		if (msg->data.result == CURLE_OK) {
			curl_easy_getinfo(slot->easy, CURLINFO_RESPONSE_CODE,
			    &status);
			curl_easy_getinfo(slot->easy, CURLINFO_TOTAL_TIME_T,
			    &us);
		}
		if (status < 0 || status >= STATUSES)
			status = 0;
		slot->kind->answers[status]++;
		if (status != 0 && f->answered < f->size)
			f->latencies[f->answered++] = (uint32_t)us;
		curl_multi_remove_handle(f->multi, slot->easy);
		curl_slist_free_all(slot->headers);
		slot->headers = NULL;
		slot->next = f->free;
		f->free = slot;
	}
}

/* Send at ${rate} for ${seconds}, and wait for the last answer. */
static int
run(struct flood *f, int64_t rate, int64_t seconds)
{
	int64_t start = now_us(), total = rate * seconds, due, n = 0;
	int running = 1, wait;

	while (n < total || running > 0) {
		due = (now_us() - start) * rate / 1000000 + 1;
		for (; n < total && n < due; n++) {
			if (send_one(f) != 0)
				return (-1);
		}
		if (curl_multi_perform(f->multi, &running) != CURLM_OK)
			return (-1);
		take_answers(f);
		wait = n < total ? 1 : 100;
		if ((running > 0 || n < total) && curl_multi_poll(f->multi,
		    NULL, 0, wait, NULL) != CURLM_OK)
			return (-1);
	}
	printf("sent %" PRIu64 "\nheld %" PRIu64 "\nelapsed %" PRId64 "\n",
	    f->sent, f->held, (now_us() - start) / 1000);
	return (0);
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return ((x > y) - (x < y));
}

static void
print_results(struct flood *f)
{
	size_t i, status, n = (size_t)f->answered;

	for (i = 0; i < f->nkinds; i++) {
		for (status = 0; status < STATUSES; status++) {
			if (f->kinds[i].answers[status] > 0)
				printf("answer %s %zu %" PRIu64 "\n",
				    f->kinds[i].name, status,
				    f->kinds[i].answers[status]);
		}
	}
	if (n == 0)
		return;
	qsort(f->latencies, n, sizeof(f->latencies[0]), compare);
	printf("latency %" PRIu32 " %" PRIu32 " %" PRIu32 "\n",
	    f->latencies[(n - 1) / 2], f->latencies[(n - 1) * 99 / 100],
	    f->latencies[n - 1]);
}

/* Close what open_slots opened. */
static void
close_slots(struct flood *f)
{
	int i;

	for (i = 0; i < MAX_OPEN; i++) {
		if (f->slots[i].easy == NULL)
			continue;
		curl_multi_remove_handle(f->multi, f->slots[i].easy);
		curl_easy_cleanup(f->slots[i].easy);
		curl_slist_free_all(f->slots[i].headers);
	}
}

int
main(int argc, char **argv)
{
	static struct flood f;
	long rate, seconds;
	int rc = 1;

	if (argc != 4 || (rate = strtol(argv[2], NULL, 10)) <= 0 ||
	    rate > 100000 || (seconds = strtol(argv[3], NULL, 10)) <= 0 ||
	    seconds > 86400) {
		(void)fputs("usage: flood URL RATE SECONDS <TOKENS\n",
		    stderr);
		return (2);
	}
	f.random = (uint64_t)now_us() | 1;
	f.size = (size_t)(rate * seconds);
	if (read_kinds(&f) != 0) {
		(void)fputs("flood: no tokens on standard input: lines of a "
		    "kind, a weight and a token\n", stderr);
		return (2);
	}
	if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
		return (1);
	f.latencies = calloc(f.size, sizeof(f.latencies[0]));
	f.multi = curl_multi_init();
	if (f.latencies != NULL && f.multi != NULL &&
	    curl_multi_setopt(f.multi, CURLMOPT_MAXCONNECTS,
	    (long)MAX_OPEN) == CURLM_OK && open_slots(&f, argv[1]) == 0 &&
	    run(&f, rate, seconds) == 0) {
		print_results(&f);
		rc = 0;
	} else {
		(void)fputs("flood: stopped: out of memory, or libcurl "
		    "failed\n", stderr);
	}

	close_slots(&f);
	curl_multi_cleanup(f.multi);
	curl_global_cleanup();
	free(f.latencies);
	return (rc);
}
