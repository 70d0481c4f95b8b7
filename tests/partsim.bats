#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2034	# bats sets status, output, stderr

bats_require_minimum_version 1.8.0
load helpers
load partsim

# --- the program -------------------------------------------------------------

@test "partsim: -h and -V" {
	run -0 partsim -h
	assert_match "$output" '^usage: partsim'
	run -0 partsim -V
	assert_match "$output" '^partsim [0-9]'
}

@test "partsim: usage errors are 64" {
	run -64 partsim --nonsense
	run -64 partsim up operand
	run -64 partsim run
	run -64 partsim -s x up
	run -64 partsim -b 1 up
	unset PARTSIM_NET
	run -64 partsim status
}

@test "partsim: no net is 69" {
	run -69 partsim status
	assert_eq "$output" ''
}

@test "partsim up: makes nodes, and removes only what it made" {
	mkdir -p net/n1
	echo mine >net/n1/file
	up 3
	[ -S net/control ]
	[ -S net/n1/to/n2 ]
	[ -S net/n3/to/n1 ]
	assert_eq "$(stat -c %a net/control net/n1/to/n2 net/n2 | xargs)" \
	    '600 600 700' modes
	run -0 partsim quit
	wait_status 0
	assert_eq "$(find net | sort | xargs)" 'net net/n1 net/n1/file' left
}

@test "partsim up: SIGTERM ends with 0, SIGINT with the signal" {
	up
	kill -TERM "$spawned"
	wait_status 0
	[ ! -e net ]
	up
	kill -INT "$spawned"
	wait_status 130
	[ ! -e net ]
}

@test "partsim up: a second one is refused with 75" {
	up
	run -75 partsim up -n 2
	run -0 partsim status
}

@test "partsim up: clears what a killed one left" {
	up 3
	kill -KILL "$spawned"
	wait_status 137
	[ -S net/n1/to/n3 ]
	up 2
	[ ! -e net/n1/to/n3 ]
	want='b: hello'
	plays <<-EOF
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		send a hello
		recv b
	EOF
	partsim quit
	wait_status 0
}

@test "partsim up: --ready-fd, NOTIFY_SOCKET" {
	spawn partsim up -q -n 1 --ready-fd 7 7>fd7
	wait_until 5 test -s fd7
	assert_file fd7 ''
	stop "$spawned"
	[ ! -s "$spawn_out" ]

	spawn perl -MSocket -e 'socket(S, AF_UNIX, SOCK_DGRAM, 0);
	    bind(S, sockaddr_un("notify")); $| = 1; print "ready\n";
	    recv(S, $m, 100, 0); print "$m\n"'
	wait_until 5 test -S notify
	notified=$spawn_out watcher=$spawned
	NOTIFY_SOCKET=notify spawn_ready partsim up -n 1
	wait_status 0 "$watcher"
	run -0 cat "$notified"
	assert_match "$output" 'READY=1'
}

@test "partsim up: long socket paths" {
	local d=net
	for _ in 1 2 3 4 5 6; do d=$d/aaaaaaaaaaaaaaaaaaaaaaaaa; done
	mkdir -p "$d"
	export PARTSIM_NET=$d/net
	up
	run -0 partsim cut n1 n2
	[ -S "$d/net/n1/to/n2" ]
	partsim quit
	wait_status 0
	[ ! -e "$d/net" ]
}

@test "partsim up: -n takes names" {
	up alpha,beta
	[ -S net/alpha/to/beta ]
	local bad
	for bad in all 0 65 n1,,n2 'n1 pid 1' $'a\tpid\t1' '#'; do
		run -64 partsim -C other up -n "$bad"
		[ ! -e other ]
	done
}

@test "partsim: a net of somebody else is 77" {
	[ "$(id -u)" = 0 ] || skip 'not root'
	up
	chmod 711 net
	# It cannot even look into some directory above, or into ours.
	run -77 setpriv --reuid 65534 --clear-groups "$(command -v partsim)" status
}

@test "partsim: long options" {
	spawn_ready partsim --dir net up --seed 7 --nodes 2 --buffer 64k \
	    --log log --trace trace --verbose --json
	run -0 partsim --dir net --json log
	assert_match "$output" '"seed":7'
	run -0 partsim --dir net --quiet cut n1 n2
	assert_eq "$output" ''
	run -0 partsim --dir net -q quit
	wait_status 0
	grep -q '"ev":"cut"' log
	grep -q '"ev":"cut"' "$spawn_err" && return 1
	run -0 partsim --help
	run -0 partsim --version
	printf 'node n1\nquit\n' >file
	run -0 partsim --dir net up --file file
}

@test "partsim run: PARTSIM_NET, the command's status, nothing left" {
	# shellcheck disable=SC2016
	run -7 partsim run -n 2 sh -c \
	    'partsim cut n1 n2; test -S $PARTSIM_NET/n1/to/n2 && exit 7'
	assert_match "$output" 'ok links=2 conns=0'
	[ ! -e net ]
	run -127 partsim run -n 2 no-such-command
	run -126 partsim run -n 2 /
	# shellcheck disable=SC2016
	run -143 partsim run -n 2 sh -c 'kill -TERM $$'
}

@test "partsim run: a signal is passed on" {
	mkfifo fifo
	spawn partsim run -n 2 sh -c 'trap "echo got; exit 3" TERM; echo ready
	    while :; do read -r _ <fifo; done'
	wait_until 5 grep -q ready "$spawn_out"
	kill -TERM "$spawned"
	wait_status 143
	grep -q got "$spawn_out"
}

@test "partsim run: each signal is passed on, not the first alone" {
	mkfifo fifo
	# shellcheck disable=SC2016
	spawn partsim run -n 2 sh -c 'trap "echo got; n=\$((n + 1))" INT
	    echo ready; until [ "$n" = 2 ]; do read -r _ <fifo; done'
	wait_until 5 grep -q ready "$spawn_out"
	kill -INT "$spawned"
	wait_until 5 grep -q got "$spawn_out"
	kill -INT "$spawned"
	wait_status 130
	assert_eq "$(count got "$spawn_out")" 2 'signals'
}

@test "partsim run -f: a failing assertion is the status" {
	cat >scenario <<-'EOF'
		cut n1 n2
		wait 50ms
		assert bit
	EOF
	run -1 partsim run -n 2 -f scenario perl -e 'select(undef, undef, undef, 1)'
	assert_match "$stderr" $'scenario:3: cut touched nothing\npartsim: again with -s [0-9]+'
}

# --- control ---------------------------------------------------------------------

@test "partsim: verbs from stdin, errors go on and end with the last status" {
	up
	run -64 partsim <<-'EOF'
		# a comment

		seed
		frob
		version
	EOF
	assert_eq "$stderr" 'partsim: stdin:4: unknown word "frob"'
	# What the net does not answer is not waited for.
	printf '\r\n \t\n\rcut n1 n2\n#\nseed' | run -0 timeout 5 partsim
	run -64 partsim ' ' ''
	run -64 partsim '#'
	run -64 partsim $'cut n1\nn2'
	printf 'seed\0\n' >nul
	run -65 partsim <nul
	run -64 partsim <<-'EOF'

		seed
		frob
		version
	EOF
	assert_eq "$output" $'ok seed=42\nok partsim '"$(partsim -V | cut -d' ' -f2)"
	assert_eq "$stderr" 'partsim: stdin:3: unknown word "frob"'
}

@test "partsim: the control socket speaks lines" {
	up
	want='c: ok seed=42
c: err 64 unknown word "nonsense"
c: ok links=2 conns=0'
	plays <<-'EOF'
		open c net/control
		raw c see
		raw c d
		send c
		recv c
		send c nonsense # with a comment
		send c    cut	n1 n2
		recv c
		recv c
	EOF
}

@test "partsim: an oversized line is refused, others go on" {
	up
	head -c 20000 /dev/zero | tr '\0' x >long
	run -0 perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0);
	    connect(S, sockaddr_un("net/control")) or die; open F, "long";
	    syswrite(S, join "", <F>); print <S>'
	assert_match "$output" '^err 65 a line of more than 8191 bytes'
	# With its end as well, in pieces, and behind one that is obeyed.
	run -0 perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0);
	    connect(S, sockaddr_un("net/control")) or die; $l = "seed\n";
	    syswrite(S, $l); print scalar <S>; $l = "#" . "x" x 8190 . "\nseed\n";
	    syswrite(S, $l); print scalar <S>; $l = "#" . "x" x 8191 . "\nseed\n";
	    syswrite(S, $l); print while <S>'
	assert_eq "$output" 'ok seed=42
ok seed=42
err 65 a line of more than 8191 bytes'
	# All of it is there before it is looked at.
	run -0 perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0);
	    connect(S, sockaddr_un("net/control")) or die;
	    syswrite(S, "wait 100ms\n#" . "x" x 8191 . "\nseed\n"); print while <S>'
	assert_eq "$output" $'ok\nerr 65 a line of more than 8191 bytes'
	run -0 partsim seed
}

@test "partsim: 10,000 idle control connections, and some that never read" {
	up 8
	# Half a line each, so that none of them asks for anything.
	spawn perl -MSocket -e 'for $i (1..10000) { my $s;
	    socket($s, AF_UNIX, SOCK_STREAM, 0);
	    connect($s, sockaddr_un("net/control")) or die $!;
	    syswrite($s, "sta"); push @s, $s; }
	    for $s (@s[9900..9999]) { fcntl($s, 4, 2048);
	        for (1..200) { syswrite($s, "tus\nlog\nhelp\n" x 50) or last } }
	    $| = 1; print "ready\n"; sysread(STDIN, $b, 1) while 1'
	wait_until 30 grep -q ready "$spawn_out"
	run -0 timeout 10 partsim seed
	assert_eq "$output" 'ok seed=42'
	# No more of them are kept than there is room for.
	[ "$(find "/proc/$net/fd" -lname 'socket:*' | wc -l)" -lt 600 ]
	sanitized || [ "$(awk '/^VmRSS/ { print $2 }' "/proc/$net/status")" -lt 65536 ]
}

@test "partsim: answers that nobody takes are bounded" {
	up
	for _ in 1 2 3 4 5 6 7 8; do partsim -q repeat 1000 heal; done
	# The log is a megabyte; 200 ask for it, none reads.
	spawn perl -MSocket -e 'for $i (1..200) { my $s;
	    socket($s, AF_UNIX, SOCK_STREAM, 0);
	    connect($s, sockaddr_un("net/control")) or die $!;
	    syswrite($s, "log json\n"); push @s, $s; }
	    # The last of them looks at what it got.
	    sysread($s[199], $b, 3); $| = 1; print "$b\nready\n";
	    sysread(STDIN, $b, 1) while 1'
	wait_until 30 grep -q ready "$spawn_out"
	grep -qx err "$spawn_out"
	run -0 partsim seed
}

@test "partsim: words that are wrong" {
	up 3
	local line
	while read -r line; do
		# shellcheck disable=SC2086
		run -64 partsim $line
		[ -n "$stderr" ]
	done <<-'EOF'
		cut n1
		cut n1 n1
		cut n1 n2 mode nonsense
		cut n1 n2 p 2
		cut n1 n2 count 0
		delay n1 n2 50
		delay n1 n2 50ms dist normal
		rate n1 n2 12
		rate n1 n2 0bit
		node all
		node majority
		node cut
		node 1n
		node a.b
		partition n1,n2 n2,n3
		partition minority-third
		loss n1 n2 1.5
		flap n1 n2 up 1s
		flap n1 n2 up 1s down 10us
		wait 1
		every 10us heal
		at nonsense heal
		link n1 n2 listen tcp:nowhere to tcp:127.0.0.1:1
		link n1 n2 listen tcp:127.0.0.1:99999 to tcp:127.0.0.1:1
		node n1 addr 1.2.3
		assert nonsense
		chaos 1s faults nonsense
		log nonsense
	EOF
	run -66 partsim cut n1 n9
	run -66 partsim stop 77
	run -73 partsim link n1 n2 listen unix:/nonexistent/x to unix:y
	run -78 partsim loss n1 n2 0.5
	assert_match "$stderr" 'no framing is declared'
	run -69 partsim pause n1
	run -69 partsim node n1 pid 999999999
	run -75 partsim wait conns n1 n2 3 within 50ms
	run -1 partsim assert blocked n1 n2
	run -1 partsim assert bit
}

@test "partsim: help, peers, status json, log json" {
	up
	run -0 partsim help
	assert_match "$output" 'partition GROUP'
	run -0 partsim peers n1
	assert_eq "$output" "n1 n2 unix:$PARTSIM_NET/n1/to/n2 raft"
	run -0 partsim cut n1 n2
	run -0 partsim status n1 n2
	assert_match "$output" 'n1 n2 blocked conns=0 .* never-used'
	run -0 partsim -J status
	run -0 perl -MJSON::PP -ne 'decode_json($_)' <<<"$output"
	run -0 partsim -J log
	run -0 perl -MJSON::PP -ne '$n = decode_json($_)->{text} eq "cut n1 n2";
	    END { exit !$n }' <<<"$output"
}

# --- nodes and links ------------------------------------------------------------------

@test "partsim: sockets of other names appear when they are bound, or by verb" {
	up
	partsim -q socket early
	[ -S net/n1/to/n2.early ]
	want='b: named'
	plays <<-'EOF'
		listen L net/n2/api
		! partsim -q wait 20ms; for i in $(seq 100); do test -S net/n1/to/n2.api && break; partsim -q wait 10ms; done
		open a net/n1/to/n2.api
		accept b L
		send a named
		recv b
	EOF
}

@test "partsim: what could not be printed among words is no socket" {
	up
	want=''
	plays <<-'EOF'
		listen L net/n2/two words
		listen M net/n2/#1
		listen N net/n2/last
	EOF
	wait_until 5 test -S net/n1/to/n2.last
	run -0 ls net/n1/to
	assert_eq "$output" $'n2\nn2.last'
	run -64 partsim socket a/b
	run -64 partsim socket .a
}

@test "partsim: TCP to Unix and Unix to TCP" {
	up
	want='b: hello
d: there'
	plays <<-EOF
		listen L net/n2/raft
		listen T tcp:127.0.0.1:$port
		! partsim -q link n1 n2 listen tcp:127.0.0.1:$((port + 1)) to unix:net/n2/raft
		! partsim -q link n1 n2 listen unix:net/mixed to tcp:127.0.0.1:$port name mixed
		open a tcp:127.0.0.1:$((port + 1))
		accept b L
		open c net/mixed
		accept d T
		send a hello
		recv b
		send c there
		recv d
	EOF
}

@test "partsim: a destination whose backlog is full" {
	up
	mkfifo go
	exec 9<>go
	spawn_ready perl -MSocket -e 'socket(L, AF_UNIX, SOCK_STREAM, 0);
	    bind(L, sockaddr_un("net/n2/raft")); listen(L, 1); $| = 1;
	    print "ready\n"; <STDIN>; for (1..9) { accept(S, L); print <S> }' <go
	local called=$spawned heard=$spawn_out
	spawn perl -MSocket -e 'for (1..9) { socket($s[$_], AF_UNIX, SOCK_STREAM, 0);
	    connect($s[$_], sockaddr_un("net/n1/to/n2")) or die;
	    syswrite($s[$_], "$_\n"); shutdown($s[$_], 1) }
	    sysread($s[$_], $b, 1) for 1..9'
	wait_until 5 partsim -q assert conns n1 n2 9
	echo >&9
	wait_status 0 "$called"
	assert_eq "$(sort "$heard" | xargs)" '1 2 3 4 5 6 7 8 9 ready' heard
}

@test "partsim: port 0 is named in the answer" {
	up
	run -0 partsim link n1 n2 listen tcp:localhost:0 to tcp:127.0.0.1:1
	assert_match "$output" '^ok listen=tcp:127.0.0.1:[1-9][0-9]*$'
}

@test "partsim: nobody behind a link" {
	up
	want='a: reset'
	plays <<-EOF
		! partsim -q link n1 n2 listen tcp:127.0.0.1:$port to tcp:127.0.0.1:$((port + 1))
		open a tcp:127.0.0.1:$port
		recv a
	EOF
}

# --- who calls ------------------------------------------------------------------------------------

@test "partsim: callers of one TCP address are told apart by process" {
	up 3
	local at=tcp:127.0.0.1:$port via=tcp:127.0.0.1:$((port + 1))
	partsim -q node n3 listen "$via" to "$at"
	spawn_ready "$peer" echo "$at"
	mkfifo in1 in2
	exec 7<>in1 8<>in2
	# n1 calls through a descendant of the registered process.
	spawn sh -c "$peer many $via 1 <in1; :"
	partsim -q node n1 pid "$spawned"
	local out1=$spawn_out
	wait_until 5 grep -q open "$out1"
	spawn "$peer" many "$via" 1 <in2
	local out2=$spawn_out
	wait_until 5 grep -q open "$out2"
	wait_until 5 partsim -q assert conns n1 n3 1
	run -0 partsim assert conns '?' n3 1
	run -0 partsim log
	assert_match "$output" 'caller \? of n3'
	# The unknown one is recognised once it is registered.
	run -0 partsim node n2 pid "$spawned"
	assert_match "$output" 'joined=1'
	run -0 partsim assert conns n2 n3 1
	partsim -q cut n1 n3
	echo >&7
	echo >&8
	wait_until 5 grep -q 'round 1: 1' "$out2"
	assert_eq "$(count round "$out1")" 0 'rounds of n1'
	partsim -q heal
	wait_until 5 grep -q 'round 1: 1' "$out1"
	echo q >&7
	echo q >&8
	wait_until 5 partsim -q assert conns n1,n2 n3 0
}

@test "partsim: callers of one Unix address are told apart by process" {
	up 2
	partsim -q node n2 listen unix:net/shared to unix:net/n2/raft
	spawn_ready "$peer" echo net/n2/raft
	mkfifo in1
	exec 7<>in1
	# It must be known before it calls, so it waits for a line.
	spawn sh -c "read -r _; exec $peer many net/shared 1" <in1
	partsim -q node n1 pid "$spawned"
	echo >&7
	wait_until 5 partsim -q assert conns n1 n2 1
	echo q >&7
}

@test "partsim: callers of an IPv6 address, over both protocols" {
	[ -e /proc/net/if_inet6 ] || skip 'no IPv6'
	up 3
	partsim -q node n3 listen "tcp:[::]:$((port + 1))" to "tcp:127.0.0.1:$port"
	run -0 partsim peers
	assert_match "$output" "all n3 tcp:\\[::\\]:$((port + 1)) shared"
	partsim -q node n2 addr 127.0.0.9
	spawn_ready "$peer" echo "tcp:127.0.0.1:$port"
	cat >call <<-'EOF'
		use Socket qw(:DEFAULT inet_pton pack_sockaddr_in6 AF_INET6);
		my ($six, $port, $from) = @ARGV;
		socket(S, $six ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
		bind(S, sockaddr_in(0, inet_aton($from))) if $from;
		<STDIN>;
		connect(S, $six ? pack_sockaddr_in6($port, inet_pton(AF_INET6, "::1"))
		    : sockaddr_in($port, inet_aton("127.0.0.1"))) or die "$!";
		syswrite(S, "hi\n"); sysread(S, $b, 3); print $b; <STDIN>;
	EOF
	mkfifo in4 in6 in9
	exec 4<>in4 6<>in6 9<>in9
	spawn perl call 0 $((port + 1)) <in4
	local four=$spawned
	spawn perl call 1 $((port + 1)) <in6
	partsim -q node n1 pid "$four" "$spawned"
	spawn perl call 0 $((port + 1)) 127.0.0.9 <in9
	echo >&4
	echo >&6
	echo >&9
	wait_until 5 partsim -q assert conns n1 n3 2
	wait_until 5 partsim -q assert conns n2 n3 1
	run -0 partsim assert conns '?' n3 0
	echo >&4
	echo >&6
	echo >&9
}

@test "partsim: a caller recognised late is dialled, or turned away" {
	up 3
	local via=tcp:127.0.0.1:$((port + 1))
	partsim -q node n3 listen "$via" to "tcp:127.0.0.1:$port"
	spawn_ready "$peer" echo "tcp:127.0.0.1:$port"
	partsim -q cut '?' n3
	partsim -q cut n2 n3 mode reset
	mkfifo in1 in2
	exec 7<>in1 8<>in2
	spawn "$peer" many "$via" 1 <in1
	local one=$spawned out1=$spawn_out
	spawn "$peer" many "$via" 1 <in2
	local two=$spawned
	wait_until 5 partsim -q assert conns '?' n3 2
	echo >&7
	run -0 partsim node n1 pid "$one"
	assert_match "$output" 'joined=1'
	wait_until 5 grep -q 'round 1: 1' "$out1"
	run -0 partsim node n2 pid "$two"
	run -0 partsim assert conns n2 n3 0
	run -0 partsim status n2 n3
	assert_match "$output" 'n2 n3 .*refused=1 '
	# One that was through already is reset as well.
	partsim -q heal '?' n3
	mkfifo in3
	exec 9<>in3
	spawn "$peer" many "$via" 1 <in3
	echo >&9
	wait_until 5 grep -q 'round 1: 1' "$spawn_out"
	run -0 partsim node n2 pid "$spawned"
	assert_match "$output" 'joined=1'
	run -0 partsim assert conns '?,n2' n3 0
	echo q >&9
	echo q >&7
	echo q >&8
}

@test "partsim: node pid replaces, and lets go on what was paused" {
	up
	spawn sleep 60
	local one=$spawned
	spawn sleep 60
	partsim -q node n1 pid "$one"
	partsim -q pause n1
	run -0 partsim node n1 pid "$spawned" $$
	assert_match "$output" 'pids=2'
	assert_match "$(cut -d' ' -f3 "/proc/$one/stat")" '[SRD]'
	run -0 partsim status
	assert_eq "$(grep -c 'node n1 pid=.* paused=no' <<<"$output")" 2 'processes'
}

@test "partsim: callers told apart by source address" {
	up 2
	local via=$((port + 1))
	partsim -q node n2 listen "tcp:127.0.0.1:$via" to "tcp:127.0.0.1:$port"
	partsim -q node n1 addr 127.0.0.9
	spawn_ready "$peer" echo "tcp:127.0.0.1:$port"
	run -0 perl -MSocket -e 'socket(S, AF_INET, SOCK_STREAM, 0);
	    bind(S, sockaddr_in(0, inet_aton("127.0.0.9")));
	    connect(S, sockaddr_in($ARGV[0], inet_aton("127.0.0.1"))) or die;
	    syswrite(S, "hi\n"); sysread(S, $b, 3); print $b;
	    system("partsim -q assert conns n1 n2 1") == 0 or die' "$via"
	assert_eq "$output" hi
	run -0 "$peer" rtt "tcp:127.0.0.1:$via" 1
	run -0 partsim status '?' n2
	assert_match "$output" '\? n2 .* opened=1 '
}

# --- the page's EXAMPLES -------------------------------------------------------------------

# The first, word for word; nc is netcat-openbsd's.
@test "partsim EXAMPLES: two nodes, a cut, and proof that it bit" {
	mkdir bin
	# Its package puts it into /bin, for which peers.sh makes no wrapper.
	local peers
	peers=$("$BATS_TEST_DIRNAME/peers.sh" netcat-openbsd)
	ln -s "$(find "${peers%/bin}/root" -name nc.openbsd)" bin/nc
	export PATH=$PWD/bin:$PATH
	run -0 sh -ec "$(example 'proof that it bit')"
	assert_match "$output" $'one\ntwo'
	assert_match "$stderr" 'n1 n2 .* held-ever=[1-9].* cut:hold\([1-9]'
	up
	run -0 sh -ec "$(example 'by hand')"
	assert_match "$output" 'ok links=2 conns=0 rtt=40ms'
	assert_match "$output" 'ok lines=3'
}

@test "partsim EXAMPLES: a scenario with its own verdict" {
	cat >my-test <<-'EOF'
		#!/bin/sh
		# Everybody sends to everybody, all the time.
		for n in 1 2 3 4 5; do $PEER echo $PARTSIM_NET/n$n/raft >/dev/null & done
		for n in 1 2 3 4 5; do
			until [ -S $PARTSIM_NET/n$n/raft ]; do partsim -q wait 10ms; done
		done
		for a in 1 2 3 4 5; do for b in 1 2 3 4 5; do
			[ $a = $b ] || $PEER flood $PARTSIM_NET/n$a/to/n$b 1 >/dev/null &
		done; done
		until partsim -q wait bit within 10s; do :; done
		partsim -q wait 300ms
		trap '' TERM
		kill -TERM 0
	EOF
	chmod +x my-test
	example 'with its own verdict' | sed -n '2,6s/^wait 5s/wait 100ms/; 2,6p' \
	    >scenario
	[ "$(wc -l <scenario)" = 5 ]
	PEER=$peer run -0 partsim run -n 5 -f scenario ./my-test
	# Without traffic the cut proves nothing.
	sed -i 1d scenario
	run -1 partsim run -n 5 -f scenario perl -e 'select(undef, undef, undef, .5)'
	assert_match "$stderr" 'scenario:3: partition touched nothing'
}

@test "partsim EXAMPLES: chaos, then a core" {
	up 5
	run -0 sh -ec "$(example 'a core of three' | sed 's/60s/300ms/')"
	run -0 partsim assert open n1,n2,n3 n1,n2,n3
	run -0 partsim assert blocked n4 all
}

# --- load -----------------------------------------------------------------------------------------------

@test "partsim: a peer that never reads is held back, the rest goes on" {
	up 3
	want='a: full
ok links=2 conns=1
a: full
ok links=2 conns=2
d: fine'
	plays <<-'EOF'
		listen L net/n2/raft
		listen M net/n3/raft
		open a net/n1/to/n2
		accept b L
		stuff a
		! partsim cut n1 n2
		close a
		open a net/n1/to/n2
		stuff a
		# The first a is held as well, with its end.
		! partsim heal
		open c net/n1/to/n3
		accept d M
		send c fine
		recv d
	EOF
}

@test "partsim: peers that never read cost their links no more than the bound" {
	up 2 -b 64k
	local frame
	for frame in none line; do
		partsim -q frame n1 n2 $frame
		spawn_ready "$peer" deaf net/n2/raft
		local deaf=$spawned
		spawn_ready "$peer" flood net/n1/to/n2 300
		# Until nothing moves any more.
		local now=0 before=-1
		while [ "$now" != "$before" ]; do
			before=$now
			nap
			now=$(partsim -J status n1 n2 | head -n 1 |
			    grep -o '"carried":[0-9]*')
		done
		run -0 partsim status
		assert_match "$output" 'conns=300 '
		[[ $output =~ buffered=([0-9]+) ]]
		[ "${BASH_REMATCH[1]}" -lt 4000000 ]
		stop "$spawned"
		stop "$deaf"
		wait_until 5 partsim -q assert conns n1 n2 0
	done
}

@test "partsim: verbs are obeyed while hundreds of connections send all they can" {
	up
	spawn_ready "$peer" sink net/n2/raft
	spawn_ready "$peer" flood net/n1/to/n2 500
	run -0 partsim wait conns n1 n2 500 within 10s
	run -0 "$peer" ask net/control seed 50
	run -0 partsim cut n1 n2
	assert_match "$output" 'conns=500'
	run -0 partsim wait bit n1 n2 within 10s
	run -0 partsim reset n1 n2
	assert_match "$output" 'conns=500'
}

@test "partsim up -b: a link holds so much, then the sender waits" {
	up 2 -b 64k
	want='ok links=2 conns=1
a: full'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		! partsim cut n1 n2
		stuff a
		! partsim -J status n1 n2 >status
	EOF
	run -0 perl -MJSON::PP -ne '$j = decode_json($_);
	    print "$j->{held}\n" if $j->{from} eq "n1"' status
	[ "$output" -gt 32768 ]
	[ "$output" -le 69632 ]
}

@test "partsim up -v: the log on stderr" {
	up 2 -v
	partsim -q cut n1 n2
	partsim -q quit
	wait_status 0
	run -0 grep -c 'cut n1 n2 # links=2' "$spawn_err"
}

@test "partsim: 1,000 connections cut, held and healed" {
	up
	spawn_ready "$peer" echo net/n2/raft
	mkfifo in
	exec 8<>in
	spawn "$peer" many net/n1/to/n2 1000 <in
	local out=$spawn_out
	wait_until 10 grep -q 'open 1000' "$out"
	echo >&8
	wait_until 10 grep -q 'round 1: 1000' "$out"
	run -0 partsim cut n1 n2
	assert_eq "$output" 'ok links=2 conns=1000'
	echo >&8
	run -0 partsim wait bit within 10s
	assert_eq "$(count 'round 2' "$out")" 0 'rounds while cut'
	run -0 partsim heal
	wait_until 20 grep -q 'round 2: 1000' "$out"
	echo q >&8
}

# From n1 to n2 by one way, to another.
transfer() {	# to via
	spawn_ready "$peer" drain "$1"
	local drain=$spawned out=$spawn_out
	spawn "$peer" source "$2" 1073741824
	partsim -q wait carried n1 n2 100000000 within 60s
	for _ in 1 2 3 4 5; do
		partsim -q cut n1 n2
		partsim -q wait 20ms
		partsim -q heal
		partsim -q hold n1 n2
		partsim -q wait 20ms
		partsim -q release n1 n2
	done
	wait_until 300 dead "$drain"
	wait_status 0 "$drain"
	run -0 grep bytes "$out"
	assert_match "$output" '^1073741824 bytes'
	run -0 partsim assert bit
	run -0 partsim assert carried n1 n2 1073741824
}

# bats test_tags=slow
@test "partsim: 1 GiB over a Unix socket, cut, held and healed, not a byte lost (slow)" {
	up
	transfer net/n2/raft net/n1/to/n2
}

# bats test_tags=slow
@test "partsim: 1 GiB over TCP, cut, held and healed, not a byte lost (slow)" {
	up
	partsim -q link n1 n2 listen "tcp:127.0.0.1:$port" \
	    to "tcp:127.0.0.1:$((port + 1))"
	transfer "tcp:127.0.0.1:$((port + 1))" "tcp:127.0.0.1:$port"
}
