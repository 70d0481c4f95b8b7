#!/usr/bin/env bats
# shellcheck disable=SC2154	# bats sets status, output, stderr
# Every fault, with real sockets.

bats_require_minimum_version 1.8.0
load helpers
load partsim

# --- blocking -----------------------------------------------------------------------------

@test "partsim: each way to block holds both directions, old connections and new" {
	up 2
	local verb lift
	for verb in 'cut n1 n2' 'partition n1 n2' 'partition halves' 'isolate n2' \
	    'hold n1 n2' 'flap n1 n2 down'; do
		case $verb in
		hold*) lift='release n1 n2' ;;
		flap*) lift='flap n1 n2 up' ;;
		cut*) lift='heal n2 n1' ;;
		*) lift=heal ;;
		esac
		want='b: silent
a: silent
OTHER: nobody
b: one
a: two
OTHER: new'
		each <<-EOF
			! partsim -q $verb
			send a one
			send b two
			recv b 40
			recv a 40
			OPEN
			send NEW new
			TAKE 40
			! partsim -q assert bit n1 n2
			! partsim -q $lift
			recv b
			recv a
			TAKE
			recv OTHER
			close a
			close b
			close c
			close d
		EOF
	done
}

@test "partsim oneway: new connections, opened by either" {
	up
	# One that n2 opens is there at once; what n1 answers is not.
	want='c: hello
d: silent
d: late'
	conversation unix back '! partsim -q oneway n1 n2
		OPEN
		TAKE
		send d hello
		recv c
		send c late
		recv d 40
		! partsim -q heal
		recv d' "$want"
	want='d: nobody
d: hello'
	conversation tcp '' '! partsim -q oneway n1 n2
		OPEN
		send c hello
		TAKE 40
		! partsim -q heal
		TAKE
		recv d' "$want"
}

@test "partsim: a new connection is reset where its answers would be" {
	up
	want='NEW: END
d: hello'
	both <<-'EOF'
		! partsim -q oneway n2 n1 mode reset
		open c VIA
		recv c
		! partsim -q assert bit n1 n2
		! partsim -q heal
		open c VIA
		accept d L
		send c hello
		recv d
	EOF
}

@test "partsim: modes, old connections and new, opened by either" {
	up
	want='OTHER: nobody
a: reset
NEW: reset'
	each <<-'EOF'
		! partsim -q cut n1 n2 mode drop
		send a lost
		OPEN
		send NEW lost
		TAKE 40
		! partsim -q wait bit n1 n2 within 5s
		! partsim -q heal
		recv a
		recv NEW
		close a
		close b
		close c
	EOF
	want='a: x
b: y
a: reset
b: reset
NEW: END
OTHER: again'
	each <<-'EOF'
		send b x
		recv a
		send a y
		recv b
		! partsim -q cut n1 n2 mode reset
		recv a
		recv b
		OPEN
		recv NEW
		! partsim -q heal
		close NEW
		OPEN
		TAKE
		send NEW again
		recv OTHER
		close a
		close b
		close c
		close d
	EOF
	want='NEW: refused
OTHER: again'
	each <<-'EOF'
		! partsim -q cut n1 n2 mode refuse
		OPEN
		! partsim -q heal
		OPEN
		TAKE
		send NEW again
		recv OTHER
		close a
		close b
		close c
		close d
	EOF
}

@test "partsim: the strongest mode counts, any fault blocks, each lifts its own" {
	up
	want='b: silent
a: reset
d: hello'
	both <<-'EOF'
		! partsim -q hold n1 n2
		! partsim -q cut n1 n2 mode drop
		send a x
		recv b 40
		! partsim -q release n1 n2
		! partsim -q assert blocked n1,n2 n2,n1
		! partsim -q heal n1 n2
		recv a
		! partsim -q cut n1 n2
		! partsim -q partition n1 n2
		! partsim -q partition n1,n2
		! partsim -q assert blocked n1 n2
		! partsim -q heal
		open c VIA
		accept d L
		send c hello
		recv d
	EOF
}

@test "partsim heal: says what it had to reset" {
	up
	want='ok links=2 conns=1 reset=0 closed=1'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		! partsim -q cut n1 n2 mode drop
		send a x
		! partsim -q wait bit within 5s
		! partsim heal
	EOF
}

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

@test "partsim flap: traffic stops and goes, p and count spare some" {
	up
	want='b: silent
b: x
d: spared'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		! partsim -q flap n1 n2 up 1ms down 1h count 1
		! for i in 1 2 3 4 5 6 7 8 9; do partsim -q assert blocked n1 n2 2>&- && break; partsim -q wait 10ms; done
		send a x
		recv b 40
		open c net/n1/to/n2
		accept d L
		! partsim -q flap n1 n2 stop
		recv b
		send c spared
		recv d
	EOF
	run -0 partsim log
	assert_match "$output" 'flap n1 n2 down count 1 # links=2 conns=1 by flap'
	run -0 partsim flap n1 n2 up 1ms down 1ms p 0
	run -0 partsim flap n1 n2 down p 0
	run -0 partsim assert open n1 n2
}

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
	want='b: abcdefg'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		raw a abcde
		! partsim wait carried n1 n2 5 within 50ms 2>&-
		! partsim -q frame n1 n2 none
		! partsim -q wait carried n1 n2 5 within 5s
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
