# shellcheck shell=bash disable=SC2034  # the tests use the variables set here
#
# What the tests of what limits an attacker share, besides lib.bash.

DAEMONS=(listener schedule execute)
declare -gA UNIT=(
	[listener]=listener/followup-listener.service
	[schedule]=cgi/schedule/followup-schedule.service
	[execute]=cgi/execute/followup-execute.service
)

# The daemons' role has this password: for stack_up, then ask_for_password.
PG_SECRET=canary-postgres-5Jq8wT2nLx7c

# ask_for_password: over TCP the role has to give it from now on.
ask_for_password() {
	local hba rules
	hba=$(sql 'SHOW hba_file')
	rules=$(cat "$hba")
	printf '%s\n' 'host all followup 127.0.0.1/32 scram-sha-256' "$rules" \
	    >"$hba"
	sql "ALTER ROLE followup PASSWORD '$PG_SECRET'"
	sql 'SELECT pg_reload_conf()'
}

# make_google_key: a service account's, as google.pem and google.json in
# ${BATS_FILE_TMPDIR}.
make_google_key() {
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

# kill_helpers: for teardown, what the test has started in HELPERS.
kill_helpers() {
	((${#HELPERS[@]} == 0)) || kill "${HELPERS[@]}" 2>/dev/null || true
}
