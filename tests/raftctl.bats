#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2016	# bats sets status, output, stderr
# raftctl: every verb, option and status, against real nodes.

bats_require_minimum_version 1.8.0
load helpers
load raft

setup_file() {
	[ -x "${DSUTILS_BIN:-build/bin}/raftnode" ] || skip 'no libraft'
}

setup() {
	setup_test
	export BATS_TEST_TIMEOUT=60
	export RAFT_DIR=$BATS_TEST_TMPDIR/raft
}

gone() { ! kill -0 "$1" 2>/dev/null; }

# The sockets of TCP that a process has.
tcp_of() {
	local fd
	for fd in /proc/"$1"/fd/*; do
		fd=$(readlink "$fd") || continue
		[[ $fd = socket:* ]] || continue
		fd=${fd#socket:[}
		awk -v i="${fd%]}" '$10 == i' /proc/net/tcp /proc/net/tcp6
	done
}

now_ms() { echo $(($(now_us) / 1000)); }

kill_all() {
	local i
	for ((i = 1; i <= nodes; i++)); do node_kill KILL "$i"; done
}

# --- without a cluster -------------------------------------------------------------

@test "raftctl: usage" {
	run -64 raftctl
	run -64 raftctl frobnicate
	unset RAFT_DIR
	run -64 raftctl get a
	assert_match "$stderr" RAFT_DIR
	export RAFT_DIR=raft
	run -64 raftctl -c never get a
	run -64 raftctl -i x get a
	run -64 raftctl -W x get a
	run -64 raftctl -t 0 put a b
	run -64 raftctl -r x cas a b
	run -64 raftctl -E 256 lock l true
	run -64 raftctl -n 0 init
	run -64 raftctl init
	run -64 raftctl get -f a
	assert_match "$stderr" 'takes no -f'
	run -66 raftctl get a
	mkdir raft
	run -66 raftctl get a
	run -66 raftctl member add n4
}

@test "raftctl: init makes a cluster once" {
	run -0 raftctl init -n 3
	assert_eq "$output$stderr" ''
	assert_eq "$(sed -n 1p raft/n2/data/cluster)" 'dsutils-raft 1'
	assert_eq "$(sed -n 3,5p raft/n2/data/cluster | xargs -d '\n')" \
	    'node n2 state new voters n1 n2 n3'
	run -73 raftctl init -n 3
	run -0 raftctl -C other init -n 4
	assert_match "$stderr" 'no more failures than 3'
	run -64 raftctl -C third init -n 33
	# Nobody runs yet.
	run -69 raftctl -W 0.3 get a
	run -69 raftctl -W 0.3 put a 1
	run -69 raftctl -W 0.3 wait
	run -69 raftctl status
	assert_match "$output" 'n1 +down'
	assert_match "$output" 'no node answers'
	run -69 raftctl -W 0.3 lock l true
	run -69 raftctl -W 0.3 watch
	run -69 raftctl snapshot
}

# --- keys ------------------------------------------------------------------------------

@test "raftctl: put, get, del" {
	cluster 3
	run -0 raftctl put a 'x y'
	assert_eq "$output$stderr" ''
	run -0 raftctl get a
	assert_eq "$output" 'x y'
	assert_eq "$(raftctl get -l a)" "1	x y"
	printf 'no\nnewline' | raftctl put b
	assert_eq "$(raftctl get -w b | od -c)" "$(printf 'no\nnewline' | od -c)"
	assert_eq "$(raftctl get -0 b | tr '\0' '!')" 'no
newline!'
	raftctl put empty ''
	assert_eq "$(raftctl get empty)" ''
	run -1 raftctl get nothing
	assert_eq "$output$stderr" ''
	run -0 raftctl del a nothing
	run -1 raftctl del a
	run -1 raftctl get a
	run -64 raftctl put -r 1 a b
	run -64 raftctl get
	run -64 raftctl put a b c
	run -64 raftctl del
}

@test "raftctl: any node, any consistency" {
	cluster 3
	raftctl put a 1
	for c in linear leader stale; do
		for i in 1 n2 3; do
			wait_until 5 raftctl -q -i $i -c $c get a
		done
	done
	run -69 raftctl -W 0.2 -i n9 get a
}

@test "raftctl: cas by revision, value, absence" {
	cluster 1
	run -0 raftctl cas -a a 1
	run -1 raftctl cas -a a 2
	assert_eq "$output$stderr" ''
	run -0 raftctl cas -o 1 a 2
	run -1 raftctl cas -o 1 a 3
	run -0 raftctl cas -r 2 a 3
	run -1 raftctl cas -r 2 a 4
	assert_eq "$(raftctl get a)" 3
	echo 4 | raftctl cas -o 3 a
	assert_eq "$(raftctl get -w a)" 4
	run -64 raftctl cas a 5
	run -64 raftctl cas -a -r 1 a 5
	run -1 raftctl del -o 3 a
	run -1 raftctl del -r 1 a
	run -0 raftctl del -r 4 a
}

@test "raftctl: many at once count right" {
	local i pids=()
	cluster 3
	raftctl put n 0
	for i in {1..8}; do
		for _ in {1..5}; do
			until v=$(raftctl get n) &&
			    raftctl cas -o "$v" n $((v + 1)); do :; done
		done 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	assert_eq "$(raftctl get n)" 40
}

@test "raftctl: list" {
	local i
	cluster 1
	for i in 1 2 3; do raftctl put "p/$i" "v$i"; done
	raftctl put q x
	assert_eq "$(raftctl list p/ | xargs)" 'p/1 p/2 p/3'
	assert_eq "$(raftctl list -l p/2)" "p/2	2	v2"
	assert_eq "$(raftctl list -0 | tr '\0' ' ')" 'p/1 p/2 p/3 q '
	run -1 raftctl list nothing
	run -64 raftctl list a b
	# More than one page.
	seq 2500 | sed 's/.*/SET z\/& v/' | talk 1 >/dev/null
	assert_eq "$(raftctl list z/ | wc -l)" 2500
}

@test "raftctl: TTL" {
	cluster 1
	raftctl put -t 300ms a 1
	assert_eq "$(raftctl get a)" 1
	gone() { raftctl get a; [ $? -eq 1 ]; }
	wait_until 5 gone
}

# --- who is not there -------------------------------------------------------------------

@test "raftctl: 69 surely not done, 79 perhaps" {
	cluster 3
	raftctl put a 1
	wait_until 5 agreed
	for i in 1 2; do node_kill KILL $i; done
	# n3 notices that it is alone.
	refuses() {
		run raftctl -i n3 -W 0.1 put a 2
		[ "$status" -eq 69 ]
	}
	wait_until 5 refuses
	run -69 raftctl -W 0.3 get a
	assert_eq "$(raftctl -c stale -i n3 get a)" 1
	# One that sleeps may have taken it.
	node_kill STOP 3
	run -79 raftctl -i n3 -W 0.5 put a 3
	assert_match "$stderr" 'may or may not'
	run -69 raftctl -i n3 -W 0.5 get a
	run -79 raftctl -i n3 -W 0 put a 3
}

@test "raftctl: a write survives the death of the leader" {
	local l
	cluster 3
	l=$(leader)
	node_kill STOP "${l#n}"
	run -0 raftctl -W 10 put a 1
	node_kill CONT "${l#n}"
	wait_until 10 agreed
	assert_eq "$(raftctl get -l a)" "1	1"
}

@test "raftctl: status in words" {
	cluster 3
	raftctl put a 1
	wait_until 5 agreed
	run -0 raftctl status
	assert_match "$output" '3 voters, a majority is 2, 3 answer: 1 more may fail'
	assert_eq "$(grep -c -E '^n[123] +(leader|follower)' <<<"$output")" 3
	node_kill KILL 1
	wait_until 5 has_leader
	run -0 raftctl status
	assert_match "$output" 'n1 +down'
	assert_match "$output" '2 answer: 0 more may fail'
	node_kill KILL 2
	run -69 raftctl status
	assert_match "$output" 'nothing can be decided'
}

# --- locks ---------------------------------------------------------------------------------

@test "lock: the command's status, input, arguments, environment" {
	cluster 3
	run -7 raftctl lock l sh -c 'exit 7'
	run -0 raftctl lock l -- cat < <(echo in)
	assert_eq "$output" in
	run -0 raftctl lock l printf '%s|' -a --b 'c d'
	assert_eq "$output" '-a|--b|c d|'
	run -0 raftctl lock l sh -c 'echo $RAFT_LOCK_NAME $RAFT_LOCK_TOKEN'
	assert_eq "$output" 'l 4'
	run -127 raftctl lock l /no/such/command
	run -126 raftctl lock l /
	run -143 raftctl lock l sh -c 'kill -TERM $$'
	run -79 raftctl lock l sh -c 'exit 79'
	run -64 raftctl lock l
	run -64 raftctl lock -t 1ms l true
	run -1 raftctl lock
}

@test "lock: one at a time, tokens rise" {
	local i pids=()
	cluster 3
	for i in {1..6}; do
		raftctl -W 30 lock l sh -c '
		    mkdir held || echo two holders >>wrong
		    echo $RAFT_LOCK_TOKEN >>tokens
		    s=0.05; sleep $s; rmdir held' 3>&- &
		pids+=($!)
	done
	wait "${pids[@]}"
	[ ! -e wrong ]
	assert_eq "$(wc -l <tokens)" 6
	sort -n -u -c tokens
	run -1 raftctl lock
}

@test "lock: not obtained" {
	cluster 3
	spawn raftctl lock -t 30s l sh -c 'echo held; exec sleep 60'
	wait_until 5 grep -qx held "$spawn_out"
	run -75 raftctl -W 0.5 lock l true
	assert_match "$stderr" 'not obtained'
	run -9 raftctl -q -W 0 lock -E 9 l true
	assert_eq "$stderr" ''
	assert_match "$(raftctl lock)" '^l	.*	1		0$'
	# Who waits and is interrupted leaves the line.
	( trap - INT; exec raftctl -W 30 lock l true ) 3>&- &
	spawn_pids+=($!)
	queued() { raftctl lock | grep -q '	1$'; }
	wait_until 5 queued
	kill -TERM $!
	wait_status 143 $!
	assert_match "$(raftctl lock)" '	0$'
}

@test "lock: signals reach the command" {
	cluster 3
	spawn raftctl lock l sh -c 'trap "echo usr1" USR1
	    trap "echo term; exit 5" TERM; echo held; s=0.02; while :; do sleep $s; done'
	wait_until 5 grep -qx held "$spawn_out"
	kill -USR1 "$spawned"
	wait_until 5 grep -qx usr1 "$spawn_out"
	kill -TERM "$spawned"
	wait_status 5
	grep -qx term "$spawn_out"
	run -0 raftctl -W 1 lock l true
}

@test "lock: what the command leaves in its group ends before the lock" {
	cluster 3
	run -0 raftctl lock l sh -c 'sleep 60 & echo $!'
	dead "$output"
}

@test "lock: renewed for as long as the command runs" {
	cluster 3
	run -0 raftctl lock -t 600ms l sleep 2
	run -0 raftctl -W 1 lock l true
}

@test "lock: lost while running: the command is ended in time, 79" {
	cluster 3
	spawn raftctl lock -t 2s l sh -c 'trap "echo term" TERM; echo held
	    s=0.02; while :; do sleep $s; done'
	wait_until 5 grep -qx held "$spawn_out"
	kill_all
	wait_status 79
	grep -qx term "$spawn_out"
	grep -q lost "$spawn_err"
}

@test "lock: renewals go on while the leader changes" {
	local l
	cluster 3
	spawn raftctl lock -t 3s l sh -c 'echo held; s=4; sleep $s; echo done'
	wait_until 5 grep -qx held "$spawn_out"
	l=$(leader)
	node_kill KILL "${l#n}"
	wait_status 0
	grep -qx 'done' "$spawn_out"
}

@test "lock: a guardian ends the command when raftctl is killed" {
	local pid
	cluster 3
	spawn raftctl lock -t 5s l sh -c 'echo $$; exec sleep 60'
	wait_until 5 grep -q . "$spawn_out"
	pid=$(cat "$spawn_out")
	kill -KILL "$spawned"
	wait_until 5 dead "$pid"
	# The lease ends by itself.
	run -0 raftctl -W 10 lock l true
}

@test "lock: a guardian ends the command when raftctl sleeps" {
	local pid
	cluster 3
	spawn raftctl lock -t 2s l sh -c 'echo $$; exec sleep 60'
	wait_until 5 grep -q . "$spawn_out"
	pid=$(cat "$spawn_out")
	kill -STOP "$spawned"
	# Not even raftctl could reap it: a zombie is gone.
	spawn raftctl -W 10 lock l sh -c "
	    grep '^State' /proc/$pid/status | grep -v 'Z (zombie)'; true"
	wait_status 0
	# When the next one got the lock, the first one's command was gone.
	assert_eq "$(cat "$spawn_out")" ''
	dead "$pid"
}

@test "lock: a fence keeps former holders out" {
	cluster 3
	run -0 raftctl lock l sh -c 'raftctl put -F l:$RAFT_LOCK_TOKEN a 1'
	run -0 raftctl lock l sh -c '
	    raftctl put -F l:$RAFT_LOCK_TOKEN a 2 &&
	    ! raftctl put -F l:$((RAFT_LOCK_TOKEN - 1)) a 3'
	run -1 raftctl put -F l:2 a 4
	assert_match "$stderr" FENCED
	run -1 raftctl del -F l:2 a
	assert_eq "$(raftctl get a)" 2
	run -65 raftctl put -F nonsense a 5
}

@test "elect: one leader at a time, its value can be seen" {
	cluster 3
	spawn raftctl elect -m host1 -t 5s e sh -c 'echo on; exec sleep 60'
	wait_until 5 grep -qx on "$spawn_out"
	assert_eq "$(raftctl elect e)" host1
	run -75 raftctl -W 0.3 elect e true
	kill -TERM "$spawned"
	wait_status 143
	run -1 raftctl elect e
	run -0 raftctl elect e sh -c 'raftctl elect e'
	assert_match "$output" ":[0-9]+\$"
	run -64 raftctl elect
}

watching() { [ "$(info "$1" waiting)" = 1 ]; }

anyone() {
	local i
	for i in 1 2 3; do watching $i && return; done
	return 1
}

# --- streams ------------------------------------------------------------------------------

@test "watch: from now on, and again from a revision" {
	cluster 3
	raftctl put w/0 before
	spawn raftctl watch -n 3 w/
	wait_until 5 anyone
	raftctl put w/1 a
	raftctl put x b
	raftctl put -t 100ms w/2 c
	wait_status 0
	assert_eq "$(tr '\t' ' ' <"$spawn_out" | xargs -d '\n')" \
	    '2 put w/1 a 4 put w/2 c 5 expire w/2'
	raftctl del w/1
	run -0 raftctl watch -r 2 -n 4 w/
	assert_eq "$(tr '\t' ' ' <<<"$output" | xargs -d '\n')" \
	    '2 put w/1 a 4 put w/2 c 5 expire w/2 6 del w/1'
	run -0 raftctl watch -0 -r 6 -n 1
	assert_eq "$(raftctl watch -0 -r 6 -n 1 | tr '\0\t' '! ')" '6 del w/1!'
	run -64 raftctl watch a b
}

@test "watch: nodes come and go, nothing is missed or told twice" {
	local i n watcher seen
	cluster 3
	spawn raftctl -W 20 watch -n 300 s/
	watcher=$spawned seen=$spawn_out
	wait_until 5 anyone
	(for i in {1..300}; do
		raftctl -W 10 put s/k "$i" || exit
	done) 3>&- &
	n=$!
	spawn_pids+=("$n")
	for i in 1 2 3; do
		node_kill KILL "$i"
		node_start "$i"
		raftctl -W 10 wait
	done
	wait "$n"
	wait_status 0 "$watcher"
	cut -f 4 "$seen" | cmp - <(seq 300)
	raftctl watch -r 1 -n 300 s/ | cmp - "$seen"
}

@test "watch: what is no longer there is said" {
	cluster 1
	perl -e 'print "SET k v\r\n" x 100100' | talk 1 >/dev/null
	run -1 raftctl watch -r 1
	assert_match "$stderr" 'compacted: 101 is the oldest'
}

@test "propose and tail: the same records in the same order everywhere" {
	cluster 3
	seq 1000 | sed 's/^/a/' | raftctl propose 3>&- &
	seq 1000 | sed 's/^/b/' | raftctl propose
	wait $!
	for i in 1 2 3; do raftctl -i n$i tail >tail.$i; done
	cmp tail.1 tail.2
	cmp tail.1 tail.3
	assert_eq "$(wc -l <tail.1)" 2000
	grep ^a tail.1 | cmp - <(seq 1000 | sed 's/^/a/')
	assert_eq "$(raftctl tail -l -n 1 -r 7 | cut -f 1)" 7
	printf 'x\0y\nz\0' | raftctl propose -0
	assert_eq "$(raftctl tail -0 -r 2001 | tr '\0' '!')" 'x!y
z!'
	run -0 raftctl tail -r 2003
	assert_eq "$output" ''
	run -64 raftctl propose x
	run -64 raftctl tail x
}

@test "tail -f: follows through the death of the leader" {
	local l
	cluster 3
	spawn raftctl -W 20 tail -f -n 20
	seq 10 | raftctl propose
	l=$(leader)
	node_kill KILL "${l#n}"
	seq 11 20 | raftctl -W 10 propose
	wait_status 0
	seq 20 | cmp - "$spawn_out"
}

@test "propose: what was taken is counted when it fails" {
	cluster 1
	node_kill KILL 1
	run -69 raftctl -W 0.3 propose < <(seq 3)
	assert_match "$stderr" 'proposed 0'
	node_start 1
	head -c 1048577 /dev/zero >big
	run -65 raftctl propose -0 < <(printf 'a\0'; tr '\0' x <big)
	assert_match "$stderr" 'proposed'
}

# --- the page -------------------------------------------------------------------------------

@test "raftctl: the examples of the page" {
	cluster 3
	example raftctl.1 1 >count
	for _ in 1 2 3; do bash count || :; done
	assert_eq "$(raftctl get count)" 3
	example raftctl.1 2 >backup
	run -0 bash backup
	[ -n "$(raftctl get last-backup)" ]
	printf '#!/bin/sh\necho mailing\n' >mailer
	chmod +x mailer
	example raftctl.1 3 >service
	run -0 bash service
	assert_eq "$output" mailing
}

# --- recover -------------------------------------------------------------------------

@test "raftctl: recover goes on from the survivor that knows most" {
	local i
	cluster 3
	for i in 1 2 3; do raftctl put k$i v$i; done
	printf 'r1\nr2\n' | raftctl propose
	token=$(raftctl lock l sh -c 'echo $RAFT_LOCK_TOKEN')
	run -75 raftctl recover -y
	assert_match "$stderr" 'is running'
	# n1 misses what comes now; then n2 is lost for ever.
	node_kill KILL 1
	raftctl put late 1
	node_kill KILL 2
	node_kill KILL 3
	run -1 raftctl recover
	assert_match "$output" 'n1	term [0-9]+	index [0-9]+'
	assert_match "$stderr" 'nothing done'
	rm -r "$RAFT_DIR/n2/data/log"
	run -65 raftctl recover -y n1
	assert_match "$stderr" 'n1 is not the one that knows most, which is n3'
	grep -q 'state started' "$RAFT_DIR/n3/data/cluster"
	run -0 raftctl recover -y
	assert_match "$output" 'n2	not readable'
	assert_match "$stderr" 'n3 is the only voter'

	node_start 3
	raftctl -W 10 wait
	assert_eq "$(raftctl list | xargs)" 'k1 k2 k3 late'
	assert_eq "$(raftctl get late)" 1
	# Nothing is numbered a second time, and who watched is told.
	assert_eq "$(raftctl tail -l)" "1000000001	r1
1000000002	r2"
	raftctl put new 1
	assert_eq "$(raftctl get -l new)" "1000000005	1"
	run -1 raftctl watch -r 2 -n 1
	assert_match "$stderr" compacted
	[ "$(raftctl lock l sh -c 'echo $RAFT_LOCK_TOKEN')" -gt \
	    $((1000000000 + token)) ]
	# It is done once, not at each start.
	node_kill TERM 3
	wait_until 5 gone "${node_pid[3]}"
	node_start 3
	raftctl put newer 1
	assert_eq "$(raftctl get -l newer)" "1000000006	1"

	# The old ones are refused, by themselves ...
	run -78 timeout 10 raftnode -C "$RAFT_DIR" -i 1
	assert_match "$stderr" 'recovered without'
	assert_eq "$(raftctl member)" 'n3	voter'
	run -73 raftctl member add n1
	# ... and by others, if somebody brings them back from a copy.
	sed -i 's/^state retired/state started/' "$RAFT_DIR/n1/data/cluster"
	node_start 1
	wait_until 10 grep -q 'peer_refused why=other_cluster' "${node_err[3]}"
	node_kill KILL 1
	rm -r "$RAFT_DIR/n1" "$RAFT_DIR/n2"

	# New ones join under new numbers.
	raftctl member add n4
	node_start 4
	wait_until 10 raftctl -q member promote n4
	assert_eq "$(raftctl -i 4 get k3)" v3
	wait_until 10 agreed
}

@test "raftctl: the example of recover" {
	cluster 3
	raftctl put a 1
	wait_until 10 agreed
	kill_all
	rm -r "$RAFT_DIR"/n[12]/data/log
	{ example raftctl.1 4; echo 'echo $! >pid'; } >script
	bash -e script 3>&-
	spawn_pids+=("$(cat pid)")
	assert_eq "$(raftctl get a)" 1
	assert_eq "$(raftctl member | xargs)" 'n3 voter n4 learner'
}

@test "raftctl: recover without anything to recover" {
	run -64 raftctl recover a b
	run -64 raftctl recover n0
	run -66 raftctl recover -y
	raftctl init -n 3
	run -66 raftctl recover -y	# they know nothing
	assert_match "$output" 'n1	not readable'
	run -64 raftctl get -y a
}

# --- TCP --------------------------------------------------------------------------------

# So many ports that are free now, one after another.
free_port() {
	perl -MIO::Socket::INET -e '
	    my @s = map { IO::Socket::INET->new(Listen => 1,
		LocalAddr => "127.0.0.1") } 1 .. $ARGV[0];
	    print $_->sockport, "\n" for @s' "$1"
}

@test "raftctl: init with addresses; nodes talk over TCP" {
	local i ports
	mapfile -t ports < <(free_port 5)
	run -64 raftctl init n1=tcp:localhost:1
	run -64 raftctl init n1=tcp:127.0.0.1:0
	run -64 raftctl init n1=udp:127.0.0.1:1
	run -64 raftctl init n1=tcp:127.0.0.1:1 n1=tcp:127.0.0.1:2
	run -64 raftctl init n1=tcp:127.0.0.1:1 n2=tcp:127.0.0.1:1
	run -64 raftctl init -n 3 n1
	nodes=3
	raftctl init n1=tcp:127.0.0.1:"${ports[0]}" \
	    n2=tcp:127.0.0.1:"${ports[1]}" n3=tcp:127.0.0.1:"${ports[2]}"
	assert_eq "$(sed -n 3p raft/n2/data/cluster)" \
	    "node n2=tcp:127.0.0.1:${ports[1]}"
	for i in 1 2 3; do node_start $i; done
	# Not over the file system.
	for i in 1 2 3; do mv raft/n$i/raft raft/n$i/away; done
	raftctl -W 10 wait
	for i in 1 2 3; do
		raftctl -i $i put a$i 1
		assert_eq "$(raftctl -i $i get a$i)" 1
	done
	assert_match "$(raftctl member)" "n3	voter	tcp:127.0.0.1:${ports[2]}"
	wait_until 10 agreed
	# A leader lost; a new node.
	i=$(leader)
	node_kill KILL "${i#n}"
	raftctl -W 10 put b 2
	node_start "${i#n}"
	wait_until 10 raftctl member add n4=tcp:127.0.0.1:"${ports[3]}"
	node_start 4
	mv raft/n4/raft raft/n4/away
	wait_until 10 raftctl -q member promote n4
	assert_eq "$(raftctl -i 4 get b)" 2
	# What is not a node is turned away.
	printf '%048d' 0 >"/dev/tcp/127.0.0.1/${ports[3]}"
	wait_until 5 grep -q 'peer_refused why=not_a_node' "${node_err[4]}"
	run -75 timeout 10 raftnode -C "$RAFT_DIR" -i 1 -a tcp:127.0.0.1:"${ports[3]}"
}

@test "raftnode: clients over TCP only where it is told to listen" {
	local port
	port=$(free_port 1)
	run -64 raftnode -C x -i 1 -a 127.0.0.1:1
	run -64 raftnode -C x -i 1 --listen tcp:here:1
	cluster 1
	[ -z "$(tcp_of "${node_pid[1]}")" ]
	node_kill TERM 1
	wait_until 5 gone "${node_pid[1]}"
	node_start 1 --listen "tcp:127.0.0.1:$port"
	[ -n "$(tcp_of "${node_pid[1]}")" ]
	exec 9<>"/dev/tcp/127.0.0.1/$port"
	printf 'SET a 1\r\nGET a\r\nQUIT\r\n' >&9
	assert_eq "$(tr -d '\r' <&9 | xargs)" '+OK $1 1 +OK'
	exec 9>&-
	assert_eq "$(raftctl get a)" 1
}

# --- forms of output -----------------------------------------------------------------

@test "raftctl: -J, as JSON lines" {
	cluster 1
	raftctl put a 1
	printf 'x\377' | raftctl put b
	raftctl put -t 1h c 3
	run -0 raftctl get -J a
	assert_eq "$output" '{"key":"a","value":"1","rev":1,"created":1}'
	assert_match "$(raftctl get --json c)" '"ttl_ms":3[56][0-9]{5}}$'
	run -0 raftctl list -J
	assert_eq "$output" '{"key":"a","value":"1","rev":1}
{"key":"b","value_b64":"eP8=","rev":2}
{"key":"c","value":"3","rev":3}'
	raftctl del a
	run -0 raftctl watch -J -r 1 -n 4
	assert_eq "$(sed -n 1p <<<"$output")" \
	    '{"rev":1,"op":"put","key":"a","value":"1"}'
	assert_eq "$(sed -n 4p <<<"$output")" '{"rev":4,"op":"del","key":"a"}'
	run -0 raftctl status -J
	assert_match "$output" '^\{"node":"n1","role":"leader","term":[0-9]+,'
	assert_match "$output" '"digest":"[0-9a-f]{16}"}'
	assert_eq "$(tail -n 1 <<<"$output")" \
	    '{"voters":1,"majority":1,"answer":1,"leaders":1}'
	run -1 raftctl get -J nothing
	assert_eq "$output" ''
	node_kill KILL 1
	run -69 raftctl status -J
	assert_eq "$output" '{"node":"n1","role":"down"}'
	run -64 raftctl put -J a b
}

@test "raftctl: -d and -L where records are read or written" {
	cluster 1
	printf 'a;b;;c' | raftctl propose -d ';'
	assert_eq "$(raftctl tail -d , )" 'a,b,,c,'
	printf '\0\0\0\2x\n' | raftctl propose -L
	assert_eq "$(raftctl tail -L -r 5 | od -An -tx1 | xargs)" \
	    '00 00 00 02 78 0a'
	printf '\0\0\0\5xy' >short
	run -65 raftctl propose -L <short
	assert_match "$stderr" 'within a record'
	raftctl put k v
	assert_eq "$(raftctl get -d ! k)" 'v!'
	assert_eq "$(raftctl list --length | od -An -tx1 | xargs)" \
	    '00 00 00 01 6b'
	assert_eq "$(raftctl watch --delimiter '\t' -r 1 -n 1)" \
	    "1	put	k	v	"
	run -64 raftctl get -d xy k
	printf 'whole\n\n' | raftctl propose
	assert_eq "$(raftctl tail -0 -r 6 | tr '\0' '!')" 'whole!!'
}

@test "raftctl: -v says who is asked and why another" {
	cluster 3
	raftctl put a 1
	run -0 raftctl -v -i 2 get a
	assert_eq "$stderr" 'raftctl: asking n2'
	node_kill KILL 2
	node_kill KILL 3
	run -69 raftctl -i 1 -W 1 --verbose get a
	assert_match "$stderr" 'raftctl: n1: CLUSTERDOWN'
}
