#include <sys/mman.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "shared_mutex.h"
#include "utf8.h"

#include "refusals.h"

/* Statements, and bookings refused of each, that are remembered. */
#define STATEMENTS	32
#define BOOKINGS	64

/* Room for a statement's name, a booking's id in braces, and an error. */
#define NAME_LEN	32
#define ID_LEN		48
#define ERROR_LEN	512

struct refused {
	char booking[ID_LEN];
	unsigned long successes;	/* of the statement, at that time */
};

struct statement {
	char name[NAME_LEN];		/* empty: not in use */
	unsigned long successes;
	struct refused refused[BOOKINGS];
	size_t next;			/* the one to be forgotten next */
	int in_a_row;			/* bookings since the last success */
	int is_everybodys;		/* the last refusal was */
	long met_at;
	char state[8];
	char error[ERROR_LEN];
};

struct refusals {
	pthread_mutex_t mutex;
	struct statement statements[STATEMENTS];
};

/**
 * refusals_new():
 * Return a memory without refusals, which workers forked later share; NULL
 * when memory is short.
 */
struct refusals *
refusals_new(void)
{
	struct refusals *r;

	r = mmap(NULL, sizeof(*r), PROT_READ | PROT_WRITE,
	    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (r == MAP_FAILED)
		return (NULL);

	/* What a database refuses may quote a row. */
	(void)madvise(r, sizeof(*r), MADV_DONTDUMP);
	if (shared_mutex_init(&r->mutex) != 0) {
		refusals_free(r);
		return (NULL);
	}
	return (r);
}

/* Find what is known of the statement ${name}; NULL: there is no room. */
static struct statement *
find(struct refusals *r, const char *name)
{
	struct statement *s;
	size_t i;

	for (i = 0; i < STATEMENTS; i++) {
		s = &r->statements[i];
		if (*s->name == '\0')
			(void)snprintf(s->name, sizeof(s->name), "%s", name);
		if (strcmp(s->name, name) == 0)
			return (s);
	}
	return (NULL);
}

/* Find what is known of refusals of ${booking}: nothing yet, perhaps. */
static struct refused *
find_booking(struct statement *s, const char *booking)
{
	struct refused *refused;
	size_t i;

	for (i = 0; i < BOOKINGS; i++) {
		if (strcmp(s->refused[i].booking, booking) == 0)
			return (&s->refused[i]);
	}
	refused = &s->refused[s->next];
	s->next = (s->next + 1) % BOOKINGS;
	(void)snprintf(refused->booking, sizeof(refused->booking), "%s",
	    booking);
	refused->successes = s->successes;
	s->in_a_row++;
	return (refused);
}

static enum db_outcome
judge(struct statement *s, const struct refusal *refusal)
{
	struct refused *refused;
	int others_got_through;

	/* Bookings in a row count only if all meet the same. */
	if (strcmp(s->state, refusal->state) != 0)
		s->in_a_row = 0;
	(void)snprintf(s->state, sizeof(s->state), "%s", refusal->state);
	if (refusal->booking == NULL)
		return (refusal->outcome);
	refused = find_booking(s, refusal->booking);
	others_got_through = refused->successes != s->successes;
	refused->successes = s->successes;
	if (others_got_through)
		return (DB_FAILED);
	if (refusal->outcome == DB_FAILED && s->in_a_row >= REFUSALS_MANY)
		return (DB_MANY);
	return (refusal->outcome);
}

/**
 * refusals_judge(refusals, statement, refusal, now):
 * ${statement} was refused at ${now} (milliseconds of the monotonic clock).
 * Return the outcome that ${refusal} has by what is known of others: DB_FAILED,
 * DB_MANY or DB_BROKEN.
 */
enum db_outcome
refusals_judge(struct refusals *r, const char *statement,
    const struct refusal *refusal, long now)
{
	enum db_outcome outcome = refusal->outcome;
	struct statement *s;

	shared_mutex_lock(&r->mutex);
	if ((s = find(r, statement)) != NULL) {
		outcome = judge(s, refusal);
		if (outcome != DB_FAILED) {
			s->is_everybodys = 1;
			s->met_at = now;
			(void)snprintf(s->error, sizeof(s->error), "%s",
			    refusal->error);
			utf8_clean(s->error);
		}
	}
	(void)pthread_mutex_unlock(&r->mutex);
	return (outcome);
}

/**
 * refusals_succeeded(refusals, statement):
 * ${statement} was not refused, for whatever booking.
 */
void
refusals_succeeded(struct refusals *r, const char *statement)
{
	struct statement *s;

	shared_mutex_lock(&r->mutex);
	if ((s = find(r, statement)) != NULL) {
		s->successes++;
		s->in_a_row = 0;
		s->is_everybodys = 0;
	}
	(void)pthread_mutex_unlock(&r->mutex);
}

/**
 * refusals_trouble(refusals, now, buf, buflen):
 * Is there a statement that the database refuses for every booking?  If so,
 * say which and why in one sentence in ${buf}, and return non-zero.  What was
 * not met again for REFUSALS_AGE_MS is forgotten.
 */
int
refusals_trouble(struct refusals *r, long now, char *buf, size_t len)
{
	const struct statement *s;
	size_t i;
	int found = 0;

	shared_mutex_lock(&r->mutex);
	for (i = 0; i < STATEMENTS && !found; i++) {
		s = &r->statements[i];
		if (!s->is_everybodys || now - s->met_at >= REFUSALS_AGE_MS)
			continue;
		(void)snprintf(buf, len, "the database refuses the statement "
		    "\"%s\" for one booking as for the next: %s; followup-"
		    "trigger verify says what is missing", s->name, s->error);
		found = 1;
	}
	(void)pthread_mutex_unlock(&r->mutex);
	if (found)
		utf8_clean(buf);
	return (found);
}

/**
 * refusals_free(refusals):
 * Unmap ${refusals} from this process; NULL is fine.
 */
void
refusals_free(struct refusals *r)
{

	if (r != NULL)
		(void)munmap(r, sizeof(*r));
}
