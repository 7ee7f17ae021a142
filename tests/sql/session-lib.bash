# shellcheck shell=bash
#
# A session beside the one of the test, that keeps what it has locked.

# hold STATEMENTS: run them in a session of its own, which stays open until
# let_go.  They have been run when this returns; q is the test's psql.
hold() {
	rm -f "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
	mkfifo "$BATS_TEST_TMPDIR/in"
	q <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &
	holder=$!
	exec 7>"$BATS_TEST_TMPDIR/in"
	echo "$1; SELECT 'held';" >&7
	for _ in $(seq 1000); do
		! grep -q held "$BATS_TEST_TMPDIR/out" || return 0
		q -c 'SELECT pg_sleep(0.01)' >/dev/null
	done
	return 1
}

# End that session, and with it a transaction that is open.
let_go() {
	exec 7>&-
	wait "$holder"
}
