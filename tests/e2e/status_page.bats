#!/usr/bin/env bats
# shellcheck disable=SC2153 # request sets STATUS
# The page of GET /status: what it says in each state, and what a person does
# with it in a browser.  What it looks like is left in BUILD/status-page.

load lib
load browser-lib

setup_file() {
	stack_up FOLLOWUP_CALL_TIMEOUT=5 FOLLOWUP_MAX_EXECUTION_ATTEMPTS=1
}

teardown_file() {
	stack_down
}

setup() {
	stack_env
	PAGE=$LOCAL_URL/status
}

teardown() {
	browser_down
	thaw
	agent '[]' || true
	stack_reset
	sql "SELECT lad_dev.followup_resume('all')" >/dev/null || true
}

# is STATE: /status.json says so.
is() {
	[[ $(curl -s -m 20 "$LOCAL_URL/status.json" | jq -r .state) == "$1" ]]
}

# says TEXT: the sentence has it.
says() {
	curl -s -m 20 "$LOCAL_URL/status.json" | jq -r .sentence |
	    grep -qF -- "$1"
}

# looks NAME STATE: the page says what the JSON and the command say; keep what
# it looks like, wide and on a phone, where nothing is wider than the screen.
looks() {
	local sentence
	wait_for 20 is "$2"
	visit "$PAGE"
	sentence=$(js 'document.querySelector("#now h1").innerText' | jq -r .)
	run env "FOLLOWUP_WEBHOOK_URL=$LOCAL_URL/webhooks/booking-followup" \
	    "$ROOT/sql/followup-trigger" status --check
	[[ ${lines[0]} == "$2: "* ]]
	[[ $2 == ok && $status == 0 || $2 != ok && $status == 1 ]]
	[[ $sentence != 'Follow-ups are being called'* || $2 != stopped ]]
	shot "$1"
	size 360 740
	shot "$1-phone"
	js_is 360 'document.documentElement.scrollWidth'
	size 1100 900
}

# dead: make a booking whose call is refused for good, and print its id.
dead() {
	local id
	agent '{"status":422,"count":-1}'
	id=$(book '-1 second')
	becomes "$id" failed
	agent '[]'
	printf '%s\n' "$id"
}

# late TENANT: a booking whose callback never came; print its id.
late() {
	sql "SET followup.daemon = 'on'; INSERT INTO lad_dev.lead_bookings
	    (tenant_id, lead_id, booking_type, scheduled_at, task_status,
	    task_name, task_scheduled_at) VALUES ('$1', '$LEAD',
	    'auto_followup', now() - interval '3 min', 'scheduled',
	    '$QUEUE/tasks/x', now() - interval '3 min') RETURNING id"
}

@test "healthy, and nothing for axe in light, dark and on a phone" {
	need_browser
	browser_up 1100 900
	book '20 minutes' >/dev/null
	dead >/dev/null
	all_scheduled
	looks healthy ok
	axe_path >/dev/null || skip 'no axe-core: npm is not there, or offline'
	axe
	scheme dark
	axe
	shot healthy-dark
	size 360 740
	axe
}

@test "backlog: what is late has its sentence" {
	need_browser
	browser_up 1100 900
	# A task whose callback never came, though nobody knows of a fault.
	local id
	id=$(late "$TENANT")
	looks backlog degraded
	shows "$id"
	shows 'overdue'
	sql "DELETE FROM lad_dev.lead_bookings WHERE id = '$id'"
}

@test "breaker open" {
	need_browser
	browser_up 1100 900
	agent '{"status":503,"count":-1}'
	book_many 8 '-1 second'
	wait_for 30 says 'the voice agent has taken no call'
	looks breaker-open stopped
	shows 'breaker open'
}

@test "listener gone" {
	need_browser
	browser_up 1100 900
	stack kill listener
	looks listener-gone degraded
	shows 'no followup-listener is connected'
}

@test "database down: memory answers, and quickly" {
	need_browser
	browser_up 1100 900
	stack stop postgres
	looks database-down stopped
	shows 'none is lost'
	# Nobody waits for a server that is not there.
	curl -sf -m 2 -o /dev/null "$PAGE"
}

# freeze: PostgreSQL, which then takes connections and never answers.
freeze() {
	local pid
	pid=$(cat "$STACK/run/postgres.pid")
	mapfile -t FROZEN < <(pgrep -P "$pid" && echo "$pid")
	kill -STOP "${FROZEN[@]}"
}

thaw() {
	[[ -z ${CROWD:-} ]] || kill "$CROWD"
	((${#FROZEN[@]} == 0)) || kill -CONT "${FROZEN[@]}" 2>/dev/null || true
	CROWD='' FROZEN=()
}

# crowd: so many wait for PostgreSQL to accept them that the kernel drops the
# packets of others, as if its host could not be reached.
crowd() {
	perl -MIO::Socket::INET -e '
		my @crowd = map { IO::Socket::INET->new(Blocking => 0,
		    PeerAddr => "127.0.0.1:$ARGV[0]") } 1 .. 1000;
		$| = 1;
		print("there\n");
		sleep(600)' "$PGPORT" >"$BATS_TEST_TMPDIR/crowd" 3>&- &
	CROWD=$!
	wait_for 20 test -s "$BATS_TEST_TMPDIR/crowd"
}

# look PATH: keep the answer, and how long it took, without waiting for it.
look() {
	local name=${1//\//}
	curl -s -m 20 --noproxy '*' -o "$BATS_TEST_TMPDIR/$name.body" \
	    -w '%{time_total}' "$LOCAL_URL$1" >"$BATS_TEST_TMPDIR/$name.s" 3>&- &
}

# all_look: as many at once as there are workers; all have their answer within
# about two seconds, and it says that the database does not answer.
all_look() {
	local path name said most=3 dir=$BATS_TEST_TMPDIR
	local paths=(/status /status.json /readyz /metrics)
	! sanitized || most=5
	for path in "${paths[@]}"; do
		look "$path"
	done
	said=$(FOLLOWUP_WEBHOOK_URL=$LOCAL_URL/webhooks/booking-followup \
	    "$ROOT/sql/followup-trigger" status --check) && return 1
	[[ $said == 'stopped: '*'database does not answer'* ]]
	for path in "${paths[@]}"; do
		name=${path//\//}
		wait_for 20 test -s "$dir/$name.s"
		echo "$path: $(cat "$dir/$name.s") s"
		awk -v most="$most" '{ exit !($1 < most) }' "$dir/$name.s"
		[[ $path == /metrics ]] ||
		    grep -q 'database does not answer' "$dir/$name.body"
	done
	grep -q '^followup_up{program="schedule"} 1' "$dir/metrics.body"
	not grep -q '^followup_open_bookings' "$dir/metrics.body"
	rm "$dir"/*.s
}

# bats test_tags=shipped
@test "a database that hangs, or cannot be reached: nobody waits for long" {
	wait_for 20 is ok
	freeze
	all_look
	all_look
	crowd
	all_look
	thaw
	wait_for 30 is ok
	becomes "$(book '1 second')" executed 30
}

@test "paused and resumed by clicks, each shown before it is done" {
	need_browser
	browser_up 1100 900
	visit "$PAGE"
	fill '#switches ~ .switches input[name="reason"]' 'agent moves <b>'
	click '#pause'
	shows 'all calls wait until somebody resumes them'
	shows 'curl -sS -X POST'
	is ok
	fill 'input[name="operator"]' 'ann'
	click '#confirm'
	shows 'are paused'
	looks paused stopped
	shows 'ann paused everything (agent moves <b>)'

	click '#now button'
	fill 'input[name="operator"]' 'bob'
	click '#confirm'
	wait_for 10 is ok
}

@test "a group is retried by clicks, with a preview" {
	need_browser
	browser_up 1100 900
	local id
	id=$(dead)
	visit "$PAGE"
	click '#letters ~ table button'
	shows 'to be called now'
	has_status "$id" failed
	fill 'input[name="operator"]' 'ann'
	click '#confirm'
	shows 'pending again'
	becomes "$id" executed
	visit "$PAGE"
	shows 'retried'
}

@test "one test call by clicks, and the booking is found" {
	need_browser
	browser_up 1100 900
	stack stop listener
	local id
	id=$(book '-1 second')
	visit "$PAGE"
	fill 'input[pattern]' "$id"
	click '#call'
	shows 'rings'
	fill 'input[name="operator"]' 'ann'
	click '#confirm'
	becomes "$id" executed
	visit "$PAGE?booking=$id"
	shows 'The call was started at'
}

@test "it renews itself, not while somebody types, and says when it is stale" {
	need_browser
	browser_up 1100 900
	visit "$PAGE"
	js 'document.querySelector("main").id = "old"' >/dev/null
	wait_for 15 js_is null 'document.getElementById("old")'
	fill '#find ~ form input' 'x'
	js 'document.querySelector("main").id = "old"' >/dev/null
	js 'document.querySelector("#now").id = "now"' >/dev/null
	stack stop nginx
	wait_for 40 shows 'stale: no answer'
	js_is '"x"' 'document.querySelector("#find ~ form input").value'
	stack start nginx
	wait_for 20 js_is false \
	    'document.body.classList.contains("stale-page")'
	js_is '"old"' 'document.querySelector("main").id'
}

@test "without a browser: forms, the token, and other sites" {
	local id
	local form=(--data-urlencode action=pause --data-urlencode scope=all
	    --data-urlencode 'reason=x' --data-urlencode confirm=yes
	    --data-urlencode operator=ann)
	request POST "$PAGE" "${form[@]}" -H 'Sec-Fetch-Site: cross-site'
	[[ $STATUS == 403 ]]
	is ok
	restart schedule FOLLOWUP_WEBHOOK_TOKEN=secret
	request POST "$PAGE" "${form[@]}"
	[[ $STATUS == 401 ]]
	is ok
	request POST "$PAGE" "${form[@]}" --data-urlencode token=secret
	[[ $STATUS == 200 ]]
	wait_for 10 is stopped

	# Nothing that is quoted is HTML, and nothing tells who is called.
	id=$(book '1 hour' '<i>x</i>')
	request GET "$PAGE?booking=%3Cscript%3Ealert(1)"
	[[ $BODY != *'<script>alert'* ]]
	request GET "$PAGE?booking=$id"
	[[ $BODY != *'<i>x'* && $BODY == *'&lt;i&gt;x'* ]]
	[[ $HEAD == *"default-src 'none'"* ]]
	sql 'SELECT phone FROM lad_dev.leads' | while read -r phone; do
		[[ $BODY != *"$phone"* ]] || return 1
	done
}

# letter TENANT: a dead letter; print its booking's id.
letter() {
	sql "SET followup.daemon = 'on'; WITH b AS (INSERT INTO
	    lad_dev.lead_bookings (tenant_id, lead_id, booking_type,
	    scheduled_at, task_status) VALUES ('$1', '$LEAD', 'auto_followup',
	    now() - interval '1 min', 'failed') RETURNING id)
	    INSERT INTO lad_dev.followup_failures (booking_id, stage,
	    tenant_id, attempts, http_status, error, dead_at)
	    SELECT id, 'execute', '$1', 1, 410, 'no such campaign', now()
	    FROM b RETURNING booking_id"
}

@test "?tenant=: the overdue and the dead letters of one tenant" {
	local ours other ours_dead other_dead
	local tenant=22222222-2222-4222-8222-222222222222
	other=$(late "$TENANT") ours=$(late "$tenant")
	other_dead=$(letter "$TENANT") ours_dead=$(letter "$tenant")

	api GET "/status.json?tenant=$tenant"
	expect 200 ".overdue.ofTenant | map(.bookingId) == [\"$ours\"]" \
	    '.overdue.ofTenant[0].explanation | length > 0' \
	    ".deadLetters.causes | map(.bookingIds) == [[\"$ours_dead\"]]" \
	    '.deadLetters.count == 1' '.overdue.count == 2'
	api GET /status.json
	expect 200 '.overdue.ofTenant == []' '.overdue.bookings | length == 2' \
	    '.deadLetters.causes[0] | .count == 2 and .tenants == 2'
	api GET '/status.json?tenant=nobody'
	expect 200 '.overdue.ofTenant == []' '.deadLetters.causes == []'

	request GET "$PAGE?tenant=$tenant"
	[[ $STATUS == 200 && $BODY == *'>Overdue: 1</h2>'* &&
	    $BODY == *"$ours"* && $BODY == *"$ours_dead"* &&
	    $BODY != *"?booking=$other"* && $BODY != *"?booking=$other_dead"* ]]
	[[ $BODY == *'href="status">Show all</a>'* ]]

	# What the page's button would retry: first of the tenant, then of all.
	local form=(--data-urlencode action=retry --data-urlencode stage=execute
	    --data-urlencode httpStatus=410
	    --data-urlencode 'error=no such campaign')
	[[ $BODY == *"name=\"tenantId\" value=\"$tenant\""* ]]
	request POST "$PAGE" "${form[@]}" --data-urlencode "tenantId=$tenant"
	[[ $BODY == *'1 dead letter matches'* ]]
	request POST "$PAGE" "${form[@]}"
	[[ $BODY == *'2 dead letters match'* ]]
	sql "SET followup.daemon = 'on'; DELETE FROM lad_dev.lead_bookings
	    WHERE id IN ('$ours', '$other', '$ours_dead', '$other_dead');
	    DELETE FROM lad_dev.followup_failures
	    WHERE booking_id IN ('$ours_dead', '$other_dead')"
}
