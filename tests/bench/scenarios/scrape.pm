package scrape;

# What Prometheus and whoever is on call ask for, beside a big history: how long
# /metrics, the status page and followup-trigger status take, and which
# statements PostgreSQL runs for them.  All but a few thousand of the bookings
# are executed.  ROWS=10000000 is how many there are (quick: 200000).

use strict;
use warnings;
use HTTP::Tiny ();
use List::Util ();
use Process;
use Report;
use Stack;
use Time::HiRes qw(sleep time);

my ($times, $open, $dead) = (21, 2000, 500);
my $tenant = '11111111-1111-4111-8111-111111111111';

# How long /metrics believes what it read from the database, in seconds.
my $fresh = 10;

sub run {
	my ($bench) = @_;
	my $report = $bench->{report};
	my $rows = $ENV{ROWS} || ($bench->{quick} ? 200_000 : 10_000_000);
	my $stack = Stack->new($bench->{root}, $bench->{build}, emulator => 1);
	push(@{ $bench->{others} }, $stack);
	$stack->up();
	fill($stack, $rows);

	# Every session from now on logs the plans that it runs.
	my $before = scans($stack);
	$stack->sql("ALTER DATABASE $stack->{settings}{PGDATABASE}
	    SET session_preload_libraries = 'auto_explain';
	    ALTER DATABASE $stack->{settings}{PGDATABASE}
	    SET auto_explain.log_min_duration = 0");
	$stack->stack('start', 'schedule');
	until (get($stack, '/readyz', 1)) {
		sleep(0.1);
	}
	$report->table('scrape', "Beside $rows bookings, in ms", 'median',
	    'max');
	my $ran = measure($bench, $stack);
	my $read = scans($stack) - $before;
	show($bench, $ran);
	$report->lost("the whole table was read $read times") if $read != 0;
	$stack->down();
	pop(@{ $bench->{others} });
}

# How often a statement has read the whole table, at its top or in a function,
# once the sessions of followup-schedule have ended and told all they know.
sub scans {
	my ($stack) = @_;
	$stack->stack('stop', 'schedule');
	while ($stack->sql("SELECT count(*) FROM pg_stat_activity
	    WHERE application_name = 'followup-schedule'") > 0) {
		sleep(0.05);
	}
	return $stack->sql("SELECT seq_scan FROM pg_stat_user_tables
	    WHERE relid = 'lad_dev.lead_bookings'::regclass");
}

# The bookings: a history of a year, what waits for the next four weeks, and
# dead letters of five causes; and of some bookings what became of them.
sub fill {
	my ($stack, $rows) = @_;
	my $table = 'lad_dev.lead_bookings';
	$stack->sql("ALTER TABLE $table DISABLE TRIGGER USER");
	$stack->sql("INSERT INTO $table (tenant_id, booking_type,
	    booking_source, scheduled_at, task_status, task_name,
	    task_scheduled_at, executed_at, last_execution_error)
	    SELECT '$tenant', 'auto_followup', 'bench', due, status,
	        'projects/p/locations/l/queues/q/tasks/' || n, due,
	        CASE status WHEN 'executed' THEN due END,
	        CASE status WHEN 'failed'
	            THEN 'the voice agent answered ' || 400 + n % 5 END
	    FROM (SELECT n, CASE WHEN n <= $open THEN 'scheduled'
	            WHEN n <= $open + $dead THEN 'failed'
	            ELSE 'executed' END AS status
	        FROM generate_series(1, $rows) n) numbered,
	    LATERAL (SELECT date_trunc('second', now()) + CASE status
	        WHEN 'scheduled' THEN interval '10 min'
	            + n % 2419200 * interval '20 min'
	        ELSE - n % 31536000 * interval '1 s' - interval '1 h'
	        END AS due) at");
	$stack->sql("INSERT INTO lad_dev.followup_failures (booking_id, stage,
	    tenant_id, attempts, http_status, error, dead_at)
	    SELECT id, 'execute', tenant_id::text, 1, 422,
	    last_execution_error, scheduled_at FROM $table
	    WHERE task_status = 'failed'");
	$stack->sql("INSERT INTO lad_dev.followup_history (booking_id,
	    tenant_id, at, what, by) SELECT id, tenant_id::text, scheduled_at,
	    'called', 'followup-execute' FROM $table
	    WHERE task_status = 'executed'
	    AND extract(second FROM scheduled_at)::int % 10 = 0");
	$stack->sql("ALTER TABLE $table ENABLE TRIGGER USER");
	$stack->sql("VACUUM ANALYZE $table");
	$stack->sql('VACUUM ANALYZE lad_dev.followup_history');
	$stack->sql('SELECT pg_stat_force_next_flush()');
}

# Ask for PATH, which has to answer unless MAYBE; return the ms it took.
sub get {
	my ($stack, $path, $maybe) = @_;
	my $http = HTTP::Tiny->new(timeout => 20, keep_alive => 0);
	my $began = time();
	my $answer = $http->get("$stack->{settings}{LOCAL_URL}$path");
	return (time() - $began) * 1000 if $answer->{success};
	die("$path: $answer->{status} $answer->{content}\n") unless $maybe;
	return undef;
}

# Take the time of each; return what ran for it.
sub measure {
	my ($bench, $stack) = @_;
	my $collected = $bench->{quick} ? 3 : $times;
	my $log = "$stack->{dir}/log/postgres.log";
	my @asked = (
		['/metrics, collected', $collected, sub {
			sleep($fresh);
			get($stack, '/metrics');
		}],
		['/metrics, cached', $times, sub { get($stack, '/metrics') }],
		['/status', $times, sub { get($stack, '/status') }],
		['/status.json', $times, sub { get($stack, '/status.json') }],
		['/readyz', $times, sub { get($stack, '/readyz') }],
		['followup-trigger status', $times, sub { command($stack) }],
	);
	my @ran;
	for (@asked) {
		my ($name, $n, $code) = @$_;
		my $before = -s $log;
		my @ms = map { $code->() } 1 .. $n;
		$bench->{report}->add($name, Report::median(@ms),
		    List::Util::max(@ms));
		push(@ran, [$name, $n, statements($log, $before, $name)]);
	}
	return \@ran;
}

sub command {
	my ($stack) = @_;
	local %ENV = (%ENV, %{ $stack->{admin} });
	my $began = time();
	system("$stack->{root}/sql/followup-trigger status " .
	    ">>$stack->{work}/scrape.log 2>&1") == 0 or
	    die("followup-trigger status failed\n");
	return (time() - $began) * 1000;
}

# What followup-schedule or psql have run since BEFORE: by statement, how long
# it took each time.
sub statements {
	my ($log, $before, $name) = @_;
	my $who = $name =~ /trigger/ ? 'followup-trigger' : 'followup-schedule';
	my %ran;
	my $text = substr(Process::slurp($log), $before);
	while ($text =~ /\ \Q$who\E\ LOG:\s+duration:\ ([\d.]+)\ ms\s+
	    plan:\n((?:\t.*\n)*)/gx) {
		my ($ms, $plan) = ($1, $2);
		my ($query) = $plan =~ /Query Text: (.*?)\n\t\S[^\n]*\(cost=/s;
		next unless $query =~ /lad_dev|pg_class|pg_trigger/;
		$query =~ s/\s+/ /g;
		push(@{ $ran{$query} }, $ms);
	}
	return \%ran;
}

# Print the statements, the dearest first; leave their text in the folder of
# the results.
sub show {
	my ($bench, $ran) = @_;
	my $path = "$bench->{build}/bench/scrape-statements.txt";
	open(my $file, '>', $path) or die("$path: $!\n");
	for (@$ran) {
		my ($name, $n, $statements) = @$_;
		my %ms = map { $_ => Report::median(@{ $statements->{$_} }) }
		    keys(%$statements);
		$bench->{report}->table('scrape ' . $name,
		    "Statements of $name, asked $n times", 'ran', 'ms');
		for my $query (sort { $ms{$b} <=> $ms{$a} } keys(%ms)) {
			my $count = @{ $statements->{$query} };
			$bench->{report}->add(substr($query, 0, 90), $count,
			    $ms{$query});
			print($file "$name\t$count\t$ms{$query} ms\t$query\n");
		}
	}
	close($file);
	$bench->{report}->note("The whole statements are in $path");
}

sub targets {
	my ($bench) = @_;
	for ('/metrics, collected', '/status') {
		$bench->{report}->target("$_: median, ms",
		    $bench->{report}->get('scrape', $_, 'median'), '<=', 100);
	}
}

1;
