#include <ctype.h>
#include <time.h>

#include "fuzz.h"
#include "retry_after.h"

/*
 * Retry-After, which any server may send: whatever it says, nobody waits
 * longer than RETRY_AFTER_MAX, and what is clearly a number or a date is read
 * as such.
 */

#define NOW	1795431600	/* Mon, 23 Nov 2026 11:00:00 GMT */

static long
capped(long long seconds)
{

	return (seconds < 0 ? 0 : seconds > RETRY_AFTER_MAX ?
	    RETRY_AFTER_MAX : (long)seconds);
}

/* What a number of seconds asks for, or -1 if it is none. */
static long
judge_seconds(const char *text)
{
	size_t n = strspn(text, "0123456789");

	if (n == 0 || text[n] != '\0')
		return (-1);
	text += strspn(text, "0");
	return (strlen(text) > 9 ? RETRY_AFTER_MAX :
	    capped(strtoll(text, NULL, 10)));
}

/*
 * What a date in the preferred form of RFC 9110 asks for, or -1 if it is
 * none: the date that is the same when it is written again.
 */
static long
judge_date(const char *text)
{
	char again[64];
	struct tm tm = { .tm_isdst = 0 };
	const char *end;
	time_t at;

	end = strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm);
	if (end == NULL || *end != '\0' || tm.tm_year < 70 ||
	    tm.tm_year > 8099)
		return (-1);
	at = timegm(&tm);
	if (strftime(again, sizeof(again), "%a, %d %b %Y %H:%M:%S GMT",
	    gmtime(&at)) == 0 || strcmp(again, text) != 0)
		return (-1);
	return (capped((long long)at - NOW));
}

/*
 * Does the text look like one of the three forms of a date?  0 stands for a
 * digit, what is a letter for any letter.
 */
static int
is_like(const char *text, const char *example)
{

	for (; *example != '\0'; text++, example++) {
		if (isdigit((unsigned char)*example) ?
		    !isdigit((unsigned char)*text) :
		    isalpha((unsigned char)*example) ?
		    !isalpha((unsigned char)*text) : *text != *example)
			return (0);
	}
	return (*text == '\0');
}

static int
is_like_a_date(const char *text)
{
	const char *comma = strchr(text, ',');

	return (is_like(text, "Mon, 23 Nov 2026 11:00:00 GMT") ||
	    is_like(text, "Mon Nov 23 11:00:00 2026") ||
	    is_like(text, "Mon Nov  3 11:00:00 2026") ||
	    (comma != NULL && is_like(comma, ", 23-Nov-26 11:00:00 GMT")));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *text = fuzz_text(data, len);
	long wait, later, want;

	wait = retry_after_parse(text, NOW);
	FUZZ_REQUIRE(wait >= -1 && wait <= RETRY_AFTER_MAX);

	/* Numbers are numbers whatever the time is; dates come nearer. */
	later = retry_after_parse(text, NOW + 60);
	FUZZ_REQUIRE((later == -1) == (wait == -1) && later <= wait);
	if ((want = judge_seconds(text)) != -1)
		FUZZ_REQUIRE(wait == want && later == want);
	else if (!is_like_a_date(text))
		FUZZ_REQUIRE(wait == -1);
	if ((want = judge_date(text)) != -1)
		FUZZ_REQUIRE(wait == want);
	free(text);
	return (0);
}
