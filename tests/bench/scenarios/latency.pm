package latency;

# Single inserts at a steady rate (an open loop): how long from when a row
# should have been sent until it was scheduled.

use strict;
use warnings;
use Plot;
use Report;

sub run {
	my ($bench) = @_;
	my $report = $bench->{report};
	my %seconds = $bench->{quick} ? (1 => 5, 100 => 4, 1000 => 4) :
	    (1 => 30, 100 => 20, 1000 => 20);
	for my $rate (1, 100, 1000) {
		$report->table("latency $rate",
		    "INSERT to scheduled at $rate/s, in ms",
		    'p50', 'p99', 'max', 'inserted late');
		$bench->rounds([$bench->contenders(0)], sub {
			my ($contender) = @_;
			measure($bench, $contender, $rate, $seconds{$rate});
		});
	}
}

sub measure {
	my ($bench, $contender, $rate, $seconds) = @_;
	my ($stack, $report) = ($bench->{stack}, $bench->{report});
	$contender->start(0);
	my ($sent, $late);
	{
		local %ENV = (%ENV, %{ $stack->{admin} });
		($sent, $late) = `$stack->{build}/bench/inserter \\
		    $contender->{table} $rate $seconds` =~
		    /sent (\d+) late (\d+)/ or die("inserter failed\n");
	}
	$contender->{rows} += $sent;
	$contender->wait(60);
	$report->add($contender->{name}, split(/\|/, $stack->sql("SELECT
	    percentile_disc(0.5) WITHIN GROUP (ORDER BY ms),
	    percentile_disc(0.99) WITHIN GROUP (ORDER BY ms), max(ms)
	    FROM (SELECT extract(epoch FROM pg_xact_commit_timestamp(xmin))
	        * 1000 - notes::numeric / 1000 AS ms
	        FROM $contender->{table} WHERE notes IS NOT NULL) t")), $late);
	my $losses = $contender->losses();
	$report->lost("inserts at $rate/s: $losses") if $losses;
	$contender->stop();
}

sub targets {
	my ($bench) = @_;
	my $report = $bench->{report};
	$report->target('one insert a second: p50, times floor', Report::ratio(
	    $report->get('latency 1', 'ours', 'p50'),
	    $bench->best_floor('latency 1', 'p50')), '<=', 1.5);
	my $p99 = $report->get('latency 100', 'ours', 'p99');
	$report->target('100/s: p99, times floor', Report::ratio($p99,
	    $bench->best_floor('latency 100', 'p99')), '<=', 2);
	$report->target('100/s: p99, ms', $p99, '<=', 10);
	$report->target('1000/s: p99, ms',
	    $report->get('latency 1000', 'ours', 'p99'), '<=', 50);
}

sub plots {
	my ($bench) = @_;
	my @groups;
	for my $rate (1, 100, 1000) {
		push(@groups, ["$rate/s, $_", $bench->side_by_side(
		    "latency $rate", $_)]) for 'p50', 'p99';
	}
	Plot::bars("$bench->{build}/bench/latency",
	    'From INSERT to scheduled, in ms', ['ours', 'C floor', 'Node'],
	    \@groups, log => 1);
}

1;
