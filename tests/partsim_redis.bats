#!/usr/bin/env bats
# shellcheck disable=SC2154,SC2034	# bats sets status, output, stderr
# A real Redis primary with a replica, neither of which knows of partsim.

bats_require_minimum_version 1.8.0
load helpers
load partsim

setup_file() {
	PEERS=$("$BATS_TEST_DIRNAME/peers.sh" redis-server redis-tools)
	export PEERS
}

setup() {
	setup_test
	export PATH=$PATH:$PEERS PARTSIM_NET=$BATS_TEST_TMPDIR/net
	base=$((10000 + $$ * 7 % 2200 * 10))
}

cli() {
	local node=$1
	shift
	timeout 5 redis-cli -p $((base + node)) "$@" 2>&1
}

# n1 is the primary, refuses writes that no replica could get; n2 the replica,
# reaches n1 through partsim only.
start_pair() {
	local i
	spawn_ready partsim up -s 42 -n 2
	partsim -q node n1 listen tcp:127.0.0.1:$((base + 5)) \
	    to tcp:127.0.0.1:$((base + 1))
	for i in 1 2; do
		mkdir d$i
		spawn redis-server --port $((base + i)) --dir "$PWD/d$i" --save '' \
		    --repl-ping-replica-period 1 --repl-timeout 3 \
		    --repl-diskless-sync-delay 0 \
		    --min-replicas-to-write 1 --min-replicas-max-lag 2
		partsim -q node n$i pid "$spawned"
		wait_until 5 answers $i PONG ping
	done
	cli 2 replicaof 127.0.0.1 $((base + 5))
	wait_until 10 answers 1 OK set k before
	wait_until 5 answers 2 before get k
}

answers() { [[ $(cli "$1" "${@:3}") == "$2"* ]]; }

# bats test_tags=slow
@test "partsim with Redis: a primary cut from its replica stops writing, healing agrees" {
	start_pair
	run -0 partsim cut n1 n2
	assert_match "$output" 'conns=[1-9]'
	wait_until 10 answers 1 NOREPLICAS set k lost
	run -0 cli 2 get k
	assert_eq "$output" before
	run -0 cli 1 get k
	run -0 partsim assert bit
	run -0 partsim heal
	wait_until 15 answers 1 OK set k after
	wait_until 10 answers 2 after get k
}

# bats test_tags=slow
@test "partsim with Redis: one way only, the replica hears and is not heard" {
	start_pair
	run -0 partsim oneway n2 n1
	# Its acknowledgements do not arrive: to the primary it lags.
	wait_until 10 answers 1 NOREPLICAS set k lost
	run -0 partsim heal
	wait_until 15 answers 1 OK set k after
	wait_until 10 answers 2 after get k
}

# bats test_tags=slow
@test "partsim with Redis: commands of the RESP framing are lost whole" {
	start_pair
	partsim -q node c
	partsim -q link c n1 listen tcp:127.0.0.1:$((base + 6)) \
	    to tcp:127.0.0.1:$((base + 1))
	partsim -q frame c n1 resp
	partsim -q loss c n1 1 oneway count 1
	# The first command gets lost, its connection goes on with the second.
	run -0 timeout 10 perl -MSocket -e 'socket(S, AF_INET, SOCK_STREAM, 0);
	    connect(S, sockaddr_in($ARGV[0], inet_aton("127.0.0.1"))) or die;
	    syswrite(S, "*1\r\n\$4\r\nPING\r\n*2\r\n\$4\r\nECHO\r\n\$2\r\nhi\r\n");
	    sysread(S, $b, 8); print $b' $((base + 6))
	assert_eq "$output" $'$2\r\nhi\r'
}

# bats test_tags=slow
@test "partsim EXAMPLES: a Redis primary and its replica" {
	local p=$((101 + $$ % 200))
	printf '#!/bin/sh\nexec sleep 0.1\n' >tick
	chmod +x tick
	# The write comes two seconds after the cut.
	example 'A Redis primary' | sed "s/63\([78][0-9]\)/$p\1/g
	    /^partsim cut/s/^/until redis-cli -p ${p}79 set k v | grep OK; do .\/tick; done\n/
	    /^redis-cli/s/^/sleep 3\n/" >script
	cat >>script <<-'EOF'
		partsim assert bit
		partsim quit
		jobs -p >pids
		kill $(cat pids)
		wait
	EOF
	run -0 sh script
	assert_match "$output" 'OK.*NOREPLICAS'
}
