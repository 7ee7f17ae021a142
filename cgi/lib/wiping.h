#ifndef WIPING_H_
#define WIPING_H_

/*
 * Libraries copy the secrets that go through them: Jansson while it parses,
 * OpenSSL while it reads a key, libcurl while it sends a request.  Given
 * allocators that wipe what is freed, none of these copies outlives its use.
 */

/**
 * wiping_begin():
 * Give them to Jansson and OpenSSL; to be called before either is used.
 */
void wiping_begin(void);

/**
 * wiping_curl_init():
 * Initialize libcurl with them, in place of curl_global_init.  Return 0 or
 * -1.
 */
int wiping_curl_init(void);

#endif /* !WIPING_H_ */
