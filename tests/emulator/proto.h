#ifndef PROTO_H_
#define PROTO_H_

#include <jansson.h>

#include "failure.h"

/*
 * JSON as Google's APIs read it (the protobuf JSON mapping): names in
 * lowerCamelCase or snake_case, null for absent, enums by name or number,
 * numbers also as strings, bytes in either base64 alphabet; and what is
 * unknown or of a wrong type refused in Google's words.
 */

enum proto_kind {
	PROTO_STRING,
	PROTO_INT32,
	PROTO_DOUBLE,
	PROTO_STAMP,		/* google.protobuf.Timestamp */
	PROTO_SPAN,		/* google.protobuf.Duration */
	PROTO_BYTES,
	PROTO_ENUM,
	PROTO_MAP,		/* of strings to strings */
	PROTO_MESSAGE,
	PROTO_ANY		/* an object that nobody looks into */
};

struct proto_field {
	const char *name;	/* in lowerCamelCase; NULL ends a list */
	enum proto_kind kind;
	const char *type;	/* of an enum or message, for errors */
	const char *const *values;	/* of an enum, from 0, NULL ends */
	const struct proto_field *fields;	/* of a message */
};

/**
 * proto_read(json, fields, failure):
 * Return ${json}, an object with the ${fields} given, in the one form that
 * the rest of the program deals with: lowerCamelCase, without nulls, enums by
 * name, numbers as numbers, bytes in standard base64.  The reference is the
 * caller's.  Return NULL and the ${failure}, INVALID_ARGUMENT, where it is no
 * such object.
 */
json_t *proto_read(const json_t *, const struct proto_field *,
    struct failure *);

/**
 * proto_camel(name):
 * Return ${name} in lowerCamelCase as a string the caller frees, or NULL.
 */
char *proto_camel(const char *);

/**
 * proto_enum(values, text):
 * Return which of the ${values} the ${text}, a name or a number, means, or
 * -1.
 */
int proto_enum(const char *const *, const char *);

#endif /* !PROTO_H_ */
