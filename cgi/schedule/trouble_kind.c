#include <string.h>

#include "trouble_kind.h"

#define BOTH	(TROUBLE_SCHEDULING | TROUBLE_CALLING)

static const struct trouble_kind kinds[] = {
	{ "database", BOTH, "pg_isready" },
	{ "not-installed", BOTH, "followup-trigger install" },
	{ "trigger-missing", TROUBLE_DELAYS, "followup-trigger install" },
	{ "column-missing", BOTH, "followup-trigger install" },
	{ "trigger-disabled", TROUBLE_DELAYS, "followup-trigger enable" },
	{ "column-added", TROUBLE_DELAYS, "followup-trigger install" },
	{ "grants", BOTH, "followup-trigger verify" },
	{ "read-only", BOTH, NULL },
	{ "row-security", BOTH, "followup-trigger verify" },
	{ "listener", TROUBLE_SCHEDULING,
	    "systemctl restart followup-listener" },
	{ "webhook", TROUBLE_SCHEDULING, "journalctl -u followup-listener" },
	{ "refused", BOTH, "followup-trigger verify" },
	{ "execute", TROUBLE_CALLING, "systemctl restart followup-execute" },
	{ "callbacks", TROUBLE_CALLING, "journalctl -u followup-execute" },
	{ "voice-agent", TROUBLE_CALLING, "journalctl -u followup-execute" },
	{ "queue-paused", TROUBLE_CALLING, NULL },
	{ "queue-missing", BOTH, NULL },
	{ "credentials", TROUBLE_SCHEDULING,
	    "journalctl -u followup-schedule" },
	{ "cloud-tasks", TROUBLE_SCHEDULING, NULL },
	{ "breaker", TROUBLE_SCHEDULING, "journalctl -u followup-schedule" },

	/* The sweep makes up for a NOTIFY that is lost. */
	{ "canary_stale", TROUBLE_DELAYS, "followup-trigger status" },
};

/**
 * trouble_kind(code):
 * Return what is known of the kind ${code}; one that is not known delays.
 */
const struct trouble_kind *
trouble_kind(const char *code)
{
	static const struct trouble_kind unknown = { "", TROUBLE_DELAYS,
	    NULL };
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strcmp(kinds[i].code, code) == 0)
			return (&kinds[i]);
	}
	return (&unknown);
}
