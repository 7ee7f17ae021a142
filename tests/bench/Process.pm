package Process;

# Starts processes, and reads from /proc what they use.

use strict;
use warnings;
use POSIX ();

# Start COMMAND as the leader of a process group, in the environment of
# $option{env}, with its output in $option{out} (a handle) or $option{log}.
sub start {
	my ($option, @command) = @_;
	my $pid = fork() // die("fork: $!\n");
	return $pid if $pid;
	POSIX::setsid();
	%ENV = (%ENV, %{ $option->{env} // {} });
	open(STDIN, '<', '/dev/null');
	open(STDERR, '>>', $option->{log}) if $option->{log};
	open(STDOUT, $option->{out} ? '>&' : '>>',
	    $option->{out} // $option->{log});
	exec { $command[0] } @command or POSIX::_exit(127);
}

# End a process group that start() made.
sub stop {
	my ($pid) = @_;
	kill('TERM', -$pid);
	waitpid($pid, 0);
}

sub slurp {
	my ($path) = @_;
	open(my $file, '<', $path) or return '';
	local $/;
	return <$file> // '';
}

# The fields of /proc/PID/stat from the state on; the name may hold anything.
sub stat_of {
	my $text = slurp("/proc/$_[0]/stat");
	$text =~ s/.*\) //s;
	return split(' ', $text);
}

# The processes whose group, or parent, is one of PIDS.
sub groups { return with_field(2, @_) }
sub children { return with_field(1, @_) }

sub with_field {
	my ($field, @wanted) = @_;
	my %wanted = map { $_ => 1 } @wanted;
	return grep { my @stat = stat_of($_);
	    @stat && $wanted{ $stat[$field] } }
	    map { m{(\d+)} } glob('/proc/[0-9]*');
}

# Seconds of CPU that the living threads of PIDS have used.
sub cpu {
	my $ns = 0;
	for my $pid (@_) {
		$ns += (split(' ', slurp($_)))[0] // 0
		    for glob("/proc/$pid/task/*/schedstat");
	}
	return $ns / 1e9;
}

# Seconds of CPU that the children of PID had used that have ended.
sub ended_cpu {
	my @stat = stat_of($_[0]);
	return ($stat[13] + $stat[14]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# Return how often the threads of PIDS have gone to sleep voluntarily.
sub wakeups {
	my $n = 0;
	for my $pid (@_) {
		$n += (slurp($_) =~ /^voluntary_ctxt_switches:\s*(\d+)/m)[0]
		    // 0 for glob("/proc/$pid/task/*/status");
	}
	return $n;
}

# Return the memory of PIDS in MiB; what several of them share counts once.
sub pss {
	my $kb = 0;
	$kb += (slurp("/proc/$_/smaps_rollup") =~ /^Pss:\s*(\d+)/m)[0] // 0
	    for @_;
	return $kb / 1024;
}

1;
