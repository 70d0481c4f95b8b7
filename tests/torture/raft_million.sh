#!/usr/bin/env bash
# raft_million.sh: WRITES (1000000) records go through three nodes, for TIME
# seconds (300) at most, with a node that is stopped meanwhile for the first
# BEHIND (100000) entries.  Log and memory stay bounded, and it catches up.

set -uo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
time=${TIME:-300} writes=${WRITES:-1000000} behind=${BEHIND:-100000}
export BATS_TEST_DIRNAME=$root/tests
PATH=$(cd "${DSUTILS_BIN:-$root/build/bin}" && pwd):$PATH
if ! command -v raftnode >/dev/null; then
	echo 'torture/raft_million: no raftnode, skipped'
	exit 0
fi
work=$(mktemp -d)
cd "$work" || exit
BATS_TEST_TMPDIR=$work
run() { :; }		# helpers want that of bats
# shellcheck source=tests/helpers.bash
. "$root/tests/helpers.bash"
# shellcheck source=tests/raft.bash
. "$root/tests/raft.bash"
export watch=''
spawn_pids=() spawned=''

finish() {
	local pid
	for pid in "${spawn_pids[@]}"; do kill -KILL "$pid"; done 2>/dev/null
	wait 2>/dev/null
	cd / && rm -rf "$work"
}
trap finish EXIT
die() { echo "torture/raft_million: $*"; exit 1; }

# Requests without end or so many, each a put of 16 bytes to one of 5000 keys,
# sent ahead by DEPTH; entries are small when it is 1.
put() {	# node count depth seconds
	perl -MIO::Socket::UNIX -e '
	    my ($path, $n, $depth, $secs) = @ARGV;
	    my $s = IO::Socket::UNIX->new(Peer => $path) or die;
	    my ($sent, $got, $end) = (0, 0, time + $secs);
	    while ($got < $n && time < $end) {
		my $b = "";
		while ($sent < $n && $sent - $got < $depth) {
		    my $k = sprintf "k%d", $sent++ % 5000;
		    $b .= sprintf "*3\r\n\$3\r\nSET\r\n\$%d\r\n%s\r\n\$16\r\n%016d\r\n",
			length $k, $k, $sent;
		}
		print $s $b; $s->flush;
		sysread $s, my $in, 65536 or die "closed";
		$in =~ /^-/m and die $in;
		$got += () = $in =~ /\n/g;
	    }
	    print "$got\n"' "$RAFT_DIR/n$1/client" "$2" "$3" "$4"
}

log_kib() { du -sk "$RAFT_DIR/n$1/data/log" | cut -f 1; }
rss_kib() { sed -n 's/^VmHWM:[^0-9]*\([0-9]*\).*/\1/p' "/proc/${node_pid[$1]}/status"; }

cluster 3 -q >log 2>&1 || die 'no cluster'
leader=$(leader) leader=${leader#n}
late=$((leader % 3 + 1)) other=$((late % 3 + 1))
[ "$other" != "$leader" ] || other=$((other % 3 + 1))
node_kill KILL "$late"
end=$((SECONDS + time))
before=$(info "$leader" commit)
# Entries, not writes: many small ones, from clients that wait.
while [ "$SECONDS" -lt $((end - time / 4)) ]; do
	put "$leader" 20000 32 10 >/dev/null || die 'the load failed'
	entries=$(($(info "$leader" commit) - before))
	[ "$entries" -lt "$behind" ] || break
done
echo "the late node is $entries entries behind"
begin=$(now_us)
node_start "$late" >>log 2>&1 || die 'it does not start'
wait_until 60 agreed >>log || die 'it does not catch up'
echo "caught up in $((($(now_us) - begin) / 1000)) ms"
done=0
while [ "$done" -lt "$writes" ] && [ "$SECONDS" -lt "$end" ]; do
	n=$(put "$leader" 100000 2000 30) || die 'the load failed'
	done=$((done + n))
	for i in 1 2 3; do
		kib=$(log_kib "$i") rss=$(rss_kib "$i")
		[ "$kib" -lt 200000 ] || die "n$i: log of $kib KiB"
		[ "$rss" -lt 200000 ] || die "n$i: $rss KiB of memory"
		[ "$kib" -lt "${max_log:=0}" ] || max_log=$kib
		[ "$rss" -lt "${max_rss:=0}" ] || max_rss=$rss
	done
done
wait_until 30 agreed >>log || die 'no agreement'
echo "$done writes: log at most $max_log KiB, memory at most $max_rss KiB a node"
