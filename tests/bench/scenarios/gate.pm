package gate;

# What it costs to ask followup_gate about each booking of a burst: where
# nothing is set, where calling hours are, and where the deployment has put a
# gate in the place of ours that lets everybody be called.

use strict;
use warnings;
use Report;

my $n = 10_000;
my $settings = 'lad_dev.followup_settings';
my $function = 'lad_dev.followup_gate';
my %hours = (
	begin => "INSERT INTO $settings (name, value)
	    VALUES ('calling_hours', 'mon-sun 00:00-24:00')",
	end => "DELETE FROM $settings WHERE name = 'calling_hours'",
);

sub run {
	my ($bench) = @_;
	my ($stack, $report) = ($bench->{stack}, $bench->{report});
	$report->table('gate', "Burst of $n, by what the gate has to say",
	    'PostgreSQL ms/booking', 'bookings/s');
	my %always = (
		begin => "CREATE TEMP TABLE gate AS SELECT pg_get_functiondef(
		    '$function(lad_dev.lead_bookings)'::regprocedure)
		    AS source;
		    CREATE OR REPLACE FUNCTION $function(
		    booking lad_dev.lead_bookings, OUT verdict text,
		    OUT until timestamptz, OUT reason text)
		    LANGUAGE plpgsql STABLE
		    AS 'BEGIN verdict := ''call''; END'",
		end => 'DO $$BEGIN EXECUTE (SELECT source FROM gate);
		    DROP TABLE gate; END$$',
	);
	my @turns = (['nothing is set', {}], ['calling hours are set', \%hours],
	    ['one that always says "call"', \%always]);
	$bench->rounds(\@turns, sub {
		my ($name, $sql) = @{ $_[0] };
		$stack->sql($sql->{begin}) if $sql->{begin};
		measure($bench, $name);
		$stack->sql($sql->{end}) if $sql->{end};
	});
}

sub measure {
	my ($bench, $name) = @_;
	my $report = $bench->{report};
	my $contender = Contender->ours($bench->{stack});
	$contender->start(0);

	# A single short burst would mostly measure noise: repeat it.
	my @sum = (0, 0, 0);
	my $repeat = 4;
	for (1 .. $repeat) {
		my @burst = $contender->burst($n) or last;
		$sum[$_] += $burst[$_] for 0 .. 2;
	}
	$report->add($name, $sum[2] * 1000 / ($n * $repeat),
	    $n * $repeat / $sum[0]);
	my $losses = $contender->losses();
	$report->lost("burst of $n, $name: $losses") if $losses;
	$contender->stop();
}

sub targets {
	my ($bench) = @_;
	my $report = $bench->{report};
	my ($open, $hours, $always) = map { $report->get('gate', $_,
	    'PostgreSQL ms/booking') } 'nothing is set',
	    'calling hours are set', 'one that always says "call"';
	$report->target('gate with nothing set: times PostgreSQL, ' .
	    'of one that always says "call"', Report::ratio($open, $always),
	    '<=', 1);
	$report->target('gate with calling hours: times PostgreSQL, ' .
	    'of one that always says "call"', Report::ratio($hours, $always),
	    '<=', 1.1);
}

1;
