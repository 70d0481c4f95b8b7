#!/usr/bin/env bash
# raft.sh: real nodes behind partsim for TIME seconds (60) with SEED: random
# cuts, kills, stops and restarts under load; every round ends with healing,
# agreement, a write, and lincheck's verdict.  Then SEEDS (10000) random
# schedules in virtual time.  NODES is 3 or 5.

set -uo pipefail

root=$(cd "$(dirname "$0")/../.." && pwd)
time=${TIME:-60} seed=${SEED:-1} seeds=${SEEDS:-10000}
export BATS_TEST_DIRNAME=$root/tests
PATH=$(cd "${DSUTILS_BIN:-$root/build/bin}" && pwd):$PATH
if ! command -v raftnode >/dev/null; then
	echo 'torture/raft: no raftnode, skipped'
	exit 0
fi
work=$(mktemp -d)
cd "$work" || exit
BATS_TEST_TMPDIR=$work
# shellcheck source=tests/helpers.bash
. "$root/tests/helpers.bash"
# shellcheck source=tests/raft.bash
. "$root/tests/raft.bash"
export watch=''
spawn_pids=() spawned=''
RANDOM=$seed
nodes=${NODES:-3}

finish() {
	local pid
	for pid in "${spawn_pids[@]}"; do kill -CONT "$pid"; kill -KILL "$pid"; done 2>/dev/null
	wait 2>/dev/null
	[ -n "${keep-}" ] && { echo "kept: $work"; return; }
	cd / && rm -rf "$work"
}
trap finish EXIT
die() { echo "torture/raft: $*, seed $seed round $round"; keep=yes; exit 1; }

node() { echo $((RANDOM % nodes + 1)); }

nap_ms() {
	local until=$(($(now_us) + $1 * 1000))
	while [ "$(now_us)" -lt "$until" ]; do nap; done
}

fault() {
	local a b
	a=$(node) b=$(node)
	case $((RANDOM % 9)) in
	0) partsim -q isolate n$a ;;
	1) partsim -q partition bridge ;;
	2) partsim -q partition majorities-ring ;;
	3) [ "$a" = "$b" ] || partsim -q oneway n$a n$b ;;
	4) partsim -q partition halves ;;
	5) partsim -q flap n$a n$((a % nodes + 1)) up 200ms down 200ms ;;
	6) node_kill KILL "$a"; nap_ms $((RANDOM % 400)); again "$a" ;;
	7) node_kill STOP "$a"; nap_ms $((RANDOM % 900)); node_kill CONT "$a" ;;
	8) raftctl -W 1 transfer 2>/dev/null ;;
	esac >/dev/null
}

again() { node_start "$1" >>log 2>&1 || die "n$1 does not start"; }

mkdir load
read -ra hiredis < <(pkg-config --cflags --libs hiredis)
gcc -std=c11 -O2 -D_GNU_SOURCE -pthread -o load/load \
    "$root/tests/torture/raft_load.c" \
    "${hiredis[@]}" || exit
load=$work/load/load
round=0
cluster_links "$nodes" >>log 2>&1 || die 'no cluster'
for ((end = SECONDS + time; SECONDS < end; )); do
	round=$((round + 1))
	"$load" -C "$RAFT_DIR" -W 8 -N "$nodes" -s $((seed * 1000 + round)) \
	    >"history.$round" 2>load.err &
	load_pid=$!
	for ((i = 0; i < 6; i++)); do
		fault
		nap_ms $((RANDOM % 900))
		[ $((RANDOM % 2)) -eq 0 ] || partsim -q heal >/dev/null
	done
	partsim -q heal >/dev/null
	wait "$load_pid" || die 'load failed'
	raftctl -W 10 put soon "$round" || die 'no write after healing'
	wait_until 20 agreed >>log || die 'no agreement'
	# Keys begin absent in the first round only; later ones start afresh.
	verdict=$(lincheck -m cas-register -W 60 "history.$round") ||
	    die "history.$round: $verdict"
	for k in 0 1 2; do raftctl del "k$k"; done
	echo "round $round: $(cat load.err), $verdict"
done
make -s -C "$root" build/bin/unit/raft_fixture_test || exit
RAFT_SEEDS=$seeds "$root/build/bin/unit/raft_fixture_test" >fixture ||
    { grep -v '^ok' fixture; die 'a schedule failed'; }
tail -n 2 fixture | head -n 1
