#!/usr/bin/env bats
#
# Whoever looks after a part has died sees it: on the page, in /readyz and in
# the metrics that the alerts are made of.  How long each takes is printed.
#
# NOTICED_ALERTS=1 also waits for the alerts, with a Prometheus as the README
# has it: a quarter of an hour.

load lib
load prometheus-lib

setup_file() {
	stack_up FOLLOWUP_OVERDUE_GRACE=5s
}

teardown_file() {
	stack_down
}

setup() {
	stack_env
	wait_for 30 is_ok
}

teardown() {
	prometheus_down
	stack_reset
}

get() {
	curl -sf -m 5 --noproxy '*' "$LOCAL_URL$1"
}

is_ok() {
	get /status.json | jq -e '.state == "ok"'
}

# on_page CODE: the page's sentence is about CODE.
on_page() {
	get /status.json | jq -e --arg code "$1" '.code == $code'
}

in_readyz() {
	curl -s -m 5 --noproxy '*' "$LOCAL_URL/readyz" |
	    jq -e --arg code "$1" 'any(.troubles[]?; .code == $code)'
}

# in_metrics SAMPLE: this line is among them.
in_metrics() {
	get /metrics | grep -qxF "$1"
}

no_page() {
	! get /status.json && ! get /metrics
}

# seconds NAME COMMAND...: how long it took until COMMAND was true, since
# START, as the variable NAME; ${MOST} (20) at most.
seconds() {
	wait_for "${MOST:-20}" "${@:2}"
	printf -v "$1" '%s' "$(awk -v us=$((${EPOCHREALTIME/[.,]/} - START)) \
	    'BEGIN { printf "%.1f", us / 1000000 }')"
}

# noticed NAME CODE SAMPLE: after NAME was killed.
noticed() {
	local page readyz metric
	stack kill "$1"
	START=${EPOCHREALTIME/[.,]/}
	seconds page on_page "$2"
	seconds readyz in_readyz "$2"
	seconds metric in_metrics "$3"
	echo "# killed $1: page $page s, /readyz $readyz s, metric $metric s" >&3
}

@test "followup-listener is killed" {
	noticed listener listener 'followup_up{program="listener"} 0'
}

@test "followup-execute is killed" {
	noticed execute execute 'followup_up{program="execute"} 0'
}

@test "PostgreSQL is killed" {
	noticed postgres database 'followup_database_connected{program="listener"} 0'
}

@test "Cloud Tasks does not answer" {
	local readyz metric
	stack kill emulator
	START=${EPOCHREALTIME/[.,]/}
	book_many 6
	seconds metric in_metrics \
	    'followup_breaker_state{target="cloud_tasks",state="open"} 1'
	seconds readyz in_readyz cloud-tasks
	echo "# killed emulator: /readyz $readyz s, metric $metric s" >&3
}

@test "the voice agent does not answer" {
	local page readyz metric
	stack kill voice-agent
	START=${EPOCHREALTIME/[.,]/}
	book_many 6 '0 s'
	seconds metric in_metrics \
	    'followup_breaker_state{target="voice_agent",state="open"} 1'
	seconds readyz in_readyz voice-agent
	seconds page on_page voice-agent
	echo "# killed voice-agent: page $page s, /readyz $readyz s," \
	    "metric $metric s" >&3
}

@test "the local server, or followup-schedule, is killed" {
	local name page
	for name in nginx schedule; do
		stack kill "$name"
		START=${EPOCHREALTIME/[.,]/}
		seconds page no_page
		echo "# killed $name: nothing answers after $page s" >&3
		stack start "$name"
		wait_for 30 is_ok
	done
}

# watch: have Prometheus look for as long as it needs to know all series.
watch() {
	[[ -n ${NOTICED_ALERTS:-} ]] || skip 'only with NOTICED_ALERTS=1'
	need_prometheus
	MOST=600
	prometheus_up 15s
	wait_for 60 prometheus_is 3 'sum(followup_up)'
	not fires 'alertname=~".+"'
}

# alert NAME SELECTOR: how long after the kill of NAME it fires.
alert() {
	local seconds
	seconds seconds fires "$2"
	echo "# killed $1: $2 fires after $seconds s" >&3
}

kill_at_start() {
	stack kill "$1"
	START=${EPOCHREALTIME/[.,]/}
}

@test "alerts: followup-listener and followup-execute" {
	watch
	stack kill execute
	kill_at_start listener
	alert execute 'alertname="FollowupDown", program="execute"'
	alert listener 'alertname="FollowupDown", program="listener"'
}

@test "alerts: PostgreSQL" {
	watch
	kill_at_start postgres
	alert postgres 'alertname="FollowupNoListener"'
}

@test "alerts: followup-schedule" {
	watch
	kill_at_start schedule
	alert schedule 'alertname="FollowupDown"'
}

@test "alerts: nginx" {
	watch
	kill_at_start nginx
	alert nginx 'alertname="FollowupDown"'
}

@test "alerts: the voice agent, and then Cloud Tasks" {
	local agent tasks
	watch
	kill_at_start voice-agent
	agent=$START
	book_many 6 '0 s'
	wait_for 20 in_metrics \
	    'followup_breaker_state{target="voice_agent",state="open"} 1'
	kill_at_start emulator
	tasks=$START
	book_many 6
	START=$agent
	alert voice-agent \
	    'alertname="FollowupBreakerOpen", target="voice_agent"'
	START=$tasks
	alert emulator 'alertname="FollowupBreakerOpen", target="cloud_tasks"'
}
