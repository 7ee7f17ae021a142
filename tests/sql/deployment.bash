# shellcheck shell=bash disable=SC2034,SC2154  # bats sets some, tests use some
#
# What refusals.bats and rehearsal.bats share: a bookings table as a deployment
# may have it, and what install and verify make of it.

setup() {
	trigger=$BATS_TEST_DIRNAME/../../sql/followup-trigger
	t=lad_dev.lead_bookings
	fresh
}

teardown() {
	q -c 'DROP SCHEMA IF EXISTS lad_dev CASCADE' \
	    -c 'DROP ROLE IF EXISTS test_daemon'
}

# psql without anybody's own setup.
q() {
	PGOPTIONS='-c client_min_messages=error' \
	    psql -X -q -At -v ON_ERROR_STOP=1 "$@"
}

# The schema as text, without the key that each dump has of its own.
dump() {
	# No rollback takes back what a sequence has given.
	pg_dump "$@" -n lad_dev | sed -e '/^\\\(un\)\?restrict /d' \
	    -e '/setval(.*followup_[a-z]*_id_seq/d'
}

# The table before follow-up scheduling; ${1} is what this deployment adds.
fresh() {
	q -c 'DROP SCHEMA IF EXISTS lad_dev CASCADE' \
	    -c 'CREATE SCHEMA lad_dev' \
	    -c "CREATE TABLE $t (
		id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
		tenant_id uuid, lead_id uuid,
		booking_type varchar(50) DEFAULT 'follow_up',
		scheduled_at timestamp, timezone text,
		is_deleted boolean NOT NULL DEFAULT false)" \
	    -c 'DROP ROLE IF EXISTS test_daemon' -c 'CREATE ROLE test_daemon' \
	    -c "${1:-SELECT}" >/dev/null
}

# With ${1} in place install says each of the texts that follow, and leaves
# everything as it was.
refused() {
	fresh "$1"
	dump -s >"$BATS_TEST_TMPDIR/before"
	run "$trigger" install --grant-to test_daemon
	[ "$status" -eq 1 ] || { echo "installed with: $1"; return 1; }
	local text
	for text in "${@:2}"; do
		[[ $output == *"$text"* ]] || {
			echo "no word of: $text"
			echo "$output"
			return 1
		}
	done
	dump -s | diff "$BATS_TEST_TMPDIR/before" - || {
		echo "changed, although refused: $1"
		return 1
	}
}

# With ${1} in place install works, and a booking goes through all that the
# daemons do to it; also after ${2}.
works() {
	fresh "$1"
	run "$trigger" install --grant-to test_daemon
	[ "$status" -eq 0 ] || { echo "$1: $output"; return 1; }
	[[ $output != *rehears* ]] || { echo "$1: $output"; return 1; }
	q -c "${2:-SELECT}"
	# It knows the role that was granted the rights.
	run "$trigger" verify
	if [ "$status" -ne 0 ] ||
	    [ "$(grep -c '^ok rehearsal as test_daemon: a ' <<<"$output")" -lt 6 ]
	then
		echo "$1; $2:"
		grep -e rehears -e '^not' <<<"$output"
		return 1
	fi
}

# With ${1} done after the install, verify exits 1 and has a "not ok" line with
# each of the texts that follow.
finds() {
	fresh
	"$trigger" install --grant-to test_daemon >/dev/null
	q -c "$1"
	run "$trigger" verify --grant-to test_daemon
	[ "$status" -eq 1 ] || { echo "verify is content with: $1"; return 1; }
	local text
	for text in "${@:2}"; do
		grep '^not ok' <<<"$output" | grep -qF -- "$text" || {
			echo "no 'not ok' line with: $text"
			grep '^not ok' <<<"$output"
			return 1
		}
	done
}

# SQL for a trigger of the application's: ${1} such as BEFORE UPDATE, ${2} its
# body.
audit() {
	echo "CREATE TABLE lad_dev.audit (id uuid);
	    CREATE FUNCTION lad_dev.audit() RETURNS trigger LANGUAGE plpgsql
	    SECURITY DEFINER AS \$\$BEGIN $2 END\$\$;
	    CREATE TRIGGER z_audit $1 ON $t FOR EACH ROW
	    EXECUTE FUNCTION lad_dev.audit()"
}

# All but one of the values of task_status.
states="'pending', 'scheduled', 'executed', 'cancelled'"
