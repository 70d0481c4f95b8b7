#!/usr/bin/env bats
# shellcheck disable=SC2154	# bats sets status, output, stderr
# What happens when, and what proves it.

bats_require_minimum_version 1.8.0
load helpers
load partsim

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
