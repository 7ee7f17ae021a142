package Psql;

# A session of psql that stays open.

use strict;
use warnings;
use IPC::Open2 ();

sub new {
	my ($class, %env) = @_;
	local %ENV = (%ENV, %env,
	    PGOPTIONS => '-c client_min_messages=warning');
	my $self = bless({}, $class);
	$self->{pid} = IPC::Open2::open2($self->{out}, $self->{in},
	    qw(psql -XAtq -v ON_ERROR_STOP=1));
	return $self;
}

# Run statements and return their rows, columns separated by "|".
sub run {
	my ($self, $sql) = @_;
	my ($mark, @rows) = ('--done--');
	print { $self->{in} } "$sql;\n\\echo $mark\n";
	$self->{in}->flush();
	while (defined(my $line = readline($self->{out}))) {
		chomp($line);
		return wantarray ? @rows : $rows[0] if $line eq $mark;
		push(@rows, $line);
	}
	die("the database refused: $sql\n");
}

sub DESTROY {
	my ($self) = @_;
	close($self->{in});
	local $?;
	waitpid($self->{pid}, 0);
}

1;
