# shellcheck shell=bash disable=SC2034,SC2154
# (the tests use the variables set here, and stack.env sets others)
#
# Two PostgreSQL servers with streaming replication: node a is the stack's own,
# node b is ours.  One is the primary, and the daemons know both.

# What the stack chose for its server, and a place for ours.
nodes_up() {
	# shellcheck disable=SC1091 # written by tests/stack
	. "$STACK/run/stack.env"
	NODE_B=$(mktemp -d "${TMPDIR:-/tmp}/followup-pg.XXXXXX")
	export NODE_B
	[[ -z $as_pg ]] || chown postgres "$NODE_B"
	echo a >"$STACK/run/primary"
}

nodes_down() {
	node_kill b
	rm -rf "$NODE_B"
	stack kill postgres
}

# free_ports N: print N ports that are free, below the ephemeral range.
free_ports() {
	perl -MIO::Socket::INET -e '
		my @held;
		while (@held < $ARGV[0]) {
			my $s = IO::Socket::INET->new(Listen => 1,
			    LocalAddr => "127.0.0.1",
			    LocalPort => 10000 + int(rand(20000))) or next;
			push(@held, $s);
		}
		print($_->sockport(), "\n") for @held;' "$1"
}

# For setup: the stack's choices, and the primary for sql.
nodes_env() {
	# shellcheck disable=SC1091
	. "$STACK/run/stack.env"
	use "$(cat "$STACK/run/primary")"
}

# use NODE: as the primary.
use() {
	echo "$1" >"$STACK/run/primary"
	PRIMARY=$1 STANDBY=b
	[[ $1 == a ]] || STANDBY=a
	PGPORT=$(node_port "$1")
	export PGPORT
}

node_port() {
	if [[ $1 == a ]]; then echo "$pg_port"; else cat "$NODE_B/port"; fi
}

node_data() {
	if [[ $1 == a ]]; then echo "$pg_data"; else echo "$NODE_B/data"; fi
}

# on NODE STATEMENT
on() {
	PGPORT=$(node_port "$1") sql "$2"
}

as_pg() {
	# shellcheck disable=SC2086 # a command with its flags, or nothing
	(cd / && $as_pg "$@" 3>&-)
}

# Another program may have taken the port since we looked: try several.
node_start() {
	local port options
	if [[ $1 == a ]]; then
		stack start postgres
		return
	fi
	options='-c listen_addresses=127.0.0.1 -c unix_socket_directories='
	options+=' -c fsync=off -c max_connections=200 -c timezone=UTC'
	for port in $(free_ports 5); do
		echo "$port" >"$NODE_B/port"
		as_pg "$pg_bin/pg_ctl" -D "$NODE_B/data" -w -l "$NODE_B/log" \
		    -o "-p $port $options" start >"$NODE_B/start.log" && return
	done
	tail -n 15 "$NODE_B/log" >&2
	return 1
}

# SIGKILL, to all its processes at once.
node_kill() {
	local main
	if [[ $1 == a ]]; then
		stack kill postgres
		return
	fi
	main=$(head -n 1 "$NODE_B/data/postmaster.pid" 2>/dev/null) || return 0
	kill -STOP "$main" 2>/dev/null || return 0
	# shellcheck disable=SC2046 # a list of numbers
	kill -KILL $(ps -o pid= --ppid "$main") "$main"
	wait_for 10 not kill -0 "$main" 2>/dev/null
	rm -f "$NODE_B/data/postmaster.pid"
}

# Make the node that is not the primary its standby, anew.
pair() {
	local data
	data=$(node_data "$STANDBY")
	[[ ! -d $data ]] || node_kill "$STANDBY"
	as_pg mkdir -p -m 700 "$data"
	find "$data" -mindepth 1 -delete
	# Its port in the file is the other's: the command line has the right one.
	as_pg "$pg_bin/pg_basebackup" -h 127.0.0.1 -p "$PGPORT" -U postgres \
	    -D "$data" -R -X stream -c fast --no-sync
	node_start "$STANDBY"
	wait_for 10 caught_up
}

# The standby has replayed all there is.
caught_up() {
	local lsn
	lsn=$(on "$PRIMARY" 'SELECT pg_current_wal_flush_lsn()') &&
	    [[ $(on "$STANDBY" "SELECT pg_last_wal_replay_lsn() >= '$lsn'") \
	    == t ]]
}

# Make the standby the primary.
promote() {
	on "$STANDBY" 'SELECT pg_promote()' >/dev/null
	use "$STANDBY"
}

# url PORT...: DATABASE_URL with these servers, in order.
url() {
	local port hosts=
	for port; do hosts+=,127.0.0.1:$port; done
	echo "postgresql://followup@${hosts#,}/followup"
}

# daemons PORT...: start them, with these servers.
daemons() {
	local name
	for name in schedule execute listener; do
		if stack status | grep -q "^$name  *running"; then
			stack stop "$name"
		fi
		DATABASE_URL=$(url "$@") stack start "$name"
	done
}

# book_all N DUE: insert N bookings with one statement, and print their ids.
book_all() {
	sql "INSERT INTO lad_dev.lead_bookings (tenant_id, lead_id,
	    booking_type, scheduled_at) SELECT '$TENANT', '$LEAD',
	    'auto_followup', now() + interval '$2'
	    FROM generate_series(1, $1) RETURNING id" 2>/dev/null
}

# count_is N CONDITION: so many bookings meet it.
count_is() {
	sql_is "$1" "SELECT count(*) FROM lad_dev.lead_bookings WHERE $2"
}

# keys_are EXPECTED ID...: how many bookings have how many calls that were
# started, with how many different keys.
keys_are() {
	local id found
	found=$(for id in "${@:2}"; do
		jq -rs --arg id "$id" '[.[] | select((.idempotencyKey // "") |
		    contains($id))] | "\(map(select(.started)) | length) \(
		    map(.idempotencyKey) | unique | length)"' \
		    "$STACK/data/calls.jsonl"
	done | sort | uniq -c | sed 's/^ *//')
	[[ $found == "$1" ]] || {
		printf 'bookings, calls of each, keys of each:\n%s\n' "$found" >&2
		return 1
	}
}
