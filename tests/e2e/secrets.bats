# Who hears a secret: nobody who reads logs, answers, process titles or memory.

# shellcheck disable=SC2016,SC2030,SC2031,SC2153,SC2154
# (there is Perl in here, every test is a subshell of its own, and the libraries
# set the names in capitals)

load lib
load hardening-lib

# Words that must not be found anywhere, and PG_SECRET.
TASKS_SECRET=canary-tasks-Zk3vB9rYp1Qd
CALL_TOKEN=canary-call-token-Hs6mE0uXa4Wf
WEBHOOK_TOKEN=canary-webhook-Nc2gR7iKo5Vt
METADATA_TOKEN=canary-metadata-Uy8bD4lJz3Ps

setup_file() {
	load lib
	load hardening-lib
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s LOG_LEVEL=debug \
	    POSTGRES_PASSWORD="$PG_SECRET" FOLLOWUP_CALL_TOKEN="$CALL_TOKEN" \
	    FOLLOWUP_WEBHOOK_TOKEN="$WEBHOOK_TOKEN"
	stack_env
	ask_for_password
	make_google_key
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
	ANSWERS=$BATS_TEST_TMPDIR/answers HELPERS=()
	NEEDLES=$BATS_TEST_TMPDIR/needles
}

teardown() {
	kill_helpers
	agent '[]'
	faults '[]'
	stack_reset
}

# needle SECRET...: it, its hex, and its base64 wherever it stands in a text.
needle() {
	local secret before code hex
	for secret in "$@"; do
		printf '%s\n' "$secret"
		hex=$(printf %s "$secret" | od -An -v -tx1 | tr -d ' \n')
		printf '%s\n' "$hex" "${hex^^}"
		for before in '' x xx; do
			code=$(printf %s "$before$secret" | base64 -w 0)
			code=${code:0:(${#before} + ${#secret}) * 8 / 6}
			code=${code:(${#before} * 8 + 5) / 6}
			printf '%s\n' "$code" "$(tr '+/' '-_' <<<"$code")"
		done
	done >>"$NEEDLES"
}

# clean FILE...: no secret is in any of them.
clean() {
	! grep -rlFf "$NEEDLES" -- "$@" >&2 &&
	    ! grep -rlE 'eyJ[A-Za-z0-9_-]+\.eyJ' -- "$@" >&2
}

# ask METHOD URL [CURL-OPTION]...: a request whose answer is kept.
ask() {
	request "$@"
	printf '%s\n%s\n' "$HEAD" "$BODY" >>"$ANSWERS"
}

# ask_about ID: everything that tells about a booking, and the rest.
ask_about() {
	local path bearer
	for path in "/followups/$1" '/dead-letters?limit=500' /healthz /readyz \
	    /metrics /status /; do
		for bearer in "$WEBHOOK_TOKEN" "${WEBHOOK_TOKEN}x" ''; do
			ask GET "$LOCAL_URL$path" \
			    -H "Authorization: Bearer $bearer"
		done
	done
	column "$1" last_execution_error >>"$ANSWERS"
	failure=$(sql 'SELECT error FROM lad_dev.followup_failures')
	printf '%s\n' "$failure" >>"$ANSWERS"
}

# Google's metadata server, whose token is METADATA_TOKEN: sets METADATA.
start_metadata() {
	perl -MIO::Socket::INET -e '
		my $listener = IO::Socket::INET->new(Listen => 16,
		    LocalAddr => "127.0.0.1") or die;
		my $body = qq({"access_token":"$ARGV[0]","expires_in":3600,) .
		    qq("token_type":"Bearer"});
		$| = 1;
		print("127.0.0.1:", $listener->sockport(), "\n");
		while (my $client = $listener->accept()) {
			my $head = "";
			1 while $head !~ /\r\n\r\n/ &&
			    sysread($client, $head, 65536, length($head));
			print $client "HTTP/1.1 200 OK\r\n",
			    "Metadata-Flavor: Google\r\n",
			    "Content-Type: application/json\r\n",
			    "Connection: close\r\n",
			    "Content-Length: ", length($body), "\r\n\r\n", $body;
		}' "$METADATA_TOKEN" >"$BATS_TEST_TMPDIR/metadata" 3>&- &
	HELPERS+=("$!")
	wait_for 10 test -s "$BATS_TEST_TMPDIR/metadata"
	METADATA=$(cat "$BATS_TEST_TMPDIR/metadata")
}

# cloud_tasks_fails: in every way; then it works, and the booking is executed.
cloud_tasks_fails() {
	local id status
	for status in 400 401 403 404 429 500; do
		faults "{\"operation\": \"createTask\", \"status\": $status,
		    \"count\": -1}"
		id=$(book '-1 second')
		ask POST "$LOCAL_URL/webhooks/booking-followup" \
		    -H 'Content-Type: application/json' \
		    -H "Authorization: Bearer $WEBHOOK_TOKEN" \
		    -d "{\"booking_id\":\"$id\"}"
		ask_about "$id"
	done
	faults '[]'
	restart schedule "$@"
	id=$(book '-1 second')
	becomes "$id" executed 30
}

@test "no secret is in a log, in an answer or in a process title" {
	needle "$PG_SECRET" "$TASKS_SECRET" "$CALL_TOKEN" "$WEBHOOK_TOKEN" \
	    "$METADATA_TOKEN" "$CALL_KEY"
	# The key's text line by line, and in hex whatever is 32 bytes of it.
	grep -v -- ----- "$BATS_FILE_TMPDIR/google.pem" >>"$NEEDLES"
	openssl pkey -in "$BATS_FILE_TMPDIR/google.pem" -outform DER |
	    od -An -v -tx1 | tr -d ' \n' | fold -w 64 | grep -x '.\{64\}' |
	    tee -a "$NEEDLES" | tr a-f A-F >>"$BATS_TEST_TMPDIR/upper"
	cat "$BATS_TEST_TMPDIR/upper" >>"$NEEDLES"

	# What looks is not blind.
	for text in "a $CALL_TOKEN" "$(printf %s "user:$PG_SECRET" | base64 -w 0)" \
	    "$(printf %s "$TASKS_SECRET" | od -An -v -tx1 | tr -d ' \n')" \
	    "$(sed -n 5p "$BATS_FILE_TMPDIR/google.pem")" eyJhbGciOi.eyJpc3M; do
		echo "$text" >"$BATS_TEST_TMPDIR/dirty"
		not clean "$BATS_TEST_TMPDIR/dirty" 2>/dev/null
	done

	# Cloud Tasks fails: with a service account, with a machine's token.
	google=(CLOUD_TASKS_ENDPOINT="$EMULATOR_URL"
	    GOOGLE_APPLICATION_CREDENTIALS="$BATS_FILE_TMPDIR/google.json")
	restart schedule "${google[@]}"
	cloud_tasks_fails "${google[@]}"
	start_metadata
	google=(CLOUD_TASKS_ENDPOINT="$EMULATOR_URL"
	    GCE_METADATA_HOST="$METADATA" CLOUDSDK_CONFIG="$BATS_TEST_TMPDIR")
	restart schedule "${google[@]}"
	cloud_tasks_fails "${google[@]}"

	# Callbacks with a token that is somebody else's, or with none.
	id=$(book)
	becomes "$id" scheduled
	url=$PUBLIC_URL/bookings/$id/execute-followup
	stolen=$(sign '{"iss":"https://accounts.google.com"}' \
	    "$BATS_FILE_TMPDIR/google.pem" stolen)
	needle "${stolen##*.}"
	for token in "$stolen" "$TASKS_SECRET" "$WEBHOOK_TOKEN" "${stolen%.*}" \
	    "$(printf "$TASKS_SECRET%.0s" {1..400})"; do
		ask POST "$url" -H "Authorization: Bearer $token" -d '{}'
		ask POST "$url" -H "X-CloudTasks-Secret: $token" -d '{}'
		ask POST "$url" -H 'Content-Type: application/json' -d "$token"
		ask GET "$url" -H "Authorization: $token"
	done

	# The voice agent fails.
	for rule in '{"status": 401, "body": "no"}' '{"status": 503}' \
	    '{"reset": "before"}' '{"reset": "after"}' '{"status": 302}'; do
		agent "$rule"
		id=$(book '-1 second')
		wait_for 20 sql_is t "SELECT task_status IN ('failed', 'executed')
		    FROM lad_dev.lead_bookings WHERE id = '$id'"
		ask_about "$id"
	done

	# The database is away, and then it wants another password.
	stack kill postgres
	ask_about "$id" || true
	ask POST "$url" -H "Authorization: Bearer $stolen" -d '{}'
	stack start postgres
	for name in "${DAEMONS[@]}"; do
		mark "$name"
		# Without its log lines a listener counts as ready at once.
		restart "$name" POSTGRES_PASSWORD="$PG_SECRET-wrong" \
		    LOG_LEVEL=warning
		ask_about "$id"
		ask POST "$url" -H "Authorization: Bearer $stolen" -d '{}'
		wait_for 10 in_any_log 'password authentication failed'
		restart "$name"
	done

	# With a secret instead of tokens.
	for name in schedule execute; do
		restart "$name" CLOUD_TASKS_SECRET="$TASKS_SECRET" \
		    GCP_CLOUD_TASKS_SERVICE_ACCOUNT=
	done
	ask POST "$url" -H "X-CloudTasks-Secret: ${TASKS_SECRET}x" -d '{}'
	problem 401 unauthorized
	id=$(book '-1 second')
	becomes "$id" executed 20
	ask_about "$id"

	# Settings that are wrong.
	for name in "${DAEMONS[@]}"; do
		for wrong in "DATABASE_URL=postgresql://u:$PG_SECRET@[h/d" \
		    "DATABASE_URL=password=$PG_SECRET nonsense" \
		    "POSTGRES_PASSWORD=$PG_SECRET"$'\n' \
		    "FOLLOWUP_CALL_SECRET=$CALL_KEY" \
		    "FOLLOWUP_WEBHOOK_TOKEN=$WEBHOOK_TOKEN"$'\r' \
		    "FOLLOWUP_CALL_TOKEN=$CALL_TOKEN"$'\n'; do
			in_stack env "$wrong" timeout 10 \
			    "$BUILD/followup-$name" -t >>"$ANSWERS" 2>&1 || true
		done
	done

	for name in "${DAEMONS[@]}"; do
		for pid in $(pgrep -g "$(cat "$STACK/run/$name.pid")"); do
			tr '\0' ' ' <"/proc/$pid/cmdline"
			cat "/proc/$pid/comm"
		done
	done >"$BATS_TEST_TMPDIR/titles"
	grep -q followup-execute "$BATS_TEST_TMPDIR/titles"
	(($(wc -c <"$ANSWERS") > 10000))
	[[ $(log_lines execute 'callback refused: ') -ge 10 ]]
	clean "$STACK/log" "$ANSWERS" "$BATS_TEST_TMPDIR/titles"
}

# in_memory PROGRAM SECRET: in which mappings of its processes the secret is,
# one line an occurrence.
in_memory() {
	perl -e '
		my $secret = pop(@ARGV);
		for my $pid (@ARGV) {
			open(my $maps, "<", "/proc/$pid/maps") or die("$pid: $!\n");
			open(my $mem, "<:raw", "/proc/$pid/mem") or die("$pid: $!\n");
			while (<$maps>) {
				my ($from, $to, $name) =
				    /^(\w+)-(\w+) r\S+ \S+ \S+ \S+ *(.*)/ or next;
				my ($all, $len) = ("", hex($to) - hex($from));
				next if $name =~ /^\[v/;
				sysseek($mem, hex($from), 0) or next;
				1 while $len > length($all) && sysread($mem, $all,
				    $len - length($all), length($all));
				for (my $i = -1; ($i = index($all, $secret, $i + 1)) >= 0;) {
					print("$name\n");
				}
			}
		}' "$(cat "$STACK/run/$1.pid")" \
	    $(pgrep -P "$(cat "$STACK/run/$1.pid")") "$2"
}

# bats test_tags=shipped
@test "what used a secret leaves no copy of it in memory" {
	not sanitized || skip 'a sanitizer keeps what was freed for a while'
	[[ $(id -u) == 0 ]] || skip 'only root reads the memory of others'

	# A key: neither its text, nor what is read of it on the way.
	restart schedule CLOUD_TASKS_ENDPOINT="$EMULATOR_URL" \
	    GOOGLE_APPLICATION_CREDENTIALS="$BATS_FILE_TMPDIR/google.json"
	id=$(book)
	becomes "$id" scheduled
	while read -r line; do
		[[ -z $(in_memory schedule "$line") ]]
	done < <(grep -v -- ----- "$BATS_FILE_TMPDIR/google.pem")

	# A token is in the memory that the workers share, and in no heap.
	start_metadata
	restart schedule CLOUD_TASKS_ENDPOINT="$EMULATOR_URL" \
	    GCE_METADATA_HOST="$METADATA" CLOUDSDK_CONFIG="$BATS_TEST_TMPDIR" \
	    CLOUD_TASKS_SECRET="$TASKS_SECRET" \
	    GCP_CLOUD_TASKS_SERVICE_ACCOUNT="$ACCOUNT"
	id=$(book)
	becomes "$id" scheduled
	[[ $(in_memory schedule "$METADATA_TOKEN" | sort -u) == \
	    '/dev/zero (deleted)' ]]
	[[ -z $(in_memory schedule "Bearer $METADATA_TOKEN") ]]

	# What came by the environment is nowhere else.
	[[ $(in_memory schedule "$TASKS_SECRET" | sort -u) == '[stack]' ]]
	id=$(book '-1 second')
	becomes "$id" executed
	[[ $(in_memory execute "$CALL_TOKEN" | sort -u) == '[stack]' ]]
	[[ $(in_memory execute "$CALL_SECRET" | sort -u) == '[stack]' ]]
}

@test "a password in a URL is not repeated where the URL is refused" {
	for variable in FOLLOWUP_CALL_URL OIDC_JWKS_URL \
	    FOLLOWUP_EXECUTION_ENDPOINT; do
		run in_stack env "$variable=https://user:$CALL_TOKEN@example.com/" \
		    "$BUILD/followup-execute" -t
		[[ $status == 1 && $output == *"$variable"* ]]
		[[ $output != *"$CALL_TOKEN"* ]]
	done
	# libpq would quote all of it, or what it takes for the host or port.
	for url in "postgresql://u:$PG_SECRET@[::1/d" \
	    "postgresql://u:x@$PG_SECRET@127.0.0.1:1/d" \
	    "postgresql://u:$PG_SECRET/x@127.0.0.1:1/d"; do
		for name in "${DAEMONS[@]}"; do
			run in_stack env "DATABASE_URL=$url" timeout 10 \
			    "$BUILD/followup-$name"
			[[ $status == 1 && ${#lines[@]} == 1 ]]
			[[ $output == *DATABASE_URL* ]]
			[[ $output != *"$PG_SECRET"* ]]
		done
	done
}

@test "the voice agent's answer brings neither token nor number into the log" {
	number=$(sql "SELECT phone FROM lad_dev.leads WHERE id = '$LEAD'")
	for body in "no such token: $CALL_TOKEN" "not a number: $number" \
	    "not a number: ${number#+}"; do
		agent "{\"status\": 400, \"body\": \"$body\"}"
		id=$(book '-1 second')
		becomes "$id" failed
		[[ $(column "$id" last_execution_error) == *"400: ${body%%:*}: "*'**'* ]]
		[[ $(column "$id" last_execution_error) != *"${body##* }"* ]]
	done
	not in_any_log "$CALL_TOKEN"
	not grep -F -- "${number#+}" "$STACK"/log/{schedule,execute,listener}.log
}

@test "Cloud Tasks' answer brings neither token nor secret into the log" {
	start_metadata
	restart schedule CLOUD_TASKS_ENDPOINT="$EMULATOR_URL" \
	    GCE_METADATA_HOST="$METADATA" CLOUDSDK_CONFIG="$BATS_TEST_TMPDIR" \
	    CLOUD_TASKS_SECRET="$TASKS_SECRET"
	body=$(jq -n --arg text "no: $METADATA_TOKEN $TASKS_SECRET" '{error:
	    {code: 400, status: "INVALID_ARGUMENT", message: $text}} |
	    tojson')
	faults "{\"operation\": \"createTask\", \"status\": 400,
	    \"body\": $body, \"count\": -1}"
	id=$(book)
	becomes "$id" failed
	ask_about "$id"
	grep -qF 'INVALID_ARGUMENT: no: ***' "$ANSWERS"
	for secret in "$METADATA_TOKEN" "$TASKS_SECRET"; do
		not grep -F -- "$secret" "$ANSWERS"
		not in_any_log "$secret"
	done
}
