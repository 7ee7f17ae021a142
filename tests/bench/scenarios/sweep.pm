package sweep;

# A listener that starts beside a big table with a thousand follow-ups that
# nobody announced: how long its statement runs, by PostgreSQL's own log, and
# how long until they are scheduled.  Half of the table are bookings of other
# types, which stay pending for ever, 1 in 20 is scheduled for the next four
# weeks, the rest is history; once with scheduled_at as timestamptz and once as
# timestamp, read in the zone of the row.

use strict;
use warnings;
use List::Util ();
use Process;
use Report;
use Time::HiRes qw(sleep time);

my $pending = 1000;
my $zone = 'Asia/Dubai';

sub run {
	my ($bench) = @_;
	my ($stack, $report) = ($bench->{stack}, $bench->{report});
	my $rows = $bench->{quick} ? 200_000 : 10_000_000;
	$report->table('sweep', "Sweep of a table of $rows rows, $pending " .
	    'of them pending', 'first ms', 'slowest ms', 'cut off',
	    'all scheduled s');
	$stack->sql("ALTER ROLE followup SET log_min_duration_statement = 0");
	for my $type ('timestamptz', 'timestamp') {
		make_table($stack, "bench_$type", $type, $rows);
		measure($stack, $report, "bench_$type", $type,
		    $bench->{quick} ? 0 : 70);
		$stack->sql("DROP SCHEMA bench_$type CASCADE");
	}
	$stack->sql("ALTER ROLE followup RESET log_min_duration_statement");
	$stack->stack($_, 'schedule') for qw(stop start);
}

# A schema as the application's, with our triggers and that many rows.
sub make_table {
	my ($stack, $schema, $type, $rows) = @_;
	my $table = "$schema.lead_bookings";
	my $log = ">>$stack->{work}/sweep.log 2>&1";
	{
		local %ENV = (%ENV, %{ $stack->{admin} });
		system("psql -Xq -v schema=$schema -f " .
		    "$stack->{root}/tests/schema.sql $log") == 0 or
		    die("schema.sql failed\n");
		$stack->sql("ALTER TABLE $table ALTER scheduled_at " .
		    "TYPE $type");
		system("$stack->{root}/sql/followup-trigger install " .
		    "--schema $schema --grant-to followup $log") == 0 or
		    die("followup-trigger failed\n");
	}
	my $due = $type eq 'timestamp' ? "due AT TIME ZONE '$zone'" : 'due';
	$stack->sql("ALTER TABLE $table DISABLE TRIGGER USER");
	$stack->sql("INSERT INTO $table (tenant_id, booking_type,
	    booking_source, scheduled_at, timezone, task_status, task_name,
	    task_scheduled_at, executed_at)
	    SELECT gen_random_uuid(),
	        CASE kind WHEN 'other' THEN 'meeting' ELSE 'auto_followup' END,
	        kind, $due, '$zone',
	        CASE kind WHEN 'other' THEN 'pending' WHEN 'bench'
	            THEN 'pending' ELSE kind END,
	        CASE WHEN kind IN ('scheduled', 'executed')
	            THEN 'projects/p/locations/l/queues/q/tasks/' || n END,
	        CASE WHEN kind IN ('scheduled', 'executed') THEN due END,
	        CASE kind WHEN 'executed' THEN due END
	    FROM (SELECT n, CASE WHEN n <= $pending THEN 'bench'
	            WHEN n % 2 = 0 THEN 'other'
	            WHEN n % 20 = 1 THEN 'scheduled' ELSE 'executed' END
	            AS kind FROM generate_series(1, $rows) n) numbered,
	    LATERAL (SELECT date_trunc('second', now()) + CASE kind
	        WHEN 'bench' THEN interval '1 hour' + n * interval '1 s'
	        WHEN 'scheduled' THEN interval '1 hour'
	            + n % 2400000 * interval '1 s'
	        ELSE - (n % 31536000) * interval '1 s' - interval '3 days'
	        END AS due) at");
	$stack->sql("ALTER TABLE $table ENABLE TRIGGER USER");
	$stack->sql("VACUUM ANALYZE $table");
}

sub measure {
	my ($stack, $report, $schema, $type, $watch) = @_;
	$stack->task_api('/reset?latency=0');
	local $stack->{env}{POSTGRES_SCHEMA} = $schema;
	$stack->stack($_, 'schedule') for qw(stop start);
	my $log = "$stack->{dir}/log/postgres.log";
	my $before = -s $log;
	my $began = time();
	$stack->stack('start', 'listener');
	my $left = $pending;
	while ($left > 0 && time() < $began + 300) {
		sleep(0.05);
		$left = $stack->sql("SELECT count(*) FROM
		    $schema.lead_bookings WHERE task_status = 'pending'
		    AND booking_type = 'auto_followup'");
	}
	my $seconds = time() - $began;

	# Watch the sweeps that find nothing, at the interval that is shipped,
	# for longer than the minute after which they also look for overdue
	# tasks.
	sleep($watch);
	$stack->stack('stop', 'listener');
	my $text = substr(Process::slurp($log), $before);
	my ($first, @later) = statements($text);
	my $cut_off = () = $text =~
	    /followup-listener ERROR:\s+canceling statement/g;
	$report->add($type, $first, List::Util::max($first, @later),
	    $cut_off, $seconds);
	my $tasks = $stack->task_api('/stats')->{creates};
	$report->lost("sweep ($type): of $pending bookings $left are not " .
	    "scheduled, $tasks tasks were created") if $left != 0 ||
	    $tasks != $pending;
}

# How long each sweep of the listener took, in ms: parsing, planning, running.
# One that was cut off by its timeout is not among them.
sub statements {
	my ($log) = @_;
	my ($sum, @times) = 0;
	while ($log =~ /followup-listener\ LOG:\s+duration:\ ([\d.]+)\ ms\s+
	    (\w+).*:\ .*\bscheduled_at\b/gx) {
		$sum += $1;
		next unless $2 eq 'execute' || $2 eq 'statement';
		push(@times, $sum);
		$sum = 0;
	}
	return @times;
}

1;
