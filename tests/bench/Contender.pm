package Contender;

# A program that schedules bookings: ours, the bare C floor, or the Node
# service.  Only one of them runs at a time.

use strict;
use warnings;
use IO::Handle ();
use Process;
use Time::HiRes qw(sleep time);

my $path = 'v2/projects/demo-project/locations/us-central1/' .
    'queues/follow-up-voag-calls/tasks';

sub ours {
	my ($class, $stack) = @_;
	return bless({ stack => $stack, name => 'ours',
	    table => 'lad_dev.lead_bookings' }, $class);
}

# The floor with THREADS bookings in flight.
sub floor {
	my ($class, $stack, $threads) = @_;
	return $class->peer($stack, "floor $threads",
	    ["$stack->{build}/bench/floor", $threads]);
}

sub node {
	my ($class, $stack, %env) = @_;
	return $class->peer($stack, 'node',
	    ['node', "$stack->{build}/bench/node/scheduler.js"], %env);
}

sub peer {
	my ($class, $stack, $name, $command, %env) = @_;
	push(@$command, 'bench.bookings', 'bench',
	    "http://127.0.0.1:$stack->{port}/$path",
	    'http://127.0.0.1:1/bookings');
	return bless({ stack => $stack, name => $name, command => $command,
	    table => 'bench.bookings',
	    env => { %{ $stack->{admin} }, PGUSER => 'followup', %env } },
	    $class);
}

# Start with nothing to do, and with a task API that takes LATENCY ms; ready
# when a few bookings have made it open its connections.
sub start {
	my ($self, $latency) = @_;
	my $stack = $self->{stack};
	$stack->empty($self->{table});
	$stack->task_api("/reset?latency=$latency");
	if ($self->{command}) {
		pipe(my $read, my $write) or die("pipe: $!\n");
		$self->{pid} = Process::start({ out => $write,
		    env => $self->{env}, log => "$stack->{work}/peers.log" },
		    @{ $self->{command} });
		close($write);
		defined(readline($read)) or die("$self->{name} does not " .
		    'start: ' . Process::slurp("$stack->{work}/peers.log"));
	} else {
		$stack->stack('start', 'listener');
	}
	$self->{rows} = 0;
	$self->insert(1) for 1 .. 64;
	$self->wait(30) or die("$self->{name} does not warm up\n");
}

sub stop {
	my ($self) = @_;
	if ($self->{pid}) {
		Process::stop(delete($self->{pid}));
	} else {
		$self->{stack}->stack('stop', 'listener');
	}
}

sub insert {
	my ($self, $n) = @_;
	$self->{stack}->sql($self->{stack}->insert_sql($self->{table}, $n));
	$self->{rows} += $n;
}

# Wait until all rows are scheduled.  The API is cheap to ask, so the table is
# only looked at when all tasks are there.
sub wait {
	my ($self, $seconds) = @_;
	my $until = time() + $seconds;
	while ($self->{stack}->task_api('/stats')->{tasks} < $self->{rows}) {
		return 0 if time() > $until;
		sleep(0.02);
	}
	until ($self->{stack}->sql("SELECT NOT EXISTS (SELECT FROM " .
	    "$self->{table} WHERE task_status = 'pending')") eq 't') {
		return 0 if time() > $until;
		sleep(0.02);
	}
	return 1;
}

# Check the bookings inserted since start(): each must be scheduled and have
# exactly one task.  Returns what is wrong, or an empty text.
sub losses {
	my ($self) = @_;
	my $api = $self->{stack}->task_api('/stats');
	my ($scheduled, $names) = split(/\|/, $self->{stack}->sql("SELECT
	    count(*) FILTER (WHERE task_status = 'scheduled'),
	    count(DISTINCT task_name) FROM $self->{table}
	    WHERE booking_source = 'bench'"));
	return '' if $scheduled == $self->{rows} && $names == $scheduled &&
	    $api->{creates} == $scheduled && $api->{tasks} == $scheduled;
	return "$self->{name}: of $self->{rows} bookings $scheduled are " .
	    "scheduled, by $names names; the API has $api->{tasks} tasks " .
	    "of $api->{creates} that were created";
}

# Return its processes; ours include nginx and the program for the callbacks.
sub processes {
	my ($self) = @_;
	return Process::groups($self->{pid} // map {
	    $self->{stack}->main_pid($_)
	} qw(listener schedule execute nginx));
}

sub connections {
	my ($self) = @_;
	my $ours = $self->{command} ? '' : 'NOT';
	return $self->{stack}->sql("SELECT count(*) FROM pg_stat_activity
	    WHERE usename = 'followup'
	    AND application_name $ours LIKE 'bench-%'");
}

# Return the CPU seconds used so far, its own and PostgreSQL's.
sub cpu {
	my ($self) = @_;
	return (Process::cpu($self->processes()),
	    $self->{stack}->database_cpu());
}

# A burst of N bookings in one transaction, from just before its COMMIT to the
# commit of the last row that is scheduled.  Returns the seconds, and the CPU
# seconds in that time of the contender and of PostgreSQL; or nothing where
# some are not scheduled after a long time.
sub burst {
	my ($self, $n) = @_;
	my $stack = $self->{stack};
	$stack->sql('BEGIN');
	$self->insert($n);
	my @before = $self->cpu();
	my $began = $stack->sql('SELECT clock_timestamp()');
	$stack->sql('COMMIT');

	# To look whether it is done is our own cost.
	my $looking = -$stack->session_cpu();
	$self->wait(60 + $n / 100) or return;
	my @after = $self->cpu();
	$looking += $stack->session_cpu();
	my $seconds = $stack->sql("SELECT extract(epoch FROM
	    max(pg_xact_commit_timestamp(xmin)) - '$began')
	    FROM $self->{table} WHERE booking_source = 'bench'");
	return ($seconds, $after[0] - $before[0],
	    $after[1] - $before[1] - $looking);
}

1;
