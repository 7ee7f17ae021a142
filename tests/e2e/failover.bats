# One database server takes the place of another, or hangs.

# shellcheck disable=SC2030,SC2031,SC2153,SC2154
# (every test is a subshell of its own; lib.bash and stack.env set the names)

load lib
load failover-lib

setup_file() {
	load lib
	load failover-lib
	export FOLLOWUP_SWEEP_INTERVAL=1s FOLLOWUP_OVERDUE_GRACE=3s
	export FOLLOWUP_SCHEDULE_WORKERS=2 FOLLOWUP_EXECUTE_WORKERS=2
	stack_up STACK_WITHOUT='schedule execute listener'
	stack_env
	curl -sf -m 20 --noproxy '*' -o /dev/null -X PATCH \
	    -H 'Content-Type: application/json' -d '{"retryConfig":
	    {"minBackoff":"0.2s","maxBackoff":"1s","maxAttempts":100}}' \
	    "$EMULATOR_URL/v2/$QUEUE?updateMask=retryConfig"
	nodes_up
}

teardown_file() {
	load lib
	load failover-lib
	# shellcheck disable=SC1091
	. "$STACK/run/stack.env"
	nodes_down
	stack_down
}

setup() {
	stack_env
	nodes_env
}

teardown() {
	[[ -z ${HANGING-} ]] || kill "$HANGING"
}

# Two servers that hang: one lets us connect and says nothing, the other does
# not even answer the SYN, because its queue is full.  Sets PORTS and HANGING.
hang() {
	mapfile -t PORTS < <(free_ports 2)
	perl -MIO::Socket::INET -e '
		my @s = map { IO::Socket::INET->new(Listen => $_->[0],
		    LocalAddr => "127.0.0.1", LocalPort => $_->[1]) or die }
		    [100, $ARGV[0]], [1, $ARGV[1]];
		my @c = map { IO::Socket::INET->new(Blocking => 0,
		    PeerAddr => "127.0.0.1", PeerPort => $ARGV[1]) } 1 .. 4;
		sleep(600);' "${PORTS[@]}" 3>&- &
	HANGING=$!
	wait_for 5 not_answered "${PORTS[1]}"
}

not_answered() {
	perl -MIO::Socket::INET -e 'exit(IO::Socket::INET->new(
	    PeerAddr => "127.0.0.1", PeerPort => $ARGV[0], Timeout => 0.3) ?
	    1 : 0)' "$1" && kill -0 "$HANGING"
}

@test "hosts that hang are left after three seconds each" {
	hang
	daemons "${PORTS[@]}" "$pg_port"
	id=$(book '1 second')
	becomes "$id" executed 30
	called "$id" 1
	not logged listener 'no database connection'
}

@test "the primary dies: its standby goes on, nobody is called twice" {
	pair
	daemons "$(node_port a)" "$(node_port b)"
	mapfile -t ids < <(book_all 20 '2 seconds'; book_all 20 '4 seconds')
	wait_for 10 count_is 20 "task_status = 'executed' AND id IN (
	    '${ids[0]}'$(printf ", '%s'" "${ids[@]}"))"
	wait_for 5 caught_up
	node_kill "$PRIMARY"
	promote
	wait_for 30 count_is 0 "task_status <> 'executed'"
	late=$(book '1 second')
	becomes "$late" executed
	keys_are '41 1 1' "${ids[@]}" "$late"
}

@test "the last commits are lost: called with the same key, or not at all" {
	pair
	daemons "$(node_port b)" "$(node_port a)"
	mapfile -t ids < <(book_all 10 '3 seconds')
	all_scheduled
	wait_for 5 caught_up

	# From now on the standby hears of nothing.
	on "$STANDBY" "ALTER SYSTEM SET primary_conninfo = ''"
	on "$STANDBY" 'SELECT pg_reload_conf()' >/dev/null
	wait_for 5 sql_is 0 'SELECT count(*) FROM pg_stat_replication'
	lost=$(book '7 seconds')
	becomes "$lost" scheduled
	wait_for 15 count_is 1 "task_status <> 'executed'"
	node_kill "$PRIMARY"
	promote
	count_is 10 "task_status <> 'executed'"

	# The tasks are gone, so that others take their place.
	wait_for 30 count_is 0 "task_status <> 'executed'"
	wait_for 10 has_tasks "$lost" 0
	keys_are '10 2 1' "${ids[@]}"
	keys_are '1 0 0' "$lost"
}

@test "a primary that has become read-only is left by all" {
	pair
	daemons "$(node_port a)" "$(node_port b)"
	id=$(book '1 second')
	becomes "$id" executed
	wait_for 5 caught_up
	old=$PRIMARY
	on "$old" 'ALTER SYSTEM SET default_transaction_read_only = on'
	on "$old" 'SELECT pg_reload_conf()' >/dev/null
	promote

	# The listener asks by itself, the others with what they do next.
	wait_for 10 logged listener 'the server has become read-only'
	mapfile -t ids < <(book_all 8 '2 seconds')
	wait_for 20 count_is 0 "task_status <> 'executed'"
	keys_are '8 1 1' "${ids[@]}"
	[[ $(on "$old" "SELECT count(*) FROM pg_stat_activity
	    WHERE application_name = 'followup-listener'") == 0 ]]
}
