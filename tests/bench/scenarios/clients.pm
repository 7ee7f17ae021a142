package clients;

# What our triggers cost an application: transactions a second of clients that
# insert one row each, with and without them.  The columns and the index are
# there in both.  The daemons do not run, but somebody listens.

use strict;
use warnings;
use Plot;
use Process;
use Report;

my $table = 'lad_dev.lead_bookings';
my @types = (['follow-ups', 'auto_followup'], ['other types', 'meeting']);

sub run {
	my ($bench) = @_;
	my ($stack, $report) = ($bench->{stack}, $bench->{report});
	my $seconds = $bench->{quick} ? 1 : 3;
	$stack->stack('stop', $_) for qw(execute schedule nginx);
	for my $fsync ('on', 'off') {
		$stack->restart_database($fsync);
		my $listener = listen_meanwhile($stack);
		$report->table("clients $fsync",
		    "Inserting clients, fsync $fsync, transactions/s",
		    'with triggers', 'without', 'ratio');
		my @turn = ('ENABLE', 'DISABLE');
		for (1 .. $bench->{rounds}) {
			for my $type (@types) {
				measure($bench, $type, $_, $seconds, @turn)
				    for 1, 8, 32;
			}
			@turn = reverse(@turn);
		}
		Process::stop($listener);
	}
	$stack->stack('start', $_) for qw(nginx schedule execute);
}

# Read notifications as followup-listener does, so that PostgreSQL has somebody
# to wake up.
sub listen_meanwhile {
	my ($stack) = @_;
	return Process::start({ env => $stack->{admin},
	    log => "$stack->{work}/listen.log" }, 'sh', '-c', <<~'EOT');
	{
		echo 'LISTEN booking_followup_created;'
		while echo 'SELECT;'; do sleep 0.1; done
	} | psql -Xq >/dev/null
	EOT
}

sub measure {
	my ($bench, $type, $clients, $seconds, @turn) = @_;
	my ($stack, $report) = ($bench->{stack}, $bench->{report});
	my ($name, $booking_type) = @$type;
	my %tps;
	for my $triggers (@turn) {
		$stack->empty($table);
		$stack->sql("ALTER TABLE $table $triggers TRIGGER USER");
		$tps{$triggers} = pgbench($stack, $booking_type, $clients,
		    $seconds);
	}
	$stack->sql("ALTER TABLE $table ENABLE TRIGGER USER");
	$report->add("$name, $clients", $tps{ENABLE}, $tps{DISABLE},
	    Report::ratio($tps{ENABLE}, $tps{DISABLE}));
}

sub pgbench {
	my ($stack, $type, $clients, $seconds) = @_;
	my $script = "$stack->{work}/insert.sql";
	open(my $file, '>', $script) or die("$script: $!\n");
	print($file $stack->insert_sql($table, 1, type => $type), ";\n");
	close($file);
	local %ENV = (%ENV, %{ $stack->{admin} });
	my ($pgbench) = sort { $b cmp $a }
	    glob('/usr/lib/postgresql/*/bin/pgbench');
	my ($tps) = `$pgbench -n -M prepared -c $clients -j 2 -T $seconds \\
	    -f $script 2>>$stack->{work}/pgbench.log` =~ /^tps = ([\d.]+)/m;
	return $tps // die("pgbench failed: $stack->{work}/pgbench.log\n");
}

sub targets {
	my ($bench) = @_;
	my %wanted = ('on follow-ups' => 0.95, 'on other types' => 0.97,
	    'off follow-ups' => 0.65, 'off other types' => 0.85);
	for my $fsync ('on', 'off') {
		for my $type (map { $_->[0] } @types) {
			$bench->{report}->target(
			    "fsync $fsync, $type, $_ clients: of no triggers",
			    $bench->{report}->get("clients $fsync",
			    "$type, $_", 'ratio'), '>=',
			    $wanted{"$fsync $type"}) for 1, 8, 32;
		}
	}
}

sub plots {
	my ($bench) = @_;
	my @groups;
	for my $fsync ('on', 'off') {
		for my $type (map { $_->[0] } @types) {
			push(@groups, ["$type, fsync $fsync", map {
			    $bench->{report}->get("clients $fsync",
			    "$type, 8", $_) } 'with triggers', 'without']);
		}
	}
	Plot::bars("$bench->{build}/bench/clients",
	    'Transactions a second of 8 inserting clients',
	    ['with our triggers', 'without'], \@groups);
}

1;
