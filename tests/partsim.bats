#!/usr/bin/env bats
# shellcheck disable=SC2154	# bats sets status, output, stderr

bats_require_minimum_version 1.8.0
load helpers

setup_file() {
	"${CC:-cc}" -O2 -D_GNU_SOURCE -o "$BATS_FILE_TMPDIR/peer" \
	    "$BATS_TEST_DIRNAME/bench/partsim_peer.c"
}

setup() {
	setup_test
	peer=$BATS_FILE_TMPDIR/peer
	export PARTSIM_NET=$BATS_TEST_TMPDIR/net
	# Ports of this test alone; below the range the kernel picks from.
	port=$((20000 + BATS_SUITE_TEST_NUMBER % 1000 * 10))
}

# A net with so many nodes, seed 42.
up() { spawn_ready partsim up -s 42 -n "${1:-2}" "${@:2}"; }

# Play the script on stdin; what happens must be the text in $want.
plays() {
	run "$peer" play
	assert_eq "$status" 0 status
	assert_eq "$output" "$want" 'what happened'
}

# The same conversation over Unix and TCP sockets: a on n1, b on n2.
both() {
	local kind script say=$want
	script=$(cat)
	for kind in unix tcp; do
		case $kind in
		unix)	# a Unix socket of which nothing was read has no reset
			at=net/n2/raft via=net/n1/to/n2 want=${say/END/end} ;;
		tcp)
			want=${say/END/reset}
			at=tcp:127.0.0.1:$port via=tcp:127.0.0.1:$((port + 1))
			partsim -q link n1 n2 listen "$via" to "$at" ;;
		esac
		plays <<-EOF
			listen L $at
			open a $via
			accept b L
			${script//VIA/$via}
		EOF
	done
}

count() { grep -c "$1" "$2" || :; }

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
	run -64 partsim -C other up -n all
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

@test "partsim run -f: a failing assertion is the status" {
	cat >scenario <<-'EOF'
		cut n1 n2
		wait 50ms
		assert bit
	EOF
	run -1 partsim run -n 2 -f scenario perl -e 'select(undef, undef, undef, 1)'
	assert_match "$stderr" 'scenario:3: cut touched nothing'
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
	assert_eq "$output" $'ok seed=42\nok partsim '"$(partsim -V | cut -d' ' -f2)"
	assert_eq "$stderr" 'partsim: stdin:4: unknown word "frob"'
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
	run -0 partsim seed
}

@test "partsim: idle control connections and one that never reads" {
	up
	spawn perl -MSocket -e 'for $i (1..400) { my $s;
	    socket($s, AF_UNIX, SOCK_STREAM, 0);
	    connect($s, sockaddr_un("net/control")) or die $!; push @s, $s; }
	    fcntl($s[399], 4, 2048);
	    for (1..20000) { syswrite($s[399], "help\n" x 50) or last; }
	    $| = 1; print "ready\n"; sysread(STDIN, $b, 1) while 1'
	wait_until 10 grep -q ready "$spawn_out"
	run -0 timeout 2 partsim seed
	assert_eq "$output" 'ok seed=42'
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

# --- blocking -----------------------------------------------------------------------------

@test "partsim cut: holds both directions, old and new connections, heal delivers" {
	up 3
	want='ok links=2 conns=1
b: silent
a: silent
d: nobody
ok
ok
ok links=2 conns=2
b: one
a: two
d: new'
	both <<-'EOF'
		! partsim cut n1 n2
		send a one
		send b two
		recv b 100
		recv a 100
		open c VIA
		send c new
		accept d L 100
		! partsim assert bit
		! partsim assert blocked n1 n2
		! partsim heal
		recv b
		recv a
		accept d L
		recv d
		! partsim heal >/dev/null
		close a
		close b
		close c
		close d
	EOF
}

@test "partsim cut: a caller that gave up never called" {
	up
	want='c: nobody
c: nobody'
	plays <<-EOF
		listen L net/n2/raft
		listen T tcp:127.0.0.1:$port
		! partsim -q link n1 n2 listen tcp:127.0.0.1:$((port + 1)) to tcp:127.0.0.1:$port
		! partsim -q cut n1 n2
		open a net/n1/to/n2
		send a too late
		close a
		open b tcp:127.0.0.1:$((port + 1))
		close b
		! partsim wait conns n1 n2 0 within 5s >/dev/null
		! partsim -q heal
		accept c L 100
		accept c T 100
	EOF
}

@test "partsim: heal of a pair leaves others" {
	up 3
	partsim -q isolate n1
	run -0 partsim heal n1 n2
	assert_eq "$output" 'ok links=2 conns=0'
	run -0 partsim assert open n1 n2
	run -0 partsim assert blocked n1,n3 n3,n1
}

@test "partsim oneway: bytes of one direction only" {
	up
	want='ok links=1 conns=1
b: silent
a: back
ok links=1 conns=1
b: there'
	both <<-'EOF'
		! partsim oneway n1 n2
		send a there
		send b back
		recv b 100
		recv a
		! partsim heal n1 n2
		recv b
	EOF
}

@test "partsim oneway connect: n1 may not open, all else goes on" {
	up
	want='ok links=1 conns=0
b: old
d: nobody
f: other way
ok links=1 conns=1
d: new'
	plays <<-'EOF'
		listen L net/n2/raft
		listen M net/n1/raft
		open a net/n1/to/n2
		accept b L
		! partsim oneway n1 n2 connect
		send a old
		recv b
		open c net/n1/to/n2
		send c new
		accept d L 100
		open e net/n2/to/n1
		accept f M
		send e other way
		recv f
		! partsim heal
		accept d L
		recv d
	EOF
}

@test "partsim hold and release, apart from cut" {
	up
	want='ok links=2 conns=1
ok links=2 conns=1
ok links=2 conns=1
b: silent
ok links=2 conns=1
b: x'
	both <<-'EOF'
		! partsim hold n1 n2
		! partsim cut n1 n2
		send a x
		! partsim release n1 n2
		recv b 100
		! partsim heal
		recv b
	EOF
}

@test "partsim cut mode drop: what was lost resets the connection on healing" {
	up
	want='ok links=2 conns=1
b: silent
ok links=2 conns=1 reset=0 closed=1
a: reset
b: end'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		! partsim cut n1 n2 mode drop
		send a x
		recv b 100
		send a y
		! partsim heal
		recv a
		recv b
	EOF
}

@test "partsim cut mode drop: nothing sent, nothing lost" {
	up
	want='ok links=2 conns=1
ok links=2 conns=1
b: later'
	both <<-'EOF'
		! partsim cut n1 n2 mode drop
		! partsim heal
		send a later
		recv b
	EOF
}

@test "partsim cut mode reset: old and new connections" {
	up
	want='b: x
a: y
ok links=2 conns=1 reset=1 closed=0
a: reset
b: reset
c: END
ok links=2 conns=0
d: again'
	both <<-'EOF'
		send a x
		recv b
		send b y
		recv a
		! partsim cut n1 n2 mode reset
		recv a
		recv b
		open c VIA
		recv c
		! partsim heal
		close c
		open c VIA
		accept d L
		send c again
		recv d
	EOF
}

@test "partsim cut mode refuse: refused, then listening again" {
	up
	want='ok links=2 conns=1 reset=0 closed=1
c: refused
ok links=2 conns=0
d: again'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		! partsim cut n1 n2 mode refuse
		open c net/n1/to/n2
		! partsim heal
		open c net/n1/to/n2
		accept d L
		send c again
		recv d
	EOF
	want='ok links=2 conns=1 reset=1 closed=0
c: refused
ok links=2 conns=0
d: again'
	partsim -q link n1 n2 listen "tcp:127.0.0.1:$port" to unix:net/n2/api
	plays <<-EOF
		listen L tcp:127.0.0.1:$((port + 2))
		! partsim -q link n1 n2 listen tcp:127.0.0.1:$((port + 1)) to tcp:127.0.0.1:$((port + 2))
		open a tcp:127.0.0.1:$((port + 1))
		accept b L
		! partsim cut n1 n2 mode refuse
		open c tcp:127.0.0.1:$((port + 1))
		! partsim heal
		open c tcp:127.0.0.1:$((port + 1))
		accept d L
		send c again
		recv d
	EOF
}

@test "partsim cut count and p: some connections only" {
	up
	want='ok links=2 conns=1
b: silent
d: open
ok links=2 conns=0
b: silent
d: open'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		open c net/n1/to/n2
		accept d L
		! partsim cut n1 n2 count 1
		send a x
		send c open
		recv b 100
		recv d
		! partsim hold n1 n2 p 0
		recv b 50
		send c open
		recv d
	EOF
}

@test "partsim partition: groups, the rest is one, a new one replaces" {
	up 5
	run -0 partsim partition n1,n2
	assert_eq "$output" 'ok links=12 conns=0 groups=n1,n2/n3,n4,n5'
	run -0 partsim assert blocked n1,n2 n3,n4,n5
	run -0 partsim assert open n1 n2
	run -0 partsim assert open n3 n4,n5
	run -0 partsim partition n1 n2,n3
	assert_eq "$output" 'ok links=16 conns=0 groups=n1/n2,n3/n4,n5'
	run -0 partsim assert open n2 n3
	run -0 partsim heal
	run -0 partsim assert open all all
}

@test "partsim partition: shapes" {
	up 5
	run -0 partsim partition halves
	assert_match "$output" 'links=12 .*groups=n1,n2/n3,n4,n5'
	run -0 partsim partition majority
	assert_match "$output" 'links=12 '
	run -0 partsim partition minority-third
	assert_match "$output" 'links=8 '
	run -0 partsim partition one
	assert_match "$output" 'links=8 '
	run -0 partsim partition one n4
	assert_match "$output" 'groups=n4/n1,n2,n3,n5'
	run -0 partsim partition bridge n3
	assert_match "$output" 'links=8 '
	run -0 partsim assert open n3 n1,n2,n4,n5
	run -0 partsim partition majorities-ring
	assert_match "$output" 'links=10 '
	run -0 partsim partition primaries n1,n2
	assert_match "$output" 'links=14 .*groups=n3,n4,n5/n1/n2'
	run -0 partsim log
	assert_match "$output" 'partition pairs n'
}

@test "partsim isolate" {
	up 3
	run -0 partsim isolate n2
	assert_eq "$output" 'ok links=4 conns=0'
	run -0 partsim assert open n1 n3
	run -0 partsim assert blocked n2 n1,n3
}

@test "partsim flap" {
	up
	partsim -q flap n1 n2 up 20ms down 20ms
	wait_until 5 eval '[ "$(partsim log | grep -c "flap n1 n2 down")" -ge 3 ]'
	run -0 partsim heal
	local before after
	before=$(partsim log | grep -c 'flap n1 n2')
	partsim -q wait 100ms 2>/dev/null || :
	after=$(partsim log | grep -c 'flap n1 n2')
	assert_eq "$after" "$before" 'changes after healing'
	run -0 partsim assert open n1 n2
}

# --- shaping ------------------------------------------------------------------------------------

@test "partsim delay: both ways, the round trip is told and is so" {
	up
	run -0 partsim delay n1 n2 30ms
	assert_match "$output" 'rtt=60ms'
	run -0 partsim delay n1 n2 10ms oneway
	assert_match "$output" 'rtt=40ms'
	run -0 partsim delay n1 n2 30ms
	spawn_ready "$peer" echo net/n2/raft
	run -0 "$peer" rtt net/n1/to/n2 5
	assert_match "$output" '^(6[0-9]|[7-9][0-9]|1[0-9][0-9])[0-9]{3}\.'
	run -0 partsim clear
	run -0 "$peer" rtt net/n1/to/n2 5
	assert_match "$output" '^[0-9]{1,5}\.'
}

@test "partsim delay: existing connections, order kept under jitter" {
	up
	{
		printf 'listen L net/n2/raft\nopen a net/n1/to/n2\naccept b L\n'
		printf '! partsim -q delay n1 n2 5ms jitter 5ms dist uniform\n'
		for i in $(seq 50); do
			printf 'send a %s\n! :\n' "$i"
		done
		for _ in $(seq 50); do echo 'recv b'; done
	} >script
	want=$(seq -f 'b: %g' 50)
	plays <script
}

@test "partsim delay: does not cap the rate" {
	up
	partsim -q delay n1 n2 20ms
	spawn_ready "$peer" drain net/n2/raft
	"$peer" source net/n1/to/n2 100000000
	wait_status 0
	run -0 tail -n 1 "$spawn_out"
	assert_match "$output" '^100000000 bytes, ([5-9][0-9]|[0-9]{3,}) MB/s' || sanitized
}

@test "partsim delay: every distribution" {
	up
	local dist
	spawn_ready "$peer" echo net/n2/raft
	for dist in uniform normal exp pareto; do
		run -0 partsim delay n1 n2 2ms jitter 1ms dist $dist
		run -0 "$peer" rtt net/n1/to/n2 20
	done
}

@test "partsim rate: bytes a second of a link, all connections together" {
	up
	run -0 partsim rate n1 n2 8mbit
	assert_match "$output" 'rate=1000000B/s'
	spawn_ready "$peer" drain net/n2/raft
	"$peer" source net/n1/to/n2 500000
	wait_status 0
	run -0 tail -n 1 "$spawn_out"
	assert_match "$output" '^500000 bytes, [01] MB/s'
}

@test "partsim rate: connections of a link share it" {
	up
	partsim -q rate n1 n2 8mbit
	partsim -q socket api
	spawn_ready "$peer" drain net/n2/raft
	local one=$spawned start
	spawn_ready "$peer" drain net/n2/api
	local two=$spawned
	start=$(now_us)
	spawn "$peer" source net/n1/to/n2 250000
	"$peer" source net/n1/to/n2.api 250000
	wait_status 0 "$one"
	wait_status 0 "$two"
	[ $(($(now_us) - start)) -gt 450000 ]
}

@test "partsim slice" {
	up
	partsim -q slice n1 n2 3 gap 1ms
	spawn_ready "$peer" echo net/n2/raft
	run -0 "$peer" rtt net/n1/to/n2 3
	# 64 bytes make 22 pieces.
	assert_match "$output" '^[2-9][0-9][0-9][0-9][0-9]\.'
}

@test "partsim limit-bytes: the connection ends" {
	up
	want='ok links=2 conns=1
b: abcd
b: end in a line
a: end'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		! partsim limit-bytes n1 n2 8
		send a abcd
		recv b
		send a efghij
		recv b
		recv a
	EOF
}

@test "partsim: loss, dup, reorder, corrupt of lines" {
	up
	partsim -q frame n1 n2 line
	want='b: 1
ok links=2 conns=1
b: 3
b: 3
ok links=2 conns=1
b: 5
b: 5
ok links=2 conns=1
b: 8
b: 7
ok links=2 conns=1
ok
b: '$'\x19\n''b: whole'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		send a 1
		recv b
		! partsim loss n1 n2 1 count 1
		raw a 2
		send a
		send a 3
		recv b
		! partsim -q clear
		! partsim -q dup n1 n2 0
		send a 3
		recv b
		! partsim dup n1 n2 100% count 1
		send a 5
		recv b
		recv b
		! partsim reorder n1 n2 1 count 1
		send a 7
		send a 8
		recv b
		recv b
		! partsim corrupt n1 n2 1 count 1
		send a 9
		! partsim assert bit
		recv b
		send a whole
		recv b
	EOF
}

@test "partsim: half a message waits for its other half, and is not lost with it" {
	up
	partsim -q frame n1 n2 u32be
	want='b: silent
b: abcd'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		! perl -e 'print "x"' >/dev/null
		raw a ab
		recv b 100
		raw a cd
		send a
		close a
		recv b
	EOF
}

@test "partsim: p=0 changes nothing" {
	up
	partsim -q frame n1 n2 line
	for fault in loss dup reorder corrupt; do
		partsim -q $fault n1 n2 0
	done
	partsim -q delay n1 n2 5s p 0
	partsim -q cut n1 n2 mode reset p 0
	spawn_ready "$peer" drain net/n2/raft
	"$peer" source net/n1/to/n2 20000000
	wait_status 0
	run -0 tail -n 1 "$spawn_out"
	assert_match "$output" '^20000000 bytes'
}

# --- events ------------------------------------------------------------------------------------

@test "partsim reset: open connections only, RST and ECONNRESET" {
	up
	want='b: x
a: y
ok conns=1 reset=1 closed=0
a: reset
b: reset
d: new'
	both <<-'EOF'
		send a x
		recv b
		send b y
		recv a
		! partsim reset n1 n2
		recv a
		recv b
		open c VIA
		accept d L
		send c new
		recv d
		close c
		close d
	EOF
}

@test "partsim reset count and p" {
	up
	spawn_ready "$peer" echo net/n2/raft
	mkfifo in
	exec 8<>in
	spawn "$peer" many net/n1/to/n2 20 <in
	wait_until 5 grep -q 'open 20' "$spawn_out"
	wait_until 5 partsim -q assert conns n1 n2 20
	run -0 partsim reset n1 n2 p 0
	assert_match "$output" 'conns=0'
	run -0 partsim reset n1 n2 count 3
	assert_match "$output" 'conns=3'
	run -0 partsim assert conns n1 n2 17
	run -0 partsim reset n1 n2 p 50%
	assert_match "$output" 'conns=([3-9]|1[0-4]) '
	echo q >&8
}

@test "partsim half-close: one side sees the end, the other way goes on" {
	up
	want='ok conns=1
b: end
a: still'
	both <<-'EOF'
		! partsim half-close n1 n2
		recv b
		send a into the void
		send b still
		recv a
	EOF
}

@test "partsim: ends and resets travel in order with the bytes" {
	up
	want='b: silent
b: last
b: end'
	both <<-'EOF'
		! partsim -q delay n1 n2 100ms
		send a last
		close a
		recv b 20
		recv b
		recv b
		! partsim -q clear
	EOF
}

@test "partsim pause, resume, kill" {
	up
	mkfifo never
	spawn sh -c 'read -r _ <never'
	local pid=$spawned
	run -0 partsim node n1 pid "$pid"
	assert_match "$output" 'pids=1'
	run -0 partsim pause n1
	assert_match "$(cut -d' ' -f3 "/proc/$pid/stat")" 'T'
	run -0 partsim status
	assert_match "$output" "node n1 pid=$pid paused=yes"
	run -0 partsim resume n1
	assert_match "$(cut -d' ' -f3 "/proc/$pid/stat")" '[SRD]'
	run -0 partsim kill n1
	wait_status 137 "$pid"
	run -69 partsim pause n1
}

@test "partsim: what it paused goes on when it ends" {
	up
	local net=$spawned
	spawn sleep 60
	partsim -q node n1 pid "$spawned"
	partsim -q pause n1
	partsim -q quit
	wait_status 0 "$net"
	assert_match "$(cut -d' ' -f3 "/proc/$spawned/stat")" '[SRD]'
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
}

# --- time, evidence, log -----------------------------------------------------------------------------

@test "partsim: at, every, repeat, stop, wait idle" {
	up
	run -0 partsim at +500ms cut n1 n2
	assert_match "$output" '^ok id=1 at='
	run -0 partsim assert open n1 n2
	run -0 partsim wait idle within 5s
	run -0 partsim assert blocked n1 n2
	partsim -q heal
	partsim -q every 10ms repeat 3 hold n1 n2
	run -0 partsim wait idle within 5s
	run -0 partsim log
	assert_eq "$(grep -c ' hold n1 n2 #' <<<"$output")" 3 holds
	run -0 partsim every 10ms heal
	run -0 partsim stop
	assert_eq "$output" 'ok stopped=1'
	run -0 partsim repeat 3 heal
}

@test "partsim: wait for bytes, connections, bites" {
	up
	want='ok
ok
ok'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		! partsim wait conns n1 n2 1 within 5s
		send a 0123456789
		! partsim wait carried n1 n2 11 within 5s
		! partsim -q cut n1 n2
		send a x
		! partsim wait bit n1 n2 within 5s
	EOF
}

@test "partsim: an idle connection is no evidence" {
	up
	want='partsim: cut touched nothing
ok'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		! partsim -q cut n1 n2
		! partsim assert bit 2>&1
		send a x
		! partsim wait bit within 5s
	EOF
}

@test "partsim -f: a scenario; an unknown word is told with its line" {
	printf 'node n1\nnode n2\n\nfrobnicate n1\n' >bad
	run -65 partsim up -f bad
	assert_eq "$stderr" 'partsim: bad:4: unknown word "frobnicate"'
	[ ! -e net ]
	printf 'node n1\nnode n2\ncut n1 n9\n' >bad
	run -66 partsim up -f bad
	assert_eq "$stderr" 'partsim: bad:3: no node "n9"'
	printf 'node n1\nnode n2\nat +50ms quit\n' >good
	run -0 partsim up -f good
	assert_eq "$output" ready
	run -66 partsim up -f missing
}

@test "partsim: the log replays as it is" {
	up 5
	partsim -q partition majority
	partsim -q partition bridge
	partsim -q delay n1 n2 5ms jitter 1ms
	partsim -q cut n1 n2 mode drop p 0.5 count 7
	partsim -q heal
	partsim log >log
	partsim log -d >decisions
	partsim -q quit
	wait_status 0
	up 1 -f "$PWD/log"
	run -0 partsim wait idle within 5s
	partsim log -d >again
	# The second net brought a seed and a node of its own.
	run -0 diff <(grep -Ev '^(seed|node n1$)' decisions) \
	    <(grep -Ev '^(seed|node n1$)' again)
}

@test "partsim: same seed, same traffic, same decisions, byte for byte" {
	local round
	for round in 1 2 3; do
		up 3
		partsim -q frame all all line
		partsim -q loss all all 0.3
		partsim -q dup all all 0.2
		partsim -q reorder all all 0.1
		partsim -q corrupt all all 0.1
		partsim -q partition majority
		partsim -q heal
		partsim -q cut n1 n3 p 0.5
		{
			printf 'listen L net/n2/raft\nlisten M net/n3/raft\n'
			for i in 1 2 3 4; do
				printf 'open a%d net/n1/to/n2\n' "$i"
				printf 'accept b%d L\n' "$i"
				printf 'open c%d net/n1/to/n3\n' "$i"
				for j in $(seq 50); do
					printf 'send a%d line %d\n' "$i" "$j"
				done
				[ "$round" != 2 ] || printf '! sleep 0.02\n'
			done
			for i in 1 2 3 4; do
				printf 'shut a%d\n' "$i"
			done
			for i in 1 2 3 4; do
				printf 'recv b%d\n' "$i"
			done
			# All of it has passed when the stream has ended.
			printf '! partsim wait carried n1 n2 1000 within 5s\n'
		} >script
		run -0 "$peer" play <script
		wait_until 5 partsim -q assert conns n1 n2 0
		partsim log -d >"decisions.$round"
		partsim -q quit
		wait_status 0
	done
	grep -q 'n1 n2 conn 4 frame' decisions.1
	cmp decisions.1 decisions.2
	cmp decisions.1 decisions.3
}

@test "partsim -l, -J: the log as it happens" {
	up 2 -l log.json -J
	partsim -q cut n1 n2
	partsim -q quit
	wait_status 0
	run -0 perl -MJSON::PP -ne '$n++ if decode_json($_)->{ev} eq "cut";
	    END { exit($n != 1) }' log.json
}

@test "partsim -t: a ShiViz trace whose clocks grow" {
	up 2 -t trace
	want='b: one
a: two'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		send a one
		recv b
		send b two
		recv a
	EOF
	partsim -q quit
	wait_status 0
	run -0 sed -n '3,$p' trace
	assert_eq "$(cut -d' ' -f2- <<<"$output")" \
	    'n1 {"n1":1} send 4 bytes to n2 conn 1
n2 {"n1":1,"n2":1} receive 4 bytes from n1 conn 1
n2 {"n1":1,"n2":2} send 4 bytes to n1 conn 1
n1 {"n1":2,"n2":2} receive 4 bytes from n2 conn 1'
}

@test "partsim diagram: 80 columns, and SVG" {
	up 7
	want=''
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		send a one
		! partsim -q cut all all
		send a two
	EOF
	run -0 partsim diagram
	assert_match "$output" '--4--+>'
	assert_match "$output" 'x'
	assert_eq "$(awk 'length > 80' <<<"$output")" '' 'lines too wide'
	run -0 partsim diagram svg
	assert_match "$output" '^<svg .*</svg>$'
}

@test "partsim chaos: seeded, with floors, ends healed" {
	up 3
	run -0 partsim chaos 600ms min 50ms max 100ms
	run -0 partsim wait idle within 10s
	run -0 partsim log
	assert_match "$output" 'by chaos'
	run -0 partsim assert open all all
	run -0 partsim chaos 60s
	run -0 partsim chaos stop
	run -0 partsim wait idle within 1s
}

@test "partsim liveness: the core is healed, the rest stays as it is" {
	up 5
	partsim -q partition n1 n2 n3 n4 n5
	partsim -q delay all all 5ms
	run -0 partsim liveness n1,n2,n3
	run -0 partsim assert open n1,n2,n3 n1,n2,n3
	run -0 partsim assert blocked n4,n5 n1,n2,n3
	run -0 partsim status n1 n2
	assert_eq "$(grep -c delay <<<"$output")" 0 'delays in the core'
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

# bats test_tags=slow
@test "partsim: 1 GiB cut, held and healed, not a byte lost (slow)" {
	up
	local kind at via
	partsim -q link n1 n2 listen "tcp:127.0.0.1:$port" \
	    to "tcp:127.0.0.1:$((port + 1))"
	for kind in unix tcp; do
		case $kind in
		unix) at=net/n2/raft via=net/n1/to/n2 ;;
		tcp) at=tcp:127.0.0.1:$((port + 1)) via=tcp:127.0.0.1:$port ;;
		esac
		spawn_ready "$peer" drain "$at"
		local drain=$spawned out=$spawn_out
		spawn "$peer" source "$via" 1073741824
		partsim -q wait bit n1 n2 within 1ms 2>/dev/null || :
		for _ in 1 2 3 4 5; do
			partsim -q cut n1 n2
			partsim -q wait 20ms
			partsim -q heal
			partsim -q hold n1 n2
			partsim -q wait 20ms
			partsim -q release n1 n2
		done
		wait_status 0 "$drain"
		run -0 grep bytes "$out"
		assert_match "$output" '^1073741824 bytes'
		run -0 partsim assert bit
	done
}
