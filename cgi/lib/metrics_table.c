#include "metrics.h"

/* The programs that keep a metric; followup-schedule keeps the database's. */
#define L	CONFIG_LISTENER
#define S	CONFIG_SCHEDULE
#define E	CONFIG_EXECUTE
#define ALL	(L | S | E)

/* Help of what is read from the database, which every host exports. */
#define SHARED	" Every host reports the same: use max without (instance)."

#define LABEL(...)	(const char *const []){ __VA_ARGS__, NULL }

/* As config.c names them, and Prometheus the states of a breaker. */
#define LEVELS		LABEL("debug", "info", "warning", "error")
#define STATES		LABEL("closed", "half_open", "open")
#define METHODS		LABEL("create", "get", "delete")
#define OVERDUE		LABEL("pending", "scheduled")

/* In seconds: of requests; and of what a person waits for. */
static const double durations[] = { 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
	1, 2.5, 5, 10, 30, 60, 0 };
static const double lateness[] = { 0.01, 0.05, 0.1, 0.5, 1, 2.5, 5, 10, 30,
	60, 120, 300, 900, 3600, 0 };

const struct metrics_family metrics_families[] = {
	[METRICS_BUILD_INFO] = { .name = "followup_build_info",
	    .type = METRICS_GAUGE, .programs = ALL, .each = 1,
	    .help = "Always 1: what runs, and a fingerprint of what is "
	    "installed in the database." },
	[METRICS_UP] = { .name = "followup_up", .type = METRICS_GAUGE,
	    .programs = ALL, .each = 1,
	    .help = "1 if the program was alive within the last 10 seconds." },
	[METRICS_START] = { .name = "followup_start_timestamp_seconds",
	    .type = METRICS_GAUGE, .programs = ALL, .each = 1, .is_time = 1,
	    .help = "When the program was started." },
	[METRICS_WORKERS] = { .name = "followup_workers",
	    .type = METRICS_GAUGE, .programs = ALL, .each = 1,
	    .help = "Processes that take requests; of the listener, requests "
	    "that may be in flight." },
	[METRICS_WORKERS_BUSY] = { .name = "followup_workers_busy",
	    .type = METRICS_GAUGE, .programs = ALL, .each = 1,
	    .help = "How many of followup_workers are at work." },
	[METRICS_WORKER_EXITS] = { .name = "followup_worker_exits_total",
	    .type = METRICS_COUNTER, .programs = ALL, .each = 1,
	    .help = "Workers that ended and were replaced." },
	[METRICS_LOG_MESSAGES] = { .name = "followup_log_messages_total",
	    .type = METRICS_COUNTER, .programs = ALL, .each = 1,
	    .labels = { { "level", LEVELS } },
	    .help = "Log messages of the levels that are logged." },
	[METRICS_DATABASE_CONNECTED] = { .name = "followup_database_connected",
	    .type = METRICS_GAUGE, .programs = ALL, .each = 1,
	    .help = "1 if the database was reached when it was last needed." },

	[METRICS_LEADER] = { .name = "followup_listener_leader",
	    .type = METRICS_GAUGE, .programs = L,
	    .help = "1 if this listener is the active one, 0 if it stands by: "
	    "alert on max() == 0." },
	[METRICS_LISTENING] = { .name = "followup_listener_listening",
	    .type = METRICS_GAUGE, .programs = L,
	    .help = "1 while LISTEN stands: alert on max() == 0." },
	[METRICS_NOTIFICATIONS] = { .name = "followup_notifications_total",
	    .type = METRICS_COUNTER, .programs = L,
	    .help = "Notifications that were heard." },
	[METRICS_POSTS] = { .name = "followup_posts_total",
	    .type = METRICS_COUNTER, .programs = L,
	    .labels = { { "outcome", LABEL("scheduled", "nothing", "retry",
	    "refused") } },
	    .help = "Bookings that were posted to the webhook, by what it "
	    "answered." },
	[METRICS_POSTS_INFLIGHT] = { .name = "followup_posts_inflight",
	    .type = METRICS_GAUGE, .programs = L,
	    .help = "Bookings that are being posted." },
	[METRICS_POSTS_WAITING] = { .name = "followup_posts_waiting",
	    .type = METRICS_GAUGE, .programs = L,
	    .help = "Bookings that wait to be posted, again or for the first "
	    "time." },
	[METRICS_POSTS_REFUSAL] = { .name = "followup_posts_refusal",
	    .type = METRICS_GAUGE, .programs = L,
	    .help = "HTTP status by which the webhook refuses whatever is "
	    "posted, or 0." },
	[METRICS_SWEEPS] = { .name = "followup_sweeps_total",
	    .type = METRICS_COUNTER, .programs = L,
	    .help = "Sweeps of the bookings table that came to their end." },
	[METRICS_LAST_SWEEP] = { .name =
	    "followup_last_sweep_timestamp_seconds",
	    .type = METRICS_GAUGE, .programs = L, .is_time = 1, .unset = 1,
	    .help = "When the last sweep ended: alert on time() - max()." },
	[METRICS_SWEEP_DURATION] = { .name = "followup_sweep_duration_seconds",
	    .type = METRICS_HISTOGRAM, .programs = L, .buckets = durations,
	    .help = "How long the database took for a sweep." },
	[METRICS_SWEEP_FOUND] = { .name = "followup_sweep_found_total",
	    .type = METRICS_COUNTER, .programs = L,
	    .labels = { { "kind", LABEL("pending", "overdue", "obsolete") } },
	    .help = "Bookings that a sweep found and no notification had "
	    "announced: above 0 for long, notifications are lost." },

	[METRICS_SCHEDULES] = { .name = "followup_schedules_total",
	    .type = METRICS_COUNTER, .programs = S,
	    .labels = { { "outcome", LABEL("scheduled", "adopted", "nothing",
	    "deferred", "retry", "dead") } },
	    .help = "Bookings that were looked at, by outcome." },
	[METRICS_SCHEDULING_DURATION] = { .name =
	    "followup_scheduling_duration_seconds",
	    .type = METRICS_HISTOGRAM, .programs = S, .buckets = durations,
	    .help = "From a new row to its task, of bookings that were "
	    "announced." },
	[METRICS_TASK_REQUESTS] = { .name = "followup_task_requests_total",
	    .type = METRICS_COUNTER, .programs = S,
	    .labels = { { "method", METHODS }, { "code", LABEL("2xx", "404",
	    "409", "429", "4xx", "5xx", "none") } },
	    .help = "Requests to Cloud Tasks; none: no answer came, or none "
	    "of the API." },
	[METRICS_TASK_REQUEST_DURATION] = { .name =
	    "followup_task_request_duration_seconds",
	    .type = METRICS_HISTOGRAM, .programs = S, .buckets = durations,
	    .labels = { { "method", METHODS } },
	    .help = "How long Cloud Tasks took to answer." },
	[METRICS_BREAKER_TASKS] = { .name = "followup_breaker_state",
	    .type = METRICS_STATE, .programs = S,
	    .constant = "target=\"cloud_tasks\"",
	    .labels = { { "state", STATES } },
	    .help = "1 for the state that the breaker is in: sum by (target, "
	    "state)." },
	[METRICS_BREAKER_AGENT] = { .name = "followup_breaker_state",
	    .type = METRICS_STATE, .programs = E,
	    .constant = "target=\"voice_agent\"",
	    .labels = { { "state", STATES } } },
	[METRICS_BREAKER_TASKS_OPENED] = { .name =
	    "followup_breaker_opened_total",
	    .type = METRICS_COUNTER, .programs = S,
	    .constant = "target=\"cloud_tasks\"",
	    .help = "How often the breaker opened." },
	[METRICS_BREAKER_AGENT_OPENED] = { .name =
	    "followup_breaker_opened_total",
	    .type = METRICS_COUNTER, .programs = E,
	    .constant = "target=\"voice_agent\"" },
	[METRICS_CREDENTIALS_EXPIRY] = { .name =
	    "followup_credentials_expiry_timestamp_seconds",
	    .type = METRICS_GAUGE, .programs = S, .is_time = 1, .unset = 1,
	    .help = "When the access token for Google expires; it is "
	    "renewed before that." },

	[METRICS_EVENTS] = { .name = "followup_events_total",
	    .type = METRICS_COUNTER, .programs = S,
	    .labels = { { "outcome", LABEL("delivered", "retry",
	    "given_up") } },
	    .help = "Attempts to deliver an event to FOLLOWUP_EVENTS_URL." },

	[METRICS_CALLBACKS] = { .name = "followup_callbacks_total",
	    .type = METRICS_COUNTER, .programs = E,
	    .labels = { { "outcome", LABEL("executed", "already", "skipped",
	    "deferred", "expired", "busy", "retry", "dead", "refused") } },
	    .help = "Callbacks that were answered." },
	[METRICS_CALLBACKS_REFUSED] = { .name =
	    "followup_callbacks_refused_total",
	    .type = METRICS_COUNTER, .programs = E,
	    .labels = { { "rule", LABEL("missing", "malformed", "algorithm",
	    "key", "signature", "issuer", "audience", "email", "time", "body",
	    "secret") } },
	    .help = "Callbacks that were refused, by the rule that they "
	    "broke: an attack, or a wrong setting." },
	[METRICS_KEYS_FETCHED] = { .name =
	    "followup_keys_fetched_timestamp_seconds",
	    .type = METRICS_GAUGE, .programs = E, .is_time = 1, .unset = 1,
	    .help = "When the keys of callback tokens were last fetched." },
	[METRICS_CALL_ATTEMPTS] = { .name = "followup_call_attempts_total",
	    .type = METRICS_COUNTER, .programs = E,
	    .labels = { { "outcome", LABEL("started", "replayed", "refused",
	    "unavailable", "limited", "unknown") } },
	    .help = "Requests to the voice agent; unknown: it may have begun "
	    "the call, limited: it answered 429." },
	[METRICS_CALL_REQUEST_DURATION] = { .name =
	    "followup_call_request_duration_seconds",
	    .type = METRICS_HISTOGRAM, .programs = E, .buckets = durations,
	    .help = "How long the voice agent took to answer." },
	[METRICS_CALL_LATENESS] = { .name = "followup_call_lateness_seconds",
	    .type = METRICS_HISTOGRAM, .programs = E, .buckets = lateness,
	    .help = "From when a call could first be made until the voice "
	    "agent accepted it." },
	[METRICS_CALLS_NOT_MADE] = { .name = "followup_calls_not_made_total",
	    .type = METRICS_COUNTER, .programs = S | E,
	    .labels = { { "reason", LABEL("expired", "cancelled",
	    "superseded", "dead", "gate") } },
	    .help = "Calls that will not be made, or not at that time." },

	[METRICS_OPEN_BOOKINGS] = { .name = "followup_open_bookings",
	    .type = METRICS_GAUGE, .programs = S, .unset = 1,
	    .labels = { { "state", LABEL("pending", "scheduled", "failed") } },
	    .help = "Bookings that are not called yet; failed: dead letters."
	    SHARED, .from_database = 1 },
	[METRICS_OVERDUE_BOOKINGS] = { .name = "followup_overdue_bookings",
	    .type = METRICS_GAUGE, .programs = S, .unset = 1,
	    .labels = { { "state", OVERDUE } },
	    .help = "Bookings whose time has passed without a call."
	    SHARED, .from_database = 1 },
	[METRICS_OLDEST_OVERDUE] = { .name = "followup_oldest_overdue_seconds",
	    .type = METRICS_GAUGE, .programs = S, .is_time = 1, .unset = 1,
	    .labels = { { "state", OVERDUE } },
	    .help = "For how long the oldest of them has been overdue, or 0."
	    SHARED, .from_database = 1 },
	[METRICS_NEXT_DUE] = { .name = "followup_next_due_timestamp_seconds",
	    .type = METRICS_GAUGE, .programs = S, .is_time = 1, .unset = 1,
	    .help = "When the next booking is due; absent if none is upcoming."
	    SHARED, .from_database = 1 },
	[METRICS_DUE_NEXT_HOUR] = { .name = "followup_due_next_hour",
	    .type = METRICS_GAUGE, .programs = S, .unset = 1,
	    .help = "Bookings that are due within the next hour."
	    SHARED, .from_database = 1 },
	[METRICS_OBSOLETE_TASKS] = { .name = "followup_obsolete_tasks",
	    .type = METRICS_GAUGE, .programs = S, .unset = 1,
	    .help = "Cloud Tasks that are still to be deleted."
	    SHARED, .from_database = 1 },
	[METRICS_PAUSED] = { .name = "followup_paused",
	    .type = METRICS_GAUGE, .programs = S, .unset = 1,
	    .labels = { { "scope", LABEL("all", "tenants") } },
	    .help = "Pauses in force."
	    SHARED, .from_database = 1 },
	[METRICS_TRIGGERS_ENABLED] = { .name = "followup_triggers_enabled",
	    .type = METRICS_GAUGE, .programs = S, .unset = 1,
	    .help = "1 if all triggers on the bookings table are there and "
	    "enabled." SHARED,
	    .from_database = 1 },
	[METRICS_CANARY_SUCCESS] = { .name =
	    "followup_canary_success_timestamp_seconds",
	    .type = METRICS_GAUGE, .programs = S, .is_time = 1, .unset = 1,
	    .help = "When the last canary came through; absent until one does."
	    SHARED,
	    .from_database = 1 },
	[METRICS_CANARY_DURATION] = { .name =
	    "followup_canary_duration_seconds",
	    .type = METRICS_GAUGE, .programs = S, .is_time = 1, .unset = 1,
	    .labels = { { "stage", LABEL("notified", "created",
	    "called_back") } },
	    .help = "How long the last canary took up to each stage."
	    SHARED, .from_database = 1 },
	[METRICS_COLLECT_DURATION] = { .name =
	    "followup_collect_duration_seconds",
	    .type = METRICS_GAUGE, .programs = S, .is_time = 1, .unset = 1,
	    .help = "How long the database took for the gauges above, when it "
	    "was last asked." },
	[METRICS_COLLECT_ERRORS] = { .name = "followup_collect_errors",
	    .type = METRICS_GAUGE, .programs = S,
	    .help = "How often in a row the database did not answer: the "
	    "gauges above are absent then." },
};

_Static_assert(sizeof(metrics_families) / sizeof(metrics_families[0]) ==
    METRICS_N, "every metric has a row");
