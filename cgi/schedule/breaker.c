#include <sys/mman.h>

#include <pthread.h>
#include <stdio.h>

#include "backoff.h"
#include "log.h"
#include "shared_mutex.h"
#include "utf8.h"

#include "breaker.h"

/* So many failures in a row open it. */
#define THRESHOLD	5

/* Between probes, in milliseconds: at least half of what backoff allows. */
#define PAUSE_BASE_MS	500
#define PAUSE_CAP_MS	15000

/* A probe that has not told what came of it by then died with its worker. */
#define PROBE_MS	30000

struct breaker {
	pthread_mutex_t mutex;
	int failures;		/* in a row */
	int is_open;
	int probes;		/* that failed since it opened */
	long next_probe;	/* no probe before */
	long probing_until;	/* one is on its way until then; 0: none */
	char reason[BREAKER_REASON_LEN];
};

/**
 * breaker_new():
 * Return a closed breaker in memory that workers forked later share; NULL
 * when memory is short.
 */
struct breaker *
breaker_new(void)
{
	struct breaker *b;

	b = mmap(NULL, sizeof(*b), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (b == MAP_FAILED)
		return (NULL);
	if (shared_mutex_init(&b->mutex) != 0) {
		breaker_free(b);
		return (NULL);
	}
	return (b);
}

static int
is_probing(const struct breaker *b, long now)
{

	return (b->probing_until != 0 && now < b->probing_until);
}

/* How long until it is worth asking again, while it is open. */
static long
wait_of(const struct breaker *b, long now)
{

	if (now < b->next_probe)
		return (b->next_probe - now);
	return (is_probing(b, now) ? PAUSE_BASE_MS : 0);
}

/**
 * breaker_ask(breaker, now, wait, reason):
 * May a request go out?  Unless the answer is BREAKER_GO, ${wait} is set to
 * the time until it is worth asking again, and ${reason} (BREAKER_REASON_LEN
 * bytes) to why the breaker is open.
 */
enum breaker_answer
breaker_ask(struct breaker *b, long now, long *wait, char *reason)
{
	enum breaker_answer answer = BREAKER_GO;

	shared_mutex_lock(&b->mutex);
	if (b->is_open) {
		answer = BREAKER_REFUSED;
		if (now >= b->next_probe && !is_probing(b, now)) {
			answer = BREAKER_PROBE;
			b->probing_until = now + PROBE_MS;
		}
		*wait = wait_of(b, now);
		(void)snprintf(reason, BREAKER_REASON_LEN, "%s", b->reason);
	}
	(void)pthread_mutex_unlock(&b->mutex);
	return (answer);
}

/**
 * breaker_succeeded(breaker):
 * The service answered.
 */
void
breaker_succeeded(struct breaker *b)
{
	int closed;

	shared_mutex_lock(&b->mutex);
	closed = b->is_open;
	b->is_open = 0;
	b->failures = 0;
	b->probes = 0;
	b->probing_until = 0;
	(void)pthread_mutex_unlock(&b->mutex);
	if (closed)
		log_info(NULL, "Cloud Tasks answers again: breaker closed");
}

/* Plan the next probe. */
static void
open_until(struct breaker *b, long now, long retry_after)
{
	long top = PAUSE_BASE_MS, pause;
	int i;

	for (i = 0; i < b->probes && top < PAUSE_CAP_MS; i++)
		top *= 2;
	if (top > PAUSE_CAP_MS)
		top = PAUSE_CAP_MS;
	pause = top / 2 + backoff_ms(1, top / 2, top / 2);
	if (retry_after > BREAKER_ASKED_MAX)
		retry_after = BREAKER_ASKED_MAX;
	if (retry_after > 0 && pause < retry_after * 1000)
		pause = retry_after * 1000;
	b->next_probe = now + pause;
	b->probing_until = 0;
}

/**
 * breaker_failed(breaker, now, answer, at_once, retry_after, reason):
 * The service failed a request that had the ${answer} of breaker_ask, for
 * ${reason}.  With ${at_once} set it will fail for everybody: open without
 * waiting for more.  ${retry_after} is the pause that the service asked for
 * in seconds, kept up to BREAKER_ASKED_MAX, or -1.  Return non-zero iff the
 * breaker is open now: the failure then says nothing about what was asked.
 */
int
breaker_failed(struct breaker *b, long now, enum breaker_answer answer,
    int at_once, long retry_after, const char *reason)
{
	int is_open, opened = 0;

	shared_mutex_lock(&b->mutex);
	b->failures++;
	(void)snprintf(b->reason, sizeof(b->reason), "%s", reason);
	utf8_clean(b->reason);
	if (b->is_open) {
		/* What was on its way when it opened tells nothing new. */
		if (answer == BREAKER_PROBE) {
			b->probes++;
			open_until(b, now, retry_after);
		}
	} else if (at_once || b->failures >= THRESHOLD) {
		b->is_open = opened = 1;
		b->probes = 0;
		open_until(b, now, retry_after);
	}
	is_open = b->is_open;
	(void)pthread_mutex_unlock(&b->mutex);
	if (opened)
		log_error(NULL, "breaker open, no booking is scheduled or "
		    "loses an attempt until Cloud Tasks answers: %s", reason);
	return (is_open);
}

/**
 * breaker_state(breaker, now, wait, reason):
 * Return "closed", "open" or "half-open"; ${wait} and ${reason} as above
 * unless it is closed.
 */
const char *
breaker_state(struct breaker *b, long now, long *wait, char *reason)
{
	const char *state = "closed";

	shared_mutex_lock(&b->mutex);
	if (b->is_open) {
		state = is_probing(b, now) || now >= b->next_probe ?
		    "half-open" : "open";
		*wait = wait_of(b, now);
		(void)snprintf(reason, BREAKER_REASON_LEN, "%s", b->reason);
	}
	(void)pthread_mutex_unlock(&b->mutex);
	return (state);
}

/**
 * breaker_free(breaker):
 * Unmap ${breaker} from this process; NULL is fine.
 */
void
breaker_free(struct breaker *b)
{

	if (b != NULL)
		(void)munmap(b, sizeof(*b));
}
