# shellcheck shell=bash disable=SC2034,SC2154	# bats sets status, output, stderr
# queue: what tests of queues share; loaded after helpers.
#
#	as_nobody cmd ...	run as a user who owns nothing here
#	traced ...		strace, with which the leak checker cannot work
#	need_nobody		skip unless they can reach us; opens this directory
#	hold_lock number queue	hold a lock as a process would that is stopped in
#				the middle of a change; ends with stop $holder_pid
#	newer_version queue	make it one of a version nobody knows yet

as_nobody() {
	setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
}

traced() { ASAN_OPTIONS=$ASAN_OPTIONS:detect_leaks=0 strace "$@"; }

need_nobody() {
	[ "$(id -u)" -eq 0 ] || skip 'needs another user'
	chmod 755 . .. ../..
	as_nobody test -x "$DSUTILS_BIN/qdepth" -a -x "$PWD" ||
	    skip 'others cannot reach the programs'
}

# 37 is F_OFD_SETLK, 1 F_WRLCK.
hold_lock() {
	spawn_ready perl -e '
	    $| = 1;
	    open(my $f, "+<", "$ARGV[1]/control") or die $!;
	    fcntl($f, 37, pack("s s x4 q q i x4", 1, 0, $ARGV[0], 1, 0))
		or die $!;
	    print "ready\n";
	    select(undef, undef, undef, 60)' "$1" "$2"
	holder_pid=$spawned
}

newer_version() {
	perl -e '
	    open(my $f, "+<", "$ARGV[0]/queue") or die $!;
	    local $/;
	    my $text = <$f>;
	    $text =~ s/^dsqueue \d+/dsqueue 99/ or die;
	    $text =~ s/^crc .*//ms or die;
	    my $crc = 0xffffffff;
	    for my $byte (unpack("C*", $text)) {
		$crc ^= $byte;
		$crc = $crc >> 1 ^ ($crc & 1 ? 0x82f63b78 : 0) for 1 .. 8;
	    }
	    $text .= sprintf("crc %08x\n", $crc ^ 0xffffffff);
	    seek($f, 0, 0);
	    print $f $text;
	    truncate($f, length($text))' "$1"
}
