#!/usr/bin/env bats
# shellcheck disable=SC2154	# bats sets status, output, stderr
# Stores that are not ours: a real etcd of three members, a real Redis primary
# with a replica, asked as cap-demo(1) tells.

bats_require_minimum_version 1.8.0
load helpers

setup_file() {
	PEERS=$("$BATS_TEST_DIRNAME/peers.sh" etcd-server etcd-client \
	    redis-server redis-tools)
	export PEERS BATS_TEST_TIMEOUT=120
}

setup() {
	setup_test
	export PATH=$PATH:$PEERS ETCDCTL_API=3 PARTSIM_NET=$PWD/net
	base=$((27000 + BATS_SUITE_TEST_NUMBER % 100 * 20))
}

# The N-th cap-demo probe of the page, with the ports of this test; further
# arguments are put behind.
recipe() {
	local n=$1
	shift
	perl -e '
	    my ($n, $base, $page) = splice @ARGV, 0, 3;
	    open(F, "<", $page) or die;
	    my $text = join "", <F>;
	    my @found = $text =~ /^(cap-demo probe .*?)\n\.Ed/msg;
	    my $r = $found[$n - 1];
	    $r =~ s/\\e/\\/g;
	    $r =~ s/127\.0\.0\.1:237(\d)/"127.0.0.1:" . ($base + $1)/ge;
	    $r =~ s/6379/$base + 1/ge;
	    $r =~ s/6380/$base + 2/ge;
	    print $r' "$n" "$base" "$BATS_TEST_DIRNAME/../man/cap-demo.1" >recipe
	printf ' "$@"\n' >>recipe
	cat recipe
	bash recipe "$@"
}

start_etcd() {
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
		    --listen-client-urls http://127.0.0.1:$((base + i)) \
		    --advertise-client-urls http://127.0.0.1:$((base + i)) \
		    --initial-cluster "${cluster#,}" --unsafe-no-fsync
		partsim -q node n$i pid "$spawned"
	done
	for i in 1 2 3; do
		wait_until 20 etcdctl --endpoints 127.0.0.1:$((base + i)) \
		    --command-timeout=1s put warm up
	done
}

cli() { redis-cli -p $((base + $1)) "${@:2}"; }
linked() { cli 2 info replication | grep -q master_link_status:up; }
written() { [ "$(cli 1 set warm up)" = OK ]; }

# start_redis arguments for the primary
start_redis() {
	spawn_ready partsim up -s 42 -n 2
	partsim -q node n1 listen tcp:127.0.0.1:$((base + 5)) \
	    to tcp:127.0.0.1:$((base + 1))
	mkdir d1 d2
	spawn redis-server --port $((base + 1)) --dir "$PWD/d1" --save '' \
	    --repl-diskless-sync-delay 0 --repl-ping-replica-period 1 "$@"
	partsim -q node n1 pid "$spawned"
	spawn redis-server --port $((base + 2)) --dir "$PWD/d2" --save '' \
	    --replicaof 127.0.0.1 $((base + 5))
	partsim -q node n2 pid "$spawned"
	wait_until 20 linked
	wait_until 10 written
}

# bats test_tags=slow
@test "cap-demo probe of etcd: linearizable CP, serializable reads neither" {
	start_etcd
	run -0 recipe 1 -s 7 -W 16s --timeout 3s
	assert_match "$output" $'\nstrong: behaved CP in this run\n'
	assert_match "$output" $'\neventual: behaved neither CP nor AP in this run\n'
	assert_match "$output" 'stale strong reads: 0 of '
	assert_match "$output" 'all nodes told the same'
}

# bats test_tags=slow
@test "cap-demo probe of Redis: replica reads are AP" {
	start_redis
	run -0 recipe 2 -s 7 -W 8s
	assert_match "$output" $'\neventual: behaved AP in this run\n'
	assert_match "$output" 'unanswered while cut: 0 of '
}

# bats test_tags=slow
@test "cap-demo probe of Redis: WAIT is neither, and reads go back in time" {
	start_redis
	run -1 recipe 3 -s 7 -W 10s --timeout 3s
	assert_match "$output" $'\nstrong: behaved neither CP nor AP in this run\n'
	assert_match "$output" '(new/old inversion|stale read)'
}

# bats test_tags=slow
@test "cap-demo probe of Redis: min-replicas and reads of the primary are CP" {
	start_redis --min-replicas-to-write 1 --min-replicas-max-lag 2
	run -0 recipe 4 -s 7 -W 16s --timeout 3s
	assert_match "$output" $'\nstrong: behaved CP in this run\n'
}
