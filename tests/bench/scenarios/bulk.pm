package bulk;

# One INSERT of 300 000 follow-ups in one statement: how long INSERT and COMMIT
# take and how much memory the backend needs, with our triggers and without.
# No listener runs meanwhile.

use strict;
use warnings;
use Process;
use Psql;
use Report;
use Time::HiRes qw(time);

my $table = 'lad_dev.lead_bookings';

sub run {
	my ($bench) = @_;
	my ($stack, $report) = ($bench->{stack}, $bench->{report});
	$report->table('bulk', 'One INSERT of 300 000 follow-ups',
	    'INSERT s', 'COMMIT s', 'both s', 'backend MiB');
	for (1 .. $bench->{rounds}) {
		for my $triggers ('with', 'without') {
			$stack->empty($table);
			$stack->sql("ALTER TABLE $table " .
			    ($triggers eq 'with' ? 'ENABLE' : 'DISABLE') .
			    ' TRIGGER USER');
			$report->add("$triggers triggers", measure($stack));
		}
	}
	$stack->sql("ALTER TABLE $table ENABLE TRIGGER USER");
}

sub measure {
	my ($stack) = @_;
	my $session = Psql->new(%{ $stack->{admin} });
	my $pid = $session->run('SELECT pg_backend_pid()');
	my @at = (time());
	for my $sql ('BEGIN;' . $stack->insert_sql($table, 300_000),
	    'COMMIT') {
		$session->run($sql);
		push(@at, time());
	}
	my ($kb) = Process::slurp("/proc/$pid/status") =~
	    /^VmHWM:\s*(\d+)/m;
	return ($at[1] - $at[0], $at[2] - $at[1], $at[2] - $at[0],
	    $kb / 1024);
}

sub targets {
	my ($bench) = @_;
	for (['both s', 'time', 1.5], ['backend MiB', 'memory', 1.2]) {
		my ($column, $what, $limit) = @$_;
		my ($with, $without) = map { $bench->{report}->get('bulk',
		    "$_ triggers", $column) } 'with', 'without';
		$bench->{report}->target("INSERT of 300 000: times the $what",
		    Report::ratio($with, $without), '<=', $limit);
	}
}

1;
