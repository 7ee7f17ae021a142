package burst;

# Bookings inserted in one transaction while the contender is idle: how long
# from COMMIT until the last is scheduled, and what it took.

use strict;
use warnings;
use Plot;
use Report;

my @columns = ('bookings/s', 's', 'CPU ms/booking', 'PostgreSQL ms/booking',
    'PSS MiB', 'connections');

sub run {
	my ($bench) = @_;
	my $report = $bench->{report};
	my @cases = $bench->{quick} ? ([20_000, 0], [5_000, 30]) :
	    ([1, 0], [5_000, 0], [20_000, 0], [100_000, 0], [1, 30],
	    [5_000, 30], [20_000, 30]);
	for my $case (@cases) {
		my ($n, $latency) = @$case;
		my @contenders = $bench->contenders($latency);
		@contenders = grep { $_->{name} ne 'node' } @contenders
		    if $n > 20_000;
		$report->table("burst $n $latency", "Burst of $n, task API " .
		    ($latency ? "takes $latency ms" : 'answers at once'),
		    @columns);
		$bench->rounds(\@contenders, sub {
			my ($contender) = @_;
			measure($report, $contender, $n, $latency);
		});
	}
}

sub measure {
	my ($report, $contender, $n, $latency) = @_;
	$contender->start($latency);

	# One booking is too short to be measured once.
	my $repeat = $n < 100 ? 20 : 1;
	for (1 .. $repeat) {
		my ($seconds, @cpu) = $contender->burst($n);
		last unless defined($seconds);
		$report->add($contender->{name}, $n / $seconds, $seconds,
		    $n < 100 ? () : ((map { $_ * 1000 / $n } @cpu),
		    Process::pss($contender->processes()),
		    $contender->connections()));
	}
	my $losses = $contender->losses();
	$report->lost("burst of $n: $losses") if $losses;
	$contender->stop();
}

sub targets {
	my ($bench) = @_;
	my $report = $bench->{report};
	for my $n (20_000, 100_000) {
		my $rate = sub { $report->get("burst $n 0", $_[0],
		    'bookings/s') };
		my $floor = $bench->best_floor("burst $n 0", 'bookings/s');
		$report->target("burst of $n, 0 ms: times floor",
		    Report::ratio($rate->('ours'), $floor), '>=', 2);
		$report->target("burst of $n, 0 ms: times Node",
		    Report::ratio($rate->('ours'), $rate->('node')), '>=', 5)
		    if $n == 20_000;
	}
	my $rate = sub { $report->get('burst 5000 30', $_[0], 'bookings/s') };
	$report->target('burst of 5000, 30 ms: times Node, 64 in flight',
	    Report::ratio($rate->('ours'), $rate->('node')), '>=', 3);
	$report->target('burst of 5000, 30 ms: times floor, 64 in flight',
	    Report::ratio($rate->('ours'), $rate->('floor 64')), '>=', 2);
	my $memory = sub { $report->get('burst 20000 0', $_[0], 'PSS MiB') };
	$report->target('PSS of all our processes, of Node\'s',
	    Report::ratio($memory->('ours'), $memory->('node')), '<=', 0.25);
	$report->target('database connections',
	    $report->get('burst 20000 0', 'ours', 'connections'), '<=', 14);
}

sub plots {
	my ($bench) = @_;
	my @groups;
	for (['5 000, 0 ms', 'burst 5000 0'], ['20 000, 0 ms',
	    'burst 20000 0'], ['100 000, 0 ms', 'burst 100000 0'],
	    ['5 000, 30 ms', 'burst 5000 30'], ['20 000, 30 ms',
	    'burst 20000 30']) {
		my ($label, $scenario) = @$_;
		push(@groups, [$label, $bench->side_by_side($scenario,
		    'bookings/s')]);
	}
	Plot::bars("$bench->{build}/bench/burst", 'Bookings scheduled a ' .
	    'second, by the size of the burst and the latency of the API',
	    ['ours', 'C floor', 'Node'], \@groups);
}

1;
