# The plan of a chaos run, all of it made before the run from one seed:
#
#   awk -v seed=N -v bookings=N -v span=MS -v faults=N -v writers=N
#       -v clocks=1 -v load=FILE -v trouble=FILE -f plan.awk
#
# ${load}     writer, at, operation, booking, due, type, tenant, lead
# ${trouble}  lane, at, lasts, kind, target
#
# Tab-separated and not in order; times are milliseconds from the start of the
# load.  Clocks go wrong only with clocks=1.  The same seed gives the same files
# with every awk.

# Random numbers of our own: rand() differs from awk to awk.
function random() {
	state = state * 16807 % 2147483647
	return state / 2147483647
}
function between(low, high) { return int(low + random() * (high - low + 1)) }
function hex(digits, text) {
	while (length(text) < digits)
		text = text sprintf("%x", between(0, 15))
	return text
}
function uuid() {
	return hex(8) "-" hex(4) "-4" hex(3) "-8" hex(3) "-" hex(12)
}
function earlier(a, b) { return a < b ? a : b }

function operation(at, what, due) {
	printf("%d\t%d\t%s\t%s\t%s\t%s\t%s\t%s\n", writer, at, what, id, due,
	    type, tenant, lead) >load
}

# Move the booking, between ${from} and when it is due; sets ${at} and ${due}.
function move(from) {
	at = between(from, due)
	due = between(at + 300, earlier(at + 20000, span + 300))
	operation(at, "move", due)
}

function plan_booking(i, dice) {
	id = uuid()
	writer = i % writers
	type = types[between(1, ntypes)]
	i = between(1, nleads)
	tenant = tenants[i]
	lead = leads[i]

	# Some are told of at the last moment, some too late.
	due = between(1000, span)
	at = due - between(200, earlier(due, 25000))
	if (at < 0)
		at = 0
	dice = random()
	if (dice < 0.02) {
		operation(at, "insert", at - between(1, 5000))
		return
	}
	# Later than call_within always lets through (4 h), or sometimes (1 m).
	if (dice < 0.025) {
		operation(at, "insert", at - (dice < 0.0225 ? 6 : 2) * 3600000)
		return
	}
	if (dice < 0.04)
		type = "meeting"
	operation(at, "insert", due)
	if (dice < 0.70)
		return

	# What is planned for after the due time finds itself too late.
	at++
	if (dice < 0.80)
		move(at)
	else if (dice < 0.84) {
		move(at)
		move(at + 1)
	} else if (dice < 0.89)
		operation(between(at, due), "cancel", "\\N")
	else if (dice < 0.93)
		operation(between(at, due), "hide", "\\N")
	else if (dice < 0.97)
		operation(between(at, due), "delete", "\\N")
	else {
		move(at)
		operation(between(at + 1, due), "cancel", "\\N")
	}
}

# In one lane, one fault follows the other, in random order and at random times:
# ${faults} of each kind in ${list}, for ${most} at the longest, and an outage
# of a quarter of the time.
function plan_lane(lane, list, most, n, kind, i, j, t, k, start, lasts) {
	n = split(list, kind, " ")
	for (i = n; i < n * faults; i++)
		kind[i + 1] = kind[i - n + 1]
	n *= faults
	if (lane == "voice-agent")
		kind[++n] = "outage"
	for (i = n; i > 1; i--) {
		j = between(1, i)
		t = kind[i]
		kind[i] = kind[j]
		kind[j] = t
	}
	for (i = 1; i <= n; i++) {
		start[i] = between(500, span - 500)
		for (j = i; j > 1 && start[j] < start[j - 1]; j--) {
			t = start[j]
			start[j] = start[j - 1]
			start[j - 1] = t
		}
	}
	start[n + 1] = span + 1000
	for (i = 1; i <= n; i++) {
		k = int((start[i + 1] - start[i]) * 0.7)
		lasts = between(100, earlier(k > 100 ? k : 100, most))
		if (kind[i] == "outage")
			lasts = int(span / 4)
		printf("%s\t%d\t%d\t%s\t%s\n", lane, start[i], lasts,
		    kind[i], lane) >trouble
	}
}

BEGIN {
	state = seed % 2147483646 + 1
	for (i = 0; i < 10; i++)
		random()
	ntypes = split("follow_up follow-up auto-follow-up followup " \
	    "auto_follow_up auto_followup manual_followup " \
	    "manual_follow_up scheduled_call FOLLOW_UP", types, " ")
	nleads = split("b1111111-1111-4111-8111-111111111111 " \
	    "b1111111-1111-4111-8111-222222222222 " \
	    "b2222222-2222-4222-8222-222222222222", leads, " ")
	split("11111111-1111-4111-8111-111111111111 " \
	    "11111111-1111-4111-8111-111111111111 " \
	    "22222222-2222-4222-8222-222222222222", tenants, " ")

	for (b = 0; b < bookings; b++)
		plan_booking(b)
	clock = clocks ? " clock" : ""
	plan_lane("listener", "kill restart freeze disconnect" clock, 5000)
	plan_lane("schedule", "kill restart freeze disconnect worker cut" clock,
	    5000)
	plan_lane("execute", "kill restart freeze disconnect worker cut" clock,
	    5000)
	plan_lane("nginx", "kill restart freeze cut", 5000)
	plan_lane("postgres", "kill restart freeze worker cut readonly " \
	    "failover hang" clock, 5000)
	plan_lane("emulator", "kill restart freeze cut errors slow reset" clock,
	    5000)
	plan_lane("voice-agent", "cut errors slow reset", 5000)
	plan_lane("application", "alter stale bulk", 5000)
	plan_lane("pauses", "all until tenant tenant-until except", 8000)
	plan_lane("settings", "hours within", 20000)
}
