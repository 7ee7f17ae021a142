package callbacks;

# The other half of the road, through the public nginx with the tokens checked,
# against the emulator and the voice agent: how many callbacks a second, and
# how late bookings are called that are due in the same second.

use strict;
use warnings;
use Contender;
use IO::Socket::INET ();
use IPC::Open2 ();
use Process;
use Report;
use Stack;
use Time::HiRes qw(sleep time);

my $table = 'lad_dev.lead_bookings';
my $queue = '/v2/projects/demo-project/locations/us-central1/queues/' .
    'follow-up-voag-calls';

sub run {
	my ($bench) = @_;
	my $stack = Stack->new($bench->{root}, $bench->{build}, emulator => 1);
	$bench->{others} = [$stack];
	$stack->up();
	throughput($bench, $stack, $bench->{quick} ? 2_000 : 5_000);
	lateness($bench, $stack, $bench->{quick} ? 1_000 : 5_000);
	$stack->down();
	$bench->{others} = [];
}

# A request to the emulator or the voice agent; returns the whole answer.
sub ask {
	my ($url, $method, $path) = @_;
	my ($address) = $url =~ m{//(.*)};
	my $socket = IO::Socket::INET->new(PeerAddr => $address) //
	    die("$url: $!\n");
	print($socket "$method $path HTTP/1.1\r\nHost: $address\r\n" .
	    "Connection: close\r\nContent-Length: 2\r\n\r\n{}");
	local $/;
	return readline($socket) // die("$url does not answer\n");
}

# Insert N bookings and wait until all are scheduled.
sub book {
	my ($stack, $n, $due) = @_;
	$stack->empty($table);
	ask($stack->{settings}{VOICE_AGENT_URL}, 'DELETE', '/calls');
	$stack->sql($stack->insert_sql($table, $n, due => $due));
	wait_until($stack, 'pending');
}

# Wait until no booking has the status.
sub wait_until {
	my ($stack, $status) = @_;
	my $until = time() + 120;
	while (left($stack, $status) > 0 && time() < $until) {
		sleep(0.1);
	}
}

sub left {
	my ($stack, $status) = @_;
	return $stack->sql("SELECT count(*) FROM $table
	    WHERE task_status = '$status'");
}

# Each booking must be executed and have exactly one call.
sub check {
	my ($bench, $stack, $n, $what) = @_;
	my $calls = ask($stack->{settings}{VOICE_AGENT_URL}, 'GET', '/calls');
	my %calls;
	$calls{$1}++ while $calls =~
	    /"idempotencyKey"\s*:\s*"followup:[^:]*:([^:]*):/g;
	my $executed = $stack->sql("SELECT count(*) FROM $table
	    WHERE booking_source = 'bench' AND task_status = 'executed'");
	my @twice = grep { $calls{$_} > 1 } keys(%calls);
	$bench->{report}->lost("$what: of $n bookings $executed are " .
	    'executed and ' . keys(%calls) . ' called, ' . @twice .
	    ' more than once') if $executed != $n || keys(%calls) != $n ||
	    @twice;
}

# The queue is paused, so that the callbacks come as fast as they are answered
# and not at the queue's pace.
sub throughput {
	my ($bench, $stack, $n) = @_;
	my $report = $bench->{report};
	my $emulator = $stack->{settings}{EMULATOR_URL};
	my ($kid) = ask($emulator, 'GET', '/oauth2/v3/certs') =~
	    /"kid"\s*:\s*"([^"]+)"/;
	my $url = "$stack->{settings}{PUBLIC_URL}/bookings";
	$report->table('callbacks', "$n callbacks, 64 in flight, through " .
	    'the public nginx', 'callbacks/s', 'p50 ms', 'p99 ms', 'max ms',
	    'CPU ms', 'PostgreSQL ms');
	ask($emulator, 'POST', "$queue:pause");
	for (1 .. $bench->{rounds}) {
		book($stack, $n, "now() + interval '2 s'");
		sleep(3);
		my @bookings = $stack->sql("SELECT id, " .
		    "split_part(task_name, '/', 8), json_build_object(" .
		    "'tenantId', tenant_id, 'bookingId', id, 'leadId', " .
		    "lead_id, 'idempotencyKey', idempotency_key, " .
		    "'scheduledAt', to_char(scheduled_at AT TIME ZONE 'UTC', " .
		    "'YYYY-MM-DD\"T\"HH24:MI:SS.MS\"Z\"')) FROM $table " .
		    "WHERE booking_source = 'bench'");
		my $ours = Contender->ours($stack);
		my @before = $ours->cpu();
		my $result = caller_run($stack, $url, $kid, @bookings);
		my @after = $ours->cpu();
		my ($seconds) = $result =~ /seconds ([\d.]+)/;
		$report->add('ours', $n / $seconds,
		    $result =~ /latency (\S+) (\S+) (\S+)/,
		    map { ($after[$_] - $before[$_]) * 1000 / $n } 0, 1);
		check($bench, $stack, $n, 'callbacks');
		ask($emulator, 'POST', "$queue:purge");
	}
	ask($emulator, 'POST', "$queue:resume");
}

sub caller_run {
	my ($stack, $url, $kid, @bookings) = @_;
	my $pid = IPC::Open2::open2(my $out, my $in,
	    "$stack->{build}/bench/caller", $url, $url,
	    "$stack->{dir}/data/emulator-key.pem", $kid);
	print($in join("\n", @bookings), "\n");
	close($in);
	local $/;
	my $result = readline($out) // '';
	waitpid($pid, 0);
	$? == 0 or die("caller failed\n");
	return $result;
}

# At the pace of the queue: 500 a second are the most that Cloud Tasks gives.
sub lateness {
	my ($bench, $stack, $n) = @_;
	my $report = $bench->{report};
	$report->table('lateness', "$n bookings due in one second, by a " .
	    'queue that dispatches 500 a second, ms from due to executed',
	    'p50', 'p99', 'max', 'max behind the queue');
	for (1 .. $bench->{rounds}) {
		book($stack, $n, "date_trunc('second', now()) + " .
		    "interval '15 s' + n * interval '1 s' / $n");
		sleep(14);
		wait_until($stack, 'scheduled');
		$report->add('ours', split(/\|/, $stack->sql("SELECT
		    percentile_disc(0.5) WITHIN GROUP (ORDER BY ms),
		    percentile_disc(0.99) WITHIN GROUP (ORDER BY ms), max(ms)
		    FROM (SELECT extract(epoch FROM
		        pg_xact_commit_timestamp(xmin) - scheduled_at) * 1000
		        AS ms FROM $table WHERE booking_source = 'bench') t")));
		check($bench, $stack, $n, 'bookings due at once');
	}
}

1;
