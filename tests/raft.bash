# shellcheck shell=bash disable=SC2034,SC2154	# for those who load it
# raft: clusters of real nodes, for raftnode.bats, raftctl.bats and the torture.
# Loaded behind helpers.
#
#	cluster N [option ...]	N nodes in $RAFT_DIR, started with these options
#	cluster_links N ...	the same behind partsim, with --links
#	node_start N [...]	start it (again) and wait until it is ready
#	node_kill SIG N		node_pid[N] is its pid
#	leader			prints the node that serves, n2
#	other			prints a node that does not lead, n1
#	agreed			do all nodes have the same digest?
#	info N FIELD		of INFO
#	load SECS [option ...]	clients in the background; history in $history

T=0.3		# the default election timeout

cluster() {
	local n=$1 i
	shift
	export RAFT_DIR=${RAFT_DIR:-$BATS_TEST_TMPDIR/raft}
	node_options=("$@")
	raftctl -q init -n "$n" 2>/dev/null
	nodes=$n
	for ((i = 1; i <= n; i++)); do
		node_start "$i"
	done
	raftctl -W 10 wait
}

cluster_links() {
	export RAFT_DIR=$BATS_TEST_TMPDIR/raft
	export PARTSIM_NET=$RAFT_DIR
	spawn_ready partsim up -s 42 -n "$1"
	cluster "$@" --links
}

node_start() {
	spawn_ready raftnode -C "$RAFT_DIR" -i "$1" "${node_options[@]}" "${@:2}"
	node_pid[$1]=$spawned
	node_err[$1]=$spawn_err
}

node_kill() {
	kill "-$1" "${node_pid[$2]}"
	[ "$1" != KILL ] || wait "${node_pid[$2]}" 2>/dev/null || :
}

info() { raftctl_info "$1" | tr -d '\r' | sed -n "s/^$2://p"; }

# INFO without redis-cli: an inline command, closed by QUIT.
raftctl_info() {
	printf 'INFO\r\nQUIT\r\n' | talk "$1"
}

# Bytes to a node's client socket and what it answers until it hangs up.
talk() {
	perl -MIO::Socket::UNIX -e '
	    $SIG{PIPE} = "IGNORE";
	    my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or exit 69;
	    local $/; my $in = <STDIN>; print $s $in; $s->flush;
	    shutdown($s, 1); print <$s>' "$RAFT_DIR/n$1/client" 2>/dev/null
}

leader() {
	raftctl status | awk '$2 == "leader" { l = $1 } END { print l; exit l == "" }'
}

other() {
	raftctl status | awk '$2 == "follower" { print $1; exit }'
}

has_leader() { leader >/dev/null; }

agreed() {
	raftctl status >status.txt || return
	! grep -q down status.txt || return
	[ "$(awk '/^n[0-9]/ { print $NF }' status.txt | sort -u | wc -l)" -eq 1 ]
}

build_load() {
	local out=${1:-$BATS_FILE_TMPDIR/load}
	local flags
	read -ra flags < <(pkg-config --cflags --libs hiredis)
	"${CC:-cc}" -std=c11 -O2 -g -D_GNU_SOURCE -pthread -o "$out" \
	    "$BATS_TEST_DIRNAME/torture/raft_load.c" "${flags[@]}"
	load=$out
}

load() {
	history=$BATS_TEST_TMPDIR/history.tsv
	"$load" -C "$RAFT_DIR" -W "$1" "${@:2}" >"$history" \
	    2>"$BATS_TEST_TMPDIR/load.err" 3>&- &
	load_pid=$!
	spawn_pids+=("$load_pid")
}

# The load has ended; it did something, and what it saw is linearizable.
load_judge() {
	wait "$load_pid" || { cat "$BATS_TEST_TMPDIR/load.err"; return 1; }
	cat "$BATS_TEST_TMPDIR/load.err"
	[ "$(grep -c 'ok$' "$history")" -gt "${1:-50}" ]
	run -0 lincheck -m cas-register -W 20 "$history"
	assert_match "$output" '^linearizable'
}

# The N-th example of a page, as a script.
example() {
	awk -v want="$2" '/^\.Bd/ { n++; on = n == want; next } /^\.Ed/ { on = 0 }
	    on { gsub(/\\e/, "\\"); gsub(/\\\(aq/, "\047"); print }' \
	    < <(sed -n '/^\.Sh EXAMPLES/,/^\.Sh DIAG/p' \
	    "$BATS_TEST_DIRNAME/../man/$1")
}
