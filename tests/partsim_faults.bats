#!/usr/bin/env bats
# shellcheck disable=SC2154	# bats sets status, output, stderr
# Every fault, with real sockets.

bats_require_minimum_version 1.8.0
load helpers
load partsim

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
