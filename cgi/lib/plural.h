#ifndef PLURAL_H_
#define PLURAL_H_

/**
 * plural(n, one, many):
 * Return the word that stands behind the number ${n}: ${one} behind 1, ${many}
 * behind any other.
 */
static inline const char *
plural(long long n, const char *one, const char *many)
{

	return (n == 1 ? one : many);
}

#endif /* !PLURAL_H_ */
