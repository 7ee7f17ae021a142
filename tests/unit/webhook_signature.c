#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "webhook_signature.h"

#include "unit.h"

/* The example of the Standard Webhooks specification and its libraries. */
#define SECRET		"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#define ID		"msg_p5jXN8AQM9LWM0D4loKWxJek"
#define TIMESTAMP	"1614265330"
#define BODY		"{\"test\": 2432232314}"
#define SIGNATURE	"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

static void
test_specification(void **state)
{
	char signature[WEBHOOK_SIGNATURE_LEN];
	struct webhook_key key;

	(void)state;
	assert_int_equal(webhook_key_parse(SECRET, &key), 0);
	assert_int_equal(key.len, 24);
	assert_int_equal(webhook_sign(&key, ID, TIMESTAMP, BODY, strlen(BODY),
	    signature), 0);
	assert_string_equal(signature, SIGNATURE);
}

/* Whatever is signed, another one of it has another signature. */
static void
test_everything_counts(void **state)
{
	static const struct {
		const char *id, *timestamp, *body;
		size_t len;
	} rows[] = {
		{ "msg_p5jXN8AQM9LWM0D4loKWxJel", TIMESTAMP, BODY, 20 },
		{ ID, "1614265331", BODY, 20 },
		{ ID, TIMESTAMP, BODY, 19 },
		{ ID, TIMESTAMP, "{\"test\": 2432232315}", 20 },
		{ ID, TIMESTAMP, "", 0 },
		{ ID, TIMESTAMP, "a\0b", 3 },
		{ ID, TIMESTAMP, "a\0c", 3 },
	};
	char signatures[NITEMS(rows)][WEBHOOK_SIGNATURE_LEN];
	struct webhook_key key;
	size_t i, j;

	(void)state;
	assert_int_equal(webhook_key_parse(SECRET, &key), 0);
	for (i = 0; i < NITEMS(rows); i++) {
		assert_int_equal(webhook_sign(&key, rows[i].id,
		    rows[i].timestamp, rows[i].body, rows[i].len,
		    signatures[i]), 0);
		assert_int_equal(strlen(signatures[i]),
		    WEBHOOK_SIGNATURE_LEN - 1);
		assert_string_not_equal(signatures[i], SIGNATURE);
		for (j = 0; j < i; j++)
			assert_string_not_equal(signatures[i], signatures[j]);
	}
	key.bytes[0] ^= 1;
	assert_int_equal(webhook_sign(&key, ID, TIMESTAMP, BODY, strlen(BODY),
	    signatures[0]), 0);
	assert_string_not_equal(signatures[0], SIGNATURE);
}

/* A key has from 24 to 64 bytes. */
static void
test_key_sizes(void **state)
{
	unsigned char bytes[100];
	struct webhook_key key;
	char secret[256], *text;
	size_t n;

	(void)state;
	for (n = 0; n < sizeof(bytes); n++)
		bytes[n] = (unsigned char)(n * 7);
	for (n = 0; n <= sizeof(bytes); n++) {
		text = base64_encode(bytes, n);
		assert_non_null(text);
		(void)snprintf(secret, sizeof(secret), "whsec_%s", text);
		free(text);
		if (n < 24 || n > WEBHOOK_KEY_MAX) {
			assert_int_equal(webhook_key_parse(secret, &key), -1);
			continue;
		}
		assert_int_equal(webhook_key_parse(secret, &key), 0);
		assert_int_equal(key.len, n);
		assert_memory_equal(key.bytes, bytes, n);
	}
}

static void
test_bad_keys(void **state)
{
	static const char *const bad[] = {
	    "", "whsec_", "whsec", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	    "WHSEC_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	    " whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw ",
	    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n",
	    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS",
	    "whsec_-fKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	    "whsec_MfKQ9r8GKYqr TwjUPD8ILPZIo2LaLaSw",
	    "whsk_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	    "whsec_whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
	};
	struct webhook_key key;
	size_t i;

	(void)state;
	for (i = 0; i < NITEMS(bad); i++)
		ASSERT_ROW(webhook_key_parse(bad[i], &key) == -1, bad[i]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_specification),
		cmocka_unit_test(test_everything_counts),
		cmocka_unit_test(test_key_sizes),
		cmocka_unit_test(test_bad_keys),
	};

	return (cmocka_run_group_tests_name("webhook_signature", tests, NULL,
	    NULL));
}
