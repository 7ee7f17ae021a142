# How the programs are built, and what their units take away from them.

# shellcheck disable=SC2016,SC2030,SC2031,SC2153,SC2154
# (there is Perl in here, every test is a subshell of its own, and the libraries
# set the names in capitals)

# bats file_tags=shipped

load lib
load hardening-lib

setup_file() {
	load lib
	load hardening-lib
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s
	make_google_key
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
	HELPERS=()
}

teardown() {
	kill_helpers
	stack_reset
}

# built NAME OPTION PATTERN: readelf's output about the daemon has a line.
built() {
	readelf -W "$2" "$BUILD/followup-$1" | grep -Eq -- "$3" || {
		echo "followup-$1: readelf $2 shows no $3" >&2
		return 1
	}
}

@test "the programs are built with what the compiler has against attacks" {
	not sanitized || skip 'a sanitizer build is for finding mistakes'
	for name in "${DAEMONS[@]}"; do
		built "$name" -h 'Type: +DYN'
		built "$name" -d 'FLAGS_1.*\bNOW\b.*\bPIE\b'
		built "$name" -d 'BIND_NOW'
		built "$name" -l 'GNU_RELRO'
		built "$name" -l 'GNU_STACK.* RW +0x'
		not built "$name" -l 'LOAD.* (RWE|WE) ' 2>/dev/null
		not built "$name" -d 'TEXTREL|RPATH|RUNPATH' 2>/dev/null
		built "$name" --dyn-syms ' UND +__stack_chk_fail@'
		built "$name" --dyn-syms ' UND +__[a-z]+_chk@'
		not built "$name" --dyn-syms ' UND +(gets|strcpy|strcat|sprintf|system|popen)@' \
		    2>/dev/null
	done
}

@test "every object of ours has the marks of control-flow protection" {
	not sanitized || skip 'a sanitizer build is for finding mistakes'
	[[ $(uname -m) == x86_64 ]] || skip 'IBT and SHSTK are x86-64 properties'
	# The linker drops the mark of the whole, because Debian's own start
	# files (crt1.o) do not have it; where they do, the programs have it.
	while read -r object; do
		readelf -nW "$object" | grep -Eq 'IBT, SHSTK' || {
			echo "$object has no IBT, SHSTK" >&2
			return 1
		}
		((++objects))
	done < <(find "$BUILD/obj/cgi" "$BUILD/obj/listener" -name '*.o')
	((objects > 40))
	for name in "${DAEMONS[@]}"; do
		objdump -d --section=.text "$BUILD/followup-$name" |
		    grep -A 1 '<main>:' | grep -q endbr64
	done
}

@test "systemd-analyze security: an exposure of at most 1.5" {
	command -v systemd-analyze >/dev/null ||
	    skip 'systemd-analyze is not installed (package systemd)'
	for unit in "${UNIT[@]}" nginx/followup-nginx.service; do
		run systemd-analyze security --no-pager --offline=true \
		    --threshold=15 "$ROOT/$unit"
		tail -n 1 <<<"$output"
		[[ $status == 0 ]]
	done
}

@test "systemd-analyze verify: not a word" {
	command -v systemd-analyze >/dev/null ||
	    skip 'systemd-analyze is not installed (package systemd)'
	for name in "${DAEMONS[@]}"; do
		sed "s,^ExecStart=.*/,ExecStart=$BUILD/," \
		    "$ROOT/${UNIT[$name]}" \
		    >"$BATS_TEST_TMPDIR/followup-$name.service"
	done
	sed "s,^ExecStart=.*/,ExecStart=$ROOT/nginx/," \
	    "$ROOT/nginx/followup-nginx.service" \
	    >"$BATS_TEST_TMPDIR/followup-nginx.service"
	run systemd-analyze verify "$BATS_TEST_TMPDIR"/*.service
	echo "$output"
	[[ $status == 0 && -z $output ]]
}

@test "the units leave no core dumps, and memory with tokens is not dumped" {
	for name in "${DAEMONS[@]}"; do
		grep -qx LimitCORE=0 "$ROOT/${UNIT[$name]}"
		grep -qx 'User=followup-[a-z]*' "$ROOT/${UNIT[$name]}"
	done
	restart schedule CLOUD_TASKS_ENDPOINT="$EMULATOR_URL" \
	    GOOGLE_APPLICATION_CREDENTIALS="$BATS_FILE_TMPDIR/google.json"
	id=$(book)
	becomes "$id" scheduled
	# Shared memory of more than one page is a token, or the keys, or what
	# the database refused, logs and queues; the one page is the breaker's, who has no secrets.
	for name in schedule execute; do
		for pid in $(pgrep -P "$(cat "$STACK/run/$name.pid")"); do
			run awk '/^[0-9a-f]+-.* /{ shared = /\/dev\/zero/ }
			    shared && $1 == "Size:" { big = $2 > 4 }
			    shared && big && $1 == "VmFlags:" {
				n++
				if (!/ dd( |$)/) dumped++
			    }
			    END { print n + 0, dumped + 0 }' "/proc/$pid/smaps"
			[[ $output =~ ^[1-9]\ 0$ ]]
		done
	done
}

@test "a program that crashes writes no core, with or without its unit" {
	not sanitized || skip 'a sanitizer takes a crash for a finding'
	for name in "${DAEMONS[@]}"; do
		for pid in $(pgrep -g "$(cat "$STACK/run/$name.pid")"); do
			grep -Eq '^Max core file size +[01] +[01] ' \
			    "/proc/$pid/limits"
		done
	done

	[[ $(cat /proc/sys/kernel/core_pattern) != [/\|]* ]] ||
	    skip 'cores are not written to the working directory here'
	cd "$BATS_TEST_TMPDIR"
	ulimit -c unlimited || true
	"$ROOT/tests/stack" exec "$STACK" env \
	    FOLLOWUP_RUNTIME_DIR="$BATS_TEST_TMPDIR" \
	    "$BUILD/followup-execute" >log 2>&1 3>&- &
	daemon=$!
	HELPERS+=("$daemon")
	wait_for 10 test -S execute.sock
	wait_for 10 pgrep -P "$daemon"
	kill -SEGV "$(pgrep -P "$daemon" | head -n 1)"
	wait_for 10 grep -q 'was killed by signal 11' log
	[[ -z $(compgen -G '*core*') ]]
	kill "$daemon"
	wait "$daemon"
}

# hear ADDRESS: write what is sent to the datagram socket into ${HEARD}.
hear() {
	HEARD=$BATS_TEST_TMPDIR/heard
	: >"$HEARD"
	perl -MSocket -MIO::Handle -e '
		my ($path, $file) = @ARGV;
		$path =~ s/^@/\0/;
		socket(my $s, AF_UNIX, SOCK_DGRAM, 0) or die;
		bind($s, pack_sockaddr_un($path)) or die;
		open(my $out, ">>", $file) or die;
		$out->autoflush(1);
		print $out "bound\n";
		print $out "$_\n" while defined(recv($s, $_, 4096, 0));
	' "$1" "$HEARD" 3>&- &
	HELPERS+=("$!")
	wait_for 10 heard bound 1
}

# heard LINE N: at least so many of these came.
heard() {
	(($(grep -cxF -- "$1" "$HEARD") >= $2))
}

# start_supervised NAME ADDRESS VARIABLE=VALUE...: as systemd would, who hears
# at ADDRESS that it is ready; sets daemon.
start_supervised() {
	"$ROOT/tests/stack" exec "$STACK" env NOTIFY_SOCKET="$2" "${@:3}" \
	    FOLLOWUP_RUNTIME_DIR="$BATS_TEST_TMPDIR/$1" \
	    "$BUILD/followup-$1" >"$BATS_TEST_TMPDIR/$1.log" 2>&1 3>&- &
	daemon=$!
	HELPERS+=("$daemon")
	wait_for 10 heard READY=1 1
}

@test "Type=notify: READY=1, WATCHDOG=1 for as long as it lives, STOPPING=1" {
	for name in "${DAEMONS[@]}"; do
		grep -qx Type=notify "$ROOT/${UNIT[$name]}"
		grep -Eqx 'WatchdogSec=[0-9]+s' "$ROOT/${UNIT[$name]}"
		# A path, and a name without one.
		address=$BATS_TEST_TMPDIR/$name.notify
		[[ $name != execute ]] || address=@followup-$$-$RANDOM
		hear "$address"
		mkdir "$BATS_TEST_TMPDIR/$name"
		start_supervised "$name" "$address" WATCHDOG_USEC=200000
		wait_for 10 heard WATCHDOG=1 3
		not heard STOPPING=1 1
		kill "$daemon"
		wait "$daemon"
		wait_for 10 heard STOPPING=1 1
		[[ $(sed -n 2p "$HEARD") == READY=1 ]]
		[[ $(grep -cx READY=1 "$HEARD") == 1 ]]

		# A watchdog that waits for another process is none of ours.
		: >"$HEARD"
		start_supervised "$name" "$address" WATCHDOG_USEC=2000 \
		    WATCHDOG_PID=1
		kill "$daemon"
		wait "$daemon"
		wait_for 10 heard STOPPING=1 1
		[[ $(cat "$HEARD") == $'READY=1\nSTOPPING=1' ]]
	done
}
