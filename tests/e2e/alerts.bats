# The alerts fire when they should and only then, and each one leads to a page
# that says what to do.

# bats file_tags=shipped

load lib

RULES=cgi/schedule/prometheus/followup-alerts.yaml
TESTS=cgi/schedule/prometheus/followup-alerts.test.yaml

setup() {
	cd "$ROOT" || return 1
	not sanitized || skip 'the rules are the same in every build'
}

needs_promtool() {
	command -v promtool >/dev/null || skip 'promtool is not installed'
}

# The names of all alerts, each once.
alerts() { sed -n 's/^ *- alert: //p' "$RULES" | sort -u; }

@test "promtool: the rules are right, and do what their tests say" {
	needs_promtool
	promtool check rules "$RULES"
	promtool test rules "$TESTS"
}

@test "each alert is tested: one case fires, another does not" {
	[ "$(alerts | wc -l)" = 13 ]
	for alert in $(alerts); do
		cases=$(grep -A1 "^ *alertname: $alert\$" "$TESTS")
		grep -q 'exp_alerts:$' <<<"$cases" ||
		    { echo "$alert never fires"; return 1; }
		grep -q 'exp_alerts: \[\]$' <<<"$cases" ||
		    { echo "$alert is never silent"; return 1; }
	done
}

@test "each alert has a severity and a runbook in the README" {
	# As web pages name the headings.
	sed -n 's/^##* //p' README.md | tr '[:upper:] ' '[:lower:]-' |
	    tr -cd '[:alnum:]\n_-' >"$BATS_TEST_TMPDIR/anchors"
	n=$(grep -c '^ *- alert: ' "$RULES")
	[ "$(grep -cE '^ *severity: (critical|warning|info)$' "$RULES")" = "$n" ]
	for what in summary description; do
		[ "$(grep -c "^ *$what: " "$RULES")" = "$n" ]
	done
	[ "$(grep -c '^ *runbook_url: README.md#' "$RULES")" = "$n" ]
	# shellcheck disable=SC2013
	for anchor in $(sed -n 's/^ *runbook_url: README.md#//p' "$RULES"); do
		grep -qxF -- "$anchor" "$BATS_TEST_TMPDIR/anchors" ||
		    { echo "no heading $anchor"; return 1; }
	done
}
