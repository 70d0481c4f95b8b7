#!/usr/bin/env bats
# shellcheck disable=SC2034,SC2154	# for raft.bash; bats sets the others
# raftnode with real processes: protocol, refusals, faults, limits.

bats_require_minimum_version 1.8.0
load helpers
load raft

setup_file() {
	[ -x "${DSUTILS_BIN:-build/bin}/raftnode" ] || skip 'no libraft'
	build_load "$BATS_FILE_TMPDIR/load"
	"$BATS_TEST_DIRNAME/peers.sh" redis-tools >/dev/null
}

setup() {
	setup_test
	export BATS_TEST_TIMEOUT=60
	export RAFT_DIR=$BATS_TEST_TMPDIR/raft
	load=$BATS_FILE_TMPDIR/load
	peers=$(cd "$BATS_TEST_DIRNAME/.." && pwd)/build/peers/bin
}

cli() { "$peers/redis-cli" -s "$RAFT_DIR/$1/client" "${@:2}"; }

# A write goes through within five election timeouts: -W is that long.
write_soon() { raftctl -W 1.5 put soon "$RANDOM"; }

# --- starting, stopping, refusing ---------------------------------------------

@test "raftnode: options and their limits" {
	run -64 raftnode
	run -64 raftnode -C raft
	run -64 raftnode -C raft -i 0
	run -64 raftnode -C raft -i x
	run -64 raftnode -C raft -i 1 operand
	run -64 raftnode -C raft -i 1 -e 5ms
	run -64 raftnode -C raft -i 1 -e 1s -b 600ms
	assert_match "$stderr" 'heartbeat'
	run -64 raftnode -C raft -i 1 -b x
	run -64 raftnode -C raft -i 1 -r x
	run -64 raftnode -C raft -i 1 -s 1
	run -64 raftnode -C raft -i 1 --ready-fd x
}

@test "raftnode: without data it does not start" {
	mkdir raft
	run -78 raftnode -C raft -i 1
	assert_match "$stderr" 'raftctl init'
	raftctl init -n 1
	echo rubbish >raft/n1/data/cluster
	run -78 raftnode -C raft -i 1
}

@test "raftnode: one whose log is gone does not come back" {
	cluster 3
	raftctl put a 1
	node_kill KILL 2
	rm -r raft/n2/data/log
	run -78 raftnode -C raft -i 2
	assert_match "$stderr" 'may have voted'
	run -78 raftnode -C raft -i 2
	# Nor with the log of another node.
	rm -r raft/n2/data/log
	cp -r raft/n1/data/log raft/n2/data/log
	run -78 raftnode -C raft -i 2
	assert_match "$stderr" 'another node'
}

@test "raftnode: two processes cannot be one node" {
	cluster 1
	run -75 raftnode -C raft -i 1
	assert_match "$stderr" 'running already'
	raftctl put a 1
}

@test "raftnode: ready, --ready-fd, NOTIFY_SOCKET, TERM, INT" {
	raftctl init -n 1
	perl -MIO::Socket::UNIX -MSocket -e '
	    my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => "notify")
		or die; open(my $f, ">", "listening"); close $f;
	    $s->recv(my $m, 100); print "$m\n"' >notified 3>&- &
	spawn_pids+=($!)
	wait_until 5 test -e listening
	NOTIFY_SOCKET=$PWD/notify spawn_ready raftnode -C raft -i 1 \
	    --ready-fd 5 5>ready.fd
	wait_until 5 grep -qx READY=1 notified
	assert_eq "$(wc -l <ready.fd)" 1
	raftctl wait
	kill -TERM "$spawned"
	wait_status 0
	spawn_ready raftnode -C raft -i 1 -q
	kill -INT "$spawned"
	wait_status 130
	assert_file "$spawn_err" '' 2>/dev/null || [ ! -s "$spawn_err" ]
}

@test "raftnode: a path that is too long for a socket works" {
	local long
	long=$(printf 'd%.0s' {1..120})
	mkdir -p "$long"
	export RAFT_DIR=$PWD/$long/raft
	cluster 1
	raftctl put a 1
	assert_eq "$(raftctl get a)" 1
}

@test "raftnode: modes keep others out" {
	cluster 1
	assert_eq "$(stat -c %a raft/n1 raft/n1/data raft/n1/client raft/n1/raft |
	    xargs)" '700 700 600 600'
	[ "$(id -u)" -eq 0 ] || skip 'needs root to be somebody else'
	chmod 755 . raft raft/n1
	chmod 666 raft/n1/client
	while [ "$PWD" != / ]; do chmod o+x . 2>/dev/null || :; cd ..; done
	cd "$BATS_TEST_TMPDIR"
	run setpriv --reuid 65534 --regid 65534 --clear-groups perl -MIO::Socket::UNIX -e '
	    my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;
	    print scalar <$s>' "$PWD/raft/n1/client"
	assert_match "$output" '^-NOPERM'
}

# --- the protocol ----------------------------------------------------------------

@test "raftnode: redis-cli talks to any node" {
	cluster 3
	for n in n1 n2 n3; do
		run -0 cli $n PING
		assert_eq "$output" PONG
		run -0 cli $n SET "k$n" v
		assert_eq "$output" OK
	done
	assert_eq "$(cli n1 MGET kn1 kn2 kn3 | xargs)" 'v v v'
	assert_eq "$(cli n2 INCR c)" 1
	assert_eq "$(cli n3 INCR c)" 2
	assert_eq "$(cli n1 ECHO hello)" hello
	assert_eq "$(cli n1 SELECT 0)" OK
	assert_match "$(cli n1 SELECT 1)" '^ERR'
	assert_match "$(cli n1 HELLO 3)" '^NOPROTO'
	assert_match "$(cli n1 HELLO 2)" raftnode
	assert_eq "$(cli n1 SET t 1 PX 60000)" OK
	assert_match "$(cli n3 TTL t)" '^(59|60)$'
	assert_eq "$(cli n2 DBSIZE)" 5
	assert_eq "$(cli n2 KEYS 'kn*' | sort | xargs)" 'kn1 kn2 kn3'
	assert_eq "$(cli n2 TYPE c)" string
	assert_eq "$(cli n2 EXISTS c nothing)" 1
	assert_eq "$(cli n2 DEL c nothing)" 1
	assert_match "$(cli n1 NOSUCH)" '^ERR unknown command'
	assert_match "$(cli n1 GET)" '^ERR wrong number'
	assert_eq "$(cli n1 CLIENT SETNAME me)" OK
	assert_eq "$(cli n1 COMMAND COUNT)" 0
	run -0 cli n1 --scan --pattern 'kn*'
	assert_eq "$(sort <<<"$output" | xargs)" 'kn1 kn2 kn3'
}

@test "raftnode: redis-benchmark runs unchanged" {
	cluster 3
	run -0 "$peers/redis-benchmark" -s "$RAFT_DIR/$(other)/client" \
	    -t ping,set,get,incr,mset -n 500 -c 10 -P 4 --csv
	assert_eq "$(grep -c '^"' <<<"$output")" 7
	[[ $stderr != *rror* ]]
}

@test "raftnode: inline commands, pipelined, answered in order" {
	local f
	cluster 3
	f=$(other)
	run talk "${f#n}" < <(printf 'SET a 1\r\nPING\r\nGET a\r\nINCR a\r\nECHO "x y"\r\nREADCONSISTENCY stale\r\nPING\r\nQUIT\r\n')
	assert_eq "$(tr -d '\r' <<<"$output" | xargs -d '\n')" \
	    '+OK +PONG $1 1 :2 $3 x y +OK +PONG +OK'
}

@test "raftnode: NOFORWARD names the leader, a lone node has none" {
	local f l
	cluster 3
	f=$(other) l=$(leader)
	run talk "${f#n}" < <(printf 'CLIENT NOFORWARD\r\nGET a\r\nSET a 1\r\n')
	assert_match "$output" "-MOVED 0 unix:$RAFT_DIR/$l/client"
	for i in 1 2 3; do [ "n$i" = "$f" ] || node_kill KILL "$i"; done
	lonely() { cli "$f" GET a | grep -q CLUSTERDOWN; }
	wait_until 5 lonely
	assert_match "$(cli "$f" SET a 1)" '^CLUSTERDOWN'
	assert_eq "$(cli "$f" PING)" PONG
	run talk "${f#n}" < <(printf 'READCONSISTENCY stale\r\nGET a\r\n')
	assert_match "$output" '\$-1'
}

@test "raftnode: INFO" {
	local text
	cluster 3
	raftctl put a 1
	wait_until 5 agreed
	text=$(raftctl_info 1 | tr -d '\r')
	for field in id:n1 voters:3 quorum:2 revision:1 keys:1 term: commit: \
	    applied: digest: "leader:$(leader)" role: fsync_p99_us:; do
		grep -q "^$field" <<<"$text" || { echo "no $field"; false; }
	done
}

@test "raftnode: REQ applies once, whatever node is asked" {
	cluster 3
	for n in n1 n2 n3 n1; do
		assert_eq "$(cli $n REQ me 1 INCR c)" 1
	done
	assert_eq "$(cli n2 REQ me 2 INCR c)" 2
	assert_match "$(cli n2 REQ me 1 INCR c)" '^ERR an older request'
}

# --- faults ------------------------------------------------------------------------

@test "raftnode: the leader is killed, a write goes through within 1 s" {
	local l
	cluster 3
	raftctl put before 1
	l=$(leader)
	node_kill KILL "${l#n}"
	run -0 raftctl -W 1 put after 1
	assert_eq "$(raftctl get before)" 1
	node_start "${l#n}"
	wait_until 10 agreed
	grep -q 'start.*election' "${node_err[@]}"
	grep -q 'event\|leader id=' "${node_err[@]}"
}

@test "raftnode: the isolated leader refuses, the others go on" {
	local l
	cluster_links 3
	l=$(leader)
	partsim -q isolate "$l"
	run -0 raftctl -i "$(other_than "$l")" -W 5 put a majority
	run raftctl -i "$l" -W 1 put a minority
	[[ $status -eq 69 || $status -eq 79 ]]
	run -69 raftctl -i "$l" -W 0.5 get a
	partsim -q heal
	run -0 write_soon
	wait_until 10 agreed
	assert_eq "$(raftctl get a)" majority
}

other_than() {
	local i
	for ((i = 1; i <= nodes; i++)); do
		[ "n$i" = "$1" ] || { echo "n$i"; return; }
	done
}

@test "raftnode: three of five go on, two do not" {
	cluster_links 5
	partsim -q partition n1,n2 n3,n4,n5
	run -0 raftctl -i n4 -W 5 put a 1
	run -69 raftctl -i n1 -W 1 get a
	partsim -q heal
	run -0 write_soon
	wait_until 10 agreed
}

@test "raftnode: histories under cuts are linearizable" {
	local l i
	cluster_links 3
	load 8
	for i in 1 2; do
		wait_until 5 has_leader
		l=$(leader)
		partsim -q isolate "$l"
		raftctl -i "$(other_than "$l")" put moved 1
		partsim -q heal
		wait_until 5 has_leader
		l=$(leader)
		partsim -q oneway "$l" "$(other_than "$l")"
		partsim -q wait 700ms
		partsim -q heal
	done
	partsim -q partition bridge
	partsim -q wait 500ms
	partsim -q heal
	load_judge
	run -0 write_soon
	wait_until 10 agreed
}

@test "raftnode: histories under kill -9 are linearizable" {
	local i n
	RANDOM=7
	cluster 3
	load 8
	for i in 1 2 3 4 5; do
		n=$((RANDOM % 3 + 1))
		node_kill KILL "$n"
		nap_ms $((RANDOM % 800))
		node_start "$n"
		nap_ms $((RANDOM % 500))
	done
	load_judge
	wait_until 10 agreed
}

nap_ms() {
	local until=$(($(now_us) + $1 * 1000))
	while [ "$(now_us)" -lt "$until" ]; do nap; done
}

@test "raftnode: a leader that slept does not answer with old values" {
	local l i
	cluster 3
	load 8
	for i in 1 2 3; do
		wait_until 5 has_leader
		l=$(leader)
		node_kill STOP "${l#n}"
		nap_ms 900
		node_kill CONT "${l#n}"
		nap_ms 500
	done
	load_judge
	wait_until 10 agreed
}

@test "raftnode: below its reserve a leader refuses to grow" {
	cluster 1 -r 1000000G
	full() { cli n1 SET a 1 | grep -q NOSPACE; }
	wait_until 5 full
	run -75 raftctl put a 1
	assert_match "$stderr" NOSPACE
	run -1 raftctl del a
	run -1 raftctl get a
}

@test "raftnode: a full disk loses nothing that was acknowledged" {
	local i n
	[ "$(id -u)" -eq 0 ] || skip 'needs root for a small file system'
	raftctl init -n 3
	mkdir -p raft/n1/data/log
	mount -t tmpfs -o size=40m none raft/n1/data/log 2>/dev/null ||
	    skip 'cannot mount'
	mounted=$PWD/raft/n1/data/log
	node_options=(-r 0 -s 100000)
	nodes=3
	for i in 1 2 3; do node_start "$i"; done
	raftctl -W 10 wait
	raftctl transfer n1
	head -c 1000000 /dev/zero >big
	for ((n = 0; n < 60; n++)); do
		raftctl -W 3 put "k$((n % 4))" <big || break
	done
	run -0 raftctl -W 5 put last 1
	# Whatever became of n1, the others agree and have it.
	assert_eq "$(raftctl -W 5 get last)" 1
	for i in 1 2 3; do
		node_kill KILL "$i" || :
	done
	umount "$mounted"
}

@test "raftnode: members come, learn, vote and go" {
	cluster 3
	raftctl put a 1
	run -0 raftctl member add n4
	assert_match "$(raftctl member list)" 'n4.learner'
	# It is not there: it cannot be made a voter.
	run -65 raftctl -W 20 member promote n4
	assert_match "$stderr" 'n4|answer'
	node_start 4
	nodes=4
	wait_until 10 raftctl -W 20 member promote n4
	wait_until 10 agreed
	run -0 raftctl status
	assert_match "$output" '4 voters, a majority is 3, 4 answer'
	assert_match "$output" 'warning: 4 voters'
	run -65 raftctl member add n4
	run -0 raftctl member demote n4
	run -0 raftctl member remove n4
	assert_eq "$(raftctl member list | wc -l)" 3
	run -65 raftctl member remove n9
	assert_eq "$(raftctl get a)" 1
}

@test "raftnode: no change of members without a majority afterwards" {
	local l a b
	cluster 3
	l=$(leader)
	a=$(other)
	for b in n1 n2 n3; do [ "$b" = "$l" ] || [ "$b" = "$a" ] || break; done
	node_kill STOP "${b#n}"
	nap_ms 700		# longer than silence counts as presence
	run -65 raftctl -i "$l" member remove "$a"
	assert_match "$stderr" 'a majority is 2, and 1 answer'
	node_kill CONT "${b#n}"
	run -0 write_soon
}

@test "raftnode: a member joins while a link is cut" {
	local l f
	cluster_links 3
	l=$(leader) f=$(other)
	partsim -q node n4
	partsim -q cut "$l" "$f"
	raftctl -W 5 put a 1
	run -0 raftctl -W 10 member add n4
	node_start 4
	nodes=4
	wait_until 10 raftctl -W 20 member promote n4
	partsim -q heal
	run -0 write_soon
	wait_until 10 agreed
}

@test "raftnode: leadership is handed over" {
	local f
	cluster 3
	f=$(other)
	run -0 raftctl transfer "$f"
	assert_eq "$(leader)" "$f"
	run -0 raftctl transfer
	[ "$(leader)" != "$f" ]
}

# --- limits -------------------------------------------------------------------------

@test "raftnode: snapshots keep the log short; a node far behind catches up" {
	local l f
	cluster 3 -s 64
	l=$(leader) f=$(other)
	node_kill KILL "${f#n}"
	"$peers/redis-benchmark" -s "$RAFT_DIR/$l/client" -t set -n 20000 -c 2 \
	    -P 4 -r 1000 -q >/dev/null
	raftctl put last 1
	grep -q snapshot_taken "${node_err[${l#n}]}"
	node_start "${f#n}"
	wait_until 20 agreed
	grep -q snapshot_restored "${node_err[${f#n}]}"
	# And everything is there after all of them were killed.
	for i in 1 2 3; do node_kill KILL "$i"; done
	for i in 1 2 3; do node_start "$i"; done
	assert_eq "$(raftctl -W 10 get last)" 1
	wait_until 10 agreed
	assert_match "$(cli n1 DBSIZE)" '^[0-9]+$'
}

@test "raftnode: SNAPSHOT takes one" {
	cluster 1
	raftctl put a 1
	run -0 raftctl snapshot
	wait_until 5 grep -q snapshot_taken "${node_err[1]}"
	written() { compgen -G 'raft/n1/data/log/snapshot-*.meta'; }
	wait_until 5 written
	node_kill KILL 1
	node_start 1
	grep -q snapshot_restored "${node_err[1]}"
	assert_eq "$(raftctl get a)" 1
}

@test "raftnode: an idle cluster writes nothing and stays small" {
	local i before=() kb
	cluster 3
	raftctl put a 1
	wait_until 5 agreed
	nap_ms 500
	for i in 1 2 3; do
		before[i]=$(awk '/^write_bytes/ { print $2 }' \
		    "/proc/${node_pid[i]}/io")
	done
	nap_ms 2000
	for i in 1 2 3; do
		assert_eq "$(awk '/^write_bytes/ { print $2 }' \
		    "/proc/${node_pid[i]}/io")" "${before[i]}" "n$i wrote"
		sanitized && continue
		kb=$(awk '/^VmRSS/ { print $2 }' "/proc/${node_pid[i]}/status")
		[ "$kb" -lt 20480 ] || { echo "n$i: $kb kB"; false; }
	done
}

@test "raftnode: what is too big is refused" {
	cluster 1
	head -c 1048577 /dev/zero | tr '\0' x >big
	run -65 raftctl put a <big
	head -c 1048576 big >fits
	run -0 raftctl put a <fits
	raftctl get -w a | cmp - fits
	run -65 raftctl put "$(head -c 66000 big)" v
	assert_match "$stderr" TOOBIG
}

@test "raftnode: hostile clients disturb nobody" {
	cluster 1
	raftctl put a 1
	run talk 1 < <(printf '*1\r\n$999999999999\r\n')
	assert_match "$output" '^-ERR Protocol error'
	run talk 1 < <(printf '*99999999\r\n')
	assert_match "$output" '^-ERR Protocol error'
	run talk 1 < <(head -c 100000 /dev/zero)
	assert_match "$output" '^-ERR Protocol error'
	run talk 1 < <(printf 'FWD linear "" 0 GET a\r\n')
	assert_match "$output" '^-ERR unknown command'
	# Asks for a gigabyte and reads none of it.
	head -c 1000000 /dev/zero | tr '\0' x | raftctl put big
	perl -MIO::Socket::UNIX -e '
	    my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;
	    $SIG{PIPE} = "IGNORE"; syswrite($s, "GET big\r\n" x 1000);
	    open(my $f, ">", "asked"); close $f; select(undef, undef, undef, 60)' \
	    "$RAFT_DIR/n1/client" 3>&- &
	spawn_pids+=($!)
	wait_until 5 test -e asked
	run -0 raftctl put b 2
	sanitized || [ "$(awk '/^VmRSS/ { print $2 }' \
	    "/proc/${node_pid[1]}/status")" -lt 100000 ]
}

@test "raftnode: peers must say hello, and of which cluster" {
	cluster 1
	printf 'GET / HTTP/1.0\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' |
	    perl -MIO::Socket::UNIX -e '
		my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;
		local $/; print $s <STDIN>; $s->flush; print <$s>' raft/n1/raft
	wait_until 5 grep -q 'peer_refused why=not_a_node' "${node_err[1]}"
	printf 'RAFTNODE\1\0\0\0\1\0\0\0xxxxxxxxxxxxxxxx\2\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0' |
	    perl -MIO::Socket::UNIX -e '
		my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die;
		local $/; print $s <STDIN>; $s->flush; print <$s>' raft/n1/raft
	wait_until 5 grep -q 'peer_refused why=other_cluster' "${node_err[1]}"
	run -0 raftctl put a 1
}

@test "raftnode: -e and -b set the pace, -v tells more" {
	cluster 3 -e 100ms -b 20ms -v
	raftctl put a 1
	grep -q debug "${node_err[1]}"
}

@test "raftnode: TTLs end on all nodes alike, also when the leader changes" {
	local l
	cluster 3
	raftctl put -t 1s a 1
	raftctl put -t 60s b 1
	l=$(leader)
	node_kill KILL "${l#n}"
	gone() { raftctl -W 3 get a; [ $? -eq 1 ]; }
	wait_until 8 gone
	node_start "${l#n}"
	wait_until 10 agreed
	assert_eq "$(raftctl get b)" 1
}

@test "raftnode: the examples of the page" {
	export PATH=$peers:$PATH
	{
		example raftnode.8 1 | sed "s|/tmp/cluster|$RAFT_DIR|"
		example raftnode.8 2
		echo 'kill $(jobs -p) 2>/dev/null; wait'
	} >script
	run -0 bash script
	assert_match "$output" 'hello'
	assert_match "$output" '3 voters, a majority is 2, 2 answer'
	assert_match "$output" 'OK$'
}

# --- hostile peers ---------------------------------------------------------------------

# A hello as n2 to n1, and bytes after it, as a perl expression.
peer_says() {
	perl -MIO::Socket::UNIX -e '
	    $SIG{PIPE} = "IGNORE";
	    my $s = IO::Socket::UNIX->new(Peer => "$ARGV[0]/n1/raft") or die;
	    my ($c) = `sed -n "s/^cluster //p" $ARGV[0]/n1/data/cluster` =~ /(.*)/;
	    sub q64 { pack "Q<*", @_ }
	    sub message { my ($t, $h) = @_;
		pack("CxCxx4Q<", $t, 2, length $h) . $h }
	    print $s "RAFTNODE" . pack("VV", 1, 1) . pack("H*", $c) . q64(2, 1);
	    print $s eval $ARGV[1];
	    die $@ if $@;
	    $s->flush; shutdown $s, 1; my $x = <$s>' "$RAFT_DIR" "$1"
}

@test "raftnode: what is not a message of a peer is refused" {
	local what n=0 log
	cluster 3
	raftctl put a 1
	log=${node_err[1]}
	for what in '"x" x 16' 'message(9, q64(1, 2, 3))' \
	    'pack("CxCxx4Q<", 1, 2, 1 << 40)' 'message(3, q64(9, 3, 5, 1, 0))' \
	    'message(3, q64(1 << 60, 2, 5, 1, 0))' 'message(2, q64(1, 2, 3))' \
	    'message(1, q64(9, 5, 1, 5, 1 << 32, 0))' \
	    'message(1, q64(9, 5, 1, 5, 1, 9, 1 | 7 << 32, 0))' \
	    'message(1, q64(9, 5, 1, 5, 1, 9, 3 | 8 << 32, 0)) . q64(1)' \
	    'message(5, q64(9, 5, 1, 1, 999, 1, 0))' \
	    'message(5, q64(9, 5, 1, 1, 16, 1, 0, 8, 0)) . q64(1)'; do
		peer_says "$what"
		n=$((n + 1))
		wait_until 5 eval "[ \$(grep -c why=not_a_message '$log') -eq $n ]"
	done
	assert_eq "$(raftctl -i 1 get a)" 1
	raftctl put b 2
	wait_until 10 agreed
}
