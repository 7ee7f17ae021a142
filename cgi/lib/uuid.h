#ifndef UUID_H_
#define UUID_H_

/* A UUID as text, with its NUL. */
#define UUID_LEN	37

/**
 * uuid_parse(s, out):
 * If ${s} is a UUID in the form of RFC 9562 (8-4-4-4-12 hexadecimal digits
 * with hyphens, in either case, and nothing else), write it in lower case to
 * ${out} (UUID_LEN bytes) and return 0; otherwise return -1.
 */
int uuid_parse(const char *, char *);

#endif /* !UUID_H_ */
