#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2034	# bats sets status, output, stderr
# Shaping and events, with real sockets.

bats_require_minimum_version 1.8.0
load helpers
load partsim

# --- shaping ------------------------------------------------------------------------------------

@test "partsim delay: old connections and new, opened by either, each direction" {
	up
	want='b: silent
b: there
a: silent
a: back
OTHER: nobody
OTHER: new'
	each <<-'EOF'
		! partsim -q delay n1 n2 400ms
		send a there
		recv b 40
		recv b
		send b back
		recv a 40
		recv a
		OPEN
		send NEW new
		! partsim -q hold n1 n2
		TAKE 10
		! partsim -q release n1 n2
		TAKE
		recv OTHER
		! partsim -q clear n1 n2
		close a
		close b
		close c
		close d
	EOF
	# Only from n1 to n2.
	want='b: silent
a: back'
	each <<-'EOF'
		! partsim -q delay n1 n2 1m oneway
		send a there
		send b back
		recv b 40
		recv a
		! partsim -q clear n2 n1
		close a
		close b
	EOF
}

@test "partsim clear: what was delayed comes at once" {
	up
	want='b: silent
b: x
b: y'
	both <<-'EOF'
		! partsim -q delay n1 n2 1h
		send a x
		recv b 40
		! partsim -q clear n1 n2
		recv b
		! partsim -q rate n1 n2 1bps
		! partsim -q slice n1 n2 1 gap 1h
		send a y
		! partsim -q clear
		recv b
		close a
		close b
	EOF
}

@test "partsim rate, slice: open connections, Unix and TCP" {
	up
	local kind at via source out
	partsim -q link n1 n2 listen "tcp:127.0.0.1:$((port + 1))" \
	    to "tcp:127.0.0.1:$port"
	for kind in unix tcp; do
		case $kind in
		unix) at=net/n2/raft via=net/n1/to/n2 ;;
		tcp) at=tcp:127.0.0.1:$port via=tcp:127.0.0.1:$((port + 1)) ;;
		esac
		spawn_ready "$peer" drain "$at"
		local drain=$spawned out=$spawn_out
		# Under way before there is a rate, and all of it after.
		partsim -q cut n1 n2
		spawn "$peer" source "$via" 300000
		source=$spawned
		partsim -q wait bit n1 n2 within 5s
		partsim -q rate n1 n2 8mbit oneway
		partsim -q slice n1 n2 1000
		partsim -q heal
		wait_status 0 "$drain"
		wait_status 0 "$source"
		assert_match "$(tail -n 1 "$out")" '^300000 bytes, [01] MB/s'
		run -0 partsim assert bit
		partsim -q clear
	done
}

@test "partsim limit-bytes: counts on whatever else is set, ends or resets" {
	up
	want='b: abc
b: defg
b: end in a line
a: end
d: 1
d: 2
d: reset'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		! partsim -q limit-bytes n1 n2 10
		send a abc
		recv b
		! partsim -q delay n1 n2 1ms
		! partsim -q slice n1 n2 100
		send a defg
		recv b
		send a hijk
		recv b
		recv a
		! partsim -q clear
		! partsim -q limit-bytes n1 n2 4 mode reset oneway count 1
		open c net/n1/to/n2
		accept d L
		send c 1
		recv d
		send d kept in the queue
		send c 2
		recv d
		recv d
		! partsim -q assert conns n1 n2 0
	EOF
}

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

@test "partsim loss, dup, reorder, corrupt: over TCP, opened by either, one way" {
	up
	partsim -q frame n1 n2 line
	want='b: 2
b: 3
b: 3
b: 5
b: 4
a: back
b: whole'
	each <<-'EOF'
		! partsim -q loss n1 n2 1 count 1 oneway
		send a 1
		send a 2
		recv b
		! partsim -q clear
		! partsim -q dup n1 n2 1 count 1 oneway
		send a 3
		recv b
		recv b
		! partsim -q clear
		! partsim -q reorder n1 n2 1 count 1 oneway
		send a 4
		send a 5
		recv b
		recv b
		! partsim -q clear
		! partsim -q loss n1 n2 1 oneway
		send b back
		recv a
		! partsim -q clear
		send a whole
		recv b
		close a
		close b
	EOF
}

@test "partsim: messages of every framing" {
	up
	local one two frame
	for frame in u32be u32le resp; do
		partsim -q frame n1 n2 $frame
		partsim -q dup n1 n2 1
		partsim -q corrupt n1 n2 1 count 1
		case $frame in
		u32be) one='\0\0\0\3abc' two='\0\0\0\0' ;;
		u32le) one='\3\0\0\0abc' two='\0\0\0\0' ;;
		resp) one='*1\r\n$3\r\nabc\r\n' two='+OK\r\n' ;;
		esac
		spawn_ready perl -MSocket -e 'socket(L, AF_UNIX, SOCK_STREAM, 0);
		    unlink "net/n2/raft"; bind(L, sockaddr_un("net/n2/raft"));
		    listen(L, 5); $| = 1; print "ready\n"; accept(S, L);
		    print while sysread(S, $_, 1000)'
		# shellcheck disable=SC2059
		printf "$one$two" | perl -MSocket -e 'socket(S, AF_UNIX,
		    SOCK_STREAM, 0); connect(S, sockaddr_un("net/n1/to/n2"));
		    # Byte by byte: a message is one however it comes.
		    while (sysread(STDIN, $b, 1)) { syswrite(S, $b) }
		    shutdown(S, 1); sysread(S, $b, 1)'
		wait_status 0
		# shellcheck disable=SC2059
		printf "ready\n$one$one$two$two" >want
		# One bit of the content differs in both copies of the first.
		run -1 cmp want "$spawn_out"
		assert_eq "$(cmp -l want "$spawn_out" | wc -l)" 2 'bytes that differ'
		partsim -q clear
	done
}

@test "partsim: half a message keeps its place before an end, a half-close, no frame" {
	up
	partsim -q frame n1 n2 line
	want='b: 7
b: end in a line
d: silent
d: end in a line
c: still
f: half
f: 8'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		! partsim -q reorder n1 n2 1 count 1
		send a 7
		raw a half
		close a
		recv b
		recv b
		! partsim -q clear
		open c net/n1/to/n2
		accept d L
		raw c half
		recv d 40
		! partsim -q half-close n1 n2
		recv d
		send d still
		recv c
		close c
		close d
		open e net/n1/to/n2
		accept f L
		raw e ha
		! partsim -q wait conns n1 n2 1 within 5s
		raw e lf
		send e
		recv f
		raw e 8
		! partsim -q frame n1 n2 none
		send e
		recv f
	EOF
}

@test "partsim frame none: what there is of a message goes on at once" {
	up
	partsim -q frame n1 n2 line
	want='ok
b: abcdefg'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		raw a abcde
		! partsim wait carried n1 n2 5 within 50ms 2>&-
		! partsim -q frame n1 n2 none
		! partsim wait carried n1 n2 5 within 5s
		send a fg
		recv b
	EOF
}

@test "partsim: a doubled message is not reordered, a reordered one not for ever" {
	up
	partsim -q frame n1 n2 line
	partsim -q dup n1 n2 1
	partsim -q reorder n1 n2 1
	want='b: 1
b: 1
b: 2'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		send a 1
		recv b
		recv b
		! partsim -q clear
		! partsim -q reorder n1 n2 1
		send a 2
		recv b
	EOF
	# It was late, but changed places with none.
	run -1 partsim assert bit
	assert_match "$stderr" 'reorder touched nothing'
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

@test "partsim reset, half-close: opened by either" {
	up
	want='a: x
b: y
a: reset
b: reset'
	each <<-'EOF'
		send b x
		recv a
		send a y
		recv b
		! partsim -q reset n2 n1
		recv a
		recv b
		close a
		close b
	EOF
	want='b: end
a: still'
	each <<-'EOF'
		! partsim -q half-close n1 n2
		recv b
		send b still
		recv a
		close a
		close b
	EOF
}

@test "partsim reset p: drawn anew each time" {
	up
	spawn_ready "$peer" echo net/n2/raft
	mkfifo in
	exec 8<>in
	spawn "$peer" many net/n1/to/n2 64 <in
	wait_until 5 partsim -q assert conns n1 n2 64
	for _ in $(seq 40); do partsim -q reset n1 n2 p 20%; done
	# 64 * 0.8^40 are 0.008.
	run -0 partsim assert conns n1 n2 0
	run -0 partsim log -d
	assert_match "$output" 'conn [0-9]+ event 2 reset'
	echo q >&8
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

@test "partsim: what one end does to a connection reaches the other" {
	up
	want='b: last
b: reset'
	both <<-'EOF'
		send a last
		send b not taken
		recv b
		! partsim -q delay n1 n2 50ms
		# TCP says RST, a Unix socket that something was not read.
		reset a
		recv b
		! partsim -q clear
		close b
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
