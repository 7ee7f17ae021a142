# shellcheck shell=bash
#
# A browser for the tests of the page: Debian's Chromium, driven over the
# WebDriver protocol by curl and jq.  axe-core, which looks for what people who
# cannot see or use a mouse run into, comes from npm where that is.

AXE_VERSION=4.10.3

# Skip the test where there is no browser.
need_browser() {
	local program
	for program in chromium chromedriver; do
		command -v "$program" >/dev/null ||
		    skip "no $program: install chromium and chromium-driver"
	done
}

# Print the path of axe.min.js, which is fetched once; fail without it.
axe_path() {
	local dir=$BUILD/axe-$AXE_VERSION
	if [[ ! -s $dir/package/axe.min.js ]]; then
		command -v npm >/dev/null || return
		mkdir -p "$dir" &&
		    (cd "$dir" && npm pack --silent "axe-core@$AXE_VERSION" \
		    >/dev/null 2>&1 && tar xzf "axe-core-$AXE_VERSION.tgz" \
		    package/axe.min.js) || return
	fi
	printf '%s\n' "$dir/package/axe.min.js"
}

# wd METHOD PATH [JSON]: ask the driver, and print the value it answers.
wd() {
	local answer rc=0
	answer=$(printf '%s' "${3:-}" | curl -s -m 30 --noproxy '*' -X "$1" \
	    -H 'Content-Type: application/json' ${3:+-d @-} \
	    "http://127.0.0.1:$DRIVER_PORT$2") || rc=$?
	[[ $rc == 0 && $answer ]] || {
		echo "chromedriver: $1 $2: no answer, curl says $rc" >&2
		return 1
	}
	jq -c 'if (.value | type) == "object" and .value.error != null
	    then .value | error("\(.error): \(.message)") else .value end' \
	    <<<"$answer"
}

driver_answers() {
	wd GET /status 2>/dev/null | jq -e .ready >/dev/null
}

# browser_up WIDTH HEIGHT [light|dark]: start the driver and a window.  A
# browser may hang while it comes up; another one is tried then.
browser_up() {
	wait_for 300 came_up "$@"
}

came_up() {
	local began=$SECONDS
	! try_browser "$@" || return 0
	echo "no browser after $((SECONDS - began)) s;" \
	    "load $(cut -d ' ' -f 1 /proc/loadavg);" \
	    "$(tail -n 1 "$BATS_TEST_TMPDIR/driver.log")" >&2
	browser_down
	return 1
}

# One that did not come up may have left its profile locked.
try_browser() {
	local profile args value
	profile=$(mktemp -d "$BATS_TEST_TMPDIR/profile.XXXXXX")
	DRIVER_PORT=$("$ROOT/tests/stack" port)
	chromedriver --port="$DRIVER_PORT" --log-level=INFO \
	    >"$BATS_TEST_TMPDIR/driver.log" 2>&1 3>&- &
	DRIVER=$!
	wait_for 20 driver_answers || return
	args='"--headless=new","--no-sandbox","--disable-gpu",
	    "--disable-quic","--no-first-run","--disable-component-update",
	    "--disable-background-networking","--disable-sync",
	    "--hide-scrollbars","--disable-dev-shm-usage"'
	value=$(wd POST /session "{\"capabilities\":{\"alwaysMatch\":{
	    \"browserName\":\"chrome\",\"goog:chromeOptions\":{
	    \"binary\":\"$(command -v chromium)\",\"args\":[$args,
	    \"--user-data-dir=$profile\"]}}}}") || return
	SESSION=$(jq -r .sessionId <<<"$value")
	size "$1" "$2" && scheme "${3:-light}"
}

# For teardown.
browser_down() {
	[[ -n ${DRIVER:-} ]] || return 0
	[[ -z ${SESSION:-} ]] || wd DELETE "/session/$SESSION" >/dev/null || true
	kill "$DRIVER" 2>/dev/null || true
	wait "$DRIVER" 2>/dev/null || true
	DRIVER='' SESSION=''
}

# cdp METHOD PARAMS: the browser's own protocol.
cdp() {
	wd POST "/session/$SESSION/goog/cdp/execute" \
	    "{\"cmd\":\"$1\",\"params\":$2}"
}

# size WIDTH HEIGHT: of what is seen, as of a phone.
size() {
	cdp Emulation.setDeviceMetricsOverride "{\"width\":$1,\"height\":$2,
	    \"deviceScaleFactor\":1,\"mobile\":false}" >/dev/null
}

# scheme light|dark
scheme() {
	cdp Emulation.setEmulatedMedia "{\"features\":[{
	    \"name\":\"prefers-color-scheme\",\"value\":\"$1\"}]}" >/dev/null
}

# visit URL
visit() {
	wd POST "/session/$SESSION/url" "{\"url\":\"$1\"}" >/dev/null
}

# js EXPRESSION: print its value, as JSON.
js() {
	wd POST "/session/$SESSION/execute/sync" \
	    "$(jq -n --arg s "return ($1)" '{script: $s, args: []}')"
}

# js_is VALUE EXPRESSION
js_is() {
	[[ $(js "$2") == "$1" ]]
}

# element SELECTOR: print its reference.
element() {
	wd POST "/session/$SESSION/element" "$(jq -n --arg v "$1" \
	    '{using: "css selector", value: $v}')" | jq -r '.[]'
}

click_once() {
	local e
	e=$(element "$1" 2>/dev/null) &&
	    wd POST "/session/$SESSION/element/$e/click" '{}' 2>/dev/null
}

# click SELECTOR: as a person does; the element must be there to be hit, and
# the page may be renewed between the look and the click.
click() {
	wait_for 10 click_once "$1"
}

# fill SELECTOR TEXT: by the keyboard.
fill() {
	local e
	e=$(element "$1") && wd POST "/session/$SESSION/element/$e/value" \
	    "$(jq -n --arg t "$2" '{text: $t}')" >/dev/null
}

# shows TEXT: the page does, anywhere.
shows() {
	js 'document.body.innerText' | grep -qF -- "$1"
}

# shot NAME: of the whole page, to BUILD/status-page/NAME.png.
shot() {
	mkdir -p "$BUILD/status-page"
	cdp Page.captureScreenshot '{"captureBeyondViewport":true}' |
	    jq -r .data | base64 -d >"$BUILD/status-page/$1.png"
}

# axe: fail with what it finds.
axe() {
	local script found
	script=$(axe_path) || return
	jq -n --rawfile axe "$script" '{script: $axe, args: []}' \
	    >"$BATS_TEST_TMPDIR/axe.json"
	curl -s -m 60 --noproxy '*' -H 'Content-Type: application/json' \
	    -d @"$BATS_TEST_TMPDIR/axe.json" \
	    "http://127.0.0.1:$DRIVER_PORT/session/$SESSION/execute/sync" \
	    >/dev/null
	found=$(wd POST "/session/$SESSION/execute/async" '{"script":
	    "axe.run().then(r => arguments[0](r.violations.map(v => [v.id, v.nodes.map(n => n.html.slice(0, 160))])))",
	    "args":[]}') || return
	[[ $found == '[]' ]] || {
		jq . <<<"$found" >&2
		return 1
	}
}
