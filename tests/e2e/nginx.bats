# What nginx does by itself.  Which requests it refuses is in bad_input.bats.

setup_file() {
	cd "$BATS_TEST_DIRNAME/../.." || return
	export STACK="$BATS_FILE_TMPDIR/stack"
	tests/stack up "$STACK"
}

teardown_file() {
	cd "$BATS_TEST_DIRNAME/../.." || return
	tests/stack down "$STACK"
}

setup() {
	cd "$BATS_TEST_DIRNAME/../.." || return
	eval "$(tests/stack env "$STACK")"
	EXECUTE=$PUBLIC_URL/bookings/33333333-3333-4333-8333-333333333333/execute-followup
}

# Send a request; ${status_code}, ${head} and ${body} are what came back.
request() {
	curl -s -m 20 --noproxy '*' --path-as-is -D "$BATS_TEST_TMPDIR/head" \
	    -o "$BATS_TEST_TMPDIR/body" "$@"
	head=$(tr -d '\r' <"$BATS_TEST_TMPDIR/head")
	body=$(cat "$BATS_TEST_TMPDIR/body" 2>/dev/null || true)
	status_code=$(sed -n '1s/^[^ ]* \([0-9]*\).*/\1/p' "$BATS_TEST_TMPDIR/head")
}

# The last answer is nginx's own: a problem with status $1.
problem() {
	echo "$head"
	echo "$body"
	[ "$status_code" = "$1" ]
	grep -qix 'content-type: application/problem+json' <<<"$head"
	[ "$(jq -r .status <<<"$body")" = "$1" ]
	jq -e '(.type | length > 0) and (.title | length > 0) and
	    (.detail | length > 0)' <<<"$body" >/dev/null
}

# The last answer came from a program behind nginx.
from_program() {
	echo "$head"
	echo "$body"
	id=$(sed -n 's/^[Xx]-[Rr]equest-[Ii]d: //p' <<<"$head")
	[ -n "$id" ]
	grep "request_id=$id" "$STACK"/log/*.access.log |
	    grep -q "upstream_status=$status_code "
}

# make_certificate NAME FOLDER
make_certificate() {
	mkdir -p "$2"
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj "/CN=$1" \
	    -keyout "$2/privkey.pem" -out "$2/fullchain.pem" 2>/dev/null
}

# Leave in ${prefix} an nginx like Debian's, with a site of its own that serves
# every name, over http and https, and the public server installed beside it as
# it is shipped.  Only paths and addresses differ: the sockets are unix ones.
site() {
	prefix=$BATS_TEST_TMPDIR/prefix
	mkdir -p "$prefix/conf.d" "$prefix/sites-enabled" "$prefix/tmp"
	make_certificate site.example.com "$prefix/site-tls"
	cat >"$prefix/nginx.conf" <<-EOT
	$([ "$(id -u)" != 0 ] || echo 'user root;')
	pid $prefix/nginx.pid;
	error_log $prefix/error.log;
	events {
	}
	http {
		client_body_temp_path $prefix/tmp/body;
		fastcgi_temp_path $prefix/tmp/fastcgi;
		proxy_temp_path $prefix/tmp/proxy;
		scgi_temp_path $prefix/tmp/scgi;
		uwsgi_temp_path $prefix/tmp/uwsgi;
		include $prefix/conf.d/*.conf;
		include $prefix/sites-enabled/*;
	}
	EOT
	cat >"$prefix/sites-enabled/site" <<-EOT
	server {
		listen unix:$prefix/http.sock;
		listen unix:$prefix/tls.sock ssl;
		server_name _;
		ssl_certificate $prefix/site-tls/fullchain.pem;
		ssl_certificate_key $prefix/site-tls/privkey.pem;
		access_log off;
		return 200 site;
	}
	EOT
	public=$prefix/sites-enabled/zz-followup-public.conf
	sed -e "s,/run/followup-scheduler/,${1:-$prefix}/," \
	    -e "s,/etc/followup-scheduler/,$prefix/," \
	    -e "s,/var/log/nginx/,$prefix/," \
	    -e "s,listen 443,listen unix:$prefix/tls.sock," \
	    nginx/followup-public.conf >"$public"
}

# nginx_here ARGUMENT...: nginx with the configuration of site.
nginx_here() { nginx "$@" -p "$prefix" -c "$prefix/nginx.conf"; }

# https NAME PATH CURL-ARGUMENT...: ask for a name at the https address.
https() {
	request -k --unix-socket "$prefix/tls.sock" "${@:3}" "https://$1$2"
}

# There is no TLS under our name: curl says 35.
no_handshake() {
	run curl -sk -m 20 --unix-socket "$prefix/tls.sock" \
	    https://followups.example.com/
	[ "$status" = 35 ]
}

# The configuration is good, and the other site answers, over http and https,
# under names of its own and without a name.
site_is_up() {
	nginx_here -t
	for name in site.example.com other.example.com 127.0.0.1; do
		https "$name" /
		[ "$status_code $body" = '200 site' ]
	done
	request --unix-socket "$prefix/http.sock" http://site.example.com/
	[ "$status_code $body" = '200 site' ]
}

# is_within SECONDS COMMAND...: wait until it succeeds.
is_within() {
	local until=$((SECONDS + $1))
	until "${@:2}"; do
		((SECONDS < until)) || return 1
		sleep 0.05
	done
}

# local_nginx [ADDRESS]: start the nginx of the local API as its unit does, with
# the stack's followup-schedule behind it, which it leaves in ${run}.
local_nginx() {
	run=$BATS_TEST_TMPDIR/run
	mkdir -p "$run" "$BATS_TEST_TMPDIR/conf"
	sed "s,syslog:.*,stderr;," nginx/followup-nginx.conf \
	    >"$BATS_TEST_TMPDIR/conf/followup-nginx.conf"
	sed -e "s,/run/followup-scheduler/local,$run/local," \
	    -e "s,/run/followup-scheduler/,$(dirname "$LOCAL_SOCKET")/," \
	    -e "s,127.0.0.1:8080,${1:-127.0.0.3:${LOCAL_URL##*:}}," \
	    -e "s,syslog:.*,$run/access.log," \
	    nginx/followup-local.conf \
	    >"$BATS_TEST_TMPDIR/conf/followup-local.conf"
	[ "$(id -u)" != 0 ] || sed -i '1i user root;' \
	    "$BATS_TEST_TMPDIR/conf/followup-nginx.conf"
	RUNTIME_DIRECTORY=$run FOLLOWUP_NGINX_CONF=$BATS_TEST_TMPDIR/conf \
	    nginx/followup-nginx 2>"$run/journal" 3>&-
}

teardown() {
	for pid in "$BATS_TEST_TMPDIR"/{prefix,run}/nginx.pid; do
		[ ! -s "$pid" ] || kill "$(cat "$pid")"
	done
}

@test "what of ours is missing or down never touches the other sites" {
	# No certificate, no folder of sockets, no program.
	site "$BATS_TEST_TMPDIR/none"
	nginx_here
	site_is_up
	no_handshake
	# Then it comes, and needs no reload.
	make_certificate followups.example.com "$prefix/tls"
	https followups.example.com /
	problem 404
	https followups.example.com /bookings/x/execute-followup -d '{}'
	problem 503
	# What is there is no certificate, or another one's key.
	echo nonsense >"$prefix/tls/fullchain.pem"
	site_is_up
	cp "$prefix/site-tls/fullchain.pem" "$prefix/tls"
	no_handshake
	site_is_up
	# It starts like that, too.
	nginx_here -s stop
	is_within 10 test ! -e "$prefix/nginx.pid"
	nginx_here
	site_is_up
	rm "$public"
	nginx_here -s reload
	site_is_up
}

@test "a callback gets through where another https site is the default" {
	site "$(dirname "$LOCAL_SOCKET")"
	make_certificate followups.example.com "$prefix/tls"
	nginx_here
	site_is_up
	https followups.example.com "${EXECUTE#"$PUBLIC_URL"}" -d '{}'
	[ "$status_code" = 401 ]
	[ "$(jq -r .type <<<"$body")" = urn:followup-scheduler:unauthorized ]
}

@test "the public server alone serves its address, by any name" {
	site
	rm "$prefix/sites-enabled/site"
	make_certificate followups.example.com "$prefix/tls"
	nginx_here -t
	nginx_here
	https followups.example.com /
	problem 404
	https 127.0.0.1 /
	problem 404
	request --unix-socket "$prefix/tls.sock" http://followups.example.com/
	problem 400
}

@test "the local API has a socket, its port, and an nginx of its own" {
	local_nginx
	[ "$(stat -c %a "$run/local.sock")" = 660 ]
	request --unix-socket "$run/local.sock" http://localhost/healthz
	[ "$status_code" = 200 ]
	request -H 'Host: localhost' "http://127.0.0.3:${LOCAL_URL##*:}/healthz"
	[ "$status_code" = 200 ]
}

@test "the local API's port is taken: its socket answers, the journal says so" {
	local_nginx "127.0.0.1:${LOCAL_URL##*:}"
	cat "$run/journal"
	grep -q 'Address already in use' "$run/journal"
	grep -q 'on its unix socket only' "$run/journal"
	[ "$(stat -c %a "$run/local.sock")" = 660 ]
	request --unix-socket "$run/local.sock" http://localhost/healthz
	[ "$status_code" = 200 ]
	# The one that has it is not disturbed.
	request "$LOCAL_URL/healthz"
	[ "$status_code" = 200 ]
}

@test "the local API comes back after its nginx was killed" {
	local_nginx
	main=$(cat "$run/nginx.pid")
	# shellcheck disable=SC2046 # a list of numbers
	kill -KILL "$main" $(pgrep -P "$main")
	[ -S "$run/local.sock" ]
	local_nginx
	request --unix-socket "$run/local.sock" http://localhost/healthz
	[ "$status_code" = 200 ]
}

@test "too many requests from one address are told 429 and when to return" {
	site
	make_certificate followups.example.com "$prefix/tls"
	sed -i 's/rate=4000r/rate=1r/; s/burst=4000/burst=1/' "$public"
	nginx_here
	for _ in 1 2 3; do
		https followups.example.com /bookings/x/execute-followup -d '{}'
	done
	problem 429
	grep -qi '^retry-after: 5$' <<<"$head"
}

@test "every answer has nginx's own request id, which the log has too" {
	for url in "$EXECUTE" "$PUBLIC_URL/" "$LOCAL_URL/healthz"; do
		request -H 'X-Request-Id: mine' -d '{}' "$url"
		[ "$(grep -ci '^x-request-id: ' <<<"$head")" = 1 ]
		id=$(sed -n 's/^[Xx]-[Rr]equest-[Ii]d: //p' <<<"$head")
		[[ $id =~ ^[0-9a-f]{32}$ ]]
		grep -q "request_id=$id" "$STACK"/log/*.access.log
	done
}

@test "no token and no query string gets into any log" {
	request -H 'Authorization: Bearer not-for-the-logs-1' \
	    -H 'X-CloudTasks-Secret: not-for-the-logs-2' \
	    -d '{}' "$EXECUTE?key=not-for-the-logs-3"
	request -H 'Authorization: Bearer not-for-the-logs-4' \
	    "$LOCAL_URL/healthz?key=not-for-the-logs-5"
	run grep -r 'not-for-the-logs' "$STACK/log"
	echo "$output"
	[ "$status" = 1 ]
}

@test "a log line names the method that was sent, also of what nginx refuses" {
	request -X DELETE "$PUBLIC_URL/refused"
	grep '"DELETE /refused" 404 ' "$STACK/log/followup-public.access.log"
}

@test "a program that is gone is a 503 with Retry-After until it is back" {
	tests/stack kill execute "$STACK"
	tests/stack kill schedule "$STACK"
	request -d '{}' "$EXECUTE"
	problem 503
	grep -Eqi '^retry-after: [0-9]+$' <<<"$head"
	request "$LOCAL_URL/healthz"
	problem 503
	grep -Eqi '^retry-after: [0-9]+$' <<<"$head"
	tests/stack start execute "$STACK"
	tests/stack start schedule "$STACK"
	request -d '{}' "$EXECUTE"
	from_program
	request "$LOCAL_URL/healthz"
	[ "$status_code" = 200 ]
}

@test "idle connections of clients hold no worker" {
	# Twice as many connections as there are workers, each kept open after
	# an answer.
	port=${LOCAL_URL##*:}
	for fd in 20 21 22 23 24 25 26 27; do
		eval "exec $fd<>/dev/tcp/127.0.0.1/$port"
		printf 'GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n' >&"$fd"
		read -r -t 10 line <&"$fd"
		echo "$line"
		[[ $line == *' 200'* ]]
	done
	request -m 5 "$LOCAL_URL/healthz"
	[ "$status_code" = 200 ]
	for fd in 20 21 22 23 24 25 26 27; do
		eval "exec $fd>&-"
	done
}

@test "the local server answers to this machine's names only, over TCP" {
	request -H 'Host: rebound.example.com' "$LOCAL_URL/healthz"
	problem 421
	request -H 'Host: localhost' "$LOCAL_URL/healthz"
	[ "$status_code" = 200 ]
	request --unix-socket "$LOCAL_SOCKET" http://any.example.com/healthz
	[ "$status_code" = 200 ]
}

@test "the local server answers to no page of another site" {
	path=/followups/44444444-4444-4444-8444-444444444444/retry
	# What a browser sends without asking first.
	for origin in https://rebound.example.com null file:// \
	    http://localhost.example.com http://127.0.0.1.example.com \
	    'http://localhost http://localhost'; do
		request -X POST -H "Origin: $origin" -d x=y "$LOCAL_URL$path"
		problem 421
	done
	request -X POST -H 'Host: rebound.example.com' \
	    -H 'Origin: localhost http://localhost' "$LOCAL_URL$path"
	problem 421
	for origin in "$LOCAL_URL" http://localhost:8080 http://127.0.0.1; do
		request -X POST -H "Origin: $origin" \
		    -H 'Content-Type: application/json' -d '{}' "$LOCAL_URL$path"
		problem 404
	done
	request --unix-socket "$LOCAL_SOCKET" -X POST \
	    -H 'Origin: https://any.example.com' "http://localhost$path"
	problem 404
}

@test "the local socket is not for everyone, also after nginx was killed" {
	[ "$(stat -c %a "$LOCAL_SOCKET")" = 660 ]
	tests/stack kill nginx "$STACK"
	[ -S "$LOCAL_SOCKET" ]
	tests/stack start nginx "$STACK"
	[ "$(stat -c %a "$LOCAL_SOCKET")" = 660 ]
	request --unix-socket "$LOCAL_SOCKET" http://localhost/healthz
	[ "$status_code" = 200 ]
}
