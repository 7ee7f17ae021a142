package idle;

# What it costs to wait: how often each program wakes up, its CPU, its memory
# and its connections, while nothing happens.

use strict;
use warnings;
use Process;
use Report;
use Time::HiRes qw(sleep);

sub run {
	my ($bench) = @_;
	my ($stack, $report) = ($bench->{stack}, $bench->{report});
	my $seconds = $bench->{quick} ? 6 : 60;
	$report->table('idle', "Idle for $seconds s",
	    'wake-ups/s', 'CPU %', 'PSS MiB', 'connections');
	for my $contender ($bench->contenders(0)) {
		$contender->start(0);
		my %parts = ($contender->{name} =>
		    [$contender->processes()]);
		%parts = (%parts, map { $_ =>
		    [Process::groups($stack->main_pid($_))] }
		    qw(listener schedule execute nginx))
		    unless $contender->{command};

		# Let the work that follows the last booking end first.
		sleep(2);
		my %before = map { $_ => [usage($parts{$_})] } keys(%parts);
		sleep($seconds);
		for my $part (sort(keys(%parts))) {
			my ($wakeups, $cpu) = usage($parts{$part});
			my $whole = $part eq $contender->{name};
			$report->add($part,
			    ($wakeups - $before{$part}[0]) / $seconds,
			    ($cpu - $before{$part}[1]) / $seconds * 100,
			    Process::pss(@{ $parts{$part} }),
			    $whole ? $contender->connections() : undef);
		}
		$contender->stop();
	}
}

sub usage { return (Process::wakeups(@{ $_[0] }), Process::cpu(@{ $_[0] })) }

sub targets {
	my ($bench) = @_;
	my $report = $bench->{report};
	$report->target('idle: CPU of all our processes, %',
	    $report->get('idle', 'ours', 'CPU %'), '<=', 0.1);
	$report->target('idle: PSS of all our processes, of Node\'s',
	    Report::ratio($report->get('idle', 'ours', 'PSS MiB'),
	    $report->get('idle', 'node', 'PSS MiB')), '<=', 0.25);
}

1;
