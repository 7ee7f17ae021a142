#!/usr/bin/env bats
#
# The Cloud Tasks API over TLS and HTTP/2, as Google has it: nginx stands in
# front of the emulator with a certificate of its own, which followup-schedule
# trusts in a mount namespace of its own.

load lib

setup_file() {
	stack_up
}

teardown_file() {
	stack_down
}

setup() {
	stack_env
}

teardown() {
	[[ -z ${FRONT:-} ]] || kill "$FRONT"
	stack_reset
}

# Start nginx with TLS in front of the emulator, and log what speaks to it.
start_front() {
	local dir=$BATS_TEST_TMPDIR
	front_port=$(perl -MIO::Socket::INET -e 'print(IO::Socket::INET->new(
	    Listen => 1, LocalAddr => "127.0.0.1")->sockport())')
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
	    -addext subjectAltName=DNS:localhost -keyout "$dir/front.key" \
	    -out "$dir/front.pem" 2>"$dir/openssl.log"
	mkdir -p "$dir/tmp"
	cat >"$dir/nginx.conf" <<-EOT
	daemon off;
	pid nginx.pid;
	error_log stderr;
	events {}
	http {
		log_format front '\$server_protocol \$connection \$request_method';
		access_log front.log front;
		client_body_temp_path tmp/body;
		proxy_temp_path tmp/proxy;
		fastcgi_temp_path tmp/fastcgi;
		scgi_temp_path tmp/scgi;
		uwsgi_temp_path tmp/uwsgi;
		server {
			listen 127.0.0.1:$front_port ssl http2;
			ssl_certificate front.pem;
			ssl_certificate_key front.key;
			location / {
				proxy_pass $EMULATOR_URL;
			}
		}
	}
	EOT
	nginx -p "$dir" -c "$dir/nginx.conf" 2>"$dir/front.err" 3>&- &
	FRONT=$!
	wait_for 10 curl -sf -o "$dir/certs" -m 2 --noproxy '*' \
	    --cacert "$dir/front.pem" \
	    "https://localhost:$front_port/oauth2/v3/certs"
}

# How many tasks were created through the front?
posts() { grep -c 'POST$' "$BATS_TEST_TMPDIR/front.log"; }

@test "many tasks at once go over one HTTP/2 connection of each worker" {
	unshare -m true 2>"$BATS_TEST_TMPDIR/unshare.log" ||
	    skip 'no mount namespaces here'
	start_front
	make_credentials
	trust=$BATS_TEST_TMPDIR/trust
	cat >"$trust" <<-EOT
	#!/bin/sh
	mount --bind $BATS_TEST_TMPDIR/front.pem /etc/ssl/certs/ca-certificates.crt
	exec "\$@"
	EOT
	chmod +x "$trust"
	stack stop listener
	restart schedule STACK_WRAPPER_schedule="unshare -m $trust" \
	    CLOUD_TASKS_ENDPOINT="https://localhost:$front_port" \
	    FOLLOWUP_EXECUTION_ENDPOINT=https://example.com/bookings \
	    GOOGLE_APPLICATION_CREDENTIALS="$CREDENTIALS"
	book_many 100
	stack start listener
	all_scheduled
	(($(posts) >= 100))
	[[ $(awk '$3 == "POST" { print $1 }' "$BATS_TEST_TMPDIR/front.log" |
	    sort -u) == HTTP/2.0 ]]
	(($(awk '$3 == "POST" { print $2 }' "$BATS_TEST_TMPDIR/front.log" |
	    sort -u | wc -l) <= 5))
}
