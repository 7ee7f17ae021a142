package Stack;

# tests/stack for a benchmark: the whole system with the defaults that are
# shipped, a table for the contenders that are not ours, and, in the place of
# the emulator, the task API that costs next to nothing.

use strict;
use warnings;
use File::Path ();
use File::Temp ();
use IO::Socket::INET ();
use POSIX ();
use Process;
use Psql;
use Time::HiRes qw(sleep time);

my $tenant = '11111111-1111-4111-8111-111111111111';
my $lead = 'b1111111-1111-4111-8111-111111111111';

# A stack that is down.  With emulator => 1 the emulator and the voice agent
# are to take part.
sub new {
	my ($class, $root, $build, %option) = @_;
	my $work = File::Temp::tempdir('followup-bench.XXXXXX', TMPDIR => 1);
	return bless({ root => $root, build => $build, work => $work,
	    dir => "$work/stack", emulator => $option{emulator} }, $class);
}

sub up {
	my ($self) = @_;
	my ($root, $emulator) = ($self->{root}, $self->{emulator});

	# The caller's environment may be set up for real services and other
	# worker counts: we call nothing real and measure what is shipped.
	delete($ENV{$_}) for split(' ', `$root/tests/stack settings`);
	my %env = (FOLLOWUP_BUILD => $self->{build},
	    STACK_WRAPPER_postgres => "$root/tests/bench/postgres");
	if (!$emulator) {
		$self->start_task_api();
		$env{CLOUD_TASKS_EMULATOR_HOST} = "127.0.0.1:$self->{port}";
		$env{STACK_WITHOUT} = 'emulator voice-agent';
	}
	$self->{env} = \%env;
	$self->stack('up');
	$self->{up} = 1;
	for (`$root/tests/stack env $self->{dir}`) {
		$self->{settings}{$1} = $2 if /^export (\w+)='(.*)'$/;
	}
	$self->{admin} = { map { $_ => $self->{settings}{$_} }
	    qw(PGHOST PGPORT PGUSER PGDATABASE) };
	$self->connect();
	if (!$emulator) {
		# Contenders come and go; nobody else listens meanwhile.
		$self->stack('stop', 'listener');
		$self->make_peers_table();
	}
}

# Run a verb of tests/stack.
sub stack {
	my ($self, @verb) = @_;
	local %ENV = (%ENV, %{ $self->{env} });
	system("$self->{root}/tests/stack", @verb, $self->{dir}) == 0 or
	    die("tests/stack @verb failed: see $self->{dir}/log\n");
}

sub connect {
	my ($self) = @_;
	$self->{psql} = Psql->new(%{ $self->{admin} });
	$self->{session} = $self->sql('SELECT pg_backend_pid()');
}

sub sql {
	my ($self, $sql) = @_;
	return $self->{psql}->run($sql);
}

# Restart PostgreSQL with fsync "on" or "off".  The caller has stopped the
# daemons.
sub restart_database {
	my ($self, $fsync) = @_;
	delete($self->{psql});
	$self->stack('stop', 'postgres');
	$self->{env}{BENCH_FSYNC} = $fsync;
	$self->stack('start', 'postgres');
	$self->connect();
}

sub down {
	my ($self) = @_;
	delete($self->{psql});
	eval { $self->stack('down'); 1 } or warn($@) if delete($self->{up});
	Process::stop(delete($self->{task_api})) if $self->{task_api};
	if ($ENV{KEEP}) {
		print(STDERR "bench: logs: $self->{dir}/log\n");
	} else {
		File::Path::remove_tree($self->{work});
	}
}

# Make the peers' bookings table: it has the same columns, an index like ours,
# and the trigger that everybody writes.
sub make_peers_table {
	my ($self) = @_;
	$self->sql(<<~'EOT');
	CREATE SCHEMA bench;
	CREATE TABLE bench.bookings
	    (LIKE lad_dev.lead_bookings INCLUDING DEFAULTS, PRIMARY KEY (id));
	CREATE INDEX ON bench.bookings (task_status, scheduled_at, id)
	    WHERE task_status IN ('pending', 'scheduled');
	CREATE FUNCTION bench.notify() RETURNS trigger LANGUAGE plpgsql AS $$
	BEGIN
	    PERFORM pg_notify('bench', NEW.id::text);
	    RETURN NULL;
	END
	$$;
	CREATE TRIGGER notify AFTER INSERT ON bench.bookings
	    FOR EACH ROW WHEN (NEW.task_status = 'pending')
	    EXECUTE FUNCTION bench.notify();
	GRANT USAGE ON SCHEMA bench TO followup;
	GRANT SELECT, UPDATE ON bench.bookings TO followup
	EOT
}

# Empty TABLE, and fill it with a history of executed bookings as every table in
# use has one: for a table that was small when it was analyzed, PostgreSQL
# chooses plans that read all of it.
sub empty {
	my ($self, $table) = @_;
	$self->sql("TRUNCATE $table");
	$self->sql("INSERT INTO $table (tenant_id, lead_id, booking_type,
	    booking_source, scheduled_at, task_status, executed_at)
	    SELECT '$tenant', '$lead', 'auto_followup', 'history',
	    now() - n * interval '1 minute', 'executed',
	    now() - n * interval '1 minute'
	    FROM generate_series(1, 20000) n");
	$self->sql("VACUUM ANALYZE $table");
}

# The statement that inserts N bookings, due in the next days unless DUE says
# otherwise.
sub insert_sql {
	my ($self, $table, $n, %option) = @_;
	my $due = $option{due} //
	    "now() + interval '1 hour' + n % 86400 * interval '1 second'";
	my $type = $option{type} // 'auto_followup';
	return "INSERT INTO $table (tenant_id, lead_id, booking_type, " .
	    "booking_source, scheduled_at, timezone) SELECT '$tenant', " .
	    "'$lead', '$type', 'bench', $due, 'Asia/Dubai' " .
	    "FROM generate_series(1, $n) n";
}

# CPU seconds of all of PostgreSQL.
sub database_cpu {
	my ($self) = @_;
	my $main = $self->main_pid('postgres');
	return Process::ended_cpu($main) +
	    Process::cpu($main, Process::children($main));
}

# The CPU seconds of them that our own session has used.
sub session_cpu {
	my ($self) = @_;
	return Process::cpu($self->{session});
}

sub main_pid {
	my ($self, $name) = @_;
	chomp(my $pid = Process::slurp("$self->{dir}/run/$name.pid"));
	return $pid;
}

#
# The task API
#

sub start_task_api {
	my ($self) = @_;
	pipe(my $read, my $write) or die("pipe: $!\n");
	$self->{task_api} = Process::start({ out => $write,
	    log => "$self->{work}/task-api.log" },
	    "$self->{build}/bench/task-api");
	close($write);
	($self->{port}) = (readline($read) // '') =~ /^port (\d+)/ or
	    die("task-api does not start: run make bench-programs\n");
}

# Request a control path of the task API; return its counters by name.
sub task_api {
	my ($self, $path) = @_;
	my $socket = $self->{socket} //= IO::Socket::INET->new(
	    PeerAddr => "127.0.0.1:$self->{port}") // die("task-api: $!\n");
	print($socket "GET $path HTTP/1.1\r\n\r\n");
	my $answer = '';
	while ($answer !~ /\r\n\r\n.*\n\z/s) {
		sysread($socket, $answer, 4096, length($answer)) or
		    die('task-api has gone: ', waitpid($self->{task_api},
		    POSIX::WNOHANG()) > 0 ? "status $?" : "it runs; $!",
		    ', ', Process::slurp("$self->{work}/task-api.log"), "\n");
	}
	return { $answer =~ /(creates|repeats|others|tasks) (\d+)/g };
}

1;
