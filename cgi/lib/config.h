#ifndef CONFIG_H_
#define CONFIG_H_

#include <stddef.h>
#include <stdio.h>

/*
 * The configuration: environment variables, read once at start.  One table
 * in config.c holds each variable's name, type, default, range and help; the
 * programs' -h and the file .env.example are printed from it.
 *
 * A variable that is set to nothing counts as not set.
 */

/* Who reads a variable. */
enum config_program {
	CONFIG_LISTENER = 1,
	CONFIG_SCHEDULE = 2,
	CONFIG_EXECUTE = 4,
};

/*
 * The values, checked.  Strings point into the environment or to constants
 * and live as long as the process; those without a default are NULL when not
 * set.  Times are in seconds.  The execution endpoint has no slash at its end.
 */
struct config {
	/* The database. */
	const char *database_url;
	const char *postgres_host;
	const char *postgres_port;
	const char *postgres_db;
	const char *postgres_user;
	const char *postgres_password;
	const char *schema;
	const char *table;

	/* Tasks: where they are made and what they call. */
	const char *project_id;
	const char *location;
	const char *queue;
	const char *service_account;
	const char *execution_endpoint;
	const char *execution_audience;
	const char *cloud_tasks_secret;
	const char *cloud_tasks_endpoint;
	const char *emulator_host;

	/* Credentials for Google. */
	const char *application_credentials;
	const char *cloudsdk_config;
	const char *metadata_host;
	const char *quota_project;

	/* Callback tokens. */
	const char *oidc_jwks_url;
	const char *oidc_issuer;

	/* The call. */
	const char *call_url;
	const char *call_token;
	const char *call_secret;

	/* The local API. */
	const char *webhook_url;
	const char *webhook_socket;
	const char *webhook_token;

	/* The receiver of events. */
	const char *events_url;
	const char *events_secret;

	/* Sizes and times. */
	int call_timeout;
	int schedule_workers;
	int schedule_concurrency;
	int execute_workers;
	int listener_inflight;
	int max_schedule_attempts;
	int max_execution_attempts;
	int sweep_interval;
	int sweep_window;
	int overdue_grace;
	const char *unknown_outcome;
	const char *proxy;
	const char *runtime_dir;
	const char *log_level;
	const char *log_format;
};

/**
 * config_load(program, conf, why, whylen):
 * Read and check what ${program} reads and fill in ${conf}.  Return 0; or -1
 * with one line in ${why} (${whylen} bytes) that names the variable and says
 * what it should be.
 */
int config_load(enum config_program, struct config *, char *, size_t);

/**
 * config_print_help(f, programs):
 * Print a table of the variables that any of ${programs} reads to ${f}.
 */
void config_print_help(FILE *, unsigned int);

/**
 * config_print_example(f):
 * Print all variables with help and defaults to ${f}, commented out, as they
 * stand in .env.example.
 */
void config_print_example(FILE *);

#endif /* !CONFIG_H_ */
