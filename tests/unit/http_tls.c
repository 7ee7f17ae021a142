#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "http.h"

#include "scripted_server.h"
#include "unit.h"

/*
 * Who a request is sent to: the server whose certificate is good, straight or
 * through the proxy that is configured, and nobody else.
 */
#define HOST	"service.example.com"
#define SECRET	"Authorization: Bearer s3cr3t"
#define DAY	86400L

static EVP_PKEY *key;

/* A certificate that signs itself: for ${names}, valid from and until then. */
static X509 *
certificate(const char *names, long from, long until)
{
	X509 *x = X509_new();
	X509_NAME *name = X509_get_subject_name(x);
	X509_EXTENSION *e = X509V3_EXT_conf_nid(NULL, NULL,
	    NID_subject_alt_name, names);

	assert_int_equal(X509_set_version(x, X509_VERSION_3), 1);
	assert_int_equal(X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
	    (const unsigned char *)"test", -1, -1, 0), 1);
	assert_int_equal(X509_set_issuer_name(x, name), 1);
	assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x), 1), 1);
	assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x), from));
	assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x), until));
	assert_int_equal(X509_set_pubkey(x, key), 1);
	assert_non_null(e);
	assert_int_equal(X509_add_ext(x, e, -1), 1);
	X509_EXTENSION_free(e);
	assert_int_not_equal(X509_sign(x, key, EVP_sha256()), 0);
	return (x);
}

/* A server of one connection, perhaps behind a proxy, which it is as well. */
struct server {
	int fd;
	int port;
	pthread_t thread;
	SSL_CTX *ctx;
	const char *proxy_answers;	/* to CONNECT; or NULL: no proxy */
	int version;			/* of TLS, at most; or 0 */
	char connect[1024];		/* what the proxy was asked */
	char request[1024];		/* what the server was asked */
};

static void
answer_over_tls(struct server *s, int fd)
{
	static const char answer[] = "HTTP/1.1 200 OK\r\n"
	    "Content-Length: 2\r\nConnection: close\r\n\r\nhi";
	SSL *ssl = SSL_new(s->ctx);
	int n;

	if (ssl != NULL && SSL_set_fd(ssl, fd) == 1 && SSL_accept(ssl) == 1 &&
	    (n = SSL_read(ssl, s->request, sizeof(s->request) - 1)) > 0) {
		s->request[n] = '\0';
		(void)SSL_write(ssl, answer, (int)strlen(answer));
		(void)SSL_shutdown(ssl);
	}
	SSL_free(ssl);
}

static void *
serve(void *cookie)
{
	struct server *s = cookie;
	int fd = accept(s->fd, NULL, NULL);

	if (fd < 0)
		return (NULL);
	if (s->proxy_answers != NULL) {
		scripted_read(fd, s->connect, sizeof(s->connect));
		scripted_write(fd, s->proxy_answers);
	}
	if (s->proxy_answers == NULL || strstr(s->proxy_answers, " 200 "))
		answer_over_tls(s, fd);
	(void)close(fd);
	return (NULL);
}

static void
start(struct server *s, X509 *x)
{

	s->fd = scripted_listen(&s->port);
	assert_non_null(s->ctx = SSL_CTX_new(TLS_server_method()));
	assert_int_equal(SSL_CTX_use_certificate(s->ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(s->ctx, key), 1);
	if (s->version != 0) {
		SSL_CTX_set_security_level(s->ctx, 0);
		assert_int_equal(SSL_CTX_set_min_proto_version(s->ctx,
		    s->version), 1);
		assert_int_equal(SSL_CTX_set_max_proto_version(s->ctx,
		    s->version), 1);
	}
	assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void
stop(struct server *s)
{

	/* One that nobody came to still waits. */
	(void)shutdown(s->fd, SHUT_RDWR);
	assert_int_equal(pthread_join(s->thread, NULL), 0);
	(void)close(s->fd);
	SSL_CTX_free(s->ctx);
}

/* Let ${http} trust ${x}, as the system trusts its authorities. */
static void
trust(struct http *http, X509 *x)
{
	BIO *bio = BIO_new(BIO_s_mem());
	struct curl_blob blob = { .flags = CURL_BLOB_COPY };
	char *pem;

	assert_int_equal(PEM_write_bio_X509(bio, x), 1);
	blob.len = (size_t)BIO_get_mem_data(bio, &pem);
	blob.data = pem;
	assert_int_equal(curl_easy_setopt(http_easy(http),
	    CURLOPT_CAINFO_BLOB, &blob), CURLE_OK);
	BIO_free(bio);
}

static int
ask(struct http *http, const char *url)
{
	static const char *const headers[] = { SECRET, NULL };
	struct http_request request = { .method = "GET", .url = url,
	    .headers = headers, .timeout_ms = 5000, .max_response = 64 };

	assert_int_equal(http_prepare(http, &request), 0);
	return (http_perform(http));
}

static int
setup(void **state)
{

	(void)state;
	/* A client that does not like the certificate hangs up. */
	(void)signal(SIGPIPE, SIG_IGN);

	/* In the environment there is a proxy where nobody listens. */
	(void)setenv("https_proxy", "http://127.0.0.1:1", 1);
	(void)setenv("all_proxy", "http://127.0.0.1:1", 1);
	return ((key = EVP_RSA_gen(2048)) != NULL ? 0 : -1);
}

static int
teardown(void **state)
{

	(void)state;
	EVP_PKEY_free(key);
	return (0);
}

/* Nothing is sent to a server that cannot prove who it is. */
static void
test_certificates(void **state)
{
	static const struct {
		const char *name;
		const char *names;
		long from, until;
		int trusted, version;
		const char *says;	/* or NULL: good */
	} rows[] = {
		{ "good", "DNS:localhost", -DAY, DAY, 1, 0, NULL },
		{ "TLS 1.2", "DNS:localhost", -DAY, DAY, 1, TLS1_2_VERSION,
		    NULL },
		{ "unknown issuer", "DNS:localhost", -DAY, DAY, 0, 0,
		    "self-signed" },
		{ "another name", "DNS:" HOST, -DAY, DAY, 1, 0,
		    "no alternative certificate subject name matches" },
		{ "expired", "DNS:localhost", -2 * DAY, -DAY, 1, 0,
		    "expired" },
		{ "not yet valid", "DNS:localhost", DAY, 2 * DAY, 1, 0,
		    "not yet valid" },
		{ "TLS 1.1", "DNS:localhost", -DAY, DAY, 1, TLS1_1_VERSION,
		    "version" },
	};
	struct server s;
	struct http *http;
	char url[64];
	X509 *x;
	size_t i;
	int good;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		memset(&s, 0, sizeof(s));
		s.version = rows[i].version;
		assert_non_null(http = http_new(NULL));
		x = certificate(rows[i].names, rows[i].from, rows[i].until);
		if (rows[i].trusted)
			trust(http, x);
		start(&s, x);
		(void)snprintf(url, sizeof(url), "https://localhost:%d/",
		    s.port);
		good = rows[i].says == NULL;
		ASSERT_ROW(ask(http, url) == (good ? 0 : -1), rows[i].name);
		stop(&s);
		ASSERT_ROW(http_status(http) == (good ? 200 : 0),
		    rows[i].name);
		ASSERT_ROW((strstr(s.request, SECRET) != NULL) == good,
		    rows[i].name);
		ASSERT_ROW(!http_was_sent(http) == !good, rows[i].name);
		if (!good && strcasestr(http_error(http), rows[i].says) ==
		    NULL)
			fail_msg("%s: %s", rows[i].name, http_error(http));

		/* And what to do, where it is the certificate. */
		ASSERT_ROW((strstr(http_error(http), "update-ca-certificates")
		    != NULL) == (!good && rows[i].version == 0),
		    rows[i].name);
		X509_free(x);
		http_free(http);
	}
}

/* A machine without any authorities trusts nobody, and says so. */
static void
test_no_authorities(void **state)
{
	struct server s = { .fd = -1 };
	struct http *http = http_new(NULL);
	X509 *x = certificate("DNS:localhost", -DAY, DAY);
	char url[64];

	(void)state;
	assert_non_null(http);
	assert_int_equal(curl_easy_setopt(http_easy(http), CURLOPT_CAINFO,
	    "/nonexistent/ca-certificates.crt"), CURLE_OK);
	start(&s, x);
	(void)snprintf(url, sizeof(url), "https://localhost:%d/", s.port);
	assert_int_equal(ask(http, url), -1);
	stop(&s);
	assert_string_equal(s.request, "");
	assert_false(http_was_sent(http));
	assert_non_null(strstr(http_error(http), "install ca-certificates"));
	X509_free(x);
	http_free(http);
}

/* The proxy is asked for the way, and sees nothing of what goes through. */
static void
test_proxy(void **state)
{
	static const struct {
		const char *answer;
		int trusted;
		const char *says;
	} rows[] = {
		{ "HTTP/1.1 200 OK\r\n\r\n", 1, NULL },
		{ "HTTP/1.1 200 OK\r\n\r\n", 0, "self-signed" },
		{ "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n", 1,
		    "403" },
		{ "HTTP/1.1 407 Proxy Authentication Required\r\n"
		    "Content-Length: 0\r\n\r\n", 1, "407" },
		{ "", 1, "" },
	};
	struct server s;
	struct http *http;
	char proxy[32];
	X509 *x;
	size_t i;
	int good;

	(void)state;
	for (i = 0; i < NITEMS(rows); i++) {
		memset(&s, 0, sizeof(s));
		s.proxy_answers = rows[i].answer;
		x = certificate("DNS:" HOST, -DAY, DAY);
		start(&s, x);
		(void)snprintf(proxy, sizeof(proxy), "127.0.0.1:%d", s.port);
		assert_non_null(http = http_new(proxy));
		if (rows[i].trusted)
			trust(http, x);
		good = rows[i].says == NULL;
		ASSERT_ROW(ask(http, "https://" HOST "/") == (good ? 0 : -1),
		    rows[i].answer);
		stop(&s);
		ASSERT_ROW(strstr(s.connect, "CONNECT " HOST ":443 HTTP/1.1") ==
		    s.connect, rows[i].answer);
		ASSERT_ROW(strstr(s.connect, "s3cr3t") == NULL,
		    rows[i].answer);
		ASSERT_ROW((strstr(s.request, SECRET) != NULL) == good,
		    rows[i].answer);
		ASSERT_ROW(!http_was_sent(http) == !good, rows[i].answer);
		if (!good && strstr(http_error(http), rows[i].says) == NULL)
			fail_msg("%s: %s", rows[i].answer, http_error(http));
		X509_free(x);
		http_free(http);
	}
}

/* This machine's own services, and plain HTTP, which it could read. */
static void
test_past_the_proxy(void **state)
{
	struct server s = { .fd = -1 };
	struct scripted_server *plain = scripted_server_start(SCRIPT(
	    "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"));
	struct http *http = http_new("127.0.0.1:1");
	X509 *x = certificate("IP:127.0.0.1", -DAY, DAY);
	char url[64];

	(void)state;
	assert_non_null(http);
	trust(http, x);
	start(&s, x);
	(void)snprintf(url, sizeof(url), "https://127.0.0.1:%d/", s.port);
	if (ask(http, url) != 0)
		fail_msg("%s", http_error(http));
	stop(&s);
	assert_non_null(strstr(s.request, SECRET));
	if (ask(http, scripted_server_url(plain, "/", url, sizeof(url))) != 0)
		fail_msg("%s", http_error(http));
	(void)scripted_server_stop(plain);
	assert_ptr_equal(strstr(plain->requests[0], "GET / HTTP/1.1"),
	    plain->requests[0]);
	scripted_server_free(plain);
	X509_free(x);
	http_free(http);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_certificates),
		cmocka_unit_test(test_no_authorities),
		cmocka_unit_test(test_proxy),
		cmocka_unit_test(test_past_the_proxy),
	};

	return (cmocka_run_group_tests_name("http_tls", tests, setup,
	    teardown));
}
