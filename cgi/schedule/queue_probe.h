#ifndef QUEUE_PROBE_H_
#define QUEUE_PROBE_H_

struct config;
struct google_auth;
struct queues;
struct troubles;

/*
 * Would Cloud Tasks take a task now, and call it?  The queues that are in use
 * (queues.h) are asked for, with the credentials with which tasks are made: at
 * most every five seconds, only while somebody wants to know, and once for all
 * workers.
 *
 * Whoever asks is not kept waiting by a service that hangs: the request is
 * made by a process of its own, with the deadlines and repetitions that every
 * request has, and what it found last is the answer meanwhile.
 */
struct queue_probe;

/**
 * queue_probe_new(conf, auth, queues):
 * Return a probe of ${queues}, with the credentials ${auth}, or, for an
 * emulator, without (NULL); all must outlive it.  It leaves their breakers as
 * they are.  To be called before the workers are forked.  NULL when memory is
 * short.
 */
struct queue_probe *queue_probe_new(const struct config *,
    struct google_auth *, struct queues *);

/**
 * queue_probe_look(probe, troubles):
 * Add to ${troubles} what keeps the queues from working.  It takes one and a
 * half seconds at most, and as a rule nothing.
 */
void queue_probe_look(struct queue_probe *, struct troubles *);

/**
 * queue_probe_is_paused(probe, queue):
 * Return non-zero iff the queue with the short name ${queue} is known to be
 * paused or disabled.  It takes as long as queue_probe_look.
 */
int queue_probe_is_paused(struct queue_probe *, const char *);

/**
 * queue_probe_free(probe):
 * Free ${probe}, and end what it is asking; NULL is fine.
 */
void queue_probe_free(struct queue_probe *);

#endif /* !QUEUE_PROBE_H_ */
