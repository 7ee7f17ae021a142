# README.md says what is true: its examples run, its tables agree with the
# programs, and what it names is there.
#
# A block of code stands behind a comment of its own: "test: NAME" is run by a
# test here, and its output held against the block "answer: NAME", if there is
# one; "syntax: NAME" needs a machine of its own and is only read by the shell;
# of "gcloud: NAME" the commands and flags are looked up; "file: NAME" is a file.
#
# Lists are split into words, and the backquotes are those of the page:
# shellcheck disable=SC2013,SC2016

# bats file_tags=shipped

load lib

setup_file() {
	load lib
	stack_up
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
	export no_proxy='*' NO_PROXY='*' CLOUDSDK_CORE_DISABLE_PROMPTS=1
	DEST=$BATS_TEST_TMPDIR/dest
	export BUILD DEST STACK
}

#
# Blocks of the README
#

# block KIND NAME: print it.
block() {
	awk -v mark="<!-- $1: $2 -->" '
	    $0 == mark { found = 1; next }
	    found && /^```/ { if (inside) exit; inside = 1; next }
	    inside' README.md | grep .
}

# names KIND: of all blocks of a kind.
names() {
	sed -n "s/^<!-- $1: \(.*\) -->\$/\1/p" README.md
}

# run_block NAME [SED-EXPRESSION]...: run a block in a shell of its own, which
# knows the functions that are exported.  ${output} is what it printed.
run_block() {
	local args=() expression
	for expression in "${@:2}"; do args+=(-e "$expression"); done
	block test "$1" | sed -e '' "${args[@]}" >"$BATS_TEST_TMPDIR/block"
	output=$(bash -eu -o pipefail "$BATS_TEST_TMPDIR/block" 2>&1) || {
		echo "$1 ended with status $?: $output" >&2
		return 1
	}
}

# No line of ${output} matches $1.
nowhere() { ! grep -E -- "$1" <<<"$output"; }

# What differs from one run to the next is made the same.
same() {
	jq -Sc . | sed -E \
	    -e 's/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(-[0-9]{10})?/ID/g' \
	    -e 's/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z/TIME/g' \
	    -e 's/00-[0-9a-f]{32}-[0-9a-f]{16}-01/TRACE/g' \
	    -e 's/"[0-9a-f]{32}"/TRACE/g; s/"durationMs":[0-9]+/MS/g' \
	    -e 's/ in [0-9]+ (s|min|h|days)\./ in SPAN./g'
}

# run_example NAME: run a block, whose output must be its answer.
run_example() {
	run_block "$1"
	diff <(block answer "$1" | same) <(same <<<"$output")
}

# Find programs in $1 first.
run_from() { PATH=$1:$PATH; }

# Leave a booking that the voice agent has refused in ${ID}.
dead_letter() {
	agent '{"status":422,"count":1,"body":"no such campaign"}'
	ID=$(book '0 seconds')
	becomes "$ID" failed
	export ID
}

# Leave a booking that nobody has scheduled in ${ID}.
pending() {
	ID=$(book)
	export ID
}

# Leave in ${ID} what the block just run has inserted.
inserted() {
	ID=$(sed -n 's/.*Notification sent for follow-up booking: //p' \
	    <<<"$output")
	[ -n "$ID" ]
}

# Leave a booking that is scheduled in ${ID}.
scheduled() {
	ID=$(book '605 seconds')
	becomes "$ID" scheduled
	export ID
}

#
# Stand-ins for what changes a machine
#

sudo() { "$@"; }

# Installs below DEST what is built already; what would build is only read.
make() {
	unset MAKEFLAGS MFLAGS MAKELEVEL
	case " $* " in
	*install*) command make -s -o all BUILD="$BUILD" DESTDIR="$DEST" "$@" ;;
	*) command make -n BUILD="$BUILD" "$@" >/dev/null ;;
	esac
}

systemctl() { echo "systemctl $*"; }

# The log of a unit, or of all.
journalctl() {
	case $2 in
	'followup-*') cat "$STACK"/log/*.log ;;
	*) cat "$STACK/log/${2#followup-}.log" ;;
	esac
}

# Test the files in DEST/etc/nginx; only paths and addresses are others.
nginx() {
	local prefix=$DEST/nginx
	mkdir -p "$prefix/sites-enabled" "$prefix/tmp"
	for file in "$DEST"/etc/nginx/sites-enabled/*; do
		sed -e "s,/run/followup-scheduler/,$prefix/," \
		    -e "s,/var/log/nginx/,$prefix/," \
		    -e "s,listen 443,listen unix:$prefix/tls.sock," \
		    "$file" >"$prefix/sites-enabled/${file##*/}"
	done
	{
		echo "pid $prefix/nginx.pid; error_log $prefix/error.log;"
		echo 'events { } http {'
		for kind in client_body fastcgi proxy scgi uwsgi; do
			echo "${kind}_temp_path $prefix/tmp/$kind;"
		done
		echo "include $prefix/sites-enabled/*; }"
	} >"$prefix/nginx.conf"
	command nginx "$@" -p "$prefix" -c "$prefix/nginx.conf"
}

# Look the command and its flags up in its help.
look_up() {
	local words=() flags=() word help
	for word in "$@"; do
		case $word in
		--*) flags+=("${word%%=*}") ;;
		*) words+=("$word") ;;
		esac
	done
	help=$(gcloud "${words[@]}" --help 2>/dev/null) ||
	    { echo "no such command: gcloud ${words[*]}"; return 1; }
	for word in "${flags[@]}"; do
		grep -qE -- "$word([^a-z-]|\$)" <<<"$help" ||
		    { echo "gcloud ${words[*]}: no $word"; return 1; }
	done
}

# gcloud asks the emulator, for project $1, and has a configuration of its own.
gcloud_here() {
	command -v gcloud >/dev/null || skip 'gcloud is not installed'
	export CLOUDSDK_CONFIG=$BATS_TEST_TMPDIR/gcloud CLOUDSDK_CORE_PROJECT=$1
	export CLOUDSDK_AUTH_DISABLE_CREDENTIALS=true
	export CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDTASKS=$EMULATOR_URL/
}

#
# The page itself
#

@test "every shell block has a mark, and every marked one is tested here" {
	run awk '/^```sh$/ && last !~ /^<!-- (test|syntax|gcloud): .* -->$/ {
	    print FILENAME ":" FNR; bad = 1 } { last = $0 } END { exit bad }' \
	    README.md
	echo "$output"
	[ "$status" = 0 ]
	for name in $(names test); do
		grep -Eq "run_(block|example) $name( |\$)" "$BATS_TEST_FILENAME" ||
		    { echo "no test of $name"; return 1; }
	done
	for name in $(names answer); do
		grep -Eq "run_example $name\$" "$BATS_TEST_FILENAME" ||
		    { echo "no test of the answer $name"; return 1; }
	done
}

@test "blocks that need a machine of their own are good shell" {
	for name in $(names syntax) ; do
		block syntax "$name" >"$BATS_TEST_TMPDIR/block"
		sh -n "$BATS_TEST_TMPDIR/block"
	done
	# What is installed for building is what the tests install.
	for package in $(block syntax packages | grep -o '[a-z0-9-]*-dev'); do
		grep -qw -- "$package" tests/deps
	done
	for user in $(sed -n 's/^User=//p' ./*/*.service ./*/*/*.service); do
		block syntax users | grep -qE "adduser .* $user\$"
	done
}

@test "the table of variables is that of -h" {
	for name in listener schedule execute; do
		echo "@$name"
		"$BUILD/followup-$name" -h
	done | awk '
	    /^@/ { who = substr($0, 2) }
	    /^  [A-Z]/ {
		name = $1
		rest = substr($0, length(name) + 4)
		if (!(name in fallback))
			fallback[name] = "–"
		if (rest == "(required)")
			fallback[name] = "required"
		else if (rest != "")
			fallback[name] = "`" substr(rest, 2, length(rest) - 2) "`"
		readers[name] = readers[name] (name in help ? ", " : "") who
		getline
		sub(/^ */, "")
		help[name] = $0
	    }
	    END {
		for (name in help) {
			if (readers[name] == "listener, schedule, execute")
				readers[name] = "all"
			print "| `" name "` | " fallback[name] " | " \
			    readers[name] " | " help[name] " |"
		}
	    }' | sort >"$BATS_TEST_TMPDIR/help"
	[ "$(wc -l <"$BATS_TEST_TMPDIR/help")" -gt 30 ]
	grep -E '^\| `[A-Z_]+` \| ' README.md | sort |
	    diff "$BATS_TEST_TMPDIR/help" -
}

@test "every variable that the page names is in that table" {
	for name in $(grep -oE \
	    '\b(FOLLOWUP|POSTGRES|GCP|CLOUD_TASKS|OIDC|LOG|GOOGLE)_[A-Z_]*[A-Z]\b' \
	    README.md | sort -u); do
		grep -q "^| \`$name\` | " README.md ||
		    { echo "no variable $name"; return 1; }
	done
}

@test "every request of the local API, and no other, is in its table" {
	sed -n 's/^\t{ "\([A-Z]*\)", "\([^"]*\)".*/`\1 \2`/p' \
	    cgi/schedule/routes.c | sort >"$BATS_TEST_TMPDIR/routes"
	[ -s "$BATS_TEST_TMPDIR/routes" ]
	sed -n '/^## Local API/,/^## Callback/p' README.md |
	    sed -n 's/^| \(`[A-Z]* \/[^`]*`\) |.*/\1/p' | sort |
	    diff "$BATS_TEST_TMPDIR/routes" -
}

@test "every make target is named, and every one that is named exists" {
	targets=$(sed -n '/^\.PHONY:/,/[^\\]$/p' Makefile | tr -d '\134' |
	    sed 's/^\.PHONY://' | tr -s ' \t\n' ' ' | sed 's/ always / /')
	for target in $targets; do
		grep -Eq "\`(make )?$target\`" README.md ||
		    { echo "make $target is not named"; return 1; }
	done
	for target in $(grep -oE '`(sudo )?make [a-z-]+' README.md |
	    sed 's/.* //' | sort -u); do
		[[ " $targets " == *" $target "* ]] ||
		    { echo "there is no make $target"; return 1; }
	done
}

@test "every file and folder that is named exists" {
	for path in $(grep -oE '`(cgi|listener|nginx|sql|tests)/[^` ]*`' \
	    README.md | tr -d '`' | sort -u); do
		[ -e "$path" ] || { echo "there is no $path"; return 1; }
	done
}

# The messages in the tables of failures and symptoms, without numbers.
messages() {
	awk -F ' \\| ' '/^\| what failed /{ c = 3 } /^\| symptom /{ c = 1 }
	    !/^\|/ { c = 0 } c && !/^\|--/ { print $c }' README.md |
	    grep -o '`[^`]*`' | tr -d '`' | sed 's/: /\n/g; s/ *…/\n/g' |
	    sed -E 's/[0-9]+/#/g; s/^breaker open, no /&\n/
	    s/ until (Cloud Tasks|the voice agent) answers$//' |
	    grep -E '[a-z]' | sort -u
}

@test "the messages in the tables of failures and symptoms are real" {
	cat ./*/*.c ./*/*/*.c nginx/* sql/* | tr '\n' ' ' |
	    sed -E 's/" *[\t ]*"//g; s/%(\.[0-9]+)?(ld|d|s|zu)/#/g; s/[0-9]+/#/g' \
	    >"$BATS_TEST_TMPDIR/source"
	[ "$(messages | wc -l)" -gt 20 ]
	while read -r message; do
		grep -qF -- "$message" "$BATS_TEST_TMPDIR/source" ||
		    { echo "nobody says '$message'"; return 1; }
	done < <(messages)
}

@test "each program takes -h, -V and -t" {
	for name in listener schedule execute; do
		"$BUILD/followup-$name" -h | grep -q "^usage: followup-$name "
		"$BUILD/followup-$name" -V | grep -Eq "^followup-$name [0-9.]+\$"
		in_stack "$BUILD/followup-$name" -t | grep -q 'is good'
	done
	run in_stack env -u FOLLOWUP_CALL_URL "$BUILD/followup-execute" -t
	[ "$status" = 1 ]
	grep -q FOLLOWUP_CALL_URL <<<"$output"
}

# On a machine without packages: stub NAME [BODY] makes a program that does that.
stub() {
	mkdir -p "$BATS_TEST_TMPDIR/bin"
	printf '#!/bin/sh\n%s\n' "${2-}" >"$BATS_TEST_TMPDIR/bin/$1"
	chmod 755 "$BATS_TEST_TMPDIR/bin/$1"
}

@test "the two commands: where nothing can be installed, one sentence says so" {
	run_from "$BATS_TEST_TMPDIR/bin"
	export FOLLOWUP_BUILD=$BATS_TEST_TMPDIR/build
	stub dpkg-query
	stub sudo 'exec "$@"'
	stub apt-get 'echo "no such host" >&2; exit 100'
	for arguments in demo "check $FOLLOWUP_BUILD"; do
		# shellcheck disable=SC2086 # a command and its argument
		run "$ROOT/tests/"$arguments
		echo "$output"
		[ "$status" = 1 ]
		grep -q '^Installing with .*apt-get: gcc ' <<<"$output"
		grep -q '^ *no such host$' <<<"$output"
		[[ ${lines[-1]} == "deps: apt-get failed, see $FOLLOWUP_BUILD"* ]]
		[ ! -s "$FOLLOWUP_BUILD/packages" ]
	done
	stub id 'echo 1000'
	stub sudo 'exit 1'
	run "$ROOT/tests/demo"
	[ "$status" = 1 ]
	[[ ${#lines[@]} == 1 && $output == *'only root can install them'* ]]
}

#
# The local API and the callback
#

@test "examples: schedule a booking, and again" {
	stack stop listener
	pending
	run_example webhook
	run_example webhook-again
	run_example webhook-many
	stack start listener
}

@test "examples: show and cancel" {
	scheduled
	run_example show
	run_example cancel
	has_status "$ID" cancelled
}

@test "examples: list the dead letters, and try one again" {
	dead_letter
	run_example dead-letters
	run_example retry
	becomes "$ID" executed
	dead_letter
	run_example retry-many
	becomes "$ID" executed
}

@test "examples: health, no such booking" {
	run_example health
	run_example no-such-booking
}

@test "examples: the callback is for the queue only" {
	scheduled
	run_example callback
	has_status "$ID" scheduled
}

#
# Deployment
#

@test "deployment: make install, and everything that the page expects of it" {
	export -f sudo make
	run_block install
	for path in $(grep -oE '/usr/local/[A-Za-z0-9./_-]+' README.md | sort -u); do
		[ -e "$DEST$path" ] || { echo "no $path"; return 1; }
	done
	for name in listener schedule execute; do
		"$DEST/usr/local/sbin/followup-$name" -V
	done
	[ -f "$DEST/usr/local/share/followup-scheduler/.env.example" ]
}

@test "deployment: make install and uninstall, in folders with a blank" {
	local dest="$BATS_TEST_TMPDIR/of mine"
	mkdir "$BATS_TEST_TMPDIR/of" "$dest"
	DEST=$dest make install PREFIX='/opt/my own'
	"$dest/opt/my own/sbin/followup-listener" -V
	PGDATABASE=none run "$dest/opt/my own/bin/followup-trigger" verify
	[[ $output == *'"none" does not exist'* ]]
	grep -qx 'ExecStart="/opt/my own/sbin/followup-execute"' \
	    "$dest/opt/my own/lib/systemd/system/followup-execute.service"
	DEST=$dest make uninstall PREFIX='/opt/my own'
	[ -z "$(find "$dest" -type f)" ]
	[ -d "$BATS_TEST_TMPDIR/of" ]
}

@test "deployment: the installed units are good" {
	command -v systemd-analyze >/dev/null ||
	    skip 'systemd-analyze is not installed'
	make install
	for unit in "$DEST"/usr/local/lib/systemd/system/*.service; do
		sed -i "s,/usr/local/sbin/,$DEST&," "$unit"
	done
	# Of other units there may be none here.
	run systemd-analyze verify --man=no \
	    "$DEST"/usr/local/lib/systemd/system/*.service
	echo "$output"
	nowhere '(^|/)followup-[a-z]+\.service:'
}

@test "deployment: the settings are all that the programs need" {
	openssl genrsa -out "$BATS_TEST_TMPDIR/key.pem" 2048 2>/dev/null
	jq -n --rawfile key "$BATS_TEST_TMPDIR/key.pem" '{type: "service_account",
	    client_email: "followup-creator@my-project.iam.gserviceaccount.com",
	    private_key_id: "1", private_key: $key}' \
	    >"$BATS_TEST_TMPDIR/google.json"
	chmod 400 "$BATS_TEST_TMPDIR/google.json"
	for name in listener schedule execute; do
		{
			block file common.env
			[ "$name" = listener ] || block file "$name.env"
		} | sed "s,/etc/followup-scheduler/,$BATS_TEST_TMPDIR/," \
		    >"$BATS_TEST_TMPDIR/env"
		xargs -a "$BATS_TEST_TMPDIR/env" sh -c \
		    'exec env -i "$@" "$0" -t' "$BUILD/followup-$name"
	done
}

@test "deployment and rollback: the database" {
	make install
	run_from "$DEST/usr/local/bin"
	sql 'CREATE DATABASE readme'
	export PGDATABASE=readme
	psql -Xq -f tests/schema.sql
	shape="SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute
	    WHERE attrelid = 'lad_dev.lead_bookings'::regclass AND attnum > 0
	    AND NOT attisdropped"
	before=$(sql "$shape")

	run_block database
	grep -q 'trigger_schedule_followup_cloud_task *| INSERT' <<<"$output"
	nowhere '^not ok'
	make install-trigger >/dev/null
	run_block disable
	grep -q 'are disabled' <<<"$output"
	grep -q 'are enabled' <<<"$output"
	followup-trigger verify --grant-to followup_daemons

	export -f sudo make
	run_block live
	grep -q '^calls are paused' <<<"$output"
	grep -q '^calls are resumed' <<<"$output"
	nowhere '^not ok'
	run_block pause
	grep -q '^bookings that wait:' <<<"$output"
	run_block set
	grep -q '^call_within' <<<"$output"
	run_block canary
	grep -q '^A canary is sent every 5 min' <<<"$output"
	run_block uninstall
	[ -z "$(find "$DEST" -type f)" ]
	[ "$(sql "$shape")" != "$before" ]
	sql/followup-trigger uninstall --purge --yes
	[ "$(sql "$shape")" = "$before" ]
}

@test "deployment: the queue is made as the page says" {
	gcloud_here my-project
	run_block queue
	curl -s "$EMULATOR_URL/v2/${QUEUE/demo-project/my-project}" |
	    jq -e '.retryConfig.maxAttempts == -1 and
	    (.retryConfig.maxRetryDuration // "0s" | test("^0")) and
	    .retryConfig.minBackoff == "10s" and
	    .retryConfig.maxBackoff == "600s" and
	    .rateLimits.maxConcurrentDispatches == 8 and
	    .rateLimits.maxDispatchesPerSecond == 10'
}

# The sums that the choice of the queue's numbers rests on.
@test "operations: a tenant has a queue of its own" {
	curl -sf -o /dev/null -H 'Content-Type: application/json' \
	    -d "{\"name\": \"${QUEUE%/*}/follow-up-big-tenant\"}" \
	    "$EMULATOR_URL/v2/${QUEUE%/queues/*}/queues"
	run_block followup-queue
	id=$(book)
	becomes "$id" scheduled
	[[ $(column "$id" task_name) == */queues/follow-up-big-tenant/* ]]
	sql 'DROP FUNCTION lad_dev.followup_queue'
	sql/followup-trigger install --grant-to followup
	id=$(book)
	becomes "$id" scheduled
	[[ $(column "$id" task_name) == "$QUEUE"/* ]]
}

@test "deployment: how long the attempts last" {
	# pauses ATTEMPTS FIRST: all the pauses between them, in seconds.
	pauses() {
		awk -v n="$1" -v pause="$2" 'BEGIN { while (--n) { sum += pause
		    pause = pause * 2 < 600 ? pause * 2 : 600 }
		    print int(sum + 0.5) }'
	}
	in_stack "$BUILD/followup-execute" -h |
	    grep -qF 'FOLLOWUP_MAX_EXECUTION_ATTEMPTS [8]'
	[ $((($(pauses 8 10) + 30) / 60)) = 21 ]
	grep -q 'these last 20 minutes' README.md
	[ "$(pauses 8 0.1)" = 13 ]

	# How long a key may be used: by a task that was made as late as the
	# sweep makes one.
	in_stack "$BUILD/followup-listener" -h |
	    grep -qF 'FOLLOWUP_SWEEP_WINDOW [24h]'
	grep -q "Keep keys for $((31 + 1)) days" README.md
}

@test "deployment: gcloud has the commands for accounts and roles" {
	gcloud_here my-project
	for name in $(names gcloud); do
		block gcloud "$name" >"$BATS_TEST_TMPDIR/block"
		sed 's/gcloud /look_up /' "$BATS_TEST_TMPDIR/block" \
		    >"$BATS_TEST_TMPDIR/looked-up"
		# shellcheck disable=SC1091 # made above
		(set -eu; . "$BATS_TEST_TMPDIR/looked-up")
	done
}

@test "deployment: nginx takes the installed file" {
	make install
	mkdir -p "$DEST/etc/nginx/sites-enabled"
	export -f sudo systemctl nginx
	run_block nginx 's,^HOST=.*,HOST=calls.example.net,' \
	    "s, /usr/local/, $DEST&,; s,$DEST ,$DEST," \
	    "s, /etc/, $DEST&,g; s,$DEST ,$DEST,g"
	echo "$output"
	grep -q 'test is successful' <<<"$output"
	grep -q '^systemctl reload-or-restart nginx' <<<"$output"
	grep -q 'server_name calls.example.net;' \
	    "$DEST/etc/nginx/sites-enabled/zz-followup-public.conf"
	run_example public
}

@test "deployment: the folder of the sockets is there after a boot" {
	command -v systemd-tmpfiles >/dev/null ||
	    skip 'systemd-tmpfiles is not installed'
	make install
	mkdir -p "$DEST/run" "$DEST/etc"
	printf '%s\n' root:x:0:0::/: "followup-schedule:x:$(id -u):$(id -g)::/:" \
	    >"$DEST/etc/passwd"
	printf '%s\n' root:x:0: "followup:x:$(id -g):" >"$DEST/etc/group"
	systemd-tmpfiles --create --root="$DEST" followup-scheduler.conf
	[ "$(stat -c %a "$DEST/run/followup-scheduler")" = 3770 ]
}

@test "end to end: the application's INSERT is scheduled" {
	run_block insert-application
	inserted
	becomes "$ID" scheduled
}

@test "end to end: an INSERT by psql is scheduled, and gcloud lists it" {
	run_block insert-psql
	inserted
	becomes "$ID" scheduled
	gcloud_here demo-project
	run_block tasks-list
	grep -q "followup-$ID-" <<<"$output"
}

#
# Operation
#

@test "operation: status" {
	run_from "$ROOT/sql"
	run_block status
	grep -q '^scheduling on lad_dev.lead_bookings: enabled' <<<"$output"
	grep -q '^oldest overdue pending booking' <<<"$output"
}

@test "operation: the lines to look for are in the logs" {
	scheduled
	dead_letter
	logged execute 'dead letter.*booking_id='
	export -f journalctl
	run_block logs
}

@test "operation: bookings are moved, cancelled and called again by SQL" {
	scheduled
	first=$(tasks "$ID" '.[0].name')
	run_block sql
	[ "$(grep -c 'UPDATE 1' <<<"$output")" = 4 ]
	becomes "$ID" scheduled
	wait_for 15 has_tasks "$ID" 1
	[ "$(tasks "$ID" '.[0].name')" != "$first" ]
}

@test "operation: all dead letters go on" {
	dead_letter
	run_block retry-all
	grep -q "$ID | execute .* no such campaign" <<<"$output"
	becomes "$ID" executed
}
