#ifndef STATUS_PAGE_H_
#define STATUS_PAGE_H_

#include <jansson.h>

/*
 * The page of GET /status as HTML: what status_look found out, in the order in
 * which a person on call asks; or one step of an action, which is shown before
 * it is done and after.  The frame is status.html.  All foreign text is
 * escaped, and no name or phone number of a lead is shown.
 */

/* A step of an action. */
struct status_step {
	const char *title;
	const char *sentence;	/* what will happen, or what did */
	const char *curl;	/* the command that does the same, or NULL */
	json_t *fields;		/* to be sent again to do it; NULL: it is
				   done, or cannot be */
	int needs_token;
};

struct status_page {
	const json_t *status;	/* the document of status_look; NULL: a step */
	const json_t *booking;	/* what GET /followups/{id} says of the one
				   that is looked for, or NULL */
	const char *search;	/* the id that was asked for, or NULL */
	const char *unknown;	/* why nothing is known of it, or NULL */
	const char *tenant;	/* only of this one, or NULL */
	const struct status_step *step;
};

/**
 * status_page(page, nonce):
 * Return the whole page, to be freed, whose style and script have ${nonce}; or
 * NULL when memory is short.
 */
char *status_page(const struct status_page *, const char *);

#endif /* !STATUS_PAGE_H_ */
