#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config.h"

#include "unit.h"

/* One environment, as "NAME=value" texts. */
#define MAX_SETTINGS	8

/* What each program cannot do without. */
static const char *const needs_schedule[] = {
	"GCP_PROJECT_ID=example-project",
	"GCP_CLOUD_TASKS_SERVICE_ACCOUNT=sa@example.com",
	"FOLLOWUP_EXECUTION_ENDPOINT=https://example.com/bookings",
	NULL,
};
static const char *const needs_execute[] = {
	"GCP_CLOUD_TASKS_SERVICE_ACCOUNT=sa@example.com",
	"FOLLOWUP_EXECUTION_ENDPOINT=https://example.com/bookings",
	"FOLLOWUP_CALL_URL=https://example.com/calls",
	NULL,
};

/*
 * Strings of a configuration live as long as the process, so these do too;
 * a URL that lost its slash is a copy which only they refer to.
 */
static struct config confs[512];
static size_t nconfs;
static char why[512];

static void
set(const char *setting)
{
	char name[64];
	size_t n = strcspn(setting, "=");

	assert_true(n < sizeof(name));
	memcpy(name, setting, n);
	name[n] = '\0';
	assert_int_equal(setenv(name, &setting[n + 1], 1), 0);
}

/* Give ${program} what it needs and nothing else. */
static void
set_needs(enum config_program program)
{
	const char *const *s;

	assert_int_equal(clearenv(), 0);
	if (program == CONFIG_LISTENER)
		return;
	for (s = program == CONFIG_SCHEDULE ? needs_schedule : needs_execute;
	    *s != NULL; s++)
		set(*s);
}

/* Load for ${program}; NULL if it was refused, for the reason in why. */
static const struct config *
load(enum config_program program)
{
	struct config *conf = &confs[nconfs++];

	assert_true(nconfs <= NITEMS(confs));
	why[0] = '\0';
	return (config_load(program, conf, why, sizeof(why)) == 0 ? conf :
	    NULL);
}

/* Load with what is needed and one setting more. */
static const struct config *
load_with(enum config_program program, const char *setting)
{

	set_needs(program);
	set(setting);
	return (load(program));
}

static void
test_defaults(void **state)
{
	const struct config *conf;

	(void)state;
	set_needs(CONFIG_LISTENER);
	conf = load(CONFIG_LISTENER);
	assert_non_null(conf);
	assert_null(conf->database_url);
	assert_string_equal(conf->schema, "lad_dev");
	assert_string_equal(conf->table, "lead_bookings");
	assert_string_equal(conf->webhook_url,
	    "http://localhost/webhooks/booking-followup");
	assert_string_equal(conf->webhook_socket,
	    "/run/followup-scheduler/local.sock");
	assert_int_equal(conf->listener_inflight, 4);
	assert_int_equal(conf->sweep_interval, 5);
	assert_int_equal(conf->sweep_window, 86400);
	assert_int_equal(conf->overdue_grace, 300);
	assert_string_equal(conf->runtime_dir, "/run/followup-scheduler");
	assert_string_equal(conf->log_level, "info");
	assert_string_equal(conf->log_format, "text");

	set_needs(CONFIG_SCHEDULE);
	conf = load(CONFIG_SCHEDULE);
	assert_non_null(conf);
	assert_string_equal(conf->project_id, "example-project");
	assert_string_equal(conf->location, "us-central1");
	assert_string_equal(conf->queue, "follow-up-voag-calls");
	assert_string_equal(conf->execution_audience,
	    "https://example.com/bookings");
	assert_string_equal(conf->metadata_host, "metadata.google.internal");
	assert_int_equal(conf->schedule_workers, 5);
	assert_int_equal(conf->max_schedule_attempts, 10);
	assert_null(conf->cloud_tasks_endpoint);
	assert_null(conf->emulator_host);
	assert_null(conf->call_url);

	set_needs(CONFIG_EXECUTE);
	conf = load(CONFIG_EXECUTE);
	assert_non_null(conf);
	assert_string_equal(conf->oidc_jwks_url,
	    "https://www.googleapis.com/oauth2/v3/certs");
	assert_string_equal(conf->oidc_issuer, "https://accounts.google.com");
	assert_string_equal(conf->call_url, "https://example.com/calls");
	assert_int_equal(conf->call_timeout, 30);
	assert_int_equal(conf->execute_workers, 8);
	assert_int_equal(conf->max_execution_attempts, 8);
	assert_string_equal(conf->unknown_outcome, "retry");
}

/* Values that are taken, by type. */
static const struct {
	enum config_program program;
	const char *setting;
} good[] = {
	{ CONFIG_LISTENER, "DATABASE_URL=postgresql://u:p@example.com/db" },
	{ CONFIG_LISTENER, "POSTGRES_PORT=1" },
	{ CONFIG_LISTENER, "POSTGRES_PORT=65535" },
	{ CONFIG_LISTENER, "POSTGRES_SCHEMA=Odd \"name\"; with $" },
	{ CONFIG_LISTENER, "FOLLOWUP_TABLE=r\xc3\xa9servations" },
	{ CONFIG_LISTENER, "FOLLOWUP_TABLE="
	    "a23456789b123456789c123456789d123456789e123456789f123456789g123" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=example.com:project-1" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=a.b-c.example.com:project-1" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=eu0:project-1" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=123456789012" },
	{ CONFIG_SCHEDULE, "GOOGLE_CLOUD_QUOTA_PROJECT=example.com:quota-1" },
	{ CONFIG_SCHEDULE, "GCP_LOCATION=northamerica-northeast1" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_QUEUE_NAME=Queue-1" },
	{ CONFIG_SCHEDULE,
	    "GCP_CLOUD_TASKS_SERVICE_ACCOUNT=a.b+c@p.iam.example.com" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_ENDPOINT=https://example.com" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_ENDPOINT=http://localhost:8123" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=localhost:8123" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=[::1]:8123" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=emulator:1" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=the_emulator-1:8123" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=127.0.0.1:65535" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=[::ffff:127.0.0.1]:1" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_PROXY=proxy.example.com.:3128" },
	{ CONFIG_SCHEDULE, "GCE_METADATA_HOST=169.254.169.254" },
	{ CONFIG_SCHEDULE, "GCE_METADATA_HOST=localhost:8123" },
	{ CONFIG_SCHEDULE, "GCE_METADATA_HOST=metadata.google.internal." },
	{ CONFIG_SCHEDULE, "GCE_METADATA_HOST=[fd20:ce::254]" },
	{ CONFIG_SCHEDULE, "GCE_METADATA_HOST=[fd20:ce::254]:80" },
	{ CONFIG_SCHEDULE, "GOOGLE_APPLICATION_CREDENTIALS=/etc/key.json" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_SCHEDULE_WORKERS=1" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_SCHEDULE_WORKERS=512" },
	{ CONFIG_EXECUTE, "OIDC_JWKS_URL=http://127.0.0.1:8123/certs" },
	{ CONFIG_EXECUTE, "FOLLOWUP_CALL_URL=http://[::1]:8123/calls" },
	{ CONFIG_EXECUTE, "FOLLOWUP_CALL_URL=https://example.com/calls?x=1" },
	{ CONFIG_EXECUTE, "FOLLOWUP_EXECUTION_AUDIENCE=any text" },
	{ CONFIG_EXECUTE, "FOLLOWUP_EXECUTION_AUDIENCE=any t\xc3\xa9xt" },
	{ CONFIG_EXECUTE, "CLOUD_TASKS_SECRET=an \xc3\xa9xample" },
	{ CONFIG_EXECUTE, "POSTGRES_USER=latin\xe9" },
	{ CONFIG_EXECUTE, "POSTGRES_PASSWORD=latin\xe9" },
	{ CONFIG_LISTENER, "LOG_LEVEL=debug" },
	{ CONFIG_LISTENER, "LOG_LEVEL=info" },
	{ CONFIG_LISTENER, "LOG_LEVEL=warning" },
	{ CONFIG_LISTENER, "LOG_LEVEL=error" },
	{ CONFIG_EXECUTE, "FOLLOWUP_UNKNOWN_OUTCOME=retry" },
	{ CONFIG_EXECUTE, "FOLLOWUP_UNKNOWN_OUTCOME=dead-letter" },
	{ CONFIG_LISTENER, "LOG_FORMAT=text" },
	{ CONFIG_LISTENER, "LOG_FORMAT=json" },
};

static void
test_good(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(good); i++) {
		if (load_with(good[i].program, good[i].setting) == NULL)
			fail_msg("%s: %s", good[i].setting, why);
	}
}

/* Values that are not, and what the operator is told beside the name. */
static const struct {
	enum config_program program;
	const char *setting;
	const char *says;
} bad[] = {
	{ CONFIG_LISTENER, "POSTGRES_HOST=a\nb", "control characters" },
	{ CONFIG_LISTENER, "POSTGRES_PASSWORD=a\tb", "control characters" },
	{ CONFIG_LISTENER, "POSTGRES_PORT=0", "1 to 65535" },
	{ CONFIG_LISTENER, "POSTGRES_PORT=65536", "1 to 65535" },
	{ CONFIG_LISTENER, "POSTGRES_PORT=-1", "1 to 65535" },
	{ CONFIG_LISTENER, "POSTGRES_PORT=5432x", "1 to 65535" },
	{ CONFIG_LISTENER, "POSTGRES_PORT= 5432", "1 to 65535" },
	{ CONFIG_LISTENER, "POSTGRES_PORT=99999999999999999999",
	    "1 to 65535" },
	{ CONFIG_LISTENER, "POSTGRES_SCHEMA=latin\xe9", "63 bytes of UTF-8" },
	{ CONFIG_LISTENER, "FOLLOWUP_TABLE="
	    "a23456789b123456789c123456789d123456789e123456789f123456789g1234",
	    "63 bytes of UTF-8" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=a/b", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=a b", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=..", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=.", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=-", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=project-", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=a_project", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=a..b:project", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=example.com:", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=:project", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=a:b:project", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_PROJECT_ID=projects/p", "letters, digits" },
	{ CONFIG_SCHEDULE, "GOOGLE_CLOUD_QUOTA_PROJECT=..",
	    "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_LOCATION=../x", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_LOCATION=a..b", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_LOCATION=..", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_LOCATION=us.central1", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_LOCATION=us_central1", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_LOCATION=us:central1", "letters, digits" },
	{ CONFIG_SCHEDULE, "GCP_LOCATION=-", "letters, digits" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_QUEUE_NAME=q?x=1", "letters, digits" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_QUEUE_NAME=a_queue",
	    "letters, digits and hyphens" },
	{ CONFIG_SCHEDULE, "GCP_CLOUD_TASKS_SERVICE_ACCOUNT=sa",
	    "e-mail address" },
	{ CONFIG_SCHEDULE, "GCP_CLOUD_TASKS_SERVICE_ACCOUNT=@example.com",
	    "e-mail address" },
	{ CONFIG_SCHEDULE, "GCP_CLOUD_TASKS_SERVICE_ACCOUNT=sa@",
	    "e-mail address" },
	{ CONFIG_SCHEDULE, "GCP_CLOUD_TASKS_SERVICE_ACCOUNT=a@b@example.com",
	    "e-mail address" },
	{ CONFIG_SCHEDULE, "GCP_CLOUD_TASKS_SERVICE_ACCOUNT=\"sa\"@example.com",
	    "e-mail address" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_EXECUTION_ENDPOINT=example.com/x",
	    "must be a URL" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_EXECUTION_ENDPOINT=https://u@example.com",
	    "user name" },
	{ CONFIG_SCHEDULE,
	    "FOLLOWUP_EXECUTION_ENDPOINT=https://example.com/#x", "fragment" },
	{ CONFIG_SCHEDULE,
	    "FOLLOWUP_EXECUTION_ENDPOINT=https://example.com/?x", "query" },
	{ CONFIG_SCHEDULE,
	    "FOLLOWUP_EXECUTION_ENDPOINT=https://example.com/\xe9", "UTF-8" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_EXECUTION_AUDIENCE=latin\xe9", "UTF-8" },
	{ CONFIG_EXECUTE, "FOLLOWUP_EXECUTION_AUDIENCE=\xc0\xaf", "UTF-8" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_SECRET=latin\xe9", "must be UTF-8" },
	{ CONFIG_EXECUTE, "CLOUD_TASKS_SECRET=\xff", "must be UTF-8" },
	{ CONFIG_EXECUTE, "OIDC_ISSUER=https://example.com/\xe9", "UTF-8" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_ENDPOINT=http://example.com",
	    "loopback" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_ENDPOINT=https://example.com/?x=1",
	    "without a query" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_ENDPOINT=http://localhost:8123?",
	    "without a query" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_ENDPOINT=https://example.com/#x",
	    "fragment" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_ENDPOINT=localhost:8123",
	    "must be a URL" },
	{ CONFIG_EXECUTE, "OIDC_JWKS_URL=http://example.com/certs",
	    "loopback" },
	{ CONFIG_EXECUTE, "FOLLOWUP_CALL_URL=http://192.0.2.1/", "loopback" },
	{ CONFIG_EXECUTE, "FOLLOWUP_CALL_URL=ftp://localhost/",
	    "must be a URL" },
	{ CONFIG_LISTENER, "FOLLOWUP_WEBHOOK_URL=http://example.com/",
	    "loopback" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=localhost",
	    "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=:8123", "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=localhost:",
	    "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=localhost:0",
	    "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=localhost:65536",
	    "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=http://localhost:8123",
	    "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=u@localhost:8123",
	    "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=::1:8123", "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=a:b:80", "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=[::1]", "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=[::1:80", "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=[::1]80", "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=[]:80", "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=[a.example]:80",
	    "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST="
	    "[0000:0000:0000:0000:0000:0000:0000:0000:0000:0001]:80",
	    "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=a..b:80", "host:port" },
	{ CONFIG_SCHEDULE, "CLOUD_TASKS_EMULATOR_HOST=-a:80", "host:port" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_PROXY=::1:3128", "host:port" },
	{ CONFIG_SCHEDULE, "GCE_METADATA_HOST=foo bar", "a host" },
	{ CONFIG_SCHEDULE, "GCE_METADATA_HOST=http://169.254.169.254",
	    "a host" },
	{ CONFIG_SCHEDULE, "GCE_METADATA_HOST=169.254.169.254/x", "a host" },
	{ CONFIG_SCHEDULE, "GCE_METADATA_HOST=u@169.254.169.254", "a host" },
	{ CONFIG_SCHEDULE, "GCE_METADATA_HOST=fd20:ce::254", "a host" },
	{ CONFIG_SCHEDULE, "GCE_METADATA_HOST=localhost:", "a host" },
	{ CONFIG_SCHEDULE, "GOOGLE_APPLICATION_CREDENTIALS=key.json",
	    "absolute path" },
	{ CONFIG_SCHEDULE, "CLOUDSDK_CONFIG=~/gcloud", "absolute path" },
	{ CONFIG_LISTENER, "FOLLOWUP_RUNTIME_DIR=./run", "absolute path" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_SCHEDULE_WORKERS=0", "from 1 to 512" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_SCHEDULE_WORKERS=513", "from 1 to 512" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_SCHEDULE_WORKERS=-4", "from 1 to 512" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_SCHEDULE_WORKERS=+4", "from 1 to 512" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_SCHEDULE_WORKERS=4.5", "from 1 to 512" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_SCHEDULE_WORKERS=0x10",
	    "from 1 to 512" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_SCHEDULE_WORKERS=four",
	    "from 1 to 512" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_SCHEDULE_WORKERS=4294967297",
	    "from 1 to 512" },
	{ CONFIG_SCHEDULE, "FOLLOWUP_SCHEDULE_WORKERS=99999999999999999999",
	    "from 1 to 512" },
	{ CONFIG_LISTENER, "LOG_LEVEL=verbose", "debug, info, warning" },
	{ CONFIG_LISTENER, "LOG_LEVEL=INFO", "debug, info, warning" },
	{ CONFIG_EXECUTE, "FOLLOWUP_UNKNOWN_OUTCOME=ignore",
	    "retry or dead-letter" },
	{ CONFIG_EXECUTE, "FOLLOWUP_UNKNOWN_OUTCOME=Retry",
	    "retry or dead-letter" },
	{ CONFIG_LISTENER, "LOG_FORMAT=xml", "text or json" },
};

static void
test_bad(void **state)
{
	char name[64];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(bad); i++) {
		ASSERT_ROW(load_with(bad[i].program, bad[i].setting) == NULL,
		    bad[i].setting);
		(void)snprintf(name, sizeof(name), "%.*s",
		    (int)strcspn(bad[i].setting, "="), bad[i].setting);
		ASSERT_ROW(strncmp(why, name, strlen(name)) == 0,
		    bad[i].setting);
		if (strstr(why, bad[i].says) == NULL)
			fail_msg("%s: %s", bad[i].setting, why);
		ASSERT_ROW(strchr(why, '\n') == NULL, bad[i].setting);
	}
}

static void
test_durations(void **state)
{
	static const struct {
		const char *text;
		int seconds;	/* -1: refused */
	} rows[] = {
		{ "1", 1 }, { "30", 30 }, { "30s", 30 }, { "30 s", 30 },
		{ "5m", 300 }, { "24h", 86400 }, { "2d", 172800 },
		{ "366d", 31622400 }, { "31622400", 31622400 },
		{ "367d", -1 }, { "31622401", -1 }, { "0", -1 }, { "0d", -1 },
		{ "-5", -1 }, { "5x", -1 }, { "5ms", -1 }, { "1h30m", -1 },
		{ "5S", -1 }, { "1.5h", -1 }, { "s", -1 }, { "1e3", -1 },
		{ " 5", -1 }, { "5 ", 5 }, { "99999999999999999999", -1 },
		{ "2147483647d", -1 }, { "213503982334602d", -1 },
	};
	const struct config *conf;
	char setting[64];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(setting, sizeof(setting),
		    "FOLLOWUP_SWEEP_WINDOW=%s", rows[i].text);
		conf = load_with(CONFIG_LISTENER, setting);
		ASSERT_ROW((conf != NULL) == (rows[i].seconds != -1),
		    rows[i].text);
		if (conf != NULL)
			ASSERT_ROW(conf->sweep_window == rows[i].seconds,
			    rows[i].text);
		else
			ASSERT_ROW(strncmp(why, "FOLLOWUP_SWEEP_WINDOW must "
			    "be a time from 1 s to", 43) == 0, rows[i].text);
	}

	/* Each has its own range. */
	assert_null(load_with(CONFIG_EXECUTE, "FOLLOWUP_CALL_TIMEOUT=51s"));
	assert_non_null(load_with(CONFIG_EXECUTE,
	    "FOLLOWUP_CALL_TIMEOUT=50s"));
}

/* Without a variable that it needs a program does not start. */
static void
test_required(void **state)
{
	static const struct {
		enum config_program program;
		const char *name;
	} rows[] = {
		{ CONFIG_SCHEDULE, "GCP_PROJECT_ID" },
		{ CONFIG_SCHEDULE, "FOLLOWUP_EXECUTION_ENDPOINT" },
		{ CONFIG_EXECUTE, "FOLLOWUP_EXECUTION_ENDPOINT" },
		{ CONFIG_EXECUTE, "FOLLOWUP_CALL_URL" },
	};
	char want[64];
	size_t i;
	int empty;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(want, sizeof(want), "%s is not set",
		    rows[i].name);
		for (empty = 0; empty < 2; empty++) {
			set_needs(rows[i].program);
			if (empty)
				(void)setenv(rows[i].name, "", 1);
			else
				(void)unsetenv(rows[i].name);
			ASSERT_ROW(load(rows[i].program) == NULL,
			    rows[i].name);
			ASSERT_ROW(strncmp(why, want, strlen(want)) == 0,
			    rows[i].name);
		}
	}
}

/* What is set to nothing has its default. */
static void
test_empty_is_unset(void **state)
{
	static const char *const empty[] = { "DATABASE_URL=",
	    "POSTGRES_PORT=", "POSTGRES_SCHEMA=", "FOLLOWUP_TABLE=",
	    "FOLLOWUP_WEBHOOK_URL=", "FOLLOWUP_LISTENER_INFLIGHT=",
	    "FOLLOWUP_SWEEP_INTERVAL=", "LOG_LEVEL=" };
	const struct config *conf;
	size_t i;

	(void)state;
	set_needs(CONFIG_LISTENER);
	for (i = 0; i < NITEMS(empty); i++)
		set(empty[i]);
	conf = load(CONFIG_LISTENER);
	assert_non_null(conf);
	assert_null(conf->database_url);
	assert_null(conf->postgres_port);
	assert_string_equal(conf->schema, "lad_dev");
	assert_string_equal(conf->table, "lead_bookings");
	assert_int_equal(conf->listener_inflight, 4);
	assert_int_equal(conf->sweep_interval, 5);
	assert_string_equal(conf->log_level, "info");
}

/* What belongs to another program is not looked at. */
static void
test_not_ours(void **state)
{

	(void)state;
	assert_non_null(load_with(CONFIG_LISTENER,
	    "FOLLOWUP_CALL_TIMEOUT=never"));
	assert_non_null(load_with(CONFIG_SCHEDULE, "OIDC_JWKS_URL=nowhere"));
	assert_non_null(load_with(CONFIG_EXECUTE,
	    "CLOUD_TASKS_EMULATOR_HOST=nowhere"));
}

/* Settings that are good or bad only together. */
static const struct {
	enum config_program program;
	const char *settings[MAX_SETTINGS];
	const char *says;	/* NULL: good */
} together[] = {
	/* Somebody must prove who calls. */
	{ CONFIG_SCHEDULE, { "GCP_CLOUD_TASKS_SERVICE_ACCOUNT=" },
	    "neither GCP_CLOUD_TASKS_SERVICE_ACCOUNT" },
	{ CONFIG_EXECUTE, { "GCP_CLOUD_TASKS_SERVICE_ACCOUNT=" },
	    "nor CLOUD_TASKS_SECRET is set" },
	{ CONFIG_EXECUTE, { "GCP_CLOUD_TASKS_SERVICE_ACCOUNT=",
	    "CLOUD_TASKS_SECRET=" }, "neither" },
	{ CONFIG_EXECUTE, { "GCP_CLOUD_TASKS_SERVICE_ACCOUNT=",
	    "CLOUD_TASKS_SECRET=an example" }, NULL },
	{ CONFIG_SCHEDULE, { "GCP_CLOUD_TASKS_SERVICE_ACCOUNT=",
	    "CLOUD_TASKS_SECRET=an example" }, NULL },

	/* Plain http is for stand-ins. */
	{ CONFIG_SCHEDULE, { "FOLLOWUP_EXECUTION_ENDPOINT=http://example.com" },
	    "FOLLOWUP_EXECUTION_ENDPOINT must begin with https://" },
	{ CONFIG_SCHEDULE, { "FOLLOWUP_EXECUTION_ENDPOINT=http://localhost" },
	    "FOLLOWUP_EXECUTION_ENDPOINT must begin with https://" },
	{ CONFIG_SCHEDULE, { "FOLLOWUP_EXECUTION_ENDPOINT=http://example.com",
	    "CLOUD_TASKS_EMULATOR_HOST=localhost:8123" }, NULL },
	{ CONFIG_SCHEDULE, { "FOLLOWUP_EXECUTION_ENDPOINT=http://localhost",
	    "CLOUD_TASKS_ENDPOINT=http://localhost:8123" }, NULL },
	{ CONFIG_SCHEDULE, { "FOLLOWUP_EXECUTION_ENDPOINT=http://example.com",
	    "CLOUD_TASKS_ENDPOINT=http://localhost:8123" },
	    "FOLLOWUP_EXECUTION_ENDPOINT must begin with https://" },
	{ CONFIG_SCHEDULE, { "FOLLOWUP_EXECUTION_ENDPOINT=http://localhost",
	    "CLOUD_TASKS_ENDPOINT=https://example.com" },
	    "FOLLOWUP_EXECUTION_ENDPOINT must begin with https://" },

	/* One place to make tasks. */
	{ CONFIG_SCHEDULE, { "CLOUD_TASKS_EMULATOR_HOST=localhost:8123",
	    "CLOUD_TASKS_ENDPOINT=http://localhost:8123" },
	    "CLOUD_TASKS_ENDPOINT and CLOUD_TASKS_EMULATOR_HOST are both" },
	{ CONFIG_SCHEDULE, { "CLOUD_TASKS_EMULATOR_HOST=localhost:8123",
	    "CLOUD_TASKS_ENDPOINT=" }, NULL },
};

static void
test_together(void **state)
{
	const char *const *s;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(together); i++) {
		set_needs(together[i].program);
		for (s = together[i].settings; *s != NULL; s++)
			set(*s);
		if (together[i].says == NULL)
			ASSERT_ROW(load(together[i].program) != NULL, why);
		else {
			ASSERT_ROW(load(together[i].program) == NULL,
			    together[i].says);
			ASSERT_ROW(strstr(why, together[i].says) != NULL,
			    why);
		}
	}
}

static void
test_derived(void **state)
{
	const struct config *conf;

	(void)state;
	/* The slash at the end of a base URL goes. */
	conf = load_with(CONFIG_EXECUTE,
	    "FOLLOWUP_EXECUTION_ENDPOINT=https://example.com/bookings//");
	assert_non_null(conf);
	assert_string_equal(conf->execution_endpoint,
	    "https://example.com/bookings");
	assert_string_equal(conf->execution_audience,
	    "https://example.com/bookings");

	/* An audience is whatever it is. */
	conf = load_with(CONFIG_EXECUTE,
	    "FOLLOWUP_EXECUTION_AUDIENCE=https://example.com/");
	assert_non_null(conf);
	assert_string_equal(conf->execution_audience, "https://example.com/");

	/* The socket is where the runtime directory is ... */
	conf = load_with(CONFIG_LISTENER, "FOLLOWUP_RUNTIME_DIR=/run/x");
	assert_non_null(conf);
	assert_string_equal(conf->webhook_socket, "/run/x/local.sock");

	/* ... unless it, or another URL, is named. */
	conf = load_with(CONFIG_LISTENER, "FOLLOWUP_WEBHOOK_SOCKET=/run/y");
	assert_non_null(conf);
	assert_string_equal(conf->webhook_socket, "/run/y");
	conf = load_with(CONFIG_LISTENER,
	    "FOLLOWUP_WEBHOOK_URL=https://example.com/hook");
	assert_non_null(conf);
	assert_null(conf->webhook_socket);
}

/* No message shows a secret, whatever is wrong with it. */
static void
test_secrets_stay_secret(void **state)
{
	static const char *const names[] = { "DATABASE_URL",
	    "POSTGRES_PASSWORD", "CLOUD_TASKS_SECRET", "FOLLOWUP_CALL_TOKEN",
	    "FOLLOWUP_CALL_SECRET" };
	char setting[128];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(names); i++) {
		(void)snprintf(setting, sizeof(setting), "%s=hush\n",
		    names[i]);
		ASSERT_ROW(load_with(CONFIG_EXECUTE, setting) == NULL,
		    names[i]);
		ASSERT_ROW(strstr(why, names[i]) != NULL, why);
		ASSERT_ROW(strstr(why, "hush") == NULL, why);
	}
}

/* What is wrong with a DATABASE_URL, of which "hush" is a secret. */
static void
test_conninfo(void **state)
{
	static const char advice[] = "must be a postgresql:// URL";
	static const struct {
		const char *value;
		const char *says;	/* NULL: good */
	} rows[] = {
		{ "host=h,i port=5432,", NULL },
		{ "postgresql://h:1,i:65535/db?sslmode=verify-full", NULL },
		{ "postgresql://h/db?ssl=true&connect_timeout=-1", NULL },
		{ "host=h target_session_attrs=prefer-standby", NULL },
		{ "service=s channel_binding=prefer", NULL },
		{ "postgresql://u:hush@h:65536/db", "port must be from 1" },
		{ "postgresql://h,i:1,2:99999999/db", "port must be from 1" },
		{ "host=h port=0", "port must be from 1" },
		{ "postgresql://h/db?sslmode=hush", "sslmode must be one of "
		    "disable, allow, prefer, require, verify-ca, verify-full" },
		{ "host=h sslmode=verify", "sslmode must be one of" },
		{ "host=h sslmode=allow,", "sslmode must be one of" },
		{ "host=h sslmode=''", "sslmode must be one of" },
		{ "host=h gssencmode=hush", "gssencmode must be one of" },
		{ "host=h channel_binding=hush", "channel_binding must be" },
		{ "host=h target_session_attrs=hush", "target_session_attrs "
		    "must be one of any, read-write," },
		{ "host=h connect_timeout=hush",
		    "connect_timeout must be a whole number" },
		{ "host=h connect_timeout=5s", "connect_timeout must be" },
		{ "host=h keepalives_idle=''", "keepalives_idle must be" },
		{ "host=h tcp_user_timeout=99999999999", "tcp_user_timeout" },

		/* The name of an option that there is not. */
		{ "postgresql://u:hush@h/db?foo=bar",
		    "DATABASE_URL: libpq knows no option foo" },
		{ "postgresql://h/foo?sslmode=require&foo=bar", "option foo" },
		{ "postgresql://u:hush?hush=hush@h/db?foo=1", "option foo" },
		{ "postgresql:///?currentSchema=hush",
		    "option currentSchema" },
		{ "host=foo foo=bar", "no option foo" },

		/* What may be a piece of a password is not. */
		{ "postgresql://u:se/cret?hush=x", advice },
		{ "postgresql://u:12/cret?hush=x@h/db", advice },
		{ "postgresql://h/db?password=a&hush=x", advice },
		{ "postgresql://h/db?hush!=x", advice },
		{ "host=h password=my hush=x", advice },
		{ "host=h 'hush=x", advice },
		{ "hush=x", advice },
		{ "mysql://u:hush@h/db?hush=x", advice },
		{ "mysql://h/db?sslmode=hush", advice },
	};
	char setting[128];
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		(void)snprintf(setting, sizeof(setting), "DATABASE_URL=%s",
		    rows[i].value);
		ASSERT_ROW((load_with(CONFIG_LISTENER, setting) != NULL) ==
		    (rows[i].says == NULL), setting);
		if (rows[i].says == NULL)
			continue;
		ASSERT_ROW(strncmp(why, "DATABASE_URL", 12) == 0, setting);
		if (strstr(why, rows[i].says) == NULL)
			fail_msg("%s: %s", setting, why);
		ASSERT_ROW(strstr(why, "hush") == NULL, why);
	}
}

/* A secret that HTTP would send without its blanks would never be right. */
static void
test_blanks_around_secrets(void **state)
{
	static const char *const names[] = { "CLOUD_TASKS_SECRET",
	    "FOLLOWUP_CALL_TOKEN", "FOLLOWUP_CALL_SECRET",
	    "FOLLOWUP_WEBHOOK_TOKEN", "FOLLOWUP_EVENTS_SECRET" };
	static const char *const values[] = { " hush", "hush ", " " };
	char setting[128], says[128];
	size_t i, k;

	(void)state;
	for (i = 0; i < NITEMS(names); i++) {
		for (k = 0; k < NITEMS(values); k++) {
			(void)snprintf(setting, sizeof(setting), "%s=%s",
			    names[i], values[k]);
			(void)snprintf(says, sizeof(says), "%s must not begin "
			    "or end with a blank", names[i]);
			ASSERT_ROW(load_with(i < 3 ? CONFIG_EXECUTE :
			    CONFIG_SCHEDULE, setting) == NULL, setting);
			ASSERT_ROW(strcmp(why, says) == 0, why);
		}
	}
	assert_non_null(load_with(CONFIG_EXECUTE, "CLOUD_TASKS_SECRET=a b"));

	/* PostgreSQL gets its password as it is. */
	assert_non_null(load_with(CONFIG_EXECUTE, "POSTGRES_PASSWORD= hush "));
}

/* A long value is cut in the message; a small buffer is not overrun. */
static void
test_long_values(void **state)
{
	char setting[4096], small[16];
	struct config conf;

	(void)state;
	memset(setting, 'x', sizeof(setting) - 1);
	setting[sizeof(setting) - 1] = '\0';
	memcpy(setting, "LOG_LEVEL=", 10);
	assert_null(load_with(CONFIG_LISTENER, setting));
	assert_in_range(strlen(why), 20, 200);
	assert_int_equal(config_load(CONFIG_LISTENER, &conf, small,
	    sizeof(small)), -1);
	assert_string_equal(small, "LOG_LEVEL must ");
}

/* Behind the base URL there must be room for the rest of a task's. */
static void
test_long_endpoint(void **state)
{
	static const char head[] =
	    "FOLLOWUP_EXECUTION_ENDPOINT=https://example.com/";
	char setting[4096] = "";
	size_t name = strlen("FOLLOWUP_EXECUTION_ENDPOINT=");

	(void)state;
	(void)snprintf(setting, sizeof(setting), "%s", head);
	memset(&setting[strlen(head)], 'x', name + 1900 - strlen(head));
	assert_non_null(load_with(CONFIG_EXECUTE, setting));
	setting[name + 1900] = 'x';
	assert_null(load_with(CONFIG_EXECUTE, setting));
	assert_non_null(strstr(why, "at most 1900 bytes"));
}

/* A path that would be cut off, or that no socket can have, is refused. */
static void
test_long_paths(void **state)
{
	static const struct {
		enum config_program program;
		const char *name;
		size_t most;
	} rows[] = {
		{ CONFIG_LISTENER, "FOLLOWUP_RUNTIME_DIR", 89 },
		{ CONFIG_SCHEDULE, "FOLLOWUP_RUNTIME_DIR", 89 },
		{ CONFIG_EXECUTE, "FOLLOWUP_RUNTIME_DIR", 89 },
		{ CONFIG_LISTENER, "FOLLOWUP_WEBHOOK_SOCKET", 107 },
		{ CONFIG_SCHEDULE, "GOOGLE_APPLICATION_CREDENTIALS", 4095 },
		{ CONFIG_SCHEDULE, "CLOUDSDK_CONFIG", 4095 },
	};
	char setting[4200], says[80];
	size_t i, len, more;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		for (more = 0; more < 2; more++) {
			len = strlen(rows[i].name) + 1 + rows[i].most + more;
			memset(setting, 'p', len);
			memcpy(setting, rows[i].name, strlen(rows[i].name));
			memcpy(&setting[strlen(rows[i].name)], "=/", 2);
			setting[len] = '\0';
			ASSERT_ROW((load_with(rows[i].program, setting) ==
			    NULL) == more, rows[i].name);
		}
		(void)snprintf(says, sizeof(says), "%s must be a path of at "
		    "most %zu bytes", rows[i].name, rows[i].most);
		ASSERT_ROW(strncmp(why, says, strlen(says)) == 0, why);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_bad),
		cmocka_unit_test(test_durations),
		cmocka_unit_test(test_required),
		cmocka_unit_test(test_empty_is_unset),
		cmocka_unit_test(test_not_ours),
		cmocka_unit_test(test_together),
		cmocka_unit_test(test_derived),
		cmocka_unit_test(test_secrets_stay_secret),
		cmocka_unit_test(test_conninfo),
		cmocka_unit_test(test_blanks_around_secrets),
		cmocka_unit_test(test_long_values),
		cmocka_unit_test(test_long_endpoint),
		cmocka_unit_test(test_long_paths),
	};

	return (cmocka_run_group_tests_name("config", tests, NULL, NULL));
}
