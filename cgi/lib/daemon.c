#include <sys/resource.h>

#include <errno.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "metrics.h"
#include "secret.h"
#include "version.h"

#include "daemon.h"

/* A crash shall not write what is in memory, secrets too, into a file. */
static void
leave_no_core(void)
{
	/* To the kernel 1 means: nor through a pipe, which 0 does not. */
	static const struct rlimit none = { 1, 1 };

	(void)setrlimit(RLIMIT_CORE, &none);
}

/**
 * daemon_begin(daemon, argc, argv, conf):
 * What every daemon does before it starts: handle -h, -V and -t, load the
 * configuration, have it checked and set up the log and the metrics.  Returns
 * only if the program shall run; prints and exits otherwise.
 */
void
daemon_begin(const struct daemon *daemon, int argc, char **argv,
    struct config *conf)
{
	enum log_level level = LOG_INFO;
	const char *name = daemon->name;
	char why[512];
	int ch, test = 0;

	leave_no_core();
	secret_wipe_allocations();

	/*
	 * Set to its default it stays there.  Otherwise glibc raises it with
	 * the first large list that is freed, and keeps what later ones take.
	 */
	(void)mallopt(M_MMAP_THRESHOLD, 128 * 1024);
	while ((ch = getopt(argc, argv, "hVt")) != -1) {
		switch (ch) {
		case 'h':
			(void)printf("usage: %s [-h | -V | -t]\n\n%s\n\n"
			    "  -h  show this help\n  -V  show the version\n"
			    "  -t  check the configuration and exit\n\n"
			    "environment, with [defaults]:\n", name,
			    daemon->synopsis);
			config_print_help(stdout, daemon->program);
			exit(0);
		case 'V':
			(void)printf("%s %s\n", name, FOLLOWUP_VERSION);
			exit(0);
		case 't':
			test = 1;
			break;
		default:
			(void)fprintf(stderr, "try '%s -h'\n", name);
			exit(1);
		}
	}
	if (optind != argc) {
		(void)fprintf(stderr, "%s: takes no arguments; try '%s -h'\n",
		    name, name);
		exit(1);
	}

	if (config_load(daemon->program, conf, why, sizeof(why)) != 0 ||
	    (daemon->check != NULL &&
	    daemon->check(conf, why, sizeof(why)) != 0)) {
		(void)fprintf(stderr, "%s%s: %s\n",
		    log_priority(LOG_ERROR), name, why);
		exit(1);
	}
	if (test) {
		(void)printf("%s: the configuration is good\n", name);
		exit(0);
	}

	(void)log_level_parse(conf->log_level, &level);
	log_init(daemon->component, level,
	    strcmp(conf->log_format, "json") == 0);
	log_summarise_bursts();
	log_project(conf->project_id);

	/*
	 * A second instance keeps no file, and a missing file must not prevent
	 * the start.
	 */
	if (metrics_init(conf->runtime_dir, daemon->program) != 0 &&
	    errno != EAGAIN)
		log_warning(NULL, "%s/%s.metrics cannot be written: %s; "
		    "/metrics and /status will not tell of this program",
		    conf->runtime_dir, metrics_program(daemon->program),
		    strerror(errno));
}
