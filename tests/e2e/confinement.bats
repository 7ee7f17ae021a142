# The programs at work within the limits of their units: the system calls, the
# file systems and the rights that systemd leaves them.

# shellcheck disable=SC2016,SC2030,SC2031,SC2153,SC2154
# (there is Perl in here, every test is a subshell of its own, and the libraries
# set the names in capitals)

# bats file_tags=shipped

load lib
load hardening-lib

# As which the daemons run where we are root: numbers without names.
GROUP=64000
declare -gA USERS=([listener]=64001 [schedule]=64001 [execute]=64002)

setup_file() {
	load lib
	load hardening-lib
	make_google_key
}

setup() {
	SAFE=''
}

teardown() {
	[[ -n $SAFE ]] || return 0
	"$ROOT/tests/stack" down "$STACK" || true
	rm -rf "$SAFE"
}

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
