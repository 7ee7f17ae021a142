#include <sys/mman.h>
#include <sys/stat.h>

#include <unistd.h>

#include <jansson.h>

#include "config.h"
#include "fuzz.h"
#include "google_credentials.h"
#include "google_credentials_internal.h"
#include "json_text.h"
#include "url.h"

/*
 * Files of credentials: what is taken has all that its type needs and sends
 * no secret to anybody in plain text; what is not is refused in one line.
 */

static struct config conf;
static char path[64];
static int file = -1;

static void
require_url(const json_t *json, const char *name)
{
	const json_t *url = json_object_get(json, name);

	if (url != NULL && !json_is_null(url))
		FUZZ_REQUIRE(json_text(json, name) != NULL &&
		    url_check(json_text(json, name)) == NULL &&
		    url_is_safe(json_text(json, name)));
}

/* What must hold for credentials that were taken. */
static void
check(const struct google_credentials *c, int depth)
{

	FUZZ_REQUIRE(depth <= 2 && c->conf == &conf);
	switch (c->kind) {
	case GOOGLE_SERVICE_ACCOUNT:
		FUZZ_REQUIRE(EVP_PKEY_is_a(c->key, "RSA"));
		FUZZ_REQUIRE(json_text(c->file, "client_email") != NULL &&
		    json_text(c->file, "private_key_id") != NULL);
		FUZZ_REQUIRE(json_object_get(c->file, "private_key") == NULL);
		break;
	case GOOGLE_AUTHORIZED_USER:
		FUZZ_REQUIRE(json_text(c->file, "client_id") != NULL &&
		    json_text(c->file, "client_secret") != NULL &&
		    json_text(c->file, "refresh_token") != NULL);
		break;
	case GOOGLE_IMPERSONATED:
		FUZZ_REQUIRE(json_text(c->file,
		    "service_account_impersonation_url") != NULL);
		FUZZ_REQUIRE(c->source != NULL);
		check(c->source, depth + 1);
		break;
	case GOOGLE_EXTERNAL:
		FUZZ_REQUIRE(json_text(c->file, "audience") != NULL &&
		    json_text(c->file, "subject_token_type") != NULL &&
		    json_text(c->file, "token_url") != NULL);
		FUZZ_REQUIRE(json_is_object(json_object_get(c->file,
		    "credential_source")));
		require_url(c->file, "token_url");
		break;
	case GOOGLE_METADATA:
		FUZZ_REQUIRE(c->kind != GOOGLE_METADATA);
		break;
	}
	if (c->kind == GOOGLE_SERVICE_ACCOUNT ||
	    c->kind == GOOGLE_AUTHORIZED_USER)
		require_url(c->file, "token_uri");
	if (c->kind == GOOGLE_IMPERSONATED || c->kind == GOOGLE_EXTERNAL)
		require_url(c->file, "service_account_impersonation_url");
	FUZZ_REQUIRE(google_credentials_universe(c) != NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct google_credentials *c;
	char why[512] = "";

	/* The file has no name, but a path. */
	if (file == -1) {
		FUZZ_REQUIRE((file = memfd_create("credentials",
		    MFD_CLOEXEC)) != -1 && fchmod(file, 0600) == 0);
		(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", file);
		conf.application_credentials = path;
	}
	FUZZ_REQUIRE(ftruncate(file, 0) == 0 &&
	    pwrite(file, data, len, 0) == (ssize_t)len);

	if ((c = google_credentials_find(&conf, why, sizeof(why))) != NULL)
		check(c, 0);
	else
		FUZZ_REQUIRE(fuzz_is_line(why) && strstr(why, path) != NULL);
	google_credentials_free(c);
	return (0);
}
