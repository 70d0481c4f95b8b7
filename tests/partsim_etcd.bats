#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2034	# bats sets status, output, stderr
# A real etcd of three members that knows nothing of partsim: it is told peer
# addresses, and partsim tells its members apart by their processes.

bats_require_minimum_version 1.8.0
load helpers
load partsim

setup_file() {
	PEERS=$("$BATS_TEST_DIRNAME/peers.sh" etcd-server etcd-client)
	export PEERS
}

setup() {
	setup_test
	export PATH=$PATH:$PEERS ETCDCTL_API=3 PARTSIM_NET=$BATS_TEST_TMPDIR/net
	base=$((10000 + $$ * 7 % 2200 * 10))
}

client() { printf 'http://127.0.0.1:%d' $((base + $1)); }

# ctl NODES etcdctl-arguments: 13 stands for n1 and n3.
ctl() {
	local nodes=$1 i list=''
	shift
	for ((i = 0; i < ${#nodes}; i++)); do
		list+=,$(client "${nodes:i:1}")
	done
	etcdctl --endpoints "${list#,}" --command-timeout=2s "$@" 2>&1
}

start_cluster() {
	local i cluster=''
	spawn_ready partsim up -s 42 -n 3
	for i in 1 2 3; do
		partsim -q node n$i listen tcp:127.0.0.1:$((base + 3 + i)) \
		    to tcp:127.0.0.1:$((base + 6 + i))
		cluster+=,n$i=http://127.0.0.1:$((base + 3 + i))
	done
	for i in 1 2 3; do
		spawn etcd --name n$i --data-dir "$PWD/d$i" \
		    --listen-peer-urls http://127.0.0.1:$((base + 6 + i)) \
		    --initial-advertise-peer-urls http://127.0.0.1:$((base + 3 + i)) \
		    --listen-client-urls "$(client $i)" \
		    --advertise-client-urls "$(client $i)" \
		    --initial-cluster "${cluster#,}" --unsafe-no-fsync
		partsim -q node n$i pid "$spawned"
	done
	wait_until 20 ctl 123 put k before
}

leader() {
	local i
	for i in 1 2 3; do
		ctl $i endpoint status -w json | perl -MJSON::PP -e '
		    $s = decode_json(join "", <STDIN>)->[0]{Status};
		    exit($s->{leader} != $s->{header}{member_id})' 2>/dev/null &&
		    echo $i && return
	done
	return 1
}

value() { [ "$(ctl "$1" get k --print-value-only)" = "$2" ]; }

# bats test_tags=slow
@test "partsim with etcd: a leader that is cut off cannot write, the rest can, healing agrees" {
	start_cluster
	wait_until 10 leader
	local l rest
	l=$(leader)
	case $l in 1) rest=23 ;; 2) rest=13 ;; 3) rest=12 ;; esac

	run -0 partsim isolate "n$l"
	assert_match "$output" '^ok links=4 conns=[1-9]'
	run -1 ctl "$l" put k minority
	wait_until 10 ctl "$rest" put k majority
	run -1 ctl "$l" get k
	# What it had before it still tells to those who ask for no more.
	run -0 ctl "$l" get k --consistency=s --print-value-only
	assert_eq "$output" before
	run -0 partsim assert bit
	run -0 partsim heal
	wait_until 10 value "$l" majority
	run -0 ctl 123 put k after
	for n in 1 2 3; do
		wait_until 10 value $n after
	done
}

# bats test_tags=slow
@test "partsim with etcd: each pair is cut, the third sees both, writes go on" {
	start_cluster
	local pair a b c n
	for pair in 123 132 231; do
		a=${pair:0:1} b=${pair:1:1} c=${pair:2:1}
		run -0 partsim cut n$a n$b
		assert_match "$output" '^ok links=2 conns=[1-9]'
		run -0 partsim assert open n$a,n$b n$c
		wait_until 20 ctl 123 put k "pair $pair"
		# The cut pair has tried, and nobody else was touched.
		run -0 partsim wait bit n$a n$b within 10s
		run -0 partsim status n$a,n$b n$c
		assert_eq "$(grep -c ' cut:' <<<"$output")" 0 'cuts of others'
		run -0 partsim heal
		for n in 1 2 3; do
			wait_until 10 value $n "pair $pair"
		done
	done
	# Each member is recognised by its process, nobody is left unknown.
	run -0 partsim assert conns '?' n1,n2,n3 0
}

# bats test_tags=slow
@test "partsim with etcd: no majority anywhere, then liveness of a core" {
	start_cluster
	run -0 partsim partition n1 n2 n3
	for n in 1 2 3; do
		run -1 ctl $n put k nobody
	done
	run -0 partsim liveness n1,n2
	wait_until 20 ctl 12 put k core
	run -1 ctl 3 put k alone
	run -0 partsim heal
	wait_until 10 value 3 core
}

# bats test_tags=slow
@test "partsim EXAMPLES: an etcd of three members" {
	# Its ports begin with 23, ours with something of our own.
	local p=$((101 + $$ % 200))
	example 'An etcd of three' | sed "s/127\.0\.0\.1:23/127.0.0.1:$p/g" >script
	printf '#!/bin/sh\nexec sleep 0.1\n' >tick
	chmod +x tick
	cat >>script <<-EOF
		ok() { etcdctl --command-timeout=2s --endpoints \$1 put k v; }
		until ok 127.0.0.1:${p}71 >&2; do ./tick; done
		partsim isolate n1
		ok 127.0.0.1:${p}71 >&2 && echo wrong
		until ok 127.0.0.1:${p}72 >&2; do ./tick; done
		partsim assert bit && echo right
		partsim quit
		jobs -p >pids
		kill \$(cat pids)
		wait
	EOF
	run -0 sh script
	assert_match "$output" right
	[[ $output != *wrong* ]]
}
