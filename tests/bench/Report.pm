package Report;

# The figures of a run: printed as they come, and at the end as a Markdown
# table, plots, and a line for each target.

use strict;
use warnings;

sub new {
	my ($class, $folder) = @_;
	return bless({ folder => $folder, tables => [], lost => [],
	    targets => [] }, $class);
}

sub median {
	my @sorted = sort { $a <=> $b } @_;
	my $n = @sorted or return;
	return $n % 2 ? $sorted[$n / 2] :
	    ($sorted[$n / 2 - 1] + $sorted[$n / 2]) / 2;
}

# Format a number with three significant digits.
sub number {
	my ($x) = @_;
	return '-' unless defined($x);
	return sprintf('%.0f', $x) if abs($x) >= 100 || $x == int($x);
	return sprintf('%.*f', abs($x) >= 10 ? 1 : abs($x) >= 1 ? 2 : 3, $x);
}

# Begin a table of SCENARIO with a TITLE and columns (NAME, or NAME, unit).
sub table {
	my ($self, $scenario, $title, @columns) = @_;
	push(@{ $self->{tables} }, { scenario => $scenario, title => $title,
	    columns => \@columns, rows => [], values => {} });
	print("\n$title\n");
}

# Add what a round measured in the row KEY: a value a column, undef for none.
sub add {
	my ($self, $key, @values) = @_;
	my $table = $self->{tables}[-1];
	push(@{ $table->{rows} }, $key) unless $table->{values}{$key};
	my $row = $table->{values}{$key} //= [];
	for my $i (0 .. $#values) {
		push(@{ $row->[$i] }, $values[$i]) if defined($values[$i]);
	}
	my @columns = @{ $table->{columns} };
	printf("  %-32s %s\n", $key, join('  ', map { defined($values[$_]) ?
	    "$columns[$_] " . number($values[$_]) : () } 0 .. $#columns));
	STDOUT->flush();
}

# The median of all rounds of SCENARIO in the row KEY and COLUMN, or undef.
sub get {
	my ($self, $scenario, $key, $column) = @_;
	for my $table (grep { $_->{scenario} eq $scenario }
	    @{ $self->{tables} }) {
		for my $i (0 .. $#{ $table->{columns} }) {
			return median(@{ $table->{values}{$key}[$i] // [] })
			    if $table->{columns}[$i] eq $column &&
			    $table->{values}{$key};
		}
	}
	return undef;
}

# Report what must never happen: a booking was lost or scheduled twice.
sub lost {
	my ($self, $text) = @_;
	push(@{ $self->{lost} }, $text);
	print("  NOT SO: $text\n");
}

# Report what was left out, and why.
sub note {
	my ($self, $text) = @_;
	push(@{ $self->{notes} }, $text);
	print("  $text\n");
}

# TEXT is to be at least (">=") or at most ("<=") LIMIT.
sub target {
	my ($self, $text, $value, $relation, $limit) = @_;
	push(@{ $self->{targets} }, [$text, $value, $relation, $limit]);
}

# The ratio of two figures, or undef where one of them is missing.
sub ratio {
	my ($x, $y) = @_;
	return defined($x) && defined($y) && $y > 0 ? $x / $y : undef;
}

sub markdown {
	my ($self, $heading) = @_;
	my $text = "$heading\n";
	for my $table (@{ $self->{tables} }) {
		my @columns = @{ $table->{columns} };
		$text .= "\n$table->{title}\n\n| |" .
		    join('', map { " $_ |" } @columns) . "\n|---|" .
		    '---:|' x @columns . "\n";
		for my $key (@{ $table->{rows} }) {
			$text .= "| $key |" . join('', map {
			    ' ' . spread(@{ $table->{values}{$key}[$_] // [] })
			    . ' |' } 0 .. $#columns) . "\n";
		}
	}
	$text .= "\n" . join('', map { "- $_\n" } @{ $self->{notes} // [] });
	return $text . "\n" . $self->verdicts();
}

# The median, and behind it from where to where the rounds went.
sub spread {
	my @sorted = sort { $a <=> $b } @_;
	return number(median(@_)) if @sorted < 2;
	return sprintf('%s (%s–%s)', number(median(@_)), number($sorted[0]),
	    number($sorted[-1]));
}

sub verdicts {
	my ($self) = @_;
	my $text = "| target | measured | wanted | reached |\n" .
	    "|---|---:|---:|---|\n";
	for (@{ $self->{targets} }) {
		my ($name, $value, $relation, $limit) = @$_;
		my $reached = !defined($value) ? 'not measured' :
		    ($relation eq '>=' ? $value >= $limit : $value <= $limit) ?
		    'yes' : 'NO';
		$text .= sprintf("| %s | %s | %s %s | %s |\n", $name,
		    number($value), $relation eq '>=' ? '≥' : '≤', $limit,
		    $reached);
	}
	return $text . join('', map { "\nNOT SO: $_\n" } @{ $self->{lost} });
}

1;
