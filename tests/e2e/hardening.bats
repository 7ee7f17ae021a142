# What limits an attacker: how the programs are built, what their units take
# away from them, who hears their secrets, and what their database role may do.

# shellcheck disable=SC2016,SC2030,SC2031,SC2153
# (there is Perl in here, every test is a subshell of its own, and lib.bash sets
# the names in capitals)

load lib

DAEMONS=(listener schedule execute)
declare -gA UNIT=(
	[listener]=listener/followup-listener.service
	[schedule]=cgi/schedule/followup-schedule.service
	[execute]=cgi/execute/followup-execute.service
)

# Words that must not be found anywhere.
PG_SECRET=canary-postgres-5Jq8wT2nLx7c
TASKS_SECRET=canary-tasks-Zk3vB9rYp1Qd
CALL_TOKEN=canary-call-token-Hs6mE0uXa4Wf
WEBHOOK_TOKEN=canary-webhook-Nc2gR7iKo5Vt
METADATA_TOKEN=canary-metadata-Uy8bD4lJz3Ps

# As which the confined daemons run where we are root: numbers without names.
GROUP=64000
declare -gA USERS=([listener]=64001 [schedule]=64001 [execute]=64002)

setup_file() {
	load lib
	stack_up FOLLOWUP_SWEEP_INTERVAL=1s LOG_LEVEL=debug \
	    POSTGRES_PASSWORD="$PG_SECRET" FOLLOWUP_CALL_TOKEN="$CALL_TOKEN" \
	    FOLLOWUP_WEBHOOK_TOKEN="$WEBHOOK_TOKEN"

	# The daemons' role has to give its password from now on.
	stack_env
	hba=$(sql 'SHOW hba_file')
	rules=$(cat "$hba")
	printf '%s\n' 'host all followup 127.0.0.1/32 scram-sha-256' "$rules" \
	    >"$hba"
	sql "ALTER ROLE followup PASSWORD '$PG_SECRET'"
	sql 'SELECT pg_reload_conf()'
	openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 \
	    -out "$BATS_FILE_TMPDIR/google.pem"
	jq -n --rawfile key "$BATS_FILE_TMPDIR/google.pem" '{
	    type: "service_account", project_id: "demo-project",
	    private_key_id: "0123456789abcdef", private_key: $key,
	    client_email: "creator@demo-project.iam.gserviceaccount.com",
	    token_uri: "https://oauth2.googleapis.com/token"}' \
	    >"$BATS_FILE_TMPDIR/google.json"
	chmod 400 "$BATS_FILE_TMPDIR"/google.*
}

teardown_file() {
	load lib
	stack_down
}

setup() {
	stack_env
	ANSWERS=$BATS_TEST_TMPDIR/answers SAFE='' HELPERS=()
	NEEDLES=$BATS_TEST_TMPDIR/needles
}

teardown() {
	((${#HELPERS[@]} == 0)) || kill "${HELPERS[@]}" 2>/dev/null || true
	if [[ -n $SAFE ]]; then
		"$ROOT/tests/stack" down "$STACK" || true
		rm -rf "$SAFE"
		STACK=$BATS_FILE_TMPDIR/stack
		stack_env
	fi
	agent '[]'
	faults '[]'
	stack_reset
}

#
# (a) What was built
#

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

#
# (b) The units
#

@test "systemd-analyze security: an exposure of at most 1.5" {
	command -v systemd-analyze >/dev/null ||
	    skip 'systemd-analyze is not installed (package systemd)'
	for name in "${DAEMONS[@]}"; do
		run systemd-analyze security --no-pager --offline=true \
		    --threshold=15 "$ROOT/${UNIT[$name]}"
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
	# Shared memory of more than one page is a token, or the keys; the one
	# page is the breaker's, who has no secrets.
	for name in schedule execute; do
		for pid in $(pgrep -P "$(cat "$STACK/run/$name.pid")"); do
			run awk '/^[0-9a-f]+-.* /{ shared = /\/dev\/zero/ }
			    shared && $1 == "Size:" { big = $2 > 4 }
			    shared && big && $1 == "VmFlags:" {
				n++
				if (!/ dd( |$)/) dumped++
			    }
			    END { print n + 0, dumped + 0 }' "/proc/$pid/smaps"
			[[ $output == '1 0' ]]
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

@test "Type=notify: READY=1, WATCHDOG=1 for as long as it lives, STOPPING=1" {
	for name in "${DAEMONS[@]}"; do
		grep -qx Type=notify "$ROOT/${UNIT[$name]}"
		grep -Eqx 'WatchdogSec=[0-9]+s' "$ROOT/${UNIT[$name]}"
		# A path, and a name without one.
		address=$BATS_TEST_TMPDIR/$name.notify
		[[ $name != execute ]] || address=@followup-$$-$RANDOM
		hear "$address"
		mkdir "$BATS_TEST_TMPDIR/$name"
		"$ROOT/tests/stack" exec "$STACK" env NOTIFY_SOCKET="$address" \
		    WATCHDOG_USEC=200000 \
		    FOLLOWUP_RUNTIME_DIR="$BATS_TEST_TMPDIR/$name" \
		    "$BUILD/followup-$name" >"$BATS_TEST_TMPDIR/$name.log" \
		    2>&1 3>&- &
		daemon=$!
		HELPERS+=("$daemon")
		wait_for 10 heard READY=1 1
		wait_for 10 heard WATCHDOG=1 3
		not heard STOPPING=1 1
		kill "$daemon"
		wait "$daemon"
		wait_for 10 heard STOPPING=1 1
		[[ $(sed -n 2p "$HEARD") == READY=1 ]]
		[[ $(grep -cx READY=1 "$HEARD") == 1 ]]

		# A watchdog that waits for another process is none of ours.
		: >"$HEARD"
		"$ROOT/tests/stack" exec "$STACK" env NOTIFY_SOCKET="$address" \
		    WATCHDOG_USEC=2000 \
		    WATCHDOG_PID=1 \
		    FOLLOWUP_RUNTIME_DIR="$BATS_TEST_TMPDIR/$name" \
		    "$BUILD/followup-$name" >"$BATS_TEST_TMPDIR/$name.log" \
		    2>&1 3>&- &
		daemon=$!
		HELPERS+=("$daemon")
		wait_for 10 heard READY=1 1
		kill "$daemon"
		wait "$daemon"
		wait_for 10 heard STOPPING=1 1
		[[ $(cat "$HEARD") == $'READY=1\nSTOPPING=1' ]]
	done
}

#
# (c) The programs within the units' limits
#

# calls_of SET...: the names of system calls in systemd's sets.
calls_of() {
	local set line
	for set in "$@"; do
		[[ $set == @* ]] || { echo "$set"; continue; }
		while read -r line; do
			case $line in
			"$set" | '#'* | '') ;;
			@*) calls_of "$line" ;;
			*) echo "$line" ;;
			esac
		done < <(systemd-analyze syscall-filter --no-pager "$set")
	done
}

# filtered NAME: the calls that the daemon's unit allows.
filtered() {
	local line
	while read -r line; do
		# shellcheck disable=SC2086 # a list of sets
		case $line in
		'~'*) calls_of ${line#\~} | sort -u >"$SAFE/taken" ;;
		*) calls_of @default $line | sort -u >"$SAFE/given" ;;
		esac
	done < <(sed -n 's/^SystemCallFilter=//p' "$ROOT/${UNIT[$1]}")
	comm -23 "$SAFE/given" "$SAFE/taken"
}

# make_filter NAME ACTION: write ${SAFE}/NAME.bpf, the seccomp filter that
# systemd makes of the unit: of the calls that it knows those that are not
# allowed get ACTION (errno: EPERM; kill, as in the units), and what is newer
# than systemd gets ENOSYS.  The settings besides SystemCallFilter are here too.
make_filter() {
	local setting
	for setting in MemoryDenyWriteExecute=yes RestrictNamespaces=yes \
	    RestrictSUIDSGID=yes LockPersonality=yes NoNewPrivileges=yes \
	    SystemCallArchitectures=native ProtectSystem=strict \
	    'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6' \
	    PrivateDevices=yes ProtectHome=yes ProcSubset=pid \
	    CapabilityBoundingSet=; do
		grep -qx -- "$setting" "$ROOT/${UNIT[$1]}"
	done
	{
		filtered "$1" | sed 's/^/allow /'
		calls_of @known | sed 's/^/known /'
		echo '#include <sys/syscall.h>' | "${CC:-cc}" -E -dM - |
		    sed -n 's/^#define __NR_\([a-z0-9_]*\) /number \1 /p'
	} | perl -e '
		my ($machine, $action) = @ARGV;
		my (%nr, @allow, @known, $prog, $n);
		while (<STDIN>) {
			my ($what, $name, $value) = split;
			$nr{$name} = $value if $what eq "number";
			push(@allow, $name) if $what eq "allow";
			push(@known, $name) if $what eq "known";
		}
		sub op { $prog .= pack("SCCL", @_); $n++; }
		sub load { op(0x20, 0, 0, $_[0]); }
		sub ret { op(0x06, 0, 0, $_[0]); }
		my ($yes, $kill, $errno) = (0x7fff0000, 0x80000000, 0x50000);
		my $no = $action eq "kill" ? $kill : $errno | 1;

		# Only this machine'\''s own calls (no 32 bits, no x32).
		load(4);
		op(0x15, 1, 0, $machine eq "x86_64" ? 0xc000003e : 0xc00000b7);
		ret($kill);
		load(0);
		if ($machine eq "x86_64") {
			op(0x45, 0, 1, 0x40000000);
			ret($kill);
		}

		# A call is refused if all conditions hold: an argument has any
		# of the bits, all of them, or is not that number.
		sub refuse {
			my ($name, $answer, @conditions) = @_;
			return unless ($nr{$name} // "") =~ /^\d+$/;
			my $left = 1;
			$left += $$_[0] eq "all" ? 3 : 2 for @conditions;
			op(0x15, 0, $left, $nr{$name});
			for (@conditions) {
				my ($how, $arg, $value) = @$_;
				load(16 + 8 * $arg);
				$left--;
				$left--, op(0x54, 0, 0, $value) if $how eq "all";
				$left--;
				op(0x15, 0, $left, $value) if $how eq "all";
				op(0x45, 0, $left, $value) if $how eq "any";
				op(0x15, $left, 0, $value) if $how eq "not";
			}
			ret($answer);
			load(0);
		}
		my ($eperm, $enosys, $family) = map { $errno | $_ } 1, 38, 97;
		refuse("socket", $family, map { ["not", 0, $_] } 1, 2, 10);
		refuse("mmap", $eperm, ["all", 2, 6]);
		refuse($_, $eperm, ["any", 2, 4]) for "mprotect", "pkey_mprotect";
		refuse("shmat", $eperm, ["any", 2, 0100000]);
		refuse("clone", $eperm, ["any", 0, 0x7e020000]);
		refuse("clone3", $enosys);
		refuse($_, $eperm) for "unshare", "setns", "personality";
		refuse($$_[0], $eperm, ["any", $$_[1], 06000]) for
		    ["chmod", 1], ["fchmod", 1], ["fchmodat", 2], ["mkdir", 1],
		    ["mkdirat", 2], ["mknod", 1], ["mknodat", 2], ["creat", 1];
		refuse("open", $eperm, ["any", 1, 0100], ["any", 2, 06000]);
		refuse("openat", $eperm, ["any", 2, 0100], ["any", 3, 06000]);
		refuse("openat2", $enosys);

		for my $list ([\@allow, $yes], [\@known, $no]) {
			for (grep { ($nr{$_} // "") =~ /^\d+$/ } @{$$list[0]}) {
				op(0x15, 0, 1, $nr{$_});
				ret($$list[1]);
			}
		}
		ret($enosys);
		die("no calls: $n instructions\n") if $n < 500 || $n > 4096;
		print($prog);
	' "$(uname -m)" "$2" >"$SAFE/$1.bpf"
}

# The file systems as the unit shows them, for ${SAFE}/rooms: all read-only but
# the runtime directory (/tmp too, which is more than PrivateTmp), nobody's
# home, of /dev only what every program needs, of /proc only the processes.
make_rooms() {
	cat >"$SAFE/rooms" <<-'EOT'
	#!/bin/sh
	set -e
	safe=$(dirname "$0")
	mount --make-rprivate /
	for folder in /home /root /run/user; do
		case $safe/ in "$folder"/*) continue ;; esac
		[ ! -d "$folder" ] || mount -t tmpfs -o mode=000 tmpfs "$folder"
	done
	mkdir -p "$safe/dev"
	mount -t tmpfs -o mode=755 tmpfs "$safe/dev"
	for node in null zero full random urandom tty; do
		: >"$safe/dev/$node"
		mount --bind "/dev/$node" "$safe/dev/$node"
	done
	mount --move "$safe/dev" /dev
	mount --bind "$safe/run" "$safe/run"
	# mount_setattr(2), for all mounts below: read-only, and not.
	perl -e '
		my ($all, $ro) = (0x8000, 1);
		my $set = pack("Q4", $ro, 0, 0, 0);
		my $clear = pack("Q4", 0, $ro, 0, 0);
		my ($root, $run) = ("/", $ARGV[0]);
		syscall(442, -100, $root, $all, $set, 32) == 0 &&
		    syscall(442, -100, $run, 0, $clear, 32) == 0 or
		    die("mount_setattr: $!\n");
	' "$safe/run"
	mount -t proc -o ro,nosuid,nodev,noexec,hidepid=invisible,subset=pid \
	    proc /proc
	exec "$@"
	EOT
	chmod 755 "$SAFE/rooms"
}

# make_confine: write ${SAFE}/confine, which runs a program as a unit would:
# "confine NAME PROGRAM...".
make_confine() {
	cat >"$SAFE/confine" <<-'EOT'
	#!/bin/sh
	# Has to be the last step: what comes before needs other calls.
	safe=$(dirname "$0") unit=$1
	shift
	[ "$unit" != execute ] || user=64002
	as="setpriv --no-new-privs"
	if [ -e "$safe/rooms" ]; then
		as="unshare -m $safe/rooms $as --reuid=${user:-64001}"
		as="$as --regid=64000 --clear-groups --inh-caps=-all"
		as="$as --ambient-caps=-all --bounding-set=-all"
	fi
	umask 007
	exec $as perl -e '
		my $path = shift;
		open(my $f, "<:raw", $path) or die("$path: $!\n");
		local $/;
		my $prog = <$f>;
		my $filter = pack("S x![P] P", length($prog) / 8, $prog);
		my ($prctl, $set, $mode) = (PRCTL, 22, 2);
		syscall($prctl, $set, $mode, $filter, 0, 0) == 0 or
		    die("PR_SET_SECCOMP: $!\n");
		exec(@ARGV) or die("$ARGV[0]: $!\n");
	' "$safe/$unit.bpf" "$@"
	EOT
	sed -i "s/PRCTL/$(echo '#include <sys/syscall.h>
	    SYS_prctl' | "${CC:-cc}" -E -P - | tail -n 1)/" "$SAFE/confine"
	chmod 755 "$SAFE/confine"
}

# confine ACTION: a stack whose daemons run in their units' limits.
confine() {
	not sanitized || skip "a sanitizer's own system calls are not ours"
	command -v systemd-analyze >/dev/null ||
	    skip 'systemd-analyze is not installed (package systemd)'
	case $(uname -m) in
	x86_64 | aarch64) ;;
	*) skip "no seccomp filter is written for $(uname -m)" ;;
	esac
	SAFE=$(mktemp -d "${TMPDIR:-/tmp}/followup-safe.XXXXXX")
	chmod 755 "$SAFE"
	mkdir "$SAFE/run" "$SAFE/bin"
	cp "$BUILD"/followup-* "$BUILD/cloud-tasks-emulator" \
	    "$BUILD/voice-agent" "$SAFE/bin"
	for name in "${DAEMONS[@]}"; do
		make_filter "$name" "$1"
	done
	make_confine
	ROOMS=no
	if [[ $(id -u) == 0 ]]; then
		chgrp "$GROUP" "$SAFE/run"
		# As RuntimeDirectoryMode has it.
		chmod 3770 "$SAFE/run"
		make_rooms
		if "$SAFE/confine" schedule true; then
			ROOMS=yes
		else
			rm "$SAFE/rooms"
		fi
	fi
	[[ $ROOMS == yes ]] || echo '# neither mounts nor other users here:' \
	    'the daemons have only their system calls taken away' >&3

	STACK=$BATS_TEST_TMPDIR/stack
	env POSTGRES_HOST=localhost FOLLOWUP_SWEEP_INTERVAL=1s \
	    FOLLOWUP_BUILD="$SAFE/bin" FOLLOWUP_RUNTIME_DIR="$SAFE/run" \
	    FOLLOWUP_CALL_SECRET="$CALL_SECRET" \
	    STACK_WRAPPER_listener="$SAFE/confine listener" \
	    STACK_WRAPPER_schedule="$SAFE/confine schedule" \
	    STACK_WRAPPER_execute="$SAFE/confine execute" \
	    "$ROOT/tests/stack" up "$STACK"
	stack_env
}

# confined NAME: the kernel says so.
confined() {
	local pid status
	for pid in $(pgrep -g "$(cat "$STACK/run/$1.pid")"); do
		status=$(cat "/proc/$pid/status")
		grep -Eqx 'Seccomp:	2' <<<"$status"
		grep -Eqx 'NoNewPrivs:	1' <<<"$status"
		[[ $ROOMS == yes ]] || continue
		[[ $(grep -Ec '^Cap(Inh|Prm|Eff|Bnd|Amb):	0+$' \
		    <<<"$status") == 5 ]]
		grep -Eq "^Uid:	${USERS[$1]}	" <<<"$status"
		grep -Eq "^Gid:	$GROUP	" <<<"$status"
	done
}

# A day's work: what a daemon does from its start to its end.
live_a_day() {
	local id pid name
	id=$(book '-1 second')
	becomes "$id" executed
	called "$id" 1
	agent '{"status": 503}'
	id=$(book '1 second')
	becomes "$id" executed
	called "$id" 2
	id=$(book '1 hour')
	becomes "$id" scheduled
	change "$id" "task_status = 'cancelled'"
	wait_for 10 has_tasks "$id" 0
	webhook nonsense
	problem 400 not-json
	api GET /readyz
	expect 200
	request POST "$PUBLIC_URL/bookings/$id/execute-followup" -d '{}' \
	    -H 'Authorization: Bearer a.b.c'
	problem 401 unauthorized

	# Workers die and are born, the database goes and comes.
	for name in schedule execute; do
		for pid in $(pgrep -P "$(cat "$STACK/run/$name.pid")"); do
			kill -KILL "$pid"
		done
	done
	stack kill postgres
	wait_for 10 logged listener 'no database connection'
	stack start postgres
	id=$(book '-1 second')
	becomes "$id" executed 30
	called "$id" 1

	# With a key of Google's, and names instead of addresses.
	cp "$BATS_FILE_TMPDIR/google.json" "$SAFE/google.json"
	[[ $ROOMS == no ]] || chown "${USERS[schedule]}" "$SAFE/google.json"
	restart schedule CLOUD_TASKS_ENDPOINT="$EMULATOR_URL" \
	    GOOGLE_APPLICATION_CREDENTIALS="$SAFE/google.json"
	restart execute \
	    FOLLOWUP_CALL_URL="${VOICE_AGENT_URL/127.0.0.1/localhost}/calls"
	restart listener LOG_FORMAT=json
	id=$(book '-1 second')
	becomes "$id" executed 30
	called "$id" 1
}

# within_limits: they worked, stopped when asked to, and missed nothing.
within_limits() {
	local name
	for name in "${DAEMONS[@]}"; do
		confined "$name"
	done
	live_a_day
	for name in "${DAEMONS[@]}"; do
		confined "$name"
		stack stop "$name"
		not logged "$name" 'signal 31|not permitted|Permission denied|not implemented|Read-only'
	done
}

@test "from INSERT to executed within the units' limits; refused: EPERM" {
	confine errno
	within_limits
}

@test "from INSERT to executed within the units' limits; refused: killed" {
	confine kill
	within_limits
}

# tried CODE: perl's, as followup-execute would; prints what came of it.
tried() {
	"$SAFE/confine" execute perl -e "$1" 2>&1 || echo "status $?"
}

@test "the limits are there: what the programs do not need is refused" {
	confine errno
	number() {
		echo "#include <sys/syscall.h>
		SYS_$1" | "${CC:-cc}" -E -P - | tail -n 1
	}
	not_permitted='Operation not permitted'
	for call in "$(number ptrace), 0, 0, 0, 0" \
	    "$(number setpriority), 0, 0, 5" "$(number mount), 0, 0, 0, 0, 0" \
	    "$(number bpf), 0, 0, 0" "$(number unshare), 0x10000000" \
	    "$(number personality), 0" \
	    "$(number mmap), 0, 4096, 7, 34, -1, 0"; do
		[[ $(tried "syscall($call) == -1 and print \$!") == \
		    "$not_permitted" ]] || { echo "$call" >&2; return 1; }
	done
	[[ $(tried 'socket(my $s, 16, 3, 0) or print $!') == \
	    'Address family not supported by protocol' ]]
	[[ $(tried 'socket(my $s, 2, 1, 0) and print "yes"') == yes ]]
	[[ $(tried 'print(-e "/dev/null" ? "yes" : "no")') == yes ]]
	make_filter execute kill
	[[ $(tried "syscall($(number setpriority), 0, 0, 5)") == 'status 159' ]]
	make_filter execute errno

	[[ $ROOMS == yes ]] || skip 'no mount namespace here: files not tried'
	for file in /tmp/x /var/tmp/x /etc/x "$SAFE/x" /dev/shm/x /proc/self/comm; do
		[[ $(tried "open(my \$f, '>', '$file') or print \$!") =~ \
		    ^(Read-only\ file\ system|Permission\ denied|No\ such.*)$ ]]
	done
	[[ $(tried "open(my \$f, '>', '$SAFE/run/x') and print 'yes'") == yes ]]
	[[ $(tried 'print(-e "/proc/1" || -e "/proc/cpuinfo" ? "yes" : "no")') == no ]]
	[[ $(tried 'print(-e "/dev/kmsg" || -e "/dev/mem" ? "yes" : "no")') == no ]]
	[[ $(tried 'opendir(my $d, "/root") or print $!') == 'Permission denied' ]]
	# What the other user of the group has made is not to be removed.
	stack stop execute
	[[ $(tried "unlink('$SAFE/run/schedule.sock') or print \$!") == \
	    "$not_permitted" ]]
}

#
# (d) Secrets
#

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
		agent "{\"status\": 401, \"body\": \"$body\"}"
		id=$(book '-1 second')
		becomes "$id" failed
		[[ $(column "$id" last_execution_error) == *"401: ${body%%:*}: "*'**'* ]]
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

#
# (e) Doors
#

@test "sockets are for the group only, and no daemon listens on TCP" {
	for name in schedule execute local; do
		[[ $(stat -c '%F %a' "$STACK/run/$name.sock") == 'socket 660' ]]
	done
	for name in "${DAEMONS[@]}"; do
		for pid in $(pgrep -g "$(cat "$STACK/run/$name.pid")"); do
			while read -r inode; do
				[[ -z $(find "/proc/$pid/fd" \
				    -lname "socket:\\[$inode\\]") ]]
			done < <(awk '$4 == "0A" { print $10 }' \
			    /proc/net/tcp /proc/net/tcp6)
		done
	done
	# nginx: the local server is on the loopback address.
	port=$(printf '%04X' "${LOCAL_URL##*:}")
	[[ $(awk -v port=":$port" '$4 == "0A" && $2 ~ port "$" { print $2 }' \
	    /proc/net/tcp) == "0100007F:$port" ]]
}

#
# (f) The database role
#

# as_role STATEMENT: psql's output, with errors as SQLSTATE, as the daemons.
as_role() {
	PGPASSWORD=$PG_SECRET psql -XAtq -U followup -v VERBOSITY=sqlstate \
	    -c "BEGIN; $1; ROLLBACK" 2>&1
}

@test "what the daemons' database role cannot do" {
	id=$(book)
	becomes "$id" scheduled
	bookings=lad_dev.lead_bookings
	while read -r statement; do
		run as_role "$statement"
		[[ $output == *'ERROR:  42501'* ]] || {
			echo "$statement: $output" >&2
			return 1
		}
	done <<-EOT
	INSERT INTO $bookings (tenant_id, booking_type, scheduled_at) VALUES (gen_random_uuid(), 'x', now())
	DELETE FROM $bookings WHERE id = '$id'
	TRUNCATE $bookings
	UPDATE $bookings SET scheduled_at = now()
	UPDATE $bookings SET tenant_id = gen_random_uuid()
	UPDATE $bookings SET lead_id = gen_random_uuid()
	UPDATE $bookings SET booking_type = 'x'
	UPDATE $bookings SET id = gen_random_uuid()
	SELECT * FROM lad_dev.leads
	UPDATE lad_dev.leads SET phone = '+15550100009'
	SELECT * FROM lad_dev.users
	SELECT * FROM lad_dev.tenants
	SELECT * FROM pg_authid
	DROP TRIGGER trigger_schedule_followup_cloud_task ON $bookings
	ALTER TABLE $bookings DISABLE TRIGGER USER
	ALTER TABLE $bookings ADD COLUMN mine int
	ALTER FUNCTION lad_dev.followup_call_request(uuid) OWNER TO followup
	DROP FUNCTION lad_dev.followup_call_request(uuid)
	CREATE TABLE lad_dev.mine (id int)
	CREATE TABLE public.mine (id int)
	CREATE FUNCTION lad_dev.mine() RETURNS int LANGUAGE sql AS 'SELECT 1'
	CREATE SCHEMA mine
	CREATE ROLE mine
	CREATE EXTENSION dblink
	SET ROLE postgres
	SET session_replication_role = replica
	COPY (SELECT 1) TO PROGRAM 'true'
	SELECT pg_read_file('/etc/passwd')
	EOT
	run as_role "SELECT task_status FROM $bookings WHERE id = '$id'"
	[[ $output == scheduled ]]

	# It owns nothing, is a member of nothing, and reads nothing else.
	sql_is 0 "SELECT count(*) FROM pg_shdepend WHERE deptype = 'o' AND
	    refobjid = 'followup'::regrole"
	sql_is 'f|f|f|f|f' "SELECT rolsuper, rolcreaterole, rolcreatedb,
	    rolreplication, rolbypassrls FROM pg_roles
	    WHERE rolname = 'followup'"
	sql_is 0 "SELECT count(*) FROM pg_auth_members
	    WHERE member = 'followup'::regrole"
	[[ $(sql "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
	    WHERE relkind IN ('r', 'v', 'm', 'p', 'f') AND relnamespace NOT IN
	    ('pg_catalog'::regnamespace, 'information_schema'::regnamespace)
	    AND has_any_column_privilege('followup', oid, 'SELECT')") == \
	    'followup_dead_letters followup_failures followup_obsolete_tasks lead_bookings' ]]
	[[ $(sql "SELECT string_agg(attname, ' ' ORDER BY attname)
	    FROM pg_attribute WHERE attrelid = '$bookings'::regclass AND
	    attnum > 0 AND has_column_privilege('followup', attrelid, attnum,
	    'UPDATE')") == 'executed_at execution_attempts idempotency_key last_execution_error task_name task_scheduled_at task_status' ]]
}
