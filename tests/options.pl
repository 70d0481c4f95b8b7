#!/usr/bin/env perl
# options.pl cmd/PROG.c ...: do the options of the sources and of the manual
# pages agree?  Used by lint.sh.
#
# Sources: the string given to getopt_long(3), written there or in a #define or
# an array whose name holds "opt", and the entries { "long", ..._argument of
# the tables.  A program's parts, PROG_*.c, count too, and the files of lib
# that call getopt_long do not.  Pages: Fl of the .It lines.

use strict;
use warnings;

my $bad = 0;
my (%source, %page);

for my $path (@ARGV) {
	next unless $path =~ m{^cmd/([a-z-]+)(?:_[a-z_0-9]*)?\.c$};
	open(my $f, "<", $path) or die "$path: $!\n";
	local $/;
	$source{$1} .= <$f>;
}

for my $prog (sort keys %source) {
	my ($file) = glob("man/$prog.[18]");
	next unless defined $file && -e $file;	# another gate tells
	my (%code, %told);
	my $text = $source{$prog};

	while ($text =~ /getopt_long\s*\([^;"]*?"[+:]*([A-Za-z0-9:]*)"/g) {
		$code{"-$_"} = 1 for grep { $_ ne ":" } split //, $1;
	}
	while ($text =~ /\b\w*opt\w*(?:\[\])?\s*=?\s*"[+:]+([A-Za-z0-9:]*)"/gi) {
		$code{"-$_"} = 1 for grep { $_ ne ":" } split //, $1;
	}
	while ($text =~ /\{\s*"([a-z0-9-]+)",\s*(?:no|required|optional)_argument/g) {
		$code{"--$1"} = 1;
	}

	open(my $f, "<", $file) or die "$file: $!\n";
	while (my $line = <$f>) {
		next unless $line =~ /^\.It\b/;
		while ($line =~ /\bFl (?:(Fl )|(\\?-))?([A-Za-z0-9][A-Za-z0-9-]*)/g) {
			my ($long, $name) = ($1 || $2, $3);
			# "Fl 0L" is two letters.
			$told{$_} = 1 for $long ? "--$name" :
			    map { "-$_" } split //, $name;
		}
	}
	delete @code{qw(-h -V --help --version)};
	delete @told{qw(-h -V --help --version)};
	for my $option (sort keys %code) {
		next if $told{$option};
		print "$file does not tell of $option\n";
		$bad = 1;
	}
	for my $option (sort keys %told) {
		next if $code{$option};
		print "$file tells of $option, which $prog does not know\n";
		$bad = 1;
	}
}
exit $bad;
