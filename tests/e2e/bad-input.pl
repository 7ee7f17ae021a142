#!/usr/bin/perl
#
# bad-input.pl SECTION...: send the requests of these sections of
# bad-input.table to every endpoint that a row names: through nginx, and as
# FastCGI records to the sockets of the programs themselves.  After each one
# the endpoint must answer a good request as ever, and the workers must be
# those that were there before.
#
# Prints what is not so, and how many requests were sent; exits 1 if anything
# is not so.  Of the environment it needs LOCAL_URL, PUBLIC_URL and
# LOCAL_SOCKET, as tests/stack prints them, SCHEDULE_PID and EXECUTE_PID, the
# main processes, and BAD_NAME for each <NAME> in the table.

use strict;
use warnings;

use File::Basename qw(dirname);
use IO::Socket::INET;
use IO::Socket::UNIX;
use Socket qw(SOL_SOCKET SO_RCVTIMEO SO_SNDTIMEO SHUT_WR);

# Nothing here takes that long, in seconds, but a machine may be busy.
use constant PATIENCE => 30;

# What a caller without a token is not told.
my %SECRET = map { $_ => 1 } qw(not-json invalid not-a-uuid media-type);

my $UUID = qr/[0-9a-f]{8}-[0-9a-f-]{27}/;
my %WAYS = (n => 'nginx', f => 'FastCGI');
my %PIDS = (schedule => $ENV{SCHEDULE_PID}, execute => $ENV{EXECUTE_PID});
my %URLS = (schedule => $ENV{LOCAL_URL}, execute => $ENV{PUBLIC_URL});

#
# The table
#

# <NAME> is the value of BAD_NAME, <path> and <method> are the endpoint's,
# <text*n> is as many repetitions; and there are \r \n \t \0 \\ and \xHH.
sub expand {
	my ($text, $r) = @_;
	my %escape = (r => "\r", n => "\n", t => "\t", 0 => "\0",
	    '\\' => '\\');

	$text =~ s/<(path|method)>/$$r{$1}/g if defined($r);
	$text =~ s/<([A-Z]+)>/$ENV{"BAD_$1"} \/\/ die("BAD_$1 is not set\n")/ge;
	$text =~ s/<([^<>]+)\*(\d+)>/$1 x $2/ge;
	$text =~ s/\\(?:x([0-9a-f]{2})|(.))/
	    defined($1) ? chr(hex($1)) : $escape{$2}/gexs;
	return ($text);
}

# Read the table: the endpoints, and the rows of the sections in ${wanted}.
sub read_table {
	my ($wanted) = @_;
	my (@endpoints, @rows, %seen);
	my $section = '';

	open(my $file, '<', dirname($0) . '/bad-input.table') or die($!);
	while (my $line = <$file>) {
		chomp($line);
		next if $line =~ /^#|^$/;
		if ($line =~ /^\[(.*)\]$/) {
			$section = $1;
			$seen{$section} = 1;
		} elsif ($section eq 'endpoints') {
			my %e;
			@e{qw(name classes program allow good method path body)} =
			    split(' ',
			    $line, 8);
			$e{path} = expand($e{path});
			$e{allow} =~ s/,/, /g;
			$e{body} = defined($e{body}) ? expand($e{body}) : '';
			push(@endpoints, \%e);
		} elsif ($$wanted{$section}) {
			$line =~ /^(nf?|f) (\S+) (good|closed|\d{3} \S+) (.+)$/
			    or die("bad-input.table: $line\n");
			push(@rows, { ways => $1, to => $2, answer => $3,
			    change => $4 });
		}
	}
	for (keys(%$wanted)) {
		die("bad-input.table has no section $_\n") unless $seen{$_};
	}
	return (\@endpoints, \@rows);
}

# Does the row's list of endpoints and classes have this endpoint?
sub concerns {
	my ($row, $endpoint) = @_;
	my %is = map { $_ => 1 } 'all', $$endpoint{name},
	    split(/,/, $$endpoint{classes});
	my ($yes, $no) = split(/!/, $$row{to});

	return ((grep { $is{$_} } split(/,/, $yes)) &&
	    !(grep { $is{$_} } split(/,/, $no // '')));
}

#
# Requests
#

sub good_request {
	my ($endpoint) = @_;
	my %r = (method => $$endpoint{method}, path => $$endpoint{path},
	    body => $$endpoint{body}, headers => [], params => [],
	    records => [qw(begin params end-params stdin end-stdin)]);

	$r{type} = 'application/json' if $r{body} ne '';
	$r{length} = length($r{body}) if $r{body} ne '';
	$r{token} = $ENV{BAD_TOKEN} if $$endpoint{classes} =~ /token/;
	return (\%r);
}

# The endpoint's good request, changed as the row says.
sub bad_request {
	my ($endpoint, $row) = @_;
	my $r = good_request($endpoint);

	for my $change (split(/ ;; /, $$row{change})) {
		my ($what, $value) = split(' ', $change, 2);
		$value = expand($value // '', $endpoint)
		    unless $what eq 'records';
		if ($what eq 'id') {
			$$r{path} =~ s/$UUID/$value/;
		} elsif ($what eq 'upper') {
			$$r{$_} =~ s/($UUID)/\U$1/ for qw(path body);
		} elsif ($what eq 'body') {
			$$r{body} = $value;
			$$r{length} = length($value);
			$$r{type} //= 'application/json';
		} elsif ($what eq 'records') {
			# Words first: an escape may stand for a blank.
			$$r{records} = [map { expand($_) } split(' ', $value)];
		} elsif ($what eq 'lie') {
			$$r{length} = length($$r{body}) + $value;
		} elsif ($what eq 'in-chunks') {
			$$r{chunked} = join('', map { sprintf("%x\r\n%s\r\n",
			    length($_), $_) } unpack("(a$value)*", $$r{body}),
			    '');
		} elsif ($what eq 'header' || $what eq 'param') {
			push(@{$$r{"${what}s"}}, $value);
		} elsif ($what eq 'without') {
			$$r{without}{$value} = 1;
		} else {
			# method path query type length trailing line raw
			# chunked close
			$$r{$what} = $value;
		}
	}
	return ($r);
}

# The bytes of a request over HTTP.
sub http_bytes {
	my ($r) = @_;
	my $target = $$r{path} .
	    (defined($$r{query}) ? "?$$r{query}" : '');
	my @lines = ($$r{line} // "$$r{method} $target HTTP/1.1");
	my $body = $$r{body} . ($$r{trailing} // '');

	return ($$r{raw}) if defined($$r{raw});
	push(@lines, 'Host: localhost') unless $$r{without}{Host};
	push(@lines, 'Connection: close');
	push(@lines, "Authorization: Bearer $$r{token}") if $$r{token};
	push(@lines, "Content-Type: $$r{type}")
	    if defined($$r{type}) && $$r{type} ne '-';
	if (defined($$r{chunked})) {
		push(@lines, 'Transfer-Encoding: chunked');
		$body = $$r{chunked};
	} elsif (defined($$r{length}) && $$r{length} ne '-') {
		push(@lines, "Content-Length: $$r{length}");
	}
	return (join("\r\n", @lines, @{$$r{headers}}) . "\r\n\r\n$body");
}

# A FastCGI record; ${o} has what is to be odd about it.
sub record {
	my ($type, $content, $o) = @_;
	my $bytes;

	$content = $$o{bytes} if defined($$o{bytes});
	$bytes = pack('CCnnCC', $$o{version} // 1, $$o{type} // $type,
	    $$o{id} // 1, $$o{size} // length($content), $$o{pad} // 0, 0) .
	    $content . "\0" x ($$o{pad} // 0);
	return (substr($bytes, 0, $$o{cut} // length($bytes)));
}

# Name-value pairs of FastCGI.
sub pairs {
	my $bytes = '';

	while (@_) {
		my ($name, $value) = splice(@_, 0, 2);
		$bytes .= pack($_ < 128 ? 'C' : 'N',
		    $_ < 128 ? $_ : $_ | 0x80000000)
		    for length($name), length($value);
		$bytes .= $name . $value;
	}
	return ($bytes);
}

# What nginx would say of the request.
sub params {
	my ($r) = @_;
	my $target = $$r{path} .
	    (defined($$r{query}) ? "?$$r{query}" : '');
	my @pairs = (REQUEST_METHOD => $$r{method}, REQUEST_URI => $target,
	    SCRIPT_NAME => $$r{path}, DOCUMENT_URI => $$r{path},
	    QUERY_STRING => $$r{query} // '',
	    CONTENT_TYPE => $$r{type} // '', CONTENT_LENGTH => $$r{length} // '',
	    SERVER_PROTOCOL => 'HTTP/1.1', REMOTE_ADDR => '127.0.0.1',
	    REQUEST_ID => '0123456789abcdef0123456789abcdef');
	my $bytes = '';

	push(@pairs, HTTP_AUTHORIZATION => "Bearer $$r{token}") if $$r{token};
	# The first of two with a name is the one that counts.
	unshift(@pairs, split(/=/, $_, 2)) for @{$$r{params}};
	while (@pairs) {
		my @pair = splice(@pairs, 0, 2);
		$bytes .= pairs(@pair) unless $$r{without}{$pair[0]};
	}
	return ($bytes);
}

# A stream of FastCGI in as many records as it takes.
sub stream {
	my ($type, $content, $o) = @_;
	my $bytes = '';

	do {
		$bytes .= record($type, substr($content, 0, 65535, ''), $o);
	} while ($content ne '');
	return ($bytes);
}

# The bytes of a request to a program.
sub fcgi_bytes {
	my ($r) = @_;
	my $bytes = '';

	for my $word (@{$$r{records}}) {
		my ($what, $odd) = $word =~ /^([a-z-]+)(?:\((.*)\))?$/s
		    or die("no such record: $word\n");
		my %o = map { split(/=/, $_, 2) } grep { /=/ }
		    split(/,/, $odd // '');
		if ($what eq 'begin') {
			$bytes .= record(1, pack('nCx5', $o{role} // 1,
			    $o{flags} // 0), \%o);
		} elsif ($what eq 'abort') {
			$bytes .= record(2, '', \%o);
		} elsif ($what eq 'params') {
			$bytes .= stream(4, params($r), \%o);
		} elsif ($what eq 'end-params') {
			$bytes .= record(4, '', \%o);
		} elsif ($what eq 'stdin') {
			$bytes .= stream(5, $$r{body} .
			    ($$r{trailing} // ''), \%o)
			    if $$r{body} ne '' || %o;
		} elsif ($what eq 'end-stdin') {
			$bytes .= record(5, '', \%o);
		} elsif ($what eq 'values') {
			$bytes .= record(9, pairs(map { ($_, '') }
			    ('FCGI_MAX_CONNS') x ($o{times} // 1)),
			    { id => 0, %o });
		} elsif ($what eq 'bytes') {
			$bytes .= $odd;
		} else {
			die("no such record: $word\n");
		}
	}
	return ($bytes);
}

#
# Answers
#

sub dial {
	my ($way, $program) = @_;
	my $socket;

	if ($way eq 'f') {
		$socket = IO::Socket::UNIX->new(
		    dirname($ENV{LOCAL_SOCKET}) . "/$program.sock");
	} else {
		$socket = IO::Socket::INET->new($URLS{$program} =~ s,.*/,,r);
	}
	die("$program does not listen: $!\n") unless $socket;
	setsockopt($socket, SOL_SOCKET, $_, pack('l!l!', PATIENCE, 0))
	    for SO_RCVTIMEO, SO_SNDTIMEO;
	return ($socket);
}

# Has all of an answer come?  nginx then waits for what was announced to it.
sub complete {
	my ($answer) = @_;
	my ($head, $body) = split(/\r\n\r\n/, $answer, 2);

	return (0) unless defined($body) && $head =~ m,^HTTP/\S+ [2-5],;
	return ($body =~ /^0\r\n\r\n\z/m)
	    if $head =~ /^Transfer-Encoding: chunked/im;
	return ($head =~ /^Content-Length: (\d+)/im && length($body) >= $1);
}

# Send, and return what comes back until the connection is closed; nothing
# where we close it ourselves.
sub exchange {
	my ($way, $program, $bytes, $close) = @_;
	my $socket = dial($way, $program);
	my ($answer, $n) = ('');

	# It is the other side's right to close before it has heard all.
	while ($bytes ne '' && ($n = syswrite($socket, $bytes))) {
		substr($bytes, 0, $n, '');
	}
	return ('') if defined($close) && $close eq '';
	shutdown($socket, SHUT_WR) if defined($close);
	while (!complete($answer) &&
	    ($n = sysread($socket, $answer, 65536, length($answer)))) {
	}
	die("no answer\n") if !defined($n) && $!{EAGAIN};
	return ($answer);
}

# The content of the standard output in an answer of FastCGI.
sub fcgi_output {
	my ($answer) = @_;
	my $out = '';

	while (length($answer) >= 8) {
		my (undef, $type, undef, $len, $pad) = unpack('CCnnC', $answer);
		$out .= substr($answer, 8, $len) if $type == 6;
		$answer = substr($answer, 8 + $len + $pad);
	}
	return ($out);
}

# Status, headers and body; nothing where there is no answer.
sub parse {
	my ($way, $answer) = @_;

	$answer = fcgi_output($answer) if $way eq 'f';
	$answer =~ s/^HTTP\S+ 100 .*?\r\n\r\n//s;
	return () unless $answer =~
	    /^(?:HTTP\S+|Status:) (\d+).*?\r\n(.*?)\r\n\r\n(.*)$/s;
	my ($status, $head, $body) = ($1, "$2\r\n", $3);
	if ($head =~ /^Transfer-Encoding: chunked/im) {
		my $rest = $body;
		$body = '';
		while ($rest =~ s/^([0-9a-f]+)\r\n//i && hex($1) > 0) {
			$body .= substr($rest, 0, hex($1), '');
			$rest =~ s/^\r\n//;
		}
	}
	return ($status, $head, $body);
}

# Return what is wrong with the answer to a method, or nothing.
sub judge {
	my ($endpoint, $r, $way, $want, @answer) = @_;
	my ($status, $head, $body) = @answer;
	my ($code, $type, $detail) = split(/[ :]/, $want);

	if ($want eq 'closed') {
		return (@answer ? "answered $status" : undef);
	}
	return ('not answered') unless @answer;
	if ($want eq 'good') {
		return (undef) if $status == $$endpoint{good} &&
		    ($$r{method} ne 'HEAD' || $body eq '');
		return ("answered $status: $body");
	}

	# Without the token there is one answer to all that a body can be.
	if ($$endpoint{name} eq 'forged' && ($SECRET{$type} ||
	    $way eq 'f' && $type eq 'too-large')) {
		($code, $type, $detail) = (401, 'unauthorized');
	}
	return ("answered $status: $body") unless $status == $code;
	return ("answered without a problem: $head")
	    unless $head =~ /^Content-Type: application\/problem\+json\r$/im;
	if ($status == 405) {
		return ("no Allow: $head") unless $head =~ /^Allow: (.*)\r$/im;
		return ("Allow: $1") unless $1 eq $$endpoint{allow} ||
		    $way eq 'n' && $1 eq 'GET, HEAD, POST, DELETE';
	}
	return (undef) if $$r{method} eq 'HEAD' && $body eq '';
	return ("answered $body") unless
	    $body =~ /^\{"type":"urn:followup-scheduler:\Q$type\E",
	    "title":"[^"]+","status":$code,"detail":"[^"].*"\}\n?$/x;
	return ("answered $body") if defined($detail) &&
	    $body !~ /"detail":".*\Q$detail\E/;
	return (undef);
}

sub workers {
	my ($pid) = @_;

	open(my $file, '<', "/proc/$pid/task/$pid/children") or
	    die("the main process $pid is gone\n");
	return (join(' ', sort(split(' ', <$file> // ''))));
}

#
# The run
#

$SIG{PIPE} = 'IGNORE';
my ($endpoints, $rows) = read_table({ map { $_ => 1 } @ARGV });
my %before = map { $_ => workers($PIDS{$_}) } keys(%PIDS);
my ($sent, $wrong) = (0, 0);

sub try {
	my ($endpoint, $way, $r, $want) = @_;
	my $bytes = $way eq 'f' ? fcgi_bytes($r) : http_bytes($r);
	my $verdict;

	eval {
		my $answer = exchange($way, $$endpoint{program}, $bytes,
		    $$r{close});
		$verdict = judge($endpoint, $r, $way, $want,
		    parse($way, $answer));
		1;
	} or $verdict = $@;
	$sent++;
	return ($verdict);
}

for my $row (@$rows) {
	my $tried = 0;
	for my $endpoint (grep { concerns($row, $_) } @$endpoints) {
		for my $way (split(//, $$row{ways})) {
			my $verdict = try($endpoint, $way,
			    bad_request($endpoint, $row), $$row{answer});
			my $after = try($endpoint, $way,
			    good_request($endpoint), 'good');
			my $now = workers($PIDS{$$endpoint{program}});
			$verdict //= "then a good request is $after"
			    if defined($after);
			$verdict //= 'a worker is lost'
			    if $now ne $before{$$endpoint{program}};
			$before{$$endpoint{program}} = $now;
			$tried++;
			next unless defined($verdict);
			$wrong++;
			printf("%s, %s, %s: %.600s\n", $$endpoint{name},
			    $WAYS{$way}, $$row{change}, $verdict =~ s/\s+$//r);
		}
	}
	die("a row concerns no endpoint: $$row{change}\n") unless $tried;
}
print("$sent requests, $wrong wrong\n");
exit($wrong > 0);
