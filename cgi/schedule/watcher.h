#ifndef WATCHER_H_
#define WATCHER_H_

struct config;
struct status;

/*
 * The process that tells FOLLOWUP_EVENTS_URL what begins and ends (events.h).
 * It takes the status every five seconds, writes what is new into the outbox
 * (event_outbox.h), and delivers from there (event_delivery.h): calls and
 * requests never wait for it.
 *
 * While nobody is called because the outbox cannot be written, it sends
 * "followup.database.lost" by itself, and "followup.database.back"
 * afterwards; these are remembered in memory that outlives the process, and
 * each host sends its own.
 */
struct watcher;

/**
 * watcher_new(conf, status):
 * Return the state of the watcher, which outlives its process.  To be called
 * before that is forked.  Both arguments must outlive it.  NULL when memory is
 * short.
 */
struct watcher *watcher_new(const struct config *, struct status *);

/**
 * watcher_run(watcher):
 * Watch and deliver for ever; return only if that cannot be started.
 */
void watcher_run(struct watcher *);

/**
 * watcher_free(watcher):
 * Free ${watcher}; NULL is fine.
 */
void watcher_free(struct watcher *);

#endif /* !WATCHER_H_ */
