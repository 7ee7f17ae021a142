#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libpq-fe.h>

#include "complain.h"

#include "conninfo.h"

/* Has libpq taken a part of the password for the host, or for the port? */
static int
is_misread(const PQconninfoOption *options)
{
	const char *val;

	for (; options->keyword != NULL; options++) {
		if ((val = options->val) == NULL)
			continue;
		if (strcmp(options->keyword, "host") == 0 && *val != '/' &&
		    *val != '@' && strchr(val, '@') != NULL)
			return (1);
		if (strcmp(options->keyword, "port") == 0 &&
		    strspn(val, "0123456789,") != strlen(val))
			return (1);
	}
	return (0);
}

/* What the names of options consist of. */
#define NAME_CHARS							\
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"

/*
 * What the options of DATABASE_URL take, which libpq looks at no sooner than it
 * connects; NULL is a whole number.
 */
static const struct {
	const char *keyword;
	const char *words;
} takes[] = {
	{ "sslmode", "disable, allow, prefer, require, verify-ca, "
	    "verify-full" },
	{ "target_session_attrs", "any, read-write, read-only, primary, "
	    "standby, prefer-standby" },
	{ "channel_binding", "disable, prefer, require" },
	{ "gssencmode", "disable, prefer, require" },
	{ "connect_timeout", NULL },
	{ "keepalives", NULL },
	{ "keepalives_idle", NULL },
	{ "keepalives_interval", NULL },
	{ "keepalives_count", NULL },
	{ "tcp_user_timeout", NULL },
};

/* Return ${s} as a whole number, or -1 if it is none or exceeds an int. */
static long
number(const char *s)
{
	size_t len = strspn(s, "0123456789");
	long n;

	if (len == 0 || len > 10 || s[len] != '\0')
		return (-1);
	n = strtol(s, NULL, 10);
	return (n <= INT_MAX ? n : -1);
}

/* Is ${s} one of ${words}; or a whole number, if they are NULL? */
static int
is_one_of(const char *s, const char *words)
{
	size_t len;

	if (words == NULL)
		return (number(*s == '-' ? s + 1 : s) >= 0);
	for (;;) {
		len = strcspn(words, ",");
		if (strlen(s) == len && strncmp(s, words, len) == 0)
			return (1);
		if (words[len] == '\0')
			return (0);
		words += len + strlen(", ");
	}
}

/* The ports of a list of hosts, of which an empty one is libpq's default. */
static int
are_ports(const char *list)
{
	char port[8];
	size_t len;
	long n;

	for (;; list += len + 1) {
		len = strcspn(list, ",");
		(void)snprintf(port, sizeof(port), "%.*s", (int)len, list);
		n = number(port);
		if (len > 0 && (len >= sizeof(port) || n < 1 || n > 65535))
			return (0);
		if (list[len] == '\0')
			return (1);
	}
}

/* Check the value of one option, which is not shown. */
static int
check_option(const char *variable, const PQconninfoOption *option, char *why,
    size_t whylen)
{
	size_t i;

	if (option->val == NULL)
		return (0);
	if (strcmp(option->keyword, "port") == 0 && !are_ports(option->val))
		return (complain(why, whylen, "%s: port must be from 1 to "
		    "65535", variable));
	for (i = 0; i < sizeof(takes) / sizeof(takes[0]); i++) {
		if (strcmp(option->keyword, takes[i].keyword) != 0 ||
		    is_one_of(option->val, takes[i].words))
			continue;
		return (complain(why, whylen, "%s: %s must be %s%s", variable,
		    takes[i].keyword, takes[i].words != NULL ? "one of " :
		    "a whole number", takes[i].words != NULL ?
		    takes[i].words : ""));
	}
	return (0);
}

/* Does libpq read the first ${len} bytes of ${s}, and as they are meant? */
static int
is_conninfo(const char *s, size_t len)
{
	PQconninfoOption *options = NULL;
	char *copy = strndup(s, len);
	int is;

	if (copy != NULL)
		options = PQconninfoParse(copy, NULL);
	is = options != NULL && !is_misread(options);
	PQconninfoFree(options);
	free(copy);
	return (is);
}

/* Does the ${name} in ${s} stand where only the name of an option can? */
static int
is_option(const char *s, const char *name)
{
	int is_url = strstr(s, "://") != NULL;
	const char *from = s, *p, *password;

	if (is_url) {
		if ((p = strrchr(s, '@')) != NULL)
			from = p;
		if ((from = strchr(from, '?')) == NULL)
			return (0);
	}
	for (p = from; (p = strstr(p, name)) != NULL; p++) {
		if (p > s && strchr(is_url ? "?&" : " ", p[-1]) != NULL &&
		    p[strlen(name)] == '=')
			break;
	}
	password = strstr(from, "password");
	return (p != NULL && (password == NULL || password > p) &&
	    is_conninfo(s, (size_t)(p - s) - 1));
}

/*
 * Return the name of the option in ${s} that libpq complains of in ${message},
 * to be freed; NULL if that is not it.  It can be a piece of a password that
 * is not escaped, and is named only where it cannot.
 */
static char *
unknown_option(const char *s, const char *message)
{
	const char *name = message != NULL ? strchr(message, '"') : NULL;
	char *copy;

	if (name == NULL || strncmp(message, "invalid ", 8) != 0)
		return (NULL);
	name++;
	if ((copy = strndup(name, strcspn(name, "\""))) == NULL)
		return (NULL);
	if (*copy != '\0' && strspn(copy, NAME_CHARS) == strlen(copy) &&
	    is_option(s, copy))
		return (copy);
	free(copy);
	return (NULL);
}

/**
 * conninfo_check(variable, s, why, whylen):
 * Return 0 if ${s} is a connection string that can be meant as it stands; else
 * -1, with a sentence on ${variable} in ${why} that quotes none of it but the
 * names of options.
 */
int
conninfo_check(const char *variable, const char *s, char *why, size_t whylen)
{
	char *message = NULL, *unknown;
	PQconninfoOption *options = PQconninfoParse(s, &message), *o;
	int rc = 0;

	unknown = options == NULL ? unknown_option(s, message) : NULL;
	if (unknown != NULL)
		rc = complain(why, whylen, "%s: libpq knows no option %.60s",
		    variable, unknown);
	else if (options == NULL || is_misread(options))
		rc = complain(why, whylen, "%s must be a postgresql:// URL or "
		    "a libpq connection string, with options that libpq "
		    "knows; in a URL, write @ / : %% in the password as %%40 "
		    "%%2F %%3A %%25", variable);
	for (o = options; rc == 0 && o != NULL && o->keyword != NULL; o++)
		rc = check_option(variable, o, why, whylen);
	free(unknown);
	PQfreemem(message);
	PQconninfoFree(options);
	return (rc);
}
