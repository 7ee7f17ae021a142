# shellcheck shell=bash
#
# What is waited for, and what is expected of an answer.

# wait_for SECONDS COMMAND...: until COMMAND succeeds; fail after SECONDS.  It
# is asked less often the longer it takes, as asking is most of what tests do.
wait_for() {
	local end=$((${EPOCHREALTIME/[.,]/} + $1 * 1000000)) pause=20
	until "${@:2}" >/dev/null; do
		((${EPOCHREALTIME/[.,]/} < end)) || {
			echo "not within $1 seconds: ${*:2}" >&2
			return 1
		}
		sleep "0.$(printf %03d "$pause")"
		((pause = pause < 200 ? pause * 5 / 4 : 250))
	done
}

# not COMMAND...: unlike "!", it ends a test.
not() {
	! "$@"
}

# A jq that starts in 2 ms instead of 16, as the tests start it 2 500 times.
jq() {
	gojq "$@"
}

# expect STATUS [JQ-FILTER]...: of the last answer, in STATUS and BODY.  One jq
# looks at all filters; only where one of them is not so, each has its own.
expect() {
	local filter all=true
	[[ $STATUS == "$1" ]] || {
		echo "status $STATUS instead of $1: $BODY" >&2
		return 1
	}
	for filter in "${@:2}"; do
		all+=" and ($filter)"
	done
	[[ $# == 1 ]] || jq -e "$all" <<<"$BODY" >/dev/null 2>&1 || {
		for filter in "${@:2}"; do
			jq -e "$filter" <<<"$BODY" >/dev/null ||
			    echo "not $filter: $BODY" >&2
		done
		return 1
	}
}
