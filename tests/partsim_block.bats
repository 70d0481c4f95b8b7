#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2034	# bats sets status, output, stderr
# What blocks, with real sockets.

bats_require_minimum_version 1.8.0
load helpers
load partsim

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

@test "partsim: sockets made while a link refuses do so as well" {
	up
	want='a: refused
b: refused
a: reset'
	plays <<-EOF
		! partsim -q cut n1 n2 mode refuse
		! partsim -q socket api
		! partsim -q link n1 n2 listen tcp:127.0.0.1:$port to tcp:127.0.0.1:$((port + 1))
		open a net/n1/to/n2.api
		open b tcp:127.0.0.1:$port
		! partsim -q heal
		open a tcp:127.0.0.1:$port
		recv a
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
	# A new choice each time.
	for _ in $(seq 12); do partsim partition majority; done | sort -u >chosen
	[ "$(wc -l <chosen)" -gt 4 ]
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
