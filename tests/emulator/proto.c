#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "proto.h"
#include "times.h"

/* How much of a refused value an error quotes. */
#define QUOTE_MAX	200

/* Where in the request a value is: task.http_request.url. */
struct place {
	const struct place *parent;
	const char *name;
};

static json_t *read_message(const json_t *, const struct proto_field *,
    const char *, const struct place *, struct failure *);

/*
 * Write the place in snake_case, as Google's errors do.
 */
static void
write_place(const struct place *place, char *buf, size_t size)
{
	const char *p;
	size_t len;

	buf[0] = '\0';
	if (place == NULL)
		return;
	write_place(place->parent, buf, size);
	len = strlen(buf);
	if (len > 0 && len + 1 < size)
		buf[len++] = '.';
	for (p = place->name; *p != '\0' && len + 2 < size; p++) {
		if (isupper((unsigned char)*p))
			buf[len++] = '_';
		buf[len++] = (char)tolower((unsigned char)*p);
	}
	buf[len] = '\0';
}

/*
 * Refuse a value: Invalid value at 'task.name' (TYPE_STRING), 12
 */
static json_t *
refuse(const json_t *json, const char *type, const struct place *place,
    struct failure *failure)
{
	char where[512], *text;

	write_place(place, where, sizeof(where));
	text = json_dumps(json, JSON_ENCODE_ANY | JSON_COMPACT);
	failure_set(failure, FAILURE_INVALID_ARGUMENT, "Invalid value at '%s' "
	    "(%s%s), %.*s", where, strncmp(type, "TYPE_", 5) == 0 ? "" :
	    "type.googleapis.com/", type, QUOTE_MAX, text != NULL ? text : "");
	free(text);
	failure_field(failure, where);

	return (NULL);
}

static json_t *
refuse_name(const char *name, const struct place *place,
    struct failure *failure)
{
	char where[512];

	write_place(place, where, sizeof(where));
	failure_set(failure, FAILURE_INVALID_ARGUMENT, "Invalid JSON payload "
	    "received. Unknown name \"%.*s\"%s%s%s: Cannot find field.",
	    QUOTE_MAX, name, place != NULL ? " at '" : "", where,
	    place != NULL ? "'" : "");
	failure_field(failure, where);

	return (NULL);
}

/*
 * Read a number, which may also be a string that holds nothing else.
 */
static int
read_number(const json_t *json, double *number)
{
	const char *text = json_string_value(json);
	char *end;

	if (json_is_number(json)) {
		*number = json_number_value(json);
		return (0);
	}
	if (text == NULL || (!isdigit((unsigned char)*text) && *text != '-'))
		return (-1);
	*number = strtod(text, &end);

	return (*end == '\0' && isfinite(*number) ? 0 : -1);
}

/*
 * Read bytes in either alphabet, padded or not, and write them in one form.
 */
static json_t *
read_bytes(const char *text)
{
	unsigned char *bytes = NULL;
	char *copy, *p, *standard = NULL;
	json_t *json = NULL;
	size_t len = strlen(text), n;

	if ((copy = strdup(text)) == NULL)
		return (NULL);
	for (n = 0; n < 2 && len > 0 && len % 4 == 0; n++) {
		if (copy[len - n - 1] != '=')
			break;
	}
	copy[len -= n] = '\0';
	for (p = copy; *p != '\0'; p++) {
		if (*p == '+')
			*p = '-';
		else if (*p == '/')
			*p = '_';
	}
	if ((bytes = base64url_decode(copy, len, &n)) != NULL &&
	    (standard = base64_encode(bytes, n)) != NULL)
		json = json_string(standard);
	free(standard);
	free(bytes);
	free(copy);

	return (json);
}

static json_t *
read_map(const json_t *json, const struct place *place,
    struct failure *failure)
{
	struct place below = { .parent = place };
	const char *name;
	json_t *value;

	if (!json_is_object(json))
		return (refuse(json, "TYPE_MESSAGE", place, failure));
	json_object_foreach((json_t *)(uintptr_t)json, name, value) {
		below.name = name;
		if (!json_is_string(value))
			return (refuse(value, "TYPE_STRING", &below, failure));
	}

	return (json_copy((json_t *)(uintptr_t)json));
}

static json_t *
read_enum(const json_t *json, const struct proto_field *field,
    const struct place *place, struct failure *failure)
{
	const char *text = json_string_value(json);
	char number[32];
	int n;

	if (json_is_integer(json)) {
		(void)snprintf(number, sizeof(number), "%" JSON_INTEGER_FORMAT,
		    json_integer_value(json));
		text = number;
	}
	if (text == NULL || (n = proto_enum(field->values, text)) == -1)
		return (refuse(json, field->type, place, failure));

	return (json_string(field->values[n]));
}

static json_t *
read_value(const json_t *json, const struct proto_field *field,
    const struct place *place, struct failure *failure)
{
	const char *text = json_string_value(json), *type = NULL;
	int64_t micros;
	double number;
	json_t *bytes;

	switch (field->kind) {
	case PROTO_STRING:
		type = text != NULL ? NULL : "TYPE_STRING";
		break;
	case PROTO_STAMP:
		if (text == NULL || times_parse_stamp(text, &micros) == -1)
			type = "google.protobuf.Timestamp";
		break;
	case PROTO_SPAN:
		if (text == NULL || times_parse_span(text, &micros) == -1)
			type = "google.protobuf.Duration";
		break;
	case PROTO_INT32:
		if (read_number(json, &number) == -1 || number < INT_MIN ||
		    number > INT_MAX || number != (double)(int)number)
			return (refuse(json, "TYPE_INT32", place, failure));
		return (json_integer((int)number));
	case PROTO_DOUBLE:
		if (read_number(json, &number) == -1)
			return (refuse(json, "TYPE_DOUBLE", place, failure));
		return (json_real(number));
	case PROTO_BYTES:
		if (text != NULL && (bytes = read_bytes(text)) != NULL)
			return (bytes);
		type = "TYPE_BYTES";
		break;
	case PROTO_ENUM:
		return (read_enum(json, field, place, failure));
	case PROTO_MAP:
		return (read_map(json, place, failure));
	case PROTO_MESSAGE:
		return (read_message(json, field->fields, field->type, place,
		    failure));
	case PROTO_ANY:
		type = json_is_object(json) ? NULL : field->type;
		break;
	}
	if (type != NULL)
		return (refuse(json, type, place, failure));

	return (json_incref((json_t *)(uintptr_t)json));
}

static const struct proto_field *
find_field(const struct proto_field *fields, const char *name)
{
	char *camel;

	if ((camel = proto_camel(name)) == NULL)
		return (NULL);
	while (fields->name != NULL && strcmp(fields->name, camel) != 0)
		fields++;
	free(camel);

	return (fields->name != NULL ? fields : NULL);
}

static json_t *
read_message(const json_t *json, const struct proto_field *fields,
    const char *type, const struct place *place, struct failure *failure)
{
	struct place below = { .parent = place };
	const struct proto_field *field;
	const char *name;
	json_t *read, *value, *member;

	if (!json_is_object(json))
		return (refuse(json, type, place, failure));
	if ((read = json_object()) == NULL)
		return (NULL);
	json_object_foreach((json_t *)(uintptr_t)json, name, value) {
		if ((field = find_field(fields, name)) == NULL) {
			json_decref(read);
			return (refuse_name(name, place, failure));
		}
		if (json_is_null(value))
			continue;
		below.name = field->name;
		member = read_value(value, field, &below, failure);
		if (member == NULL) {
			json_decref(read);
			return (NULL);
		}
		json_object_set_new(read, field->name, member);
	}

	return (read);
}

/**
 * proto_read(json, fields, failure):
 * Return ${json}, an object with the ${fields} given, in the one form that
 * the rest of the program deals with: lowerCamelCase, without nulls, enums by
 * name, numbers as numbers, bytes in standard base64.  The reference is the
 * caller's.  Return NULL and the ${failure}, INVALID_ARGUMENT, where it is no
 * such object.
 */
json_t *
proto_read(const json_t *json, const struct proto_field *fields,
    struct failure *failure)
{

	if (!json_is_object(json)) {
		failure_set(failure, FAILURE_INVALID_ARGUMENT, "Invalid JSON "
		    "payload received. Root element must be a message.");
		return (NULL);
	}

	return (read_message(json, fields, "TYPE_MESSAGE", NULL, failure));
}

/**
 * proto_camel(name):
 * Return ${name} in lowerCamelCase as a string the caller frees, or NULL.
 */
char *
proto_camel(const char *name)
{
	char *camel, *p;

	if ((camel = malloc(strlen(name) + 1)) == NULL)
		return (NULL);
	for (p = camel; *name != '\0'; name++) {
		if (*name == '_' && islower((unsigned char)name[1]))
			*p++ = (char)toupper((unsigned char)*++name);
		else
			*p++ = *name;
	}
	*p = '\0';

	return (camel);
}

/**
 * proto_enum(values, text):
 * Return which of the ${values} the ${text}, a name or a number, means, or
 * -1.
 */
int
proto_enum(const char *const *values, const char *text)
{
	char *end;
	long number;
	int i;

	errno = 0;
	number = strtol(text, &end, 10);
	for (i = 0; values[i] != NULL; i++) {
		if (strcmp(values[i], text) == 0 ||
		    (isdigit((unsigned char)*text) && *end == '\0' &&
		    errno == 0 && number == i))
			return (i);
	}

	return (-1);
}
