#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2034	# bats sets status, output, stderr
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
	# Nothing but the clock tells that it is so.
	run -0 partsim wait idle within 1h
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
	# What nobody could want, or wait for.
	run -64 partsim repeat 1001 heal
	run -64 partsim repeat 2 log
	run -0 partsim stop
	run -0 partsim at +1h cut n1 n2
	assert_match "$output" 'id=4 at=36'
	run -0 partsim at +1h repeat 2 cut n1 n2
	run -0 partsim stop 4
	assert_eq "$output" 'ok stopped=1'
	run -0 partsim status
	assert_match "$output" 'scheduled=1 '
	# From the beginning of the connection, which has not been a minute.
	run -0 partsim at 60s cut n1 n2
	run -0 partsim assert open n1 n2
	printf 'at 1h heal\nwait 300ms\nat 1h heal\n' >lines
	run -0 partsim <lines
	assert_eq "$(grep -o 'at=[0-9]*\.[0-9]' <<<"$output" | sort -u | wc -l)" 1 \
	    'times, from the beginning of the connection'
	run -0 partsim at 0 cut n1 n2
	run -0 partsim assert blocked n1 n2
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
ok
partsim: cut touched nothing'
	plays <<-'EOF'
		listen L net/n2/raft
		open a net/n1/to/n2
		accept b L
		! partsim -q cut n1 n2
		! partsim assert bit 2>&1
		send a x
		! partsim wait bit within 5s
		! partsim -q heal
		! partsim -q cut n1 n2
		! partsim assert bit 2>&1
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

@test "partsim: decisions do not depend on time, nor on what the others do" {
	local round
	for round in 1 2; do
		up 3
		partsim -q frame n1 n2 line
		partsim -q reorder n1 n2 0.5
		partsim -q loss n1 n2 0.2
		partsim -q delay n1 n2 1ms jitter 1ms
		{
			printf 'listen L net/n2/raft\nopen a net/n1/to/n2\naccept b L\n'
			for i in $(seq 12); do
				printf 'send a %s\n' "$i"
				# Longer than a reordered message waits.
				[ $round != 2 ] || printf '! partsim -q wait 25ms\n'
			done
			printf 'shut a\n'
		} >script
		run -0 "$peer" play <script
		wait_until 5 partsim -q assert conns n1 n2 0
		partsim log -d >"decisions.$round"
		partsim -q quit
		wait_status 0
	done
	grep -q reorder decisions.1
	run -0 diff decisions.1 decisions.2
	# Another seed decides otherwise.
	spawn_ready partsim up -s 43 -n 3
	sed -i '/wait/d' script
	partsim -q frame n1 n2 line
	partsim -q reorder n1 n2 0.5
	partsim -q loss n1 n2 0.2
	partsim -q delay n1 n2 1ms jitter 1ms
	run -0 "$peer" play <script
	wait_until 5 partsim -q assert conns n1 n2 0
	run -1 diff <(partsim log -d | grep conn) <(grep conn decisions.1)
}

@test "partsim: what waits for the same is answered at the same time" {
	up
	mkfifo in
	exec 8<>in
	# They stay when they have their answer, so that nothing else happens.
	cat >waiter <<-'EOF'
		use Socket; $| = 1; socket(S, AF_UNIX, SOCK_STREAM, 0);
		connect(S, sockaddr_un("net/control")) or die;
		syswrite(S, "wait conns n1 n2 1\n"); print scalar <S>; <STDIN>;
	EOF
	spawn perl waiter <in
	local one=$spawn_out
	spawn perl waiter <in
	local two=$spawn_out
	wait_until 5 controls 2
	spawn_ready "$peer" echo net/n2/raft
	spawn "$peer" many net/n1/to/n2 1 <in
	wait_until 5 grep -qx ok "$one"
	wait_until 5 grep -qx ok "$two"
	printf 'q\nq\nq\n' >&8
}

# So many control connections there are, beside the listening socket.
controls() { [ "$(grep -c " $PARTSIM_NET/control\$" /proc/net/unix)" -gt "$1" ]; }

# Processor time of the net, in hundredths of a second.
ticks() { awk '{ print $14 + $15 }' "/proc/$net/stat"; }

@test "partsim: verbs behind a wait cost nothing meanwhile" {
	up
	local before
	before=$(ticks)
	spawn perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0);
	    connect(S, sockaddr_un("net/control")) or die;
	    syswrite(S, "wait 1s\n" . ("seed # " . "x" x 80 . "\n") x 400);
	    shutdown(S, 1); $n++ while <S>; print "$n\n"'
	wait_status 0
	assert_file "$spawn_out" 401
	# Spinning takes 100.
	[ $(($(ticks) - before)) -lt 40 ]
}

@test "partsim: who waits cannot fill the net with verbs" {
	up
	run -0 perl -MSocket -e 'socket(S, AF_UNIX, SOCK_STREAM, 0);
	    connect(S, sockaddr_un("net/control")) or die;
	    syswrite(S, "wait 1h\n"); fcntl(S, 4, 2048);
	    for (1..100) { for (1..1000) { $n += syswrite(S, "seed 1\n" x 100) }
	        select(undef, undef, undef, 0.001) } print "$n\n"'
	# What the kernel holds for it, and two lines of the longest.
	[ "$output" -lt 2000000 ]
}

@test "partsim run: a scenario that failed costs nothing either" {
	printf 'assert bit\n' >scenario
	spawn partsim run -n 2 -f scenario perl -e 'select(undef, undef, undef, 1)'
	net=$spawned
	# shellcheck disable=SC2016
	wait_until 5 eval '[ -e net/control ]'
	local last=0 now
	while now=$(ticks 2>/dev/null) && [ -n "$now" ]; do
		last=$now
		nap
	done
	[ "$last" -lt 40 ]
	wait_status 1
	grep -q 'scenario:1: no fault was ever set' "$spawn_err"
}

@test "partsim -f: a line that fails later is told with its number" {
	printf 'node n1\nnode n2\n\nat +20ms cut n1 n3\nwait 1h\n' >scenario
	run -66 partsim up -f scenario
	assert_eq "$stderr" 'partsim: scenario:4: no node "n3"'
	printf 'node n1\nnode n2\nwait conns n1 n2 1 within 20ms\n' >scenario
	run -75 partsim up -f scenario
	assert_match "$stderr" '^partsim: scenario:3: it did not come'
}

@test "partsim -f -: a scenario from standard input" {
	printf 'node n1\nnode n2\ncut n1 n2\nat +20ms quit\n' |
	    run -0 partsim up -f -
	printf 'node n1\nnode n2\ncut n1 n2\n' >in
	run -0 partsim run -f - partsim assert blocked n1 n2 <in
}

@test "partsim -l, -J: the log as it happens" {
	up 2 -l log.json -J
	partsim -q cut n1 n2
	partsim -q quit
	wait_status 0
	run -0 perl -MJSON::PP -ne '$n++ if decode_json($_)->{ev} eq "cut";
	    END { exit($n != 1) }' log.json
}

@test "partsim -t, -l: what cannot be written is told" {
	local option
	for option in -t -l; do
		spawn partsim up -q -n 2 $option /dev/full --ready-fd 7 7>"fd$option"
		wait_until 5 test -s "fd$option"
		partsim -q cut n1 n2
		partsim -q quit
		wait_status 74
		grep -q '/dev/full: not all of it' "$spawn_err"
	done
	run -73 partsim up -t nowhere/trace
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
	# How ShiViz is to read it, and a line between executions: none.
	assert_eq "$(head -n 2 trace)" \
	    '(?<timestamp>\d+) (?<host>\S+) (?<clock>\{.*\}) (?<event>.*)'
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
	assert_match "$output" '\|\.+open #1\.*>\|'
	assert_match "$output" '\|-+4-+>\|'
	assert_match "$output" '== cut all all'
	assert_match "$output" '\|-*held 4-+x\|'
	assert_eq "$(awk 'length > 80' <<<"$output")" '' 'lines too wide'
	run -0 partsim diagram svg
	assert_match "$output" '^<svg .*</svg>$'
	assert_match "$output" '>cut all all</text>'
	assert_match "$output" '>held 4</text>'
	# Every element is closed.
	run -0 perl -0777 -ne 'while (m{<(/?)(\w+)[^>]*?(/?)>}g) {
	    next if $3; $1 ? (pop @s eq $2 or die $2) : push @s, $2 }
	    END { exit(@s != 0) }' <<<"$output"
	partsim -q quit
	wait_status 0
	# As many lanes as there is room for, and no more columns.
	up 20
	perl -MSocket -e 'for (2 .. 20) { socket(S, AF_UNIX, SOCK_STREAM, 0);
	    connect(S, sockaddr_un("net/n1/to/n$_")) or die }'
	partsim -q wait conns all all 0
	run -0 partsim diagram
	assert_match "$output" ' n17'
	assert_eq "$(awk 'length > 80' <<<"$output")" '' 'lines too wide'
}

@test "partsim chaos: seeded, with floors, ends healed" {
	up 3
	run -0 partsim chaos 600ms min 50ms max 100ms
	run -0 partsim wait idle within 10s
	run -0 partsim log
	assert_match "$output" 'by chaos'
	run -0 partsim assert open all all
	# Stopped in the middle, it mends what it broke; heal stops it too.
	local stop
	for stop in 'chaos stop' heal; do
		partsim -q chaos 1h faults partition min 20ms max 1h
		wait_until 5 eval 'partsim status | grep -q blocked'
		run -0 partsim $stop
		run -0 partsim wait idle within 1s
		run -0 partsim assert open all all
	done
}

@test "partsim chaos: the same seed breaks the same, and keeps off what is broken" {
	local round
	for round in 1 2; do
		up 4
		partsim -q delay n1 n2 5ms
		partsim -q hold n3 n4
		partsim -q chaos 800ms min 10ms max 30ms
		partsim -q wait idle within 10s
		run -0 partsim assert blocked n3,n4 n4,n3
		run -0 partsim status n1 n2
		assert_eq "$(grep -c delay:5ms <<<"$output")" 2 'delays that were there'
		partsim -q release n3 n4
		run -0 partsim assert open all all
		partsim log -d | grep -v -e '^delay n1 n2 5ms' -e '^hold' \
		    -e '^release' >"chaos.$round"
		partsim log | grep -q 'n[12] n[12]: left as it is\|n[34] n[34]: left'
		partsim -q quit
		wait_status 0
	done
	[ "$(wc -l <chaos.1)" -gt 20 ]
	# The last may have come just before the end or not.
	run -0 diff <(head -n 20 chaos.1) <(head -n 20 chaos.2)
}

@test "partsim chaos: only the faults asked for, each state long enough" {
	up 3
	spawn sleep 60
	partsim -q node n1 pid "$spawned"
	partsim -q chaos 700ms faults pause,reset min 40ms max 60ms
	partsim -q wait idle within 10s
	run -0 partsim log json
	# shellcheck disable=SC2016
	run -0 perl -MJSON::PP -ne '$e = decode_json($_);
	    next unless ($e->{by} // "") eq "chaos";
	    die $_ unless $e->{ev} =~ /^(pause|resume|reset)$/;
	    die "too soon: $_" if $last && $e->{t} - $last < 0.039;
	    $last = $e->{t}; $n++; END { exit($n < 3) }' <<<"$output"
	assert_match "$(cut -d' ' -f3 "/proc/$spawned/stat")" '[SRD]'
}

@test "partsim liveness: the core is healed, the rest stays as it is" {
	up 5
	spawn sleep 60
	partsim -q node n2 pid "$spawned"
	partsim -q pause n2
	partsim -q partition n1 n2 n3 n4 n5
	partsim -q flap n1,n4 n2,n5 up 5ms down 5ms
	partsim -q chaos 1h min 5ms max 5ms
	partsim -q delay all all 5ms
	run -0 partsim liveness n1,n2,n3
	run -0 partsim wait idle within 1s
	partsim log >before
	partsim -q wait 50ms
	partsim log >after
	assert_eq "$(count flap after)" "$(count flap before)" 'flaps afterwards'
	assert_match "$(cut -d' ' -f3 "/proc/$spawned/stat")" '[SRD]'
	run -0 partsim assert open n1,n2,n3 n1,n2,n3
	run -0 partsim assert blocked n4,n5 n1,n2,n3
	run -0 partsim status n1 n2
	assert_eq "$(grep -c delay <<<"$output")" 0 'delays in the core'
}
