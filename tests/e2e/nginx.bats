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

# Put the server files as they are shipped into a prefix of their own, with a
# certificate; only paths and addresses differ, all sockets are unix ones.
shipped() {
	prefix=$BATS_TEST_TMPDIR/prefix
	mkdir -p "$prefix/conf.d" "$prefix/tls" "$prefix/tmp"
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
	    -keyout "$prefix/tls/privkey.pem" \
	    -out "$prefix/tls/fullchain.pem" 2>/dev/null
	for name in "$@"; do
		sed -e "s,/run/followup-scheduler/,$prefix/," \
		    -e "s,/etc/followup-scheduler/,$prefix/," \
		    -e "s,/var/log/nginx/,$prefix/," \
		    -e "s,listen 127.0.0.1:8080,listen unix:$prefix/tcp.sock," \
		    -e "s,listen 443,listen unix:$prefix/tls.sock," \
		    "nginx/followup-$name.conf" >"$prefix/conf.d/$name.conf"
	done
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
	}
	EOT
}

teardown() {
	[ ! -s "$BATS_TEST_TMPDIR/prefix/nginx.pid" ] ||
	    kill "$(cat "$BATS_TEST_TMPDIR/prefix/nginx.pid")"
}

@test "the shipped files pass nginx -t, together and each alone" {
	shipped local public
	nginx -t -p "$prefix" -c "$prefix/nginx.conf"
	rm "$prefix/conf.d/public.conf"
	nginx -t -p "$prefix" -c "$prefix/nginx.conf"
	shipped public
	rm "$prefix/conf.d/local.conf"
	nginx -t -p "$prefix" -c "$prefix/nginx.conf"
}

@test "the public server speaks https; plain HTTP to it is a 400" {
	shipped public
	nginx -p "$prefix" -c "$prefix/nginx.conf"
	request -k --unix-socket "$prefix/tls.sock" https://localhost/
	problem 404
	request --unix-socket "$prefix/tls.sock" http://localhost/
	problem 400
}

@test "too many requests from one address are told 429 and when to return" {
	shipped public
	sed -i 's/rate=4000r/rate=1r/; s/burst=4000/burst=1/' \
	    "$prefix/conf.d/public.conf"
	nginx -p "$prefix" -c "$prefix/nginx.conf"
	for _ in 1 2 3; do
		request -k --unix-socket "$prefix/tls.sock" -d '{}' \
		    https://localhost/bookings/x/execute-followup
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
		request -X POST -H "Origin: $origin" -d x=y "$LOCAL_URL$path"
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
