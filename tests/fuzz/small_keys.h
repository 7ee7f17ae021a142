#ifndef SMALL_KEYS_H_
#define SMALL_KEYS_H_

#include <openssl/evp.h>

#include "fuzz.h"
#include "jwt.h"

/*
 * Two RSA keys that were made for these targets and are used nowhere else.
 * They are as short as RS256 allows, so that signing takes no time; nothing
 * outside tests would take them for keys (see jwks.c).
 */

#define SMALL_KEY_OURS \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIIBVAIBADANBgkqhkiG9w0BAQEFAASCAT4wggE6AgEAAkEAuGmwctMBlHcRJJUJ\n" \
    "WjsgEs0uhtF1S9PjtZzl113lWA6R6lC+lm2fg8pbG3Be2zSbCbHrAmdPMnsyk9bj\n" \
    "BJrEYwIDAQABAkAllQRsoiv0Qb+woN7jEKGcs0wEFbO93FTPskX0+iG/LAATxxab\n" \
    "GVbrs2EesINx7M/rkeasgYLb2/SrwBG/tCYhAiEA7PYudQNYwALfFMDv205P41si\n" \
    "jvbvv7jkiUm8J8HOC0UCIQDHOq+e3a6iOX7ZIuKcMPYprq2tf5420Y0k4vgzj1s3\n" \
    "hwIhAJPZatUxuF9dq0kstLu2Ghx2kZJ4OtD6EQYkDpUT1HatAiBF+Ty5hY7Sd3Mv\n" \
    "/GqvBRtQZIOnjk0ZX9w8+mLGaTFWfQIgAMoVn7ex4Ya5RtCsLyXHas2iQV09Cm/O\n" \
    "VgbySMeFBDE=\n" \
    "-----END PRIVATE KEY-----\n"

#define SMALL_KEY_OTHER \
    "-----BEGIN PRIVATE KEY-----\n" \
    "MIIBVgIBADANBgkqhkiG9w0BAQEFAASCAUAwggE8AgEAAkEAycZl6mjSa6C1PGbl\n" \
    "BH+YdY/p9uHRl6vnoYn52BphGlw7nN7epsB6KWMaw3F2Zwm8vjsQeSh09Viw8mNu\n" \
    "cB9EOQIDAQABAkEAp3lhBhtS67pMM4JD/GPbq1h0HVJ5oKYyb8YR9eiPSExjimwT\n" \
    "qwvjJieRhupj/I6Ewot3kHdKTro2/UW5JfviAQIhAPOvKPlbni2KucLIUmaKs6Q2\n" \
    "p5k8ySn2JskyA1cp+eFxAiEA0/kB3PodF+GvKX2UEF+48HJD4gemJ9wtmukb7u8A\n" \
    "K0kCIQDNXR274EFTAimBBQ+kiVnRl5nxI3Ao4+BWCMcV6zNCkQIgH3He/uLzkele\n" \
    "zK7eWhd5HeI1g8BSu7MD6OkPxcAarFECIQDrNndQSe6BiEQTcISpma5tvEgaLCXS\n" \
    "Jo/PNimibwD2tQ==\n" \
    "-----END PRIVATE KEY-----\n"

/**
 * small_key(pem):
 * Return the key of ${pem}, to be kept for the life of the program.
 */
static inline EVP_PKEY *
small_key(const char *pem)
{
	const char *why;
	EVP_PKEY *key = jwt_key_parse(pem, strlen(pem), &why);

	FUZZ_REQUIRE(key != NULL);
	return (key);
}

#endif /* !SMALL_KEYS_H_ */
