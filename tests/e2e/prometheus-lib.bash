# shellcheck shell=bash
#
# A Prometheus of the test's own, which scrapes the stack and evaluates our
# alerts.

need_prometheus() {
	command -v promtool prometheus >/dev/null ||
	    skip 'prometheus cannot be installed here'
}

# prometheus_up INTERVAL: start it, to scrape so often; sets PROMETHEUS (its
# process) and URL.
prometheus_up() {
	local port
	port=$("$ROOT/tests/stack" port)
	# As the README has it, for this stack.
	awk '/^<!-- file: prometheus -->/ { found = 1; next }
	    found && /^```/ { if (inside) exit; inside = 1; next }
	    inside' README.md | sed "s/127.0.0.1:8080/${LOCAL_URL#http://}/
	    s/scrape_interval: 15s/scrape_interval: $1/
	    s,/usr/local/.*/,$ROOT/cgi/schedule/prometheus/," \
	    >"$BATS_TEST_TMPDIR/prometheus.yml"
	prometheus --config.file="$BATS_TEST_TMPDIR/prometheus.yml" \
	    --storage.tsdb.path="$BATS_TEST_TMPDIR/tsdb" \
	    --enable-feature=exemplar-storage \
	    --web.listen-address="127.0.0.1:$port" \
	    >"$BATS_TEST_TMPDIR/prometheus.log" 2>&1 3>&- &
	PROMETHEUS=$!
	URL=http://127.0.0.1:$port
	wait_for 30 prometheus_is 1 'up' || {
		tail -n 5 "$BATS_TEST_TMPDIR/prometheus.log" >&2
		return 1
	}
}

# For teardown.
prometheus_down() {
	[[ -z ${PROMETHEUS:-} ]] || kill "$PROMETHEUS" || true
}

# prometheus_is VALUE QUERY: its only answer.
prometheus_is() {
	[[ $(curl -sf -m 10 --noproxy '*' --data-urlencode "query=$2" \
	    "$URL/api/v1/query" | jq -r '.data.result |
	    if length == 1 then .[0].value[1] else length end') == "$1" ]]
}

# fires SELECTOR: an alert with these labels does.
fires() {
	prometheus_is 1 "count(ALERTS{alertstate=\"firing\", $1}) > bool 0"
}
