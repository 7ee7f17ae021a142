package growth;

# Does a booking cost the same however many there are?  CPU of our programs and
# of PostgreSQL for each, in bursts of a thousand to a million.

use strict;
use warnings;
use Plot;
use Report;

my @sizes = (1_000, 10_000, 100_000, 1_000_000);

sub run {
	my ($bench) = @_;
	my $report = $bench->{report};
	$report->table('growth', 'Cost a booking, by the size of the burst',
	    'CPU ms/booking', 'ours', 'PostgreSQL', 'bookings/s');
	my $contender = Contender->ours($bench->{stack});

	# A machine gets faster and slower within minutes: a size that was
	# measured once, after another, would show that.
	my @turn = @sizes[0 .. ($bench->{quick} ? 1 : 3)];
	for (1 .. $bench->{rounds} * ($bench->{quick} ? 4 : 1)) {
		measure($report, $contender, $_) for @turn;
		@turn = reverse(@turn);
	}
}

sub measure {
	my ($report, $contender, $n) = @_;
	my ($all, @sum) = (0, 0, 0, 0);
	$contender->start(0);

	# A single short burst would mostly measure noise: repeat it.
	while ($all < 10_000) {
		my @burst = $contender->burst($n);
		if (!@burst) {
			$report->lost("burst of $n: " . $contender->losses());
			$contender->stop();
			return;
		}
		$sum[$_] += $burst[$_] for 0 .. 2;
		$all += $n;
	}
	my ($seconds, $own, $database) = map { $_ / $all } @sum;
	$report->add($n, ($own + $database) * 1000, $own * 1000,
	    $database * 1000, 1 / $seconds);
	my $losses = $contender->losses();
	$report->lost("burst of $n: $losses") if $losses;
	$contender->stop();
}

sub targets {
	my ($bench) = @_;
	my $cost = sub { $bench->{report}->get('growth', $_[0],
	    'CPU ms/booking') };
	my @costs = sort { $a <=> $b } grep { defined } map { $cost->($_) }
	    @sizes;
	$bench->{report}->target('cost a booking, 1 000 to ' .
	    ($bench->{quick} ? '10 000' : '1 000 000') . ': dearest, times ' .
	    'the cheapest', @costs < 2 ? undef : $costs[-1] / $costs[0],
	    '<=', 1.1);
}

sub plots {
	my ($bench) = @_;
	my @groups = map { my $n = $_; [$n, map { $bench->{report}->get(
	    'growth', $n, $_) } 'ours', 'PostgreSQL'] } @sizes;
	Plot::bars("$bench->{build}/bench/growth",
	    'CPU for a booking, in ms, by the size of the burst',
	    ['our programs', 'PostgreSQL'], \@groups);
}

1;
