#include <stdio.h>
#include <string.h>

#include "config.h"
#include "db_connect.h"
#include "monotime.h"

#include "scripted_pq.h"
#include "unit.h"

#define ONLY_ONE_MS	5000
#define ONE_OF_MANY_MS	3000

static struct config conf;
static struct db_connect *c;
static long now;

/* Looking up takes no time. */
long
monotime_ms(void)
{

	return (0);
}

static int
begin(void **state)
{

	(void)state;
	pq_begin();
	memset(&conf, 0, sizeof(conf));
	c = NULL;
	now = 1000000;
	return (0);
}

static int
end(void **state)
{

	(void)state;
	db_connect_free(c);
	pq_end();
	return (0);
}

/* Begin to connect by ${url}. */
static enum db_connect_state
begin_url(const char *url)
{

	db_connect_free(c);
	conf.database_url = url;
	assert_non_null(c = db_connect_new(&conf, "the program"));
	return (db_connect_begin(c, now));
}

/* A server is being tried that libpq was told like this. */
static void
tries(const char *keywords)
{

	assert_int_equal(pq.open, 1);
	if (strstr(pq.keywords, keywords) == NULL)
		fail_msg("\"%s\", not \"%s\"", pq.keywords, keywords);
}

/* The server at hand says nothing for ${ms}. */
static enum db_connect_state
hangs(long ms)
{
	short events;
	long deadline;
	int fd;

	assert_int_equal(db_connect_step(c, now), DB_CONNECT_WAITING);
	db_connect_wait(c, &fd, &events, &deadline);
	assert_int_equal(fd, pq.fds[0]);
	assert_int_equal(deadline, now + ms);
	now += ms - 1;
	assert_int_equal(db_connect_step(c, now), DB_CONNECT_WAITING);
	now++;
	return (db_connect_step(c, now));
}

/* The server at hand refuses, or is read-only, which is the same to libpq. */
static enum db_connect_state
refuses(void)
{

	pq.error = "session is read-only\n";
	pq_poll(PGRES_POLLING_FAILED);
	return (db_connect_step(c, now));
}

static void
accepts(void)
{

	pq_poll(PGRES_POLLING_OK);
	assert_int_equal(db_connect_step(c, now), DB_CONNECT_DONE);
	PQfinish(db_connect_take(c));
}

static const char two[] = "postgresql://a:1,b:2/d";

/* libpq wants to read: there is nothing yet. */
static void
wants_to_read(void)
{

	pq_poll(PGRES_POLLING_READING);
	assert_int_equal(db_connect_step(c, now), DB_CONNECT_WAITING);
}

static void
each_has_a_deadline(void **state)
{

	(void)state;
	assert_int_equal(begin_url(two), DB_CONNECT_WAITING);
	tries("host=a hostaddr=192.0.2.1 port=1 target_session_attrs="
	    "read-write ");
	wants_to_read();
	assert_int_equal(hangs(ONE_OF_MANY_MS), DB_CONNECT_WAITING);
	tries("host=b hostaddr=192.0.2.1 port=2 target_session_attrs="
	    "read-write ");
	wants_to_read();
	assert_int_equal(hangs(ONE_OF_MANY_MS), DB_CONNECT_FAILED);
	assert_string_equal(db_connect_error(c), "the database at \"a\" "
	    "(192.0.2.1), port 1, does not answer; the database at \"b\" "
	    "(192.0.2.1), port 2, does not answer");
	assert_int_equal(pq.open, 0);

	/* The next round. */
	assert_int_equal(db_connect_begin(c, now), DB_CONNECT_WAITING);
	tries("host=a ");
	assert_string_equal(db_connect_error(c), "");
	assert_int_equal(refuses(), DB_CONNECT_WAITING);
	tries("host=b ");
	accepts();
}

/* It begins where it worked, or behind what was of no use after all. */
static void
where_it_begins(void **state)
{

	(void)state;
	(void)begin_url(two);
	assert_int_equal(refuses(), DB_CONNECT_WAITING);
	accepts();
	(void)db_connect_begin(c, now);
	tries("host=b ");
	accepts();
	db_connect_skip(c);
	db_connect_skip(c);
	(void)db_connect_begin(c, now);
	tries("host=a ");
	db_connect_cancel(c);
	assert_int_equal(pq.open, 0);
	(void)db_connect_begin(c, now);
	tries("host=a ");
}

/* Of one name, all addresses, which libpq would not do for a standby. */
static void
addresses(void **state)
{

	(void)state;
	pq.addresses[pq.naddresses++] = "192.0.2.2";
	(void)begin_url("postgresql://a/d");
	tries("host=a hostaddr=192.0.2.1 port=5432 ");
	assert_int_equal(refuses(), DB_CONNECT_WAITING);
	tries("host=a hostaddr=192.0.2.2 port=5432 ");
	accepts();

	/* Where it worked, and then the first one again. */
	(void)db_connect_begin(c, now);
	tries("hostaddr=192.0.2.2 ");
	wants_to_read();
	assert_int_equal(hangs(ONE_OF_MANY_MS), DB_CONNECT_WAITING);
	tries("hostaddr=192.0.2.1 ");

	/* A name may lose an address. */
	assert_int_equal(refuses(), DB_CONNECT_WAITING);
	accepts();
	pq.naddresses = 1;
	(void)db_connect_begin(c, now);
	tries("hostaddr=192.0.2.1 ");
	db_connect_cancel(c);

	/* It has none: so the next host. */
	pq.naddresses = 0;
	(void)begin_url("postgresql://a,192.0.2.9/d");
	tries("host=192.0.2.9 hostaddr=192.0.2.9 port=5432 ");
	assert_int_equal(refuses(), DB_CONNECT_FAILED);
	assert_string_equal(db_connect_error(c), "the host \"a\" has no "
	    "address: Name or service not known; session is read-only");
}

/* What lists there are, and what becomes of them. */
static void
lists(void **state)
{
	static const struct {
		const char *url, *first, *second;
	} rows[] = {
		{ "postgresql://a,b:7/d?port=1,", "host=a hostaddr=192.0.2.1 "
		    "port=1 ", "host=b hostaddr=192.0.2.1 port=5432 " },
		{ "host=/run/a,/run/b port=3", "host=/run/a port=3 ",
		    "host=/run/b port=3 " },
		{ "hostaddr=192.0.2.7,192.0.2.8", "host=192.0.2.7 "
		    "hostaddr=192.0.2.7 port=5432 ", "host=192.0.2.8 "
		    "hostaddr=192.0.2.8 port=5432 " },
		{ "host=a,b hostaddr=192.0.2.7,", "host=a hostaddr=192.0.2.7 "
		    "port=5432 ", "host=b hostaddr=192.0.2.1 port=5432 " },

		/* These are libpq's, with one deadline. */
		{ "user=u", "", NULL },
		{ "service=s host=a,b", "", NULL },
		{ "host=a,b hostaddr=192.0.2.7", "", NULL },
		{ "host=a,b port=1,2,3", "", NULL },
		{ "host=,b", "", NULL },
		{ "host=/run/a,b hostaddr=,192.0.2.7", "", NULL },
	};
	const char *rest;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		assert_int_equal(begin_url(rows[i].url), DB_CONNECT_WAITING);
		if (rows[i].second == NULL) {
			rest = strstr(pq.keywords, rows[i].url) +
			    strlen(rows[i].url);
			ASSERT_ROW(strcmp(rest,
			    " target_session_attrs=read-write ") == 0,
			    rows[i].url);
			wants_to_read();
			assert_int_equal(hangs(ONLY_ONE_MS),
			    DB_CONNECT_FAILED);
			continue;
		}
		tries(rows[i].first);
		assert_int_equal(refuses(), DB_CONNECT_WAITING);
		tries(rows[i].second);
		assert_int_equal(refuses(), DB_CONNECT_FAILED);
	}
}

/* The single variables, and what the environment adds. */
static void
variables(void **state)
{

	(void)state;
	conf.postgres_host = "a,b";
	conf.postgres_port = "6";
	(void)begin_url(NULL);
	tries("host=a hostaddr=192.0.2.1 port=6 ");
	assert_int_equal(refuses(), DB_CONNECT_WAITING);
	tries("host=b hostaddr=192.0.2.1 port=6 ");
	db_connect_cancel(c);

	(void)setenv("PGHOST", "192.0.2.3,192.0.2.4", 1);
	(void)setenv("PGCONNECT_TIMEOUT", "2", 1);
	(void)begin_url("dbname=d");
	tries("host=192.0.2.3 ");
	wants_to_read();
	assert_int_equal(hangs(2000), DB_CONNECT_WAITING);
	tries("host=192.0.2.4 ");
	db_connect_cancel(c);

	/* A longer one than ours does not count. */
	(void)begin_url("host=/run/a connect_timeout=60");
	wants_to_read();
	assert_int_equal(hangs(ONLY_ONE_MS), DB_CONNECT_FAILED);
	assert_string_equal(db_connect_error(c), "the database at \"/run/a\","
	    " port 5432, does not answer");
}

/* Nothing can be begun: with the first, or with any. */
static void
cannot_begin(void **state)
{

	(void)state;
	pq.start_fails = 1;
	assert_int_equal(begin_url(two), DB_CONNECT_FAILED);
	assert_string_equal(db_connect_error(c),
	    "out of memory; out of memory");
	pq.start_fails = 2;
	assert_int_equal(db_connect_begin(c, now), DB_CONNECT_FAILED);
	assert_string_equal(db_connect_error(c),
	    "no such host; no such host");
	assert_int_equal(pq.open, 0);
	pq.start_fails = 0;
	assert_int_equal(db_connect_begin(c, now), DB_CONNECT_WAITING);
}

#define TEST(name)	cmocka_unit_test_setup_teardown(name, begin, end)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_has_a_deadline),
		TEST(where_it_begins),
		TEST(addresses),
		TEST(lists),
		TEST(variables),
		TEST(cannot_begin),
	};

	return (cmocka_run_group_tests_name("db_connect", tests, NULL, NULL));
}
