package Plot;

# Bar charts in SVG, by gnuplot.

use strict;
use warnings;

# Draw FILE.svg: a group of bars for each of GROUPS, [LABEL, VALUE...], with a
# value for each of SERIES, undef for none.  With log => 1 the scale is.
sub bars {
	my ($file, $title, $series, $groups, %option) = @_;
	my @drawn = grep { grep { defined } @$_[1 .. $#$_] } @$groups or
	    return;
	my $data = join("\n", map { join("\t", @$_) }
	    ['""', map { "\"$_\"" } @$series],
	    map { my ($label, @values) = @$_;
	    ["\"$label\"", map { $_ // '?' } @values] } @drawn);
	my $scale = $option{log} ? 'set logscale y' : 'set yrange [0:*]';
	my $n = @$series + 1;
	open(my $gnuplot, '|-', 'gnuplot') or return;
	print($gnuplot <<~"EOT");
	set terminal svg size 760,400 dynamic background 'white' font 'sans,13'
	set output '$file.svg'
	set title '$title'
	set datafile missing '?'
	set style data histogram
	set style histogram cluster gap 1
	set style fill solid border -1
	set grid ytics
	set key outside bottom horizontal
	$scale
	\$data << EOD
	$data
	EOD
	plot for [i = 2:$n] \$data using i:xtic(1) title columnheader(i)
	EOT
	close($gnuplot) or warn("gnuplot failed: $file.svg\n");
}

1;
